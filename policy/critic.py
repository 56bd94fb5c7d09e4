"""The value model: a trunk and one number a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from training.lm import attention, backbone
from training.lm.trees import read

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from training.lm.trees import TreeBatch


class Critic(nn.Module):
    """Expects the reward still to come, from the tokens so far."""

    def __init__(self, trunk: Any, head: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    @classmethod
    def from_scorer(cls, path: Path, device: torch.device | str) -> Critic:
        """Start from a reward model, its head and normalisation included: at a last token it says its reward.

        (Stiennon et al. 2020, 2009.01325, and InstructGPT start the value model so.)
        """
        model, _ = backbone.load_scorer(path)
        model.to(device).set_attn_implementation(attention.NAME)
        mean, std = float(model.config.reward_mean), float(model.config.reward_std)
        head = nn.Linear(model.score.in_features, 1, device=device)
        with torch.no_grad():
            head.weight.copy_(model.score.weight / std)
            head.bias.fill_(-mean / std)
        return cls(model.base_model, head)

    @classmethod
    def from_policy(cls, path: Path, device: torch.device | str) -> Critic:
        """Start from a policy's trunk with a head of zeros (Ziegler et al. 2019, 1909.08593)."""
        model, _ = backbone.load_policy(path)
        model.to(device).set_attn_implementation(attention.NAME)
        head = nn.Linear(model.get_input_embeddings().embedding_dim, 1, device=device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return cls(model.base_model, head)

    def forward(self, batch: TreeBatch) -> tuple[Tensor, Tensor]:
        """Values (N, R) of the states before each response token, and (N,) of the states after the last one."""
        values = self.head(read(self.trunk, batch)).squeeze(-1)
        return values[batch.predicted_at].masked_fill(~batch.response_mask, 0.0), values[batch.last_at]
