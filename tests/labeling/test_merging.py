"""Law D2: a merged ranking keeps ties and unanimity, and depends neither on names nor on who spoke first."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from crowdkit.aggregation import BradleyTerry
from hypothesis import assume, given
from hypothesis import strategies as st

from labeling import merging
from labeling.agreement import outcomes
from training.records import Placement, RankingJudgement, Verdict, VerdictsJudgement

DATA = Path(os.environ.get("LAUREL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
WORDS = ["a", "a_slight", "tie", "b_slight", "b"]
TURNED = dict(zip(WORDS, reversed(WORDS), strict=True))


def ranking(annotator, ranks):
    return RankingJudgement(
        annotator=annotator,
        placements=tuple(Placement(response=response, rank=rank) for response, rank in ranks.items()),
    )


def verdicts(annotator, said):
    return VerdictsJudgement(
        annotator=annotator, verdicts=tuple(Verdict(a=a, b=b, verdict=word) for a, b, word in said)
    )


def dense(ranks):
    place = {rank: number for number, rank in enumerate(sorted(set(ranks.values())), start=1)}
    return {response: place[rank] for response, rank in ranks.items()}


@st.composite
def orders(draw, responses=None):
    """A ranking with ties of two to nine responses."""
    responses = responses or [f"r{number}" for number in range(draw(st.integers(2, 9)))]
    return dense({response: draw(st.integers(1, len(responses))) for response in responses})


@st.composite
def tasks_of_rankings(draw, most=5):
    """One task's rankings by up to five annotators."""
    responses = [f"r{number}" for number in range(draw(st.integers(2, 5)))]
    return [ranking(f"annotator{number}", draw(orders(responses))) for number in range(draw(st.integers(1, most)))]


@st.composite
def task_sets(draw):
    """A few tasks with rankings and partial verdicts of some of four annotators."""
    tasks = {}
    for task in range(draw(st.integers(1, 4))):
        responses = [f"{task}{letter}" for letter in "wxyz"]
        names = draw(st.lists(st.sampled_from(["ada", "ben", "cleo", "dan"]), min_size=1, unique=True))
        pairs = st.lists(st.sampled_from(list(combinations(responses, 2))), min_size=1, unique=True)
        tasks[f"task{task}"] = [
            ranking(name, draw(orders(responses)))
            if draw(st.booleans())
            else verdicts(name, [(a, b, draw(st.sampled_from(WORDS))) for a, b in draw(pairs)])
            for name in names
        ]
    return tasks


def renamed(word, names, *, turn=lambda: False):
    """The same word about responses with other names; where `turn` says so, a verdict is read from its other side."""
    if isinstance(word, RankingJudgement):
        return ranking(word.annotator, {names[placed.response]: placed.rank for placed in word.placements})
    return verdicts(
        word.annotator,
        [
            (names[said.b], names[said.a], TURNED[said.verdict])
            if turn()
            else (names[said.a], names[said.b], said.verdict)
            for said in word.verdicts
        ],
    )


# Names and order


@given(task_sets(), st.randoms())
def test_neither_names_nor_any_order_matter(tasks, shuffler):
    shuffled = {}
    names = {f"{task}{letter}": None for task in range(4) for letter in "wxyz"}
    names = dict(zip(names, shuffler.sample(list(names), len(names)), strict=True))
    people = dict(zip(["ada", "ben", "cleo", "dan"], shuffler.sample("pqrs", 4), strict=True))
    for task in shuffler.sample(list(tasks), len(tasks)):
        words = [renamed(word, names, turn=lambda: shuffler.random() < 0.5) for word in tasks[task]]
        words = [type(word)(**{**vars_of(word), "annotator": people[word.annotator]}) for word in words]
        shuffled[f"new {task}"] = shuffler.sample(words, len(words))
    before, after = merging.merge_all(tasks), merging.merge_all(shuffled)
    for task, merged in before.rankings.items():
        other = after.rankings[f"new {task}"]
        assert {names[response]: rank for response, rank in merged.ranks.items()} == other.ranks
        assert other.scores == pytest.approx({names[r]: score for r, score in merged.scores.items()}, abs=1e-6)
        assert (other.support, other.annotators) == (pytest.approx(merged.support), merged.annotators)
    for name, reliability in before.reliabilities.items():
        assert after.reliabilities[people[name]].weight == pytest.approx(reliability.weight, abs=1e-6)
        assert after.reliabilities[people[name]].tasks == reliability.tasks


def vars_of(word):
    return {name: getattr(word, name) for name in word.__dataclass_fields__}


@given(tasks_of_rankings())
def test_the_merged_ranking_is_dense_and_whole(words):
    merged = merging.merge(words)
    assert set(merged.ranks) == {placed.response for placed in words[0].placements}
    assert set(merged.ranks.values()) == set(range(1, max(merged.ranks.values()) + 1))
    assert sum(merged.scores.values()) == pytest.approx(0, abs=1e-6)
    assert merged.annotators == len(words)
    better = sorted(merged.ranks, key=lambda response: -merged.scores[response])
    assert [merged.ranks[response] for response in better] == sorted(merged.ranks.values())


@given(tasks_of_rankings())
def test_turning_every_ranking_round_turns_the_scores_round(words):
    turned = [
        ranking(word.annotator, dense({placed.response: -placed.rank for placed in word.placements})) for word in words
    ]
    forth, back = merging.merge(words).scores, merging.merge(turned).scores
    assert back == pytest.approx({response: -score for response, score in forth.items()}, abs=1e-6)


@given(tasks_of_rankings())
def test_everyone_said_twice_changes_nothing(words):
    twice = [*words, *(ranking(f"{word.annotator} again", ranks_of(word)) for word in words)]
    assert merging.merge(twice).ranks == merging.merge(words).ranks


@given(tasks_of_rankings())
def test_one_more_annotator_of_the_same_opinion_changes_nothing(words):
    merged = merging.merge(words).ranks
    assert merging.merge([*words, ranking("one more", merged)]).ranks == merged


def ranks_of(word):
    return {placed.response: placed.rank for placed in word.placements}


# Ties and unanimity


@given(orders(), st.integers(1, 5))
def test_what_all_say_is_kept(order, count):
    merged = merging.merge([ranking(str(number), order) for number in range(count)])
    assert merged.ranks == order
    assert merged.support == 1


@given(st.integers(2, 9), st.integers(1, 5))
def test_a_tie_of_all_stays_a_tie(responses, count):
    order = {f"r{number}": 1 for number in range(responses)}
    merged = merging.merge([ranking(str(number), order) for number in range(count)])
    assert merged.ranks == order
    assert merged.scores == pytest.approx(dict.fromkeys(order, 0.0))


@given(orders())
def test_opposite_rankings_give_a_tie(order):
    opposed = [ranking("ada", order), ranking("ben", dense({response: -rank for response, rank in order.items()}))]
    assert set(merging.merge(opposed).ranks.values()) == {1}
    assert set(merging.merge_all({"t": opposed}).rankings["t"].ranks.values()) == {1}


@given(orders(), st.data())
def test_verdicts_that_fit_one_order_are_never_broken(order, data):
    """Even where each annotator compares a few pairs only."""
    pairs = list(combinations(order, 2))
    words = [
        verdicts(
            str(number),
            [
                (a, b, "a" if order[a] < order[b] else "b" if order[a] > order[b] else "tie")
                for a, b in data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
            ],
        )
        for number in range(data.draw(st.integers(1, 3)))
    ]
    merged = merging.merge(words)
    for word in words:
        for (a, b), said in outcomes(word).items():
            assert (merged.ranks[b] > merged.ranks[a]) - (merged.ranks[b] < merged.ranks[a]) == said
    assert merged.support == 1


@pytest.mark.parametrize(
    ("said", "merged"),
    [
        (["x>y", "x>y", "y>x"], "x>y"),
        (["x>y", "x=y"], "x=y"),
        (["x>y", "x>y", "x=y"], "x>y"),
        (["x>y", "x=y", "x=y"], "x=y"),
        (["x>y", "y>x", "x=y"], "x=y"),
        (["x>y>z", "y>z>x", "z>x>y"], "x=y=z"),
        (["x>y>z", "x>y=z", "x>y=z"], "x>y=z"),
        (["x>y>z", "y>x>z"], "x=y>z"),
        (["x>y>z", "x>z>y", "x>y=z"], "x>y=z"),
        (["x>y=z", "x=y>z"], "x>y=z"),  # as good as x=y>z: the best is told apart
    ],
)
def test_a_clear_majority_orders_two_responses_and_anything_else_ties_them(said, merged):
    def read(text):
        return {response: rank for rank, level in enumerate(text.split(">"), start=1) for response in level.split("=")}

    assert merging.merge([ranking(str(n), read(text)) for n, text in enumerate(said)]).ranks == read(merged)


def test_verdicts_that_run_in_a_circle_give_a_tie():
    merged = merging.merge([verdicts("ada", [("x", "y", "a"), ("y", "z", "a_slight"), ("z", "x", "a")])])
    assert merged.ranks == {"x": 1, "y": 1, "z": 1}
    assert merged.support == 0.5


def test_what_nobody_compared_is_not_merged():
    empty = VerdictsJudgement(annotator="ada", verdicts=())
    assert merging.merge([empty]) is None
    assert merging.merge([]) is None
    assert merging.merge_all({"t": [empty]}) == merging.Merging(rankings={}, reliabilities={})
    assert merging.merge_all({}).rankings == {}


def test_two_current_words_of_one_annotator_are_refused():
    with pytest.raises(ValueError, match="more than one word"):
        merging.merge([ranking("ada", {"x": 1, "y": 2}), ranking("ada", {"x": 2, "y": 1})])


# A yardstick


@given(st.integers(3, 6), st.integers(2, 5), st.randoms())
def test_without_ties_the_order_is_crowd_kits(responses, annotators, shuffler):
    names = [f"r{number}" for number in range(responses)]
    said = [shuffler.sample(names, responses) for _ in range(annotators)]
    beaten = {names[0]}
    for _ in names:
        beaten |= {loser for order in said for winner, loser in combinations(order, 2) if winner in beaten}
    beating = {names[0]}
    for _ in names:
        beating |= {winner for order in said for winner, loser in combinations(order, 2) if loser in beating}
    assume(len(beaten) == len(beating) == responses)  # Bradley and Terry's scores are finite
    rows = [(winner, loser, winner) for order in said for winner, loser in combinations(order, 2)]
    theirs = BradleyTerry(n_iter=2000, tol=1e-12).fit_predict(pd.DataFrame(rows, columns=["left", "right", "label"]))
    ours = merging.merge(
        [ranking(str(n), {name: order.index(name) + 1 for name in names}) for n, order in enumerate(said)]
    ).scores
    for a, b in combinations(names, 2):
        apart = math.log(theirs[a] / theirs[b])
        assert (ours[a] - ours[b]) * apart > 0 or max(abs(apart), abs(ours[a] - ours[b])) < 1e-5


# Reliability

SHARPNESS = (2.0, 1.5, 1.0, 1.0, 0.7, 0.5, 0.2, 0.05)


def simulated(sharpness, *, tasks, seed):
    """Tasks of four responses, each ranked by three annotators who see the true scores with noise; and the truth."""
    dice = random.Random(seed)
    said, truth = {}, {}
    for task in range(tasks):
        scores = {f"{task}{letter}": dice.gauss(0, 1.5) for letter in "wxyz"}
        truth[str(task)] = scores
        said[str(task)] = []
        for annotator in dice.sample(range(len(sharpness)), 3):
            seen = {r: sharpness[annotator] * score - math.log(dice.expovariate(1)) for r, score in scores.items()}
            order = sorted(seen, key=lambda response: -seen[response])
            said[str(task)].append(ranking(str(annotator), {r: place for place, r in enumerate(order, start=1)}))
    return said, truth


def accuracy(rankings, truth):
    right = [
        0.5 if ranks[a] == ranks[b] else float((truth[task][a] > truth[task][b]) == (ranks[a] < ranks[b]))
        for task, ranks in rankings.items()
        for a, b in combinations(ranks, 2)
    ]
    return sum(right) / len(right)


def test_reliability_is_learned_and_makes_merged_rankings_truer():
    said, truth = simulated(SHARPNESS, tasks=400, seed=0)
    merging_of_all = merging.merge_all(said)
    weights = [merging_of_all.reliabilities[str(number)].weight for number in range(len(SHARPNESS))]
    assert min(weights[:2]) > max(weights[4:])
    assert min(weights[2:5]) > max(weights[5:])
    assert max(weights[6:]) < 0.7
    weighed = accuracy({task: merged.ranks for task, merged in merging_of_all.rankings.items()}, truth)
    plain = accuracy({task: merging.merge(words).ranks for task, words in said.items()}, truth)
    assert weighed > plain + 0.02


def test_among_equals_nobody_weighs_much_more_and_nothing_is_lost():
    said, truth = simulated((1.0,) * 8, tasks=400, seed=1)
    merging_of_all = merging.merge_all(said)
    assert all(0.7 < reliability.weight < 1.4 for reliability in merging_of_all.reliabilities.values())
    weighed = accuracy({task: merged.ranks for task, merged in merging_of_all.rankings.items()}, truth)
    plain = accuracy({task: merging.merge(words).ranks for task, words in said.items()}, truth)
    assert weighed > plain - 0.01


def test_who_works_alone_is_typical_and_believed():
    order = {"x": 1, "y": 2, "z": 2}
    learned = merging.merge_all({str(task): [ranking("ada", order)] for task in range(50)})
    assert learned.reliabilities == {"ada": merging.Reliability(weight=1.0, tasks=0)}
    assert all(merged.ranks == order for merged in learned.rankings.values())


def test_a_known_reliability_outweighs_and_nobody_weighs_nothing():
    words = [ranking("ada", {"x": 1, "y": 2}), ranking("ben", {"x": 2, "y": 1})]
    assert merging.merge(words, {"ada": 2.0}).ranks == {"x": 1, "y": 2}
    assert merging.merge(words, {"ben": 2.0}).ranks == {"y": 1, "x": 2}
    assert merging.merge(words, {"ada": 1.1, "ben": 1.0}).ranks == {"x": 1, "y": 1}  # no clear majority
    said = {
        str(task): [ranking(name, {"x": 1, "y": 2}) for name in ("ada", "ben", "cleo")]
        + [ranking("contrary", {"x": 2, "y": 1})]
        for task in range(100)
    }
    assert 0 < merging.merge_all(said).reliabilities["contrary"].weight < 0.2


def test_real_annotations_are_merged_and_pandalms_majorities_kept():
    path = DATA / "rankings.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real annotations are not here: no {path} (set LAUREL_DATA)")
    with gzip.open(path, "rt", encoding="utf-8") as file:
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
    learned = merging.merge_all(tasks)
    assert len(learned.rankings) == 847
    assert learned.reliabilities["fgqa-crowd"] == merging.Reliability(weight=1.0, tasks=0)
    kept = asked = 0
    for task, words in tasks.items():
        if task.startswith("pandalm"):
            ranks = learned.rankings[task].ranks
            votes = [outcomes(word) for word in words]
            for a, b in votes[0]:
                word, count = Counter(vote[a, b] for vote in votes).most_common(1)[0]
                if count >= 2:
                    asked += 1
                    kept += (ranks[b] > ranks[a]) - (ranks[b] < ranks[a]) == word
    assert asked == 652
    assert kept >= 649
