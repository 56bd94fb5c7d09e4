"""When a job starts by itself: at a time, by cron, after another kind of job, or once a measure has grown.

Schedules are rows, fired by the scheduler process. A firing advances the row by compare-and-set and starts the job
in the same transaction, and a job names its occurrence, so that two schedulers fire no occurrence twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.utils.timezone import now

from training import jobs
from training.inputs import complete
from training.kinds import kind_named
from training.measures import measure_named
from training.models import Job, Project, Schedule, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

Trigger = Schedule.Trigger
TRIGGER_OUTPUT = {"trigger": True}
"""As an input of an `after` schedule: the output of the job that fired it."""


class BadSchedule(Refusal):
    """A schedule that could never fire; `fields` names what is wrong."""

    code, status = "bad_schedule", 422
    message = "This schedule cannot be used."


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A trigger as people give it."""

    type: str
    at: datetime | None = None
    cron: str = ""
    timezone: str = "UTC"
    kind: str = ""
    measure: str = ""
    at_least: float | None = None

    def columns(self) -> dict[str, Any]:
        """The schedule's columns, the first occurrence among them; refuses what could never fire."""
        own: dict[str, Any] = {
            "at": None,
            "cron": "",
            "timezone": "UTC",
            "after_kind": "",
            "measure": "",
            "at_least": None,
        }
        match self.type:
            case Trigger.AT:
                if self.at is None:
                    raise BadSchedule("A time is missing.", at="missing")
                own |= {"at": self.at, "next_at": self.at}
            case Trigger.CRON:
                own |= {"cron": self.cron, "timezone": self.timezone}
                own["next_at"] = next_after(self.cron, self.timezone, now())
            case Trigger.AFTER:
                own |= {"after_kind": kind_named(self.kind).name, "next_at": None}
            case Trigger.MEASURE:
                if self.at_least is None:
                    raise BadSchedule("Say how much the measure must be at least.", at_least="missing")
                own |= {"measure": measure_named(self.measure).name, "at_least": self.at_least, "next_at": None}
            case _:
                raise BadSchedule("A trigger is at, cron, after or measure.", type="unknown")
        return {"trigger": self.type, **own}


def next_after(cron: str, timezone: str, moment: datetime) -> datetime:
    """The first instant after the moment that a cron line means on the clocks of a time zone."""
    try:
        return next(CronSim(cron, moment.astimezone(zone(timezone)))).astimezone(UTC)
    except (CronSimError, StopIteration) as error:
        raise BadSchedule(f"{cron!r} is not a cron line that ever comes: {error}", cron="unreadable") from error


def zone(name: str) -> tzinfo:
    """The time zone of that name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSchedule(f"There is no time zone called {name!r} here.", timezone="unknown") from error


def check_job(kind: str, config: Mapping[str, Any], given: Mapping[str, Any], when: When) -> None:
    """Refuse a schedule whose job could not be started; whether its inputs exist is seen when it fires."""
    kind_ = kind_named(kind)
    jobs.frozen_config(kind_, config)
    complete(kind_, given)
    if when.type != Trigger.AFTER and TRIGGER_OUTPUT in given.values():
        raise BadSchedule("Only a schedule after another job can use that job's output.", inputs="no trigger")


def create(
    *,
    project: Project,
    name: str,
    kind: str,
    when: When,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    enabled: bool = True,
    by: User | None = None,
) -> Schedule:
    """Write a schedule down."""
    check_job(kind, config or {}, inputs or {}, when)
    return Schedule.objects.create(
        project=project,
        name=name,
        kind=kind,
        config=dict(config or {}),
        inputs=dict(inputs or {}),
        enabled=enabled,
        created_by=by,
        **when.columns(),
    )


def when_of(schedule: Schedule) -> When:
    """A schedule's trigger, as people give it."""
    return When(
        type=schedule.trigger,
        at=schedule.at,
        cron=schedule.cron,
        timezone=schedule.timezone,
        kind=schedule.after_kind,
        measure=schedule.measure,
        at_least=schedule.at_least,
    )


@transaction.atomic
def change(schedule: Schedule, *, when: When | None = None, **columns: Any) -> None:
    """Change a schedule. A new trigger, or enabling it, starts anew: nothing that came before fires it."""
    for name, value in columns.items():
        setattr(schedule, name, value)
    check_job(schedule.kind, schedule.config, schedule.inputs, when or when_of(schedule))
    if when or columns.get("enabled"):
        anew = (when or when_of(schedule)).columns() | {"enabled_at": now(), "armed": True}
        if not when and schedule.trigger == Trigger.AT and schedule.last_fired_at:
            anew["next_at"] = None  # its time has come and gone
        for name, value in anew.items():
            setattr(schedule, name, value)
        columns |= anew
    schedule.save(update_fields=[*columns])


def fire_due() -> list[Job]:
    """Fire every schedule whose time has come; safe in many processes at once."""
    return [*fire_by_clock(), *fire_after_jobs(), *fire_by_measure()]


def fire_by_clock() -> list[Job]:
    """Fire what was due; occurrences missed while nothing ran are one firing."""
    started = []
    for schedule in Schedule.objects.filter(enabled=True, next_at__lte=now()).select_related("project", "created_by"):
        due = schedule.next_at
        assert due is not None  # noqa: S101 (the filter says so)
        is_cron = schedule.trigger == Trigger.CRON
        try:
            following = next_after(schedule.cron, schedule.timezone, now()) if is_cron else None
        except BadSchedule:  # its time zone was known when it was made, and is not known here
            log.exception("schedule %s (%s) cannot fire", schedule.pk, schedule)
            continue
        with transaction.atomic():
            if Schedule.objects.filter(pk=schedule.pk, enabled=True, next_at=due).update(next_at=following):
                started += fire(schedule, occurrence=f"clock {due.isoformat()}")
    return started


def fire_after_jobs() -> list[Job]:
    """Fire for each job of the awaited kind that has succeeded since the schedule was enabled, once for each."""
    started = []
    for schedule in Schedule.objects.filter(enabled=True, trigger=Trigger.AFTER).select_related(
        "project", "created_by"
    ):
        fired = Job.objects.filter(schedule=schedule, triggered_by=OuterRef("pk"))
        finished = Job.objects.filter(
            ~Exists(fired),
            project=schedule.project,
            kind=schedule.after_kind,
            state=Job.State.SUCCEEDED,
            finished_at__gte=schedule.enabled_at,
        )
        for trigger in finished.order_by("pk"):
            started += fire(schedule, occurrence=f"after job {trigger.pk}", triggered_by=trigger)
    return started


def fire_by_measure() -> list[Job]:
    """Fire where a measure has reached its mark; it fires again only after the measure has fallen below it.

    While the job that it started before is at work, it waits with its mark reached.
    """
    started = []
    for schedule in Schedule.objects.filter(enabled=True, trigger=Trigger.MEASURE).select_related(
        "project", "created_by"
    ):
        value = value_of(schedule)
        reached = value is not None and schedule.at_least is not None and value >= schedule.at_least
        if reached == schedule.armed and not (reached and is_at_work(schedule)):
            with transaction.atomic():
                turned = Schedule.objects.filter(pk=schedule.pk, enabled=True, armed=reached).update(armed=not reached)
                if turned and reached:
                    started += fire(schedule, occurrence=f"measure {uuid4().hex}")
    return started


def value_of(schedule: Schedule) -> float | None:
    """The schedule's measure now; what it counts, it counts since the last firing."""
    try:
        measure = measure_named(schedule.measure)
    except Refusal:
        return None
    return measure.read(schedule.project, schedule.last_fired_at or schedule.enabled_at)


def fire_by_hand(schedule: Schedule) -> Job:
    """Start the schedule's job now; its own occurrences come as before."""
    trigger = None
    if schedule.trigger == Trigger.AFTER:
        succeeded = Job.objects.filter(project=schedule.project, kind=schedule.after_kind, state=Job.State.SUCCEEDED)
        trigger = succeeded.order_by("finished_at").last()
    return start(schedule, occurrence=f"by hand {uuid4().hex}", triggered_by=trigger)


def fire(schedule: Schedule, *, occurrence: str, triggered_by: Job | None = None) -> list[Job]:
    """Start the job of one occurrence, unless it was; a refused job is written down as one that failed."""
    if schedule.trigger in (Trigger.CRON, Trigger.MEASURE) and is_at_work(schedule):
        log.warning("schedule %s (%s) passes: the job that it started before is not over", schedule.pk, schedule)
        return []
    try:
        return [start(schedule, occurrence=occurrence, triggered_by=triggered_by)]
    except Refusal as refusal:
        return written_down(schedule, refusal, occurrence=occurrence, triggered_by=triggered_by)
    except IntegrityError:
        return []  # another scheduler was first


def is_at_work(schedule: Schedule) -> bool:
    """Whether a job that the schedule started is not over yet."""
    return Job.objects.live().filter(schedule=schedule).exists()


@transaction.atomic
def start(schedule: Schedule, *, occurrence: str, triggered_by: Job | None) -> Job:
    """Start the schedule's job for one occurrence."""
    job = jobs.start(
        project=schedule.project,
        kind=schedule.kind,
        config=schedule.config,
        inputs={name: bound(reference, triggered_by) for name, reference in schedule.inputs.items()},
        name=schedule.name,
        by=schedule.created_by,
        schedule=schedule,
        occurrence=occurrence,
        triggered_by=triggered_by,
    )
    Schedule.objects.filter(pk=schedule.pk).update(last_fired_at=now())
    return job


def bound(reference: Any, triggered_by: Job | None) -> Any:
    """The reference, with `{"trigger": true}` replaced by the job that fired the schedule."""
    if reference != TRIGGER_OUTPUT:
        return reference
    if triggered_by is None:
        raise BadSchedule("No job has fired this schedule yet whose output could be used.", inputs="no trigger")
    return {"job": triggered_by.pk}


def written_down(schedule: Schedule, refusal: Refusal, *, occurrence: str, triggered_by: Job | None) -> list[Job]:
    """The job that a schedule could not start, with the reason; people find it where they look for jobs."""
    try:
        with transaction.atomic():
            Schedule.objects.filter(pk=schedule.pk).update(last_fired_at=now())
            return [
                Job.objects.create(
                    project=schedule.project,
                    kind=schedule.kind,
                    name=schedule.name,
                    config=schedule.config,
                    state=Job.State.FAILED,
                    error_code=refusal.code,
                    error_message=refusal.message,
                    schedule=schedule,
                    occurrence=occurrence,
                    triggered_by=triggered_by,
                    created_by=schedule.created_by,
                    finished_at=now(),
                )
            ]
    except IntegrityError:
        return []
