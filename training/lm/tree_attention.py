"""Attention over trees that lie end to end: trunks see themselves, branches their trunk and themselves."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from training.lm import segments
from training.lm.attention import OneRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    Span = tuple[int, int]


class TreeLayout(OneRow):
    """Who sees whom in a row of trees.

    spans: for each tree the tokens (start, end) of its trunk, and those of each branch. prompt_at (B, P), response_at
    (N, R): where the tokens of trunks and branches lie in the row, and masks of their shapes. tree_of (N,).
    """

    def __init__(
        self,
        spans: Sequence[tuple[Span, Sequence[Span]]],
        places: tuple[Tensor, Tensor, Tensor, Tensor],
        tree_of: Tensor,
    ) -> None:
        self.spans, self.tree_of = spans, tree_of
        self.prompt_at, self.prompt_mask, self.response_at, self.response_mask = places
        self.longest = int(self.prompt_at.shape[1] + self.response_at.shape[1])

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend: query (1, H, T, D); key, value (1, H_kv, T, D). Returns (1, H, T, D)."""
        del layer
        if segments.suit(query, self.longest) and not dropout:
            asked, known, said = (x[0].transpose(0, 1) for x in (query, key, value))
            return segments.attend(asked, known, said, self._everywhere, scaling).transpose(0, 1).unsqueeze(0)
        return self._attend_padded(query, key, value, scaling, dropout)

    @property
    def prunes(self) -> bool:
        """Whether attention from some tokens only, the trunks' last and those of branches, is to be had here."""
        return segments.suit(self.tree_of, self.longest)

    def attend_responses(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Attend from each trunk's last token and from every token of branches, in their order: query (M, H, D)."""
        return segments.attend(query, key, value, self._at_responses, scaling)

    def attend_ends(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Attend from the last token of each branch only: query (N, H, D), key and value as in `attend_rows`."""
        if segments.suit(query, self.longest):
            return segments.attend(query, key, value, self._at_ends, scaling)
        at = torch.cat([self.prompt_at[self.tree_of], self.response_at], dim=1)
        seen = torch.cat([self.prompt_mask[self.tree_of], self.response_mask], dim=1)
        keys, values = (x[at].transpose(1, 2) for x in (key, value))
        out = F.scaled_dot_product_attention(
            query.unsqueeze(2),
            keys,
            values,
            attn_mask=seen[:, None, None],
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out.squeeze(2)

    @cached_property
    def _everywhere(self) -> segments.Looks:
        """Every trunk and branch looking at what is before it."""
        lengths: list[int] = []
        seen: list[tuple[int, ...]] = []
        for (start, end), branches in self.spans:
            trunk = len(lengths)
            lengths += [end - start, *(last - first for first, last in branches)]
            seen += [(trunk,), *((trunk, number) for number in range(trunk + 1, len(lengths)))]
        return segments.Looks(list(lengths), list(lengths), seen)

    @cached_property
    def _at_ends(self) -> segments.Looks:
        """One query a branch, looking at all of it and its trunk."""
        everywhere = self._everywhere
        seen = [each for each in everywhere.seen if len(each) > 1]
        return segments.Looks([1] * len(seen), everywhere.keys, seen)

    @cached_property
    def _at_responses(self) -> segments.Looks:
        """One query a trunk, at its end, and all of the branches'."""
        everywhere = self._everywhere
        lengths = [
            1 if len(each) == 1 else length for each, length in zip(everywhere.seen, everywhere.queries, strict=True)
        ]
        return segments.Looks(lengths, everywhere.keys, everywhere.seen)

    def _attend_padded(self, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """Attend with two calls of a kernel, on operands that are padded to one length."""
        gqa = query.shape[1] != key.shape[1]
        trunk_key, trunk_value = _take(key, self.prompt_at), _take(value, self.prompt_at)
        trunks = F.scaled_dot_product_attention(
            _take(query, self.prompt_at),
            trunk_key,
            trunk_value,
            is_causal=True,  # a trunk's real tokens come first, so none of them sees the padding
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=gqa,
        )
        branches = F.scaled_dot_product_attention(
            _take(query, self.response_at),
            torch.cat([trunk_key[self.tree_of], _take(key, self.response_at)], dim=2),
            torch.cat([trunk_value[self.tree_of], _take(value, self.response_at)], dim=2),
            attn_mask=self._branch_mask,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=gqa,
        )
        H, D = query.shape[1], query.shape[3]
        flat = torch.cat([trunks.transpose(1, 2).reshape(-1, H, D), branches.transpose(1, 2).reshape(-1, H, D)])
        return flat.index_select(0, self._back).transpose(0, 1).unsqueeze(0)

    @cached_property
    def _branch_mask(self) -> Tensor:
        """(N, 1, R, P + R), True where a branch's token sees a token of its trunk or of itself."""
        R = self.response_at.shape[1]
        causal = torch.ones(R, R, dtype=torch.bool, device=self.tree_of.device).tril()
        to_trunk = self.prompt_mask[self.tree_of].unsqueeze(1).expand(-1, R, -1)
        return torch.cat([to_trunk, causal.expand(len(self.tree_of), -1, -1)], dim=-1).unsqueeze(1)

    @cached_property
    def _back(self) -> Tensor:
        """(T,) for each token of the row, its place among the padded trunks followed by the padded branches."""
        at = torch.cat([self.prompt_at.flatten(), self.response_at.flatten()])
        real = torch.cat([self.prompt_mask.flatten(), self.response_mask.flatten()])
        back = torch.empty(int(real.sum()), dtype=torch.int64, device=at.device)
        back[at[real]] = torch.arange(len(at), device=at.device)[real]
        return back


def places(segments: Sequence[Span], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Where the tokens of segments (start, end) lie: (n, longest) indices, padded with the start, and their mask."""
    start = torch.tensor([s for s, _ in segments], device=device).unsqueeze(1)
    end = torch.tensor([e for _, e in segments], device=device).unsqueeze(1)
    steps = torch.arange(int((end - start).max()), device=device).unsqueeze(0)
    mask = steps < end - start
    return torch.where(mask, start + steps, start), mask


def _take(x: Tensor, at: Tensor) -> Tensor:
    """(1, H, T, D) at (n, L) -> (n, H, L, D)."""
    rows = x[0].transpose(0, 1).index_select(0, at.flatten())
    return rows.view(*at.shape, *rows.shape[1:]).transpose(1, 2)
