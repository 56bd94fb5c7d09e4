"""Ada writes ideal responses."""

from __future__ import annotations

from browser_world import until
from playwright.sync_api import expect

from labeling.models import Demonstration

TEXT = "Once there was a **brave** snail.\n\nIt slept."


def test_a_demonstration_is_written_previewed_and_submitted_from_the_keyboard(world, ada):
    world.demonstrate("kite", "boat")
    ada.goto("/p/bedtime/demonstrate")
    field = ada.get_by_role("textbox", name="Your response")
    expect(field).to_be_focused()
    field.press_sequentially(TEXT)
    expect(ada.get_by_text("8 words")).to_be_visible()
    ada.get_by_role("button", name="Preview").click()
    expect(ada.get_by_label("Preview").locator("strong")).to_have_text("brave")
    field.press("Control+Enter")
    expect(field).to_have_value("")
    until(ada, "projects/bedtime/progress", "it.today.demonstrations === 1")
    assert Demonstration.objects.get().text == TEXT


def test_an_unfinished_demonstration_is_there_after_a_reload(world, ada):
    world.demonstrate("kite")
    ada.goto("/p/bedtime/demonstrate")
    ada.get_by_role("textbox", name="Your response").press_sequentially("Half a st")
    expect(ada.get_by_text("Saved ")).to_be_visible()
    ada.reload()
    expect(ada.get_by_role("textbox", name="Your response")).to_have_value("Half a st")


def test_an_empty_demonstration_is_refused(world, ada):
    world.demonstrate("kite")
    ada.goto("/p/bedtime/demonstrate")
    ada.get_by_role("textbox", name="Your response").press("Control+Enter")
    expect(ada.get_by_role("alert")).to_have_text("Write something first.")


def test_nothing_in_a_response_runs_or_loads(world, ada):
    world.demonstrate("kite")
    asked = []
    ada.on("request", lambda request: asked.append(request.url))
    ada.goto("/p/bedtime/demonstrate")
    ada.get_by_role("textbox", name="Your response").fill(
        "<img src=x onerror=alert(1)> ![a](http://127.0.0.1:9/a.png) [go](http://127.0.0.1:9/)"
    )
    ada.get_by_role("button", name="Preview").click()
    preview = ada.get_by_label("Preview")
    expect(preview.get_by_text("[image: a]")).to_be_visible()
    expect(preview.locator("img, a, script")).to_have_count(0)
    assert not [url for url in asked if "127.0.0.1:9/" in url]
