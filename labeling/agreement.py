"""How far annotators agree, how sure that is, and what it allows a reward model at best.

Everything is computed from judgements as they were said, by task; whoever asks chooses which ones enter (gold,
qualification and simulated judgements come in only if passed in). Each statistic is a function of counts that add up
over tasks, so its interval comes from leaving tasks out: comparisons within a task are not independent, tasks are.
Nothing is drawn at random, so the same judgements always show the same figures. Only the standard library is needed: a
web process shows these figures and carries no numpy; the tests hold them to scipy and krippendorff.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations, permutations
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from training.records import RankingJudgement

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from training.records import Judgement

    Tasks = Mapping[str, Sequence[Judgement]]
    """The judgements of each task, at most one of each annotator."""
    Table = Mapping[tuple[float, float], float]
    """How often one annotator said the first value where another said the second."""

TieRule = Literal["left_out", "half", "exact"]
"""What a tie counts. left_out: only pairs that both put in an order count. half: a tie agrees by half with an order and
wholly with a tie. exact: a tie agrees with a tie alone."""
Sides = Literal["both", "as_said"]
"""Which side of a pair is `a` for Cohen's kappa. both: each pair is read from both sides, because ids mean nothing and
must not matter. as_said: the side that the annotators called `a`, as published figures have it."""
Level = Literal["nominal", "ordinal", "interval"]
Noise = Literal["bradley_terry", "flips"]
"""bradley_terry: annotators draw from Bradley and Terry's model, so close pairs are noisier. flips: they know the truth
and each says the opposite with one and the same probability."""

SIDES = {"a": 1, "a_slight": 1, "tie": 0, "b_slight": -1, "b": -1}
CONFIDENCE = 0.95
GROUPS = 200  # tasks are left out one by one up to this many, then in so many groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval; the bounds are None where a single task cannot tell."""

    value: float
    low: float | None
    high: float | None
    count: float
    """Comparisons (or values) behind it."""
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far some annotators agree on pairs; a part is None where nothing speaks to it."""

    share: Estimate | None
    """Share of the pairs on which they agree, with ties by the rule that was asked for."""
    kappa: Estimate | None
    """Cohen's κ of their verdicts a, tie and b: agreement beyond chance. A tie is a verdict of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagAgreement:
    """How far annotators agree on one flag."""

    alpha: Estimate | None
    """Krippendorff's alpha, nominal; None where nobody raised it, or everybody always did."""
    positive: float | None
    """Where one annotator raised it, how often another did too: 2 both / (2 both + one only)."""
    raised: float
    """Share of the judgements that raise it."""
    units: int
    """Responses (or tasks) on which at least two annotators could have raised it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What a perfect reward model would reach on the labels of a single annotator."""

    accuracy: float
    log_loss: float
    """In nats."""
    reward_sd: float | None
    """Standard deviation of the rewards that the agreement implies, in logits; None where the noise is flips."""


def outcomes(judgement: Judgement) -> dict[tuple[str, str], int]:
    """What a judgement says of each pair that it compares: 1 the first is better, 0 a tie, -1 the second is better.

    Verdicts keep their sides; a pair judged twice says what most of its verdicts say, else a tie. A slight preference
    is a preference.
    """
    if isinstance(judgement, RankingJudgement):
        return {
            (one.response, other.response): (other.rank > one.rank) - (other.rank < one.rank)
            for one, other in combinations(judgement.placements, 2)
        }
    votes: dict[tuple[str, str], int] = {}
    for verdict in judgement.verdicts:
        side = SIDES[verdict.verdict]
        if (verdict.b, verdict.a) in votes:
            votes[verdict.b, verdict.a] -= side
        else:
            votes[verdict.a, verdict.b] = votes.get((verdict.a, verdict.b), 0) + side
    return {pair: (vote > 0) - (vote < 0) for pair, vote in votes.items()}


def said_of_pairs(tasks: Tasks) -> dict[str, dict[str, dict[tuple[str, str], int]]]:
    """By task and annotator, what was said of each pair. Refuses two words of one annotator on a task (ValueError)."""
    return {task: {name: outcomes(word) for name, word in _words(task, tasks).items()} for task in tasks}


def pairwise(tasks: Tasks, *, ties: TieRule = "left_out", sides: Sides = "both") -> Agreement:
    """How far annotators agree, over every two annotators of a task and every pair that both judged.

    Nobody comes first here, so chance in κ is that of everyone's words together (Siegel and Castellan 1988).
    """
    tables = [_table(permutations(said.values(), 2), sides) for said in said_of_pairs(tasks).values()]
    return _agreement([{cell: n / 2 for cell, n in table.items()} for table in tables], ties)


def between_annotators(
    tasks: Tasks, *, ties: TieRule = "left_out", sides: Sides = "both"
) -> dict[tuple[str, str], Agreement]:
    """How far each two annotators agree who share a pair; names in order."""
    tables: dict[tuple[str, str], list[Table]] = defaultdict(list)
    for said in said_of_pairs(tasks).values():
        for one, other in combinations(sorted(said), 2):
            tables[one, other].append(_table([(said[one], said[other])], sides))
    return {names: _agreement(counts, ties) for names, counts in sorted(tables.items()) if any(counts)}


def against_rest(tasks: Tasks, *, ties: TieRule = "left_out", sides: Sides = "both") -> dict[str, Agreement]:
    """How far each annotator agrees with the others of the same tasks, each of them counted once."""
    tables: dict[str, list[Table]] = defaultdict(list)
    for said in said_of_pairs(tasks).values():
        for name, words in said.items():
            rest = [(words, others) for other, others in said.items() if other != name]
            tables[name].append(_table(rest, sides))
    return {name: _agreement(counts, ties) for name, counts in sorted(tables.items()) if any(counts)}


def against_gold(
    tasks: Tasks, gold: Mapping[str, Judgement], *, ties: TieRule = "left_out", sides: Sides = "both"
) -> dict[str, Agreement]:
    """How far each annotator agrees with the known answers of the tasks that have one."""
    tables: dict[str, list[Table]] = defaultdict(list)
    for task, said in said_of_pairs({task: tasks[task] for task in tasks if task in gold}).items():
        answer = outcomes(gold[task])
        for name, words in said.items():
            tables[name].append(_table([(words, answer)], sides))
    return {name: _agreement(counts, ties) for name, counts in sorted(tables.items()) if any(counts)}


def rank_alpha(tasks: Tasks) -> Estimate | None:
    """Krippendorff's alpha, ordinal, of the places that annotators give to responses; None where it is undefined.

    The value is how far down the list the response stands, ties sharing the middle of their places (mid-ranks), so that
    1, 1, 2, 2 lies as near to 1, 2, 3, 4 as it means, and lists of different lengths can stand in one table.
    """
    return _alpha(tasks, _positions, "ordinal")


def rating_alpha(tasks: Tasks, *, level: Level = "ordinal") -> Estimate | None:
    """Krippendorff's alpha of the 1 to 7 ratings; None where it is undefined."""
    return _alpha(tasks, _ratings, level)


def flag_agreement(tasks: Tasks) -> dict[tuple[Literal["response", "task"], str], FlagAgreement]:
    """How far annotators agree on each flag that anybody raised, of responses and of tasks."""
    where: tuple[Literal["response", "task"], ...] = ("response", "task")
    raised = {place: _raised(tasks, place) for place in where}
    return {
        (place, flag): _flag(units, flag)
        for place, units in raised.items()
        for flag in sorted({flag for unit in units.values() for said in unit.values() for one in said for flag in one})
    }


def ceiling(agreement: float, *, noise: Noise = "bradley_terry") -> Ceiling:
    """What a reward model can reach at best on one annotator's labels when two agree this often on pairs without ties.

    Under `bradley_terry`, two annotators draw independently and rewards are normally distributed: with x the
    difference of two rewards and p = sigma(x), they agree with probability E[p² + (1-p)²]; the width of x that yields
    the agreement gives the best accuracy E[max(p, 1-p)] and log-loss E[H(p)]. Under `flips` with rate q they agree
    with probability q² + (1-q)², and the best is 1-q and H(q). Real annotators share biases: these are upper bounds.
    """
    if not 0 <= agreement <= 1:
        raise ValueError(f"an agreement lies between 0 and 1, not at {agreement}")
    if agreement <= 0.5:
        return Ceiling(accuracy=0.5, log_loss=math.log(2), reward_sd=0.0 if noise == "bradley_terry" else None)
    if noise == "flips":
        right = (1 + math.sqrt(2 * agreement - 1)) / 2
        return Ceiling(accuracy=right, log_loss=_entropy(right), reward_sd=None)
    low, high = 0.0, 1e5
    if _normal_mean(_disagreement, high) > 1 - agreement:
        return Ceiling(accuracy=1.0, log_loss=0.0, reward_sd=math.inf)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _normal_mean(_disagreement, middle) > 1 - agreement else (low, middle)
    return Ceiling(
        accuracy=1 - _normal_mean(lambda p: min(p, 1 - p), high),
        log_loss=_normal_mean(_entropy, high),
        reward_sd=high / math.sqrt(2),
    )


def clustered(parts: Iterable[tuple[float, float]]) -> Estimate | None:
    """A share, from each task's top and bottom, with Wilson's interval for as many comparisons as the tasks are worth.

    The variance is that of a ratio of totals over tasks; the comparisons are worth the number that would give that
    variance if they were independent, never more than there are, and where all agree or none does, as many as there
    are tasks. The critical value is Student's, for so many tasks. None where every bottom is zero.
    """
    kept = [(top, bottom) for top, bottom in parts if bottom]
    if not kept:
        return None
    count, tasks = sum(bottom for _, bottom in kept), len(kept)
    share = sum(top for top, _ in kept) / count
    if tasks == 1:
        return Estimate(value=share, low=None, high=None, count=count, tasks=1)
    variance = _variance([top - share * bottom for top, bottom in kept]) / count**2
    low, high = _interval(share, variance, count=count, clusters=tasks)
    return Estimate(value=share, low=low, high=high, count=count, tasks=tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One annotator's say on one task: `top` of `bottom` comparisons were won."""

    task: Hashable
    annotator: Hashable
    top: float
    bottom: float


def clustered_twice(parts: Iterable[Part]) -> Estimate | None:
    """A share whose interval speaks for other tasks and for other annotators at once.

    As `clustered`, with the variance of two-way clusters (Cameron, Gelbach and Miller 2011): that over tasks, plus that
    over annotators, minus that of what one annotator said of one task, and never less than either of the first two.
    The critical value is Student's for the fewer of the clusters. No bounds where there is but one of either.
    """
    kept = [part for part in parts if part.bottom]
    if not kept:
        return None
    count = sum(part.bottom for part in kept)
    share = sum(part.top for part in kept) / count

    def left_over(name: Callable[[Part], Hashable]) -> list[float]:
        sums: dict[Hashable, float] = defaultdict(float)
        for part in kept:
            sums[name(part)] += part.top - share * part.bottom
        return list(sums.values())

    by_task, by_annotator = left_over(lambda part: part.task), left_over(lambda part: part.annotator)
    clusters = min(len(by_task), len(by_annotator))
    if clusters == 1:
        return Estimate(value=share, low=None, high=None, count=count, tasks=len(by_task))
    apart = _variance(by_task), _variance(by_annotator)
    both = sum(apart) - _variance(left_over(lambda part: (part.task, part.annotator)))
    low, high = _interval(share, max(*apart, both) / count**2, count=count, clusters=clusters)
    return Estimate(value=share, low=low, high=high, count=count, tasks=len(by_task))


def _variance(left_over: Sequence[float]) -> float:
    """Of a total, from what each cluster leaves over."""
    return len(left_over) / (len(left_over) - 1) * sum(each * each for each in left_over)


def _interval(share: float, variance: float, *, count: float, clusters: int) -> tuple[float, float]:
    """Wilson's interval for as many comparisons as would have this variance if they were independent."""
    worth = float(clusters) if share in {0.0, 1.0} else count
    if variance:
        worth = min(count, share * (1 - share) / variance)
    return wilson(share, worth, quantile=_student(clusters - 1))


def wilson(share: float, count: float, *, quantile: float | None = None) -> tuple[float, float]:
    """Wilson's interval (1927) for a share of `count` independent trials; 95 % unless another quantile is given."""
    z = _normal() if quantile is None else quantile
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def jackknife(tables: Sequence[Table], statistic: Callable[[Table], float | None]) -> Estimate | None:
    """A statistic of tables that add up over tasks, with an interval from leaving tasks out; None if it is undefined.

    For chance-corrected agreement, whose value is at most 1: the interval is symmetric in -log(1 - value), so it never
    passes 1. Where all agree there is no spread to see; the lower bound is then Wilson's for so many tasks of as many.
    """
    kept = [table for table in tables if table]
    total = _sum(kept)
    value = statistic(total)
    if value is None:
        return None
    count = sum(total.values())
    if len(kept) == 1:
        return Estimate(value=value, low=None, high=None, count=count, tasks=1)
    groups = [_sum(kept[start::GROUPS]) for start in range(min(GROUPS, len(kept)))]
    quantile = _student(len(groups) - 1)
    if value > 1 - 1e-12:
        low, high = wilson(1.0, len(kept), quantile=quantile)
        return Estimate(value=1.0, low=low, high=high, count=count, tasks=len(kept))
    left = [statistic({cell: n - group.get(cell, 0) for cell, n in total.items()}) for group in groups]
    known = [one for one in left if one is not None]
    if len(known) < len(left):
        return Estimate(value=value, low=None, high=None, count=count, tasks=len(kept))
    mean = sum(known) / len(known)
    error = math.sqrt((len(known) - 1) / len(known) * sum((one - mean) ** 2 for one in known))
    reach = min(quantile * error / (1 - value), 50.0)
    low, high = 1 - (1 - value) * math.exp(reach), 1 - (1 - value) * math.exp(-reach)
    return Estimate(value=value, low=max(-1.0, low), high=high, count=count, tasks=len(kept))


def _words(task: str, tasks: Tasks) -> dict[str, Judgement]:
    words = {judgement.annotator: judgement for judgement in tasks[task]}
    if len(words) < len(tasks[task]):
        raise ValueError(f"an annotator has more than one word on task {task}: pass the current ones only")
    return words


def _table(
    matched: Iterable[tuple[Mapping[tuple[str, str], int], Mapping[tuple[str, str], int]]], sides: Sides
) -> Table:
    """Count what the two of each match said of the pairs that both judged."""
    counts: Counter[tuple[float, float]] = Counter()
    for one, other in matched:
        for (a, b), said in one.items():
            if (a, b) in other:
                counts[said, other[a, b]] += 1
            elif (b, a) in other:
                counts[said, -other[b, a]] += 1
    if sides == "as_said":
        return counts
    return {(x, y): (counts[x, y] + counts[-x, -y]) / 2 for x, y in set(counts) | {(-x, -y) for x, y in counts}}


def _agreement(tables: Sequence[Table], ties: TieRule) -> Agreement:
    return Agreement(share=clustered(_agreed(table, ties) for table in tables), kappa=jackknife(tables, _kappa))


def _agreed(table: Table, ties: TieRule) -> tuple[float, float]:
    """How much of a table agrees, and how much counts, under a rule for ties."""
    agreed = counted = 0.0
    for (x, y), n in table.items():
        if ties == "left_out" and not (x and y):
            continue
        counted += n
        agreed += n if x == y else n / 2 if ties == "half" and not (x and y) else 0
    return agreed, counted


def _kappa(table: Table) -> float | None:
    """Cohen's κ (1960) of a square table; None where both only ever say one and the same word."""
    total = sum(table.values())
    rows: dict[float, float] = defaultdict(float)
    columns: dict[float, float] = defaultdict(float)
    for (x, y), n in table.items():
        rows[x] += n
        columns[y] += n
    chance = sum(n * columns.get(word, 0.0) for word, n in rows.items()) / total**2 if total > 1e-9 else 1.0
    if chance > 1 - 1e-12:
        return None
    return (sum(n for (x, y), n in table.items() if x == y) / total - chance) / (1 - chance)


def _alpha(tasks: Tasks, values: Callable[[Judgement], Mapping[str, float]], level: Level) -> Estimate | None:
    tables = []
    for task in tasks:
        units: dict[str, list[float]] = defaultdict(list)
        for word in _words(task, tasks).values():
            for response, value in values(word).items():
                units[response].append(value)
        tables.append(_coincidences(units.values()))
    return jackknife(tables, lambda table: alpha(table, level=level))


def _coincidences(units: Iterable[Sequence[float]]) -> Table:
    """Krippendorff's coincidences: each ordered pair of values of a unit with m values, weighing 1 / (m - 1)."""
    table: Counter[tuple[float, float]] = Counter()
    for unit in units:
        for pair, times in Counter(permutations(unit, 2)).items():
            table[pair] += times / (len(unit) - 1)  # type: ignore[assignment] # a Counter of floats adds just as well
    return table


def alpha(coincidences: Table, *, level: Level) -> float | None:
    """Krippendorff's alpha of a table of coincidences; None where only one value occurs.

    Krippendorff, Content Analysis (2004), chapter 11: one minus observed over expected disagreement, where two values
    differ by 1 (nominal), by the square of the values between them (ordinal) or of their distance (interval).
    """
    totals: dict[float, float] = defaultdict(float)
    for (value, _), n in coincidences.items():
        totals[value] += n
    domain = sorted(value for value, n in totals.items() if n > 1e-9)
    count = sum(totals[value] for value in domain)
    if len(domain) < 2 or count <= 1:
        return None
    middle, passed = {}, 0.0
    for value in domain:
        middle[value] = passed + totals[value] / 2
        passed += totals[value]

    def difference(x: float, y: float) -> float:
        if level == "nominal":
            return float(x != y)
        return (middle[x] - middle[y]) ** 2 if level == "ordinal" else (x - y) ** 2

    observed = sum(n * difference(x, y) for (x, y), n in coincidences.items() if x in middle and y in middle)
    expected = sum(2 * totals[x] * totals[y] * difference(x, y) for x, y in combinations(domain, 2)) / (count - 1)
    return 1 - observed / expected


def _positions(judgement: Judgement) -> dict[str, float]:
    """How far down a ranking each response stands, between 0 and 1; tied ones share the middle of their places."""
    if not isinstance(judgement, RankingJudgement):
        return {}
    places = Counter(placed.rank for placed in judgement.placements)
    top = {rank: sum(n for better, n in places.items() if better < rank) for rank in places}
    return {
        placed.response: (top[placed.rank] + places[placed.rank] / 2) / len(judgement.placements)
        for placed in judgement.placements
    }


def _ratings(judgement: Judgement) -> dict[str, float]:
    if not isinstance(judgement, RankingJudgement):
        return {}
    return {placed.response: placed.rating for placed in judgement.placements if placed.rating is not None}


def _raised(tasks: Tasks, where: Literal["response", "task"]) -> dict[str, dict[Hashable, list[frozenset[str]]]]:
    """By task and unit, the flags that each annotator raised on it; only units with two annotators or more."""
    raised = {}
    for task in tasks:
        units: dict[Hashable, list[frozenset[str]]] = defaultdict(list)
        for word in _words(task, tasks).values():
            for unit, flags in _flags(word, where):
                units[unit].append(flags)
        raised[task] = {unit: said for unit, said in units.items() if len(said) > 1}
    return raised


def _flags(judgement: Judgement, where: Literal["response", "task"]) -> Iterator[tuple[Hashable, frozenset[str]]]:
    if isinstance(judgement, RankingJudgement):
        if where == "task":
            yield None, frozenset(judgement.flags)
        else:
            yield from ((placed.response, frozenset(placed.flags)) for placed in judgement.placements)


def _flag(tasks: Mapping[str, Mapping[Hashable, Sequence[frozenset[str]]]], flag: str) -> FlagAgreement:
    said = {task: [[float(flag in one) for one in unit] for unit in units.values()] for task, units in tasks.items()}
    tables = [_coincidences(units) for units in said.values()]
    total = _sum(tables)
    both, one = total.get((1.0, 1.0), 0.0), total.get((0.0, 1.0), 0.0) + total.get((1.0, 0.0), 0.0)
    words = [word for units in said.values() for unit in units for word in unit]
    return FlagAgreement(
        alpha=jackknife(tables, lambda table: alpha(table, level="nominal")),
        positive=2 * both / (2 * both + one) if both or one else None,
        raised=sum(words) / len(words),
        units=sum(len(units) for units in said.values()),
    )


def _sum(tables: Iterable[Table]) -> Table:
    total: dict[tuple[float, float], float] = defaultdict(float)
    for table in tables:
        for cell, n in table.items():
            total[cell] += n
    return total


def _normal() -> float:
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _student(freedom: int) -> float:
    """Student's two-sided quantile: closed forms at 1 and 2, else Fisher and Cornish's expansion in 1/freedom."""
    if freedom == 1:
        return math.tan(math.pi * CONFIDENCE / 2)
    if freedom == 2:
        return CONFIDENCE * math.sqrt(2 / (1 - CONFIDENCE * CONFIDENCE))
    z = _normal()
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / math.pow(freedom, power) for power, term in enumerate(terms, start=1))


def _normal_mean(of: Callable[[float], float], width: float, steps: int = 400) -> float:
    """E[of(sigma(x))] for x normal with mean 0 and this width, by Simpson's rule; `of` is even about ½ and decays."""
    end = min(45.0, 9 * width)
    step = end / steps
    total = 0.0
    for i in range(steps + 1):
        x = i * step
        weight = 1 if i in {0, steps} else 4 if i % 2 else 2
        total += weight * of(1 / (1 + math.exp(-x))) * math.exp(-((x / width) ** 2) / 2)
    return 2 * total * step / 3 / (width * math.sqrt(2 * math.pi))


def _disagreement(p: float) -> float:
    return 2 * p * (1 - p)


def _entropy(p: float) -> float:
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)
