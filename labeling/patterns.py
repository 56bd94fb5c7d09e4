"""What stands out in how people label: position bias, pace, always the same order, ratings that drift.

A flag is a reason for a person to look, with a sentence that says what was seen; nothing here changes anybody's work,
weight or standing. A flag wants two things at once: more than chance would do, and enough to matter. Only the standard
library is needed; figures are computed from rankings as they were said, and whoever asks chooses which ones enter.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median, quantiles
from typing import TYPE_CHECKING, ClassVar

from labeling.agreement import Estimate, clustered, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from training.records import RankingJudgement

LEAN = 0.05  # a win rate this near to one half is no lean worth a sentence
FASTEST = 100.0  # characters a second, a thousand words a minute: nobody reads so fast
HASTY = 0.05  # the share of tasks that anybody may hurry through
OUTLYING = -3.5  # Iglewicz and Hoaglin's (1993) bound of the modified z-score
HALF = 0.5
ENOUGH = 20  # rankings of an annotator (or of a week) before anything is said of them
COMPANY = 5  # annotators before one is compared with the others
CHANCE = 0.001  # how rarely chance alone may raise a flag
MOVED = 0.2  # population stability index; 0.1 is customarily small and 0.25 large
SHUFFLES, REACHED = 1999, 20  # shuffles of the weeks, fewer where so many already differ as much
RATINGS = range(1, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A ranking, and how it came about."""

    task: str
    at: datetime
    ranking: RankingJudgement
    """Its `shown` is the order on the screen, from the left, and may be empty; its `seconds` may be None."""
    characters: int | None = None
    """Length of what there was to read: the prompt and all responses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long tasks took, in seconds, by figures that a forgotten tab does not move."""

    median: float
    lower_quartile: float
    upper_quartile: float
    seconds_per_1000_characters: float | None
    """Median; None where no length is known."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """How often each rating from 1 to 7 was given."""

    counts: tuple[int, ...]
    mean: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """A week's ratings against those of all weeks before."""

    monday: date
    before: Ratings
    now: Ratings
    stability_index: float
    """Population stability index: 0 for equal distributions."""
    chance: float | None
    """How often shuffled weeks differ as much; None where the index is too small to ask."""

    @property
    def moved(self) -> bool:
        """Whether the ratings moved by more than chance and enough to matter."""
        return self.stability_index >= MOVED and self.chance is not None and self.chance <= CHANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class LeansToASide:
    """The left-most card wins more, or fewer, of its comparisons than half."""

    code: ClassVar[str] = "leans_to_a_side"
    annotator: str
    left: Estimate

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        return (
            f"{self.annotator} placed the left-most response above another in {_percent(self.left.value)} of "
            f"{self.left.count:.0f} comparisons{_between(self.left)}. Cards are shuffled, so half would be expected."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFast:
    """Tasks were finished before their text can have been read."""

    code: ClassVar[str] = "too_fast"
    annotator: str
    tasks: tuple[str, ...]
    """Those that were, first to last."""
    of: int
    """Tasks whose time and length are known."""

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        return (
            f"{self.annotator} finished {len(self.tasks)} of {self.of} tasks in less time than it takes to read them "
            f"at {FASTEST:.0f} characters a second."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FasterThanOthers:
    """Tasks take far less time than they take others."""

    code: ClassVar[str] = "faster_than_others"
    annotator: str
    seconds_per_1000_characters: float
    of_others: float
    """The middle one of the others' medians."""
    count: int

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        return (
            f"{self.annotator} takes {self.seconds_per_1000_characters:.1f} seconds for 1,000 characters (median of "
            f"{self.count} tasks); the others take {self.of_others:.1f}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SameOrder:
    """Most rankings follow one and the same pattern on the screen, though the cards are shuffled."""

    code: ClassVar[str] = "same_order"
    annotator: str
    ranks: tuple[int, ...]
    """Ranks from the left-most card to the right-most."""
    times: int
    of: int
    """Rankings of as many cards."""
    one_in: int
    """By chance the pattern would be one in so many."""

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        return (
            f"{self.annotator} ranked the cards {', '.join(map(str, self.ranks))} from left to right in {self.times} "
            f"of {self.of} tasks. Cards are shuffled, so one in {self.one_in} would be expected."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TiesEverything:
    """Most rankings put all responses on one rank."""

    code: ClassVar[str] = "ties_everything"
    annotator: str
    times: int
    of: int

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        return f"{self.annotator} tied all responses with one another in {self.times} of {self.of} tasks."


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingsMoved:
    """A week's ratings are distributed otherwise than those of the weeks before."""

    code: ClassVar[str] = "ratings_moved"
    annotator: str
    week: Week

    @property
    def sentence(self) -> str:
        """What was seen, for people."""
        week = self.week
        return (
            f"In the week of {week.monday.isoformat()}, the mean rating of {self.annotator} was {week.now.mean:.1f} "
            f"over {week.now.count} responses, after {week.before.mean:.1f} before (stability index "
            f"{week.stability_index:.2f}). The responses may have changed, or the scale that they are held to."
        )


Flag = LeansToASide | TooFast | FasterThanOthers | SameOrder | TiesEverything | RatingsMoved


def flags(observed: Iterable[Observed]) -> list[Flag]:
    """Everything that stands out, by annotator; people look, and decide."""
    rows = sorted(observed, key=lambda row: (row.at, row.task))
    by_annotator = _by_annotator(rows)
    raised: list[Flag] = []
    for annotator, own in by_annotator.items():
        for look in (_leans, _too_fast, _same_order, _ties_everything, _ratings_moved):
            raised += look(annotator, own)
    raised += _faster_than_others(by_annotator)
    return sorted(raised, key=lambda flag: (flag.annotator, flag.code))


def win_rates(observed: Iterable[Observed]) -> tuple[Estimate | None, ...]:
    """How often the card at each place, from the left, stands above another card of its board; ties count half.

    Intervals treat tasks as independent. Rankings whose order on the screen is unknown say nothing. With shuffled cards
    every rate is one half but for chance (law D3), whatever the number of cards.
    """
    parts: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for row in observed:
        ranks = _on_screen(row)
        for place, rank in enumerate(ranks):
            won = sum((other > rank) + (other == rank) / 2 for other in ranks) - HALF  # not against itself
            parts[place][row.task][0] += won
            parts[place][row.task][1] += len(ranks) - 1
    return tuple(clustered((won, of) for won, of in parts[place].values()) for place in range(len(parts)))


def paces(observed: Iterable[Observed]) -> dict[str, Pace]:
    """How long tasks took each annotator; those without a single known time are left out."""
    return {annotator: pace for annotator, rows in _by_annotator(observed).items() if (pace := _pace(rows)) is not None}


def ratings(observed: Iterable[Observed]) -> Ratings | None:
    """How often each rating was given; None where none was."""
    given = Counter(rating for row in observed for rating in _rated(row))
    return _distribution(tuple(given[rating] for rating in RATINGS))


def ratings_by_annotator(observed: Iterable[Observed]) -> dict[str, Ratings]:
    """How often each annotator gave each rating."""
    return {
        annotator: given for annotator, rows in _by_annotator(observed).items() if (given := ratings(rows)) is not None
    }


def ratings_by_week(observed: Iterable[Observed]) -> dict[date, Ratings]:
    """How often each rating was given in each week, by its Monday, oldest first; weeks without ratings are left out."""
    by_week: dict[date, list[Observed]] = defaultdict(list)
    for row in observed:
        by_week[_monday(row)].append(row)
    return {monday: given for monday, rows in sorted(by_week.items()) if (given := ratings(rows)) is not None}


def weeks(observed: Iterable[Observed]) -> list[Week]:
    """Each week's ratings against all before it, oldest first; weeks without enough on both sides are left out.

    The index adds half a rating to each of the seven counts, so that an unused one is no infinity. Where it reaches the
    bound that matters, rankings are shuffled between before and now, whole, because the ratings of one board
    belong together; the shuffles are the same each time.
    """
    by_week: dict[date, list[tuple[int, ...]]] = defaultdict(list)
    for row in sorted(observed, key=lambda row: (row.at, row.task)):
        given = Counter(_rated(row))
        if given:
            by_week[_monday(row)].append(tuple(given[rating] for rating in RATINGS))
    found = []
    before: list[tuple[int, ...]] = []
    for monday, now in sorted(by_week.items()):
        first, second = _distribution(_total(before)), _distribution(_total(now))
        if first and second and min(len(before), len(now)) >= ENOUGH:
            index = stability_index(first.counts, second.counts)
            chance = _shuffled(before, now, index) if index >= MOVED else None
            found.append(Week(monday=monday, before=first, now=second, stability_index=index, chance=chance))
        before = before + now
    return found


def stability_index(before: Sequence[int], now: Sequence[int]) -> float:
    """Population stability index of two lists of counts: sum of (p - q) ln(p / q), half a count added to each."""
    old, new = (sum(counts) + len(counts) / 2 for counts in (before, now))
    shares = [((p + HALF) / old, (q + HALF) / new) for p, q in zip(before, now, strict=True)]
    return sum((p - q) * math.log(p / q) for p, q in shares)


def _leans(annotator: str, rows: Sequence[Observed]) -> list[Flag]:
    rates = win_rates(rows)
    left = rates[0] if rates else None
    if left is None or left.low is None or left.high is None or left.tasks < ENOUGH:
        return []
    return [LeansToASide(annotator=annotator, left=left)] if left.low > HALF + LEAN or left.high < HALF - LEAN else []


def _too_fast(annotator: str, rows: Sequence[Observed]) -> list[Flag]:
    timed = [row for row in rows if row.characters and row.ranking.seconds is not None]
    hasty = tuple(row.task for row in timed if _seconds(row) * FASTEST < (row.characters or 0))
    if len(timed) < ENOUGH or _tail(len(hasty), len(timed), HASTY) > CHANCE:
        return []
    return [TooFast(annotator=annotator, tasks=hasty, of=len(timed))]


def _faster_than_others(by_annotator: Mapping[str, Sequence[Observed]]) -> list[Flag]:
    """Compare logarithms of the annotators' medians, each with the others', by the modified z-score."""
    known = {name: pace for name, rows in by_annotator.items() if (pace := _pace(rows)) and pace.count >= ENOUGH}
    speeds = {name: pace.seconds_per_1000_characters or 0.0 for name, pace in known.items()}
    raised: list[Flag] = []
    for annotator, own in speeds.items():
        others = [math.log(speed) for name, speed in speeds.items() if speed and name != annotator]
        if not own or len(others) < COMPANY:
            continue
        middle = median(others)
        spread = median(abs(other - middle) for other in others)
        if own < HALF * math.exp(middle) and 0.6745 * (math.log(own) - middle) < OUTLYING * spread:
            raised.append(
                FasterThanOthers(
                    annotator=annotator,
                    seconds_per_1000_characters=own,
                    of_others=math.exp(middle),
                    count=known[annotator].count,
                )
            )
    return raised


def _same_order(annotator: str, rows: Sequence[Observed]) -> list[Flag]:
    boards = [ranks for row in rows if (ranks := _on_screen(row)) and len(set(ranks)) > 1]
    of_length = Counter(map(len, boards))
    raised: list[Flag] = []
    for ranks, times in Counter(boards).items():
        of = of_length[len(ranks)]
        one_in = math.factorial(len(ranks)) // math.prod(map(math.factorial, Counter(ranks).values()))
        beyond = (times / of - 1 / one_in) / (1 - 1 / one_in)
        if of < ENOUGH or beyond <= HALF:
            continue
        alike = sum(sorted(board) == sorted(ranks) for board in boards)  # with as many ties, hence as many arrangements
        if _tail(times, alike, 1 / one_in) * one_in <= CHANCE:
            raised.append(SameOrder(annotator=annotator, ranks=ranks, times=times, of=of, one_in=one_in))
    return raised


def _ties_everything(annotator: str, rows: Sequence[Observed]) -> list[Flag]:
    times = sum(len({placed.rank for placed in row.ranking.placements}) == 1 for row in rows)
    if len(rows) < ENOUGH or wilson(times / len(rows), len(rows))[0] <= HALF:
        return []
    return [TiesEverything(annotator=annotator, times=times, of=len(rows))]


def _ratings_moved(annotator: str, rows: Sequence[Observed]) -> list[Flag]:
    return [RatingsMoved(annotator=annotator, week=week) for week in weeks(rows) if week.moved]


def _by_annotator(observed: Iterable[Observed]) -> dict[str, list[Observed]]:
    rows: dict[str, list[Observed]] = defaultdict(list)
    for row in observed:
        rows[row.ranking.annotator].append(row)
    return dict(sorted(rows.items()))


def _on_screen(row: Observed) -> tuple[int, ...]:
    """Ranks from the left-most card to the right-most; empty where the order on the screen is unknown."""
    rank_of = {placed.response: placed.rank for placed in row.ranking.placements}
    return tuple(rank_of[response] for response in row.ranking.shown)


def _monday(row: Observed) -> date:
    day = row.at.date()
    return day - timedelta(days=day.weekday())


def _seconds(row: Observed) -> float:
    return row.ranking.seconds or 0.0


def _pace(rows: Sequence[Observed]) -> Pace | None:
    timed = [row for row in rows if row.ranking.seconds is not None]
    if not timed:
        return None
    seconds = [_seconds(row) for row in timed]
    quarters = quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    speeds = [1000 * _seconds(row) / row.characters for row in timed if row.characters]
    return Pace(
        median=quarters[1],
        lower_quartile=quarters[0],
        upper_quartile=quarters[2],
        seconds_per_1000_characters=median(speeds) if speeds else None,
        count=len(timed),
    )


def _rated(row: Observed) -> list[int]:
    return [placed.rating for placed in row.ranking.placements if placed.rating is not None]


def _distribution(counts: tuple[int, ...]) -> Ratings | None:
    count = sum(counts)
    if not count:
        return None
    return Ratings(counts=counts, mean=sum(r * n for r, n in zip(RATINGS, counts, strict=True)) / count, count=count)


def _total(boards: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sum(board[place] for board in boards) for place in range(len(RATINGS)))


def _shuffled(before: Sequence[tuple[int, ...]], now: Sequence[tuple[int, ...]], index: float) -> float:
    """How often weeks of shuffled rankings differ by as much as this index (Besag and Clifford 1991)."""
    dice = random.Random(0)
    everything = [*before, *now]
    total = _total(everything)
    reached = 0
    for shuffle in range(1, SHUFFLES + 1):
        drawn = _total(dice.sample(everything, len(now)))
        reached += stability_index([all_of - n for all_of, n in zip(total, drawn, strict=True)], drawn) >= index
        if reached == REACHED:
            return reached / shuffle
    return (reached + 1) / (SHUFFLES + 1)


def _tail(times: int, of: int, share: float) -> float:
    """The probability of at least so many successes in `of` trials of this probability."""
    log = math.lgamma(of + 1)
    return math.fsum(
        math.exp(
            log - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * math.log(share) + (of - k) * math.log1p(-share)
        )
        for k in range(times, of + 1)
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _between(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" (95 % interval {100 * estimate.low:.0f} to {_percent(estimate.high)})"
