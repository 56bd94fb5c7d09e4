"""One ranking from what several annotators said of a task: it keeps ties, and names and order of arrival do not matter.

Scores come from Davidson's model (1970) of paired comparisons, which is Bradley and Terry's with ties: an annotator of
reliability w who compares responses with scores s and t says better, tie and worse with probabilities proportional to
exp(w (s - t) / 2), exp(tie) and exp(w (t - s) / 2). A wide normal prior keeps scores finite where all agree.
Reliabilities and scores are found in turns over all tasks, and an annotator is only measured by what the *others* said
of the same tasks: someone who works alone is typical, not perfect.

The scores give the order; the words themselves, weighed by reliability, say where it is cut into ranks: one response
stands above another where a clear majority of what was said of the two puts it there, as far as one list can do justice
to all pairs. So unanimity is kept, a tie that all share stays a tie, and opposite rankings cancel out. A merged ranking
is derived, never stored; the raw words stay what they are.

crowd-kit's BradleyTerry and NoisyBradleyTerry know no ties, and the latter starts from random scores dealt out in
the order of the rows, so that its result depends on it; the tests use the former as a yardstick where it applies.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from labeling.agreement import said_of_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from labeling.agreement import Tasks
    from training.records import Judgement

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Pairs = Mapping[tuple[str, str], int]

CLEAR = 0.55  # the share of the weight that puts one response above another
WIDE = 5.0  # standard deviation of the scores' prior, in logits, where they only say the order
NARROW = 1.5  # and where they test an annotator, so that a few words of others stay in doubt
DOUBT = 0.5  # standard deviation of the reliabilities' prior, as a share of the typical one
LEAST = 0.05  # the smallest reliability: nobody's word counts nothing, or against itself
SAME = 1e-6  # scores, and costs, nearer than this are equal
ROUNDS, SETTLED = 40, 1e-5
STEPS, LONGEST = 100, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What the annotators of one task say together."""

    ranks: dict[str, int]
    """Dense ranks by response, 1 the best; tied responses share one. A response that nobody judged is not in it."""
    scores: dict[str, float]
    """Davidson's scores, in logits, with mean 0."""
    support: float
    """Share of the words on pairs, by weight, that the ranking agrees with; by half where just one of the two ties."""
    annotators: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How much an annotator's words weigh, measured by what others said of the same tasks."""

    weight: float
    """1 is typical, 2 counts twice; near 1 where little is known."""
    tasks: int
    """Tasks on which others' words could be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merging:
    """Every task's merged ranking, and what was learned about its annotators on the way."""

    rankings: dict[str, Merged]
    """By task; a task on which nobody compared anything is not in it."""
    reliabilities: dict[str, Reliability]
    """By annotator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """All words on pairs, flat: judgement `judgement` compares items `first` and `second` of its task."""

    judgement: Whole
    first: Whole
    second: Whole
    said: Floats
    """1 the first is better, 0 a tie, -1 the second is better."""
    task_of: Whole
    """By judgement."""
    annotator_of: Whole
    """By judgement."""
    worth: Floats
    """By judgement: what each of its words tells of its annotator. A ranking of K tells as much as K - 1 words."""
    items: Sequence[Sequence[str]]
    """By task: its responses; item k is the k-th."""
    tasks: Sequence[str]
    annotators: Sequence[str]


def merge(judgements: Sequence[Judgement], reliability: Mapping[str, float] | None = None) -> Merged | None:
    """Merge the words of one task, weighed by the reliabilities that are known, else by 1; None if nobody compares."""
    said = said_of_pairs({"": judgements})[""]
    return _merged([((reliability or {}).get(name, 1.0), pairs) for name, pairs in said.items() if pairs], tie=0.0)


def merge_all(tasks: Tasks) -> Merging:
    """Merge the words of each task, and learn how reliable each annotator is from all of them together."""
    import numpy as np  # noqa: PLC0415

    said = said_of_pairs(tasks)
    words = _flat(said)
    problem, word = _words_of_others(words)
    weights, tie = np.ones(len(words.annotators)), 0.0
    scores, tested = None, np.zeros(0, dtype=np.int64)
    for _ in range(ROUNDS):
        scores = _scores(words, problem, word, weights, tie, prior=NARROW, problems=len(words.task_of), start=scores)
        tested = _tested(words, problem, word)
        before = weights
        weights, tie = _learned(words, tested, scores, tie)
        if not len(tested) or np.abs(weights - before).max() < SETTLED:
            break
    shared: dict[int, set[int]] = {number: set() for number in range(len(words.annotators))}
    for judgement in words.judgement[tested].tolist():
        shared[int(words.annotator_of[judgement])].add(int(words.task_of[judgement]))
    weight = dict(zip(words.annotators, weights.tolist(), strict=True))
    rankings = {
        task: _merged([(weight[name], pairs) for name, pairs in by_annotator.items() if pairs], tie)
        for task, by_annotator in said.items()
    }
    return Merging(
        rankings={task: merged for task, merged in rankings.items() if merged},
        reliabilities={
            name: Reliability(weight=weight[name], tasks=len(shared[number]))
            for number, name in enumerate(words.annotators)
        },
    )


def _flat(said: Mapping[str, Mapping[str, Pairs]]) -> _Words:
    """Lay out what was said as arrays; tasks and judgements that compare nothing are left out."""
    import numpy as np  # noqa: PLC0415

    rows: list[tuple[int, int, int, int]] = []
    tasks: list[str] = []
    items: list[list[str]] = []
    task_of: list[int] = []
    annotator_of: list[int] = []
    worth: list[float] = []
    numbers: dict[str, int] = {}
    for task, by_annotator in said.items():
        speaking = {name: pairs for name, pairs in by_annotator.items() if pairs}
        place: dict[str, int] = {}
        for name, pairs in speaking.items():
            for (a, b), word in pairs.items():
                rows.append((len(task_of), place.setdefault(a, len(place)), place.setdefault(b, len(place)), word))
            task_of.append(len(tasks))
            annotator_of.append(numbers.setdefault(name, len(numbers)))
            worth.append(min(1.0, (len({response for pair in pairs for response in pair}) - 1) / len(pairs)))
        if speaking:
            tasks.append(task)
            items.append(list(place))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return _Words(
        judgement=table[:, 0],
        first=table[:, 1],
        second=table[:, 2],
        said=table[:, 3].astype(np.float64),
        task_of=np.array(task_of, dtype=np.int64),
        annotator_of=np.array(annotator_of, dtype=np.int64),
        worth=np.array(worth, dtype=np.float64),
        items=items,
        tasks=tasks,
        annotators=list(numbers),
    )


def _words_of_others(words: _Words) -> tuple[Whole, Whole]:
    """For each judgement, the words of all other judgements of its task: the judgement, and the word's number."""
    import numpy as np  # noqa: PLC0415

    starts = np.searchsorted(words.task_of[words.judgement], np.arange(len(words.tasks) + 1))
    problems, numbers = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for judgement, task in enumerate(words.task_of):
        here = np.arange(starts[task], starts[task + 1])
        others = here[words.judgement[here] != judgement]
        problems.append(np.full(len(others), judgement))
        numbers.append(others)
    return np.concatenate(problems), np.concatenate(numbers)


def _scores(
    words: _Words,
    problem: Whole,
    word: Whole,
    weights: Floats,
    tie: float,
    *,
    prior: float,
    problems: int,
    start: Floats | None = None,
) -> Floats:
    """The likeliest scores (problems, items) of several problems at once, each made of some words; Newton's method.

    Row n says that word `word[n]` belongs to problem `problem[n]`. Items without words keep the prior's mean, 0.
    """
    import numpy as np  # noqa: PLC0415

    size = max(map(len, words.items), default=0)
    scores = np.zeros((problems, size)) if start is None else start.copy()
    first, second, said = words.first[word], words.second[word], words.said[word]
    slope = weights[words.annotator_of[words.judgement[word]]]
    firsts, seconds = problem * size + first, problem * size + second
    for _ in range(STEPS):
        ahead, strict = _davidson(slope * (scores[problem, first] - scores[problem, second]), tie)
        push, bend = slope / 2 * (said - ahead), slope**2 / 4 * (strict - ahead**2)
        gradient = -scores / prior**2
        gradient += (np.bincount(firsts, push, gradient.size) - np.bincount(seconds, push, gradient.size)).reshape(
            scores.shape
        )
        crossed = np.bincount(firsts * size + second, bend, gradient.size * size).reshape(problems, size, size)
        crossed = crossed + crossed.transpose(0, 2, 1)
        hessian = (crossed.sum(axis=2) + 1 / prior**2)[:, :, None] * np.eye(size) - crossed
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        scores += step * LONGEST / np.abs(step).max(axis=1, initial=LONGEST, keepdims=True)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return scores


def _davidson(lead: Floats, tie: float) -> tuple[Floats, Floats]:
    """How often better minus how often worse, and how often one of the two, at a lead in logits."""
    import numpy as np  # noqa: PLC0415

    top = np.maximum(np.abs(lead) / 2, tie)
    better, equal, worse = np.exp(lead / 2 - top), np.exp(tie - top), np.exp(-lead / 2 - top)
    total = better + equal + worse
    return (better - worse) / total, (better + worse) / total


def _tested(words: _Words, problem: Whole, word: Whole) -> Whole:
    """The words on two responses that others have judged too."""
    import numpy as np  # noqa: PLC0415

    known = np.zeros((len(words.task_of), max(map(len, words.items), default=0)), dtype=bool)
    known[problem, words.first[word]] = known[problem, words.second[word]] = True
    return np.flatnonzero(known[words.judgement, words.first] & known[words.judgement, words.second])


def _learned(words: _Words, tested: Whole, scores: Floats, tie: float) -> tuple[Floats, float]:
    """How closely each annotator's words follow the scores that others give, and the logit of a tie.

    Newton's method: first a common slope and how readily all say tie, then each annotator's own, drawn towards that.
    """
    import numpy as np  # noqa: PLC0415

    judgement = words.judgement[tested]
    lead = scores[judgement, words.first[tested]] - scores[judgement, words.second[tested]]
    said, worth, annotator = words.said[tested], words.worth[judgement], words.annotator_of[judgement]
    common = 1.0
    for _ in range(STEPS):
        ahead, strict = _davidson(common * lead, tie)
        push = np.array(
            [
                worth @ (lead / 2 * (said - ahead)) + 1 - common,
                worth @ ((said == 0) - (1 - strict)) - tie / WIDE**2,
            ]
        )
        across = -(worth @ (lead / 2 * ahead * (1 - strict)))
        bend = np.array(
            [
                [worth @ (lead**2 / 4 * (strict - ahead**2)) + 1, across],
                [across, worth @ (strict * (1 - strict)) + 1 / WIDE**2],
            ]
        )
        step = np.linalg.solve(bend, push)
        step *= LONGEST / max(LONGEST, float(np.abs(step).max()))
        common, tie = common + float(step[0]), tie + float(step[1])
        if np.abs(step).max() < 1e-10:
            break
    common = max(common, LEAST)
    slopes = np.full(len(words.annotators), common)
    for _ in range(STEPS):
        ahead, strict = _davidson(slopes[annotator] * lead, tie)
        push = np.bincount(annotator, worth * lead / 2 * (said - ahead), len(slopes))
        bend = np.bincount(annotator, worth * lead**2 / 4 * (strict - ahead**2), len(slopes))
        step = (push - (slopes - common) / (DOUBT * common) ** 2) / (bend + 1 / (DOUBT * common) ** 2)
        slopes = slopes + np.clip(step, -LONGEST, LONGEST)
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return np.maximum(slopes / common, LEAST), tie


def _merged(weighed: Sequence[tuple[float, Pairs]], tie: float) -> Merged | None:
    """Score the responses of one task on all of its words, and cut their order into ranks; None without any word.

    In plain Python, because a web process shows this too; what is learned over all tasks at once needs numpy.
    """
    scores = _scores_of_one(weighed, tie)
    if not scores:
        return None
    ranks = _ranks(scores, weighed)
    return Merged(ranks=ranks, scores=scores, support=_support(ranks, weighed), annotators=len(weighed))


def _scores_of_one(weighed: Sequence[tuple[float, Pairs]], tie: float) -> dict[str, float]:
    """The likeliest scores of one task's responses under a wide prior; Newton's method, as in `_scores`."""
    place: dict[str, int] = {}
    rows = [
        (place.setdefault(a, len(place)), place.setdefault(b, len(place)), word, weight)
        for weight, pairs in weighed
        for (a, b), word in pairs.items()
    ]
    size = len(place)
    scores = [0.0] * size
    for _ in range(STEPS):
        gradient = [-score / WIDE**2 for score in scores]
        hessian = [[float(row == column) / WIDE**2 for column in range(size)] for row in range(size)]
        for first, second, word, weight in rows:
            ahead, strict = _davidson_of_one(weight * (scores[first] - scores[second]), tie)
            push, bend = weight / 2 * (word - ahead), weight**2 / 4 * (strict - ahead**2)
            gradient[first] += push
            gradient[second] -= push
            hessian[first][first] += bend
            hessian[second][second] += bend
            hessian[first][second] -= bend
            hessian[second][first] -= bend
        step = _solved(hessian, gradient)
        longest = max(map(abs, step), default=0.0)
        scores = [score + by * LONGEST / max(LONGEST, longest) for score, by in zip(scores, step, strict=True)]
        if longest < 1e-10:
            break
    return {response: scores[number] for response, number in place.items()}


def _davidson_of_one(lead: float, tie: float) -> tuple[float, float]:
    """How often better minus how often worse, and how often one of the two, at a lead in logits."""
    top = max(abs(lead) / 2, tie)
    better, equal, worse = math.exp(lead / 2 - top), math.exp(tie - top), math.exp(-lead / 2 - top)
    total = better + equal + worse
    return (better - worse) / total, (better + worse) / total


def _solved(matrix: list[list[float]], right: Sequence[float]) -> list[float]:
    """The solution of a positive definite system, by elimination without pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for pivot, row in enumerate(rows):
        for below in rows[pivot + 1 :]:
            factor = below[pivot] / row[pivot]
            below[pivot:] = [value - factor * above for value, above in zip(below[pivot:], row[pivot:], strict=True)]
    solution = [0.0] * len(rows)
    for number in reversed(range(len(rows))):
        row = rows[number]
        known = sum(row[other] * solution[other] for other in range(number + 1, len(rows)))
        solution[number] = (row[-1] - known) / row[number]
    return solution


def _ranks(scores: Mapping[str, float], weighed: Sequence[tuple[float, Pairs]]) -> dict[str, int]:
    """Cut the order that the scores give into ranks.

    Of all ways to cut, the one with the least cost: a word that the ranking contradicts costs its weight, a tie that
    it orders CLEAR times it, and an order that it ties 1 - CLEAR times it; so two responses by themselves are ordered
    where more than CLEAR of the weight wants that. Where costs are equal: fewer ranks, then wider gaps between them,
    then the best told apart rather than the worst. Sums are rounded before they are compared, so that the order in
    which they were added up decides nothing.
    """
    levels = _levels(scores)
    level_of = {response: number for number, level in enumerate(levels) for response in level}
    loss: dict[tuple[int, int], float] = defaultdict(float)  # what ordering two levels costs more than tying them
    for weight, pairs in weighed:
        for (a, b), word in pairs.items():
            upper, lower = sorted((level_of[a], level_of[b]))
            agrees = word * (level_of[b] - level_of[a]) > 0
            loss[upper, lower] += weight * (CLEAR - agrees)
    best = [(0, 0, 0)]
    starts = [0]
    for end in range(1, len(levels) + 1):
        options = []
        for start in range(end):
            saved = sum(loss[pair] for pair in combinations(range(start, end), 2))
            gap = scores[levels[start - 1][0]] - scores[levels[start][0]] if start else 0.0
            before = best[start]
            value = (before[0] + round(saved / SAME), before[1] - 1, before[2] + round(gap / SAME))
            options.append((value, -start))
        value, start = max(options)
        best.append(value)
        starts.append(-start)
    cuts, end = set[int](), len(levels)
    while end:
        end = starts[end]
        cuts.add(end)
    rank = 0
    ranks: dict[str, int] = {}
    for number, level in enumerate(levels):
        rank += number in cuts
        ranks |= dict.fromkeys(level, rank)
    return ranks


def _levels(scores: Mapping[str, float]) -> list[list[str]]:
    """The responses from best to worst, those with equal scores together."""
    levels: list[list[str]] = []
    for response in sorted(scores, key=lambda response: -scores[response]):
        if levels and scores[levels[-1][-1]] - scores[response] < SAME:
            levels[-1].append(response)
        else:
            levels.append([response])
    return levels


def _support(ranks: Mapping[str, int], weighed: Sequence[tuple[float, Pairs]]) -> float:
    agreed = total = 0.0
    for weight, pairs in weighed:
        for (a, b), word in pairs.items():
            stands = (ranks[b] > ranks[a]) - (ranks[b] < ranks[a])
            agreed += weight * (1 - abs(word - stands) / 2)
            total += weight
    return agreed / total
