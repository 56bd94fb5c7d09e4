"""What else Ada meets: guidelines that change, her own page, and texts that run from right to left."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from browser_world import STORIES, comes_to, until
from django.utils.timezone import now
from playwright.sync_api import expect

from labeling import demonstrations, leading, prompts, queue, rankings, review
from labeling.models import Demonstration, GuidelinesAcknowledgement, Response, Task
from training.models import User
from training.records import Placement

ARABIC = "احكِ لي قصة عن طائرة ورقية."
HEBREW = "עפיפון אדום עף מעל הפרדס."
STORY = [story.format("kite")[:16] for story in STORIES]  # enough to tell them apart


def test_a_change_of_the_guidelines_is_shown_once_and_acknowledged(world, ada):
    world.demonstrate("kite", "boat")
    ada.goto("/p/bedtime/demonstrate")
    field = ada.get_by_role("textbox", name="Your response")
    expect(field).to_be_focused()
    world.guide("Prefer stories that **end**.\n\nNo *wolves*.")
    field.fill("A kite came home.")
    ada.reload()
    dialog = ada.get_by_role("dialog", name="The guidelines have changed")
    expect(dialog.locator("[data-fate='added']")).to_have_text("NewNo wolves.")
    expect(dialog.get_by_role("button", name="I have read them")).to_be_focused()
    ada.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    field.press("Control+Enter")
    until(ada, "projects/bedtime/progress", "it.today.demonstrations === 1")
    assert Demonstration.objects.get().guidelines_version == 2
    comes_to(GuidelinesAcknowledgement.objects.filter(annotator__username="ada").count, 2)
    ada.reload()
    expect(field).to_be_focused()
    expect(dialog).to_have_count(0)
    ada.get_by_role("button", name="Guidelines").click()
    expect(ada.get_by_role("complementary", name="Guidelines").locator("em")).to_have_text("wolves")


def test_guidelines_stand_before_a_first_task_and_who_does_not_read_them_does_not_work(world, sign_in):
    world.rank("kite")
    GuidelinesAcknowledgement.objects.all().delete()
    page = sign_in("ada")
    page.goto("/p/bedtime/rank")
    dialog = page.get_by_role("dialog", name="Guidelines")
    expect(dialog.locator("strong")).to_have_text("end")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Bedtime stories")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Rank").click()
    dialog.get_by_role("button", name="I have read them").click()
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    expect(dialog).to_have_count(0)


@pytest.fixture
def busy_fortnight(world):
    """Ada wrote three demonstrations today and one four days ago."""
    ada = User.objects.get(username="ada")
    world.demonstrate("kite", "boat", "owl", "shoe")
    for seconds, age in ((60, 0), (120, 0), (30, 0), (300, 4)):
        lease = queue.lease_next(annotator=ada, slug="bedtime", kind="demonstration").lease
        said, _ = demonstrations.submit(annotator=ada, lease_id=lease.pk, text="Home.", seconds_spent=seconds)
        Demonstration.objects.filter(pk=said.pk).update(created_at=now() - timedelta(days=age))


def test_her_own_page_tells_her_day_her_week_and_her_pace(busy_fortnight, ada):
    ada.goto("/p/bedtime")
    card = ada.get_by_role("region", name="Your two weeks")
    expect(card.get_by_role("definition").first).to_have_text("3 0 ranked · 3 written · 1 min each")
    counts = card.get_by_role("list", name="Tasks submitted a day").get_by_role("listitem")
    expect(counts).to_have_count(14)
    expect(counts.nth(13)).to_have_attribute("title", re.compile(": 3$"))
    expect(counts.nth(9)).to_have_attribute("title", re.compile(": 1$"))


def runs(locator, direction):
    expect(locator.first).to_have_css("direction", direction)


def test_text_that_runs_from_right_to_left_does_so_wherever_it_stands(world, ada):
    [prompt] = prompts.add_all(
        project=world.project, wanted=[prompts.NewPrompt(messages=[{"role": "user", "content": ARABIC}])]
    )
    task = Task.objects.create(project=world.project, kind="ranking", prompt=prompt)
    queue.link([(task, [Response.objects.create(prompt=prompt, text=text) for text in (HEBREW, "A red kite.")])])
    ada.goto("/p/bedtime/rank")
    right = ada.locator("[data-response]", has_text=HEBREW)
    left = ada.locator("[data-response]", has_text="A red kite.")
    runs(right.get_by_text(HEBREW), "rtl")
    runs(left.get_by_text("A red kite."), "ltr")
    runs(right.locator("kbd"), "ltr")
    runs(ada.get_by_text(ARABIC), "rtl")
    ada.keyboard.press("x")
    note = ada.get_by_label("Note")
    note.fill(HEBREW)
    runs(note, "rtl")
    ada.keyboard.press("Escape")
    for key in "a6b4":
        ada.keyboard.press(key)
    ada.keyboard.press("Enter")
    until(ada, "projects/bedtime/progress", "it.today.rankings === 1")
    ada.goto("/p/bedtime")
    runs(ada.get_by_role("link", name=ARABIC), "rtl")
    ada.goto("/p/bedtime/converse")
    turn = ada.get_by_role("textbox", name="User, turn 1")
    turn.fill(ARABIC)
    runs(turn, "rtl")


def known_answer(world, thing):
    """A first task whose answer is known: the stories in the order in which they are written."""
    [origin] = world.rank(thing)
    vera = User.objects.get(username="vera")
    lease = queue.lease_next(annotator=vera, slug="bedtime", kind="ranking").lease
    order = [str(each.pk) for each in sorted(origin.responses.all(), key=lambda each: STORY.index(each.text[:16]))]
    placements = [Placement(response=each, rank=rank, rating=8 - rank) for rank, each in enumerate(order, start=1)]
    rankings.submit(annotator=vera, lease_id=lease.pk, placements=placements)
    ranks = {each: rank for rank, each in enumerate(order, start=1)}
    review.make_known(task=origin, by=User.objects.get(username="lea"), ranks=ranks, purpose="qualification")


@pytest.mark.parametrize("knows", [True, False], ids=["who knows them", "who does not"])
def test_a_project_may_begin_with_first_tasks_whose_answers_are_known(world, ada, knows):
    known_answer(world, "kite")
    world.rank("boat")
    world.demonstrate("boat")
    lea = User.objects.get(username="lea")
    leading.change_settings(project=world.project, by=lea, qualification_tasks=1)
    ada.goto("/p/bedtime/demonstrate")
    expect(ada.get_by_role("heading", name="First tasks first")).to_be_visible()
    ada.get_by_role("link", name="Rank them").click()
    expect(ada.get_by_text("First tasks: 0 of 1 done")).to_be_visible()
    for story, rating in zip(STORY, "7654" if knows else "4567", strict=True):
        card = ada.locator("[data-response]", has_text=story)
        ada.keyboard.press(card.locator("kbd").first.inner_text().lower())
        ada.keyboard.press(rating)
    ada.keyboard.press("Enter")
    if knows:
        expect(ada.locator("[data-response]", has_text="A red boat")).to_be_visible()
        expect(ada.get_by_text("First tasks")).to_have_count(0)
    else:
        expect(ada.get_by_role("heading", name="Not yet")).to_be_visible()


def test_what_a_reviewer_returned_stands_on_her_page_until_she_changed_it(busy_fortnight, world, ada):
    word = Demonstration.objects.order_by("pk").first()
    review.send_back(word=word, by=User.objects.get(username="vera"), comment="Where does it end?")
    ada.goto("/p/bedtime")
    returned = ada.get_by_role("region", name="Returned to you")
    expect(returned).to_contain_text("Where does it end?")
    returned.get_by_role("link").click()
    expect(ada.get_by_role("region", name="What you submitted")).to_contain_text("Vera returned it")
    ada.get_by_role("textbox", name="Your response").fill("Home, and to bed.")
    ada.get_by_role("button", name="Submit the change").click()
    expect(ada.get_by_text("What you said before is kept.")).to_be_visible()
    ada.goto("/p/bedtime")
    expect(ada.get_by_role("region", name="Your two weeks")).to_be_visible()
    expect(returned).to_have_count(0)
