"""Who sees which page, and that everyone can use each: axe finds nothing, light or dark, wide or narrow."""

from __future__ import annotations

import pytest
from browser_world import PASSWORD, PHONE, WIDE, ZOOMED
from django.conf import settings
from playwright.sync_api import expect

TABS = {
    "ada": ["Home", "Rank", "Demonstrate", "Converse", "Chat"],
    "vera": [
        "Loop",
        "Rank",
        "Demonstrate",
        "Converse",
        "Labels",
        "Chat",
        "Jobs",
        "Schedules",
        "Models",
        "Datasets",
        "Project",
    ],
    "rhea": ["Loop", "Labels", "Chat", "Jobs", "Schedules", "Models", "Datasets", "Project"],
    "lea": [
        "Loop",
        "Rank",
        "Demonstrate",
        "Converse",
        "Labels",
        "Chat",
        "Jobs",
        "Schedules",
        "Models",
        "Datasets",
        "Project",
    ],
}


@pytest.mark.parametrize("name", TABS)
def test_everyone_sees_the_pages_of_their_role(sign_in, name):
    page = sign_in(name)
    tabs = page.get_by_role("navigation", name="Pages", exact=True).get_by_role("link")
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


def test_someone_changes_their_password_and_comes_in_with_it(ada):
    ada.locator("summary", has_text="Menu").click()
    ada.get_by_role("link", name="Password").click()
    for label, typed in (
        ("The one you have", "not this one"),
        ("The new one", "nine-otters-in-a-boat"),
        ("The new one, once more", "nine-otters-in-a-goat"),
    ):
        ada.get_by_label(label, exact=True).fill(typed)
    ada.get_by_role("button", name="Change it").click()
    expect(ada.get_by_text("These are two different ones.")).to_be_visible()
    ada.get_by_label("The new one, once more").fill("nine-otters-in-a-boat")
    ada.get_by_role("button", name="Change it").click()
    expect(ada.get_by_text("This is not it.")).to_be_visible()
    ada.get_by_label("The one you have").fill(PASSWORD)
    ada.get_by_role("button", name="Change it").click()
    expect(ada.get_by_text("Your password is changed.")).to_be_visible()
    ada.locator("summary", has_text="Menu").click()
    ada.get_by_role("button", name="Sign out").click()
    ada.get_by_label("User name").fill("ada")
    ada.get_by_label("Password").fill("nine-otters-in-a-boat")
    ada.get_by_role("button", name="Sign in").click()
    expect(ada.get_by_role("heading", name="Password")).to_be_visible()


def test_every_page_answers_the_question_mark(world, lea):
    for address in ("", "/jobs", "/jobs/new", "/schedules", "/models", "/datasets", "/rank"):
        lea.goto(f"/p/bedtime{address}")
        expect(lea.locator("h1, h2").first).to_be_attached()
        lea.wait_for_load_state("networkidle")
        lea.keyboard.press("?")
        expect(lea.get_by_role("dialog", name="Keys of this page")).to_be_visible()


@pytest.fixture
def furnished(world):
    """Something on every page; the addresses of the pages, by what they are for."""
    policy = world.policy()
    world.rank("kite", "boat")
    world.demonstrate("kite", "owl")
    failed = world.failed()
    running = world.training()
    dataset = world.snapshot("rankings").dataset
    disputed = world.judged("lantern")
    return {
        "desk": ["", "/rank", "/demonstrate", "/converse", "/mine"],
        "machine": [
            "/jobs",
            f"/jobs/{running.pk}",
            f"/jobs/{failed.pk}",
            "/schedules",
            "/models",
            f"/models/{policy.pk}",
            "/datasets",
            f"/datasets/{dataset.pk}",
        ],
        "starting": ["/jobs/new?kind=policy.ppo", "/schedules/new"],
        "labels": ["/quality", "/review", f"/review/{disputed.pk}", "/prompts"],
        "project": ["/settings", "/people"],
        "leading": ["/prompts/import", "/deeds", "/nowhere", "/new-project", "/tokens", "/password"],
    }


AXE = (settings.ROOT / "frontend/node_modules/axe-core/axe.min.js").read_text()
FIND = """async (colours) => {
    const all = { rules: { 'target-size': { enabled: true } } };
    const rules = colours ? { runOnly: ['color-contrast', 'link-in-text-block'] } : all;
    const found = await axe.run(document, { resultTypes: ['violations'], ...rules });
    const why = (node) => `${node.target.join(' ')} (${[...node.any, ...node.all].map((each) => each.message)})`;
    return found.violations.map((each) => `${location.pathname}: ${each.id}: ${each.nodes.map(why).join(', ')}`);
}"""


def violations(page):
    """What axe finds on the page, in both themes, and whether it scrolls sideways; in short."""
    page.evaluate(AXE)
    page.emulate_media(color_scheme="light")
    found = page.evaluate(FIND, False)
    page.emulate_media(color_scheme="dark")
    found += [f"dark {each}" for each in page.evaluate(FIND, True)]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"{page.url} scrolls sideways at {page.viewport_size['width']}")
    return found


def settled(page, address):
    """Open an address and wait until nothing loads any more."""
    page.goto(address)
    expect(page.locator("#main")).to_be_visible()
    expect(page.get_by_role("heading", name="Loading", exact=True)).to_have_count(0)
    expect(page.get_by_role("status", name="Loading")).to_have_count(0)


@pytest.mark.parametrize(
    ("name", "screen", "sorts"),
    [
        ("ada", ZOOMED, ["desk"]),
        ("vera", WIDE, ["labels", "project"]),
        ("rhea", PHONE, ["machine", "labels", "project"]),
        ("lea", WIDE, ["desk", "machine", "starting", "labels", "project", "leading"]),
        ("lea", PHONE, ["desk", "machine", "starting", "labels", "project", "leading"]),
    ],
    ids=["annotator at 200 %", "reviewer", "researcher on a phone", "admin", "admin on a phone"],
)
def test_every_page_can_be_used_by_everyone(furnished, sign_in, name, screen, sorts):
    """WCAG 2.2 AA as far as a machine can tell, light and dark, and no page scrolls sideways."""
    page = sign_in(name, screen=screen, reduced_motion="reduce")
    found = []
    for address in [address for sort in sorts for address in furnished[sort]]:
        settled(page, address if address in {"/new-project", "/tokens", "/password"} else f"/p/bedtime{address}")
        found += violations(page)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("screen", [PHONE, WIDE], ids=["phone", "wide"])
def test_so_can_an_annotators_dialogs_and_what_was_submitted(furnished, world, sign_in, screen):
    page = sign_in("ada", screen=screen, reduced_motion="reduce")
    world.guide("Prefer stories that **end**.\n\nNo wolves.")
    settled(page, "/p/bedtime/rank")
    found = []

    def look(*keys):
        for key in keys:
            page.keyboard.press(key)
        found.extend(violations(page))

    expect(page.get_by_role("dialog", name="The guidelines have changed")).to_be_visible()
    look()
    look("Enter")
    for open_it in ("x", "r", "s", "?"):
        look(open_it)
        page.keyboard.press("Escape")
    look("g")
    for key in "ga7b6c5d40":
        page.keyboard.press(key)
    look("Enter")
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    look()
    settled(page, "/p/bedtime/demonstrate")
    page.get_by_role("button", name="Start from a response").click()
    expect(page.get_by_role("dialog").get_by_role("listitem")).to_have_count(4)
    look()
    look("a", "Escape", "p")
    settled(page, "/p/bedtime/converse")
    page.keyboard.type("Hello?")
    look("Alt+Enter")
    settled(page, "/p/bedtime")
    expect(page.get_by_role("region", name="Your two weeks")).to_be_visible()
    look()
    assert not found, "\n".join(found)


def test_pages_by_their_keyboard_begin_with_a_way_past_the_tabs(lea):
    lea.goto("/p/bedtime/jobs")
    expect(lea.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    lea.keyboard.press("Tab")
    expect(lea.get_by_role("link", name="Skip to the page")).to_be_focused()
