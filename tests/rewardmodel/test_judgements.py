"""Judgements become comparisons as they were said, and prompts with their responses become trees."""

from __future__ import annotations

import json

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from rewardmodel.data import epoch_order, example_of, fit, joined_pairs, micro_batches, pairs_of, read_examples, tree_of
from training.lm.trees import Tree
from training.records import Placement, RankingJudgement, RankingLine, RecordError, Verdict, VerdictsJudgement

IDS = ["x", "y", "z", "w"]


def said(pairs):
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.target.tolist(), strict=True)
    return {(a, b): t for a, b, t in rows}


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
@pytest.mark.law("D2")
def test_a_ranking_says_as_many_strict_pairs_as_it_has_no_ties(ranks):
    """Law D2: pairs(ranking) has C(K, 2) - ties strict pairs, and reversing it reverses each."""
    dense = [sorted(set(ranks)).index(rank) + 1 for rank in ranks]
    ids = IDS[: len(dense)]

    def judged(places):
        return RankingJudgement(
            annotator="ada", placements=tuple(Placement(response=i, rank=r) for i, r in zip(ids, places, strict=True))
        )

    count = len(dense) * (len(dense) - 1) // 2
    tied = sum(dense[i] == dense[j] for i in range(len(dense)) for j in range(i))
    pairs = pairs_of(judged(dense), ids, ties="half")
    assert len(pairs) == count
    assert len(pairs_of(judged(dense), ids, ties="skip")) == count - tied
    assert float(pairs.weight.sum()) == pytest.approx(1)
    flipped = said(pairs_of(judged([max(dense) + 1 - r for r in dense]), ids, ties="half"))
    assert flipped == {pair: 1 - target for pair, target in said(pairs).items()}


def test_verdicts_are_taken_as_said_even_in_a_circle():
    words = [("x", "y", "a"), ("y", "z", "a_slight"), ("x", "z", "b"), ("w", "x", "b_slight"), ("w", "y", "tie")]
    judgement = VerdictsJudgement(annotator="ada", verdicts=tuple(Verdict(a=a, b=b, verdict=v) for a, b, v in words))
    pairs = pairs_of(judgement, IDS, ties="half")
    assert said(pairs) == {(0, 1): 1, (1, 2): 1, (0, 2): 0, (3, 0): 0, (3, 1): 0.5}
    assert float(pairs.weight.sum()) == pytest.approx(1)
    assert (3, 1) not in said(pairs_of(judgement, IDS, ties="skip"))


def test_every_annotator_of_a_line_weighs_one():
    line = RankingLine.from_json(json.dumps(tiny.ranking_lines(1, annotators=3)[0]))
    example = example_of(line, tiny.encoder(), ties="half", max_tokens=100)
    assert float(example.pairs.weight.sum()) == pytest.approx(3)
    assert [judged.annotator for judged in example.judgements] == ["a0", "a1", "a2"]


def test_pairs_of_a_batch_point_at_their_own_responses():
    examples = [
        example_of(RankingLine.from_json(json.dumps(line)), tiny.encoder(), ties="half", max_tokens=100)
        for line in tiny.ranking_lines(3)
    ]
    pairs = joined_pairs(examples)
    for number, example in enumerate(examples):
        of_it = (pairs.first // 4) == number
        assert (pairs.second[of_it] // 4 == number).all()
        assert pairs.target[of_it].tolist() == example.pairs.target.tolist()


def test_a_line_that_says_nothing_is_left_out_and_a_malformed_one_is_refused_by_line_and_field(tmp_path):
    lines = tiny.ranking_lines(3)
    lines[1]["judgements"] = []
    good = tiny.dataset(tmp_path / "good", lines)
    assert [e.id for e in read_examples(good, tiny.encoder(), ties="half", max_tokens=99)] == ["0", "2"]
    lines[2]["judgements"][0]["placements"][0]["rank"] = 9
    bad = tiny.dataset(tmp_path / "bad", lines)
    with pytest.raises(RecordError, match=r"line 3: .*placements"):
        read_examples(bad, tiny.encoder(), ties="half", max_tokens=99)


def test_a_response_ends_with_its_end_token_unless_it_was_cut_off_and_a_prompt_may_be_empty():
    encoder = tiny.encoder()
    tree, cut = tree_of(encoder, [], ["ab", "ab"], max_tokens=99, finished=[True, False])
    assert not cut
    assert tree.responses[0] == [*encoder.plain_ids("ab"), encoder.eos_id]
    assert tree.responses[1] == encoder.plain_ids("ab")
    assert tree.prompt[-1] == encoder.tokenizer.convert_tokens_to_ids("<assistant>")


@given(st.integers(1, 60), st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(8, 64))
def test_a_tree_that_is_too_long_is_cut_to_fit_and_keeps_the_end_of_its_prompt(prompt, responses, limit):
    tree = Tree(list(range(prompt)), [list(range(100, 100 + n)) for n in responses])
    cut, was_cut = fit(tree, limit)
    assert was_cut == (prompt + max(responses) > limit)
    assert len(cut.prompt) + max(map(len, cut.responses)) <= limit
    assert list(cut.prompt) == list(tree.prompt)[-len(cut.prompt) :]
    assert all(list(a) == list(b)[: len(a)] for a, b in zip(cut.responses, tree.responses, strict=True))


def test_an_epoch_sees_every_example_once_in_an_order_of_its_own():
    orders = [epoch_order(50, seed=1, epoch=e) for e in range(2)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1]
    assert epoch_order(50, seed=1, epoch=0) == orders[0]


def test_micro_batches_hold_every_example_once():
    examples = [
        example_of(RankingLine.from_json(json.dumps(line)), tiny.encoder(), ties="half", max_tokens=100)
        for line in tiny.ranking_lines(9)
    ]
    assert sorted(e.id for group in micro_batches(examples, 120) for e in group) == sorted(e.id for e in examples)
