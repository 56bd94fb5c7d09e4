"""Reductions over what is real. Every mask is True on real entries; nothing behind a False can reach a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class EmptyMask(ValueError):  # noqa: N818 - named for what is wrong
    """A reduction over nothing has no answer."""

    code = "empty_mask"

    def __init__(self) -> None:
        super().__init__("the mask is False everywhere: there is nothing to reduce over")


def masked_sum(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Sum of x where mask is True, over everything or over one dimension; NaN behind the mask is not seen."""
    kept = x.masked_fill(~mask, 0)
    return kept.sum() if dim is None else kept.sum(dim)


def masked_mean(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean of x where mask is True. Refuses an empty mask (along `dim`: an empty row) rather than returning NaN."""
    count = mask.expand_as(x).sum() if dim is None else mask.expand_as(x).sum(dim)
    if bool((count == 0).any()):
        raise EmptyMask
    return masked_sum(x, mask, dim) / count


def masked_var(x: Tensor, mask: Tensor) -> Tensor:
    """Population variance of x where mask is True (divided by n, as in the PPO papers)."""
    return masked_mean((x - masked_mean(x, mask)) ** 2, mask)


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True, eps: float = 1e-8) -> Tensor:
    """Scale x to variance 1 where mask is True, and shift its mean to 0 unless `shift_mean` is False; 0 elsewhere.

    With shift_mean=False the mean of x is what it was: only the spread around it is scaled.
    """
    mean = masked_mean(x, mask)
    white = (x - mean) * (masked_var(x, mask) + eps).rsqrt()
    if not shift_mean:
        white = white + mean
    return white.masked_fill(~mask, 0)
