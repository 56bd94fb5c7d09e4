"""From a score per response to an advantage per token, in the order of the papers.

Shapes: B responses, R response tokens. Masks are True where a token is real. Everything here is a pure function.
Sources: the per-token KL penalty is Ziegler et al. 2019 (1909.08593, §2) and InstructGPT (2203.02155, §3.5); GAE is
Schulman et al. 2015 (1506.02438, eq. 16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def last_token(response_mask: Tensor) -> Tensor:
    """Index (B,) of the last real token of each response of a (B, R) mask. An empty response is an error."""
    count = response_mask.sum(-1)
    if bool((count == 0).any()):
        raise ValueError("a response without tokens has no last token: every response needs at least its end token")
    return count - 1


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Give log π - log π_ref per token: an unbiased estimate of KL(π‖π_ref) that may be negative on one sample."""
    return logprobs - ref_logprobs


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """(r - 1) - log r with r = π_ref/π per token: the same expectation, never negative (Schulman 2020)."""
    log_ratio = ref_logprobs - logprobs
    return torch.expm1(log_ratio) - log_ratio


def token_rewards(
    scores: Tensor, logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor, kl_coef: float
) -> Tensor:
    """-β·(log π - log π_ref) on every real token, and the score once, on the last one. (B, R).

    scores (B,); logprobs, ref_logprobs, response_mask (B, R). Tokens that are not real get exactly 0.
    """
    penalty = -kl_coef * kl_k1(logprobs, ref_logprobs)
    rewards = penalty.masked_fill(~response_mask, 0.0)
    end = last_token(response_mask).unsqueeze(-1)
    return rewards.scatter_add(-1, end, scores.to(rewards).unsqueeze(-1))


def gae(rewards: Tensor, values: Tensor, response_mask: Tensor, *, gamma: float, gae_lambda: float) -> Tensor:
    """Generalised advantage estimates (B, R): the sum over l of (gamma·λ)^l δ_{t+l}.

    δ_t = r_t + gamma·V_{t+1} - V_t. The episode ends at the last real token: nothing is bootstrapped past it, and
    tokens that are not real get 0.
    """
    values = values.masked_fill(~response_mask, 0.0)
    next_values = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=-1)
    delta = (rewards + gamma * next_values - values).masked_fill(~response_mask, 0.0)
    advantages = torch.zeros_like(delta)
    running = torch.zeros_like(delta[:, 0])
    for t in range(delta.shape[1] - 1, -1, -1):
        running = delta[:, t] + gamma * gae_lambda * running
        advantages[:, t] = running
    return advantages.masked_fill(~response_mask, 0.0)
