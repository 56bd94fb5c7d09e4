"""Attention on the processor, segment by segment: a few small matrix products on the tokens where they lie.

Nothing is padded or masked in vain, and softmaxes are kept from the forward pass to the backward one. Kernels made for
long sequences take twice the time here, in bfloat16 up to five times.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from training.lm import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LONGEST = 1024
"""Tokens that one query sees up to which softmaxes are kept whole."""


def suit(query: Tensor, longest: int) -> bool:
    """Whether this is the way to attend, given how many tokens the last query sees."""
    return query.device.type == "cpu" and longest <= LONGEST


class Looks:
    """Who looks at what: tokens lie in segments (texts, or trunks and branches), one after the other.

    queries, keys: lengths of the segments; fewer queries than keys are a segment's last. seen: for each segment of
    queries, the segments of keys that it sees: at most one of which it sees all, and its own last, which it sees up to
    itself.
    """

    def __init__(self, queries: list[int], keys: list[int], seen: list[tuple[int, ...]]) -> None:
        self.queries, self.keys, self.seen = queries, keys, seen
        self._later: dict[torch.dtype, list[Tensor]] = {}

    @cached_property
    def table(self) -> tuple[Tensor, Tensor]:
        """What `kernels.attend` wants to know: who sees whom, a row each, and where those begin that see the same."""
        query_at, key_at = ([0, *accumulate(lengths)] for lengths in (self.queries, self.keys))
        rows, first = [], []
        for number, (count, seen) in enumerate(zip(self.queries, self.seen, strict=True)):
            whole = (key_at[seen[0]], self.keys[seen[0]]) if len(seen) > 1 else (0, 0)
            rows.append([query_at[number], count, *whole, key_at[seen[-1]], self.keys[seen[-1]]])
            if number == 0 or seen[0] != self.seen[number - 1][0]:
                first.append(number)
        return torch.tensor(rows), torch.tensor([*first, len(rows)])

    def later(self, dtype: torch.dtype) -> list[Tensor]:
        """Masks (1, queries, keys) of the segments: 0 on what is seen, -inf on what comes later."""
        if dtype not in self._later:
            sizes = zip(self.queries, (sum(self.keys[i] for i in each) for each in self.seen), strict=True)
            stairs = _staircase(dtype)
            self._later[dtype] = [stairs[:, :q, LONGEST - k + q : LONGEST + q] for q, k in sizes]
        return self._later[dtype]


def attend(query: Tensor, key: Tensor, value: Tensor, looks: Looks, scaling: float) -> Tensor:
    """Attend from one segment after the other: query (Q, H, D) to (Q, H, D); key, value (T, H_kv, D).

    H is a multiple of H_kv; `looks` says which of the T keys each of the Q queries sees.
    """
    if kernels.suit(query, key, value):
        joined: Tensor = _Joined.apply(query, key, value, looks, scaling)  # type: ignore[no-untyped-call]
        return joined
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    out: Tensor = _Each.apply(query * scaling, key, value, looks)  # type: ignore[no-untyped-call]
    return out


class _Joined(torch.autograd.Function):
    """The same by loops of machine code, which compute softmaxes anew in the backward pass instead of keeping them."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, looks: Looks, scaling: float
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.looks, ctx.scaling = looks, scaling
        return kernels.attend((query, key, value), looks.table, scaling)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        found = kernels.attend_backward(ctx.saved_tensors, gradients[0], ctx.looks.table, ctx.scaling)
        return *found, None, None


class _Each(torch.autograd.Function):
    """Softmax attention with its gradient written out; the softmaxes are kept from forward to backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, looks: Looks) -> Tensor:
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
        looks: Looks = ctx.looks
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
