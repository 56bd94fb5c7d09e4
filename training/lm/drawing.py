"""Drawing a token a row from logits: one uniform number a token, from a stream that only its name decides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

from training.lm import kernels

if TYPE_CHECKING:
    from torch import Tensor

    from training.lm.generation import Sampling

BLOCK = 128
"""Tokens that are summed together before the distribution function is searched."""
BELOW_ONE = 1 - 2**-40
"""Keeps a rounded threshold below the mass that it is a share of."""


class Drawn(NamedTuple):
    """A token a row, and what is told of it: N rows, A alternatives (`Sampling.alternatives`)."""

    tokens: Tensor
    """(N,) int64."""
    logprobs: Tensor
    """(N,): their log-probabilities."""
    likeliest: Tensor
    """(N, A) int64: the tokens that were likeliest in their places, the likeliest first."""
    likeliest_logprobs: Tensor
    """(N, A): their log-probabilities; -inf where one cannot come."""


def stream(seed: int, prompt_key: str, k: int, length: int) -> Tensor:
    """Draw the `length` uniform numbers that response k of this prompt will use, one a token. (length,) float64."""
    digest = hashlib.sha256(f"{seed}\x1f{prompt_key}\x1f{k}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.rand(length, generator=generator, dtype=torch.float64)


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling, *, early: Tensor | None = None, end_id: int = 0) -> Drawn:
    """Draw one token a row by inverting the distribution function at `uniform`; float32 logits are overwritten.

    logits (N, V), uniform (N,) in [0, 1); rows where early (N,) is True cannot draw `end_id`. Log-probabilities
    are those at the sampling temperature, of the distribution without an end where it cannot come yet, and before
    anything was truncated.
    """
    weights = logits.float()
    if kernels.suit(weights) and sampling.temperature > 0 and sampling.top_p == 1:
        drawn = kernels.draw_(
            weights, uniform, early=early, end_id=end_id, temperature=sampling.temperature, top_k=sampling.top_k
        )
        token, total = (each.unsqueeze(-1) for each in drawn)
    else:
        token, total = _draw(weights, uniform, sampling, early, end_id)
    logprobs = (weights.gather(-1, token) / total).log_().squeeze(-1)
    if not sampling.alternatives:
        return Drawn(token.squeeze(-1), logprobs, token[:, :0], weights[:, :0])
    best, likeliest = weights.topk(min(sampling.alternatives, weights.shape[-1]), dim=-1)
    return Drawn(token.squeeze(-1), logprobs, likeliest, (best / total).log_())


def _draw(
    weights: Tensor, uniform: Tensor, sampling: Sampling, early: Tensor | None, end_id: int
) -> tuple[Tensor, Tensor]:
    """Draw tokens (N, 1); logits (N, V) become weights, 1 for the likeliest, whose sums (N, 1) are told, too."""
    if early is not None:
        weights[:, end_id].masked_fill_(early, -torch.inf)
    weights -= weights.amax(-1, keepdim=True)
    if sampling.temperature not in {0, 1}:
        weights /= sampling.temperature
    total = weights.exp_().sum(-1, keepdim=True)
    allowed = _truncate(weights, total, sampling) if sampling.top_k or sampling.top_p < 1 else weights
    return allowed.argmax(-1, keepdim=True) if sampling.temperature == 0 else _invert(allowed, uniform), total


def _invert(weights: Tensor, uniform: Tensor) -> Tensor:
    """Find where the running sum of weights (N, V) passes the share `uniform` (N,) of the whole: (N, 1) int64.

    Blocks are summed first and only one of them is searched, so a row is read once, not run over in float64.
    """
    N, V = weights.shape
    weights = weights if V % BLOCK == 0 else F.pad(weights, (0, -V % BLOCK))
    blocks = weights.view(N, -1, BLOCK)
    mass = blocks.sum(-1)
    running = mass.cumsum(-1, dtype=torch.float64)
    wanted = uniform.to(running).unsqueeze(-1) * (running[:, -1:] * BELOW_ONE)
    block = torch.searchsorted(running, wanted, right=True)
    inside = mass.gather(-1, block)
    share = ((wanted - (running.gather(-1, block) - inside)) / inside).clamp_(0, BELOW_ONE)
    running = blocks.gather(1, block.unsqueeze(-1).expand(N, 1, BLOCK)).squeeze(1).cumsum(-1, dtype=torch.float64)
    return block * BLOCK + torch.searchsorted(running, share * running[:, -1:], right=True)


def _truncate(weights: Tensor, total: Tensor, sampling: Sampling) -> Tensor:
    """Set what top-k and top-p cut off to 0. The likeliest token always stays."""
    if sampling.top_k and sampling.top_k < weights.shape[-1]:
        least = weights.topk(sampling.top_k, dim=-1).values[:, -1:]
        weights = weights.masked_fill(weights < least, 0.0)
    if sampling.top_p < 1:
        ordered, order = weights.sort(dim=-1, descending=True)
        before = ordered.cumsum(-1) - ordered
        cut = torch.zeros_like(before, dtype=torch.bool).scatter_(-1, order, before >= sampling.top_p * total)
        cut.scatter_(-1, order[:, :1], value=False)
        weights = weights.masked_fill(cut, 0.0)
    return weights
