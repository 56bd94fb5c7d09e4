"""A sampling job: K different responses a prompt, the same ones however it was batched or broken."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from contextlib import contextmanager

import pytest
import tiny
import torch
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from policy import sample as sampling
from policy.config import SampleConfig
from policy.engines import ServerUnusable, WrongCount
from policy.sample import NothingSampled, alike, sample
from policy.serve import Server, Shelf
from rewardmodel import heads, scoring
from training import artifacts
from training.artifacts import Store
from training.config import ConfigError
from training.lm.generation import before_stop
from training.program import Interrupted, open_run
from training.records import Message, Sample, SampleLine, read_lines

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


@pytest.mark.parametrize("authors", ["policy", "rivals"])
def test_it_is_told_how_far_it_is_while_it_writes(inputs, rivals, tmp_path, monkeypatch, authors):
    monkeypatch.setattr(sampling, "SAID_EVERY_SECONDS", 0.0)
    run = tiny.run(tmp_path / "run", "policy.sample", inputs if authors == "policy" else rivals, FAST)
    sample(run)
    told = [(event["done"], event["total"]) for event in tiny.events(run, "progress")]
    assert told == sorted(told)
    assert len(set(told)) > 3
    assert told[-1] == (10, 10)


@pytest.mark.parametrize("looks", [0, 3, 12])
def test_stopped_anywhere_and_resumed_it_publishes_the_same_bytes(inputs, tmp_path, monkeypatch, looks):
    monkeypatch.setattr(sampling, "CHUNK", 3)
    whole = tiny.run(tmp_path / "whole", "policy.sample", inputs, FAST)
    sample(whole)
    broken = tiny.run(tmp_path / "broken", "policy.sample", inputs, FAST)
    broken.stop = tiny.StopsAfter(looks)
    with pytest.raises(Interrupted):
        sample(broken)
    again = open_run(broken.folder)
    sample(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


def test_a_policy_that_always_says_the_same_is_refused_by_name(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", inputs, FAST | {"temperature": 0})
    with pytest.raises(NothingSampled, match="two different"):
        sample(run)
    alone = FAST | {"temperature": 0, "responses_per_prompt": 1, "place": False}
    one = tiny.run(tmp_path / "one", "policy.sample", inputs, alone)
    assert all(len(line.responses) == 1 for line in wrote(one))


def test_only_the_wanted_splits_and_as_many_prompts_as_asked(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", inputs, FAST | {"splits": ["valid"]})
    assert [line.prompt_id for line in wrote(run)] == ["p4", "p9"]
    run = tiny.run(tmp_path / "few", "policy.sample", inputs, FAST | {"max_prompts": 3})
    assert len(wrote(run)) == 3


@pytest.fixture(scope="module")
def judged(inputs, tmp_path_factory):
    """With a reward model whose members are at odds."""
    folder = tiny.scorer(tmp_path_factory.mktemp("reward") / "reward", inputs["policy"])
    heads.save(heads.Heads(32, 5, prior_scale=3.0, seed=0), folder)
    return inputs | {"reward": folder}


def test_each_line_says_how_unsure_the_reward_model_is_of_its_order(judged, inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.sample", judged, FAST)
    lines = wrote(run)
    scorer = scoring.load(judged["reward"])
    for line in lines:
        texts, finished = zip(*((one.text, one.finished) for one in line.responses), strict=True)
        (said,) = scorer.score_with_spread([line.prompt], [texts], finished=[finished])
        assert line.doubt == pytest.approx(said.doubt, rel=1e-4)
    assert len({line.doubt for line in lines}) == len(lines)
    card = json.loads((run.output_dir / "card.json").read_text())
    assert card["evaluation"]["mean_doubt"] == pytest.approx(sum(line.doubt for line in lines) / len(lines))
    without = wrote(tiny.run(tmp_path / "without", "policy.sample", inputs, FAST))
    assert [line.responses for line in lines] == [line.responses for line in without]
    assert {line.doubt for line in without} == {None}


def test_a_reward_model_that_never_doubts_is_told_of_and_changes_nothing(inputs, tmp_path):
    sure = inputs | {"reward": tiny.scorer(tmp_path / "sure", inputs["policy"])}
    run = tiny.run(tmp_path / "run", "policy.sample", sure, FAST)
    assert {line.doubt for line in wrote(run)} == {None}
    assert any("no ensemble" in event["text"] for event in tiny.events(run, "note"))
    with pytest.raises(ConfigError, match="the one that was given has none"):
        sample(tiny.run(tmp_path / "choosing", "policy.sample", sure, FAST | {"candidates": 8}))
    with pytest.raises(ConfigError, match="no reward model was given"):
        sample(tiny.run(tmp_path / "alone", "policy.sample", inputs, FAST | {"candidates": 8}))
    with pytest.raises(ConfigError, match="cannot be chosen among 3"):
        SampleConfig(candidates=3)


def test_the_ensemble_chooses_among_more_candidates(judged, inputs, tmp_path):
    all_of_them = wrote(tiny.run(tmp_path / "all", "policy.sample", inputs, FAST | {"responses_per_prompt": 8}))
    chosen = wrote(tiny.run(tmp_path / "some", "policy.sample", judged, FAST | {"candidates": 8}))
    scorer = scoring.load(judged["reward"])
    for line, before in zip(chosen, all_of_them, strict=True):
        assert len(line.responses) == 4
        assert set(line.responses) < set(before.responses)
        texts, finished = zip(*((one.text, one.finished) for one in before.responses), strict=True)
        (said,) = scorer.score_with_spread([before.prompt], [texts], finished=[finished])
        at = [before.responses.index(one) for one in line.responses]
        assert line.doubt == pytest.approx(said.of(at).doubt, rel=1e-4)
        favourites = {before.responses[int(best)] for best in said.members.argmax(1)}
        assert favourites & set(line.responses)
    assert [line.responses for line in chosen] != [line.responses[:4] for line in all_of_them]


def test_of_a_policy_and_its_rival_half_each_are_chosen_and_the_same_after_a_stop(judged, tmp_path, monkeypatch):
    both = judged | {"rival": tiny.policy(tmp_path / "rival", seed=1)}
    monkeypatch.setattr(sampling, "CHUNK", 3)
    config = FAST | {"candidates": 6}
    whole = tiny.run(tmp_path / "whole", "policy.sample", both, config)
    for line in wrote(whole):
        assert [one.by for one in line.responses] == ["policy", "policy", "rival", "rival"]
    broken = tiny.run(tmp_path / "broken", "policy.sample", both, config)
    broken.stop = tiny.StopsAfter(5)
    with pytest.raises(Interrupted):
        sample(broken)
    again = open_run(broken.folder)
    sample(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


def test_what_is_left_of_one_author_alone_is_nothing_to_rank(judged):
    scorer = scoring.load(judged["reward"])
    mine = [Sample(k=k, text=text, token_count=1, logprob=-1.0, finished=True, seed=0) for k, text in enumerate("abc")]
    line = SampleLine(prompt_id="1", prompt=(Message("user", "say"),), responses=tuple(mine))
    assert sampling.judged([line], scorer, {"policy": range(1), "rival": range(1, 2)}, seed=0) == []
    (alone,) = sampling.judged([line], scorer, {"policy": range(1)}, seed=0)
    assert (len(alone.responses), alone.doubt) == (1, 0.0)
    (two,) = sampling.judged([line], scorer, {"policy": range(2), "rival": range(2, 4)}, seed=0)
    assert len(two.responses) == 2


def test_members_choose_what_they_like_best_of_what_is_left():
    members = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    dice = random.Random(0)
    picks = [sampling.liked(members, range(4), 2, dice) for _ in range(200)]
    assert {tuple(pick) for pick in picks} == {(0, 1), (0, 3), (3, 0), (3, 2)}
    assert sampling.liked(members, [1, 2], 4, dice) in ([1, 2], [2, 1])


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


# --- Two policies in one ranking ------------------------------------------------------------------


@pytest.fixture(scope="module")
def rivals(inputs, tmp_path_factory):
    return inputs | {"rival": tiny.policy(tmp_path_factory.mktemp("rival") / "policy", seed=1)}


def test_two_and_two_are_the_policys_and_the_rivals(rivals, inputs, tmp_path):
    mixed = wrote(tiny.run(tmp_path / "mixed", "policy.sample", rivals, FAST))
    alone = wrote(tiny.run(tmp_path / "alone", "policy.sample", inputs, FAST | {"responses_per_prompt": 2}))
    swapped = {"policy": rivals["rival"], "rival": rivals["policy"], "prompts": rivals["prompts"]}
    other = wrote(tiny.run(tmp_path / "swapped", "policy.sample", swapped, FAST))
    assert len(mixed) == len(alone) == 10
    for line, own, swap in zip(mixed, alone, other, strict=True):
        assert [(one.k, one.by) for one in line.responses] == [(0, "policy"), (1, "policy"), (2, "rival"), (3, "rival")]
        assert len({one.text for one in line.responses}) == 4
        assert [one.text for one in line.responses[:2]] == [one.text for one in own.responses]
        # Each policy draws from streams of its own: the rival does not say what it would have said as the policy.
        assert [one.text for one in line.responses[2:]] != [one.text for one in swap.responses[:2]]


def test_a_policy_is_not_its_own_rival_and_one_response_cannot_be_shared(inputs, rivals, tmp_path):
    same = inputs | {"rival": inputs["policy"]}
    with pytest.raises(ConfigError, match="same checkpoint"):
        sample(tiny.run(tmp_path / "same", "policy.sample", same, FAST))
    with pytest.raises(ConfigError, match="cannot be shared"):
        sample(tiny.run(tmp_path / "one", "policy.sample", rivals, FAST | {"responses_per_prompt": 1, "place": False}))


@pytest.mark.parametrize("count", [1, 10])
def test_what_nobody_could_rank_is_not_written_for_the_queue(count):
    with pytest.raises(ConfigError, match="cannot be ranked") as refused:
        SampleConfig(responses_per_prompt=count)
    assert set(refused.value.fields) == {"responses_per_prompt"}
    assert SampleConfig(responses_per_prompt=count, place=False).responses_per_prompt == count


# --- Servers that speak OpenAI's API ----------------------------------------------------------------


@contextmanager
def serving(app, monkeypatch):
    """An application on a port of this machine, which sampling jobs may ask."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{port}/v1"
    monkeypatch.setenv("LAUREL_SAMPLE_SERVERS", url)
    try:
        while not server.started:
            time.sleep(0.02)
        yield url
    finally:
        server.should_exit = True
        thread.join()


class Fake:
    """A server that gives as many choices as it likes, and remembers what it was asked."""

    def __init__(self, given):
        self.given, self.asked = given, []

    def app(self):
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def models(self, _request):
        return JSONResponse({"object": "list", "data": [{"id": "big", "object": "model"}]})

    async def chat(self, request):
        self.asked.append(await request.json())
        said = self.asked[-1]
        choices = [
            {
                "index": k,
                "finish_reason": "stop" if k else "length",
                "message": {
                    "role": "assistant",
                    "content": f" {said['messages'][-1]['content']} so {said['seed']} {k}",
                },
            }
            for k in range(self.given or said["n"])
        ]
        return JSONResponse({"id": "x", "object": "chat.completion", "created": 0, "model": "big", "choices": choices})


def test_any_openai_server_may_write_and_each_response_knows_its_seed(inputs, tmp_path, monkeypatch):
    fake = Fake(given=None)
    wanted = {"temperature": 0.7, "top_k": 5, "stop": ["#"], "server_models": ["big"]}
    with serving(fake.app(), monkeypatch) as url:
        lines = wrote(tiny.run(tmp_path / "run", "policy.sample", inputs, FAST | wanted | {"server": url}))
    assert [line.prompt_id for line in lines] == [f"p{i}" for i in range(10)]
    assert len(fake.asked) == 10
    assert len({said["seed"] for said in fake.asked}) == 10
    for said in fake.asked:
        assert (said["model"], said["n"], said["top_k"], said["stop"]) == ("big", 4, 5, ["#"])
        assert (said["max_tokens"], said["temperature"]) == (8, 0.7)
    for line in lines:
        for k, one in enumerate(line.responses):
            assert (one.k, one.logprob, one.token_count, one.finished) == (k, None, None, k > 0)
            assert one.text == f"{line.prompt[-1].content} so {one.seed} {k}"


def test_our_own_server_writes_for_a_job_with_its_logprobs(rivals, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    named = {name: store.put(rivals[name]) for name in ("policy", "rival")}
    config = FAST | {"server_models": list(named.values())}
    with serving(Server(Shelf(store)).app(), monkeypatch) as url:
        lines = wrote(tiny.run(tmp_path / "run", "policy.sample", rivals, config | {"server": url}))
    assert len(lines) == 10
    for line in lines:
        assert [one.by for one in line.responses] == ["policy", "policy", "rival", "rival"]
        assert all(one.logprob < 0 and 1 <= one.token_count <= 8 for one in line.responses)


def test_a_server_that_gives_another_number_of_choices_is_named(inputs, tmp_path, monkeypatch):
    """As `transformers serve` does, which answers n = 4 with one choice and status 200."""
    with serving(Fake(given=1).app(), monkeypatch) as url:
        config = FAST | {"server": url, "server_models": ["big"]}
        with pytest.raises(WrongCount, match=rf"{url} was asked for 4 choices of big and gave 1"):
            sample(tiny.run(tmp_path / "run", "policy.sample", inputs, config))


def test_a_server_that_cannot_write_is_refused_before_the_first_prompt(inputs, tmp_path, monkeypatch):
    with serving(Fake(given=None).app(), monkeypatch) as url:
        config = FAST | {"server": url, "server_models": ["small"]}
        with pytest.raises(ServerUnusable, match=r"serves big, not small.*--served-model-name small"):
            sample(tiny.run(tmp_path / "small", "policy.sample", inputs, config))
        monkeypatch.setattr("policy.engines.TRIES", 1)
        monkeypatch.setenv("LAUREL_SAMPLE_SERVERS", "http://127.0.0.1:9/")
        with pytest.raises(ServerUnusable, match=r"nothing answers at http://127\.0\.0\.1:9/v1"):
            sample(tiny.run(tmp_path / "down", "policy.sample", inputs, FAST | {"server": "http://127.0.0.1:9/v1"}))
        with pytest.raises(ConfigError, match="LAUREL_SAMPLE_SERVERS"):
            sample(tiny.run(tmp_path / "forbidden", "policy.sample", inputs, config))
