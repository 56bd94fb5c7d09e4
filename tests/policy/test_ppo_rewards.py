"""Who judges: reward models, one or several, functions by name, and an address; and what goes wrong with each."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint, EntryPoints

import httpx
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from ppo_cast import FAST

from policy import rewards
from policy.__main__ import KINDS
from policy.api import RewardsRequestSerializer
from policy.config import PPOConfig, refuse_reward_url
from policy.rewards import BadReward, NoJudge, Remote, RewardUnavailable, combined, ensemble, function_named
from policy.rollout import Answer, Prompt
from training import artifacts
from training.config import ConfigError
from training.records import Message

PROMPTS = [Prompt("p", (Message("user", "Say it."),), (3,)), Prompt("q", (Message("user", "Say more."),), (4,))]
ANSWERS = [
    [Answer((5, 1), "a b c a b c", finished=True), Answer((6,), "a b", finished=False)],
    [Answer((7,), "x", finished=True)],
]
votes = (
    st.integers(1, 5)
    .flatmap(lambda M: st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=M, max_size=M))
    .map(torch.tensor)
)


@given(votes, st.floats(0, 2))
def test_no_combination_is_above_the_mean_or_below_what_it_promises(given_votes, coef):
    mean, worst, careful = (combined(given_votes, how, coef) for how in ("mean", "worst", "mean_minus_variance"))
    assert torch.all(worst <= mean + 1e-6)
    assert torch.all(careful <= mean + 1e-6)
    assert torch.allclose(mean, given_votes.double().mean(0).float(), atol=1e-5)
    spread = ((given_votes - mean) ** 2).mean(0)
    assert torch.allclose(careful, mean - coef * spread, atol=1e-4)


@given(votes, st.sampled_from(["mean", "worst", "mean_minus_variance"]))
def test_judges_who_agree_are_one_judge_and_their_order_is_nothing(given_votes, how):
    same = given_votes[:1].expand_as(given_votes)
    assert torch.allclose(combined(same, how, 0.5), given_votes[0], atol=1e-5)
    assert torch.allclose(combined(given_votes.flip(0), how, 0.5), combined(given_votes, how, 0.5), atol=1e-5)


def test_nobody_to_judge_is_refused():
    with pytest.raises(NoJudge, match="reward_function"):
        ensemble([], PPOConfig())


def test_what_is_no_reward_is_refused():
    for said in (torch.tensor([1.0, 2.0]), torch.tensor([1.0, float("nan"), 2.0])):
        with pytest.raises(BadReward):
            ensemble([lambda *_, said=said: said], PPOConfig())(PROMPTS, ANSWERS)


# --- Functions with a name -----------------------------------------------------------------------


def test_a_function_judges_texts():
    judge = rewards.by_function(function_named("no_repetition"))
    assert judge(PROMPTS, ANSWERS).tolist() == [-0.25, 0.0, 0.0]


def test_an_installed_package_offers_functions_by_entry_point_and_no_path_is_ever_imported(monkeypatch):
    offered = EntryPoints([EntryPoint("shout", "string:capwords", rewards.ENTRY_POINTS)])
    monkeypatch.setattr(rewards, "entry_points", lambda group: offered.select(group=group))
    assert function_named("shout")("ab cd") == "Ab Cd"
    for name in ("os:getcwd", "os.getcwd", "nobody"):
        with pytest.raises(ConfigError, match="no_repetition, shout"):
            function_named(name)


def test_a_function_that_counts_wrongly_is_refused():
    with pytest.raises(BadReward, match="1 numbers for 2 responses"):
        rewards.by_function(lambda _messages, _texts: [1.0])(PROMPTS, ANSWERS)


def test_a_job_is_judged_by_a_function_alone(inputs, tmp_path):
    given_inputs = {name: path for name, path in inputs.items() if name != "reward"}
    run = tiny.run(
        tmp_path / "run", "policy.ppo", given_inputs, FAST | {"steps": 1, "reward_function": "no_repetition"}
    )
    KINDS["policy.ppo"](run)
    assert artifacts.is_whole(run.output_dir)
    assert any(e["text"] == "Judged by the function no_repetition." for e in tiny.events(run, "note"))


def test_a_job_is_judged_by_several_models_and_says_how_far_they_disagree(inputs, tmp_path):
    more = {"reward_2": tiny.scorer(tmp_path / "second", inputs["policy"], seed=5)}
    config = FAST | {"steps": 1, "reward_combination": "worst", "evaluations": 1}
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs | more, config)
    KINDS["policy.ppo"](run)
    assert any("reward, reward 2, combined as worst" in e["text"] for e in tiny.events(run, "note"))
    (step,) = [e["values"] for e in tiny.events(run, "metrics") if "ppo/kl" in e["values"]]
    assert step["ppo/disagreement"] > 0
    first = {e["step"]: e["values"] for e in tiny.events(run, "metrics") if "ppo/first_value_error" in e["values"]}
    assert first[0]["ppo/first_value_error"] < 1e-3, "the critic was started from the first judge and knows its vote"


def test_a_job_that_names_no_judge_is_refused(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.ppo", {n: p for n, p in inputs.items() if n != "reward"}, FAST)
    with pytest.raises(NoJudge):
        KINDS["policy.ppo"](run)


# --- An address ----------------------------------------------------------------------------------


@contextmanager
def judge_at(*answers, path="/rewards"):
    """A server that gives these answers, (status, body) or a function of the request's body; and what it was asked."""
    asked, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((body, dict(self.headers)))
            answer = left.pop(0) if len(left) > 1 else left[0]
            status, said = answer(body) if callable(answer) else answer
            content = json.dumps(said).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lengths(body):
    return 200, {"model": "lengths", "rewards": [float(len(item["response"])) for item in body["items"]]}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(rewards, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def allowed(monkeypatch):
    def allow(url):
        monkeypatch.setenv(rewards.URLS_VARIABLE, f"https://elsewhere.example/judge, {url}")

    return allow


def test_an_address_is_asked_as_our_own_api_is(allowed, monkeypatch, quick):
    monkeypatch.setenv(rewards.AUTHORIZATION_VARIABLE, "Token abc")
    with judge_at(lengths) as (url, asked):
        allowed(url)
        said = Remote(url, model="stories", timeout_seconds=20)(PROMPTS, ANSWERS)
    assert said.tolist() == [11.0, 3.0, 1.0]
    ((body, headers),) = asked
    assert headers["Authorization"] == "Token abc"
    serializer = RewardsRequestSerializer(data=body)
    assert serializer.is_valid(), serializer.errors
    assert body["items"][0] == {"messages": [{"role": "user", "content": "Say it."}], "response": "a b c a b c"}


def test_many_answers_go_in_pieces_and_come_back_in_order(allowed):
    rows = [[Answer((1,), "x" * (i + 1), finished=True) for i in range(130)]]
    with judge_at(lengths) as (url, asked):
        allowed(url)
        said = Remote(url, timeout_seconds=20)(PROMPTS[:1], rows)
    assert said.tolist() == [float(i + 1) for i in range(130)]
    assert [len(body["items"]) for body, _ in asked] == [64, 64, 2]


def test_an_address_that_is_not_allowed_is_never_asked(allowed):
    with judge_at(lengths) as (url, asked):
        for other in ("http://127.0.0.1:1/", f"{url}/other"):
            allowed(other)
            with pytest.raises(ConfigError, match="LAUREL_REWARD_URLS"):
                Remote(url, timeout_seconds=1)
    assert asked == []


def test_an_entry_with_a_slash_allows_what_lies_below_it_and_nothing_beside_it():
    refuse_reward_url("https://judge.example/v1/rewards", ["https://judge.example/v1/"])
    refuse_reward_url("https://judge.example/a", ["https://judge.example/a"])
    for url in (
        "https://judge.example/v1/../admin",
        "https://judge.example/v1/%2e%2e/admin",
        "https://judge.example.evil.example/v1/",
        "https://judge.example/a/b",
        "http://judge.example/v1/rewards",
        "",
    ):
        with pytest.raises(ConfigError):
            refuse_reward_url(url, ["https://judge.example/v1/", "https://judge.example/a"])


def test_what_passes_is_tried_again_and_what_does_not_is_not(allowed, quick):
    with judge_at((503, {}), (429, {}), lengths) as (url, asked):
        allowed(url)
        assert len(Remote(url, timeout_seconds=20)(PROMPTS, ANSWERS)) == 3
        assert len(asked) == 3
    with judge_at((503, {"why": "asleep"})) as (url, asked):
        allowed(url)
        with pytest.raises(RewardUnavailable, match=r"asked 4 times .*asleep.* retry this job"):
            Remote(url, timeout_seconds=20)(PROMPTS, ANSWERS)
        assert len(asked) == 4
    with judge_at((403, {"message": "no"})) as (url, asked):
        allowed(url)
        with pytest.raises(BadReward, match="403"):
            Remote(url, timeout_seconds=20)(PROMPTS, ANSWERS)
        assert len(asked) == 1


def test_nobody_there_and_nobody_in_time_are_told_apart(allowed, quick, monkeypatch):
    with judge_at(lengths) as (url, _):
        allowed(url)
    with pytest.raises(RewardUnavailable, match=r"refused|connect"):
        Remote(url, timeout_seconds=1)(PROMPTS, ANSWERS)

    def asleep(_request):
        raise httpx.ReadTimeout("slow")

    client = httpx.Client(transport=httpx.MockTransport(asleep))
    with pytest.raises(RewardUnavailable, match="no answer within 1 s"):
        Remote(url, timeout_seconds=1, client=client)(PROMPTS, ANSWERS)


def test_an_answer_that_is_no_reward_for_each_is_refused(allowed, quick):
    for said in ({"rewards": [1.0]}, {"rewards": [1.0, 2.0, None]}, {"scores": [1, 2, 3]}, [], {"rewards": 3}):
        with judge_at((200, said)) as (url, _):
            allowed(url)
            with pytest.raises(BadReward):
                Remote(url, timeout_seconds=20)(PROMPTS, ANSWERS)


def test_redirects_are_not_followed(allowed, quick):
    with judge_at((302, {})) as (url, asked):
        allowed(url)
        with pytest.raises(BadReward, match="302"):
            Remote(url, timeout_seconds=20)(PROMPTS, ANSWERS)
        assert len(asked) == 1


def test_a_job_is_judged_by_an_address(inputs, tmp_path, allowed):
    given_inputs = {name: path for name, path in inputs.items() if name != "reward"}
    with judge_at(lengths) as (url, asked):
        allowed(url)
        run = tiny.run(tmp_path / "run", "policy.ppo", given_inputs, FAST | {"steps": 1, "reward_url": url})
        KINDS["policy.ppo"](run)
    assert artifacts.is_whole(run.output_dir)
    assert asked


@pytest.mark.django_db
def test_the_platform_refuses_an_address_that_is_not_allowed_before_the_job_starts(settings):
    from training import jobs  # noqa: PLC0415 - needs Django
    from training.models import Project  # noqa: PLC0415

    project = Project.objects.create(slug="stories", name="Stories")
    settings.REWARD_URLS = ["https://judge.example/"]
    with pytest.raises(jobs.BadJobConfig) as refusal:
        jobs.start(project=project, kind="policy.ppo", config={"reward_url": "https://evil.example/"})
    assert "reward_url" in refusal.value.fields
