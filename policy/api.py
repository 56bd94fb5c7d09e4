"""Models over HTTP, in the words of OpenAI's API: which there are, chats, rewards, and replies for people to rank.

These views are coroutines: they wait for the model server while the web process goes on with other requests. A client
that goes away cancels its view, which hangs up on the model server, which ends the computation.
"""

from __future__ import annotations

import functools
import json
import secrets
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import httpx
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.http import StreamingHttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from knox.auth import TokenAuthentication
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import asking, conversations, queue
from labeling import serializers as labeling_shapes
from labeling.prompt_api import ConversationSerializer
from policy import named, upstream
from training import access, datasets, jobs
from training.api.asking import asker, parsed
from training.artifacts import Store, seal
from training.records import RecordError, RewardLine, write_lines
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

    from labeling.models import Task
    from labeling.queue import Handout
    from training.models import Checkpoint, Job, Project, User

P = ParamSpec("P")
T = TypeVar("T")

MODELS_AT_MOST = 200
ITEMS_AT_ONCE = 64
"""Items that a request waits for; more of them become a job."""
ITEMS_OF_A_JOB = 20_000
TRIES = 3
"""How often a model is asked for replies that differ."""
ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class TooManyItems(Refusal):
    """More than one request may bring."""

    code, status = "too_many_items", 422

    def __init__(self, count: int) -> None:
        """Say how many came and what to do instead."""
        super().__init__(
            f"{count} items came, and one request brings at most {ITEMS_OF_A_JOB}. Send them in parts, or score a file "
            "of JSON lines of any length with `python -m rewardmodel score`.",
            items=[f"at most {ITEMS_OF_A_JOB}"],
        )


class BearerAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """A token as OpenAI's clients send it: `Authorization: Bearer …`."""

    def authenticate_header(self, _request: Request) -> str:
        """The word before the token, and what a 401 asks for."""
        return "Bearer"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document names it."""

    target_class = "policy.api.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, _auto_schema: Any) -> dict[str, str]:
        """A token in the Authorization header."""
        return {"type": "http", "scheme": "bearer"}


class ModelView(APIView):
    """What all these addresses share: OpenAI's clients may sign in, and understand what is refused."""

    authentication_classes = (BearerAuthentication, TokenAuthentication, SessionAuthentication)

    def perform_content_negotiation(self, _request: Request, force: bool = False) -> tuple[BaseRenderer, str]:  # noqa: ARG002, FBT001, FBT002 (DRF's signature)
        """JSON, or a stream of it: whatever the client says that it accepts."""
        return self.get_renderers()[0], "application/json"

    def handle_exception(self, exc: Exception) -> Response:
        """Our envelope with OpenAI's in it, so that both kinds of client read why."""
        answer = super().handle_exception(exc)
        theirs = exc.error if isinstance(exc, upstream.Refused) else openai_error(answer.data, answer.status_code)
        answer.data = answer.data | {"error": theirs}
        return answer


def openai_error(refusal: Mapping[str, Any], status: int) -> dict[str, Any]:
    """A refusal as OpenAI's clients expect it."""
    return {
        "message": refusal["message"],
        "type": ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": next((name for name in refusal["fields"] if name), None),
        "code": refusal["code"],
    }


def in_thread(work: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Look something up while others go on; the database connection goes back at once, for answers may take long."""

    @functools.wraps(work)
    def and_let_go(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    return sync_to_async(and_let_go)


class WaitingView(ModelView):
    """A view whose handlers are coroutines."""

    http_method_names = ["post"]

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # DRF knows no coroutines
        """What APIView.dispatch does, with everything that may touch the database in a thread."""
        self.args, self.kwargs, self.headers = args, kwargs, self.default_response_headers
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            await in_thread(self.initial)(self.request, *args, **kwargs)
            handler: Any = self.http_method_not_allowed
            if request.method and request.method.lower() in self.http_method_names:
                handler = getattr(self, request.method.lower())
            answer = await handler(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (DRF's handler raises again what is no refusal)
            answer = await in_thread(self.handle_exception)(error)
        return self.finalize_response(self.request, answer, *args, **kwargs)


def json_body(request: Request) -> dict[str, Any]:
    """The request's body, as something that can be passed on. Raises ValidationError."""
    body = request.data
    if not isinstance(body, dict):
        raise ValidationError("The body is a JSON object.")
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise ValidationError("The body holds a number or a character that no JSON text can carry.") from error
    return body


def text_of(body: Mapping[str, Any], field: str, wanted: str) -> str:
    """A field that must be text. Raises ValidationError."""
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise ValidationError({field: [wanted]})
    return value


# --- Which models there are --------------------------------------------------------------------


class ModelSerializer(serializers.Serializer[Any]):
    """A policy that one can talk to, as OpenAI's API lists models; `id` is what a request names."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    owned_by = serializers.CharField()
    name = serializers.CharField()
    digest = serializers.CharField()
    is_champion = serializers.BooleanField()


class ModelListSerializer(serializers.Serializer[Any]):
    """All of them."""

    object = serializers.CharField()
    data: Any = ModelSerializer(many=True)


def model_entry(checkpoint: Checkpoint, project: Project, *, as_champion: bool, reigns: bool) -> dict[str, Any]:
    """One line of the list: a champion under its project's slug, a checkpoint under its own name."""
    return {
        "id": project.slug if as_champion else f"{project.slug}/{checkpoint.name}",
        "object": "model",
        "created": int(checkpoint.created_at.timestamp()),
        "owned_by": project.slug,
        "name": checkpoint.name,
        "digest": checkpoint.digest,
        "is_champion": reigns,
    }


class Models(ModelView):
    """The policies that the asker may talk to."""

    @extend_schema(
        parameters=[OpenApiParameter("project", str, description="Only those of the project of this slug.")],
        responses=ModelListSerializer,
        operation_id="models_list",
        tags=["chat"],
    )
    def get(self, request: Request) -> Response:
        """Each project's champion under its slug, then the 200 newest checkpoints; older ones answer to their names."""
        slug = request.query_params.get("project", "")
        champions = list(named.reigning(asker(request), slug))
        reigning = {champion.checkpoint_id for champion in champions}
        entries = [model_entry(each.checkpoint, each.project, as_champion=True, reigns=True) for each in champions]
        entries += [
            model_entry(each, each.project, as_champion=False, reigns=each.pk in reigning)
            for each in named.published(asker(request), slug)[:MODELS_AT_MOST]
        ]
        return Response({"object": "list", "data": entries})


# --- Chats -------------------------------------------------------------------------------------


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 4}]})
class StopField(serializers.JSONField):
    """A text that ends a reply, or up to four."""


class ChatSerializer(ConversationSerializer):
    """A conversation, who is to answer, and how. More of OpenAI's parameters are passed on to the model server."""

    model = serializers.CharField(help_text="A project's slug (its champion), `slug/checkpoint name`, or a digest.")
    stream = serializers.BooleanField(default=False)
    n = serializers.IntegerField(default=1, min_value=1, max_value=16)
    temperature = serializers.FloatField(default=1, min_value=0, max_value=2)
    top_p = serializers.FloatField(default=1, min_value=0, max_value=1)
    max_tokens = serializers.IntegerField(default=128, min_value=1, max_value=1024)
    stop = StopField(required=False)
    seed = serializers.IntegerField(required=False)
    logprobs = serializers.BooleanField(default=False)


class ReplySerializer(serializers.Serializer[Any]):
    """What the model said."""

    role = serializers.CharField()
    content = serializers.CharField()


class ChoiceSerializer(serializers.Serializer[Any]):
    """One of the n replies."""

    index = serializers.IntegerField()
    message = ReplySerializer()
    finish_reason = serializers.CharField()
    logprobs = serializers.DictField(allow_null=True)


class CompletionSerializer(serializers.Serializer[Any]):
    """The model's replies; `model` is the digest of the checkpoint that wrote them."""

    id = serializers.CharField()
    object = serializers.CharField()
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = ChoiceSerializer(many=True)
    usage = serializers.DictField(child=serializers.IntegerField())


EVENTS = OpenApiResponse(
    OpenApiTypes.STR,
    description="With `stream`: server-sent events, a `chat.completion.chunk` each, `[DONE]` at the end.",
)


def chat_request(request: Request) -> dict[str, Any]:
    """The request as the model server wants it: the model by its digest. Raises ValidationError, NoSuchModel."""
    body = json_body(request)
    wanted = "Name a project's slug, slug/checkpoint name, or a digest; GET /api/v1/models lists them."
    checkpoint = named.policy(asker(request), text_of(body, "model", wanted))
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise ValidationError({"messages": ["A conversation has at least one message, with a role and a content."]})
    return body | {"model": checkpoint.digest}


class Completions(WaitingView):
    """Talking to a policy."""

    @extend_schema(
        request=ChatSerializer,
        responses={(200, "application/json"): CompletionSerializer, (200, "text/event-stream"): EVENTS},
        operation_id="chat_completions",
        tags=["chat"],
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Let a policy reply to a conversation, in one piece or streamed; any OpenAI client can ask.

        A project's slug means its champion at the time of the request. A client that hangs up ends the computation.
        """
        body = await in_thread(chat_request)(request)
        if not body.get("stream"):
            return Response(await upstream.asked(upstream.CHAT, body))
        held = AsyncExitStack()
        answer = await held.enter_async_context(upstream.opened(upstream.CHAT, body))
        return StreamingHttpResponse(
            relayed(answer, held),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def relayed(answer: httpx.Response, held: AsyncExitStack) -> AsyncIterator[bytes]:
    """The events as they come; when nobody reads on, the model server is hung up on."""
    async with held:
        try:
            async for part in answer.aiter_raw():
                yield part
        except httpx.HTTPError:
            broken = {"code": "stream_broken", "message": "The model server fell silent.", "fields": {}}
            yield f"data: {json.dumps({'error': openai_error(broken, 502)})}\n\n".encode()


# --- Rewards -----------------------------------------------------------------------------------


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]})
class PromptField(serializers.JSONField):
    """A prompt's text, or its messages."""


class ItemSerializer(serializers.Serializer[Any]):
    """A response and what it responds to: `prompt` or `messages`; neither for a text that stands alone."""

    prompt = PromptField(required=False)
    messages = serializers.ListField(child=serializers.DictField(), required=False)
    response = serializers.CharField()


class RewardsRequestSerializer(serializers.Serializer[Any]):
    """What is to be scored, and by whom: `model` (slug, slug/name or digest), or `project`."""

    project = serializers.SlugField(required=False)
    model = serializers.CharField(required=False)
    items: Any = serializers.ListField(child=ItemSerializer(), min_length=1, max_length=ITEMS_OF_A_JOB)


class RewardsSerializer(serializers.Serializer[Any]):
    """A reward for each item, in the units of the reward model's own normalisation."""

    model = serializers.CharField()
    rewards = serializers.ListField(child=serializers.FloatField())


class RewardsJobSerializer(serializers.Serializer[Any]):
    """The job that scores the items, and where its rewards will be: its output, in the order of the items."""

    model = serializers.CharField()
    job = serializers.IntegerField()


def rewards_request(request: Request) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """Who is to score, and what. Raises ValidationError, NoSuchModel, NotAllowed, TooManyItems."""
    body = json_body(request)
    if ("model" in body) == ("project" in body):
        raise ValidationError({"model": ["Name a reward model, or a project whose reward model is meant."]})
    field = "model" if "model" in body else "project"
    wanted = "A project's slug, slug/checkpoint name, or a digest." if field == "model" else "A project's slug."
    checkpoint = named.reward_model(asker(request), text_of(body, field, wanted))
    items = body.get("items")
    if not isinstance(items, list) or not items or not all(isinstance(each, dict) for each in items):
        raise ValidationError({"items": ["A list of objects with a response, and a prompt or messages."]})
    if len(items) > ITEMS_OF_A_JOB:
        raise TooManyItems(len(items))
    return checkpoint, items


def reward_line(item: Mapping[str, Any], number: int) -> RewardLine:
    """An item as a line of a dataset. Raises ValidationError."""
    prompt = item.get("messages", item.get("prompt", []))
    turns = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}] if prompt else []
    try:
        return RewardLine.from_json(json.dumps({"prompt": turns, "response": item.get("response")}))
    except RecordError as error:
        raise ValidationError({"items": [f"[{number}].{error}"]}) from error


def rewards_job(checkpoint: Checkpoint, items: list[dict[str, Any]], by: User) -> Job:
    """Store the items as a dataset, and start the job that scores them. Raises ValidationError, NotAllowed."""
    access.check(by, checkpoint.project_id, *access.RESEARCHERS)
    lines = [reward_line(item, number) for number, item in enumerate(items)]
    with tempfile.TemporaryDirectory(prefix="laurel-") as folder:
        card = write_lines(lines, Path(folder), kind="rewards")
        seal(Path(folder))
        digest = Store(settings.STORE_ROOT).put(Path(folder))
    datasets.publish(project=checkpoint.project, kind="rewards", digest=digest, card=card, name="to be scored")
    return jobs.start(
        project=checkpoint.project,
        kind="rewardmodel.score",
        inputs={"reward": checkpoint.digest, "responses": digest},
        by=by,
    )


class Rewards(WaitingView):
    """What a reward model says."""

    @extend_schema(
        request=RewardsRequestSerializer,
        responses={200: RewardsSerializer, 202: RewardsJobSerializer},
        operation_id="rewards",
        tags=["chat"],
    )
    async def post(self, request: Request) -> HttpResponseBase:
        """Score responses by a reward model, or by a project's: its champion, else its newest.

        Up to 64 are scored at once. More of them, up to 20,000, become a job of the reward model's project, which
        researchers and admins may start: the answer is 202 and names it.
        """
        checkpoint, items = await in_thread(rewards_request)(request)
        if len(items) <= ITEMS_AT_ONCE:
            return Response(await upstream.asked(upstream.REWARDS, {"model": checkpoint.digest, "items": items}))
        job = await in_thread(rewards_job)(checkpoint, items, asker(request))
        return Response(RewardsJobSerializer({"model": checkpoint.digest, "job": job.pk}).data, 202)


# --- Replies for people to rank ----------------------------------------------------------------


class NewRankingTaskSerializer(ConversationSerializer):
    """A conversation, and who is to write the replies that people rank."""

    model = serializers.CharField(required=False, help_text="As in a chat; the project's champion if left out.")
    temperature = serializers.FloatField(default=1, min_value=0, max_value=2)
    max_tokens = serializers.IntegerField(default=128, min_value=1, max_value=1024)
    take = serializers.BooleanField(default=False, help_text="Put it in my hands at once.")


class RankingTaskSerializer(serializers.Serializer[Any]):
    """The task, and my lease of it where I took it."""

    task = serializers.IntegerField()
    prompt = serializers.IntegerField()
    lease = labeling_shapes.LeaseSerializer(allow_null=True)


class RankingTasks(WaitingView):
    """Conversations whose next turn people rank."""

    @extend_schema(request=NewRankingTaskSerializer, responses={201: RankingTaskSerializer}, tags=["chat"])
    async def post(self, request: Request, slug: str) -> HttpResponseBase:
        """Let a policy write replies to a conversation, as many as a task has, and have people rank them blind.

        With `take` the task is in my hands at once, so that I rank each turn while I converse. Any member may ask;
        annotators, reviewers and admins may take.
        """
        order = await in_thread(Order.of)(request, slug)
        replies = await order.replies()
        task, handout = await in_thread(order.place)(replies)
        lease = handout and labeling_shapes.lease_body(handout)
        return Response(RankingTaskSerializer({"task": task.pk, "prompt": task.prompt_id, "lease": lease}).data, 201)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What someone asked to have ranked, checked."""

    project: Project
    checkpoint: Checkpoint
    messages: list[dict[str, str]]
    sampling: dict[str, Any]
    wanted: int
    """How many replies."""
    annotator: User | None

    @classmethod
    def of(cls, request: Request, slug: str) -> Order:
        """Read a request. Raises NoSuchProject, NoSuchModel, NotAllowed, TooManyLeases, NotAPrompt."""
        person = asker(request)
        project = access.membership_of(person, slug).project
        said = parsed(NewRankingTaskSerializer, request.data)
        checkpoint = named.policy(person, said.get("model", slug))
        if checkpoint.project_id != project.pk:
            raise named.NoSuchModel
        if said["take"]:
            asking.check_hands(annotator=person, project=project)
        return cls(
            project=project,
            checkpoint=checkpoint,
            messages=conversations.read(said["messages"]),
            sampling={"temperature": said["temperature"], "max_tokens": said["max_tokens"]},
            wanted=queue.settings_of(project).responses_per_task,
            annotator=person if said["take"] else None,
        )

    async def replies(self) -> list[asking.Reply]:
        """Ask the model until it has written enough replies that differ, a few times at most."""
        found: list[asking.Reply] = []
        for _ in range(TRIES):
            missing, seed = self.wanted - len(found), secrets.randbits(48)
            body = {"model": self.checkpoint.digest, "messages": self.messages, "n": missing, "seed": seed}
            answer = await upstream.asked(upstream.CHAT, body | self.sampling | {"logprobs": True})
            if len(answer["choices"]) != missing:
                raise upstream.ModelServerFailed(
                    f"The model server gave {len(answer['choices'])} of {missing} replies: it ignores `n`."
                )
            found = asking.different([*found, *(reply_of(choice, seed) for choice in answer["choices"])])
            if len(found) == self.wanted:
                break
        return found

    def place(self, replies: list[asking.Reply]) -> tuple[Task, Handout | None]:
        """Open the task, and hand it to who wants it. Raises NothingToCompare, TooManyLeases."""
        return asking.for_ranking(
            project=self.project,
            messages=self.messages,
            replies=replies,
            checkpoint=self.checkpoint,
            sampling=self.sampling,
            annotator=self.annotator,
        )


def reply_of(choice: Mapping[str, Any], seed: int) -> asking.Reply:
    """One choice of a completion."""
    tokens = (choice.get("logprobs") or {}).get("content")
    return asking.Reply(
        text=choice["message"]["content"] or "",
        seed=seed,
        sample=choice["index"],
        finished=choice["finish_reason"] == "stop",
        token_count=len(tokens) if tokens is not None else None,
        logprob=sum(token["logprob"] for token in tokens) if tokens is not None else None,
    )
