"""How well scores agree with people, with the doubt that so many prompts leave, and how well they could agree at best.

All figures are pooled over strict comparisons; intervals treat prompts, not comparisons, as independent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from rewardmodel.data import Example
    from rewardmodel.loss import Pairs

Z95 = 1.959964
SHARED_PAIRS_NEEDED = 20


def evaluate(examples: Sequence[Example], scores: Sequence[Tensor]) -> dict[str, Any]:
    """Compare raw scores, one tensor (K,) an example, with every annotator's word.

    Returns plain data for the card: accuracy and log-loss with 95 % intervals by prompt, Kendall's tau-b, accuracy by
    annotator, the correlation of score and length within a prompt, and the ceiling where annotators overlap.
    """
    if not examples:
        return {"prompts": 0}
    right = [_right(example.pairs, score) for example, score in zip(examples, scores, strict=True)]
    losses = [_loss(example, score) for example, score in zip(examples, scores, strict=True)]
    by_annotator: dict[str, list[tuple[float, int]]] = defaultdict(list)
    taus = []
    for example, score in zip(examples, scores, strict=True):
        for judged in example.judgements:
            by_annotator[judged.annotator].append(_right(judged.pairs, score))
            taus += _tau(judged.pairs, score)
    figures: dict[str, Any] = {
        "prompts": len(examples),
        "judgements": sum(len(example.judgements) for example in examples),
        "comparisons": sum(count for _, count in right),
        "log_loss": _ratio(losses),
        "accuracy": _share(right),
        "kendall_tau": float(np.mean(taus)) if taus else None,
        "by_annotator": {name: _ratio(by_annotator[name], interval=False) for name in sorted(by_annotator)},
        "length_correlation": _length_correlation(examples, scores),
        "ceiling": ceiling(examples),
    }
    return figures


def ceiling(examples: Iterable[Example]) -> dict[str, float | int] | None:
    """What agreement between annotators allows: None where too few pairs were judged strictly by two of them."""
    agreed, pairs = 0, 0
    for example in examples:
        said: dict[tuple[int, int], list[bool]] = defaultdict(list)
        for judged in example.judgements:
            for first, second, target in _rows(judged.pairs):
                if target != 0.5:
                    said[min(first, second), max(first, second)].append((target == 1.0) == (first < second))
        for words in said.values():
            for one, other in combinations(words, 2):
                agreed += one == other
                pairs += 1
    if pairs < SHARED_PAIRS_NEEDED:
        return None
    agreement = agreed / pairs
    accuracy, log_loss = best_possible(agreement)
    return {"agreement": agreement, "pairs": pairs, "accuracy": accuracy, "log_loss": log_loss}


def best_possible(agreement: float) -> tuple[float, float]:
    """Accuracy and log-loss of a perfect scorer when two annotators agree this often.

    Assumes annotators who draw independently from Bradley and Terry's model and differences of reward that are
    normally distributed: the width of that normal is the one that yields the agreement.
    """
    nodes = np.linspace(-8, 8, 8001)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    low, high = 0.0, 200.0
    for _ in range(100):
        middle = (low + high) / 2
        p = _sigmoid(middle * nodes)
        if float(weights @ (p**2 + (1 - p) ** 2)) < agreement:
            low = middle
        else:
            high = middle
    p = np.clip(_sigmoid(low * nodes), 1e-12, 1 - 1e-12)
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    return float(weights @ np.maximum(p, 1 - p)), float(weights @ entropy)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 + 0.5 * np.tanh(x / 2)


def _rows(pairs: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.target.tolist(), strict=True))


def _right(pairs: Pairs, score: Tensor) -> tuple[float, int]:
    """Strict comparisons that the scores get right (equal scores: half), and how many there are."""
    strict = pairs.target != 0.5
    delta = (score[pairs.first] - score[pairs.second])[strict]
    wanted = pairs.target[strict] * 2 - 1
    return float((0.5 + 0.5 * torch.sign(delta) * wanted).sum()), int(strict.sum())


def _loss(example: Example, score: Tensor) -> tuple[float, int]:
    """Sum over the judgements of the mean log-loss of their comparisons, and how many judgements there are."""
    pairs = example.pairs
    delta = score[pairs.first] - score[pairs.second]
    losses = binary_cross_entropy_with_logits(delta, pairs.target, reduction="none")
    return float((losses * pairs.weight).sum()), len(example.judgements)


def _tau(pairs: Pairs, score: Tensor) -> list[float]:
    """Kendall's tau-b of one judgement: (concordant - discordant) / sqrt(strict here * strict there)."""
    delta = torch.sign(score[pairs.first] - score[pairs.second])
    said = pairs.target * 2 - 1
    strict = float(said.abs().sum()) * float(delta.abs().sum())
    return [float((delta * said).sum()) / math.sqrt(strict)] if strict else []


def _ratio(parts: Sequence[tuple[float, int]], *, interval: bool = True) -> dict[str, float | int | None]:
    """Sum of the tops over the sum of the bottoms, with the 95 % interval of a ratio of cluster totals."""
    top = np.array([part[0] for part in parts])
    bottom = np.array([part[1] for part in parts], dtype=float)
    count = int(bottom.sum())
    if not count:
        return {"value": None, "count": 0}
    value = float(top.sum() / count)
    if not interval or len(parts) < 2:
        return {"value": value, "count": count}
    spread = math.sqrt(len(parts) / (len(parts) - 1) * float(((top - value * bottom) ** 2).sum())) / count
    return {"value": value, "count": count, "low": value - Z95 * spread, "high": value + Z95 * spread}


def _share(parts: Sequence[tuple[float, int]]) -> dict[str, float | int | None]:
    """Give a share with Wilson's interval, for as many independent comparisons as the spread of the prompts stands for.

    Where all prompts agree there is no spread to see: then each counts as one comparison.
    """
    plain = _ratio(parts)
    p = plain["value"]
    if p is None or "low" not in plain:
        return plain
    error = (float(plain["high"] or 0) - p) / Z95
    n = p * (1 - p) / error**2 if error > 0 and 0 < p < 1 else float(len(parts))
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    return plain | {"low": max(middle - half, 0.0), "high": min(middle + half, 1.0)}


def _length_correlation(examples: Sequence[Example], scores: Sequence[Tensor]) -> float | None:
    """Pearson's correlation of score and response tokens, both measured from their prompt's mean."""
    score = torch.cat([one - one.mean() for one in scores]).double()
    lengths = [torch.tensor([float(len(ids)) for ids in example.tree.responses]) for example in examples]
    length = torch.cat([one - one.mean() for one in lengths]).double()
    norm = float(score.norm() * length.norm())
    return float(score @ length) / norm if norm else None
