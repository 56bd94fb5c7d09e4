"""Real responses of real models, ranked four at a time through the browser; and how fast the next ones are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser_world import until
from django.conf import settings
from playwright.sync_api import expect

from labeling import imports
from labeling.models import Judgement, LabelingSettings, Task

DATA = Path(os.environ.get("LAUREL_DATA", settings.ROOT.parent / "shared" / "data"))
FILE = DATA / "candidates.jsonl.gz"
pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason=f"the real responses are not here: no {FILE} (set LAUREL_DATA)"
)

# From the key that submits to the first frame that shows another task's responses, in milliseconds.
WATCH = """() => {
    window.waits = [];
    const shown = () => document.querySelector("[data-response]")?.dataset.response;
    document.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        const before = shown();
        const painted = () => {
            const now = shown();
            if (now === undefined || now === before) requestAnimationFrame(painted);
            else requestAnimationFrame(() => window.waits.push(performance.now() - event.timeStamp));
        };
        requestAnimationFrame(painted);
    }, true);
}"""


@pytest.fixture
def real_tasks(world):
    """The file's prompts, each with four of its responses, or as many as differ."""
    LabelingSettings.objects.create(project=world.project, responses_per_task=4)
    imports.import_judgements(project=world.project, path=FILE, options=imports.Options(on_error="skip"))
    return Task.objects.filter(project=world.project, seats_left=1)


def rank_longest_first(page):
    """Rank the task on the screen by how long its responses read, by keys alone; the ratings by response."""
    shown = [card.get_attribute("data-response") for card in page.locator("[data-response]").all()]
    cards = {response: page.locator(f"[data-response='{response}']") for response in shown}
    longest_first = sorted(cards, key=lambda each: -len(cards[each].inner_text()))
    said = {}
    for place, response in enumerate(longest_first):
        page.keyboard.press(cards[response].locator("kbd").first.inner_text().lower())
        page.keyboard.press(str(7 - place))
        said[response] = 7 - place
    expect(page.get_by_text("All placed")).to_be_visible()
    return said


def submit_and_see_the_next(page):
    before = page.locator("[data-response]").first.get_attribute("data-response")
    page.keyboard.press("Enter")
    expect(page.locator(f"[data-response='{before}']")).to_have_count(0)
    expect(page.locator("[data-response]").first).to_be_visible()


def test_real_responses_are_ranked_four_at_a_time_and_stored_as_they_were_said(real_tasks, ada):
    assert real_tasks.count() == 143  # of 184 lines, 41 hold an empty text
    ada.goto("/p/bedtime/rank")
    said = {}
    for _ in range(4):
        expect(ada.get_by_text("4 responses to place")).to_be_visible()
        said |= rank_longest_first(ada)
        submit_and_see_the_next(ada)
    until(ada, "projects/bedtime/progress", "it.today.rankings === 4")
    for judgement in Judgement.objects.all():
        placed = {str(each.response_id): each.rating for each in judgement.placements.all()}
        assert len(placed) == 4
        assert placed.items() <= said.items()
        assert set(judgement.shown) == set(placed)


@pytest.mark.slow
def test_the_next_real_task_is_on_the_screen_within_a_tenth_of_a_second(real_tasks, ada, capsys):
    """From Enter to the next task: under 100 ms at the 95th percentile of sixty submissions, the next one at hand."""
    ada.goto("/p/bedtime/rank")
    expect(ada.locator("[data-response]").first).to_be_visible()
    ada.evaluate(WATCH)
    for _ in range(60):
        rank_longest_first(ada)
        until(ada, "projects/bedtime/leases?kind=ranking", "it.length === 2")
        submit_and_see_the_next(ada)
    waits = sorted(ada.evaluate("window.waits"))
    median, high = waits[len(waits) // 2], waits[int(0.95 * len(waits))]
    with capsys.disabled():
        print(f"\nfrom Enter to the next task: median {median:.0f} ms, 95th percentile {high:.0f} ms of {len(waits)}")  # noqa: T201
    assert len(waits) == 60
    assert high < 100
