"""One attention for every shape of batch, on unmodified `transformers` backbones.

`transformers` lets an attention function be registered by name and hands it the keyword arguments of the model's
forward. Ours takes a `layout`: an object that knows which tokens see which. So packed conversations, trees of one
prompt and its K responses, and decoding with shared prompt keys all run on the same backbone code, without a mask of
the size of the batch squared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch.nn import functional as F
from transformers import AttentionInterface

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "laurel"


class Layout(Protocol):
    """Who sees whom in one forward pass."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend in decoder layer `layer`.

        query (B, H, T, D); key, value (B, H_kv, T, D), H a multiple of H_kv. Returns (B, H, T, D).
        """
        ...


class OneRow(Layout, Protocol):
    """A layout of one row of tokens: B is 1."""

    def attend_rows(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Attend without heads in front: query (T, H, D); key, value (T, H_kv, D). Returns (T, H, D)."""
        whole = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))
        return self.attend(0, *whole, scaling=scaling, dropout=0.0)[0].transpose(0, 1)


class Row(Protocol):
    """T tokens in one row: ids and position_ids (1, T), and who sees whom."""

    ids: Tensor
    position_ids: Tensor
    layout: Any


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend as `transformers` calls it; without a layout, plainly causal. Returns (B, T, H, D)."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None:
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            dropout_p=dropout,
            is_causal=attention_mask is None and query.shape[-2] > 1,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    else:
        out = layout.attend(int(module.layer_idx), query, key, value, scaling=scale, dropout=dropout)  # type: ignore[arg-type]
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, _attend)
