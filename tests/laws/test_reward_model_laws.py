"""What must hold of any reward model's loss and scores, whatever the code looks like."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardmodel.data import example_of, joined_pairs, tree_of
from rewardmodel.evaluation import best_possible
from rewardmodel.loss import Pairs, comparison_loss, pairs_of_ranking
from rewardmodel.scoring import Scorer, raw_scores
from training.lm import attention, backbone
from training.lm.trees import TreeBatch
from training.records import RankingLine

rankings = st.lists(st.integers(1, 4), min_size=2, max_size=7)
scores = st.floats(-4, 4, width=32)


def scored(ranks):
    return st.tuples(st.just(ranks), st.lists(scores, min_size=len(ranks), max_size=len(ranks)))


@given(rankings.flatmap(scored))
@pytest.mark.law("R2")
def test_only_differences_within_a_prompt_matter(case):
    """Law R2: adding a constant to all scores of a prompt changes nothing, and the gradient sums to 0."""
    ranks, values = case
    pairs = pairs_of_ranking(ranks)
    rewards = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    loss = comparison_loss(rewards, pairs, 1)
    loss.backward()
    shifted = comparison_loss(rewards.detach() + 3.25, pairs, 1)
    assert shifted.item() == pytest.approx(loss.item(), abs=1e-9)
    assert float(rewards.grad.sum()) == pytest.approx(0, abs=1e-9)


@given(rankings.flatmap(scored), st.randoms(use_true_random=False))
@pytest.mark.law("R2")
def test_the_order_of_the_responses_does_not_matter(case, random):
    """Law R2: permuting responses with their ranks permutes nothing but names."""
    ranks, values = case
    order = list(range(len(ranks)))
    random.shuffle(order)
    straight = comparison_loss(torch.tensor(values, dtype=torch.float64), pairs_of_ranking(ranks), 1)
    mixed = comparison_loss(
        torch.tensor([values[i] for i in order], dtype=torch.float64), pairs_of_ranking([ranks[i] for i in order]), 1
    )
    assert mixed.item() == pytest.approx(straight.item(), abs=1e-9)


@given(st.integers(2, 8))
@pytest.mark.law("R3")
def test_a_scorer_that_knows_nothing_loses_ln_2(count):
    """Law R3: with equal scores the loss is ln 2 for every K."""
    loss = comparison_loss(torch.zeros(count), pairs_of_ranking(list(range(1, count + 1))), 1)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.law("R3")
def test_an_untrained_reward_model_is_at_ln_2_and_at_chance(tmp_path):
    """Law R3: untrained, loss = ln 2 within 0.1, over heads drawn from N(0, 1/(d + 1)); accuracy 50 %."""
    policy = tiny.policy(tmp_path / "policy")
    losses, right = [], []
    for seed in range(8):
        model, encoder = backbone.scorer_from_policy(policy, seed=seed)
        model.set_attn_implementation(attention.NAME)
        lines = [RankingLine.from_json(tiny.json.dumps(line)) for line in tiny.ranking_lines(60, seed=seed)]
        examples = [example_of(line, encoder, ties="skip", max_tokens=64) for line in lines]
        examples = [example for example in examples if example.judgements]
        with torch.no_grad():
            out = raw_scores(model, TreeBatch([example.tree for example in examples]))
        pairs = joined_pairs(examples)
        losses.append(float(comparison_loss(out, pairs, len(examples))))
        right.append(((out[pairs.first] > out[pairs.second]).float() == pairs.target).float().mean())
    assert sum(losses) / len(losses) == pytest.approx(math.log(2) + 0.05, abs=0.1)
    assert float(torch.stack(right).mean()) == pytest.approx(0.5, abs=0.1)


@given(scores)
@pytest.mark.law("R4")
def test_a_tie_wants_equal_scores(score):
    """Law R4: the gradient of a tie is exactly 0 where the scores are equal, and pulls them together elsewhere."""
    rewards = torch.tensor([score, score, score + 1.0], requires_grad=True)
    comparison_loss(rewards, Pairs.of([(0, 1, 0.5)]), 1).backward()
    assert rewards.grad.tolist() == [0, 0, 0]
    rewards.grad = None
    comparison_loss(rewards, Pairs.of([(0, 2, 0.5)]), 1).backward()
    assert rewards.grad[2] > 0 > rewards.grad[0]


@given(rankings.flatmap(scored))
@pytest.mark.law("R1")
def test_a_ranking_weighs_as_much_as_the_mean_of_its_comparisons(case):
    """Law R1: the loss of a ranking is the mean of -log sigmoid(winner - loser) over its C(K, 2) comparisons."""
    ranks, values = case
    rewards = torch.tensor(values, dtype=torch.float64)
    nats = []
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            p = 1 / (1 + math.exp(values[j] - values[i]))
            wanted = 0.5 if ranks[i] == ranks[j] else float(ranks[i] < ranks[j])
            nats.append(-(wanted * math.log(p) + (1 - wanted) * math.log(1 - p)))
    assert comparison_loss(rewards, pairs_of_ranking(ranks), 1).item() == pytest.approx(sum(nats) / len(nats), abs=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3"])
@pytest.mark.law("R1")
def test_packed_rankings_teach_what_pairs_one_by_one_would(tmp_path, family):
    """Law R1: loss and gradient of packed trees equal those of two plain forward passes a comparison, within 1e-5."""
    model, encoder = backbone.scorer_from_policy(tiny.policy(tmp_path / "policy", family), seed=1)
    lines = [RankingLine.from_json(tiny.json.dumps(line)) for line in tiny.ranking_lines(4)]
    examples = [example_of(line, encoder, ties="half", max_tokens=64) for line in lines]

    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])

    nats = []
    for example in examples:
        pairs = example.pairs
        rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.target.tolist(), strict=True)
        for first, second, target in rows:
            delta = [
                model(input_ids=torch.tensor([[*example.tree.prompt, *example.tree.responses[i]]])).logits[0, 0]
                for i in (first, second)
            ]
            p = torch.sigmoid(delta[0] - delta[1])
            nats.append(-(target * p.log() + (1 - target) * (1 - p).log()) / len(example.pairs))
    naive_loss = sum(nats) / len(examples)
    naive = gradient(naive_loss)
    model.set_attn_implementation(attention.NAME)
    packed_loss = comparison_loss(
        raw_scores(model, TreeBatch([e.tree for e in examples])), joined_pairs(examples), len(examples)
    )
    packed = gradient(packed_loss)
    assert packed_loss.item() == pytest.approx(naive_loss.item(), rel=1e-5)
    assert (packed - naive).norm() / naive.norm() < 1e-5


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


@pytest.mark.law("R8")
def test_the_ceiling_is_that_of_the_published_agreement():
    """Agreement of 72.6 % allows an accuracy of 80.1 % and a log-loss of 0.423 (Bradley-Terry, normal rewards)."""
    accuracy, log_loss = best_possible(0.726)
    assert accuracy == pytest.approx(0.801, abs=0.001)
    assert log_loss == pytest.approx(0.423, abs=0.001)
    assert best_possible(0.5) == pytest.approx((0.5, math.log(2)), abs=1e-3)
