"""One visit to a thread answers a request, whatever it is, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import URLResolver, path

from config.web import OneVisitHandler
from training.models import Project

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db(transaction=True)]
SEEN = SimpleNamespace(threads=set(), at_once=0, most_at_once=0, pieces=0, closed=0)
LOCK = threading.Lock()


def count(_request):
    """Look something up; how many requests are looked up at once is counted."""
    with LOCK:
        SEEN.threads.add(threading.get_ident())
        SEEN.at_once += 1
        SEEN.most_at_once = max(SEEN.most_at_once, SEEN.at_once)
    found = Project.objects.count()
    threading.Event().wait(0.02)
    with LOCK:
        SEEN.at_once -= 1
    return HttpResponse(str(found), headers={"X-Kind": "sync"})


def break_down(_request):
    raise RuntimeError("this view is broken")


async def wait(_request):
    return HttpResponse(threading.current_thread().name)


async def drip():
    try:
        for _ in range(1000):
            SEEN.pieces += 1
            yield b"drop "
            await asyncio.sleep(0.001)
    finally:
        SEEN.closed += 1


class Quick:
    """Like a class of DRF, whose views name it."""

    quick = True


def hurry(_request):
    return HttpResponse(threading.current_thread().name)


hurry.cls = Quick


def dawdle(_request):
    """Long work: it goes on until somebody was quick."""
    assert SEEN.hurried.wait(30)
    return HttpResponse(threading.current_thread().name)


def stream(_request):
    assert Project.objects.count() == 1
    return StreamingHttpResponse(drip())


urlpatterns = [
    path("count", count),
    path("broken", break_down),
    path("wait", wait),
    path("stream", stream),
    path("hurry", hurry),
    path("dawdle", dawdle),
]
handler500 = "config.errors.server_error"


@pytest.fixture
def application(settings):
    settings.ROOT_URLCONF = __name__
    settings.WEB_THREADS = 3
    Project.objects.create(slug="stories", name="Stories")
    SEEN.__dict__.update(threads=set(), at_once=0, most_at_once=0, pieces=0, closed=0, hurried=threading.Event())
    handler = OneVisitHandler()
    yield handler
    for threads in (handler.threads, handler.quick_threads):
        threads.submit(connections.close_all).result()
        threads.shutdown()


async def ask(application, address, *, hang_up_after=None):
    """Ask like a web server; status, headers and body. One who hangs up has had enough after some pieces."""
    scope = {"type": "http", "method": "GET", "path": address, "raw_path": address.encode(), "query_string": b""}
    scope |= {"headers": [(b"host", b"testserver")], "scheme": "http", "root_path": "", "http_version": "1.1"}
    request = [{"type": "http.request", "body": b"", "more_body": False}]
    enough, said = asyncio.Event(), []

    async def receive():
        if request:
            return request.pop()
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        said.append(message)
        if hang_up_after is not None and len(said) > hang_up_after:
            enough.set()

    await asyncio.wait_for(application(scope, receive, send), 60)
    return said[0]["status"], dict(said[0]["headers"]), b"".join(each.get("body", b"") for each in said[1:])


def test_many_requests_are_answered_by_a_few_threads_whose_connections_go_back(application):
    async def crowd():
        return await asyncio.gather(*(ask(application, "/count") for _ in range(20)))

    for status, headers, body in asyncio.run(crowd()):
        assert (status, headers[b"X-Kind"], body) == (200, b"sync", b"1")
    assert 1 <= SEEN.most_at_once <= len(SEEN.threads) <= 3
    held = {application.threads.submit(lambda: connections["default"].connection).result() for _ in range(12)}
    assert held == {None}


def test_what_is_quick_waits_behind_no_long_work(application):
    async def both():
        long = [asyncio.create_task(ask(application, "/dawdle")) for _ in range(8)]
        await asyncio.sleep(0.1)
        quick = await ask(application, "/hurry")
        SEEN.hurried.set()
        return quick, await asyncio.gather(*long)

    (status, _, name), long = asyncio.run(both())
    assert (status, name.startswith(b"quick")) == (200, True)
    assert {status for status, *_ in long} == {200}


def test_an_address_is_looked_up_once(application, monkeypatch):
    looked_up = []
    monkeypatch.setattr(URLResolver, "resolve", spied(URLResolver.resolve, looked_up))
    assert asyncio.run(ask(application, "/count"))[0] == 200
    assert len(looked_up) == 1
    assert asyncio.run(ask(application, "/nowhere"))[0] == 404


def spied(method, calls):
    def spy(self, path):
        calls.append(path)
        return method(self, path)

    return spy


def test_a_view_that_breaks_answers_in_the_envelope(application):
    status, _, body = asyncio.run(ask(application, "/broken"))
    assert status == 500
    assert b'"server_error"' in body


def test_a_coroutine_stays_on_the_event_loop(application):
    status, _, body = asyncio.run(ask(application, "/wait"))
    assert (status, body) == (200, threading.current_thread().name.encode())


def test_what_is_streamed_arrives_whole(application):
    status, _, body = asyncio.run(ask(application, "/stream"))
    assert (status, body) == (200, b"drop " * 1000)
    assert SEEN.closed == 1


def test_a_stream_that_nobody_reads_any_more_ends(application):
    _, _, body = asyncio.run(ask(application, "/stream", hang_up_after=3))
    assert body.startswith(b"drop drop ")
    assert SEEN.pieces < 1000
    assert SEEN.closed == 1


def test_streams_take_no_thread_from_others(application):
    async def many_readers():
        readers = [asyncio.create_task(ask(application, "/stream", hang_up_after=900)) for _ in range(6)]
        while SEEN.pieces < 6:  # noqa: ASYNC110 (six streams count here, in no order)
            await asyncio.sleep(0.01)
        answer = await ask(application, "/count")
        reading = sum(not reader.done() for reader in readers)
        await asyncio.gather(*readers)
        return answer, reading

    (status, _, body), reading = asyncio.run(many_readers())
    assert (status, body, reading) == (200, b"1", 6)
