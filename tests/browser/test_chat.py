"""Rhea, Ada and Lea talk to a real model: streamed, stopped, branched, ranked, and kept on their device."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import tiny
from browser_world import PHONE, WIDE, comes_to
from django.conf import settings
from django.db import connection
from django.test.utils import override_settings
from playwright.sync_api import expect
from serving import PATIENCE_SECONDS, free_port, wait_for

from labeling.models import Judgement, Prompt, Task
from training import checkpoints
from training.artifacts import Store


@contextmanager
def running(words, url, **environment):
    """A program of ours for as long as it is needed, once it answers."""
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(command, cwd=settings.ROOT, env=os.environ | environment) as process:
        try:
            wait_for(f"{url}/healthz")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two tiny policies, and a model server in a process of its own."""
    home = tmp_path_factory.mktemp("models")
    store = Store(home / "store")
    digests = [store.put(tiny.policy(home / f"policy-{seed}", seed=seed)) for seed in (0, 1)]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["policy", "serve", "--port", str(port), "--store", str(store.root)]
    with running(words, url, OMP_NUM_THREADS="1"):
        yield SimpleNamespace(url=url, digests=digests)


@contextmanager
def streaming_server(models_at):
    """The address of a web server that streams, as `make run` starts it, on the tests' database."""
    if connection.vendor != "sqlite":
        pytest.skip("the web server of this test is told of an SQLite file")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["uvicorn", "config.asgi:application", "--port", str(port), "--lifespan", "off", "--log-level", "warning"]
    database = f"sqlite:///{connection.settings_dict['NAME']}"
    ours = {"LAUREL_HOME": str(settings.LAUREL_HOME), "LAUREL_SECRET_KEY": settings.SECRET_KEY}
    with running(words, url, **ours, LAUREL_DATABASE_URL=database, LAUREL_MODEL_SERVER_URL=models_at):
        yield url


@pytest.fixture(scope="module")
def web(django_db_setup, models):
    with streaming_server(models.url) as url:
        yield url


class Talkative(threading.Thread):
    """A model server that never comes to an end, and remembers when it was hung up on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.left = threading.Event()

    def run(self):
        connection, _ = self.socket.accept()
        with self.socket, connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            try:
                for number in range(10_000):
                    chunk = {"choices": [{"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}]}
                    connection.sendall(f"data: {json.dumps(chunk)}\n\n".encode())
                    time.sleep(0.03)
            except OSError:
                self.left.set()


@pytest.fixture
def live_server(web):
    """That server, in place of the usual one of the tests, which gives replies in one piece."""
    # pytest-django switches the settings of whatever has this fixture's name on and off.
    return SimpleNamespace(url=web, _live_server_modified_settings=override_settings())


@pytest.fixture
def published(world, models):
    """Two policies that can be talked to; the first is the champion."""
    for name, digest in zip(("small", "second"), models.digests, strict=True):
        checkpoints.publish(project=world.project, kind="policy", digest=digest, card={}, name=name)
    checkpoints.promote(world.project.checkpoints.get(name="small"))


def at_chat(page):
    """Open the page, with replies of a length that the tests can wait for."""
    page.evaluate("() => localStorage.setItem('laurel.chat.manner', '{\"temperature\": 1, \"max_tokens\": 12}')")
    page.goto("/p/bedtime/chat")
    expect(page.get_by_label("Message")).to_be_visible()
    return page


def say(page, text):
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def turns(page):
    return page.locator("li[data-role]")


def replies(page):
    return page.locator("li[data-role=assistant]")


def words(page):
    """What the replies say, however their lines are laid out."""
    return replies(page).inner_text().split()


def answered(page, count):
    """Wait until so many replies stand there, finished."""
    expect(replies(page)).to_have_count(count)
    expect(page.locator("[data-writing=true]")).to_have_count(0)
    expect(page.get_by_role("button", name="Send", exact=False).first).to_be_visible()


@pytest.fixture
def rhea(published, sign_in):
    return at_chat(sign_in("rhea"))


def violations(page):
    """What axe finds, in short."""
    page.evaluate((settings.ROOT / "frontend/node_modules/axe-core/axe.min.js").read_text())
    return page.evaluate(
        """() => axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations.map(
            each => `${each.id}: ${each.nodes.map(node => node.target.join(' ')).join(', ')}`))"""
    )


def test_a_reply_comes_word_by_word_and_escape_stops_it_down_to_the_model(rhea):
    model = Talkative()
    model.start()
    with streaming_server(model.url) as address:
        rhea.goto(f"{address}/p/bedtime/chat")
        say(rhea, "Tell me a story.")
        reply = rhea.locator("[data-writing=true]")
        for number in (1, 5, 20):  # it grows while it is looked at
            expect(reply).to_contain_text(f"word{number} ")
        assert not model.left.is_set()
        rhea.keyboard.press("Escape")
        expect(rhea.get_by_text("stopped", exact=True)).to_be_visible()
        assert model.left.wait(PATIENCE_SECONDS)
        said = words(rhea)
        assert "word20" in said
        rhea.reload()
        comes_to(lambda: words(rhea), said)


def test_a_conversation_that_is_deleted_while_a_reply_comes_stays_deleted_until_undone(rhea):
    model = Talkative()
    model.start()
    with streaming_server(model.url) as address:
        rhea.goto(f"{address}/p/bedtime/chat")
        say(rhea, "Tell me a story.")
        expect(rhea.locator("[data-writing=true]")).to_contain_text("word5 ")
        entries = rhea.get_by_role("complementary", name="Conversations").get_by_role("listitem")
        expect(entries).to_have_count(1)  # it is kept while the reply still comes
        rhea.get_by_role("button", name="Delete “Tell me a story.”").click()
        expect(entries).to_have_count(0)
        assert model.left.wait(PATIENCE_SECONDS)
        rhea.wait_for_timeout(500)
        expect(entries).to_have_count(0)
        rhea.get_by_role("button", name="Undo").click()
        entries.get_by_role("button").first.click()
        expect(rhea.get_by_text("stopped", exact=True)).to_be_visible()  # nobody writes it any more
        assert "word5" in words(rhea)


def test_a_reply_is_written_again_and_both_versions_stay(rhea):
    say(rhea, "Tell me a story.")
    answered(rhea, 1)
    rhea.get_by_role("button", name="Regenerate").click()
    expect(rhea.get_by_text("2/2")).to_be_visible()
    answered(rhea, 1)
    second = words(rhea)
    rhea.get_by_role("button", name="Previous version").click()
    expect(rhea.get_by_text("1/2")).to_be_visible()
    rhea.get_by_role("button", name="Next version").click()
    comes_to(lambda: words(rhea), second)


def test_an_edit_of_a_past_turn_branches_and_the_old_branch_is_whole(rhea):
    say(rhea, "Tell me of a kite.")
    answered(rhea, 1)
    say(rhea, "And then?")
    answered(rhea, 2)
    before = turns(rhea).all_inner_texts()
    rhea.get_by_role("button", name="Edit").first.click()
    field = rhea.get_by_label("Edit what you said")
    expect(field).to_be_focused()
    field.fill("Tell me of an owl.")
    rhea.keyboard.press("Enter")
    answered(rhea, 1)
    expect(turns(rhea).first).to_contain_text("Tell me of an owl.")
    turns(rhea).first.get_by_role("button", name="Previous version").click()
    expect(turns(rhea)).to_have_count(4)
    comes_to(lambda: [text.replace("1/2", "") for text in turns(rhea).all_inner_texts()][1:], before[1:])


def test_shift_and_enter_break_the_line_and_enter_sends(rhea):
    field = rhea.get_by_label("Message")
    field.press_sequentially("One")
    rhea.keyboard.press("Shift+Enter")
    field.press_sequentially("two")
    expect(field).to_have_value("One\ntwo")
    rhea.keyboard.press("Enter")
    answered(rhea, 1)
    assert turns(rhea).first.locator("p").first.inner_text() == "One\ntwo"


def test_the_conversation_is_there_after_a_reload_and_another_can_be_begun(rhea):
    say(rhea, "Tell me of a kite.")
    answered(rhea, 1)
    said = words(rhea)
    rhea.reload()
    comes_to(lambda: words(rhea), said)
    rhea.get_by_role("button", name="New conversation").click()
    expect(turns(rhea)).to_have_count(0)
    say(rhea, "Tell me of an owl.")
    answered(rhea, 1)
    entries = rhea.get_by_role("complementary", name="Conversations").get_by_role("listitem")
    expect(entries).to_have_count(2)
    rhea.get_by_role("button", name="Delete “Tell me of an owl.”").click()
    expect(entries).to_have_count(1)
    rhea.get_by_role("button", name="Undo").click()
    expect(entries).to_have_count(2)
    entries.filter(has_text="kite").get_by_role("button").first.click()
    comes_to(lambda: words(rhea), said)


def test_any_policy_of_the_project_can_be_talked_to(rhea):
    rhea.get_by_label("Talk to").select_option("bedtime/second")
    say(rhea, "Hello.")
    answered(rhea, 1)
    expect(replies(rhea)).to_contain_text("second")


def test_a_turn_goes_to_the_annotators_once(rhea):
    say(rhea, "Tell me of a kite.")
    answered(rhea, 1)
    for told in ("someone will write the ideal reply", "in the queue already"):
        replies(rhea).get_by_role("button", name="Send to labeling").click()
        rhea.get_by_role("button", name="Ask for a demonstration").click()
        expect(rhea.get_by_text(told)).to_be_visible()
    expect(rhea.get_by_text("A demonstration is asked for")).to_be_visible()
    assert Prompt.objects.get().messages == [{"role": "user", "content": "Tell me of a kite."}]
    assert Task.objects.get().kind == "demonstration"


def test_a_turn_goes_to_the_annotators_to_be_ranked(rhea):
    say(rhea, "Tell me of a kite.")
    answered(rhea, 1)
    turns(rhea).first.get_by_role("button", name="Send to labeling").click()
    rhea.get_by_role("button", name="Ask for a ranking").click()
    expect(rhea.get_by_text("people will rank the replies")).to_be_visible()
    expect(rhea.get_by_text("A ranking is asked for")).to_be_visible()
    task = Task.objects.get()
    assert (task.kind, task.seats_left, task.prompt.messages[-1]["content"]) == ("ranking", 1, "Tell me of a kite.")
    assert {response.checkpoint.name for response in task.responses.all()} == {"small"}


def ranking_turn_by_turn(page):
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Several replies a turn").check()
    page.keyboard.press("Escape")
    return page


def test_replies_to_be_ranked_can_be_stopped_and_asked_for_again(published, sign_in):
    page = ranking_turn_by_turn(at_chat(sign_in("ada")))
    page.route("**/ranking-tasks", lambda _route: None)  # it writes, and does not come to an end
    say(page, "Tell me of a kite.")
    expect(page.get_by_text("is writing several replies")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("is writing several replies")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    page.unroute("**/ranking-tasks")
    page.get_by_role("button", name="Get a reply").click()
    expect(page.get_by_role("group", name="Replies to rank").get_by_role("listitem")).to_have_count(4)
    assert Task.objects.count() == 1


def test_ada_ranks_turn_by_turn_and_goes_on_from_the_best(published, sign_in):
    page = ranking_turn_by_turn(at_chat(sign_in("ada")))
    say(page, "Tell me of a kite.")
    board = page.get_by_role("group", name="Replies to rank")
    cards = board.get_by_role("listitem")
    expect(cards).to_have_count(4)
    for letter, rating in zip("ABCD", "2664", strict=True):
        group = board.get_by_role("radiogroup", name=f"Rating of reply {letter}")
        group.get_by_role("radio").first.focus()
        page.keyboard.press(rating)
        expect(group.get_by_role("radio", name=rating)).to_be_checked()
    board.get_by_role("button", name="Submit and go on").click()
    expect(page.get_by_text("You ranked the replies")).to_be_visible()
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_text("2/4")).to_be_visible()
    placed = Judgement.objects.get().placements.order_by("rank")
    assert [(each.rank, each.rating) for each in placed] == [(1, 6), (1, 6), (2, 4), (3, 2)]


def test_a_model_server_that_does_not_run_is_said_and_nothing_is_lost(rhea):
    down = {"code": "model_server_down", "message": "The model server does not answer.", "fields": {}}
    rhea.route("**/chat/completions", lambda route: route.fulfill(status=503, json=down))
    say(rhea, "Tell me of a kite.")
    expect(rhea.get_by_role("alert")).to_contain_text("The model server does not answer")
    rhea.unroute("**/chat/completions")
    rhea.get_by_role("button", name="Try again").click()
    answered(rhea, 1)
    expect(rhea.get_by_role("alert")).to_have_count(0)


def test_what_a_model_writes_can_neither_run_nor_load_nor_lead_away(rhea):
    hostile = "<img src=x onerror=alert(1)> <b>bold</b> [here](https://evil.example) ![pic](https://evil.example/x.png)"
    event = '{"choices": [{"index": 0, "delta": {"content": %s}, "finish_reason": "stop"}]}'
    body = f"data: {event % json.dumps(hostile)}\n\ndata: [DONE]\n\n"
    rhea.route("**/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    asked = []
    rhea.on("request", lambda request: asked.append(request.url) if "evil" in request.url else None)
    say(rhea, "Be hostile.")
    answered(rhea, 1)
    expect(replies(rhea)).to_contain_text("[image: pic]")
    expect(replies(rhea).locator("img, a, b b, script")).to_have_count(0)
    assert asked == []


def test_a_project_without_a_policy_says_what_will_be_here(world, sign_in):
    page = sign_in("rhea")
    page.goto("/p/bedtime/chat")
    expect(page.get_by_role("heading", name="There is nobody to talk to yet")).to_be_visible()
    expect(page.get_by_role("link", name="Train a policy")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, WIDE], ids=["phone", "wide"])
def test_axe_finds_nothing_and_no_page_scrolls_sideways(published, sign_in, screen, theme):
    page = at_chat(sign_in("ada", screen=screen, color_scheme=theme, reduced_motion="reduce"))
    found = violations(page)
    say(page, "Tell me of a kite.")
    answered(page, 1)
    page.get_by_role("button", name="Regenerate").click()
    answered(page, 1)
    found += violations(page)
    page.get_by_role("button", name="Send to labeling").first.click()
    found += violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Settings").click()
    found += violations(page)
    page.get_by_label("Several replies a turn").check()
    page.keyboard.press("Escape")
    say(page, "And then?")
    expect(page.get_by_role("group", name="Replies to rank")).to_be_visible()
    found += violations(page)
    assert found == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= screen["width"]
