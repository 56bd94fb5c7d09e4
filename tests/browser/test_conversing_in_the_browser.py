"""Ada plays both sides of a conversation, and it becomes a demonstration."""

from __future__ import annotations

import pytest
from browser_world import PHONE, comes_to, until
from playwright.sync_api import expect

from labeling.models import Conversation, Demonstration

ADDRESS = "/p/bedtime/converse"


@pytest.fixture
def at_the_sheet(ada):
    ada.goto(ADDRESS)
    expect(turn(ada, "User, turn 1")).to_be_focused()
    return ada


def turn(page, name):
    return page.get_by_role("textbox", name=name)


def said():
    return [[*(each["content"] for each in one.prompt.messages), one.text] for one in Demonstration.objects.all()]


def test_a_conversation_is_made_by_keyboard_alone_and_stored_as_a_demonstration(at_the_sheet):
    page = at_the_sheet
    page.keyboard.type("Tell me of a kite.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_have_text("The assistant has the last word: write its ideal reply.")
    page.keyboard.press("Alt+Enter")
    expect(turn(page, "Ideal assistant, turn 1")).to_be_focused()
    page.keyboard.type("It flew over the **orchard**.")
    page.keyboard.press("Alt+Enter")
    expect(turn(page, "User, turn 2")).to_be_focused()
    page.keyboard.type("And then?")
    page.keyboard.press("Alt+Enter")
    expect(turn(page, "Ideal assistant, turn 2")).to_be_focused()
    page.keyboard.type("It came home.")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.locator("#main strong")).to_have_text("orchard")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Submitted as a demonstration.")).to_be_visible()
    comes_to(said, [["Tell me of a kite.", "It flew over the **orchard**.", "And then?", "It came home."]])
    expect(turn(page, "User, turn 1")).to_have_value("")
    page.goto("/p/bedtime")
    page.get_by_role("link", name="And then?").click()
    expect(page.get_by_role("textbox", name="Your response")).to_have_value("It came home.")


def test_half_a_conversation_is_there_on_another_machine_and_a_turn_can_be_taken_back(at_the_sheet, sign_in):
    at_the_sheet.keyboard.type("Hello?")
    at_the_sheet.keyboard.press("Alt+Enter")
    expect(turn(at_the_sheet, "Ideal assistant, turn 1")).to_be_focused()
    at_the_sheet.keyboard.type("Good eve")
    expect(at_the_sheet.get_by_text("Saved ")).to_be_visible()
    page = sign_in("ada", screen=PHONE, has_touch=True, is_mobile=True)
    page.goto(ADDRESS)
    expect(turn(page, "Ideal assistant, turn 1")).to_have_value("Good eve")
    page.get_by_role("button", name="Take the last turn back").tap()
    expect(turn(page, "Ideal assistant, turn 1")).to_have_count(0)
    page.get_by_role("button", name="Undo").tap()
    expect(turn(page, "Ideal assistant, turn 1")).to_have_value("Good eve")
    page.get_by_role("button", name="Throw away").tap()
    expect(turn(page, "User, turn 1")).to_have_value("")
    page.get_by_role("button", name="Undo").last.tap()
    expect(turn(page, "User, turn 1")).to_have_value("Hello?")
    assert Conversation.objects.count() == 1


def test_a_conversation_finished_offline_is_kept_on_the_device_and_sent_once(at_the_sheet):
    page = at_the_sheet
    page.context.set_offline(True)
    page.keyboard.type("Hello?")
    page.keyboard.press("Alt+Enter")
    expect(turn(page, "Ideal assistant, turn 1")).to_be_focused()
    page.keyboard.type("Good evening.")
    expect(page.get_by_text("Offline, kept on this device").first).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("your conversation is kept on this device")).to_be_visible()
    assert not Demonstration.objects.exists()
    page.context.set_offline(False)
    until(page, "projects/bedtime/progress", "it.today.demonstrations === 1")
    comes_to(said, [["Hello?", "Good evening."]])
