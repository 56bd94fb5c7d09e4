"""How a request meets Django under ASGI: in one visit to a thread.

Django's own handler starts a thread for each request, and visits it once for each signal, each middleware and the view;
that took longer than what a request asks for. `OneVisitHandler` has the whole of Django answer in one visit to a
thread of a pool. Views that are coroutines, and whatever is streamed, stay on the event loop, where they hold nobody up
and notice a client that hangs up.

Views that say that they are `quick` have a few threads of their own: an annotator's next task waits behind no import
and no report. More of those threads would do less, since they would wrestle for the interpreter.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import close_old_connections
from django.urls import Resolver404, ResolverMatch, resolve, set_script_prefix

if TYPE_CHECKING:
    from typing import IO

    from django.http.response import HttpResponseBase

QUICK_THREADS = 3
FOUND = "laurel.view"


class Django(BaseHandler):
    """Django, which looks an address up once."""

    def resolve_request(self, request: Any) -> ResolverMatch:
        """The view that was found when the request came in; Resolver404 where there is none."""
        found: ResolverMatch = request.scope.get(FOUND) or super().resolve_request(request)
        request.resolver_match = found
        return found


class OneVisitHandler(ASGIHandler):
    """Django as an ASGI application. `settings.WEB_THREADS` requests are answered at once; the others wait."""

    def __init__(self) -> None:
        super().__init__()
        quick = min(QUICK_THREADS, settings.WEB_THREADS // 2)
        self.threads = ThreadPoolExecutor(settings.WEB_THREADS - quick, thread_name_prefix="web")
        self.quick_threads = ThreadPoolExecutor(quick, thread_name_prefix="quick") if quick else self.threads
        self.django = Django()
        self.django.load_middleware()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        view = None
        if scope["type"] == "http":
            scope[FOUND] = found = view_of(scope)
            view = found and found.func
        if scope["type"] != "http" or iscoroutinefunction(view):
            await super().__call__(scope, receive, send)
            return
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        threads = self.quick_threads if getattr(getattr(view, "cls", None), "quick", False) else self.threads
        response = await asyncio.get_running_loop().run_in_executor(threads, self.respond, scope, body)
        if response.streaming:
            await self.stream(response, receive, send)
        else:
            await self.send_response(response, send)

    def respond(self, scope: Any, body: IO[bytes]) -> HttpResponseBase:
        """Everything between a request and its response, in a thread, which then lets go of its database connection."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.django.get_response(request)
        response._handler_class = type(self)  # noqa: SLF001 (closing tells it to whom the signal speaks)
        if response.streaming:
            close_old_connections()  # what is streamed may take long
        else:
            response.close()
            body.close()
        return response  # type: ignore[no-any-return]

    async def stream(self, response: HttpResponseBase, receive: Any, send: Any) -> None:
        """Send a response piece by piece, until its end or until nobody reads on."""
        gone = asyncio.create_task(self.listen_for_disconnect(receive))
        sent = asyncio.create_task(self.send_response(response, send))
        try:
            await asyncio.wait((gone, sent), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            sent.cancel()
            _, broken = await asyncio.gather(gone, sent, return_exceptions=True)
            await asyncio.get_running_loop().run_in_executor(self.threads, response.close)
        if isinstance(broken, Exception):
            raise broken


def view_of(scope: Any) -> ResolverMatch | None:
    """The view at the address of a request."""
    try:
        return resolve(scope["path"].removeprefix(get_script_prefix(scope).rstrip("/")))
    except Resolver404:
        return None
