"""PPO's two losses and its adaptive KL coefficient, as pure functions of tensors.

Sources: the clipped objective is Schulman et al. 2017 (1707.06347, eq. 7); the clipped value loss and the adaptive
coefficient are those of Ziegler et al. 2019 (1909.08593, §2.2) and its released code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


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
