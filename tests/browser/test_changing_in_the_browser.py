"""Ada goes back to what she submitted, and changes it; what she said before stays (law Q6)."""

from __future__ import annotations

import re

import pytest
from browser_world import PHONE, comes_to, until
from playwright.sync_api import expect

from labeling.models import Demonstration, Judgement


def rank(page, keys):
    """Rank the task on the screen by keys, and wait until the server has it."""
    count = Judgement.objects.filter(supersedes=None).count()
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    until(page, "projects/bedtime/progress", f"it.today.rankings === {count + 1}")


def letters(page):
    return [card.get_attribute("aria-label").split()[1][0] for card in page.locator("[data-response]").all()]


@pytest.fixture
def after_two(world, ada):
    """Ada has ranked two of three tasks."""
    world.rank("kite", "boat", "owl")
    ada.goto("/p/bedtime/rank")
    rank(ada, "a7b6c5d4")
    rank(ada, "a1b2c3d4")
    return ada


@pytest.mark.law("Q6")
def test_backspace_opens_what_was_submitted_and_the_change_supersedes_it(after_two):
    page = after_two
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    comes_to(lambda: letters(page), ["D", "C", "B", "A"])
    page.keyboard.press("a")
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("What you said before is kept.")).to_be_visible()
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    first, second = Judgement.objects.filter(
        lease=Judgement.objects.get(is_current=True, supersedes__isnull=False).lease
    )
    assert (first.is_current, second.is_current, second.supersedes) == (False, True, first)
    assert sorted(first.placements.values_list("rating", flat=True)) == [1, 2, 3, 4]
    assert sorted(second.placements.values_list("rating", flat=True)) == [2, 3, 4, 7]
    page.keyboard.press("Backspace")
    page.get_by_role("button", name="Show what you said before").click()
    expect(page.get_by_label("What you submitted").get_by_role("listitem")).to_have_text(
        re.compile("D 4 . C 3 . B 2 . A 1")
    )


def test_backspace_again_goes_further_back_and_escape_returns_to_the_desk(after_two):
    page = after_two
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    last = page.url
    page.keyboard.press("Backspace")
    page.wait_for_url(lambda url: url != last)
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    comes_to(lambda: letters(page), ["A", "B", "C", "D"])
    page.keyboard.press("Escape")
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    assert Judgement.objects.count() == 2


def test_a_change_that_is_left_can_be_taken_up_again(after_two):
    page = after_two
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("7")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Undo").last.click()
    expect(page.get_by_text("All placed")).to_be_visible()
    comes_to(lambda: letters(page)[0], "A")


def test_the_history_finds_a_demonstration_by_its_words_and_opens_it_for_a_change(world, sign_in):
    world.demonstrate("kite", "boat")
    page = sign_in("ada", screen=PHONE)
    for number, text in enumerate(("A lighthouse blinked.", "Mina found it."), start=1):
        page.goto("/p/bedtime/demonstrate")
        page.get_by_role("textbox", name="Your response").fill(text)
        page.get_by_role("button", name="Submit").click()
        until(page, "projects/bedtime/progress", f"it.today.demonstrations === {number}")
    page.goto("/p/bedtime")
    rows = page.get_by_role("group", name="What you did").get_by_role("link")
    expect(rows).to_have_count(2)
    page.get_by_label("Look for words").fill("lighthouse")
    expect(rows).to_have_count(1)
    rows.click()
    field = page.get_by_role("textbox", name="Your response")
    expect(field).to_have_value("A lighthouse blinked.")
    field.fill("A lighthouse blinked twice.")
    page.get_by_role("button", name="Submit the change").click()
    expect(page.get_by_text("What you said before is kept.")).to_be_visible()
    texts = Demonstration.objects.filter(text__startswith="A light").order_by("pk").values_list("text", "is_current")
    assert list(texts) == [("A lighthouse blinked.", False), ("A lighthouse blinked twice.", True)]


def test_a_change_made_offline_is_kept_on_the_device_and_sent_once(after_two):
    page = after_two
    page.keyboard.press("Backspace")
    expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("7")
    expect(page.get_by_text("Saved ")).to_be_visible()
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.get_by_text("your change is kept on this device")).to_be_visible()
    assert Judgement.objects.count() == 2
    page.context.set_offline(False)
    until(page, "projects/bedtime/history", "it.results.some(row => row.changed_at)")
    assert Judgement.objects.count() == 3
