"""Who sees which page, and that everyone can use each: axe finds nothing, light or dark, wide or narrow."""

from __future__ import annotations

import pytest
from browser_world import PASSWORD, PHONE, WIDE
from django.conf import settings
from playwright.sync_api import expect

TABS = {
    "ada": ["Home", "Rank", "Demonstrate", "Chat"],
    "vera": ["Loop", "Rank", "Demonstrate", "Chat", "Jobs", "Schedules", "Models", "Datasets"],
    "rhea": ["Loop", "Chat", "Jobs", "Schedules", "Models", "Datasets"],
    "lea": ["Loop", "Rank", "Demonstrate", "Chat", "Jobs", "Schedules", "Models", "Datasets"],
}


@pytest.mark.parametrize("name", TABS)
def test_everyone_sees_the_pages_of_their_role(sign_in, name):
    page = sign_in(name)
    tabs = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(tabs).to_have_text(TABS[name])


def test_a_page_that_is_not_yours_says_so(ada):
    ada.goto("/p/bedtime/jobs")
    expect(ada.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_a_wrong_password_is_refused_in_words_and_the_right_one_leads_where_one_wanted_to_go(
    chromium, live_server, world
):
    context = chromium.new_context(base_url=live_server.url)
    page = context.new_page()
    page.goto("/p/bedtime/models")
    page.get_by_label("User name").fill("lea")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    context.close()


def test_signing_out_ends_the_session(ada):
    ada.locator("summary", has_text="Menu").click()
    ada.get_by_role("button", name="Sign out").click()
    expect(ada.get_by_label("User name")).to_be_visible()
    assert ada.request.get("/api/v1/session").status == 401


def test_every_page_answers_the_question_mark(world, lea):
    for address in ("", "/jobs", "/jobs/new", "/schedules", "/models", "/datasets", "/rank"):
        lea.goto(f"/p/bedtime{address}")
        expect(lea.locator("h1, h2").first).to_be_attached()
        lea.wait_for_load_state("networkidle")
        lea.keyboard.press("?")
        expect(lea.get_by_role("dialog", name="Keys of this page")).to_be_visible()


@pytest.fixture
def furnished(world):
    """Something on every page; the addresses of the pages."""
    policy = world.policy()
    world.rank("kite", "boat")
    world.demonstrate("owl")
    failed = world.failed()
    running = world.training()
    dataset = world.snapshot("rankings").dataset
    return [
        "/p/bedtime",
        "/p/bedtime/rank",
        "/p/bedtime/demonstrate",
        "/p/bedtime/jobs",
        "/p/bedtime/jobs/new?kind=policy.ppo",
        f"/p/bedtime/jobs/{running.pk}",
        f"/p/bedtime/jobs/{failed.pk}",
        "/p/bedtime/schedules",
        "/p/bedtime/schedules/new",
        "/p/bedtime/models",
        f"/p/bedtime/models/{policy.pk}",
        "/p/bedtime/datasets",
        f"/p/bedtime/datasets/{dataset.pk}",
        "/tokens",
        "/p/bedtime/nowhere",
    ]


def violations(page):
    """What axe finds, in short."""
    page.evaluate((settings.ROOT / "frontend/node_modules/axe-core/axe.min.js").read_text())
    return page.evaluate(
        """() => axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations.map(
            each => `${location.pathname}: ${each.id}: ${each.nodes.map(node => node.target.join(' ')).join(', ')}`))"""
    )


def settled(page, address):
    """Open an address and wait until nothing loads any more."""
    page.goto(address)
    expect(page.locator("#main")).to_be_visible()
    expect(page.get_by_role("heading", name="Loading", exact=True)).to_have_count(0)
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(furnished, sign_in, theme):
    lea = sign_in("lea", color_scheme=theme, reduced_motion="reduce")
    found = []
    for address in furnished:
        settled(lea, address)
        found += violations(lea)
    assert found == []


def test_axe_finds_nothing_in_an_annotators_pages_and_dialogs(furnished, sign_in):
    page = sign_in("ada", reduced_motion="reduce")
    settled(page, "/p/bedtime")
    found = violations(page)
    settled(page, "/p/bedtime/rank")
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    for key in ("a", "x", "Escape", "g", "s", "Escape", "?"):
        page.keyboard.press(key)
        found += violations(page)
    assert found == []


@pytest.mark.parametrize("screen", [PHONE, WIDE], ids=["phone", "wide"])
def test_no_page_scrolls_sideways(furnished, sign_in, screen):
    lea = sign_in("lea", screen=screen)
    for address in furnished:
        settled(lea, address)
        assert lea.evaluate("document.documentElement.scrollWidth") <= screen["width"], address


def test_pages_by_their_keyboard_begin_with_a_way_past_the_tabs(lea):
    lea.goto("/p/bedtime/jobs")
    expect(lea.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    lea.keyboard.press("Tab")
    expect(lea.get_by_role("link", name="Skip to the page")).to_be_focused()
