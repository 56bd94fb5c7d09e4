"""PPO's losses and its adaptive KL coefficient, as pure functions of tensors.

Sources: the clipped objective is Schulman et al. 2017 (1707.06347, eq. 7); the clipped value loss and the adaptive
coefficient are those of Ziegler et al. 2019 (1909.08593, §2.2) and its released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from training.lm.logprobs import weigh_

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1024
"""Rows of logits that exist at once."""


def policy_losses(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """max(-A·ratio, -A·clip(ratio, 1 ± ε)) per token, in the shape of the arguments."""
    ratio = (logprobs - old_logprobs).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """½·max((V - R)², (clip(V, V_old ± ε) - R)²) per token, in the shape of the arguments."""
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())


def adapted_kl_coef(kl_coef: float, kl: float, *, target: float, horizon: int, responses: int) -> float:
    """β·(1 + clip(KL/target - 1, ±0.2)·n/horizon) after a rollout of n responses with that KL a response."""
    error = min(max(kl / target - 1, -0.2), 0.2)
    return kl_coef * (1 + error * responses / horizon)


def head_logprobs(
    hidden: Tensor, head: Any, targets: Tensor, temperature: float, *, early: Tensor | None = None, end_id: int = 0
) -> Tensor:
    """Log-probability of each target under head(hidden) / temperature, without a gradient: (n, D), (n,) to (n,).

    Rows where early (n,) is True cannot say `end_id`: theirs is the distribution over everything else.
    """
    weight, bias = head.weight.detach(), None if head.bias is None else head.bias.detach()
    found = torch.empty(len(targets), device=hidden.device)
    for start in range(0, len(targets), CHUNK):
        rows = slice(start, start + CHUNK)
        logits = _logits(hidden[rows].detach(), weight, bias)
        found[rows], _ = weigh_(
            logits, targets[rows], temperature=temperature, early=None if early is None else early[rows], end_id=end_id
        )
    return found


def head_policy_loss(
    hidden: Tensor,
    head: Any,
    targets: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    *,
    clip_range: float,
    temperature: float,
    early: Tensor | None = None,
    end_id: int = 0,
) -> tuple[Tensor, Tensor]:
    """Sum of `policy_losses` of the targets under head(hidden) / temperature, and their log-probabilities.

    hidden (n, D); the others (n,); `early` as in `head_logprobs`. The log-probabilities carry no gradient. The gradient
    of the sum is found in the forward pass, chunk by chunk, so the logits are computed once and no more than CHUNK rows
    of them exist.
    """
    total, logprobs = _HeadPolicyLoss.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, targets, old_logprobs, advantages, clip_range, temperature, early, end_id
    )
    return total, logprobs


class _HeadPolicyLoss(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        old_logprobs: Tensor,
        advantages: Tensor,
        clip_range: float,
        temperature: float,
        early: Tensor | None,
        end_id: int,
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        total = torch.zeros((), device=hidden.device)
        logprobs = torch.empty(len(targets), device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wants_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants_bias else None
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            part = hidden[rows].detach()
            weights = _logits(part, weight.detach(), None if bias is None else bias.detach())
            now, sums = weigh_(
                weights,
                targets[rows],
                temperature=temperature,
                early=None if early is None else early[rows],
                end_id=end_id,
            )
            logprobs[rows] = now
            losses = policy_losses(now, old_logprobs[rows], advantages[rows], clip_range)
            total += losses.sum()
            if not (wants_hidden or wants_weight or wants_bias):
                continue
            # Where the clipped branch is larger it is a constant; elsewhere d(-A·ratio)/d log π = -A·ratio = the loss.
            plain = -advantages[rows] * (now - old_logprobs[rows]).exp()
            slope_of_logprob = torch.where(losses > plain, 0.0, plain) / temperature
            slope = weights.mul_((-slope_of_logprob / sums).unsqueeze(-1))
            slope.scatter_add_(-1, targets[rows].unsqueeze(-1), slope_of_logprob.unsqueeze(-1))
            if d_bias is not None:
                d_bias += slope.sum(0)
            slope = slope.to(part.dtype)
            if d_hidden is not None:
                d_hidden[rows] = slope @ weight.detach().to(part.dtype)
            if d_weight is not None:
                d_weight += (slope.T @ part).float()
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = (weight.dtype, None if bias is None else bias.dtype)
        ctx.mark_non_differentiable(logprobs)
        return total, logprobs

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        slope = slopes[0]
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        return (
            None if d_hidden is None else d_hidden * slope.to(d_hidden.dtype),
            None if d_weight is None else (d_weight * slope).to(weight_dtype),
            None if d_bias is None else (d_bias * slope).to(bias_dtype),
            *[None] * 7,
        )


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Give head(hidden) in float32, multiplied in the dtype of the hidden states; a tensor of its own."""
    logits = (hidden @ weight.to(hidden.dtype).T).float()
    return logits if bias is None else logits.add_(bias.float())
