"""What a ranking says about rewards, as pure functions of the scores.

A ranking of K responses is C(K, 2) comparisons that are not independent: InstructGPT (2203.02155, §3.5) averages
them within the ranking first, so that every ranking weighs the same whatever its K, and the loss over a batch is the
mean over rankings. All functions work on the flat scores of a batch and on `Pairs`, index tensors into them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Ties = Literal["half", "skip"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Comparisons of M pairs of responses, each an index into the batch's flat scores.

    first, second: (M,) int64.
    target: (M,) float, the probability that `first` is the better one: 1, 0, or ½ for a tie.
    weight: (M,) float; the weights of one judgement sum to 1 (or to the weight its annotator has).
    """

    first: Tensor
    second: Tensor
    target: Tensor
    weight: Tensor

    def __len__(self) -> int:
        """M, the number of pairs."""
        return int(self.first.numel())

    def shifted(self, offset: int) -> Pairs:
        """Return the same pairs, of responses that start at `offset` in the flat scores."""
        return Pairs(self.first + offset, self.second + offset, self.target, self.weight)

    def to(self, device: torch.device) -> Pairs:
        """Return the same pairs on a device."""
        return Pairs(*(part.to(device) for part in (self.first, self.second, self.target, self.weight)))

    @staticmethod
    def concatenate(parts: Sequence[Pairs]) -> Pairs:
        """Join the pairs of several judgements into one batch."""
        if not parts:
            return Pairs.of([])
        return Pairs(
            torch.cat([p.first for p in parts]),
            torch.cat([p.second for p in parts]),
            torch.cat([p.target for p in parts]),
            torch.cat([p.weight for p in parts]),
        )

    @staticmethod
    def of(rows: Sequence[tuple[int, int, float]], weight: float = 1.0) -> Pairs:
        """Make the pairs of one judgement: rows of (first, second, target), sharing `weight` evenly."""
        return Pairs(
            torch.tensor([r[0] for r in rows], dtype=torch.int64),
            torch.tensor([r[1] for r in rows], dtype=torch.int64),
            torch.tensor([r[2] for r in rows], dtype=torch.float32),
            torch.full((len(rows),), weight / max(len(rows), 1)),
        )


def pairs_of_ranking(ranks: Sequence[int], *, ties: Ties = "half", weight: float = 1.0) -> Pairs:
    """All C(K, 2) comparisons of one ranking, `ranks[i]` being the dense rank of response i (1 is best).

    A tie is a target of ½ (WebGPT, 2112.09332, §3.2), or says nothing (`ties="skip"`).
    """
    rows: list[tuple[int, int, float]] = []
    for i, rank in enumerate(ranks):
        for j in range(i + 1, len(ranks)):
            if rank != ranks[j]:
                rows.append((i, j, float(rank < ranks[j])))
            elif ties == "half":
                rows.append((i, j, 0.5))
    return Pairs.of(rows, weight)


def comparison_loss(scores: Tensor, pairs: Pairs, ranking_count: int) -> Tensor:
    """Bradley-Terry negative log-likelihood, averaged within each ranking and then over `ranking_count` rankings.

    scores: (N,) rewards of the batch's responses. ranking_count is the global number of rankings of the optimiser
    step, however many micro-batches and processes share them, so that the sum of the parts is the mean of the whole.
    Returns a scalar.
    """
    delta = scores[pairs.first] - scores[pairs.second]
    nll = binary_cross_entropy_with_logits(delta, pairs.target.to(delta), reduction="none")
    return (nll * pairs.weight.to(delta)).sum() / ranking_count
