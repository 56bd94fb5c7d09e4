"""How far annotators agree: held to counts made by hand, to scipy and krippendorff, and to simulated annotators."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labeling import agreement
from training.records import Placement, RankingJudgement, Verdict, VerdictsJudgement

DATA = Path(os.environ.get("LAUREL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
WORDS = ["a", "a_slight", "tie", "b_slight", "b"]
TURNED = dict(zip(WORDS, reversed(WORDS), strict=True))


def ranking(annotator, ranks, ratings=None, flags=None, task_flags=()):
    """A ranking from ranks by response."""
    return RankingJudgement(
        annotator=annotator,
        placements=tuple(
            Placement(
                response=response,
                rank=rank,
                rating=(ratings or {}).get(response),
                flags=tuple((flags or {}).get(response, ())),
            )
            for response, rank in ranks.items()
        ),
        flags=tuple(task_flags),
    )


def verdicts(annotator, said):
    return VerdictsJudgement(
        annotator=annotator, verdicts=tuple(Verdict(a=a, b=b, verdict=word) for a, b, word in said)
    )


def on_one_pair(words):
    """Tasks of one pair each, from the words of Ada and Ben."""
    return {
        str(task): [verdicts("ada", [("x", "y", ada)]), verdicts("ben", [("x", "y", ben)])]
        for task, (ada, ben) in enumerate(words)
    }


@st.composite
def task_sets(draw):
    """A few tasks with the verdicts of up to four annotators on some of the pairs of up to four responses."""
    tasks = {}
    for task in range(draw(st.integers(1, 4))):
        pairs = list(combinations([f"{task}{letter}" for letter in "wxyz"], 2))
        names = draw(st.lists(st.sampled_from(["ada", "ben", "cleo", "dan"]), min_size=1, unique=True))
        tasks[f"task{task}"] = [
            verdicts(
                name,
                [
                    (a, b, draw(st.sampled_from(WORDS)))
                    for a, b in draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
                ],
            )
            for name in names
        ]
    return tasks


# The golden figures


@pytest.fixture(scope="module")
def pandalm():
    """The rows of PandaLM's three annotators, untouched."""
    path = DATA / "rankings.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real annotations are not here: no {path} (set LAUREL_DATA)")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if row["source"] == "pandalm"]


def as_tasks(rows):
    return {
        row["id"]: [
            verdicts(said["annotator"], [(pair["a"], pair["b"], pair["verdict"]) for pair in said["data"]])
            for said in row["annotations"]
        ]
        for row in rows
    }


def test_pandalms_annotators_agree_as_counted_by_hand(pandalm):
    """Their published κ on all 999 pairs are 0.85, 0.88 and 0.86; the pairs here have values of their own."""
    said = defaultdict(dict)
    for row in pandalm:
        for annotation in row["annotations"]:
            for pair in annotation["data"]:
                said[row["id"], pair["a"], pair["b"]][annotation["annotator"]] = pair["verdict"]
    assert len(said) == 652
    assert all(len(words) == 3 for words in said.values())

    computed = agreement.between_annotators(as_tasks(pandalm), sides="as_said", ties="exact")
    names = ("pandalm-a1", "pandalm-a2", "pandalm-a3")
    assert list(computed) == list(combinations(names, 2))
    for (one, other), figures in computed.items():
        words = [(by[one], by[other]) for by in said.values()]
        alike = sum(first == second for first, second in words) / 652
        firsts, seconds = Counter(first for first, _ in words), Counter(second for _, second in words)
        chance = sum(firsts[word] * seconds[word] for word in ("a", "tie", "b")) / 652**2
        assert figures.kappa.value == pytest.approx((alike - chance) / (1 - chance), abs=1e-12)
        assert figures.share.value == pytest.approx(alike, abs=1e-12)
        assert figures.kappa.count == 652
        assert figures.kappa.tasks == 120

    kappas = [figures.kappa for figures in computed.values()]
    assert [round(kappa.value, 4) for kappa in kappas] == [0.8673, 0.8928, 0.8782]
    for kappa, published in zip(kappas, (0.85, 0.88, 0.86), strict=True):
        assert kappa.low < published < kappa.high


def test_pandalms_strict_verdicts_set_a_ceiling(pandalm):
    """Of the pairs that two ordered strictly, 528 + 537 + 527 are alike and 33 + 23 + 30 opposed."""
    share = agreement.pairwise(as_tasks(pandalm)).share
    alike = opposed = 0
    for row in pandalm:
        by = [{(pair["a"], pair["b"]): pair["verdict"] for pair in said["data"]} for said in row["annotations"]]
        for one, other in combinations(by, 2):
            strict = [(one[pair], other[pair]) for pair in one if "tie" not in {one[pair], other[pair]}]
            alike += sum(first == second for first, second in strict)
            opposed += sum(first != second for first, second in strict)
    assert (alike, opposed) == (528 + 537 + 527, 33 + 23 + 30)
    assert share.value == alike / (alike + opposed)
    assert share.count == alike + opposed
    best = agreement.ceiling(share.value)
    assert share.value < best.accuracy < 1
    assert (round(share.value, 4), round(best.accuracy, 4), round(best.log_loss, 3)) == (0.9487, 0.9644, 0.084)


@pytest.mark.usefixtures("pandalm")
def test_every_real_judgement_can_be_compared():
    with gzip.open(DATA / "rankings.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tasks = {
        row["id"]: [
            ranking(said["annotator"], {response: place for place, response in enumerate(said["data"], start=1)})
            if said["type"] == "ranking"
            else verdicts(said["annotator"], [(pair["a"], pair["b"], pair["verdict"]) for pair in said["data"]])
            for said in row["annotations"]
        ]
        for row in rows
    }
    assert sum(len(words) for words in tasks.values()) == 1594
    began = time.process_time()
    everyone = agreement.pairwise(tasks)
    by_annotator = agreement.against_rest(tasks)
    assert time.process_time() - began < 5
    assert 0.7 < everyone.share.low < everyone.share.value < everyone.share.high < 1
    assert {"pandalm-a1", "tulu-e08"} <= set(by_annotator)
    assert "fgqa-crowd" not in by_annotator  # alone on all of its tasks
    assert agreement.rank_alpha(tasks) is None  # nobody shares a ranking


# What ties count


def test_a_tie_counts_as_the_named_rule_says():
    tasks = on_one_pair([("a", "a_slight"), ("a", "b"), ("a", "tie"), ("tie", "tie")])
    assert {
        rule: (found.share.value, found.share.count)
        for rule in ("left_out", "half", "exact")
        for found in [agreement.pairwise(tasks, ties=rule)]
    } == {"left_out": (1 / 2, 2), "half": (2.5 / 4, 4), "exact": (2 / 4, 4)}


def test_where_only_ties_were_said_nothing_speaks_to_a_strict_share():
    found = agreement.pairwise(on_one_pair([("tie", "tie")] * 5))
    assert found.share is None
    assert found.kappa is None  # both only ever said one word: chance explains everything


def test_a_pair_judged_twice_says_what_most_of_its_verdicts_say():
    said = verdicts("ada", [("x", "y", "a"), ("y", "x", "a"), ("z", "x", "b"), ("x", "z", "a_slight")])
    assert agreement.outcomes(said) == {("x", "y"): 0, ("z", "x"): -1}


def test_a_ranking_compares_all_its_pairs():
    assert agreement.outcomes(ranking("ada", {"x": 1, "y": 2, "z": 2})) == {
        ("x", "y"): 1,
        ("x", "z"): 1,
        ("y", "z"): 0,
    }


def test_a_ranking_and_a_verdict_meet_on_the_pair_they_share():
    tasks = {"t": [ranking("ada", {"x": 1, "y": 2, "z": 3}), verdicts("ben", [("z", "x", "b"), ("z", "q", "a")])]}
    share = agreement.pairwise(tasks).share
    assert (share.value, share.count, share.low) == (1, 1, None)


def test_two_current_words_of_one_annotator_are_refused():
    with pytest.raises(ValueError, match="more than one word on task t"):
        agreement.pairwise({"t": [verdicts("ada", [("x", "y", "a")]), verdicts("ada", [("x", "y", "b")])]})


# Laws


@given(task_sets(), st.randoms())
def test_names_of_responses_and_the_order_of_everything_do_not_matter(tasks, shuffler):
    new_names = [f"{task}{letter}" for task in range(4) for letter in "wxyz"]
    shuffler.shuffle(new_names)
    renamed = dict(zip(sorted(new_names), new_names, strict=True))
    other = [
        (
            task,
            shuffler.sample(
                [
                    verdicts(
                        word.annotator,
                        [
                            (renamed[v.b], renamed[v.a], TURNED[v.verdict])
                            if shuffler.random() < 0.5
                            else (renamed[v.a], renamed[v.b], v.verdict)
                            for v in word.verdicts
                        ],
                    )
                    for word in words
                ],
                len(words),
            ),
        )
        for task, words in tasks.items()
    ]
    shuffler.shuffle(other)
    for read in (agreement.pairwise, agreement.against_rest, agreement.between_annotators):
        assert flat(read(tasks)) == pytest.approx(flat(read(dict(other))))


def flat(figures):
    """All numbers of some figures, by where they stand."""
    by_name = figures if isinstance(figures, dict) else {"": figures}
    return {
        (name, part, field): -9.0 if getattr(estimate, field) is None else getattr(estimate, field)
        for name, found in by_name.items()
        for part in ("share", "kappa")
        if (estimate := getattr(found, part)) is not None
        for field in ("value", "low", "high", "count", "tasks")
    }


@given(task_sets())
def test_figures_stay_within_their_bounds_and_intervals_around_them(tasks):
    for rule in ("left_out", "half", "exact"):
        for found in (agreement.pairwise(tasks, ties=rule), *agreement.against_rest(tasks, ties=rule).values()):
            for estimate, least in ((found.share, 0), (found.kappa, -1)):
                if estimate is not None:
                    assert least - 1e-12 <= estimate.value <= 1 + 1e-12
                    assert estimate.low is None or least <= estimate.low <= estimate.value + 1e-9
                    assert estimate.high is None or estimate.value - 1e-9 <= estimate.high <= 1


@given(task_sets())
def test_an_annotator_agrees_wholly_with_a_copy(tasks):
    doubled = {
        task: [words[0], verdicts("copy", [(v.b, v.a, TURNED[v.verdict]) for v in words[0].verdicts])]
        for task, words in tasks.items()
    }
    found = agreement.pairwise(doubled, ties="exact")
    assert found.share.value == 1
    assert found.kappa is None or found.kappa.value == pytest.approx(1)


def test_more_tasks_of_the_same_kind_make_the_intervals_narrower():
    words = [("a", "a"), ("b", "b"), ("a", "b"), ("tie", "tie"), ("b", "b"), ("tie", "a")]
    few, many = agreement.pairwise(on_one_pair(words * 3)), agreement.pairwise(on_one_pair(words * 100))
    for part in ("share", "kappa"):
        narrow, wide = getattr(many, part), getattr(few, part)
        assert narrow.value == pytest.approx(wide.value)
        assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_pairs_of_one_task_are_not_taken_for_independent():
    """Ten pairs on which two agree or differ all at once are worth one pair."""
    alike, unlike = [("a", "a")] * 10, [("a", "b")] * 10
    scattered = on_one_pair((alike + unlike) * 4)
    heaped = {
        str(task): [
            verdicts("ada", [("x", f"y{i}", "a") for i in range(10)]),
            verdicts("ben", [("x", f"y{i}", "a" if task % 2 else "b") for i in range(10)]),
        ]
        for task in range(8)
    }
    loose, tight = agreement.pairwise(heaped).share, agreement.pairwise(scattered).share
    assert (loose.value, loose.count) == (tight.value, tight.count) == (0.5, 80)
    assert loose.high - loose.low > 2 * (tight.high - tight.low)


# Intervals


@given(st.integers(1, 400), st.data())
def test_wilsons_interval_is_scipys(count, data):
    right = data.draw(st.integers(0, count))
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert agreement.wilson(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 19, 199])
def test_students_quantile_is_scipys(freedom):
    assert agreement._student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Tasks of four pairs, on each of which two annotators find the truth with a chance that the task sets."""
    dice = random.Random(5)
    easy, hard, runs = 0.95, 0.6, 300
    truth = (easy**2 + (1 - easy) ** 2 + hard**2 + (1 - hard) ** 2) / 2
    shares = kappas = 0
    for _ in range(runs):
        tasks = {}
        for task in range(40):
            chance = dice.choice((easy, hard))
            words = {
                name: [("x", f"y{i}", "a" if (dice.random() < chance) == bool(i % 2) else "b") for i in range(4)]
                for name in ("ada", "ben")
            }
            tasks[str(task)] = [verdicts(name, said) for name, said in words.items()]
        found = agreement.pairwise(tasks)
        shares += found.share.low <= truth <= found.share.high
        kappas += found.kappa.low <= 2 * truth - 1 <= found.kappa.high  # chance agrees on half, read from both sides
    assert 0.92 * runs <= shares <= 0.99 * runs
    assert 0.92 * runs <= kappas <= 0.99 * runs


def test_an_annotator_who_guesses_agrees_beyond_chance_with_nobody():
    dice = random.Random(2)
    tasks = {
        str(task): [
            verdicts("ada", [("x", "y", dice.choice("ab"))]),
            ranking("ben", {"x": dice.choice((1, 3)), "y": 2}),
        ]
        for task in range(400)
    }
    kappa = agreement.pairwise(tasks).kappa
    assert kappa.low < 0 < kappa.high
    assert kappa.high - kappa.low < 0.25


# Krippendorff


def rated_tasks(table):
    """Tasks of three responses each; row by annotator, column by response, None where nothing was said."""
    tasks = defaultdict(list)
    for name, row in enumerate(table):
        for first in range(0, len(row), 3):
            ratings = {str(i): row[i] for i in range(first, min(first + 3, len(row))) if row[i] is not None}
            if ratings:
                tasks[f"task{first}"].append(ranking(str(name), dict.fromkeys(ratings, 1), ratings))
    return dict(tasks)


@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.none() | st.integers(1, 7), min_size=3 * width, max_size=3 * width), min_size=2, max_size=4
        )
    ),
    st.sampled_from(["nominal", "ordinal", "interval"]),
)
def test_alpha_of_ratings_is_krippendorffs(table, level):
    found = agreement.rating_alpha(rated_tasks(table), level=level)
    columns = [[said for said in column if said is not None] for column in zip(*table, strict=True)]
    pairable = [said for column in columns if len(column) > 1 for said in column]
    if len(set(pairable)) < 2:
        assert found is None  # one value only: nothing to agree on beyond chance
        return
    expected = krippendorff.alpha(
        [[math.nan if x is None else x for x in row] for row in table], level_of_measurement=level
    )
    assert found.value == pytest.approx(expected, abs=1e-9)


def test_alpha_of_ranks_is_one_for_copies_and_near_zero_for_guesses():
    dice = random.Random(1)
    names = ("ada", "ben", "cleo")

    def shuffled():
        return dict(zip("wxyz", dice.sample(range(1, 5), 4), strict=True))

    alike = agreement.rank_alpha(
        {str(task): [ranking(name, order) for name in names] for task in range(30) for order in [shuffled()]}
    )
    guesses = {str(task): [ranking(name, shuffled()) for name in names] for task in range(300)}
    table = [[placed.rank for words in guesses.values() for placed in words[i].placements] for i in range(3)]
    guessed = agreement.rank_alpha(guesses)
    opposed = agreement.rank_alpha(
        {"t": [ranking("ada", {"x": 1, "y": 2, "z": 3}), ranking("ben", {"x": 3, "y": 2, "z": 1})]}
    )
    assert alike.value == pytest.approx(1)
    assert 0.8 < alike.low < alike.high == 1
    assert guessed.low < 0 < guessed.high < 0.1
    assert guessed.value == pytest.approx(krippendorff.alpha(table, level_of_measurement="ordinal"))
    assert opposed.value < 0


def test_a_tie_lies_between_its_two_orders():
    """What counts is where a response stands on the list, so a tie is half a step from either order."""

    def alpha(ben):
        order = {"w": 1, "x": 2, "y": 3, "z": 4}
        return agreement.rank_alpha(
            {str(task): [ranking("ada", order), ranking("ben", ben)] for task in range(5)}
        ).value

    same, tied, swapped = (
        alpha(dict(zip("wxyz", ranks, strict=True))) for ranks in ((1, 2, 3, 4), (1, 2, 2, 3), (1, 3, 2, 4))
    )
    assert same == pytest.approx(1)
    assert same > tied > swapped


def test_flags_agree_beyond_chance_or_not():
    dice = random.Random(3)
    tasks = {}
    for task in range(200):
        harmful = dice.random() < 0.1

        def said(harmful=harmful):
            flags = [flag for flag, raised in (("violent", harmful), ("opinion", dice.random() < 0.3)) if raised]
            return {"x": flags, "y": ["always"]}

        tasks[str(task)] = [
            ranking(name, {"x": 1, "y": 2}, flags=said(), task_flags=["unclear"] if harmful and name == "ada" else ())
            for name in ("ada", "ben")
        ]
    found = agreement.flag_agreement(tasks)
    violent, opinion = found["response", "violent"], found["response", "opinion"]
    assert set(found) == {("response", "violent"), ("response", "opinion"), ("response", "always"), ("task", "unclear")}
    assert violent.alpha.value == pytest.approx(1)
    assert violent.positive == 1
    assert violent.units == 400
    assert opinion.alpha.low < 0.2
    assert opinion.positive < 0.6
    assert found["response", "always"].alpha.value < 1.01
    assert found["task", "unclear"].positive == 0
    assert found["task", "unclear"].units == 200


# One against the rest, and against gold


def test_the_careless_annotator_stands_out_against_the_rest_and_against_gold():
    dice = random.Random(4)
    chance = {"ada": 0.9, "ben": 0.9, "cleo": 0.9, "dan": 0.5}
    tasks, gold = {}, {}
    for task in range(150):
        truth = dict(zip("wxyz", dice.sample(range(1, 5), 4), strict=True))
        gold[str(task)] = ranking("lead", truth)
        tasks[str(task)] = [
            verdicts(
                name,
                [
                    (a, b, "a" if (truth[a] < truth[b]) == (dice.random() < right) else "b")
                    for a, b in combinations("wxyz", 2)
                ],
            )
            for name, right in chance.items()
        ]
    rest, known = agreement.against_rest(tasks), agreement.against_gold(tasks, gold)
    for name, right in chance.items():
        assert known[name].share.low <= right <= known[name].share.high
        assert known[name].share.count == 900
        assert rest[name].share.count == 2700
        assert (rest[name].kappa.low > 0.2) == (name != "dan")
    assert min(rest, key=lambda name: rest[name].share.value) == "dan"
    assert agreement.against_gold(tasks, {}) == {}


# What agreement allows


@pytest.mark.parametrize(
    ("agreed", "reward_sd", "accuracy", "log_loss"),
    [
        (0.63, 0.96, 0.719, 0.548),
        (0.66, 1.15, 0.746, 0.510),
        (0.726, 1.66, 0.801, 0.423),
        (0.73, 1.69, 0.805, 0.417),
        (0.773, 2.16, 0.838, 0.357),
    ],
)
def test_the_ceiling_is_the_simulated_one(agreed, reward_sd, accuracy, log_loss):
    best = agreement.ceiling(agreed)
    assert best.accuracy == pytest.approx(accuracy, abs=6e-4)
    assert best.log_loss == pytest.approx(log_loss, abs=6e-4)
    assert best.reward_sd == pytest.approx(reward_sd, abs=0.01)


def test_simulated_annotators_meet_the_ceiling_that_their_agreement_implies():
    draw = np.random.default_rng(0)
    delta = draw.normal(size=400_000) * 1.4 * math.sqrt(2)
    chance = 1 / (1 + np.exp(-delta))
    one, other = draw.random(delta.size) < chance, draw.random(delta.size) < chance
    best = agreement.ceiling(float(np.mean(one == other)))
    assert best.reward_sd == pytest.approx(1.4, rel=0.02)
    assert best.accuracy == pytest.approx(np.mean(one == (delta > 0)), abs=2e-3)
    assert best.log_loss == pytest.approx(-np.mean(np.log(np.where(one, chance, 1 - chance))), abs=4e-3)


@pytest.mark.parametrize("flip", [0.25, 0.10, 0.05])
def test_annotators_who_flip_the_truth_leave_the_rest_of_it(flip):
    best = agreement.ceiling(flip**2 + (1 - flip) ** 2, noise="flips")
    assert best.accuracy == pytest.approx(1 - flip)
    assert best.log_loss == pytest.approx(stats.bernoulli(flip).entropy())


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["bradley_terry", "flips"]))
def test_more_agreement_never_lowers_the_ceiling(one, other, noise):
    low, high = (agreement.ceiling(share, noise=noise) for share in sorted((one, other)))
    assert 0.5 <= low.accuracy <= high.accuracy + 1e-9 <= 1 + 2e-9
    assert math.log(2) + 1e-9 >= low.log_loss >= high.log_loss - 1e-9 >= -2e-9
    assert high.accuracy >= max(one, other) - 1e-9  # a perfect model agrees with one at least as well as another does


def test_an_agreement_that_is_no_share_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        agreement.ceiling(72.6)
