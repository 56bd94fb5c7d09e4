"""Lea starts, watches and schedules machine work, and looks at what came of it; Rhea takes it home."""

from __future__ import annotations

import json
import re

from browser_world import until
from playwright.sync_api import expect

from training import jobs
from training.models import Champion, Job, Schedule


def test_a_job_is_started_from_its_form_with_the_errors_at_their_fields(world, lea):
    world.policy()
    lea.goto("/p/bedtime/jobs")
    expect(lea.get_by_role("heading", name="No jobs yet")).to_be_visible()
    lea.get_by_role("link", name="Start a job").first.click()
    lea.get_by_role("radio", name="Fine-tune on demonstrations").click()
    lea.locator("summary", has_text="Settings").click()
    lea.get_by_label("Epochs").fill("many")
    lea.get_by_role("button", name="Start").click()
    expect(lea.get_by_label("Epochs")).to_have_attribute("aria-invalid", "true")
    lea.get_by_label("Epochs").fill("2")
    lea.get_by_label("Name", exact=True).fill("First lesson")
    lea.get_by_role("button", name="Start").click()
    expect(lea.get_by_role("heading", name="First lesson")).to_be_visible()
    job = Job.objects.get(kind="policy.sft")
    assert (job.config["epochs"], job.name, job.requested_inputs["policy"]) == (2, "First lesson", "champion")


def test_a_running_job_shows_its_progress_and_curves_and_they_grow(world, lea):
    world.policy()
    job = world.training(steps=40)
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    expect(lea.get_by_text("39 of 80 steps")).to_be_visible()
    curve = lea.get_by_role("slider", name="Loss: read along the steps").first
    expect(curve).to_have_attribute("aria-valuemax", "39")
    expect(lea.get_by_text("Once there was an owl.")).to_be_visible()
    expect(lea.get_by_text("Two demonstrations in one batch.")).to_be_visible()
    attempt = job.attempts.get()
    jobs.beat(attempt, jobs.News(metrics={("sft/loss", 60): 0.3}, progress=(60, 80, "steps")))
    expect(curve).to_have_attribute("aria-valuemax", "60")
    expect(lea.get_by_text("60 of 80 steps")).to_be_visible()
    expect(lea).to_have_title(re.compile("^75 %"))


def test_a_curve_is_read_by_the_keyboard_and_its_table_is_one_click_away(world, lea):
    world.policy()
    job = world.training(steps=40)
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    curve = lea.get_by_role("slider", name="Loss: read along the steps").first
    curve.focus()
    curve.press("ArrowLeft")
    expect(curve).to_have_attribute("aria-valuenow", "38")
    lea.get_by_role("button", name="Table of Loss").click()
    expect(lea.get_by_role("columnheader", name="valid")).to_be_visible()


def test_a_cancel_can_be_undone(world, lea):
    world.policy()
    waiting = jobs.start(project=world.project, kind="policy.sample")
    lea.goto(f"/p/bedtime/jobs/{waiting.pk}")
    lea.get_by_role("button", name="Cancel this job").click()
    expect(lea.get_by_text("cancelled", exact=True)).to_be_visible()
    lea.get_by_role("button", name="Undo").click()
    expect(lea.get_by_text("The job goes on.")).to_be_visible()
    waiting.refresh_from_db()
    assert not waiting.is_over


def test_a_failed_job_says_how_to_mend_it_and_is_retried(world, lea):
    job = world.failed()
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    expect(lea.get_by_text("Halve the batch.").first).to_be_visible()
    lea.get_by_role("button", name="Retry", exact=True).click()
    expect(lea.get_by_text("queued", exact=True)).to_be_visible()


def test_a_schedule_is_made_switched_off_run_and_deleted_with_an_undo(world, lea):
    lea.goto("/p/bedtime/schedules")
    lea.get_by_role("link", name="New schedule").first.click()
    lea.get_by_role("radio", name="Take a snapshot").click()
    lea.get_by_role("radio", name="Again and again").click()
    lea.get_by_label("Cron line").fill("15 4 * * *")
    expect(lea.get_by_text("At 04:15.")).to_be_visible()
    lea.get_by_label("Name").fill("Nightly snapshot")
    lea.get_by_role("button", name="Create").click()
    switch = lea.get_by_role("switch", name="Nightly snapshot is on")
    expect(switch).to_be_checked()
    switch.click()
    expect(switch).not_to_be_checked()
    until(lea, "schedules?project=bedtime", "!it.results[0].enabled")
    lea.get_by_role("button", name="Delete: Nightly snapshot").click()
    expect(switch).to_have_count(0)
    lea.get_by_role("button", name="Undo").click()
    expect(switch).to_be_visible()
    assert Schedule.objects.get().cron == "15 4 * * *"
    lea.get_by_role("button", name="Run now: Nightly snapshot").click()
    expect(lea.get_by_role("heading", name="Nightly snapshot")).to_be_visible()
    assert Job.objects.get().schedule == Schedule.objects.get()


def test_a_schedule_that_cannot_be_is_refused_at_its_field(world, lea):
    lea.goto("/p/bedtime/schedules/new")
    lea.get_by_role("radio", name="Take a snapshot").click()
    lea.get_by_role("radio", name="Again and again").click()
    lea.get_by_label("Cron line").fill("at dawn")
    lea.get_by_role("button", name="Create").click()
    expect(lea.get_by_label("Cron line")).to_have_attribute("aria-invalid", "true")


def test_a_checkpoint_is_promoted_and_says_by_whom(world, lea):
    older, _newer = world.policy("older"), world.policy("newer")
    lea.goto(f"/p/bedtime/models/{older.pk}")
    lea.get_by_role("button", name="Promote to champion").click()
    expect(lea.get_by_text("★ champion")).to_be_visible()
    expect(lea.get_by_label("Champion", exact=True).get_by_text("promoted by Lea")).to_have_count(2)
    assert Champion.objects.get(until=None).checkpoint == older


def test_a_researcher_downloads_a_dataset_and_makes_a_token_that_is_shown_once(world, sign_in):
    dataset = world.snapshot("rankings").dataset
    rhea = sign_in("rhea")
    rhea.goto(f"/p/bedtime/datasets/{dataset.pk}")
    glance = rhea.get_by_role("region", name="Its first lines")
    expect(glance.get_by_role("listitem").first).to_contain_text("Kite 1?")
    expect(glance.get_by_role("listitem").filter(has_text="rank 1").last).to_contain_text("Kite 2 fell.")
    with rhea.expect_download() as coming:
        rhea.get_by_role("link", name="Download").click()
    lines = coming.value.path().read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2"]
    rhea.goto("/tokens")
    rhea.get_by_role("button", name="Make a token").click()
    token = rhea.get_by_label("Your new token").locator("pre").inner_text()
    answer = rhea.request.get(
        f"/api/v1/datasets/{dataset.pk}/download", headers={"Authorization": f"Token {token}", "Cookie": ""}
    )
    assert answer.ok
    rhea.reload()
    expect(rhea.get_by_text(token[:8]).first).to_be_visible()
    expect(rhea.get_by_text(token, exact=True)).to_have_count(0)


def test_a_snapshot_is_asked_for_from_the_datasets_page(world, lea):
    lea.goto("/p/bedtime/datasets")
    lea.get_by_role("button", name="Take a snapshot").first.click()
    lea.get_by_role("button", name="Demonstrations").click()
    expect(lea.get_by_role("heading", name="Take a snapshot #")).to_be_visible()
    assert Job.objects.get().config["what"] == "demonstrations"


def test_the_loop_shows_what_is_there_and_what_comes_next(world, lea):
    world.policy()
    world.rank("kite", "boat")
    lea.goto("/p/bedtime")
    expect(lea.get_by_role("heading", name="Round 1")).to_be_visible()
    expect(lea.get_by_text("2 ranking tasks are open")).to_be_visible()
    world.training()
    expect(lea.get_by_role("link", name="See it run")).to_be_visible()
