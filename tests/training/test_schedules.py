"""Jobs that start by themselves: at a time, by cron, after another job, once a measure has grown; each once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils.timezone import now

from training import jobs, measures, schedules
from training.measures import UnknownMeasure
from training.models import Job, Schedule
from training.schedules import BadSchedule, When

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db]

CARD = {"count": 2}


@pytest.fixture(autouse=True)
def silence(rung):
    """No ring leaves the test."""


def scheduled(project, when, kind="tiny.train", **rest):
    return schedules.create(project=project, name="by itself", kind=kind, when=when, **rest)


def due(schedule):
    Schedule.objects.filter(pk=schedule.pk).update(next_at=now() - timedelta(seconds=5))


def succeed(job, letter="a"):
    return jobs.finish(jobs.claim(job.pk), digest="sha256:" + letter * 64, folder=Path("/nowhere"), card=CARD)


def test_a_job_starts_at_its_time_and_not_before(project):
    schedule = scheduled(project, When(type="at", at=now() + timedelta(hours=1)))
    assert schedules.fire_due() == []
    due(schedule)
    (job,) = schedules.fire_due()
    assert (job.kind, job.schedule, job.state) == ("tiny.train", schedule, Job.State.QUEUED)
    assert schedules.fire_due() == []


def test_a_cron_line_fires_once_for_all_that_was_missed_and_then_goes_on(project):
    schedule = scheduled(project, When(type="cron", cron="*/5 * * * *"))
    Schedule.objects.filter(pk=schedule.pk).update(next_at=now() - timedelta(days=2))
    assert len(schedules.fire_due()) == 1
    schedule.refresh_from_db()
    assert now() < schedule.next_at <= now() + timedelta(minutes=5)


def test_a_time_zone_that_is_gone_stops_no_other_schedule(project):
    for zone in ("UTC", "Europe/Berlin"):
        due(scheduled(project, When(type="cron", cron="* * * * *", timezone=zone)))
    Schedule.objects.order_by("pk").filter(timezone="UTC").update(timezone="Mars/Olympus")
    assert len(schedules.fire_due()) == 1


def test_a_cron_line_is_read_on_the_clocks_of_its_time_zone():
    morning = schedules.next_after("0 9 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert morning == datetime(2026, 3, 29, 7, tzinfo=UTC), "summer time began that night"


def test_a_cron_line_passes_while_its_job_before_is_not_over(project):
    schedule = scheduled(project, When(type="cron", cron="* * * * *"))
    due(schedule)
    (job,) = schedules.fire_due()
    due(schedule)
    assert schedules.fire_due() == []
    succeed(job)
    due(schedule)
    assert len(schedules.fire_due()) == 1


def test_a_finished_job_starts_the_next_one_which_reads_its_output(project):
    before = jobs.start(project=project, kind="tiny.train")
    succeed(before)
    schedule = scheduled(
        project, When(type="after", kind="tiny.train"), kind="tiny.refine", inputs={"policy": {"trigger": True}}
    )
    assert schedules.fire_due() == [], "it had finished before the schedule was made"
    trigger = jobs.start(project=project, kind="tiny.train")
    assert schedules.fire_due() == []
    succeed(trigger, "b")
    (job,) = schedules.fire_due()
    assert (job.triggered_by, job.requested_inputs, job.schedule) == (
        trigger,
        {"policy": {"job": trigger.pk}},
        schedule,
    )
    assert jobs.claim(job.pk).job.inputs == {"policy": "sha256:" + "b" * 64}
    assert schedules.fire_due() == []


def test_two_jobs_that_finish_together_fire_twice(project):
    scheduled(project, When(type="after", kind="tiny.train"), kind="tiny.refine", inputs={"policy": {"trigger": True}})
    for letter in "ab":
        succeed(jobs.start(project=project, kind="tiny.train"), letter)
    assert len(schedules.fire_due()) == 2


def test_a_failed_job_fires_nothing(project):
    scheduled(project, When(type="after", kind="tiny.train"), kind="tiny.train")
    jobs.fail(jobs.claim(jobs.start(project=project, kind="tiny.train").pk), code="broken", message="broken")
    assert schedules.fire_due() == []


def test_a_measure_fires_when_it_is_reached_and_again_only_after_it_fell(project):
    values = iter([3.0, 5.0, 6.0, 6.0, 1.0, 5.0])
    measures.register(measures.Measure(name="tiny.count", title="Count", read=lambda *_: next(values)))
    scheduled(project, When(type="measure", measure="tiny.count", at_least=5), kind="tiny.train")
    fired = []
    for _ in range(6):
        fired.append(len(schedules.fire_due()))
        Job.objects.live().update(state=Job.State.SUCCEEDED, finished_at=now())
    assert fired == [0, 1, 0, 0, 0, 1]


def test_a_measure_that_is_reached_while_its_job_before_is_at_work_fires_once_that_is_over(project):
    values = iter([5.0, 1.0, 5.0, 5.0, 5.0])
    measures.register(measures.Measure(name="tiny.count", title="Count", read=lambda *_: next(values)))
    scheduled(project, When(type="measure", measure="tiny.count", at_least=5))
    (job,) = schedules.fire_due()
    assert [schedules.fire_due() for _ in range(3)] == [[], [], []]
    succeed(job)
    assert len(schedules.fire_due()) == 1


def test_a_measure_counts_since_the_last_firing(project):
    asked = []
    measures.register(
        measures.Measure(name="tiny.count", title="Count", read=lambda _, since: asked.append(since) or 9.0)
    )
    schedule = scheduled(project, When(type="measure", measure="tiny.count", at_least=5))
    schedules.fire_due()
    schedules.fire_due()
    schedule.refresh_from_db()
    assert asked == [schedule.enabled_at, schedule.last_fired_at]


def test_a_schedule_that_is_switched_off_does_not_fire_and_starts_anew_when_switched_on(project):
    schedule = scheduled(project, When(type="after", kind="tiny.train"))
    schedules.change(schedule, enabled=False)
    succeed(jobs.start(project=project, kind="tiny.train"))
    assert schedules.fire_due() == []
    schedules.change(schedule, enabled=True)
    assert schedules.fire_due() == []
    succeed(jobs.start(project=project, kind="tiny.train"))
    assert len(schedules.fire_due()) == 1


def test_a_time_that_has_passed_does_not_come_again_when_switched_on(project):
    schedule = scheduled(project, When(type="at", at=now() - timedelta(hours=1)))
    assert len(schedules.fire_due()) == 1
    schedule.refresh_from_db()
    schedules.change(schedule, enabled=False)
    schedules.change(schedule, enabled=True)
    assert schedules.fire_due() == []


def test_a_firing_whose_job_is_refused_is_written_down_as_a_failed_job_once(project):
    schedule = scheduled(project, When(type="at", at=now() - timedelta(seconds=1)), kind="tiny.refine")
    (job,) = schedules.fire_due()
    assert (job.state, job.error_code) == (Job.State.FAILED, "bad_input")
    assert "champion" in job.error_message
    assert schedules.fire_due() == []
    assert schedule.jobs.count() == 1


def test_a_schedule_can_be_run_by_hand(project):
    schedule = scheduled(project, When(type="at", at=now() + timedelta(hours=1)))
    assert schedules.fire_by_hand(schedule).schedule == schedule
    schedule.refresh_from_db()
    assert schedule.next_at > now()


def test_two_schedulers_at_once_fire_each_occurrence_once(shared_project):
    for number in range(4):
        scheduled(shared_project, When(type="at", at=now() - timedelta(seconds=number)))
    scheduled(
        shared_project, When(type="after", kind="tiny.train"), kind="tiny.refine", inputs={"policy": {"trigger": True}}
    )
    succeed(jobs.start(project=shared_project, kind="tiny.train"))
    errors, barrier = [], threading.Barrier(6)

    def look():
        try:
            barrier.wait()
            schedules.fire_due()
        except Exception as error:  # noqa: BLE001 (the test shows whatever a thread met)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert Job.objects.filter(schedule__trigger="at").count() == 4
    assert Job.objects.filter(schedule__trigger="after").count() == 1


@pytest.mark.parametrize(
    ("when", "field"),
    [
        (When(type="cron", cron="61 * * * *"), "cron"),
        (When(type="cron", cron="0 0 30 2 *"), "cron"),
        (When(type="cron", cron="0 9 * * *", timezone="Middle/Earth"), "timezone"),
        (When(type="at"), "at"),
        (When(type="measure", measure="tiny.count"), "at_least"),
        (When(type="sometimes"), "type"),
    ],
)
def test_a_schedule_that_could_never_fire_is_refused_by_field(project, when, field):
    with pytest.raises(BadSchedule) as refused:
        scheduled(project, when)
    assert field in refused.value.fields


def test_a_schedule_whose_job_could_never_start_is_refused(project):
    at = When(type="at", at=now())
    with pytest.raises(UnknownMeasure):
        scheduled(project, When(type="measure", measure="tiny.unknown", at_least=1))
    with pytest.raises(jobs.BadJobConfig):
        scheduled(project, at, config={"stepz": 1})
    with pytest.raises(BadSchedule):
        scheduled(project, at, kind="tiny.refine", inputs={"policy": {"trigger": True}})
