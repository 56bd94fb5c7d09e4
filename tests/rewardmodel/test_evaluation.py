"""Figures on a card: what they say of a scorer, and with how much doubt."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from rewardmodel.data import Example, Judged
from rewardmodel.evaluation import best_possible, ceiling, evaluate
from rewardmodel.loss import Pairs, pairs_of_ranking
from training.lm.trees import Tree

rankings = st.lists(st.integers(1, 4), min_size=2, max_size=6)


def example(*ranks, lengths=None):
    """One prompt, a ranking of its responses by each annotator."""
    lengths = lengths or [1] * len(ranks[0])
    tree = Tree([1], [[2] * length for length in lengths])
    judged = tuple(Judged(f"a{i}", pairs_of_ranking(list(r))) for i, r in enumerate(ranks))
    return Example("p", "valid", tree, judged, cut=False)


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


def test_a_tie_is_neither_agreement_nor_disagreement():
    tied = example([1, 2], [1, 1])
    assert ceiling([tied] * 40) is None


@given(st.floats(0.51, 0.99))
def test_the_ceiling_lies_above_the_agreement(agreement):
    accuracy, log_loss = best_possible(agreement)
    assert agreement <= accuracy <= 1
    assert 0 <= log_loss <= math.log(2)


def test_verdicts_in_a_circle_have_figures_too():
    circle = Pairs.of([(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0)])
    one = Example("p", "valid", Tree([1], [[2], [3], [4]]), (Judged("a", circle),), cut=False)
    figures = evaluate([one], [torch.tensor([3.0, 2.0, 1.0])])
    assert figures["accuracy"]["value"] == pytest.approx(2 / 3)
