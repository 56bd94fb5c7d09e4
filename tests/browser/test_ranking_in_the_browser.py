"""Ada ranks: by keys, by mouse, by touch, and while her network comes and goes."""

from __future__ import annotations

import time

import pytest
from browser_world import PHONE, STORIES, comes_to, stands_still, until
from django.utils.timezone import now
from playwright.sync_api import expect

from labeling import queue
from labeling.models import Draft, Judgement, Lease, Report, Response, Task
from training.models import Job


@pytest.fixture
def at_the_board(world, ada):
    """Ada in front of the first of three tasks, the second at hand."""
    world.rank("kite", "boat", "owl")
    ada.goto("/p/bedtime/rank")
    expect(ada.get_by_text("4 responses to place")).to_be_visible()
    return ada


def order(page):
    """What the cards say about themselves, as they stand."""
    return [card.get_attribute("aria-label") for card in page.locator("[data-response]").all()]


def eventually_ranked(page, count):
    """Wait until the server has this many of Ada's rankings."""
    until(page, "projects/bedtime/progress", f"it.today.rankings === {count}")


def two_tasks_at_hand(page):
    """Wait until the next task is prefetched: until the page itself has the answers to both its requests."""
    answered = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/leases')).length >= 2"
    comes_to(lambda: page.evaluate(answered), wanted=True)


def letter_of(page, beginning):
    """The letter of the card whose story begins so; the order shown is random."""
    card = page.locator("[data-response]", has_text=beginning)
    return card.locator("kbd").first.inner_text()


def test_ada_ranks_by_keyboard_alone_and_the_ranking_is_stored_as_she_said_it(at_the_board):
    page = at_the_board
    best, tied, worst = (letter_of(page, text) for text in ("A red kite", "Once there was", "The kite the kite"))
    second = letter_of(page, "The kite was lost")
    for key in (best, "6", second, "4", tied, "4", worst, "1"):
        page.keyboard.press(key.lower())
    page.keyboard.press("Enter")
    eventually_ranked(page, 1)
    placed = Judgement.objects.get().placements.order_by("rank", "response__text")
    stories = [(each.response.text, each.rank, each.rating) for each in placed]
    red, lost, once, dull = (story.format("kite") for story in STORIES)
    assert stories == [(red, 1, 6), (once, 2, 4), (lost, 2, 4), (dull, 3, 1)]


def test_the_next_task_is_on_the_screen_before_the_server_has_answered(at_the_board):
    page = at_the_board
    two_tasks_at_hand(page)
    first = page.locator("[data-response]").first.get_attribute("data-response")
    held = []
    page.route("**/ranking", lambda route: held.append(route))  # noqa: PLW0108 (Playwright marks its handlers)
    for key in "a7b6c5d4":
        page.keyboard.press(key)
    with page.expect_request("**/ranking"):
        page.keyboard.press("Enter")
    expect(page.locator(f"[data-response='{first}']")).to_have_count(0)
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    assert not Judgement.objects.exists()
    held[0].continue_()
    eventually_ranked(page, 1)


def test_an_unfinished_ranking_is_refused_and_the_missing_are_named(at_the_board):
    at_the_board.keyboard.press("b")
    at_the_board.keyboard.press("5")
    at_the_board.keyboard.press("Enter")
    expect(at_the_board.get_by_role("alert")).to_have_text("Responses A, C and D have no place yet.")
    assert not Judgement.objects.exists()


def test_arrows_take_the_neighbours_rating_and_equals_ties(at_the_board):
    page = at_the_board
    for key in "a6b4c2":
        page.keyboard.press(key)
    page.keyboard.press("ArrowLeft")
    moved = ["Response A, 1st, rated 6 of 7", "Response C, 2nd, rated 4 of 7", "Response B, 3rd, rated 4 of 7"]
    comes_to(lambda: order(page)[:3], moved)
    page.keyboard.press("=")
    expect(page.get_by_label("Response C, 1st, tied, rated 6 of 7")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_label("Response C, 2nd, rated 4 of 7")).to_be_visible()


def test_a_card_dragged_by_the_mouse_lands_where_it_is_dropped(at_the_board):
    page = at_the_board
    for key in "a6b4c2":
        page.keyboard.press(key)
    expect(page.get_by_label("Response C, 3rd, rated 2 of 7")).to_be_visible()
    stands_still(page)
    handle = page.get_by_label("Drag response C").bounding_box()
    target = page.get_by_label("Drag response A").bounding_box()
    page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(target["x"] + 20, target["y"] + 20, steps=10)
    page.mouse.up()
    expect(page.get_by_label("Response C, 1st, rated 6 of 7")).to_be_visible()


def test_a_card_is_carried_by_the_keyboard_too(at_the_board):
    page = at_the_board
    for key in "a6b4":
        page.keyboard.press(key)
    page.get_by_label("Drag response B").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("response B is over place 2 of 4")).to_have_count(1)
    arrived = page.get_by_text("response B is over place 1 of 4")
    deadline = time.monotonic() + 60
    while not arrived.count() and time.monotonic() < deadline:
        page.keyboard.press("ArrowLeft")  # a key is lost while a busy browser has not measured the cards yet
        page.wait_for_timeout(250)
    expect(arrived).to_have_count(1)
    page.keyboard.press("Space")
    expect(page.get_by_label("Response B, 1st, rated 6 of 7")).to_be_visible()


def test_a_draft_is_there_on_another_machine(at_the_board, sign_in):
    at_the_board.keyboard.press("c")
    at_the_board.keyboard.press("5")
    expect(at_the_board.get_by_text("Saved ")).to_be_visible()
    comes_to(lambda: [each.body["tiers"][0]["rating"] for each in Draft.objects.all()], [5])
    elsewhere = sign_in("ada")
    elsewhere.goto("/p/bedtime/rank")
    expect(elsewhere.get_by_label("Response C, 1st, rated 5 of 7")).to_be_visible()


def test_work_done_offline_is_kept_and_sent_once(at_the_board):
    page = at_the_board
    two_tasks_at_hand(page)
    page.context.set_offline(True)
    page.keyboard.press("a")
    page.keyboard.press("7")
    expect(page.get_by_text("Offline, kept on this device").first).to_be_visible()
    for key in "b6c5d4":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 on the way")).to_be_visible()
    assert not Judgement.objects.exists()
    page.context.set_offline(False)
    eventually_ranked(page, 1)
    expect(page.get_by_text("1 on the way")).to_have_count(0)
    assert Judgement.objects.count() == 1


def test_leaving_gives_the_prefetched_task_back_and_keeps_the_one_in_front(at_the_board):
    page = at_the_board
    two_tasks_at_hand(page)
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_role("heading", name="Bedtime stories")).to_be_visible()
    until(page, "projects/bedtime/leases?kind=ranking", "it.length === 1")


def test_a_skip_takes_one_key_and_its_reason_another(at_the_board):
    page = at_the_board
    first = page.locator("[data-response]").first.get_attribute("data-response")
    page.keyboard.press("s")
    expect(page.get_by_role("dialog", name="Why skip this task?")).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator(f"[data-response='{first}']")).to_have_count(0)
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    comes_to(lambda: [each.skip_reason for each in Lease.objects.filter(state="skipped")], ["The prompt is unclear"])


def test_a_skip_made_offline_is_kept_on_the_device_and_sent_once(at_the_board):
    page = at_the_board
    two_tasks_at_hand(page)
    first = page.locator("[data-response]").first.get_attribute("data-response")
    page.context.set_offline(True)
    page.keyboard.press("s")
    page.keyboard.press("1")
    expect(page.locator(f"[data-response='{first}']")).to_have_count(0)
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    expect(page.get_by_text("1 on the way")).to_be_visible()
    assert not Lease.objects.filter(state="skipped").exists()
    page.context.set_offline(False)
    comes_to(Lease.objects.filter(state="skipped").count, 1)
    expect(page.get_by_text("1 on the way")).to_have_count(0)


def test_a_prompt_is_reported_by_one_key_and_its_reason_by_another_and_the_task_stays(at_the_board):
    page = at_the_board
    first = page.locator("[data-response]").first.get_attribute("data-response")
    page.keyboard.press("r")
    page.keyboard.press("3")
    expect(page.get_by_text("Reported. You can still finish the task")).to_be_visible()
    assert (Report.objects.get().reason, Report.objects.get().reporter.username) == ("broken", "ada")
    expect(page.locator(f"[data-response='{first}']")).to_have_count(1)


def test_moves_are_undone_and_done_again_by_hand_too_and_all_are_bad_takes_one_key(at_the_board):
    page = at_the_board
    page.keyboard.press("a")
    page.keyboard.press("7")
    page.keyboard.press("0")
    raised = page.get_by_role("button", name="Take back: All are bad")
    expect(raised).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(raised).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Response A, not placed")).to_be_visible()
    for _ in range(2):
        page.get_by_role("button", name="Redo").click()
    expect(page.get_by_label("Response A, 1st, rated 7 of 7")).to_be_visible()
    expect(raised).to_be_visible()


def test_offline_stays_in_sight_on_a_phone_wherever_it_is_scrolled(world, sign_in):
    world.rank("kite", "boat")
    page = sign_in("ada", screen=PHONE, has_touch=True, is_mobile=True)
    page.goto("/p/bedtime/rank")
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    two_tasks_at_hand(page)
    page.context.set_offline(True)
    page.get_by_role("radiogroup", name="Rating of response D").get_by_role("radio", name="5").tap()
    for place in ("0", "document.body.scrollHeight"):
        page.evaluate(f"window.scrollTo(0, {place})")
        expect(page.get_by_text("Offline, kept on this device").last).to_be_in_viewport()
    for letter, rating in zip("ABC", "764", strict=True):
        page.get_by_role("radiogroup", name=f"Rating of response {letter}").get_by_role("radio", name=rating).tap()
    page.get_by_role("button", name="Submit").tap()
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    expect(page.get_by_text("Offline, 1 finished task kept on this device")).to_be_in_viewport()
    page.context.set_offline(False)
    eventually_ranked(page, 1)
    expect(page.get_by_text("kept on this device")).to_have_count(0)


def test_nine_responses_are_ranked_and_nothing_moves_for_those_who_ask_for_less_motion(world, sign_in):
    [prompt] = world.ask("kite")
    task = Task.objects.create(project=world.project, kind="ranking", prompt=prompt)
    queue.link([(task, [Response.objects.create(prompt=prompt, text=f"Kite {n}.") for n in range(9)])])
    page = sign_in("ada", reduced_motion="reduce")
    page.goto("/p/bedtime/rank")
    expect(page.get_by_text("9 responses to place")).to_be_visible()
    for key in "a1b2c3d4e5f6g7h7i4":
        page.keyboard.press(key)
        assert page.evaluate("document.getAnimations().every(each => each.effect.getTiming().duration < 1)")
    page.keyboard.press("Enter")
    eventually_ranked(page, 1)
    ranks = sorted(Judgement.objects.get().placements.values_list("rank", "rating"))
    assert ranks == [(1, 7), (1, 7), (2, 6), (3, 5), (4, 4), (4, 4), (5, 3), (6, 2), (7, 1)]


def test_letters_are_letters_in_the_note(at_the_board):
    page = at_the_board
    page.keyboard.press("a")
    page.keyboard.press("x")
    page.get_by_label("Note").fill("")
    page.get_by_label("Note").press_sequentially("b7 is best")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    comes_to(lambda: "Response B, not placed" in order(page), wanted=True)


def test_single_keys_can_be_switched_off(at_the_board):
    page = at_the_board
    page.keyboard.press("?")
    page.get_by_label("Single keys do things").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.keyboard.press("7")
    page.get_by_role("button", name="all keys").click()
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
    page.keyboard.press("Escape")
    comes_to(lambda: order(page)[0], "Response A, not placed")


def test_a_phone_shows_everything_that_ranking_needs(world, sign_in):
    world.rank("kite")
    page = sign_in("ada", screen=PHONE, has_touch=True, is_mobile=True)
    page.goto("/p/bedtime/rank")
    expect(page.get_by_text("4 responses to place")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for letter, rating in zip("ABCD", "7642", strict=True):
        page.get_by_role("radiogroup", name=f"Rating of response {letter}").get_by_role("radio", name=rating).tap()
    page.get_by_role("button", name="Submit").tap()
    expect(page.get_by_role("heading", name="No tasks open")).to_be_visible()
    eventually_ranked(page, 1)


def test_while_a_policy_writes_the_page_says_how_far_it_is(world, ada):
    begun = {"state": "running", "attempt_number": 1, "heartbeat_at": now(), "started_at": now()}
    job = Job.objects.create(project=world.project, kind="policy.sample", config={"place": True}, **begun)
    ada.goto("/p/bedtime/rank")
    expect(ada.get_by_text("A policy is writing the next responses; 0 % of them are there.")).to_be_visible()
    Job.objects.filter(pk=job.pk).update(progress_done=16, progress_total=64)
    expect(ada.get_by_text("A policy is writing the next responses; 25 % of them are there.")).to_be_visible()


def test_with_nothing_open_the_page_says_so_and_looks_again(world, ada):
    ada.goto("/p/bedtime/rank")
    expect(ada.get_by_role("heading", name="No tasks open")).to_be_visible()
    expect(ada.get_by_text("Every set of responses is ranked")).to_be_visible()
    world.rank("kite")
    ada.get_by_role("button", name="Look again").click()
    expect(ada.get_by_text("4 responses to place")).to_be_visible()
