"""Lea leads: a project from nothing, its people, its prompts; Vera reviews; and Ada gets back what was returned."""

from __future__ import annotations

import json

import pytest
from browser_world import PHONE, WIDE, until
from playwright.sync_api import expect

from labeling.models import Guidelines, Judgement, LabelingSettings, Prompt, Settlement, Task
from training.models import Deed, Membership, Project, User

NEW_PASSWORD = "a lantern by the river"


def test_a_project_is_created_and_says_how_it_labels(lea):
    lea.goto("/p/bedtime")
    lea.locator("summary", has_text="Menu").click()
    lea.get_by_role("link", name="New project").click()
    lea.get_by_label("Name", exact=True).fill("Letters home")
    lea.get_by_label("Short name").fill("bedtime")
    lea.get_by_role("button", name="Create the project").click()
    expect(lea.get_by_label("Short name")).to_have_attribute("aria-invalid", "true")
    lea.get_by_label("Short name").fill("letters")
    lea.get_by_role("button", name="Create the project").click()
    expect(lea.get_by_role("heading", name="Settings")).to_be_visible()

    lea.get_by_label("Annotators a task").fill("3")
    lea.get_by_label("Ask one more annotator when the first two disagree").check()
    lea.get_by_label("First tasks before real work").fill("4")
    lea.get_by_role("button", name="Save", exact=False).first.click()
    expect(lea.get_by_label("First tasks before real work")).to_have_attribute("aria-invalid", "true")
    lea.get_by_label("First tasks before real work").fill("0")
    lea.get_by_label("Another flag of a response").fill("Too long")
    lea.get_by_label("Another flag of a response").press("Enter")
    lea.keyboard.press("Escape")
    lea.get_by_role("button", name="Save", exact=False).first.click()
    expect(lea.get_by_text("Saved. It holds from the next task on.")).to_be_visible()
    kept = LabelingSettings.objects.get(project__slug="letters")
    assert (kept.overlap, kept.extra_below, kept.label_set["response_flags"][-1]["key"]) == (3, 67, "too_long")

    lea.get_by_label("Text, in Markdown").fill("Be **brief**.")
    expect(lea.get_by_label("Preview").locator("strong")).to_have_text("brief")
    lea.get_by_role("button", name="Publish version 1").click()
    expect(lea.get_by_text("version 1", exact=True)).to_be_visible()
    assert Guidelines.objects.get(project__slug="letters").text == "Be **brief**."
    assert Project.objects.get(slug="letters").memberships.get().user.username == "lea"


def test_a_person_is_invited_by_link_and_joins_with_an_account_of_their_own(lea, chromium, live_server):
    lea.goto("/p/bedtime/people")
    lea.get_by_label("As", exact=True).select_option("reviewer")
    lea.get_by_label("For whom (only for you)").fill("Nora from the library")
    lea.get_by_role("button", name="Make a link").click()
    link = lea.locator("pre", has_text="/join/").inner_text()
    nora = chromium.new_context(base_url=live_server.url, viewport=PHONE).new_page()
    nora.goto(link)
    expect(nora.get_by_text("Lea invites you as reviewer")).to_be_visible()
    nora.get_by_label("User name").fill("nora")
    nora.get_by_label("Your name").fill("Nora")
    nora.get_by_label("Password").fill("12345678")
    nora.get_by_role("button", name="Make the account and join").click()
    expect(nora.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    nora.get_by_label("Password").fill(NEW_PASSWORD)
    nora.get_by_role("button", name="Make the account and join").click()
    expect(nora.get_by_role("heading", name="Round 1")).to_be_visible()
    assert Membership.objects.get(user__username="nora").role == "reviewer"
    nora.goto(link)
    expect(nora.get_by_text("was used already")).to_be_visible()
    nora.context.close()


def test_a_role_changes_and_a_deactivation_is_undone(world, lea):
    lea.goto("/p/bedtime/people")
    lea.get_by_label("Role of Ada").select_option("reviewer")
    expect(lea.get_by_text("Ada is reviewer now.")).to_be_visible()
    lea.get_by_role("button", name="Deactivate Ada").click()
    expect(lea.get_by_text("deactivated", exact=False).first).to_be_visible()
    lea.get_by_role("button", name="Undo").last.click()
    until(lea, "projects/bedtime/members?q=ada", "it.results[0].deactivated_at === null")
    assert Membership.objects.get(user__username="ada").role == "reviewer"
    lea.goto("/p/bedtime/deeds")
    lea.get_by_label("What").select_option("person.deactivated")
    rows = lea.get_by_role("group", name="Deeds, newest first").get_by_role("row")
    expect(rows).to_have_count(2)  # the head, and the one deed
    expect(rows.last).to_contain_text("Lea deactivated Ada")


def test_a_person_is_erased_once_their_name_is_written_out(world, lea):
    world.judged("owl")
    lea.goto("/p/bedtime/people")
    lea.get_by_role("button", name="Erase the data of Ada").click()
    dialog = lea.get_by_role("dialog", name="Erase Ada?")
    go = dialog.get_by_role("button", name="Erase Ada for good")
    expect(go).to_be_disabled()
    dialog.get_by_label("To confirm").fill("ada")
    go.click()
    expect(lea.get_by_role("dialog", name="Ada is erased")).to_be_visible()
    person = User.objects.get(username__startswith="erased-")
    assert Judgement.objects.filter(annotator=person).count() == 1
    assert not person.is_active


@pytest.fixture
def file(tmp_path):
    """Write records as JSON lines; text goes in as it is."""

    def write(*records):
        path = tmp_path / "prompts.jsonl"
        path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
        return path

    return write


def test_a_file_comes_in_by_the_page_bad_lines_are_named_and_prompts_are_looked_after(lea, file):
    lea.goto("/p/bedtime/prompts")
    lea.get_by_role("link", name="Bring a file in").first.click()
    lea.get_by_label("File", exact=True).set_input_files(
        file({"prompt": "A lost kite?", "tags": ["kites"]}, "{broken", {"prompt": "A lost boat?"})
    )
    lea.get_by_role("button", name="Bring it in").click()
    expect(lea.get_by_text("One line is bad; nothing was brought in.")).to_be_visible()
    expect(lea.get_by_role("group", name="Bad lines").get_by_role("row").last).to_contain_text("2")
    assert not Prompt.objects.exists()
    lea.get_by_label("Skip bad lines").check()
    lea.get_by_role("button", name="Bring it in").click()
    expect(lea.get_by_role("heading", name="What came in")).to_be_visible()
    assert Prompt.objects.count() == 2

    lea.get_by_role("link", name="Look at the prompts").click()
    lea.get_by_label("Words").fill("kite")
    rows = lea.get_by_role("group", name="Prompts, newest first").get_by_role("checkbox")
    expect(rows).to_have_count(1)
    rows.check()
    lea.get_by_label("Tag", exact=True).last.fill("spring")
    lea.get_by_role("button", name="Tag", exact=True).click()
    expect(lea.get_by_title("Show what is tagged spring")).to_be_visible()
    rows.check()
    lea.get_by_role("button", name="Retire").click()
    expect(lea.get_by_text("1 prompt retired", exact=False)).to_be_visible()
    lea.get_by_role("button", name="Undo").last.click()
    until(lea, "projects/bedtime/prompts?q=kite", "it.results[0].retired_at === null")
    kite = Prompt.objects.get(tags__0="kites")
    assert kite.tags == ["kites", "spring"]
    assert Deed.objects.filter(did="prompts.changed").count() == 3


@pytest.mark.law("Q1")
def test_a_word_is_returned_changed_accepted_and_the_task_settled(world, sign_in):
    task = world.judged("kite", by=("ada", "lea"))
    vera = sign_in("vera")
    vera.goto("/p/bedtime/quality")
    expect(vera.get_by_label("Agreement", exact=True)).to_contain_text("0 %")
    vera.get_by_role("link", name="Tell me a short story about a lost kite.").click()
    expect(vera.get_by_text("agree on 0 % of the pairs")).to_be_visible()
    expect(vera.get_by_text("A = B = C = D").first).to_be_visible()  # opposite words cancel out
    vera.get_by_role("button", name="Return… to Ada").click()
    vera.get_by_label("What should be looked at again?").fill("The fourth one has no end.")
    vera.get_by_role("button", name="Return it").click()
    expect(vera.get_by_label("What annotators said").get_by_text("returned", exact=True)).to_be_visible()

    ada = sign_in("ada", screen=PHONE)
    ada.goto("/p/bedtime")
    returned = ada.get_by_role("region", name="Returned to you")
    expect(returned).to_contain_text("The fourth one has no end.")
    returned.get_by_role("link").click()
    expect(ada.get_by_role("region", name="What you submitted")).to_contain_text("Vera returned it")
    for key in "a7b1":
        ada.keyboard.press(key)
    ada.keyboard.press("Enter")
    expect(ada.get_by_text("What you said before is kept.")).to_be_visible()
    ada.goto("/p/bedtime")
    expect(ada.get_by_role("heading", name="Rank")).to_be_visible()
    expect(returned).to_have_count(0)

    vera.reload()
    expect(vera.get_by_text("changed once")).to_be_visible()
    vera.get_by_role("button", name="Accept the word of Ada").click()
    expect(vera.get_by_label("What annotators said").get_by_text("accepted", exact=True)).to_be_visible()
    vera.get_by_role("button", name="Use this order, the order of Ada, to begin the last word").click()
    vera.get_by_label("Why (kept with it)").fill("She is right.")
    vera.get_by_role("button", name="Settle").click()
    expect(vera.get_by_text("settled by Vera")).to_be_visible()
    word = Judgement.objects.get(annotator__username="ada", is_current=True)
    said = {str(placed.response_id): placed.rank for placed in word.placements.all()}
    assert Settlement.objects.get(task=task).ranks == said
    task.refresh_from_db()
    assert (task.seats, task.served, task.seats_left, task.state) == (2, 2, 0, "retired")
    assert list(Deed.objects.order_by("pk").values_list("did", flat=True)) == [
        "word.returned",
        "word.accepted",
        "task.settled",
    ]


def test_a_judged_task_becomes_gold(world, sign_in):
    task = world.judged("owl", by=("ada", "lea"))
    vera = sign_in("vera")
    vera.goto(f"/p/bedtime/review/{task.pk}")
    vera.get_by_role("button", name="Use this order, the order of Ada, to begin the last word").click()
    vera.get_by_role("button", name="Make it gold").click()
    expect(vera.get_by_text("Its answer is known in")).to_be_visible()
    gold = Task.objects.get(purpose="gold")
    assert gold.known_answer.origin == task
    vera.get_by_role("link", name=f"task {gold.pk}").click()
    expect(vera.get_by_text("The known answer is")).to_be_visible()


@pytest.mark.parametrize("screen", [PHONE, WIDE], ids=["phone", "wide"])
def test_every_picture_of_the_quality_page_has_its_table(world, sign_in, screen):
    world.judged("kite", by=("ada", "lea"))
    page = sign_in("vera", screen=screen)
    page.goto("/p/bedtime/quality")
    expect(page.get_by_role("img", name="Ada agrees with the others on 0 %")).to_be_visible()
    for name in ("Annotators", "Position on the screen", "Ratings over time", "Who agrees with whom"):
        page.get_by_role("button", name=f"Table of {name}").click()
        expect(page.get_by_label(name, exact=True).get_by_role("table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["width"]


def test_a_project_without_judgements_says_what_will_be_here(lea):
    for address, words in (
        ("quality", "Nothing to measure yet"),
        ("review", "None here"),
        ("prompts", "No prompts yet"),
        ("deeds", "Nothing was decided yet"),
    ):
        lea.goto(f"/p/bedtime/{address}")
        expect(lea.get_by_role("heading", name=words)).to_be_visible()
