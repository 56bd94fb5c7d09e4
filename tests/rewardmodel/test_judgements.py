"""Judgements become comparisons as they were said, and prompts with their responses become trees."""

from __future__ import annotations

import json

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from rewardmodel.data import (
    choices_in,
    coins,
    epoch_order,
    example_of,
    fit,
    judged_of,
    lot,
    micro_batches,
    pairs_in,
    placed,
    read_examples,
    tree_of,
)
from rewardmodel.loss import Choice
from training.lm.trees import Tree
from training.records import Placement, RankingJudgement, RankingLine, RecordError, Verdict, VerdictsJudgement

IDS = ["x", "y", "z", "w"]


def said(judged):
    return {(first, second): target for first, second, target, _ in judged.comparisons}


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
    word = judged_of(judged(dense), ids, ties="half")
    assert len(word.comparisons) == count
    assert len(judged_of(judged(dense), ids, ties="skip").comparisons) == count - tied
    flipped = said(judged_of(judged([max(dense) + 1 - r for r in dense]), ids, ties="half"))
    assert flipped == {pair: 1 - target for pair, target in said(word).items()}


def test_verdicts_are_taken_as_said_even_in_a_circle():
    words = [("x", "y", "a"), ("y", "z", "a_slight"), ("x", "z", "b"), ("w", "x", "b_slight"), ("w", "y", "tie")]
    judgement = VerdictsJudgement(annotator="ada", verdicts=tuple(Verdict(a=a, b=b, verdict=v) for a, b, v in words))
    judged = judged_of(judgement, IDS, ties="half")
    assert said(judged) == {(0, 1): 1, (1, 2): 1, (0, 2): 0, (3, 0): 0, (3, 1): 0.5}
    assert [comparison.strength for comparison in judged.comparisons] == [2, 1, 2, 1, 0]
    assert judged.choices[2] == Choice((2,), (0, 2))
    assert judged.choices[4] == Choice((3, 1), (3, 1))
    assert (3, 1) not in said(judged_of(judgement, IDS, ties="skip"))


def test_a_ranking_keeps_how_much_better_how_flagged_and_how_weighty():
    placements = (
        Placement(response="x", rank=1, rating=7),
        Placement(response="y", rank=2, rating=5, flags=("rude",)),
        Placement(response="z", rank=3),
    )
    word = RankingJudgement(annotator="ada", placements=placements, flags=("unclear",), weight=2.5)
    judged = judged_of(word, ["y", "x", "z"], ties="half")
    assert [(c.first, c.second, c.target, c.strength) for c in judged.comparisons] == [
        (0, 1, 0.0, 2),
        (0, 2, 1.0, None),
        (1, 2, 1.0, None),
    ]
    assert judged.flags == (("rude",), (), ())
    assert judged.task_flags == ("unclear",)
    assert judged.weight == 2.5
    assert judged.choices == (Choice((1,), (1, 0, 2)), Choice((0,), (0, 2)))


def examples_of(count, **settings):
    lines = [RankingLine.from_json(json.dumps(line)) for line in tiny.ranking_lines(count, **settings)]
    return [example_of(line, tiny.encoder(), ties="half", max_tokens=100) for line in lines]


def test_every_annotator_of_a_line_weighs_what_the_line_says():
    line = tiny.ranking_lines(1, annotators=3)[0]
    line["judgements"][1]["weight"] = 0.25
    example = example_of(RankingLine.from_json(json.dumps(line)), tiny.encoder(), ties="half", max_tokens=100)
    assert [judged.annotator for judged in example.judgements] == ["a0", "a1", "a2"]
    assert example.weight == 2.25
    assert example.by({"a1"}).weight == 0.25


def test_what_is_said_in_a_batch_points_at_its_own_responses():
    examples = examples_of(3, annotators=2)
    pairs, choices = pairs_in(examples), choices_in(examples)
    assert pairs.judgement_count == choices.judgement_count == 6
    assert [offset for offset, _ in placed(examples)] == [0, 0, 4, 4, 8, 8]
    assert (pairs.first // 4 == pairs.judgement // 2).all()
    assert (pairs.second // 4 == pairs.judgement // 2).all()
    assert (choices.among[choices.real] // 4).tolist() == [
        int(number) // 2
        for number, real in zip(choices.judgement, choices.real.sum(1), strict=True)
        for _ in range(real)
    ]
    totals = [float(pairs.share[pairs.judgement == number].sum()) for number in range(6)]
    assert totals == pytest.approx([1] * 6)
    assert choices.share.tolist() == pytest.approx([1 / 3] * len(choices))  # of four, however many are tied


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


@given(st.integers(1, 12), st.integers(1, 400), st.integers(1, 3))
def test_micro_batches_hold_every_example_once_and_every_rank_gets_equally_many(count, limit, ranks):
    examples = examples_of(count)
    dealt = micro_batches(examples, limit, ranks=ranks)
    real = [example.id for own in dealt for group, weight in own if weight for example in group]
    assert sorted(real) == sorted(example.id for example in examples)
    assert len({len(own) for own in dealt}) == 1
    assert all(weight in {0.0, 1.0} and group for own in dealt for group, weight in own)


def test_lots_and_coins_fall_the_same_way_every_time_and_fairly():
    assert lot(1, "ada") == lot(1, "ada") != lot(2, "ada")
    assert coins("ada", 20) == coins("ada", 20)
    assert coins("ada", 40)[:20] == coins("ada", 40)[:20]
    tossed = [coin for number in range(200) for coin in coins(f"judgement {number}", 20)]
    assert sum(tossed) / len(tossed) == pytest.approx(0.5, abs=0.03)
    assert sum(lot(1, str(number)) for number in range(2000)) / 2000 == pytest.approx(0.5, abs=0.03)


def test_a_line_of_more_responses_than_ties_can_be_counted_for_is_refused_where_they_are(tmp_path):
    line = tiny.ranking_lines(1)[0]
    line["responses"] = [{"id": f"r{i}", "text": "x" * (i + 1)} for i in range(10)]
    line["judgements"][0]["placements"] = [{"response": f"r{i}", "rank": i + 1} for i in range(10)]
    wide = tiny.dataset(tmp_path / "wide", [*tiny.ranking_lines(1), line])
    assert len(read_examples(wide, tiny.encoder(), ties="half", max_tokens=99)) == 2
    with pytest.raises(RecordError, match=r"line 2: responses .*at most 9"):
        read_examples(wide, tiny.encoder(), ties="half", max_tokens=99, ties_counted=True)
