"""Figures on a card: what they say of a scorer, and with how much doubt."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rewardmodel.data import Example, Judged, Texts
from rewardmodel.evaluation import best_possible, ceiling, evaluate
from rewardmodel.loss import Comparison, comparisons_of_ranking
from training.lm.trees import Tree

rankings = st.lists(st.integers(1, 4), min_size=2, max_size=6)


def example(*ranks, lengths=None, ratings=None, name="p", texts=None, **of_judged):
    """One prompt, a ranking of its responses by each annotator."""
    lengths = lengths or [1] * len(ranks[0])
    tree = Tree([1], [[2] * length for length in lengths])
    judged = tuple(
        Judged(f"a{i}", comparisons_of_ranking(list(r), ratings=ratings), **of_judged) for i, r in enumerate(ranks)
    )
    return Example(name, "valid", tree, judged, cut=False, texts=texts)


@given(rankings)
def test_a_scorer_that_agrees_is_right_and_one_that_disagrees_is_wrong(ranks):
    if len(set(ranks)) < 2:
        return
    right, wrong = ([torch.tensor([float(sign * rank) for rank in ranks])] for sign in (-1, 1))
    assert evaluate([example(ranks)], right)["accuracy"]["value"] == 1
    assert evaluate([example(ranks)], wrong)["accuracy"]["value"] == 0
    assert evaluate([example(ranks)], [torch.zeros(len(ranks))])["accuracy"]["value"] == 0.5


@given(rankings, st.lists(st.integers(-3, 3), min_size=6, max_size=6))
def test_kendalls_tau_is_scipys(ranks, scores):
    scores = scores[: len(ranks)]
    if len(set(ranks)) < 2 or len(set(scores)) < 2:
        return
    said = evaluate([example(ranks)], [torch.tensor(scores, dtype=torch.float32)])["kendall_tau"]
    assert said == pytest.approx(kendalltau([-rank for rank in ranks], scores).statistic, abs=1e-6)


def test_annotators_are_told_apart_and_nothing_is_said_where_nothing_was_judged():
    figures = evaluate([example([1, 2], [2, 1])], [torch.tensor([1.0, 0.0])])
    assert figures["by_annotator"]["a0"]["value"] == 1
    assert figures["by_annotator"]["a1"]["value"] == 0
    assert figures["accuracy"]["value"] == 0.5
    assert evaluate([], []) == {"prompts": 0}
    assert evaluate([example([1, 1])], [torch.tensor([1.0, 0.0])])["accuracy"] == {"value": None, "count": 0}


def test_a_scorer_of_length_is_found_out():
    lengths = [3, 9, 5, 1]
    one = example([1, 2, 3, 4], lengths=lengths)
    assert evaluate([one], [torch.tensor(lengths) + 7.0])["length_correlation"] == pytest.approx(1)
    assert evaluate([one], [-torch.tensor(lengths) + 7.0])["length_correlation"] == pytest.approx(-1)


def test_comparisons_of_one_prompt_are_not_counted_as_independent():
    """Two prompts of 15 comparisons, one all right and one all wrong, leave more doubt than 30 coins."""
    ranks = [1, 2, 3, 4, 5, 6]
    good = torch.tensor([-float(rank) for rank in ranks])
    clustered = evaluate([example(ranks), example(ranks)], [good, -good])["accuracy"]
    assert clustered["high"] - clustered["low"] > 2 * 1.96 * math.sqrt(0.25 / 30)


def test_intervals_hold_the_truth_about_as_often_as_they_promise():
    dice = random.Random(5)
    held = 0
    for _ in range(200):
        outcomes = [dice.random() < 0.9 for _ in range(40)]
        examples = [example([1, 2] if right else [2, 1]) for right in outcomes]
        said = evaluate(examples, [torch.tensor([1.0, 0.0])] * 40)["accuracy"]
        held += said["low"] <= 0.9 <= said["high"]
    assert 0.9 <= held / 200 <= 0.995


def test_a_perfect_record_leaves_doubt():
    said = evaluate([example([1, 2])] * 10, [torch.tensor([1.0, 0.0])] * 10)["accuracy"]
    assert said["value"] == 1
    assert said["high"] == pytest.approx(1)
    assert 0.6 < said["low"] < 0.8


def test_the_ceiling_needs_annotators_who_overlap():
    assert ceiling([example([1, 2, 3])] * 30) is None
    agreed = ceiling([example([1, 2], [1, 2])] * 15 + [example([1, 2], [2, 1])] * 5)
    assert agreed["pairs"] == 20
    assert agreed["agreement"] == 0.75
    assert agreed["accuracy"] == pytest.approx(best_possible(0.75)[0])
    assert agreed["low"] < agreed["accuracy"] < agreed["high"]
    more = ceiling([example([1, 2], [1, 2])] * 150 + [example([1, 2], [2, 1])] * 50)
    assert more["high"] - more["low"] < (agreed["high"] - agreed["low"]) / 2


def test_agreeing_with_oneself_raises_no_ceiling():
    twice = Judged("a", (Comparison(0, 1, 1.0), Comparison(1, 0, 0.0)))
    other = Judged("b", (Comparison(0, 1, 0.0),))
    tree = Tree([1], [[2], [2]])
    assert ceiling([Example("p", "valid", tree, (twice,), cut=False)] * 30) is None
    assert ceiling([Example("p", "valid", tree, (twice, other), cut=False)] * 30)["agreement"] == 0


def test_a_tie_is_neither_agreement_nor_disagreement():
    tied = example([1, 2], [1, 1])
    assert ceiling([tied] * 40) is None


@given(st.floats(0.51, 0.99))
def test_the_ceiling_lies_above_the_agreement(agreement):
    accuracy, log_loss = best_possible(agreement)
    assert agreement <= accuracy <= 1
    assert 0 <= log_loss <= math.log(2)


def test_verdicts_in_a_circle_have_figures_too():
    circle = (Comparison(0, 1, 1.0), Comparison(1, 2, 1.0), Comparison(2, 0, 1.0))
    one = Example("p", "valid", Tree([1], [[2], [3], [4]]), (Judged("a", circle),), cut=False)
    figures = evaluate([one], [torch.tensor([3.0, 2.0, 1.0])])
    assert figures["accuracy"]["value"] == pytest.approx(2 / 3)


def test_accuracy_is_told_by_how_much_better_the_better_one_was():
    ratings = [7, 6, 4, 1]
    said = evaluate([example([1, 2, 3, 4], ratings=ratings)] * 2, [torch.tensor([3.0, 4.0, 2.0, 1.0])] * 2)
    assert [(row["steps"], row["count"], row["value"]) for row in said["by_strength"]] == [
        (1, 2, 0.0),
        (2, 2, 1.0),
        (3, 8, 1.0),
    ]


def test_accuracy_is_told_by_flag_of_either_response_or_of_the_task():
    flagged = example([1, 2, 3], flags=((), ("rude",), ()), task_flags=("unclear",))
    said = evaluate([flagged, example([1, 2, 3])], [torch.tensor([1.0, 2.0, 0.0])] * 2)["by_flag"]
    assert said["rude"]["count"] == 2
    assert said["rude"]["value"] == 0.5
    assert said["unclear"]["count"] == 3
    assert set(said) == {"rude", "unclear"}


def test_annotators_who_were_not_learned_from_are_measured_apart():
    said = evaluate([example([1, 2], [2, 1])], [torch.tensor([1.0, 0.0])], known={"a0"})
    assert said["seen_annotators"]["annotators"] == said["unseen_annotators"]["annotators"] == 1
    assert said["seen_annotators"]["accuracy"]["value"] == 1
    assert said["unseen_annotators"]["accuracy"]["value"] == 0


def test_accuracy_is_told_where_people_preferred_the_shorter():
    lengths = [9, 3, 6]
    said = evaluate([example([1, 2, 3], lengths=lengths)], [torch.tensor([9.0, 3.0, 6.0])])
    assert said["shorter_preferred"]["count"] == 1
    assert said["shorter_preferred"]["value"] == 0
    assert said["longer_preferred"]["count"] == 2
    assert said["longer_preferred"]["value"] == 1


def test_a_model_that_promises_what_comes_true_is_calibrated_and_a_boaster_is_not():
    dice = random.Random(3)
    gaps = [dice.gauss(0, 2) for _ in range(4000)]
    examples = [
        example([1, 2] if dice.random() < 1 / (1 + math.exp(-gap)) else [2, 1], name=str(i))
        for i, gap in enumerate(gaps)
    ]
    honest = evaluate(examples, [torch.tensor([gap, 0.0]) for gap in gaps])["calibration"]
    boast = evaluate(examples, [torch.tensor([4 * gap, 0.0]) for gap in gaps])["calibration"]
    assert honest["ece"] < 0.03
    assert boast["ece"] > 0.08
    assert sum(row["count"] for row in honest["bins"]) == 4000
    inside = [row["low"] <= row["predicted"] <= row["high"] for row in honest["bins"]]
    assert sum(inside) >= 8


def test_where_annotators_err_at_random_the_model_promises_less():
    sure = evaluate([example([1, 2], [2, 1])], [torch.tensor([9.0, 0.0])])
    wary = evaluate([example([1, 2], [2, 1])], [torch.tensor([9.0, 0.0])], reliability=lambda _: 0.5)
    assert wary["log_loss"]["value"] < sure["log_loss"]["value"]
    assert wary["calibration"]["bins"][0]["predicted"] == pytest.approx(0.75, abs=1e-3)


def test_log_loss_counts_a_judgement_by_its_weight():
    light, heavy = example([1, 2], weight=1.0), example([2, 1], weight=3.0)
    said = evaluate([light, heavy], [torch.tensor([1.0, 0.0])] * 2)["log_loss"]["value"]
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert said == pytest.approx((right + 3 * wrong) / 4)


def test_the_surest_errors_are_shown_readably_one_a_prompt_worst_first():
    def read(number, *ranks):
        texts = Texts([{"role": "user", "content": f"ask {number}"}], ["good", "bad", "worse"])
        return example(*ranks, name=f"task-{number}", texts=texts)

    examples = [read(0, [1, 2, 3]), read(1, [1, 2, 3], [2, 1, 3]), read(2, [1, 2, 3])]
    scores = [torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0.0, 2.0, -1.0]), torch.tensor([0.0, 1.0, 5.0])]
    first, second = evaluate(examples, scores)["errors"]
    assert first["id"] == "task-2"
    assert (first["preferred"], first["scored_higher"]) == ("good", "worse")
    assert first["difference"] == 5
    assert first["probability"] == pytest.approx(1 / (1 + math.exp(5)))
    assert second["id"] == "task-1"
    assert second["prompt"][0]["content"] == "ask 1"
    assert second["said_by"] == ["a0"]
    assert second["said_otherwise_by"] == ["a1"]


def test_the_spread_of_the_members_is_told_where_they_are_right_and_where_wrong():
    members = [torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [4.0, 1.0]])]
    said = evaluate([example([1, 2])] * 2, [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], members=members)
    assert said["spread"] == {"where_right": 0, "where_wrong": 2}
