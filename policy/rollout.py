"""Act: sample K responses a prompt, and note what policy, reference and critic say of every token.

Shapes: B prompts, N = B·K responses, R tokens of the longest response. Masks are True where a token is real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from training.lm.generation import Generator, Sampling
from training.lm.logprobs import entropy, token_logprobs, trunk_and_head
from training.lm.trees import Tree, TreeBatch, by_tokens, read

if TYPE_CHECKING:
    from torch import Tensor

    from policy.critic import Critic
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


RewardFunction = Callable[[Sequence[Prompt], Sequence[Sequence[Answer]]], torch.Tensor]
"""Judges the K answers to each of B prompts: (B·K,) rewards, in their order."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was sampled, and what each model says of it.

    logprobs, ref_logprobs, values, response_mask: (N, R); values are of the states before each token.
    end_values (N,): of the states after the last token. finished (N,).
    """

    prompts: list[Prompt]
    answers: list[list[Answer]]
    trees: list[Tree]
    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    end_values: Tensor
    response_mask: Tensor
    finished: Tensor


def roll_out(
    policy: Any,
    reference: Any,
    critic: Critic,
    prompts: Sequence[Prompt],
    *,
    keys: Sequence[str],
    responses_per_prompt: int,
    sampling: Sampling,
    encoder: Encoder,
    micro_batch_tokens: int,
    stop: Callable[[], bool],
) -> Rollout:
    """Sample and measure one rollout. Raises Stopped soon after `stop` says so."""
    sampled = sample(policy, prompts, encoder, keys, responses_per_prompt, sampling, stop=stop)
    trees = [
        Tree(prompt.ids, [response.ids for response in responses])
        for prompt, responses in zip(prompts, sampled, strict=True)
    ]
    flat = [response for responses in sampled for response in responses]
    logprobs = pad_sequence([torch.tensor(response.logprobs) for response in flat], batch_first=True)
    lengths = torch.tensor([len(response.ids) for response in flat])
    R = int(lengths.max())
    ref_logprobs, values = torch.zeros_like(logprobs), torch.zeros_like(logprobs)
    end_values = torch.zeros(len(flat))
    with torch.no_grad():
        for group in by_tokens(enumerate(trees), micro_batch_tokens):
            if stop():
                raise Stopped
            batch = TreeBatch([trees[i] for i in group], device=policy.device)
            rows = rows_of(group, responses_per_prompt)
            width = batch.response_ids.shape[1]
            ref_logprobs[rows, :width] = response_logprobs(reference, batch, sampling.temperature)[0].cpu()
            before, after = critic(batch)
            values[rows, :width], end_values[rows] = before.cpu(), after.cpu()
    return Rollout(
        prompts=list(prompts),
        answers=[[answer_of(response, encoder) for response in responses] for responses in sampled],
        trees=trees,
        logprobs=logprobs,
        ref_logprobs=ref_logprobs,
        values=values,
        end_values=end_values,
        response_mask=torch.arange(R) < lengths.unsqueeze(1),
        finished=torch.tensor([response.finished for response in flat]),
    )


def sample(  # noqa: PLR0917
    policy: Any,
    prompts: Sequence[Prompt],
    encoder: Encoder,
    keys: Sequence[str],
    responses_per_prompt: int,
    sampling: Sampling,
    *,
    stop: Callable[[], bool],
) -> list[list[Response]]:
    """Sample responses to each prompt; raises Stopped soon after `stop` says so."""
    sampled = Generator(policy, end_id=encoder.eos_id, pad_id=encoder.pad_id).generate(
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


def response_logprobs(model: Any, batch: TreeBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each response token and entropy of its distribution, (N, R), 0 where nothing is real.

    The head is applied to the positions that predict a response token, and to no others.
    """
    trunk, head = trunk_and_head(model)
    mask = batch.response_mask
    logits = head(read(trunk, batch)[batch.predicted_at[mask]])
    chosen = token_logprobs(logits, batch.response_ids[mask], temperature)
    with torch.no_grad():
        spread = entropy(logits, temperature)
    empty = torch.zeros(mask.shape, device=mask.device)
    return empty.masked_scatter(mask, chosen), empty.masked_scatter(mask, spread)


def rows_of(tree_numbers: Sequence[int], responses_per_prompt: int) -> Tensor:
    """Rows of (N, ...) tensors that hold the responses of these trees."""
    first = torch.tensor(tree_numbers).unsqueeze(1) * responses_per_prompt
    return (first + torch.arange(responses_per_prompt)).flatten()
