"""Models over HTTP: by OpenAI's own client through real servers, and for each role."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import openai
import pytest
import tiny
import uvicorn
from knox.models import AuthToken
from rest_framework.test import APIClient
from serving import free_port, wait_for

from config.web import OneVisitHandler
from labeling import queue
from labeling.models import Lease, Prompt, Response, Task
from rewardmodel import scoring
from training import checkpoints
from training.artifacts import Store
from training.models import Membership, Project, User
from training.records import RewardLine, read_lines

ROOT = Path(__file__).parents[2]
ASK = [{"role": "user", "content": "say it"}]
CHAT, REWARDS, RANKING = "/api/v1/chat/completions", "/api/v1/rewards", "/api/v1/projects/stories/ranking-tasks"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two policies and a reward model in a store, and a model server in a process of its own."""
    home = tmp_path_factory.mktemp("models")
    store = Store(home / "store")
    first, second = tiny.policy(home / "first"), tiny.policy(home / "second", seed=1)
    digests = {
        "first": store.put(first),
        "second": store.put(second),
        "judge": store.put(tiny.scorer(home / "judge", first)),
    }
    port = free_port()
    command = [sys.executable, "-m", "policy", "serve", "--port", str(port), "--store", str(store.root)]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        wait_for(f"http://127.0.0.1:{port}/healthz")
        yield {"url": f"http://127.0.0.1:{port}", "store": store, **digests}
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def furnish(models):
    """A project with two policies, of which the first reigns, and a reward model; a member of each role."""
    project = Project.objects.create(slug="stories", name="Bedtime stories")
    other = Project.objects.create(slug="other", name="Other")
    for name in ("first", "second", "judge"):
        checkpoints.publish(
            project=project, kind="reward" if name == "judge" else "policy", digest=models[name], card={}, name=name
        )
    checkpoints.promote(project.checkpoints.get(name="first"))
    for role in Membership.Role.values:
        Membership.objects.create(project=project, role=role, user=User.objects.create(username=role))
    Membership.objects.create(project=other, role="admin", user=User.objects.create(username="outsider"))
    return project


@pytest.fixture
def project(db, models, settings):
    settings.MODEL_SERVER_URL = models["url"]
    return furnish(models)


def client_of(asker):
    client = APIClient()
    if asker != "anonymous":
        client.force_login(User.objects.get(username=asker), backend="django.contrib.auth.backends.ModelBackend")
    return client


def say(asker="annotator", **rest):
    return client_of(asker).post(CHAT, {"model": "stories", "messages": ASK, "max_tokens": 8, "seed": 3} | rest)


# --- By OpenAI's own client, through a real web server -----------------------------------------


@pytest.fixture
def web(transactional_db, models, settings):
    """The address of a web server of ours, over sockets, as `make run` starts it."""
    settings.MODEL_SERVER_URL = models["url"]
    furnish(models)
    port = free_port()
    config = uvicorn.Config(OneVisitHandler(), port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(f"http://127.0.0.1:{port}/healthz")
    yield f"http://127.0.0.1:{port}/api/v1"
    server.should_exit = True
    thread.join(timeout=20)


@pytest.fixture
def client(web):
    """The official client, with an annotator's token."""
    _, token = AuthToken.objects.create(user=User.objects.get(username="annotator"))
    with openai.OpenAI(base_url=web, api_key=token, max_retries=0) as one:
        yield one


def test_the_official_client_lists_models_and_talks(client, models):
    ids = [model.id for model in client.models.list()]
    assert ids == ["stories", "stories/second", "stories/first"]
    said = client.chat.completions.create(
        model="stories", messages=ASK, n=2, max_tokens=9, seed=1, temperature=0.8, logprobs=True
    )
    assert [choice.index for choice in said.choices] == [0, 1]
    assert said.model == models["first"]
    assert said.usage.completion_tokens == sum(len(choice.logprobs.content) for choice in said.choices)
    assert all(token.logprob <= 0 for choice in said.choices for token in choice.logprobs.content)


def test_the_official_client_streams_what_it_would_get_whole(client):
    asked = {"model": "stories/second", "messages": ASK, "n": 2, "max_tokens": 30, "seed": 2}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True))
    for k, choice in enumerate(whole.choices):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == k]
        assert "".join(each.delta.content or "" for each in mine) == choice.message.content
        assert [each.finish_reason for each in mine if each.finish_reason] == [choice.finish_reason]


def test_the_official_client_gets_no_word_past_a_stop(client):
    asked = {"model": "stories", "messages": ASK, "max_tokens": 40, "seed": 5}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    cut = client.chat.completions.create(**asked, stop=[whole[6:8]]).choices[0]
    assert cut.message.content == whole[: whole.index(whole[6:8])]
    assert cut.finish_reason == "stop"


def test_the_official_client_raises_its_own_errors_with_our_words(client, web):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="stories/third", messages=ASK)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", None)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="stories", messages=ASK, temperature=9)
    assert wrong.value.param == "temperature"
    assert "0 to 2" in wrong.value.message
    with (
        openai.OpenAI(base_url=web, api_key="nobody", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_words_arrive_while_the_model_still_writes(client):
    stream = client.chat.completions.create(
        model="stories", messages=ASK, max_tokens=200, n=8, seed=1, temperature=2, stream=True
    )
    heard = [time.monotonic() for chunk in stream if chunk.choices[0].delta.content]
    assert len(heard) > 8
    assert heard[-1] - heard[0] > 0.02  # they did not all come at the end


# --- A client that goes away, a server that does ------------------------------------------------


class Endless(threading.Thread):
    """A model server that says one word for ever, and remembers when it was hung up on."""

    def __init__(self, *, ends=False):
        super().__init__(daemon=True)
        self.ends = ends
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.left = threading.Event()

    def run(self):
        connection, _ = self.socket.accept()
        with self.socket, connection:
            connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99999999\r\n\r\n"
            )
            word = {"choices": [{"index": 0, "delta": {"content": "and "}, "finish_reason": None}]}
            try:
                connection.sendall(f"data: {json.dumps(word)}\n\n".encode())
                while not self.ends:
                    connection.sendall(f"data: {json.dumps(word)}\n\n".encode())
                    time.sleep(0.02)
            except OSError:
                self.left.set()


def test_a_client_that_goes_away_hangs_up_on_the_model(client, settings):
    endless = Endless()
    endless.start()
    settings.MODEL_SERVER_URL = endless.url
    stream = client.chat.completions.create(model="stories", messages=ASK, stream=True)
    assert next(iter(stream)).choices[0].delta.content == "and "
    assert not endless.left.is_set()
    stream.close()
    assert endless.left.wait(20)


def test_a_client_that_does_not_wait_for_the_whole_hangs_up_too(web, settings):
    _, token = AuthToken.objects.create(user=User.objects.get(username="annotator"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        settings.MODEL_SERVER_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{web}/chat/completions",
                json={"model": "stories", "messages": ASK},
                headers={"Authorization": f"Token {token}"},
                timeout=httpx.Timeout(10, read=1),
                trust_env=False,
            )
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(20)
            while connection.recv(65536):
                pass  # until it hangs up


def test_a_model_server_that_breaks_while_it_speaks_is_an_error_in_the_stream(client, settings):
    breaking = Endless(ends=True)
    breaking.start()
    settings.MODEL_SERVER_URL = breaking.url
    stream = client.chat.completions.create(model="stories", messages=ASK, stream=True)
    with pytest.raises(openai.APIError, match="fell silent"):
        list(stream)


def test_a_model_server_that_does_not_run_is_said_with_the_mend(project, settings):
    settings.MODEL_SERVER_URL = f"http://127.0.0.1:{free_port()}"
    for answer in (say(), say(stream=True)):
        assert answer.status_code == 503
        assert answer.json()["code"] == answer.json()["error"]["code"] == "model_server_down"
        assert "make run" in answer.json()["message"]


# --- Names ---------------------------------------------------------------------------------------


def test_a_slug_means_the_champion_at_each_request(project, models):
    assert say().json()["model"] == models["first"]
    checkpoints.promote(project.checkpoints.get(name="second"))
    assert say().json()["model"] == models["second"]
    assert say(model="stories/first").json()["model"] == models["first"]
    assert say(model=models["second"]).json()["model"] == models["second"]
    listed = client_of("annotator").get("/api/v1/models?project=stories").json()["data"]
    assert [(each["id"], each["name"], each["is_champion"]) for each in listed] == [
        ("stories", "second", True),
        ("stories/second", "second", True),
        ("stories/first", "first", False),
    ]


def test_a_promotion_leaves_a_running_stream_alone(client, models):
    stream = client.chat.completions.create(
        model="stories", messages=ASK, max_tokens=100, n=4, seed=1, temperature=2, stream=True
    )
    chunks = [next(iter(stream))]
    project = Project.objects.get(slug="stories")
    checkpoints.promote(project.checkpoints.get(name="second"))
    chunks += list(stream)
    assert {chunk.model for chunk in chunks} == {models["first"]}
    assert sum(chunk.choices[0].finish_reason is not None for chunk in chunks) == 4
    assert client.chat.completions.create(model="stories", messages=ASK, max_tokens=3).model == models["second"]


@pytest.mark.parametrize(
    "model", ["other", "other/first", "nowhere", "stories/", "sha256:" + "0" * 64, "stories/judge"]
)
def test_what_is_not_yours_and_what_does_not_exist_look_the_same(project, model):
    answer = say(model=model)
    assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
    assert answer.json()["message"] == say(model="nowhere").json()["message"]


def test_a_project_without_a_champion_says_what_to_do(project):
    Membership.objects.create(
        project=Project.objects.get(slug="other"), user=User.objects.get(username="annotator"), role="annotator"
    )
    answer = say(model="other")
    assert (answer.status_code, answer.json()["code"]) == (422, "no_checkpoint")
    assert "promote" in answer.json()["message"]


def test_the_list_of_models_takes_as_many_statements_for_many_as_for_few(project, django_assert_num_queries):
    client = client_of("annotator")
    for name in "abc":
        with django_assert_num_queries(3):  # session with its user, champions, checkpoints
            client.get("/api/v1/models")
        checkpoints.publish(project=project, kind="policy", digest="sha256:1", card={}, name=name)


# --- Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asker", "chat", "rewards"),
    [
        ("anonymous", 401, 401),
        ("outsider", 404, 404),
        ("annotator", 200, 403),
        ("reviewer", 200, 200),
        ("researcher", 200, 200),
        ("admin", 200, 200),
    ],
)
def test_each_role_gets_what_is_its_own(project, models, asker, chat, rewards):
    for name in ("stories", "stories/second", models["second"]):
        assert say(asker, model=name).status_code == chat
    items = [{"prompt": "say it", "response": "aeiou"}]
    for body in ({"project": "stories"}, {"model": "stories/judge"}, {"model": models["judge"]}):
        assert client_of(asker).post(REWARDS, body | {"items": items}).status_code == rewards


def test_a_session_needs_its_csrf_token_and_either_word_before_a_token_will_do(project):
    user = User.objects.get(username="annotator")
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    body = {"model": "stories", "messages": ASK, "max_tokens": 3}
    assert browser.post(CHAT, body).status_code == 403
    browser.get("/api/v1/session")
    csrf = browser.cookies["csrftoken"].value
    assert browser.post(CHAT, body, headers={"X-CSRFToken": csrf}).status_code == 200
    _, token = AuthToken.objects.create(user=user)
    for word in ("Bearer", "Token"):
        assert APIClient().post(CHAT, body, headers={"Authorization": f"{word} {token}"}).status_code == 200
    refused = APIClient().post(CHAT, body, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"model": 3, "messages": ASK},
        {"model": "stories"},
        {"model": "stories", "messages": []},
        {"model": "stories", "messages": ASK, "n": 0},
        {"model": "stories", "messages": [{"role": "robot", "content": "x"}]},
        {"model": "stories", "messages": [{"role": "user", "content": "x" * 900}]},
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_both_envelopes(project, body):
    answer = client_of("annotator").post(CHAT, body)
    assert answer.status_code == 400
    said = answer.json()
    assert said.keys() == {"code", "message", "fields", "error"}
    assert said["message"]
    assert said["error"].keys() == {"message", "type", "param", "code"}


def test_a_body_that_is_no_text_is_refused(project):
    client = client_of("annotator")
    for content in ('{"model": "stories", "messages": [{"role": "user", "content": "\\ud800"}]}', "{", '{"n": 1e999}'):
        assert client.generic("POST", CHAT, content, content_type="application/json").status_code == 400


def test_any_accepted_type_will_do_and_another_method_will_not(project):
    assert say().status_code == 200
    answer = client_of("annotator").post(
        CHAT, {"model": "stories", "messages": ASK, "max_tokens": 3}, headers={"Accept": "text/event-stream"}
    )
    assert answer.status_code == 200
    for method in ("get", "put", "delete", "options"):
        assert getattr(client_of("annotator"), method)(CHAT).json()["code"] == "method_not_allowed"


# --- Rewards -------------------------------------------------------------------------------------


def test_rewards_are_those_of_the_projects_reward_model(project, models):
    items = [{"messages": ASK, "response": "aeiou"}, {"prompt": "say it", "response": "xyz"}]
    said = client_of("researcher").post(REWARDS, {"project": "stories", "items": items}).json()
    expected = scoring.load(models["store"].fetch(models["judge"])).score([ASK, ASK], [["aeiou"], ["xyz"]])
    assert said["model"] == models["judge"]
    assert said["rewards"] == pytest.approx([float(one) for one in expected], abs=1e-5)


def test_the_champion_among_reward_models_comes_before_the_newest(project, models):
    client, items = client_of("researcher"), [{"response": "x"}]
    newer = checkpoints.publish(project=project, kind="reward", digest=models["first"], card={}, name="newer")
    refused = client.post(REWARDS, {"project": "stories", "items": items})
    assert newer.digest in refused.json()["error"]["message"]  # it was asked, and is no reward model
    checkpoints.promote(project.checkpoints.get(name="judge"))
    assert client.post(REWARDS, {"project": "stories", "items": items}).json()["model"] == models["judge"]


def test_64_are_scored_at_once_and_more_become_a_job(project, models, settings):
    settings.STORE_ROOT = models["store"].root
    client, one = client_of("researcher"), {"response": "x"}
    assert len(client.post(REWARDS, {"project": "stories", "items": [one] * 64}).json()["rewards"]) == 64
    many = [{"prompt": f"say {number}", "response": "x"} for number in range(65)]
    said = client.post(REWARDS, {"project": "stories", "items": many})
    assert said.status_code == 202
    job = project.jobs.get(pk=said.json()["job"])
    assert (job.kind, job.requested_inputs["reward"]) == ("rewardmodel.score", models["judge"])
    responses = models["store"].fetch(job.requested_inputs["responses"])
    assert [line.prompt[0].content for line in read_lines(RewardLine, responses)] == [one["prompt"] for one in many]
    assert client_of("reviewer").post(REWARDS, {"project": "stories", "items": many}).status_code == 403


def test_what_cannot_be_scored_is_refused_by_its_place(project):
    client, one = client_of("researcher"), {"response": "x"}
    bad = client.post(REWARDS, {"project": "stories", "items": [one] * 70 + [{"prompt": 3, "response": "x"}]})
    assert (bad.status_code, bad.json()["fields"]["items"][0][:11]) == (400, "[70].prompt")
    refused = client.post(REWARDS, {"project": "stories", "items": [one] * 20_001})
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_items")
    assert re.search(r"20001 .* at most 20000\..*python -m rewardmodel score", refused.json()["message"])
    for wrong in ({"items": []}, {"items": "x"}, {"items": ["x"]}, {"items": [one], "model": "stories"}):
        assert client.post(REWARDS, {"project": "stories"} | wrong).status_code == 400
    assert client.post(REWARDS, {"items": [one]}).status_code == 400


# --- Replies for people to rank ------------------------------------------------------------------


def order(asker, **rest):
    return client_of(asker).post(RANKING, {"messages": ASK, "max_tokens": 12} | rest)


def test_a_turn_becomes_a_ranking_task_in_the_askers_hands(project, models):
    made = order("annotator", take=True, model="stories/second")
    assert made.status_code == 201, made.content
    lease = made.json()["lease"]
    assert len(lease["task"]["responses"]) == 4
    assert lease["task"]["prompt"] == ASK
    assert "checkpoint" not in json.dumps(lease)
    task = Task.objects.get()
    assert (task.seats, task.seats_left, task.served) == (1, 0, 0)
    for response in task.responses.all():
        assert response.checkpoint.name == "second"
        assert response.logprob < 0
        assert response.token_count > 0
    ranking = {
        "placements": [
            {"response": response["id"], "rank": place + 1, "rating": 7 - place, "flags": []}
            for place, response in enumerate(lease["task"]["responses"])
        ],
        "seconds_spent": 12,
    }
    assert client_of("annotator").post(f"/api/v1/leases/{lease['id']}/ranking", ranking).status_code == 201
    assert Lease.objects.get().state == Lease.State.SUBMITTED


def test_a_reply_can_be_written_again_from_what_was_kept_of_it(project):
    order("researcher")
    for response in Response.objects.select_related("checkpoint"):
        again = say(
            model=response.checkpoint.digest, n=response.sample + 1, seed=response.seed, **response.sampling
        ).json()
        assert queue.readable(again["choices"][response.sample]["message"]["content"]) == response.text


def test_a_task_that_nobody_takes_is_open_to_annotators(project):
    made = order("researcher").json()
    assert made["lease"] is None
    assert (Task.objects.get().seats_left, Prompt.objects.get().source) == (1, "chat")
    taken = client_of("annotator").post("/api/v1/projects/stories/leases", {"kind": "ranking"}).json()
    assert taken["task"]["id"] == made["task"]


def test_what_cannot_be_ranked_leaves_nothing_behind(project):
    same = order("annotator", temperature=0)
    assert (same.status_code, same.json()["code"]) == (422, "nothing_to_compare")
    refusals = {
        "permission_denied": order("researcher", take=True),
        "model_not_found": order("annotator", model="stories/judge"),
        "not_a_prompt": order("annotator", messages=[*ASK, {"role": "assistant", "content": "so"}]),
        "invalid": order("annotator", messages=[]),
        "not_found": order("outsider"),
        "not_authenticated": order("anonymous"),
    }
    assert {name: answer.json()["code"] for name, answer in refusals.items()} == {name: name for name in refusals}
    assert not Task.objects.exists()
    assert not Prompt.objects.exists()


def test_nobody_holds_more_than_two(project):
    for _ in range(2):
        assert order("annotator", take=True).status_code == 201
    refused = order("annotator", take=True)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_leases")
    assert Task.objects.count() == 2
