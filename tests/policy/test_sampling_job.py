"""A sampling job: K different responses a prompt, the same ones however it was batched or broken."""

from __future__ import annotations

import json

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from policy import sample as sampling
from policy.sample import NothingSampled, alike, before_stop, sample
from training import artifacts
from training.program import Interrupted, open_run
from training.records import Sample, SampleLine, read_lines

FAST = {"responses_per_prompt": 4, "max_new_tokens": 8, "savepoint_every_seconds": 0.0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    home = tmp_path_factory.mktemp("inputs")
    prompts = tiny.dataset(home / "prompts", tiny.prompt_lines(10))
    return {"policy": tiny.policy(home / "policy"), "prompts": prompts}


def wrote(run):
    sample(run)
    return list(read_lines(SampleLine, run.output_dir))


def test_every_prompt_gets_k_different_responses_with_what_made_them(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", inputs, FAST)
    lines = wrote(run)
    assert [line.prompt_id for line in lines] == [f"p{i}" for i in range(10)]
    for line in lines:
        assert [one.k for one in line.responses] == [0, 1, 2, 3]
        assert len({one.text for one in line.responses}) == 4
        for one in line.responses:
            assert one.text.strip()
            assert one.logprob < 0
            assert 1 <= one.token_count <= 8
            assert one.finished or one.token_count == 8
    card = json.loads((run.output_dir / "card.json").read_text())
    assert (card["kind"], card["count"]) == ("samples", 10)
    assert card["inputs"]["policy"]


def test_how_prompts_are_batched_changes_no_response(inputs, tmp_path, monkeypatch):
    whole = wrote(tiny.run(tmp_path / "whole", "policy.sample", inputs, FAST))
    monkeypatch.setattr(sampling, "CHUNK", 3)
    assert [
        [r.text for r in line.responses] for line in wrote(tiny.run(tmp_path / "b", "policy.sample", inputs, FAST))
    ] == [[r.text for r in line.responses] for line in whole]


@pytest.mark.parametrize("looks", [0, 3, 12])
def test_stopped_anywhere_and_resumed_it_publishes_the_same_bytes(inputs, tmp_path, monkeypatch, looks):
    monkeypatch.setattr(sampling, "CHUNK", 3)
    whole = tiny.run(tmp_path / "whole", "policy.sample", inputs, FAST)
    sample(whole)
    broken = tiny.run(tmp_path / "broken", "policy.sample", inputs, FAST)

    class Stop:
        left = looks

        @property
        def requested(self):
            self.left -= 1
            return self.left < 0

    broken.stop = Stop()
    with pytest.raises(Interrupted):
        sample(broken)
    again = open_run(broken.folder)
    sample(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


def test_a_policy_that_always_says_the_same_is_refused_by_name(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", inputs, FAST | {"temperature": 0})
    with pytest.raises(NothingSampled, match="two different"):
        sample(run)
    one = tiny.run(tmp_path / "one", "policy.sample", inputs, FAST | {"temperature": 0, "responses_per_prompt": 1})
    assert all(len(line.responses) == 1 for line in wrote(one))


def test_only_the_wanted_splits_and_as_many_prompts_as_asked(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", inputs, FAST | {"splits": ["valid"]})
    assert [line.prompt_id for line in wrote(run)] == ["p4", "p9"]
    run = tiny.run(tmp_path / "few", "policy.sample", inputs, FAST | {"max_prompts": 3})
    assert len(wrote(run)) == 3


def _said(k, text):
    return Sample(k=k, text=text, token_count=1, logprob=-1.0, finished=True, seed=0)


def test_empty_and_nearly_equal_responses_leave_their_place_open():
    first = [_said(0, "a kite flew far away"), _said(1, ""), _said(2, "A kite flew far away"), _said(3, "no")]
    kept = sampling._keep({}, first, 0.9, last=False)
    assert sorted(kept) == [0, 3]
    again = [_said(0, "x"), _said(1, "a kite flew far away"), _said(2, "A kite flew far away"), _said(3, "y")]
    kept = sampling._keep(kept, again, 0.9, last=True)
    assert {k: one.text for k, one in kept.items()} == {0: "a kite flew far away", 2: "A kite flew far away", 3: "no"}


words = st.lists(st.sampled_from(["a", "kite", "flew", "home"]), max_size=5).map(" ".join)


@given(words, words)
def test_likeness_is_mutual_whole_for_the_same_words_and_none_without_a_common_one(one, other):
    assert alike(one, other) == alike(other, one)
    assert alike(one, one) == 1
    assert 0 <= alike(one, other) <= 1
    if one and not set(one.split()) & set(other.split()):
        assert alike(one, other) == 0


def test_a_text_ends_before_the_first_stop():
    assert before_stop("one. two! three", ["!", "."]) == "one"
    assert before_stop("one", ["x"]) == "one"
