"""One headless Chromium for the tests that look at pages."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from django.conf import settings
from playwright.sync_api import sync_playwright

from config import environment

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(reason):
    """Skip on a laptop, fail where CI=true."""
    if environment.flag("CI", default=False):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def chromium():
    """A browser for as long as it is needed, over a front end that is built."""
    if not settings.FRONT_END.joinpath("index.html").exists():
        unavailable("the front end is not built: make build")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        unavailable(f"none of {', '.join(PROGRAMS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()
