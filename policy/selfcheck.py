"""What must hold before PPO's first update, and, where it does not, the likeliest cause by name.

At first policy and reference are one model, so every ratio is 1 and every KL is 0; and a critic that was started from
the reward model says the reward at a response's last token. A set-up in which this fails trains on noise for hours
before anybody sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from policy.advantages import last_token
from policy.rollout import rows_of
from training.lm.trees import TreeBatch, by_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from policy.config import PPOConfig
    from policy.rollout import Rollout, Verdict
    from policy.team import Team

TOLERANCE = 1e-3
"""Nats of a token's log-probability in float32; healthy runs show some 1e-5."""
HALF_TOLERANCE = 0.05
"""The same in bfloat16, for the mean over tokens: its rounding depends on what shares a batch."""
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.5, 2.0)


class SelfCheckFailed(ValueError):  # noqa: N818 - named for what happened
    """What must hold before the first update does not; the message names the cause."""

    code = "self_check_failed"


def self_check(
    team: Team, rollout: Rollout, verdict: Verdict, config: PPOConfig, *, critic_is_reward: bool
) -> dict[str, float]:
    """Refuse to start when ends are wrong, the first ratio is not 1, the first KL not 0, or the critic does not know.

    `critic_is_reward`: the critic was started from the first judge. Returns what was measured.
    """
    _check_ends(team, rollout)
    mask = rollout.response_mask
    tolerance, size = (HALF_TOLERANCE, _mean) if team.is_half else (TOLERANCE, _largest)
    again = _logprobs(team, rollout, config, config.temperature)
    gap = size((again - rollout.logprobs)[mask])
    drawn = size((again - rollout.sampled_logprobs)[mask])
    if not max(gap, drawn) <= tolerance:
        raise SelfCheckFailed(
            f"before any update, log-probabilities in training differ by {max(gap, drawn):.2g} from those in sampling, "
            f"so ratios would not start at 1: {_why_sampling(team, rollout, config, again, tolerance)}"
        )
    kl = size((again - rollout.ref_logprobs)[mask])
    if not kl <= tolerance:
        raise SelfCheckFailed(
            f"before any update, policy and reference differ by {kl:.2g} on a token's log-probability, so the KL would "
            f"not start at 0: {_why_reference(team)}"
        )
    figures = {"sampler_gap": _largest((again - rollout.sampled_logprobs)[mask]), "first_kl": kl}
    if critic_is_reward:
        told = verdict.votes[0]
        off = size((rollout.end_values - told) / (1 + told.abs()))
        if not off <= tolerance:
            raise SelfCheckFailed(
                f"before any update, the critic's value at the last token is off by {off:.2g} from the reward that it "
                f"was started from: {_why_critic(team, rollout, told)}"
            )
        figures["first_value_error"] = off
    return figures


def _check_ends(team: Team, rollout: Rollout) -> None:
    """The end token must end a response and stand nowhere else, and padding is no part of what is learnt."""
    eos, pad = team.encoder.eos_id, team.encoder.pad_id
    for row in rollout.answers:
        for answer in row:
            if eos in answer.ids[:-1]:
                raise SelfCheckFailed(
                    f"a response goes on after its end token ({eos}), so what follows the end would be learnt: the "
                    "sampler stops at another token than the tokenizer's eos_token"
                )
            if answer.finished != (answer.ids[-1] == eos):
                raise SelfCheckFailed(
                    f"a response is said to have {'ended' if answer.finished else 'been cut off'}, but its last token "
                    f"is {answer.ids[-1]} and the end token {eos}: the sampler's end token is not the tokenizer's"
                )
    padded = [answer for row in rollout.answers for answer in row if pad in answer.ids]
    if 2 * len(padded) > sum(map(len, rollout.answers)):
        raise SelfCheckFailed(
            f"most responses hold the pad token ({pad}), which no text has: padding was taken for what was written"
        )


def _logprobs(team: Team, rollout: Rollout, config: PPOConfig, temperature: float) -> Tensor:
    """Log-probabilities (N, R) of the responses as an update computes them."""
    found = torch.zeros_like(rollout.logprobs)
    with torch.no_grad():
        for group in by_tokens(enumerate(rollout.trees), config.micro_batch_tokens):
            batch = TreeBatch([rollout.trees[i] for i in group], device=team.device)
            said = team.policy_logprobs(batch, team.policy_hidden(batch), temperature)
            found[rows_of(group, config.responses_per_prompt), : said.shape[1]] = said.cpu()
    return found


def _why_sampling(  # noqa: PLR0911 - one return for each cause
    team: Team, rollout: Rollout, config: PPOConfig, again: Tensor, tolerance: float
) -> str:
    mask, sampled = rollout.response_mask, rollout.sampled_logprobs
    dropping = _dropout(team.policy)
    if dropping:
        return f"dropout is on ({dropping}); PPO needs it off everywhere"
    if not _largest((_logprobs(team, rollout, config, config.temperature) - again)[mask]) <= tolerance / 10:
        return "the policy says something else each time it is asked the same: it draws random numbers in its forward"
    if not bool(torch.isfinite(again[mask]).all()):
        return "the policy's log-probabilities are not finite numbers: its weights are damaged, or overflow"
    for temperature in (*TEMPERATURES, config.temperature**2):
        if _mean((_logprobs(team, rollout, config, temperature) - sampled)[mask]) <= tolerance:
            return (
                f"responses were drawn at temperature {temperature:g} and are learnt at {config.temperature:g}; "
                "logits must be divided by the same number in both"
            )
    higher = (sampled - again)[mask]
    if float(higher.min()) >= -tolerance:
        return (
            "the sampler's probabilities are all as high or higher: it cuts off unlikely tokens (top_k, top_p) and "
            "shares their probability out, which the trainer does not"
        )
    lengths = torch.tensor([len(tree.prompt) for tree in rollout.trees]).repeat_interleave(config.responses_per_prompt)
    off = (((sampled - again).abs() > tolerance) & mask).any(-1)
    if bool((lengths == lengths.max()).any()) and not bool(off[lengths == lengths.max()].any()):
        return (
            "only prompts that are shorter than the longest are off: padding reaches what is computed (padding side, "
            "position ids or attention mask)"
        )
    if any(parameter.dtype != torch.float32 for parameter in team.policy.parameters()) and not team.is_half:
        return "the policy's weights are in half precision while products are said to run in float32"
    return "something in the model acts differently in the two (a logits processor, another attention, another engine)"


def _why_reference(team: Team) -> str:
    if team.reference is None:
        return "the adapters do not start at zero, so the policy without them is another model"
    dropping = _dropout(team.reference)
    if dropping:
        return f"dropout is on in the reference ({dropping})"
    own = dict(team.policy.named_parameters())
    for name, parameter in team.reference.named_parameters():
        if name not in own or own[name].shape != parameter.shape:
            return f"they are different models ({name} is not in both)"
        if own[name].dtype != parameter.dtype:
            return f"they are in different precisions ({own[name].dtype} and {parameter.dtype})"
        if not torch.equal(own[name], parameter):
            return f"they are not the same checkpoint ({name} differs)"
    return "they have the same weights, so they were asked differently: another temperature, position or attention"


def _why_critic(team: Team, rollout: Rollout, told: Tensor) -> str:
    if not bool(torch.isfinite(told).all()):
        return "the reward is not a finite number"
    before_end = rollout.values.gather(1, last_token(rollout.response_mask).unsqueeze(1)).squeeze(1)
    if _largest((before_end - told) / (1 + told.abs())) <= TOLERANCE:
        return (
            "the reward is read one token early: the end token is left out of what is scored, or taken for padding "
            "because pad and end are the same token"
        )
    mine = rollout.end_values.double()
    design = torch.stack([mine, torch.ones_like(mine)], 1)
    slope, shift = torch.linalg.lstsq(design, told.double().unsqueeze(1)).solution.flatten().tolist()
    if len(told) > 2 and _largest(slope * mine + shift - told) <= 10 * TOLERANCE * (1 + _largest(told)):
        return f"they differ in their normalisation (reward = {slope:.3g} · value + {shift:.3g})"
    encoder = team.encoder
    for row in rollout.answers:
        for answer in row:
            if tuple(encoder.response_ids(answer.text, end=answer.finished)) != answer.ids:
                return (
                    "the reward model is given text that is encoded anew, which gives other tokens than the policy "
                    "wrote: a critic that starts from it needs the same tokens"
                )
    return "the reward model reads another prompt, another chat template, or is another checkpoint"


def _dropout(model: Any) -> str:
    """The first place where the model drops something in its present mode, or nothing."""
    for name, module in model.named_modules():
        p = module.p if isinstance(module, torch.nn.Dropout) else getattr(module, "attention_dropout", 0.0)
        if module.training and isinstance(p, float) and p > 0:
            return f"p = {p:g} in {name or type(module).__name__}"
    return ""


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _mean(x: Tensor) -> float:
    return float(x.abs().mean())
