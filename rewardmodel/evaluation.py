"""How well scores agree with people, with the doubt that so many prompts leave, and how well they could agree at best.

Shares are pooled over comparisons; intervals treat prompts, not comparisons, as independent.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rewardmodel.data import placed
from rewardmodel.loss import STRONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from rewardmodel.data import Example

    Numbers = NDArray[np.float64]

Z95 = 1.959964
SHARED_PAIRS_NEEDED = 20
BINS = 10
ERRORS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The M comparisons of a set of examples beside the scores, an entry each.

    prompt, judgement: which one says it. delta: score of the first response less that of the second, in logits.
    target: 1, 0 or ½. strength: steps of rating, or NaN. chance: probability of `target` 1 as the model would have
    this annotator say it. shorter: how many tokens the first response is shorter by. first, second: places among the
    prompt's responses.
    """

    prompt: NDArray[np.int64]
    judgement: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    delta: Numbers
    target: Numbers
    strength: Numbers
    chance: Numbers
    shorter: Numbers

    @classmethod
    def of(
        cls, examples: Sequence[Example], scores: Sequence[Tensor], reliability: Callable[[str], float]
    ) -> Comparisons:
        """Lay the scores, one tensor (K,) an example, beside what was said."""
        rows: list[tuple[float, ...]] = []
        number = 0
        for prompt, (example, score) in enumerate(zip(examples, scores, strict=True)):
            values, lengths = score.double().tolist(), [len(ids) for ids in example.tree.responses]
            for judged in example.judgements:
                meant = reliability(judged.annotator)
                for i, j, target, strength in judged.comparisons:
                    delta = values[i] - values[j]
                    steps = math.nan if strength is None else float(strength)
                    shorter = float(lengths[j] - lengths[i])
                    rows.append((prompt, number, i, j, delta, target, steps, meant, shorter))
                number += 1
        table = np.array(rows, dtype=np.float64).reshape(-1, 9).T
        prompt_of, judgement, first, second = (column.astype(np.int64) for column in table[:4])
        delta, target, strength, meant, shorter = table[4:]
        chance = meant * _sigmoid(delta) + (1 - meant) / 2
        return cls(prompt_of, judgement, first, second, delta, target, strength, chance, shorter)

    @property
    def strict(self) -> NDArray[np.bool_]:
        """Where the annotator preferred one."""
        preferred: NDArray[np.bool_] = self.target != 0.5
        return preferred

    @property
    def right(self) -> Numbers:
        """1 where the score agrees with the annotator, 0 where not; equal scores and ties count ½."""
        return 0.5 + 0.5 * np.sign(self.delta) * (2 * self.target - 1)

    @property
    def loss(self) -> Numbers:
        """Log-loss of what the annotator said."""
        p = np.clip(self.chance, 1e-12, 1 - 1e-12)
        return -(self.target * np.log(p) + (1 - self.target) * np.log(1 - p))

    def share_right(self, where: NDArray[np.bool_]) -> dict[str, float | int | None]:
        """Share of the strict comparisons at `where` that the scores get right, with its interval."""
        where = where & self.strict
        return share(*_clusters(self.prompt[where], self.right[where]))


def evaluate(
    examples: Sequence[Example],
    scores: Sequence[Tensor],
    *,
    reliability: Callable[[str], float] = lambda _: 1.0,
    known: Collection[str] | None = None,
    members: Sequence[Tensor] | None = None,
) -> dict[str, Any]:
    """Compare raw scores, one tensor (K,) an example, with every annotator's word; plain data for the card.

    reliability: how often an annotator means what they say, where the model was taught so. known: the annotators whose
    words were learned from; the others' are measured apart. members: raw scores (H, K) of an ensemble, an example each.
    """
    if not examples:
        return {"prompts": 0}
    said = Comparisons.of(examples, scores, reliability)
    judged = [judged for _, judged in placed(examples)]
    annotators = np.array([one.annotator for one in judged])[said.judgement]
    names = sorted(set(annotators.tolist()))
    figures: dict[str, Any] = {
        "prompts": len(examples),
        "judgements": len(judged),
        "comparisons": int(said.strict.sum()),
        "log_loss": _log_loss(said, np.array([one.weight for one in judged])),
        "accuracy": said.share_right(said.strict),
        "kendall_tau": _kendall_tau(said),
        "by_strength": _by_strength(said),
        "by_flag": _by_flag(examples, said),
        "by_annotator": {name: said.share_right(annotators == name) for name in names},
        "calibration": calibration(said),
        "length_correlation": _length_correlation(examples, scores),
        "shorter_preferred": said.share_right(said.shorter * (2 * said.target - 1) > 0),
        "longer_preferred": said.share_right(said.shorter * (2 * said.target - 1) < 0),
        "ceiling": ceiling(examples),
        "errors": _errors(examples, said, annotators),
    }
    if known is not None:
        is_new = np.array([name not in known for name in annotators.tolist()], dtype=bool)
        new = sorted({name for name in names if name not in known})
        figures["unseen_annotators"] = {"annotators": len(new), "accuracy": said.share_right(is_new)}
        figures["seen_annotators"] = {"annotators": len(names) - len(new), "accuracy": said.share_right(~is_new)}
    if members is not None:
        figures["spread"] = _spread(said, members)
    return figures


def calibration(said: Comparisons) -> dict[str, Any]:
    """Compare what the model promises with what came true: the reliability diagram and its mean distance (ECE).

    The promise is the probability of the response that the model prefers, from ½ to 1, in ten bins; a tie came half
    true.
    """
    promised = np.maximum(said.chance, 1 - said.chance)
    number = np.minimum(((promised - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for index in range(BINS):
        here = number == index
        if here.any():
            observed = share(*_clusters(said.prompt[here], said.right[here]))
            predicted = float(promised[here].mean())
            bins.append({"predicted": predicted, **observed})
            error += abs(predicted - float(observed["value"] or 0)) * int(here.sum())
    return {"bins": bins, "ece": error / len(promised) if len(promised) else None}


def ceiling(examples: Iterable[Example]) -> dict[str, float | int] | None:
    """What agreement between annotators allows: None where too few pairs were judged strictly by two of them.

    `low` and `high` are the accuracies that the ends of the agreement's interval allow.
    """
    prompt: list[int] = []
    agreed: list[float] = []
    for number, example in enumerate(examples):
        said: dict[tuple[int, int], list[tuple[str, bool]]] = defaultdict(list)
        for judged in example.judgements:
            for first, second, target, _ in judged.comparisons:
                if target != 0.5:
                    word = (judged.annotator, (target == 1.0) == (first < second))
                    said[min(first, second), max(first, second)].append(word)
        for words in said.values():
            for (one, better), (other, also_better) in combinations(words, 2):
                if one != other:  # nobody's agreement with themselves says how far two people agree
                    prompt.append(number)
                    agreed.append(float(better == also_better))
    if len(agreed) < SHARED_PAIRS_NEEDED:
        return None
    agreement = share(*_clusters(np.array(prompt, dtype=np.int64), np.array(agreed)))
    accuracy, log_loss = best_possible(float(agreement["value"] or 0))
    bounds = {end: best_possible(float(agreement[end] or 0))[0] for end in ("low", "high") if end in agreement}
    found = {"agreement": float(agreement["value"] or 0), "pairs": len(agreed), "accuracy": accuracy}
    return found | bounds | {"log_loss": log_loss}


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


# --- Numbers with their doubt ----------------------------------------------------------------------


def ratio(top: Numbers, bottom: Numbers) -> dict[str, float | int | None]:
    """Sum of the tops over the sum of the bottoms, an entry a prompt, with the 95 % interval of such a ratio."""
    total = float(bottom.sum())
    if not total:
        return {"value": None, "count": 0}
    value = float(top.sum()) / total
    if len(top) < 2:
        return {"value": value, "count": round(total)}
    spread = math.sqrt(len(top) / (len(top) - 1) * float(((top - value * bottom) ** 2).sum())) / total
    return {"value": value, "count": round(total), "low": value - Z95 * spread, "high": value + Z95 * spread}


def share(top: Numbers, bottom: Numbers) -> dict[str, float | int | None]:
    """Give a share with Wilson's interval, for as many independent comparisons as the spread of the prompts stands for.

    Where all prompts agree there is no spread to see: then each counts as one comparison.
    """
    plain = ratio(top, bottom)
    p = plain["value"]
    if p is None or "low" not in plain:
        return plain
    error = (float(plain["high"] or 0) - p) / Z95
    n = p * (1 - p) / error**2 if error > 0 and 0 < p < 1 else float(len(top))
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    return plain | {"low": max(middle - half, 0.0), "high": min(middle + half, 1.0)}


def _clusters(prompt: NDArray[np.int64], values: Numbers) -> tuple[Numbers, Numbers]:
    """Sum and count the values of each prompt that has any."""
    counts = np.bincount(prompt)
    sums = np.bincount(prompt, weights=values)
    return sums[counts > 0].astype(np.float64), counts[counts > 0].astype(np.float64)


def _sigmoid(x: Numbers) -> Numbers:
    half: Numbers = 0.5 + 0.5 * np.tanh(x / 2)
    return half


# --- Figures -----------------------------------------------------------------------------------------


def _log_loss(said: Comparisons, weights: Numbers) -> dict[str, float | int | None]:
    """Mean over the judgements, by their weight, of the mean log-loss of their comparisons."""
    counts = np.bincount(said.judgement, minlength=len(weights))
    means = np.bincount(said.judgement, weights=said.loss, minlength=len(weights)) / counts
    prompt_of = np.zeros(len(weights), dtype=np.int64)
    prompt_of[said.judgement] = said.prompt
    top, bottom = (np.bincount(prompt_of, weights=w).astype(np.float64) for w in (means * weights, weights))
    return ratio(top, bottom)


def _kendall_tau(said: Comparisons) -> float | None:
    """Mean over judgements of tau-b: (concordant - discordant) / sqrt(strict in the word * strict in the score)."""
    word, sign = 2 * said.target - 1, np.sign(said.delta)
    here = np.bincount(said.judgement, weights=np.abs(word)) * np.bincount(said.judgement, weights=np.abs(sign))
    agreed = np.bincount(said.judgement, weights=word * sign)
    return float((agreed[here > 0] / np.sqrt(here[here > 0])).mean()) if (here > 0).any() else None


def _by_strength(said: Comparisons) -> list[dict[str, Any]]:
    """Accuracy by how many steps of rating lie between the two; the last takes all that are further apart."""
    steps = np.minimum(said.strength, STRONGEST)
    found = [{"steps": step} | said.share_right(steps == step) for step in range(STRONGEST + 1)]
    return [row for row in found if row["count"]]


def _by_flag(examples: Sequence[Example], said: Comparisons) -> dict[str, Any]:
    """Accuracy on the comparisons in which the annotator gave either response, or the whole task, this flag."""
    marked: dict[str, list[int]] = defaultdict(list)
    judged = [judged for _, judged in placed(examples)]
    for row, (number, i, j) in enumerate(zip(said.judgement, said.first, said.second, strict=True)):
        word = judged[number]
        of_either = (*word.flags[i], *word.flags[j]) if word.flags else ()
        for flag in {*word.task_flags, *of_either}:
            marked[flag].append(row)
    figures = {}
    for flag in sorted(marked):
        where = np.zeros(len(said.prompt), dtype=bool)
        where[marked[flag]] = True
        figures[flag] = said.share_right(where)
    return figures


def _length_correlation(examples: Sequence[Example], scores: Sequence[Tensor]) -> float | None:
    """Pearson's correlation of score and response tokens, both measured from their prompt's mean."""
    score = torch.cat([one - one.mean() for one in scores]).double()
    lengths = [torch.tensor([float(len(ids)) for ids in example.tree.responses]) for example in examples]
    length = torch.cat([one - one.mean() for one in lengths]).double()
    norm = float(score.norm() * length.norm())
    return float(score @ length) / norm if norm else None


def _errors(examples: Sequence[Example], said: Comparisons, annotators: NDArray[np.str_]) -> list[dict[str, Any]]:
    """Show where the model was surest and wrong, one comparison a prompt, the worst first, readable."""
    wrong = np.flatnonzero(said.strict & (said.right == 0))
    worst: dict[int, int] = {}
    for row in wrong[np.argsort(-np.abs(said.delta[wrong]), kind="stable")]:
        worst.setdefault(int(said.prompt[row]), int(row))
        if len(worst) == ERRORS_SHOWN:
            break
    shown = []
    for prompt, row in worst.items():
        example = examples[prompt]
        won, lost = (said.first, said.second) if said.target[row] == 1 else (said.second, said.first)
        better, worse = int(won[row]), int(lost[row])
        same = said.prompt == prompt
        of_pair = same & (np.minimum(said.first, said.second) == min(better, worse))
        of_pair &= np.maximum(said.first, said.second) == max(better, worse)
        agree = of_pair & (np.where(said.target == 1, said.first, said.second) == better) & said.strict
        shown.append(
            {
                "id": example.id,
                "probability": float(min(said.chance[row], 1 - said.chance[row])),
                "difference": float(abs(said.delta[row])),
                "said_by": sorted(set(annotators[agree].tolist())),
                "said_otherwise_by": sorted(set(annotators[of_pair & ~agree].tolist())),
                "prompt": example.texts.prompt if example.texts else [],
                "preferred": example.texts.responses[better] if example.texts else "",
                "scored_higher": example.texts.responses[worse] if example.texts else "",
            }
        )
    return shown


def _spread(said: Comparisons, members: Sequence[Tensor]) -> dict[str, float | None]:
    """Say how far the ensemble's members disagree on a difference of two scores, where it is right and where wrong."""
    rows = zip(said.prompt, said.first, said.second, strict=True)
    deltas = [members[prompt][:, i] - members[prompt][:, j] for prompt, i, j in rows]
    if not deltas:
        return {"where_right": None, "where_wrong": None}
    spread = torch.stack(deltas).double().std(dim=1, correction=0).numpy()
    right, wrong = said.strict & (said.right == 1), said.strict & (said.right == 0)
    return {
        "where_right": float(spread[right].mean()) if right.any() else None,
        "where_wrong": float(spread[wrong].mean()) if wrong.any() else None,
    }
