"""The one long-lived torch process: chats and rewards over HTTP, in the words of OpenAI's API.

`python -m policy serve --port N --store ROOT`. A model is named by the digest of its checkpoint; it is loaded when it
is first asked for, and a few are kept. One computation runs at a time; requests wait their turn.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import secrets
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn
from jinja2 import TemplateError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from rewardmodel import scoring
from training.artifacts import ArtifactDamaged, ArtifactMissing, Store, is_whole
from training.config import ConfigError
from training.lm import attention, backbone
from training.lm.generation import Generator, Response, Sampling, before_stop
from training.records import has_half_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request

    from training.lm.encoder import Encoder

Model = TypeVar("Model")

MAX_CHOICES, MAX_TOKENS, MAX_ITEMS, MAX_ALTERNATIVES = 16, 1024, 64, 20
DEFAULT_TOKENS = 128
UNLIKELY = -9999.0
"""OpenAI's word for the log-probability of what cannot come: JSON knows no infinity."""
ROLES = ("system", "developer", "user", "assistant")
NOT_OFFERED = ("frequency_penalty", "presence_penalty", "logit_bias", "tools", "functions")
"""OpenAI's parameters that would change an answer and are not known here: refused, never silently left out."""


class BadRequest(ValueError):  # noqa: N818 - named for what it is
    """A request that cannot be answered; says which parameter is wrong."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "bad_request", status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


@dataclass(frozen=True, slots=True)
class Chat:
    """One request for chat completions, checked."""

    model: str
    messages: list[dict[str, str]]
    choices: int
    sampling: Sampling
    is_limited: bool
    """Whether the client said how long an answer may be; else it may fill what the model can read."""
    stream: bool
    tells_usage: bool
    """Whether a stream ends with a count of its tokens."""
    logprobs: bool


@dataclass(slots=True)
class LoadedPolicy:
    """A policy that is ready to speak."""

    generator: Generator
    encoder: Encoder
    context: int


@dataclass(slots=True)
class Shelf:
    """Loaded models by digest; the one that was unused for longest makes room. Used by one thread at a time."""

    store: Store
    device: str = "cpu"
    room: int = 3
    _policies: OrderedDict[str, LoadedPolicy] = field(default_factory=OrderedDict)
    _scorers: OrderedDict[str, scoring.Scorer] = field(default_factory=OrderedDict)

    def policy(self, digest: str) -> LoadedPolicy:
        """Give a policy, loading it if need be."""
        return self._take(self._policies, digest, self._load_policy)

    def scorer(self, digest: str) -> scoring.Scorer:
        """Give a reward model, loading it if need be."""
        return self._take(self._scorers, digest, lambda folder: scoring.load(folder, self.device))

    def digests(self) -> list[str]:
        """Digests of the policies that lie in the store."""
        found = []
        for folder in sorted(self.store.root.glob("*")):
            config = folder / "config.json"
            if is_whole(folder) and config.is_file() and "ForCausalLM" in config.read_text():
                found.append(f"sha256:{folder.name}")
        return found

    def _load_policy(self, folder: Path) -> LoadedPolicy:
        model, encoder = backbone.load_policy(folder, self.device)
        model.set_attn_implementation(attention.NAME)
        generator = Generator(model, end_id=encoder.eos_id, pad_id=encoder.pad_id, decode=encoder.text)
        return LoadedPolicy(generator, encoder, backbone.context_of(model))

    def _take(self, shelf: OrderedDict[str, Model], digest: str, load: Callable[[Path], Model]) -> Model:
        if digest not in shelf:
            try:
                folder = self.store.fetch(digest)
            except (ArtifactMissing, ArtifactDamaged) as error:
                raise BadRequest(str(error), param="model", code="model_not_found", status=404) from error
            try:
                shelf[digest] = load(folder)
            except ValueError as error:
                raise BadRequest(f"{digest} cannot be loaded: {error}", param="model", code="bad_model") from error
        shelf.move_to_end(digest)
        while len(shelf) > self.room:
            shelf.popitem(last=False)
        return shelf[digest]


class Written:
    """The text of one choice as it grows, given out in whole words and never past a stop."""

    def __init__(self, encoder: Encoder, stops: Sequence[str]) -> None:
        self.encoder, self.stops, self.said = encoder, stops, 0
        self.held_back = max((len(stop) for stop in stops), default=1) - 1

    def text(self, response: Response) -> str:
        """Give the whole text, cut at the first stop."""
        return before_stop(self.encoder.text(response.ids), self.stops)

    def news(self, response: Response, *, ended: bool) -> str:
        """Give what can be said now and was not said before: up to the last space, or all of it at the end."""
        text = self.text(response)
        if not ended:
            safe = text[: len(text) - self.held_back]
            text = safe[: max(safe.rfind(" "), safe.rfind("\n")) + 1]
        new = text[self.said :]
        self.said = max(self.said, len(text))
        return new


def parse_chat(body: Any) -> Chat:
    """Check the body of a request for chat completions; a parameter that is null is one that was left out."""
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    body = {name: value for name, value in body.items() if value is not None}
    _refuse_what_is_not_offered(body)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(one, str) and one for one in stops):
        raise BadRequest("stop must be a text or up to four of them", param="stop")
    seed = body.get("seed")
    options = body.get("stream_options")
    logprobs = bool(body.get("logprobs", False))
    alternatives = _whole(body.get("top_logprobs", 0), "top_logprobs", 0, MAX_ALTERNATIVES)
    if alternatives and not logprobs:
        raise BadRequest("top_logprobs needs logprobs to be true", param="top_logprobs")
    try:
        sampling = Sampling(
            max_new_tokens=DEFAULT_TOKENS if limit is None else _whole(limit, "max_tokens", 1, MAX_TOKENS),
            min_new_tokens=_whole(body.get("min_tokens", 0), "min_tokens", 0, MAX_TOKENS),
            temperature=_number(body.get("temperature", 1), "temperature", 0, 2),
            top_p=_number(body.get("top_p", 1), "top_p", 0, 1),
            top_k=_whole(body.get("top_k", 0), "top_k", 0, 1_000_000),
            stop=tuple(stops),
            seed=secrets.randbits(48) if seed is None else _whole(seed, "seed", -(2**63), 2**63),
            alternatives=alternatives,
        )
    except ConfigError as error:
        raise BadRequest(str(error)) from error
    return Chat(
        model=_text(body.get("model"), "model"),
        messages=_messages(body.get("messages"), "messages"),
        choices=_whole(body.get("n", 1), "n", 1, MAX_CHOICES),
        sampling=sampling,
        is_limited=limit is not None,
        stream=bool(body.get("stream", False)),
        tells_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        logprobs=logprobs,
    )


def _refuse_what_is_not_offered(body: dict[str, Any]) -> None:
    asked = [name for name in NOT_OFFERED if body.get(name)]
    shape = body.get("response_format")
    if shape and not (isinstance(shape, dict) and shape.get("type") == "text"):
        asked.append("response_format")
    if asked:
        raise BadRequest(f"{asked[0]} is not offered here: leave it out", param=asked[0], code="not_offered")


class Server:
    """Answers requests, one computation at a time in a thread of its own."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self.closing = threading.Event()

    def app(self) -> Starlette:
        """Make the ASGI application."""
        routes = [
            Route("/healthz", self.healthz),
            Route("/v1/models", self.models),
            Route("/v1/models/{digest:path}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/rewards", self.rewards, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={BadRequest: _refuse})

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self.closing.set()
        self.worker.shutdown(cancel_futures=True)

    async def healthz(self, _request: Request) -> JSONResponse:
        """Say that the process lives."""
        return JSONResponse({"status": "ok"})

    async def models(self, _request: Request) -> JSONResponse:
        """List the policies in the store."""
        digests = await asyncio.to_thread(self.shelf.digests)
        return JSONResponse({"object": "list", "data": [_entry(digest) for digest in digests]})

    async def model(self, request: Request) -> JSONResponse:
        """Say of one policy what the list says of it."""
        digest = request.path_params["digest"]
        if digest not in await asyncio.to_thread(self.shelf.digests):
            message = f"there is no policy {digest!r} here: GET /v1/models lists them"
            raise BadRequest(message, param="model", code="model_not_found", status=404)
        return JSONResponse(_entry(digest))

    async def rewards(self, request: Request) -> JSONResponse:
        """Score up to 64 responses with the reward model `model`."""
        body = await _body(request)
        digest = _text(body.get("model"), "model")
        items = body.get("items")
        if (
            not isinstance(items, list)
            or not 1 <= len(items) <= MAX_ITEMS
            or not all(isinstance(i, dict) for i in items)
        ):
            raise BadRequest(f"items must be a list of 1 to {MAX_ITEMS} objects", param="items")
        prompts = [_prompt(item, f"items[{number}]") for number, item in enumerate(items)]
        responses = [[_text(item.get("response"), f"items[{n}].response")] for n, item in enumerate(items)]

        def score() -> list[float]:
            return [float(one) for one in self.shelf.scorer(digest).score(prompts, responses)]

        rewards = await asyncio.get_running_loop().run_in_executor(self.worker, score)
        return JSONResponse({"model": digest, "rewards": rewards})

    async def chat(self, request: Request) -> JSONResponse | StreamingResponse:
        """Complete a chat, in one piece or as server-sent events."""
        chat = parse_chat(await _body(request))
        gone = threading.Event()
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": chat.model}
        loop = asyncio.get_running_loop()
        policy, prompt, chat = await loop.run_in_executor(self.worker, self._prepare, chat)
        if chat.stream:
            events = self._events(chat, policy, prompt, head, gone)
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        write = functools.partial(self._write, chat, policy, prompt, gone, lambda _k, _r: None)
        work = loop.run_in_executor(self.worker, write)
        while not work.done():
            await asyncio.wait([work], timeout=0.25)
            if await request.is_disconnected():
                gone.set()
        responses = await work
        choices = await asyncio.to_thread(_choices, chat, policy.encoder, responses)
        return JSONResponse(
            head | {"object": "chat.completion", "choices": choices, "usage": _usage(prompt, responses)}
        )

    async def _events(
        self, chat: Chat, policy: LoadedPolicy, prompt: list[int], head: dict[str, Any], gone: threading.Event
    ) -> AsyncIterator[str]:
        """Give the words of every choice as they are written; ends the writing when nobody listens any more."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[int, dict[str, Any], str | None] | None] = asyncio.Queue()
        written = [Written(policy.encoder, chat.sampling.stop) for _ in range(chat.choices)]
        heard = [0] * chat.choices

        def hear(k: int, response: Response) -> None:
            ended = response.finished or len(response.ids) == chat.sampling.max_new_tokens
            text = written[k].news(response, ended=ended)
            if not text and not ended:
                return
            part: dict[str, Any] = {"delta": {"content": text}}
            if chat.logprobs:
                part["logprobs"] = _logprobs(policy.encoder, response, heard[k])
                heard[k] = len(response.ids)
            loop.call_soon_threadsafe(queue.put_nowait, (k, part, _reason(response) if ended else None))

        def write() -> list[Response]:
            try:
                return self._write(chat, policy, prompt, gone, hear)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        work = loop.run_in_executor(self.worker, write)
        head = head | {"object": "chat.completion.chunk"}
        try:
            for k in range(chat.choices):
                yield _event(head, k, {"delta": {"role": "assistant", "content": ""}}, None)
            while (item := await queue.get()) is not None:
                yield _event(head, *item)
            responses = await work
            if chat.tells_usage and responses:
                yield f"data: {json.dumps(head | {'choices': [], 'usage': _usage(prompt, responses)})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            gone.set()

    def _prepare(self, chat: Chat) -> tuple[LoadedPolicy, list[int], Chat]:
        """Load the policy and encode the messages; an answer of no given length becomes as long as there is room."""
        policy = self.shelf.policy(chat.model)
        try:
            prompt = policy.encoder.prompt_ids(chat.messages)
        except TemplateError as error:
            raise BadRequest(f"this model's chat template refuses these messages: {error}", param="messages") from error
        room = policy.context - len(prompt)
        if not chat.is_limited and 1 <= room < chat.sampling.max_new_tokens:
            chat = replace(chat, sampling=replace(chat.sampling, max_new_tokens=room))
        if room < chat.sampling.max_new_tokens:
            mend = f"ask for at most {room} tokens" if room >= 1 else "leave the oldest turns out"
            raise BadRequest(
                f"the messages have {len(prompt)} tokens and the answer may have {chat.sampling.max_new_tokens}, but "
                f"this model reads {policy.context} in all: {mend}",
                param="messages",
                code="context_length_exceeded",
            )
        return policy, prompt, chat

    def _write(
        self,
        chat: Chat,
        policy: LoadedPolicy,
        prompt: list[int],
        gone: threading.Event,
        hear: Callable[[int, Response], None],
    ) -> list[Response]:
        """Sample the choices, in the model's thread; nothing when nobody waits for them any more."""
        rows = policy.generator.generate(
            [prompt],
            keys=["chat"],
            responses_per_prompt=chat.choices,
            sampling=chat.sampling,
            stop=lambda: gone.is_set() or self.closing.is_set(),
            on_token=lambda _prompt, k, response: hear(k, response),
        )
        return rows[0] if rows else []


def _entry(digest: str) -> dict[str, Any]:
    return {"id": digest, "object": "model", "created": 0, "owned_by": "laurel"}


def _choices(chat: Chat, encoder: Encoder, responses: Sequence[Response]) -> list[dict[str, Any]]:
    return [
        {
            "index": k,
            "message": {
                "role": "assistant",
                "content": Written(encoder, chat.sampling.stop).text(response),
                "refusal": None,
            },
            "finish_reason": _reason(response),
            "logprobs": _logprobs(encoder, response, 0) if chat.logprobs else None,
        }
        for k, response in enumerate(responses)
    ]


def _event(head: dict[str, Any], k: int, part: dict[str, Any], reason: str | None) -> str:
    chunk = head | {"choices": [{"index": k, "finish_reason": reason, **part}]}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _reason(response: Response) -> str:
    return "stop" if response.finished else "length"


def _usage(prompt: Sequence[int], responses: Sequence[Response]) -> dict[str, int]:
    written = sum(len(response.ids) for response in responses)
    return {"prompt_tokens": len(prompt), "completion_tokens": written, "total_tokens": len(prompt) + written}


def _logprobs(encoder: Encoder, response: Response, start: int) -> dict[str, Any]:
    """Say the log-probabilities of the tokens from `start` on, and of the likeliest in the place of each."""

    @functools.cache
    def said(token: int) -> dict[str, Any]:
        its_bytes = encoder.bytes_of(token)
        return {
            "token": str(encoder.tokenizer.decode([token])),
            "bytes": None if its_bytes is None else list(its_bytes),
        }

    content = []
    for place in range(start, len(response.ids)):
        likeliest = response.likeliest[place] if response.likeliest else []
        entry = said(response.ids[place]) | {"logprob": response.logprobs[place]}
        others = [said(token) | {"logprob": max(logprob, UNLIKELY)} for token, logprob in likeliest]
        content.append(entry | {"top_logprobs": others})
    return {"content": content, "refusal": None}


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadRequest)  # noqa: S101 - it is registered for no other
    said = {"message": str(error), "type": "invalid_request_error", "param": error.param, "code": error.code}
    return JSONResponse({"error": said}, status_code=error.status)


def _prompt(item: dict[str, Any], name: str) -> list[dict[str, str]]:
    if "messages" in item:
        return _messages(item["messages"], f"{name}.messages")
    prompt = item.get("prompt", "")
    if isinstance(prompt, list):
        return _messages(prompt, f"{name}.prompt")
    return [{"role": "user", "content": _text(prompt, f"{name}.prompt")}] if prompt else []


def _messages(value: Any, param: str) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise BadRequest(f"{param} must be a list of messages", param=param)
    messages = []
    for message in value:
        said = message if isinstance(message, dict) else {}
        role, content = said.get("role"), _content(said.get("content"))
        if role not in ROLES or content is None:
            raise BadRequest(f"{param} must hold a role ({', '.join(ROLES)}) and a text each", param=param)
        messages.append({"role": "system" if role == "developer" else role, "content": _text(content, param)})
    return messages


def _content(value: Any) -> str | None:
    """What a message says: its text, or the texts that it is parted into; nothing where it is something else."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    texts = [part["text"] for part in parts if isinstance(part, dict) and part.get("type") == "text" and "text" in part]
    if not texts or len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        return None
    return "\n".join(texts)


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{param} must be text", param=param)
    if has_half_pair(value):
        raise BadRequest(f"{param} holds half of a surrogate pair, which is not text", param=param)
    return value


def _whole(value: Any, param: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequest(f"{param} must be a whole number from {low} to {high}", param=param)
    return value


def _number(value: Any, param: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadRequest(f"{param} must be a number from {low} to {high}", param=param)
    return float(value)


def main(arguments: list[str]) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m policy serve", description="Answer chats and rewards over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True, metavar="ROOT", help="folder of the artefacts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=int, default=3, metavar="N", help="models of a kind to keep loaded")
    options = parser.parse_args(arguments)
    server = Server(Shelf(Store(options.store), options.device, options.keep))
    uvicorn.run(server.app(), host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=5)
    return 0
