"""The model server, as OpenAI's own client sees it, and as a process."""

from __future__ import annotations

import asyncio
import json
import os
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
from starlette.testclient import TestClient

from policy.serve import Server, Shelf, Written
from rewardmodel import scoring
from training.artifacts import Store
from training.lm.generation import Response

ROOT = Path(__file__).parents[2]
ASK = [{"role": "user", "content": "say it"}]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def models(store, tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    policy = tiny.policy(home / "policy")
    return {"policy": store.put(policy), "reward": store.put(tiny.scorer(home / "reward", policy))}


@pytest.fixture(scope="module")
def server(store):
    return Server(Shelf(store))


@pytest.fixture(scope="module")
def web(server):
    with TestClient(server.app()) as client:
        yield client


def ask(web, models, **rest):
    body = {"model": models["policy"], "messages": ASK, "max_tokens": 12, "seed": 4}
    return web.post("/v1/chat/completions", json=body | rest)


def lines_of(response):
    return [line.removeprefix("data: ") for line in response.text.splitlines() if line]


def test_it_lives_and_lists_its_policies(web, models):
    assert web.get("/healthz").json() == {"status": "ok"}
    assert [entry["id"] for entry in web.get("/v1/models").json()["data"]] == [models["policy"]]


def test_the_official_client_gets_its_choices(server, models):
    async def talk():
        transport = httpx.ASGITransport(app=server.app())
        async with httpx.AsyncClient(transport=transport) as http:
            client = openai.AsyncOpenAI(base_url="http://laurel/v1", api_key="none", http_client=http)
            said = await client.chat.completions.create(
                model=models["policy"], messages=ASK, n=3, max_tokens=9, seed=1, temperature=1, logprobs=True
            )
            stream = await client.chat.completions.create(
                model=models["policy"], messages=ASK, n=3, max_tokens=9, seed=1, temperature=1, stream=True
            )
            return said, [chunk async for chunk in stream]

    said, chunks = asyncio.run(talk())
    assert len(said.choices) == 3
    assert said.usage.completion_tokens == sum(len(choice.logprobs.content) for choice in said.choices)
    assert all(one.logprob <= 0 for choice in said.choices for one in choice.logprobs.content)
    for k, choice in enumerate(said.choices):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == k]
        assert "".join(c.delta.content or "" for c in mine) == choice.message.content
        assert [c.finish_reason for c in mine if c.finish_reason] == [choice.finish_reason]


def test_the_same_seed_says_the_same_and_another_something_else(web, models):
    texts = [ask(web, models, seed=seed).json()["choices"][0]["message"]["content"] for seed in (4, 4, 5)]
    assert texts[0] == texts[1] != texts[2]


def test_a_stream_ends_with_done_and_a_stop_text_is_never_said(web, models):
    whole = ask(web, models, max_tokens=40).json()["choices"][0]["message"]["content"]
    stop = whole[5:7]
    cut = ask(web, models, max_tokens=40, stop=stop).json()["choices"][0]
    assert cut["message"]["content"] == whole[: whole.index(stop)]
    assert cut["finish_reason"] == "stop"
    events = lines_of(ask(web, models, max_tokens=40, stop=stop, stream=True))
    assert events[-1] == "[DONE]"
    said = "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events[:-1])
    assert said == cut["message"]["content"]


def test_words_come_whole():
    encoder = tiny.encoder()
    response, written, parts = Response(), Written(encoder, []), []
    ids = encoder.plain_ids("a kité flew")
    for place, token in enumerate(ids):
        response.ids.append(token)
        parts.append(written.news(response, ended=place == len(ids) - 1))
    assert [part for part in parts if part] == ["a ", "kité ", "flew"]


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"model": "sha256:" + "0" * 64}, 404, "model"),
        ({"model": "../../etc/passwd"}, 404, "model"),
        ({"model": None}, 400, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 900}]}, 400, "messages"),
        ({"n": 0}, 400, "n"),
        ({"n": True}, 400, "n"),
        ({"temperature": 3}, 400, "temperature"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"stop": [""]}, 400, "stop"),
        ({"seed": "x"}, 400, "seed"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(web, models, wrong, status, param):
    response = ask(web, models, **wrong)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_a_body_that_is_not_json_is_refused(web):
    for path in ("/v1/chat/completions", "/v1/rewards"):
        assert web.post(path, content=b"{").status_code == 400
        assert web.post(path, json=[1]).status_code == 400


def test_rewards_are_those_of_the_scorer(web, models, store):
    items = [{"messages": ASK, "response": "aeiou"}, {"prompt": "say it", "response": "xyz"}, {"response": "hm"}]
    said = web.post("/v1/rewards", json={"model": models["reward"], "items": items}).json()
    expected = scoring.load(store.fetch(models["reward"])).score([ASK, ASK, []], [["aeiou"], ["xyz"], ["hm"]])
    assert said["rewards"] == pytest.approx([float(one) for one in expected], abs=1e-5)
    for wrong in ({"items": []}, {"items": [{"response": 3}]}, {"items": [{"response": "x"}] * 65}, {"items": "x"}):
        assert web.post("/v1/rewards", json={"model": models["reward"]} | wrong).status_code == 400
    assert web.post("/v1/rewards", json={"model": models["policy"], "items": items}).status_code == 400


def test_the_shelf_keeps_a_few_models(store, models):
    shelf = Shelf(store, room=1)
    first = shelf.policy(models["policy"])
    assert shelf.policy(models["policy"]) is first


def test_nobody_listening_ends_the_writing(server, models):
    chat = server.shelf.policy(models["policy"])
    gone = threading.Event()
    gone.set()
    from policy.serve import parse_chat  # noqa: PLC0415

    asked = parse_chat({"model": models["policy"], "messages": ASK})
    assert server._write(asked, chat, [5], gone, lambda *_: None) == []


def test_the_process_answers_and_ends_cleanly_without_django(store, models):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "policy", "serve", "--port", str(port), "--store", str(store.root)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as process:
        deadline = time.monotonic() + 200
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        body = {"model": models["policy"], "messages": ASK, "max_tokens": 5}
        assert httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body, timeout=120).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    check = "import policy.serve, sys; sys.exit('django' in sys.modules or 'celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
