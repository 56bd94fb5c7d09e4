"""Ada writes ideal responses."""

from __future__ import annotations

from browser_world import until
from playwright.sync_api import expect

from labeling import prompts, queue
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


def test_a_demonstration_starts_from_a_response_and_says_so(world, ada):
    [task] = world.rank("kite")
    world.demonstrate("kite")
    ada.goto("/p/bedtime/demonstrate")
    ada.get_by_role("button", name="Start from a response").click()
    dialog = ada.get_by_role("dialog", name="Start from a response")
    expect(dialog.get_by_role("listitem")).to_have_count(4)
    ada.keyboard.press("b")
    field = ada.get_by_role("textbox", name="Your response")
    expect(field).to_be_focused()
    expect(ada.get_by_text("Started from response B.")).to_be_visible()
    begun = field.input_value()
    field.press("End")
    field.press_sequentially(" The end.")
    expect(ada.get_by_text("Saved ")).to_be_visible()
    ada.reload()
    expect(ada.get_by_text("Started from response B.")).to_be_visible()
    ada.get_by_role("textbox", name="Your response").press("Control+Enter")
    until(ada, "projects/bedtime/progress", "it.today.demonstrations === 1")
    written = Demonstration.objects.get()
    assert (written.text, written.started_from.text) == (f"{begun} The end.", begun)
    assert written.started_from in task.responses.all()
    assert len(written.lease.shown) == 4


def test_what_started_afresh_started_from_nothing(world, ada):
    world.rank("kite")
    world.demonstrate("kite")
    ada.goto("/p/bedtime/demonstrate")
    for undone in (False, True):
        ada.get_by_role("button", name="Start from a response").click()
        ada.get_by_role("button", name="Start from A", exact=True).click()
        ada.get_by_role("button", name="Start afresh").click()
        expect(ada.get_by_text("Started from response")).to_have_count(0)
        if undone:
            ada.get_by_role("button", name="Undo").last.click()
            expect(ada.get_by_text("Started from response A.")).to_be_visible()
            ada.get_by_role("button", name="Start afresh").click()
    ada.get_by_role("textbox", name="Your response").fill("My own words.")
    ada.keyboard.press("Control+Enter")
    until(ada, "projects/bedtime/progress", "it.today.demonstrations === 1")
    assert Demonstration.objects.get().started_from is None


def test_a_conversation_of_many_turns_stands_above_the_response(world, ada):
    said = [
        ("user", "Who are you?"),
        ("assistant", "An **owl**."),
        ("user", "Say more."),
        ("assistant", "Hoo."),
        ("user", "?"),
    ]
    messages = [{"role": role, "content": content} for role, content in said]
    [prompt] = prompts.add_all(project=world.project, wanted=[prompts.NewPrompt(messages=messages)])
    queue.ask_for_demonstrations(project=world.project, wanted=[prompt])
    ada.goto("/p/bedtime/demonstrate")
    turns = ada.get_by_role("region", name="Prompt").locator("[data-role]")
    expect(turns).to_have_text(["UserWho are you?", "AssistantAn owl.", "UserSay more.", "AssistantHoo.", "User?"])
