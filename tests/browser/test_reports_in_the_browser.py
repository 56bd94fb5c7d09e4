"""What annotators report reaches those who review; and what an annotator hears between two tasks."""

from __future__ import annotations

from browser_world import PHONE, comes_to, until
from playwright.sync_api import expect

from labeling import reports
from labeling.models import Lease, Prompt, Report, Task
from training.models import User


def test_a_report_is_read_on_the_review_page_and_its_prompt_retired(world, sign_in):
    world.rank("kite")
    ada = sign_in("ada")
    ada.goto("/p/bedtime/rank")
    expect(ada.get_by_text("4 responses to place")).to_be_visible()
    ada.keyboard.press("r")
    ada.get_by_label("Another reason").fill("הסוף חסר")
    ada.get_by_role("button", name="Report", exact=True).last.click()
    expect(ada.get_by_text("Reported. You can still finish the task")).to_be_visible()

    vera = sign_in("vera", screen=PHONE)
    vera.goto("/p/bedtime/review")
    reported = vera.get_by_role("region", name="Reported prompts")
    expect(reported).to_contain_text("Ada")
    expect(reported.get_by_text("הסוף חסר")).to_have_css("direction", "rtl")
    assert vera.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    vera.get_by_role("button", name="Retire the prompt").click()
    expect(vera.get_by_text("The prompt is retired", exact=False)).to_be_visible()
    expect(reported).to_have_count(0)
    until(vera, "projects/bedtime/reports?settled=true", "it.results[0]?.settled_by === 'Vera'")
    assert Prompt.objects.get().retired_at is not None
    assert Task.objects.get().state == "retired"
    vera.get_by_role("button", name="Undo").click()
    expect(reported).to_contain_text("Ada")
    assert Prompt.objects.get().retired_at is None
    comes_to(lambda: Task.objects.get().state, "open")


def test_a_report_that_was_looked_at_leaves_the_page_and_a_researcher_sees_none(world, sign_in):
    world.judged("boat")
    lease = Lease.objects.get(annotator__username="ada")
    reports.report(annotator=User.objects.get(username="ada"), lease_id=lease.pk, reason="broken")
    rhea = sign_in("rhea")
    rhea.goto("/p/bedtime/review")
    expect(rhea.get_by_role("link", name="Tell me a short story about a lost boat.")).to_be_visible()
    expect(rhea.get_by_role("region", name="Reported prompts")).to_have_count(0)
    vera = sign_in("vera")
    vera.goto("/p/bedtime/review")
    reported = vera.get_by_role("region", name="Reported prompts")
    expect(reported).to_contain_text("It is broken or cannot be read")
    reported.get_by_role("button", name="I have looked at it").click()
    expect(reported).to_have_count(0)
    assert Report.objects.get().settled_by.username == "vera"


def test_after_a_submission_the_next_task_is_told_and_begins_at_its_top(world, sign_in):
    world.rank("kite", "boat")
    page = sign_in("ada", screen=PHONE)
    page.goto("/p/bedtime/rank")
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    until(page, "projects/bedtime/leases?kind=ranking", "it.length === 2")
    for key in "a7b6c5d4":
        page.keyboard.press(key)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Submitted. The next task is here.")).to_have_count(1)
    expect(page.locator("#main")).to_be_focused()
    comes_to(lambda: page.evaluate("scrollY"), 0)
    for key in "a7b6c5d4":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Submitted. No task is open.")).to_have_count(1)
