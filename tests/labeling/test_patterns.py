"""What stands out is flagged with a sentence, and honest work is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labeling import patterns
from training.records import Placement, RankingJudgement

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def observed(annotator, ranks, *, task="task", at=MONDAY, ratings=None, seconds=60.0, characters=2000, shown=True):
    """A ranking from the ranks of the cards, left to right."""
    names = [f"{task} {letter}" for letter in "abcdefghi"[: len(ranks)]]
    rated = ratings or [None] * len(ranks)
    places = [
        Placement(response=name, rank=rank, rating=rating)
        for name, rank, rating in zip(names, ranks, rated, strict=True)
    ]
    return patterns.Observed(
        task=task,
        at=at,
        characters=characters,
        ranking=RankingJudgement(
            annotator=annotator,
            placements=tuple(sorted(places, key=lambda place: place.response)),
            shown=tuple(names) if shown else (),
            seconds=seconds,
        ),
    )


def honest(annotator, dice, *, count=80, level=4.0, start=MONDAY, pace=60.0, weeks=4):
    """Someone who ranks four shuffled cards by what they are worth, now and then with a tie."""
    rows = []
    for number in range(count):
        worth = [dice.gauss(level, 1.2) for _ in range(4)]
        ratings = [max(1, min(7, round(one))) for one in worth]
        keys = [-one for one in (ratings if dice.random() < 0.3 else worth)]
        order = sorted(set(keys))
        rows.append(
            observed(
                annotator,
                [order.index(key) + 1 for key in keys],
                task=f"{annotator} {number}",
                at=start + timedelta(weeks=number * weeks // count, minutes=number),
                ratings=ratings,
                seconds=pace * dice.lognormvariate(0, 0.5),
            )
        )
    return rows


def codes(rows):
    return {(flag.annotator, flag.code) for flag in patterns.flags(rows)}


# Honest work


def test_honest_work_is_hardly_ever_flagged():
    dice = random.Random(0)
    rows = [row for number in range(100) for row in honest(f"annotator {number}", dice, pace=dice.uniform(40, 90))]
    assert len(patterns.flags(rows)) <= 2


def test_little_is_said_of_little_work():
    rows = [observed("ada", [1, 2, 3, 4], task=str(number), seconds=0.5) for number in range(19)]
    assert patterns.flags(rows) == []
    assert patterns.flags([]) == []


@given(st.lists(st.permutations([1, 2, 3, 4]), max_size=60), st.randoms())
def test_flags_do_not_depend_on_the_order_in_which_rankings_arrive(boards, shuffler):
    rows = [
        observed("ada", ranks, task=str(number), at=MONDAY + timedelta(hours=9 * number))
        for number, ranks in enumerate(boards)
    ]
    assert patterns.flags(shuffler.sample(rows, len(rows))) == patterns.flags(rows)


# Position


def test_win_rates_count_every_other_card_and_ties_by_half():
    rates = patterns.win_rates([observed("ada", [1, 2, 2], task="1"), observed("ben", [2, 1, 3], task="2")])
    assert [rate.value for rate in rates] == pytest.approx([3 / 4, (0.5 + 2) / 4, (0.5 + 0) / 4])
    assert [rate.count for rate in rates] == [4, 4, 4]


@given(st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=1, max_size=20))
def test_win_rates_of_all_places_average_to_one_half(boards):
    rates = patterns.win_rates([observed("ada", ranks, task=str(number)) for number, ranks in enumerate(boards)])
    assert sum(rate.value for rate in rates) / 4 == pytest.approx(0.5)


def test_rankings_whose_order_on_the_screen_is_unknown_say_nothing_of_places():
    rows = [observed("ada", [1, 2, 3, 4], task=str(number), shown=False) for number in range(50)]
    assert patterns.win_rates(rows) == ()
    assert patterns.flags(rows) == []


def test_shuffled_cards_win_half_their_comparisons_at_every_place():
    """Law D3: the interval of the left-most card's win rate covers one half, as often as it says."""
    dice = random.Random(1)
    covered = total = 0
    for _ in range(150):
        for rate in patterns.win_rates(honest("ada", dice, count=60)):
            covered += rate.low <= 0.5 <= rate.high
            total += 1
    assert 0.92 < covered / total < 0.99


def test_someone_who_favours_the_left_is_flagged_with_the_figure():
    dice = random.Random(2)
    rows = []
    for number in range(150):
        worth = [dice.gauss(0, 1) + (0.8 if place == 0 else 0) for place in range(4)]
        rows.append(observed("ada", [1 + sum(other > one for other in worth) for one in worth], task=str(number)))
    [flag] = patterns.flags(rows)
    assert isinstance(flag, patterns.LeansToASide)
    assert 0.6 < flag.left.low < flag.left.value
    assert flag.sentence == (
        f"ada placed the left-most response above another in {100 * flag.left.value:.0f} % of 450 comparisons "
        f"(95 % interval {100 * flag.left.low:.0f} to {100 * flag.left.high:.0f} %). "
        "Cards are shuffled, so half would be expected."
    )
    assert ("ben", "leans_to_a_side") in codes(
        [observed("ben", [4, *ranks], task=str(n)) for n in range(30) for ranks in [dice.sample([1, 2, 3], 3)]]
    )


# Pace


def test_pace_is_not_moved_by_a_forgotten_tab():
    rows = [
        observed("ada", [1, 2], task=str(number), seconds=seconds)
        for number, seconds in enumerate([40, 50, 60, 70, 90_000])
    ]
    pace = patterns.paces(rows)["ada"]
    assert (pace.lower_quartile, pace.median, pace.upper_quartile, pace.count) == (50, 60, 70, 5)
    assert pace.seconds_per_1000_characters == 30
    assert patterns.paces([observed("ben", [1, 2], seconds=None)]) == {}
    assert (
        patterns.paces([observed("ben", [1, 2], seconds=8, characters=None)])["ben"].seconds_per_1000_characters is None
    )


def test_tasks_finished_faster_than_anybody_reads_are_named():
    dice = random.Random(3)
    rows = honest("ada", dice)
    assert codes(rows) == set()
    rushed = [
        observed(
            "ada",
            [2, 1, 4, 3][number % 2 :] + [2, 1, 4, 3][: number % 2],
            task=f"rushed {number}",
            at=MONDAY + timedelta(days=40, minutes=number),
            seconds=3,
        )
        for number in range(20)
    ]
    [flag] = [flag for flag in patterns.flags(rows + rushed) if flag.code == "too_fast"]
    assert flag.tasks[-20:] == tuple(f"rushed {number}" for number in range(20))
    assert len(flag.tasks) < 24  # an honest slip or two
    assert flag.sentence.startswith(
        f"ada finished {len(flag.tasks)} of 100 tasks in less time than it takes to read them"
    )


def test_one_hasty_task_is_no_habit():
    rows = honest("ada", random.Random(4))
    assert codes([*rows, observed("ada", [1, 2, 3, 4], task="slip", seconds=1)]) == set()


def test_someone_far_faster_than_the_others_is_flagged_and_a_quick_one_is_not():
    dice = random.Random(5)
    rows = [row for number in range(8) for row in honest(f"annotator {number}", dice, count=40, pace=150 + 5 * number)]
    quick, far = honest("quick", dice, count=40, pace=100), honest("far", dice, count=40, pace=45)
    found = patterns.flags(rows + quick + far)
    assert [(flag.annotator, flag.code) for flag in found] == [("far", "faster_than_others")]
    assert 3 * found[0].seconds_per_1000_characters < found[0].of_others == pytest.approx(85, rel=0.1)
    assert "the others take" in found[0].sentence


# Always the same


def test_always_the_same_order_is_flagged():
    dice = random.Random(6)
    rows = [
        observed("ada", [1, 2, 3, 4] if number % 4 else dice.sample([1, 2, 3, 4], 4), task=str(number))
        for number in range(40)
    ]
    flag = next(flag for flag in patterns.flags(rows) if flag.code == "same_order")
    assert (flag.ranks, flag.of, flag.one_in) == ((1, 2, 3, 4), 40, 24)
    assert 30 <= flag.times <= 32
    assert flag.sentence == (
        f"ada ranked the cards 1, 2, 3, 4 from left to right in {flag.times} of 40 tasks. "
        "Cards are shuffled, so one in 24 would be expected."
    )


def test_a_pattern_with_ties_is_expected_as_often_as_it_has_arrangements():
    [flag] = [
        flag
        for flag in patterns.flags([observed("ada", [1, 2, 2, 2], task=str(n)) for n in range(25)])
        if flag.code == "same_order"
    ]
    assert flag.one_in == 4


def test_of_two_cards_the_left_may_be_better_many_times():
    dice = random.Random(7)
    rows = [observed("ada", [1, 2] if dice.random() < 0.6 else [2, 1], task=str(number)) for number in range(60)]
    assert "same_order" not in {flag.code for flag in patterns.flags(rows)}


def test_tying_everything_is_flagged_as_itself():
    rows = [observed("ada", [1, 1, 1, 1] if number % 5 else [1, 2, 3, 4], task=str(number)) for number in range(50)]
    [flag] = patterns.flags(rows)
    assert flag.sentence == "ada tied all responses with one another in 40 of 50 tasks."


@given(st.integers(1, 400), st.floats(0.01, 0.99), st.data())
def test_the_tail_is_scipys(of, share, data):
    times = data.draw(st.integers(0, of))
    assert patterns._tail(times, of, share) == pytest.approx(stats.binom.sf(times - 1, of, share), rel=1e-6, abs=1e-12)


# Ratings


def test_ratings_are_counted_for_all_and_by_annotator():
    rows = [
        observed("ada", [1, 2, 2], task="1", ratings=[7, 4, 4]),
        observed("ben", [1, 2, 3], task="1", ratings=[6, 2, 1]),
        observed("cleo", [1, 2, 3], task="1"),
    ]
    assert patterns.ratings(rows) == patterns.Ratings(counts=(1, 1, 0, 2, 0, 1, 1), mean=4.0, count=6)
    assert {name: given.mean for name, given in patterns.ratings_by_annotator(rows).items()} == {"ada": 5.0, "ben": 3.0}
    assert patterns.ratings([]) is None


counts = st.lists(st.integers(0, 50), min_size=7, max_size=7)


@given(counts, counts)
def test_the_stability_index_is_both_divergences_together(before, now):
    p, q = (np.array(side) + 0.5 for side in (before, now))
    index = patterns.stability_index(before, now)
    assert index == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), abs=1e-12)
    assert index == pytest.approx(patterns.stability_index(now, before))
    assert patterns.stability_index(now, now) == 0


def test_a_change_of_scale_is_seen_in_the_week_it_comes_and_told():
    dice = random.Random(8)
    rows = honest("ada", dice, count=120, level=3.5)
    rows += honest("ada", dice, count=30, level=5.5, weeks=1, start=MONDAY + timedelta(weeks=4))
    found = patterns.weeks(rows)
    assert [week.monday for week in found] == [(MONDAY + timedelta(weeks=number)).date() for number in (1, 2, 3, 4)]
    assert [week.moved for week in found] == [False, False, False, True]
    [flag] = [flag for flag in patterns.flags(rows) if flag.code == "ratings_moved"]
    assert flag.week == found[-1]
    assert flag.sentence.startswith("In the week of 2026-03-30, the mean rating of ada was 5.")
    assert "after 3." in flag.sentence


def test_an_index_that_chance_explains_is_no_move():
    """Twenty boards of equal ratings each: as few as twenty words, whatever the number of cards."""
    dice = random.Random(9)
    moved = large = 0
    for _ in range(60):
        rows = [
            observed(
                "ada",
                [1] * 9,
                task=f"{week} {number}",
                at=MONDAY + timedelta(weeks=week),
                ratings=[dice.randint(2, 6)] * 9,
            )
            for week in range(2)
            for number in range(20)
        ]
        [week] = patterns.weeks(rows)
        large += week.stability_index >= patterns.MOVED
        moved += week.moved
    assert large > 20
    assert moved <= 3


def test_weeks_begin_on_monday():
    sunday = MONDAY - timedelta(days=1)
    rows = [
        observed("ada", [1, 2], task=f"{day} {number}", at=day, ratings=[5, 3])
        for day in (sunday, MONDAY, MONDAY + timedelta(days=6))
        for number in range(20)
    ]
    [week] = patterns.weeks(rows)
    assert (week.monday, week.before.count, week.now.count) == (MONDAY.date(), 40, 80)


def test_every_flag_has_a_code_of_its_own_and_speaks_of_its_annotator():
    dice = random.Random(10)
    rows = [row for number in range(7) for row in honest(f"annotator {number}", dice, count=40)]
    rows += [observed("hasty", [1, 2, 3, 4], task=str(number), seconds=2, ratings=[7, 6, 5, 4]) for number in range(30)]
    rows += [observed("level", [1, 1, 1, 1], task=str(number), ratings=[4] * 4) for number in range(30)]
    found = patterns.flags(rows)
    assert {flag.annotator for flag in found} == {"hasty", "level"}
    assert {flag.code for flag in found} == {
        "leans_to_a_side",
        "too_fast",
        "faster_than_others",
        "same_order",
        "ties_everything",
    }
    for flag in found:
        assert flag.annotator in flag.sentence
        assert flag.sentence.endswith(".")
    for one, other in combinations(found, 2):
        assert (one.annotator, one.code) != (other.annotator, other.code)
