"""Running Laurels, once on SQLite with the embedded broker and once on PostgreSQL with Redis, and who uses them."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path

import headless
import pytest
from beginnings import first_folder
from cast import PASSWORD
from people import Person
from playwright.sync_api import expect
from stack import SERVICES, Missing, Stack

BROWSER_PATIENCE_MS = 60_000
expect.set_options(timeout=BROWSER_PATIENCE_MS)
NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items):
    """Give each journey of this folder the time that it needs on a busy machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(900))
            if "page_of" in item.fixturenames:
                item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session", params=SERVICES)
def stack(request, tmp_path_factory):
    """A Laurel that runs. It never outlives the tests."""
    with ExitStack() as after:
        try:
            services = after.enter_context(SERVICES[request.param]())
        except Missing as missing:
            headless.unavailable(str(missing))
        laurel = Stack(tmp_path_factory.mktemp("laurel"), services)
        after.callback(laurel.destroy)
        laurel.start()
        yield laurel


@pytest.fixture
def project(stack, tmp_path):
    """A project of the test's own; its slug."""
    return furnished(stack, first_folder(tmp_path / "beginnings"))


@pytest.fixture
def project_with_reward_model(stack, tmp_path):
    """A project that could begin PPO at once; its slug."""
    return furnished(stack, first_folder(tmp_path / "beginnings", reward=True))


def furnished(stack, folder):
    """Make a project out of a folder."""
    slug = f"stories-{next(NUMBERS)}"
    stack.run("tests.journeys.furnish", slug, str(folder))
    return slug


@pytest.fixture
def clients():
    """Closes what speaks to a Laurel when the test is over."""
    with ExitStack() as after:
        yield after


@pytest.fixture
def signed_in(stack, clients):
    """Sign someone in: `signed_in("ada")`."""

    def sign_in(name):
        person = Person(stack.url)
        clients.callback(person.http.close)
        person.sign_in(name)
        return person

    return sign_in


@pytest.fixture
def holding(stack, clients):
    """A program that speaks for whoever made the token: `holding(token)`."""

    def speak(token):
        person = Person(stack.url, Authorization=f"Token {token}")
        clients.callback(person.http.close)
        return person

    return speak


@pytest.fixture
def page_of(stack, chromium):
    """Someone's browser, signed in and at a project: `page_of("ada", project)`."""
    broken = []

    def open_page(name, project):
        context = chromium.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(BROWSER_PATIENCE_MS)
        context.on("weberror", lambda error: broken.append(str(error.error)))
        context.on("console", lambda said: broken.append(said.text) if "Content Security" in said.text else None)
        page = context.new_page()
        page.goto("/")
        page.get_by_label("User name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("combobox", name="Project").select_option(project)
        return page

    yield open_page
    assert not broken


@pytest.fixture
def chromium():
    """A headless Chromium."""
    with headless.chromium() as browser:
        yield browser


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what Laurel's processes said beside a test that failed."""
    report = yield
    laurel = getattr(item, "funcargs", {}).get("stack")
    if report.failed and laurel is not None:
        report.sections.append(("Laurel's log", laurel.last_words()))
    return report
