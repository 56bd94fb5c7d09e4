"""The reward model as it is trained: one backbone, its main head, and an ensemble of small heads beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.lm import backbone, trees
from training.lm.blocks import last_states

if TYPE_CHECKING:
    from rewardmodel.heads import Heads
    from training.lm.trees import TreeBatch

ONE_FORWARD_EACH = (
    "{name} cannot read a prompt and its responses as one tree, so each response is computed by itself, its prompt "
    "with it."
)


class Scales(nn.Module):
    """Scores the responses of a batch of trees in one pass, each token computed once where the backbone can.

    model: an `AutoModelForSequenceClassification` with one label. heads: the ensemble, if there is one.
    """

    def __init__(self, model: Any, heads: Heads | None = None) -> None:
        super().__init__()
        self.model, self.heads = model, heads
        self._head = (backbone.score_head(model),)  # in a tuple, or it would be a part of this module twice
        self.shares_prompts = trees.adopt(model)

    @property
    def caveat(self) -> str | None:
        """What a person should be told of this backbone, once."""
        return None if self.shares_prompts else ONE_FORWARD_EACH.format(name=type(self.model).__name__)

    def forward(self, batch: TreeBatch) -> tuple[Tensor, Tensor | None]:
        """Raw logits (N,), and those of the ensemble's members (H, N), each read at the response's last token."""
        states = self._states(batch)
        scores = _exactly(self._head[0], states)
        return scores, None if self.heads is None else self.heads(states, scores)

    def _states(self, batch: TreeBatch) -> Tensor:
        """What the score is read from, (N, D)."""
        if self.shares_prompts:
            return last_states(self.model.base_model, batch)
        ids, mask = batch.sequences(self.model.config.pad_token_id)
        seen: list[Tensor] = []
        hook = self._head[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            self.model(input_ids=ids, attention_mask=mask.long())
        finally:
            hook.remove()
        states = seen[0]
        if states.dim() == 2:  # an encoder has pooled them
            return states
        return states.gather(1, (mask.sum(1) - 1).view(-1, 1, 1).expand(-1, 1, states.shape[-1])).squeeze(1)


def _exactly(head: nn.Linear, states: Tensor) -> Tensor:
    """Scores (N,) of states (N, D) in float32 whatever the backbone computes in.

    In bfloat16 a score of 4 and more would come in steps of 1/32 and more, and so would every difference of two.
    """
    with torch.autocast(states.device.type, enabled=False):
        bias = None if head.bias is None else head.bias.float()
        return F.linear(states.float(), head.weight.float(), bias).squeeze(-1)
