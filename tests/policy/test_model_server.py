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
import torch
import uvicorn
from starlette.testclient import TestClient

from policy.serve import Server, Shelf, Written
from rewardmodel import scoring
from training.artifacts import Store
from training.lm.generation import Response, Sampling

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


def with_the_official_client(server, talk):
    """What `talk` gets when it is handed OpenAI's own client."""

    async def whole():
        transport = httpx.ASGITransport(app=server.app())
        async with httpx.AsyncClient(transport=transport) as http:
            return await talk(openai.AsyncOpenAI(base_url="http://laurel/v1", api_key="none", http_client=http))

    return asyncio.run(whole())


def test_the_official_client_gets_its_choices(server, models):
    async def talk(client):
        said = await client.chat.completions.create(
            model=models["policy"], messages=ASK, n=3, max_tokens=9, seed=1, temperature=1, logprobs=True
        )
        stream = await client.chat.completions.create(
            model=models["policy"], messages=ASK, n=3, max_tokens=9, seed=1, temperature=1, stream=True
        )
        return said, [chunk async for chunk in stream]

    said, chunks = with_the_official_client(server, talk)
    assert len(said.choices) == 3
    assert said.usage.completion_tokens == sum(len(choice.logprobs.content) for choice in said.choices)
    assert all(one.logprob <= 0 for choice in said.choices for one in choice.logprobs.content)
    for k, choice in enumerate(said.choices):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == k]
        assert "".join(c.delta.content or "" for c in mine) == choice.message.content
        assert [c.finish_reason for c in mine if c.finish_reason] == [choice.finish_reason]


def test_the_official_client_finds_a_policy_by_its_digest_and_nothing_else(server, models):
    async def talk(client):
        listed = [model async for model in client.models.list()]
        found = await client.models.retrieve(models["policy"])
        missing = []
        for other in (models["reward"], "sha256:" + "0" * 64, "gpt-4o", "slug/name", "../../etc/passwd"):
            with pytest.raises(openai.NotFoundError) as refused:
                await client.models.retrieve(other)
            missing.append((refused.value.param, refused.value.code, other in refused.value.message))
        return listed, found, missing

    listed, found, missing = with_the_official_client(server, talk)
    assert listed == [found]
    assert (found.id, found.object) == (models["policy"], "model")
    assert set(missing) == {("model", "model_not_found", True)}


@pytest.mark.parametrize("temperature", [0.7, 0])
def test_the_official_client_is_told_the_likeliest_tokens_in_the_place_of_each(server, models, temperature):
    """They are those of a full pass at the same temperature, whole as streamed, whatever top_p leaves to be drawn."""
    ask = {"model": models["policy"], "messages": ASK, "n": 2, "seed": 3, "temperature": temperature}
    ask |= {"max_tokens": 9, "top_p": 0.8, "logprobs": True, "top_logprobs": 5}

    async def talk(client):
        whole = await client.chat.completions.create(**ask)
        return whole, [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]

    said, chunks = with_the_official_client(server, talk)
    policy = server.shelf.policy(models["policy"])
    prompt = policy.encoder.prompt_ids(ASK)
    written = policy.generator.generate(
        [prompt],
        keys=["chat"],
        responses_per_prompt=2,
        sampling=Sampling(max_new_tokens=9, temperature=temperature, top_p=0.8, seed=3),
    )[0]
    for k, (choice, response) in enumerate(zip(said.choices, written, strict=True)):
        content = choice.logprobs.content
        streamed = [c.choices[0].logprobs for c in chunks if c.choices[0].index == k]
        assert [token for part in streamed if part for token in part.content] == content
        with torch.no_grad():
            logits = policy.generator.model(torch.tensor([prompt + response.ids])).logits[0, len(prompt) - 1 : -1]
        expected, ids = (logits / (temperature or 1)).log_softmax(-1).topk(5)
        for token, values, best in zip(content, expected.tolist(), ids.tolist(), strict=True):
            assert [one.logprob for one in token.top_logprobs] == pytest.approx(values, abs=1e-4)
            assert [one.token for one in token.top_logprobs] == [policy.encoder.tokenizer.decode([i]) for i in best]
            assert [bytes(one.bytes) for one in token.top_logprobs] == [policy.encoder.bytes_of(i) for i in best]
            if temperature == 0:
                assert (token.token, token.logprob) == (token.top_logprobs[0].token, token.top_logprobs[0].logprob)


def test_the_official_client_is_refused_alternatives_out_of_range_or_without_logprobs(server, models):
    wrong = [{"logprobs": True, "top_logprobs": count} for count in (21, -1, 2.5, True, "5")]
    wrong += [{"top_logprobs": 5}, {"logprobs": False, "top_logprobs": 1}]

    async def talk(client):
        refusals = []
        for rest in wrong:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(model=models["policy"], messages=ASK, extra_body=rest)
            refusals.append((refused.value.param, refused.value.code, refused.value.type))
        return refusals

    assert set(with_the_official_client(server, talk)) == {("top_logprobs", "bad_request", "invalid_request_error")}


def test_an_alternative_without_any_probability_is_told_in_a_number_that_json_knows(web, models):
    cold = ask(web, models, temperature=0.001, logprobs=True, top_logprobs=20)
    content = cold.json()["choices"][0]["logprobs"]["content"]
    assert {len(token["top_logprobs"]) for token in content} == {20}
    assert min(one["logprob"] for token in content for one in token["top_logprobs"]) == -9999


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
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, 400, "messages"),
        ({"top_logprobs": 21, "logprobs": True}, 400, "top_logprobs"),
        ({"top_logprobs": 5}, 400, "top_logprobs"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(web, models, wrong, status, param):
    response = ask(web, models, **wrong)
    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_what_is_null_or_changes_nothing_is_as_if_it_were_not_there(web, models):
    optional = ("n", "temperature", "top_p", "stop", "logprobs", "stream", "stream_options", "logit_bias", "tools")
    nothing = dict.fromkeys((*optional, "max_completion_tokens", "response_format", "frequency_penalty"))
    harmless = {"frequency_penalty": 0, "presence_penalty": 0.0, "top_logprobs": 0, "response_format": {"type": "text"}}
    wanted = ask(web, models).json()["choices"]
    assert ask(web, models, **nothing).json()["choices"] == wanted
    assert ask(web, models, **harmless).json()["choices"] == wanted


def test_a_message_may_come_in_parts_and_a_developer_is_the_system(web, models):
    whole = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "say\nit"}]
    said = [{"type": "text", "text": "say"}, {"type": "text", "text": "it"}]
    parts = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": said}]
    answers = [ask(web, models, messages=messages).json() for messages in (whole, parts)]
    assert answers[0]["choices"] == answers[1]["choices"]


def test_a_stream_counts_its_tokens_at_its_end_where_that_is_asked_for(web, models):
    whole = ask(web, models, n=2).json()["usage"]
    events = lines_of(ask(web, models, n=2, stream=True, stream_options={"include_usage": True}))
    counted = [json.loads(event) for event in events[:-1] if "usage" in json.loads(event)]
    assert [(chunk["choices"], chunk["usage"]) for chunk in counted] == [([], whole)]
    assert json.loads(events[-2]) == counted[0]
    assert '"usage"' not in ask(web, models, n=2, stream=True).text


def test_the_bytes_of_an_answers_tokens_are_those_of_its_text(web, models):
    said = ask(web, models, max_tokens=40, logprobs=True).json()["choices"][0]
    content = said["logprobs"]["content"]
    written = content[:-1] if said["finish_reason"] == "stop" else content  # the end token has no place in the text
    assert b"".join(bytes(token["bytes"]) for token in written).decode(errors="replace") == said["message"]["content"]


def test_an_answer_of_no_given_length_fills_the_room_that_is_left_and_a_longer_one_is_refused_with_the_mend(
    web, models
):
    long = [{"role": "user", "content": "x" * 200}]
    body = {"model": models["policy"], "messages": long, "seed": 1}
    whole = web.post("/v1/chat/completions", json=body).json()
    room = 256 - whole["usage"]["prompt_tokens"]
    assert 1 <= whole["usage"]["completion_tokens"] <= room < 128
    refused = web.post("/v1/chat/completions", json=body | {"max_tokens": 128}).json()["error"]
    assert refused["code"] == "context_length_exceeded"
    assert refused["message"].endswith(f"ask for at most {room} tokens")


def test_an_end_that_may_not_come_early_does_not(web, models):
    counts = {ask(web, models, seed=seed, min_tokens=11).json()["usage"]["completion_tokens"] for seed in range(8)}
    assert counts == {12}


def test_what_a_chat_template_refuses_is_refused_in_its_words(server, web, models):
    tokenizer = server.shelf.policy(models["policy"]).encoder.tokenizer
    before = tokenizer.chat_template
    tokenizer.chat_template = "{{ raise_exception('Conversation roles must alternate') }}"
    try:
        refused = ask(web, models)
    finally:
        tokenizer.chat_template = before
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")
    assert "roles must alternate" in refused.json()["error"]["message"]


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


def test_what_cannot_be_scored_is_refused_by_its_place(web, models):
    half = "\ud83d"
    for item, param in (
        ({"response": half}, "items[1].response"),
        ({"prompt": half, "response": "x"}, "items[1].prompt"),
        ({"messages": [{"role": "user", "content": half}], "response": "x"}, "items[1].messages"),
        ({"messages": [{"role": "robot", "content": "x"}], "response": "x"}, "items[1].messages"),
        ({"prompt": 3, "response": "x"}, "items[1].prompt"),
    ):
        body = json.dumps({"model": models["reward"], "items": [{"response": "x"}, item]})
        answer = web.post("/v1/rewards", content=body)
        assert answer.status_code == 400, item
        assert answer.json()["error"]["param"] == param


def test_the_shelf_keeps_a_few_models(store, models):
    shelf = Shelf(store, room=1)
    first = shelf.policy(models["policy"])
    assert shelf.policy(models["policy"]) is first


def test_models_that_take_turns_on_a_full_shelf_drop_no_request(tmp_path):
    """As when one checkpoint is promoted over another and both are asked for: whoever has begun is answered whole."""
    store = Store(tmp_path / "store")
    both = [store.put(tiny.policy(tmp_path / str(seed), seed=seed)) for seed in (0, 7)]
    app = Server(Shelf(store, room=1)).app()

    async def talk(client, model):
        body = {"model": model, "messages": ASK, "max_tokens": 8, "seed": 2, "stream": True}
        answer = await client.post("/v1/chat/completions", json=body)
        chunks = [json.loads(line) for line in lines_of(answer)[:-1]]
        return {chunk["model"] for chunk in chunks}, [c["choices"][0]["finish_reason"] for c in chunks][-1]

    async def everyone():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://laurel", timeout=120) as client:
            return await asyncio.gather(*[talk(client, both[i % 2]) for i in range(6)])

    answers = asyncio.run(everyone())
    assert [model for model, _ in answers] == [{both[0]}, {both[1]}] * 3
    assert all(reason in {"stop", "length"} for _, reason in answers)


def test_who_hangs_up_on_a_stream_ends_its_computation(store, models):
    one = Server(Shelf(store))
    left, plain = [], one._write

    def write(*arguments):
        left.append(plain(*arguments))
        return left[-1]

    one._write = write
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(one.app(), port=port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            time.sleep(0.02)
        body = {"model": models["policy"], "messages": ASK, "max_tokens": 240, "min_tokens": 240, "n": 16}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with httpx.stream("POST", url, json=body | {"stream": True}, timeout=120, trust_env=False) as answer:
            next(answer.iter_raw())
        again = httpx.post(url, json=body | {"max_tokens": 3, "n": 1}, timeout=120, trust_env=False)
    finally:
        running.should_exit = True
        thread.join()
    assert again.status_code == 200
    assert left[0] == []  # it was left where it stood
    assert len(left[1]) == 1


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
