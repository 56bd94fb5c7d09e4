"""A live server, headless Chromium, and the cast: Ada annotates, Rhea researches, Lea leads."""

from __future__ import annotations

from pathlib import Path

import headless
import pytest
from browser_world import PATIENCE_SECONDS, WIDE, World
from django.conf import settings
from django.test import Client
from playwright.sync_api import expect

from training.models import User

PATIENCE_MS = 1000 * PATIENCE_SECONDS

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium():
    """One headless Chromium for the tests of a file. Ended with it: as long as it runs, so does its event loop."""
    # That loop runs in this thread; the rows of a test are still made by plain calls.
    with pytest.MonkeyPatch.context() as patch, headless.chromium() as browser:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield browser


@pytest.fixture
def world(transactional_db):
    """A project with its people; tests add what they need."""
    return World()


@pytest.fixture
def sign_in(chromium, live_server, world):
    """Someone's browser, signed in: `sign_in("ada")`. No page may break, or break the content security policy."""
    broken, contexts = [], []

    def open_browser(name, *, screen=WIDE, **options):
        context = chromium.new_context(base_url=live_server.url, viewport=screen, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("weberror", lambda error: broken.append(str(error.error)))
        context.on("console", lambda said: broken.append(said.text) if "Content Security" in said.text else None)
        client = Client()
        client.force_login(User.objects.get(username=name))
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = context.new_page()
        page.goto("/")
        expect(page.locator("#main")).to_be_visible()
        return page

    yield open_browser
    for context in contexts:
        context.close()
    assert not broken


@pytest.fixture
def ada(sign_in):
    return sign_in("ada")


@pytest.fixture
def lea(sign_in):
    return sign_in("lea")
