"""Act: sample K responses a prompt, and note what policy, reference and critic say of every token.

Shapes: B prompts, N = B·K responses, R tokens of the longest response. Masks are True where a token is real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from training.lm.generation import Generator, Sampling
from training.lm.trees import Tree, TreeBatch, by_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from policy.team import Team
    from training.lm.encoder import Encoder
    from training.lm.generation import Response
    from training.records import Message


class Stopped(Exception):  # noqa: N818 - not an error: the run was asked to stop
    """The work was left unfinished because the run was asked to stop."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that wants a response, and its token ids."""

    id: str
    messages: tuple[Message, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A sampled response: its token ids (the end token included if it ended), their text, and whether it ended."""

    ids: tuple[int, ...]
    text: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of N answers: rewards (N,), and the votes (M, N) that they were made of.

    A judge with several votes (the heads of an ensemble) has several rows, and the first rows are the first judge's;
    the standard deviation over the rows says how far they disagree.
    """

    rewards: torch.Tensor
    votes: torch.Tensor

    @classmethod
    def of(cls, said: torch.Tensor | Verdict) -> Verdict:
        """Take what a reward function returned: rewards alone are one judge's votes."""
        return said if isinstance(said, Verdict) else cls(said, said.unsqueeze(0))


RewardFunction = Callable[[Sequence[Prompt], Sequence[Sequence[Answer]]], "torch.Tensor | Verdict"]
"""Judges the K answers to each of B prompts: (B·K,) rewards in their order, or a Verdict of as many."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was sampled, and what each model says of it.

    logprobs, ref_logprobs, values, response_mask: (N, R); values are of the states before each token.
    end_values (N,): of the states after the last token. finished (N,). sampled_logprobs (N, R): what the sampler said;
    logprobs are the same in float32, and recomputed as learning will see them in bfloat16.
    """

    prompts: list[Prompt]
    answers: list[list[Answer]]
    trees: list[Tree]
    logprobs: Tensor
    sampled_logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    end_values: Tensor
    response_mask: Tensor
    finished: Tensor

    @property
    def sampler_gap(self) -> float:
        """The largest difference between what the sampler and the trainer say of a token; 0 where it is not asked."""
        return float((self.logprobs - self.sampled_logprobs)[self.response_mask].abs().max())


def roll_out(
    team: Team,
    prompts: Sequence[Prompt],
    *,
    keys: Sequence[str],
    responses_per_prompt: int,
    sampling: Sampling,
    micro_batch_tokens: int,
    stop: Callable[[], bool],
) -> Rollout:
    """Sample and measure one rollout. Raises Stopped soon after `stop` says so."""
    with team.spread.whole():
        sampled = sample(team, prompts, keys, responses_per_prompt, sampling, stop=stop)
        trees = [
            Tree(prompt.ids, [response.ids for response in responses])
            for prompt, responses in zip(prompts, sampled, strict=True)
        ]
        flat = [response for responses in sampled for response in responses]
        sampled_logprobs = pad_sequence([torch.tensor(response.logprobs) for response in flat], batch_first=True)
        lengths = torch.tensor([len(response.ids) for response in flat])
        measured = _measure(team, trees, sampled_logprobs, sampling.temperature, micro_batch_tokens, stop=stop)
    return Rollout(
        prompts=list(prompts),
        answers=[[answer_of(response, team.encoder) for response in responses] for responses in sampled],
        trees=trees,
        sampled_logprobs=sampled_logprobs,
        response_mask=torch.arange(int(lengths.max())) < lengths.unsqueeze(1),
        finished=torch.tensor([response.finished for response in flat]),
        **measured,
    )


@torch.no_grad()
def _measure(
    team: Team,
    trees: Sequence[Tree],
    sampled_logprobs: Tensor,
    temperature: float,
    micro_batch_tokens: int,
    *,
    stop: Callable[[], bool],
) -> dict[str, Tensor]:
    """What policy, reference and critic say of every token; the policy is asked again only in bfloat16."""
    K = len(trees[0].responses)
    logprobs, ref_logprobs, values = (torch.zeros_like(sampled_logprobs) for _ in range(3))
    end_values = torch.zeros(len(sampled_logprobs))
    for group in by_tokens(enumerate(trees), micro_batch_tokens):
        if stop():
            raise Stopped
        batch = TreeBatch([trees[i] for i in group], device=team.device)
        rows, width = rows_of(group, K), batch.response_ids.shape[1]
        if team.is_half:
            said = team.policy_logprobs(batch, team.policy_hidden(batch), temperature)
            logprobs[rows, :width] = said.cpu()
        ref_logprobs[rows, :width] = team.reference_logprobs(batch, temperature).cpu()
        with team.as_critic():
            before, after = team.critic.values(team.critic_hidden(batch), batch)
        values[rows, :width], end_values[rows] = before.cpu(), after.cpu()
    return {
        "logprobs": logprobs if team.is_half else sampled_logprobs,
        "ref_logprobs": ref_logprobs,
        "values": values,
        "end_values": end_values,
    }


def joined(rollouts: Sequence[Rollout]) -> Rollout:
    """One rollout of those of several processes, which took turns at its prompts."""
    if len(rollouts) == 1:
        return rollouts[0]
    K = len(rollouts[0].trees[0].responses)
    places = [(i, r) for i in range(max(len(one.prompts) for one in rollouts)) for r in range(len(rollouts))]
    places = [(i, r) for i, r in places if i < len(rollouts[r].prompts)]

    def rows(name: str) -> Tensor:
        parts = [getattr(rollouts[r], name)[i * K : (i + 1) * K] for i, r in places]
        if parts[0].dim() == 1:
            return torch.cat(parts)
        width = max(part.shape[1] for part in parts)
        return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])

    names = ("logprobs", "sampled_logprobs", "ref_logprobs", "values", "end_values", "response_mask", "finished")
    return Rollout(
        prompts=[rollouts[r].prompts[i] for i, r in places],
        answers=[rollouts[r].answers[i] for i, r in places],
        trees=[rollouts[r].trees[i] for i, r in places],
        **{name: rows(name) for name in names},
    )


def sample(
    team: Team,
    prompts: Sequence[Prompt],
    keys: Sequence[str],
    responses_per_prompt: int,
    sampling: Sampling,
    *,
    stop: Callable[[], bool],
) -> list[list[Response]]:
    """Sample responses to each prompt; raises Stopped soon after `stop` says so. To be called with whole weights."""
    with team.arithmetic():
        sampled = Generator(team.policy, end_id=team.encoder.eos_id, pad_id=team.encoder.pad_id).generate(
            [prompt.ids for prompt in prompts],
            keys=keys,
            responses_per_prompt=responses_per_prompt,
            sampling=sampling,
            stop=stop,
        )
    if sampled is None:
        raise Stopped
    return sampled


def answer_of(response: Response, encoder: Encoder) -> Answer:
    """Give a sampled response with its text."""
    return Answer(tuple(response.ids), encoder.text(response.ids), response.finished)


def rows_of(tree_numbers: Sequence[int], responses_per_prompt: int) -> Tensor:
    """Rows of (N, ...) tensors that hold the responses of these trees."""
    first = torch.tensor(tree_numbers).unsqueeze(1) * responses_per_prompt
    return (first + torch.arange(responses_per_prompt)).flatten()
