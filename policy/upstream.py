"""Speaking to the model server: the one place where the web process asks a model for anything, over HTTP."""

from __future__ import annotations

import functools
import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings

from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

CHAT, REWARDS = "/v1/chat/completions", "/v1/rewards"
PATIENCE = httpx.Timeout(600, connect=5)
"""Requests wait for their turn at the model, so an answer may take minutes; whoever does not want to wait goes away."""


class ModelServerDown(Refusal):
    """Nobody listens there."""

    code, status = "model_server_down", 503
    message = (
        "The model server does not answer. `make run` starts it with everything else; by itself it is "
        "`python -m policy serve`, at the address that LAUREL_MODEL_SERVER_URL names."
    )


class ModelServerSlow(Refusal):
    """It listens, and says nothing."""

    code, status = "model_server_slow", 504
    message = "The model server has said nothing for ten minutes. It may be busy: try again later."


class ModelServerFailed(Refusal):
    """It broke, and said nothing that a person can act on."""

    code, status = "model_server_failed", 502
    message = "The model server failed at this request. Its log says why."


class Refused(Refusal):
    """The model server refused, by name: its status and its `error` are passed on as they came."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        """`error` is the object of that name in OpenAI's envelope."""
        super().__init__(str(error.get("message") or ""))
        self.status, self.code, self.error = status, str(error.get("code") or "refused"), dict(error)
        self.fields = {str(error["param"]): [self.message]} if error.get("param") else {}


@functools.cache
def tls() -> ssl.SSLContext:
    """Whom to trust; made once, because reading the certificates takes longer than most requests."""
    return ssl.create_default_context()


@asynccontextmanager
async def opened(path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
    """Send a request; the answer's body comes as it is read. Leaving hangs up, which ends the computation.

    Raises ModelServerDown, ModelServerSlow, ModelServerFailed, and Refused with the server's own words.
    """
    async with AsyncExitStack() as held:
        client = httpx.AsyncClient(
            base_url=settings.MODEL_SERVER_URL,
            headers={"Accept-Encoding": "identity"},
            timeout=PATIENCE,
            trust_env=False,
            verify=tls(),
        )
        await held.enter_async_context(client)
        try:
            answer = await held.enter_async_context(client.stream("POST", path, json=dict(body)))
            if not answer.is_success:
                raise refusal(answer.status_code, await answer.aread())
        except httpx.ConnectError as error:
            raise ModelServerDown from error
        except httpx.TimeoutException as error:
            raise ModelServerSlow from error
        except httpx.HTTPError as error:
            raise ModelServerFailed from error
        yield answer


async def asked(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Send a request, and give the whole answer. Raises what `opened` raises."""
    async with opened(path, body) as answer:
        try:
            said: dict[str, Any] = json.loads(await answer.aread())
        except httpx.TimeoutException as error:
            raise ModelServerSlow from error
        except (httpx.HTTPError, ValueError) as error:
            raise ModelServerFailed from error
    return said


def refusal(status: int, content: bytes) -> Refusal:
    """What the model server meant by an answer that is no success."""
    try:
        said = json.loads(content)
    except ValueError:
        return ModelServerFailed()
    error = said.get("error") if isinstance(said, dict) else None
    return Refused(status, error) if isinstance(error, dict) else ModelServerFailed()
