"""What must hold of any reward model's loss and scores, whatever the code looks like."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardmodel.data import example_of, pairs_in, tree_of
from rewardmodel.evaluation import best_possible
from rewardmodel.loss import (
    Choices,
    Comparison,
    Pairs,
    bradley_terry,
    choices_of_comparisons,
    choices_of_ranking,
    comparisons_of_ranking,
    plackett_luce,
)
from rewardmodel.scales import Scales
from rewardmodel.scoring import Scorer
from training.lm import backbone
from training.lm.trees import Tree, TreeBatch
from training.records import RankingLine

FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")
rankings = st.lists(st.integers(1, 4), min_size=2, max_size=7)
scores = st.floats(-4, 4, width=32)
kinds = st.sampled_from(("bradley_terry", "plackett_luce"))
shares = st.sampled_from((0.0, 0.1, 0.4))


def scored(ranks):
    return st.tuples(st.just(ranks), st.lists(scores, min_size=len(ranks), max_size=len(ranks)))


def loss(kind, values, ranks, *, ratings=None, error=0.0, **settings):
    """The loss of one ranking; `error` is how often its annotator answers at random."""
    reliability = torch.tensor([1 - error], dtype=torch.float64) if error else None
    if kind == "plackett_luce":
        choices = Choices.of([(0, choices_of_ranking(ranks))])
        log_tie = torch.tensor(-0.7, dtype=torch.float64)
        return plackett_luce(values, choices, log_tie=log_tie, reliability=reliability, **settings)[0]
    pairs = Pairs.of([(0, comparisons_of_ranking(ranks, ratings=ratings))])
    return bradley_terry(values, pairs, reliability=reliability, **settings)[0]


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


# --- R1: grouped is the mean of its pairs, each token computed once --------------------------------


@given(rankings.flatmap(scored))
@pytest.mark.law("R1")
def test_a_ranking_weighs_as_much_as_the_mean_of_its_comparisons(case):
    """Law R1: the loss of a ranking is the mean of -log sigmoid(winner - loser) over its C(K, 2) comparisons."""
    ranks, values = case
    nats = []
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            p = 1 / (1 + math.exp(values[j] - values[i]))
            wanted = 0.5 if ranks[i] == ranks[j] else float(ranks[i] < ranks[j])
            nats.append(-(wanted * math.log(p) + (1 - wanted) * math.log(1 - p)))
    assert loss("bradley_terry", doubles(values), ranks).item() == pytest.approx(sum(nats) / len(nats), abs=1e-6)


@given(st.lists(rankings.flatmap(scored), min_size=1, max_size=4), kinds)
@pytest.mark.law("R1")
def test_rankings_of_every_size_mix_in_one_batch(cases, kind):
    """Law R1: each ranking of a batch has the loss that it has alone, whatever K the others have."""
    flat = doubles([value for _, values in cases for value in values])
    offsets = [0, *itertools.accumulate(len(ranks) for ranks, _ in cases)]
    if kind == "bradley_terry":
        said = zip(offsets, (comparisons_of_ranking(ranks) for ranks, _ in cases), strict=False)
        together = bradley_terry(flat, Pairs.of(said))
    else:
        said = zip(offsets, (choices_of_ranking(ranks) for ranks, _ in cases), strict=False)
        together = plackett_luce(flat, Choices.of(said), log_tie=torch.tensor(-0.7))
    alone = [loss(kind, doubles(values), ranks).item() for ranks, values in cases]
    assert together.tolist() == pytest.approx(alone, abs=1e-6)


def gradient_of(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])


ids = st.lists(st.integers(4, 259), min_size=1, max_size=6)
prompts_with_rankings = st.tuples(ids, st.lists(st.tuples(ids, st.integers(1, 3)), min_size=2, max_size=4))


@pytest.fixture(scope="module", params=FAMILIES)
def both(request, tmp_path_factory):
    """A reward model as `transformers` computes it, and the same weights reading trees."""
    folder = tiny.policy(tmp_path_factory.mktemp(request.param) / "policy", request.param)
    plain = backbone.scorer_from_policy(folder, seed=1)[0]
    scales = Scales(backbone.scorer_from_policy(folder, seed=1)[0])
    assert scales.shares_prompts
    return plain, scales


@given(st.lists(prompts_with_rankings, min_size=1, max_size=3))
@settings(deadline=None, max_examples=8)
@pytest.mark.law("R1")
def test_packed_rankings_teach_what_pairs_one_by_one_would(both, cases):
    """Law R1: loss and gradient of packed trees equal those of two plain forward passes a comparison, within 1e-5.

    Each token is computed once, on unmodified backbones of every family.
    """
    plain, scales = both
    nats = []
    for prompt, answers in cases:
        said = comparisons_of_ranking([rank for _, rank in answers])
        for first, second, target, _ in said:
            one, other = (
                plain(input_ids=torch.tensor([[*prompt, *answers[i][0]]])).logits[0, 0] for i in (first, second)
            )
            p = torch.sigmoid((one - other).double())
            nats.append(-(target * p.log() + (1 - target) * (1 - p).log()) / len(said))
    naive_loss = sum(nats) / len(cases)
    naive = gradient_of(plain, naive_loss)
    batch = TreeBatch([Tree(prompt, [answer for answer, _ in answers]) for prompt, answers in cases])
    assert batch.token_count == sum(
        len(prompt) + sum(len(answer) for answer, _ in answers) for prompt, answers in cases
    )
    offsets = [0, *itertools.accumulate(len(answers) for _, answers in cases)]
    said = (comparisons_of_ranking([rank for _, rank in answers]) for _, answers in cases)
    packed_loss = bradley_terry(scales(batch)[0], Pairs.of(zip(offsets, said, strict=False))).mean()
    packed = gradient_of(scales.model, packed_loss)
    assert packed_loss.item() == pytest.approx(naive_loss.item(), rel=1e-5)
    assert (packed - naive).norm() <= 1e-5 * naive.norm() + 1e-9


# --- R2: only differences matter ---------------------------------------------------------------------


@given(rankings.flatmap(scored), kinds, shares, shares)
@pytest.mark.law("R2")
def test_only_differences_within_a_prompt_matter(case, kind, error, smoothing):
    """Law R2: adding a constant to all scores of a prompt changes nothing, and the gradient sums to 0."""
    ranks, values = case
    rewards = doubles(values).requires_grad_()
    said = loss(kind, rewards, ranks, error=error, smoothing=smoothing)
    said.backward()
    shifted = loss(kind, rewards.detach() + 3.25, ranks, error=error, smoothing=smoothing)
    assert shifted.item() == pytest.approx(said.item(), abs=1e-9)
    assert float(rewards.grad.sum()) == pytest.approx(0, abs=1e-9)


@given(rankings.flatmap(scored), kinds, shares, st.randoms(use_true_random=False))
@pytest.mark.law("R2")
def test_the_order_of_the_responses_does_not_matter(case, kind, error, random):
    """Law R2: permuting responses with their ranks permutes nothing but names."""
    ranks, values = case
    order = list(range(len(ranks)))
    random.shuffle(order)
    straight = loss(kind, doubles(values), ranks, error=error)
    mixed = loss(kind, doubles([values[i] for i in order]), [ranks[i] for i in order], error=error)
    assert mixed.item() == pytest.approx(straight.item(), abs=1e-9)


# --- R3: where it starts -----------------------------------------------------------------------------


@given(st.integers(2, 9))
@pytest.mark.law("R3")
def test_a_scorer_that_knows_nothing_loses_ln_2(count):
    """Law R3: with equal scores the loss is ln 2 for every K."""
    said = loss("bradley_terry", torch.zeros(count), list(range(1, count + 1)))
    assert said.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.law("R3")
def test_an_untrained_reward_model_is_at_ln_2_and_at_chance(tmp_path):
    """Law R3: untrained, loss = ln 2 within 0.1, over heads drawn from N(0, 1/(d + 1)); accuracy 50 %."""
    policy = tiny.policy(tmp_path / "policy")
    losses, right = [], []
    for seed in range(8):
        model, encoder = backbone.scorer_from_policy(policy, seed=seed)
        lines = [RankingLine.from_json(json.dumps(line)) for line in tiny.ranking_lines(60, seed=seed)]
        examples = [example_of(line, encoder, ties="skip", max_tokens=64) for line in lines]
        examples = [example for example in examples if example.judgements]
        with torch.no_grad():
            out, _ = Scales(model)(TreeBatch([example.tree for example in examples]))
        pairs = pairs_in(examples)
        losses.append(float(bradley_terry(out, pairs).mean()))
        right.append(((out[pairs.first] > out[pairs.second]).float() == pairs.target).float().mean())
    assert sum(losses) / len(losses) == pytest.approx(math.log(2) + 0.05, abs=0.1)
    assert float(torch.stack(right).mean()) == pytest.approx(0.5, abs=0.1)


# --- R4: ties and margins ------------------------------------------------------------------------------


@given(scores, shares, shares)
@pytest.mark.law("R4")
def test_a_tie_wants_equal_scores(score, error, smoothing):
    """Law R4: the gradient of a tie is exactly 0 where the scores are equal, and pulls them together elsewhere."""
    reliability = torch.tensor([1 - error]) if error else None
    for other, wanted in ((0.0, 0), (1.0, 1)):
        rewards = torch.tensor([score, score + other], requires_grad=True)
        said = Pairs.of([(0, [Comparison(0, 1, 0.5)])])
        bradley_terry(rewards, said, reliability=reliability, smoothing=smoothing).sum().backward()
        assert [math.copysign(1, g) if g else 0 for g in rewards.grad.tolist()] == [-wanted, wanted]


def test_two_tied_responses_are_drawn_together_by_davidsons_model_too():
    rewards = torch.tensor([0.0, 0.0, 1.5], requires_grad=True)
    loss("plackett_luce", rewards, [1, 1, 1]).backward()
    assert rewards.grad[2] > 0 > rewards.grad[0] == rewards.grad[1]


@st.composite
def rated(draw):
    """A ranking whose ratings keep its order, with scores."""
    ratings = draw(st.lists(st.integers(1, 7), min_size=2, max_size=6))
    levels = sorted(set(ratings), reverse=True)
    ranks = [levels.index(rating) + 1 for rating in ratings]
    return ranks, ratings, draw(st.lists(scores, min_size=len(ranks), max_size=len(ranks)))


@given(rated(), st.sampled_from(("small", "large")))
@pytest.mark.law("R4")
def test_a_margin_asks_for_more_the_stronger_the_preference_and_for_nothing_without_one(case, margin):
    """Law R4: with margin 0 the loss is the plain one; with Llama 2's it is -log sigmoid(difference - margin)."""
    ranks, ratings, values = case
    plain = loss("bradley_terry", doubles(values), ranks, ratings=ratings).item()
    assert loss("bradley_terry", doubles(values), ranks, ratings=ratings, margin="none").item() == plain
    assert loss("bradley_terry", doubles(values), ranks, margin=margin).item() == plain  # nobody rated: strength 0
    nats = []
    for i, j in itertools.combinations(range(len(ranks)), 2):
        needed = {"small": 1, "large": 3}[margin] * min(abs(ratings[i] - ratings[j]), 3) / 3
        won = [values[i] - values[j], values[j] - values[i]]
        weights = [0.5, 0.5] if ranks[i] == ranks[j] else [ranks[i] < ranks[j], ranks[i] > ranks[j]]
        nats.append(sum(w * math.log1p(math.exp(needed - x)) for w, x in zip(weights, won, strict=True)))
    said = loss("bradley_terry", doubles(values), ranks, ratings=ratings, margin=margin).item()
    assert said == pytest.approx(sum(nats) / len(nats), abs=1e-6)


# --- R5: choices are probabilities -------------------------------------------------------------------


def weak_orders(count):
    """Every ranking of `count` responses with ties, as dense ranks."""
    return [ranks for ranks in itertools.product(range(1, count + 1), repeat=count) if max(ranks) == len(set(ranks))]


def probability(values, ranks, **settings):
    nll = plackett_luce(values, Choices.of([(0, choices_of_ranking(ranks))]), **settings)
    return math.exp(-float(nll[0]) * (len(ranks) - 1))


@given(st.lists(scores, min_size=4, max_size=4), shares)
@pytest.mark.law("R5")
def test_the_probabilities_of_all_orders_sum_to_one(values, error):
    """Law R5: Plackett and Luce's probabilities over all 4! orders sum to 1, careless annotators' too."""
    reliability = doubles([1 - error]) if error else None
    orders = list(itertools.permutations(range(1, 5)))
    said = sum(probability(doubles(values), order, reliability=reliability) for order in orders)
    assert said == pytest.approx(1, abs=1e-9)


@given(st.lists(scores, min_size=4, max_size=4), st.floats(-3, 2), shares)
@settings(deadline=None, max_examples=25)
@pytest.mark.law("R5")
def test_with_ties_the_probabilities_of_all_weak_orders_sum_to_one(values, log_tie, error):
    """Law R5: Davidson and Luce's probabilities over all 75 weak orders of four sum to 1."""
    reliability = doubles([1 - error]) if error else None
    orders = weak_orders(4)
    assert len(orders) == 75
    settings_ = {"log_tie": doubles(log_tie), "reliability": reliability}
    assert sum(probability(doubles(values), order, **settings_) for order in orders) == pytest.approx(1, abs=1e-9)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=4), st.floats(-2, 2), shares)
@settings(deadline=None, max_examples=25)
@pytest.mark.law("R5")
def test_with_ties_nothing_fits_the_answers_better_than_the_truth_that_they_came_from(values, log_tie, error):
    """Law R5: over answers drawn from the model itself the mean loss has no slope, in scores, δ or reliability.

    So a ranking may weigh nothing by how it turned out: the mean over the choices that were made fails here, since a
    ranking with ties is made of fewer.
    """
    orders = weak_orders(len(values))
    truth = [doubles(values), doubles(log_tie), doubles([1 - (error or 0.05)])]
    asked = [each.clone().requires_grad_() for each in truth]

    def loss_of(order, values, log_tie, reliability):
        choices = Choices.of([(0, choices_of_ranking(order))])
        return plackett_luce(values, choices, log_tie=log_tie, reliability=reliability)[0]

    chances = [math.exp(-float(loss_of(order, *truth)) * (len(values) - 1)) for order in orders]
    sum(p * loss_of(order, *asked) for p, order in zip(chances, orders, strict=True)).backward()
    assert torch.cat([each.grad.flatten() for each in asked]).abs().max() < 1e-9


@given(st.lists(scores, min_size=2, max_size=2), st.permutations([1, 2]), shares, shares)
@pytest.mark.law("R5")
def test_of_two_responses_plackett_and_luce_say_what_bradley_and_terry_say(values, ranks, error, smoothing):
    """Law R5: at K = 2 both are one model, with an error share and smoothing too."""
    reliability = doubles([1 - error]) if error else None
    told = {"reliability": reliability, "smoothing": smoothing}
    choices = Choices.of([(0, choices_of_ranking(ranks))])
    one = plackett_luce(doubles(values), choices, **told)
    other = bradley_terry(doubles(values), Pairs.of([(0, comparisons_of_ranking(ranks))]), **told)
    assert one.item() == pytest.approx(other.item(), abs=1e-9)


@given(rankings.flatmap(scored))
@pytest.mark.law("R5")
def test_ties_that_say_nothing_leave_what_stands_above_and_below(case):
    """Skipped ties say nothing of the tied: without ties there is no difference, and all tied is no word at all."""
    ranks, values = case
    strict = len(set(ranks)) == len(ranks)
    skipped = choices_of_ranking(ranks, ties="skip")
    if strict:
        assert skipped == choices_of_ranking(ranks)
    for choice in skipped:
        assert len(choice.chosen) == 1
        assert [i for i in choice.among if ranks[i] == ranks[choice.chosen[0]]] == [choice.chosen[0]]
    assert bool(skipped) == (len(set(ranks)) > 1)
    assert len(values) == len(ranks)


def test_verdicts_in_a_circle_are_choices_from_two():
    circle = [Comparison(0, 1, 1.0), Comparison(1, 2, 1.0), Comparison(2, 0, 1.0)]
    values = doubles([0.3, -1.0, 2.0])
    one = plackett_luce(values, Choices.of([(0, choices_of_comparisons(circle))]))
    assert one.item() == pytest.approx(bradley_terry(values, Pairs.of([(0, circle)])).item())


# --- R6: what it is computed with --------------------------------------------------------------------

words = st.text("aeioubcd ", min_size=1, max_size=12)


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=4)), min_size=1, max_size=5))
@settings(deadline=None, max_examples=15)
@pytest.mark.law("R6")
def test_a_score_does_not_depend_on_what_it_is_computed_with(tiny_scorer, cases):
    """Law R6: scores are independent of batch mates and padding, on either side (max abs difference < 1e-5)."""
    plain, scorer = tiny_scorer
    prompts = [[{"role": "user", "content": prompt}] for prompt, _ in cases]
    together = scorer.score(prompts, [responses for _, responses in cases])
    for prompt, (_, responses), row in zip(prompts, cases, together, strict=True):
        trees = [tree_of(scorer.encoder, prompt, [text], max_tokens=200)[0] for text in responses]
        for tree, score in zip(trees, row.tolist(), strict=True):
            ids = [*tree.prompt, *tree.responses[0]]
            for left, right in ((0, 0), (0, 3), (4, 0)):
                padded = torch.tensor([[0] * left + ids + [0] * right])
                mask = torch.tensor([[0] * left + [1] * len(ids) + [0] * right])
                with torch.no_grad():
                    logit = plain(input_ids=padded, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(0))
                assert (float(logit.logits) - scorer.mean) / scorer.std == pytest.approx(score, abs=1e-5)


@pytest.fixture(scope="module")
def tiny_scorer(tmp_path_factory):
    home = tmp_path_factory.mktemp("scorer")
    folder = tiny.scorer(home / "scorer", tiny.policy(home / "policy"))
    return backbone.load_scorer(folder)[0], Scorer(*backbone.load_scorer(folder))


# --- R8: the ceiling -----------------------------------------------------------------------------------


@pytest.mark.law("R8")
def test_the_ceiling_is_that_of_the_published_agreement():
    """Agreement of 72.6 % allows an accuracy of 80.1 % and a log-loss of 0.423 (Bradley-Terry, normal rewards)."""
    accuracy, log_loss = best_possible(0.726)
    assert accuracy == pytest.approx(0.801, abs=0.001)
    assert log_loss == pytest.approx(0.423, abs=0.001)
    assert best_possible(0.5) == pytest.approx((0.5, math.log(2)), abs=1e-3)
