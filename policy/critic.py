"""The value model: one number a token, from a trunk of its own, from adapters on the policy's, or from the policy's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from training.lm import attention, backbone

if TYPE_CHECKING:
    from torch import Tensor

    from training.lm.trees import TreeBatch

Reads = Literal["own", "adapters", "shared"]
"""Whose hidden states: of a trunk of its own, of the policy's with other adapters, or the policy's."""


class Critic(nn.Module):
    """Expects the reward still to come, from the hidden states of the tokens so far."""

    def __init__(self, trunk: Any | None, head: nn.Linear, reads: Reads = "own") -> None:
        super().__init__()
        self.trunk, self.head, self.reads = trunk, head, reads

    @classmethod
    def from_scorer(cls, scorer: Path | Any, device: torch.device | str) -> Critic:
        """Start from a reward model (a folder, or loaded), its head and normalisation included.

        At a last token it then says its reward (Stiennon et al. 2020, 2009.01325, and InstructGPT start it so).
        """
        model: Any = scorer
        if isinstance(scorer, Path):
            model, _ = backbone.load_scorer(scorer, device, dtype=torch.float32)
        model.set_attn_implementation(attention.NAME)
        mean, std = float(model.config.reward_mean), float(model.config.reward_std)
        theirs = backbone.score_head(model)
        head = nn.Linear(theirs.in_features, 1, device=theirs.weight.device)
        with torch.no_grad():
            head.weight.copy_(theirs.weight / std)
            head.bias.copy_((theirs.weight.new_zeros(1) if theirs.bias is None else theirs.bias).sub(mean) / std)
        return cls(model.base_model, head)

    @classmethod
    def from_policy(cls, path: Path, device: torch.device | str) -> Critic:
        """Start from a policy's trunk with a head of zeros (Ziegler et al. 2019, 1909.08593)."""
        model, _ = backbone.load_policy(path, device, dtype=torch.float32)
        model.set_attn_implementation(attention.NAME)
        return cls(model.base_model, _head_of_zeros(model))

    @classmethod
    def on_policy(cls, policy: Any, reads: Literal["adapters", "shared"]) -> Critic:
        """Give the policy's own trunk one more head, of zeros; it reads it as it is, or with adapters of its own."""
        return cls(None, _head_of_zeros(policy), reads)

    def values(self, hidden: Tensor, batch: TreeBatch) -> tuple[Tensor, Tensor]:
        """Values (N, R) of the states before each response token, and (N,) of the states after the last one.

        hidden (M, D): those at `batch.read_at`, from whatever the critic reads. Where no token is real it says 0.
        """
        mask = batch.response_mask
        count = int(mask.sum())
        read = torch.cat([hidden[batch.before_each[mask]], hidden[batch.after_last]])
        said = self.head(read.float()).squeeze(-1)
        before = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, said[:count])
        return before, said[count:]


def _head_of_zeros(model: Any) -> nn.Linear:
    head = nn.Linear(model.get_input_embeddings().embedding_dim, 1, device=model.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
