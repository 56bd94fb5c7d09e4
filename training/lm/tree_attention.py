"""Attention over trees that lie end to end: trunks see themselves, branches their trunk and themselves."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    Span = tuple[int, int]

LONGEST = 1024
"""Tokens of a trunk with its longest branch up to which the processor keeps softmaxes whole."""


class TreeLayout:
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
        if query.device.type == "cpu" and not dropout and self.longest <= LONGEST:
            asked, known, said = (x[0].transpose(0, 1) for x in (query, key, value))
            return _each(asked, known, said, self._everywhere, scaling).transpose(0, 1).unsqueeze(0)
        return self._attend_padded(query, key, value, scaling, dropout)

    def attend_rows(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Attend without heads in front: query (T, H, D); key, value (T, H_kv, D). Returns (T, H, D)."""
        whole = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))
        return self.attend(0, *whole, scaling=scaling, dropout=0.0)[0].transpose(0, 1)

    def attend_ends(self, query: Tensor, key: Tensor, value: Tensor, *, scaling: float) -> Tensor:
        """Attend from the last token of each branch only: query (N, H, D), key and value as in `attend_rows`."""
        if query.device.type == "cpu" and self.longest <= LONGEST:
            return _each(query, key, value, self._at_ends, scaling)
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
    def _everywhere(self) -> _Looks:
        """Every trunk and branch looking at what is before it."""
        lengths: list[int] = []
        seen: list[tuple[int, ...]] = []
        for (start, end), branches in self.spans:
            trunk = len(lengths)
            lengths += [end - start, *(last - first for first, last in branches)]
            seen += [(trunk,), *((trunk, number) for number in range(trunk + 1, len(lengths)))]
        return _Looks(lengths, lengths, seen)

    @cached_property
    def _at_ends(self) -> _Looks:
        """One query a branch, looking at all of it and its trunk."""
        everywhere = self._everywhere
        seen = [each for each in everywhere.seen if len(each) > 1]
        return _Looks([1] * len(seen), everywhere.keys, seen)

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


class _Looks:
    """Who looks at what: tokens lie in segments, trunks and branches, one after the other.

    queries, keys: lengths of the segments. seen: for each segment of queries, the segments of keys that it sees, its
    own last.
    """

    def __init__(self, queries: list[int], keys: list[int], seen: list[tuple[int, ...]]) -> None:
        self.queries, self.keys, self.seen = queries, keys, seen
        self._later: dict[torch.dtype, list[Tensor]] = {}

    def later(self, dtype: torch.dtype) -> list[Tensor]:
        """Masks (1, queries, keys) of the segments: 0 on what is seen, -inf on what comes later."""
        if dtype not in self._later:
            sizes = zip(self.queries, (sum(self.keys[i] for i in each) for each in self.seen), strict=True)
            stairs = _staircase(dtype)
            self._later[dtype] = [stairs[:, :q, LONGEST - k + q : LONGEST + q] for q, k in sizes]
        return self._later[dtype]


def _each(query: Tensor, key: Tensor, value: Tensor, looks: _Looks, scaling: float) -> Tensor:
    """Attend on the processor, one trunk and one branch after the other: query (Q, H, D) to (Q, H, D).

    Each is a few small matrix products on the tokens where they lie, so nothing is padded or masked in vain; kernels
    made for long sequences take twice the time here. key, value: (T, H_kv, D).
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    out: Tensor = _Each.apply(query * scaling, key, value, looks)  # type: ignore[no-untyped-call]
    return out


class _Each(torch.autograd.Function):
    """Softmax attention with its gradient written out; the softmaxes are kept from forward to backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, looks: _Looks) -> Tensor:
        queries = torch.split(query.transpose(0, 1), looks.queries, 1)
        keys, values = (torch.split(x.transpose(0, 1), looks.keys, 1) for x in (key, value))
        out: list[Tensor] = []
        kept: list[Tensor] = []
        for asked, later, seen in zip(queries, looks.later(query.dtype), looks.seen, strict=True):
            before, said = _joined(keys, seen), _joined(values, seen)
            weights = torch.baddbmm(later, asked, before.transpose(1, 2)).softmax(-1)
            out.append(torch.bmm(weights, said).transpose(0, 1))
            kept += [before, said, weights]
        ctx.save_for_backward(query, *kept)
        ctx.looks = looks
        return torch.cat(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        query, *kept = ctx.saved_tensors
        looks: _Looks = ctx.looks
        queries, slopes = (
            torch.split(x.transpose(0, 1), looks.queries, 1) for x in (query, gradients[0].to(query.dtype))
        )
        of_query: list[Tensor] = []
        of_keys: list[Tensor | None] = [None] * len(looks.keys)
        of_values: list[Tensor | None] = [None] * len(looks.keys)
        for number, (asked, slope, seen) in enumerate(zip(queries, slopes, looks.seen, strict=True)):
            # Autocast made the softmax float32, and does not reach this pass, which wants one dtype.
            before, said, weights = (part.to(query.dtype) for part in kept[3 * number : 3 * number + 3])
            of_weights = torch.bmm(slope, said.transpose(1, 2))
            of_logits = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)  # noqa: SLF001
            of_query.append(torch.bmm(of_logits, before).transpose(0, 1))
            _add(of_keys, seen, torch.bmm(of_logits.transpose(1, 2), asked), looks.keys)
            _add(of_values, seen, torch.bmm(weights.transpose(1, 2), slope), looks.keys)
        return torch.cat(of_query), _row(of_keys), _row(of_values), None


def _joined(parts: Sequence[Tensor], seen: tuple[int, ...]) -> Tensor:
    """Some segments (H, ·, D), one after the other."""
    return parts[seen[0]] if len(seen) == 1 else torch.cat([parts[i] for i in seen], 1)


def _add(totals: list[Tensor | None], seen: tuple[int, ...], rows: Tensor, lengths: list[int]) -> None:
    """Add the gradient of what `_joined` gave to the totals of its segments."""
    parts = [rows] if len(seen) == 1 else torch.split(rows, [lengths[i] for i in seen], 1)
    for number, part in zip(seen, parts, strict=True):
        total = totals[number]
        totals[number] = part if total is None else total.add_(part)


def _row(parts: Sequence[Tensor | None]) -> Tensor:
    """Segments (H, ·, D) as one row (T, H, D)."""
    return torch.cat([part.transpose(0, 1) for part in parts if part is not None])


@lru_cache(maxsize=4)
def _staircase(dtype: torch.dtype) -> Tensor:
    """(1, L, 2 L) of which every causal mask is a corner: row i sees the first L + i + 1 columns."""
    later = torch.full((LONGEST, LONGEST), -torch.inf, dtype=dtype).triu(1)
    return torch.cat([torch.zeros_like(later), later], dim=1).unsqueeze(0)


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
