"""The ledger: start · claim · beat · finish · fail · cancel · interrupt · pause · resume · retry.

The row is the truth. Every change of state is a compare-and-set, and every write of an attempt names its number,
so that an attempt that others have given up can write nothing any more (fencing).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from training import checkpoints, config, datasets, inputs, kinds, machine
from training.doorbell import ring_on_commit
from training.kinds import CHECKPOINT_KINDS, Input, JobKind, all_kinds, kind_named, register
from training.models import Attempt, Checkpoint, Dataset, Job, Metric, Project, Schedule, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Input", "JobKind", "all_kinds", "kind_named", "register"]  # rooms register kinds where jobs are

State: TypeAlias = Job.State
Outcome: TypeAlias = Attempt.Outcome


class BadJobConfig(Refusal):
    """The configuration is not one of this kind; `fields` names what is wrong."""

    code, status = "bad_config", 422
    message = "The configuration cannot be used."


class JobIsOver(Refusal):
    """Nothing can be cancelled any more."""

    code = "job_is_over"
    message = "This job is over already."


class JobIsLive(Refusal):
    """Only what has failed or was cancelled can be retried."""

    code = "job_is_live"
    message = "Only a job that has failed or was cancelled can be retried."


class JobIsNotPaused(Refusal):
    """Only a job that has paused waits for someone to resume it."""

    code = "job_is_not_paused"
    message = "Only a job that has paused can be resumed."


class Fenced(Exception):  # noqa: N818 (it says what happened to the attempt)
    """This attempt was given up: a later one, a cancel or an end has shut it out. Stop, and write nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What an attempt says about itself in one beat."""

    metrics: Mapping[tuple[str, int], float | None] = field(default_factory=dict)
    """(name, step) -> value."""
    progress: tuple[float, float, str] | None = None
    """Done, total, unit."""


@transaction.atomic
def start(
    *,
    project: Project,
    kind: str,
    config: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    name: str = "",
    seed: int = 1,
    by: User | None = None,
    schedule: Schedule | None = None,
    occurrence: str = "",
    triggered_by: Job | None = None,
) -> Job:
    """Write down a job and ring for it, or let it wait for the jobs whose outputs it reads."""
    kind_ = kind_named(kind)
    frozen = frozen_config(kind_, config or {})
    references, awaited = _references(project, kind_, inputs or {}, by)
    job = Job.objects.create(
        project=project,
        kind=kind,
        name=name,
        config=frozen,
        seed=seed,
        requested_inputs=references,
        state=State.WAITING if awaited else State.QUEUED,
        created_by=by,
        schedule=schedule,
        occurrence=occurrence,
        triggered_by=triggered_by,
    )
    job.waits_for.set(awaited)
    if not awaited:
        ring_on_commit(job)
    return job


def frozen_config(kind: JobKind, given: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration, defaults and all, so that a later default changes no earlier job."""
    try:
        parsed = config.parse(kind.config, dict(given))
        if kind.check:
            kind.check(parsed)
        return config.to_json(parsed)
    except config.ConfigError as error:
        raise BadJobConfig(str(error), **error.fields) from error


def _references(
    project: Project, kind: JobKind, given: Mapping[str, Any], by: User | None
) -> tuple[dict[str, Any], list[Job]]:
    """The references to write down, and the jobs to wait for; `snapshot` starts one now."""
    references, awaited = {}, []
    for name, given_reference in inputs.complete(kind, given).items():
        reference, wanted = given_reference, kind.input(name)
        assert wanted is not None  # noqa: S101 (complete has refused the others)
        try:
            inputs.check(project, wanted, reference)
        except inputs.BadInput:
            if wanted.required or given.get(name, wanted.default) != wanted.default:
                raise
            continue  # an optional input's default is used where there is one, also when a form says it
        if reference == "snapshot":
            taken = start(project=project, kind=kinds.SNAPSHOT_KIND, config={"what": wanted.kind}, by=by)
            reference = {"job": taken.pk}
        if isinstance(reference, dict):
            awaited += list(Job.objects.filter(pk=reference["job"]).exclude(state=State.SUCCEEDED))
        references[name] = reference
    return references, awaited


@transaction.atomic
def claim(job_id: int, *, worker: str | None = None) -> Attempt | None:
    """Take a queued job, or None: someone has it, it is over, or its inputs are not there (then it has failed)."""
    job = Job.objects.select_related("project").filter(pk=job_id, state=State.QUEUED).first()
    if job is None:
        return None
    moment = now()
    won = Job.objects.filter(pk=job_id, state=State.QUEUED, attempt_number=job.attempt_number).update(
        state=State.RUNNING,
        attempt_number=F("attempt_number") + 1,
        heartbeat_at=moment,
        started_at=Coalesce("started_at", moment),
        error_code="",
        error_message="",
    )
    if not won:
        return None
    job.refresh_from_db()
    if not _resolve_inputs(job):
        return None
    return Attempt.objects.create(
        job=job,
        number=job.attempt_number,
        worker=worker or machine.this_worker(),
        host=machine.host(),
        boot_id=machine.boot_id(),
    )


def _resolve_inputs(job: Job) -> bool:
    """Write the digests down at the first claim; a later attempt reads the same bytes."""
    if job.inputs or not job.requested_inputs:
        return True
    try:
        job.inputs = inputs.resolve_all(job)
    except Refusal as refusal:
        _close(job, State.FAILED, code=refusal.code, message=refusal.message)
        return False
    job.save(update_fields=["inputs"])
    return True


def launched(attempt: Attempt, *, pid: int) -> None:
    """Write down the process group, so that it can be found and ended after a crash of the worker."""
    if not Attempt.objects.filter(pk=attempt.pk, outcome="").update(pid=pid, pgid=pid):
        raise Fenced


@transaction.atomic
def beat(attempt: Attempt, news: News | None = None) -> bool:
    """Say that the attempt lives, with its news. True when it should stop because someone cancelled the job."""
    said = news or News()
    changes: dict[str, Any] = {"heartbeat_at": now()}
    if said.progress:
        changes["progress_done"], changes["progress_total"], changes["progress_unit"] = said.progress
    if not held_by(attempt).update(**changes):
        raise Fenced
    Metric.objects.bulk_create(
        [
            Metric(job_id=attempt.job_id, name=name, step=step, value=value)
            for (name, step), value in said.metrics.items()
        ],
        update_conflicts=True,
        unique_fields=["job", "name", "step"],
        update_fields=["value"],
        batch_size=1000,
    )
    return held_by(attempt).filter(cancel_requested_at__isnull=False).exists()


def held_by(attempt: Attempt) -> QuerySet[Job]:
    """The attempt's job, if the attempt still holds it."""
    return Job.objects.filter(pk=attempt.job_id, state=State.RUNNING, attempt_number=attempt.number)


@transaction.atomic
def finish(attempt: Attempt, *, digest: str, folder: Path, card: Mapping[str, Any]) -> Checkpoint | Dataset:
    """Publish what the attempt made, and close the job, together. Nothing is published once a cancel was asked for."""
    closed = (
        held_by(attempt)
        .filter(cancel_requested_at=None)
        .update(
            state=State.SUCCEEDED,
            output_digest=digest,
            finished_at=now(),
            progress_done=Coalesce("progress_total", "progress_done"),
        )
    )
    if not closed:
        raise Fenced
    _end(attempt, Outcome.SUCCEEDED)
    job = Job.objects.select_related("project").get(pk=attempt.job_id)
    kind = kind_named(job.kind)
    if kind.output in CHECKPOINT_KINDS:
        published: Checkpoint | Dataset = checkpoints.publish(
            project=job.project,
            kind=kind.output,
            digest=digest,
            card=card,
            job=job,
            parents=[
                digest
                for name, digest in job.inputs.items()
                if (read := kind.input(name)) and read.kind in CHECKPOINT_KINDS
            ],
        )
    else:
        made = kind.output_of(job.config)
        published = datasets.publish(project=job.project, kind=made, digest=digest, card=card, job=job)
    if kind.deliver:
        kind.deliver(job, folder)
    settle_waiting(Job.objects.filter(waits_for=job))
    return published


def fail(attempt: Attempt, *, code: str, message: str) -> None:
    """Close the job with what went wrong, and how to mend it."""
    _end_job(attempt, Outcome.FAILED, State.FAILED, code=code, message=message)


def cancelled(attempt: Attempt) -> None:
    """Close the job because its trainer has stopped after a cancel."""
    _end_job(attempt, Outcome.CANCELLED, State.CANCELLED)


def interrupt(attempt: Attempt) -> None:
    """Lay the job aside after a savepoint; the scheduler puts it back into the queue."""
    _end_job(attempt, Outcome.INTERRUPTED, State.INTERRUPTED)


def pause(attempt: Attempt, *, message: str) -> None:
    """Lay the job aside because its trainer wants a person to look first; only `resume` or `cancel` goes on."""
    _end_job(attempt, Outcome.PAUSED, State.PAUSED, code="paused", message=message)


LOST_TOO_OFTEN = 5


def lose(attempt: Attempt) -> None:
    """Give up an attempt that died. Its job goes back to the queue, unless it dies again and again."""
    ended = Attempt.objects.filter(job_id=attempt.job_id, number__lt=attempt.number).order_by("-number")
    lost = 1 + sum(1 for _ in takewhile(Outcome.LOST.__eq__, ended.values_list("outcome", flat=True)))
    if Job.objects.filter(pk=attempt.job_id, cancel_requested_at__isnull=False).exists():
        _end_job(attempt, Outcome.LOST, State.CANCELLED)
    elif lost >= LOST_TOO_OFTEN:
        message = (
            f"The trainer, or the worker beside it, died {lost} times in a row. Most often there is too little memory: "
            "try smaller batches."
        )
        _end_job(attempt, Outcome.FAILED, State.FAILED, code="killed_too_often", message=message)
    else:
        _end_job(attempt, Outcome.LOST, State.QUEUED)


@transaction.atomic
def _end_job(attempt: Attempt, outcome: Outcome, state: State, *, code: str = "", message: str = "") -> None:
    over = {"finished_at": now()} if state in Job.OVER else {}
    if not held_by(attempt).update(state=state, error_code=code, error_message=message, **over):
        raise Fenced
    _end(attempt, outcome)
    if state == State.QUEUED:
        _queue(attempt.job)
    settle_waiting(Job.objects.filter(waits_for=attempt.job_id))


def _end(attempt: Attempt, outcome: Outcome) -> None:
    Attempt.objects.filter(pk=attempt.pk, outcome="").update(outcome=outcome, ended_at=now())


def _close(job: Job, state: State, *, code: str = "", message: str = "") -> None:
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=now(), error_code=code, error_message=message)
    settle_waiting(Job.objects.filter(waits_for=job))


def _queue(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED, queued_at=now())
    ring_on_commit(job)


@transaction.atomic
def resume(job: Job) -> None:
    """Let a paused job go on from its savepoint."""
    if not Job.objects.filter(pk=job.pk, state=State.PAUSED).update(
        state=State.QUEUED, error_code="", error_message=""
    ):
        raise JobIsNotPaused
    _queue(job)
    job.refresh_from_db()


@transaction.atomic
def take_up_interrupted(job: Job) -> bool:
    """Put an interrupted job back into the queue; False if someone else has."""
    if not Job.objects.filter(pk=job.pk, state=State.INTERRUPTED).update(state=State.QUEUED):
        return False
    _queue(job)
    return True


@transaction.atomic
def settle_waiting(jobs: QuerySet[Job]) -> None:
    """Queue the waiting jobs whose inputs are all there, and close those that will never get one."""
    awaited = Job.objects.filter(awaited_by=OuterRef("pk"))
    waiting = jobs.filter(state=State.WAITING)
    for job in waiting.filter(~Exists(awaited.exclude(state=State.SUCCEEDED))):
        if Job.objects.filter(pk=job.pk, state=State.WAITING).update(state=State.QUEUED):
            _queue(job)
    for job in waiting.filter(Exists(awaited.filter(state__in=[State.FAILED, State.CANCELLED]))):
        culprit = job.waits_for.filter(state__in=[State.FAILED, State.CANCELLED])[0]
        message = (
            f"Job {culprit.pk} ({culprit.kind}), whose output this job reads, has {culprit.state}. "
            "Retry it, then this one."
        )
        _close(job, State.FAILED, code="input_failed", message=message)


@transaction.atomic
def cancel(job: Job) -> None:
    """Stop a job: at once if it is not running, else through its worker. Asking twice is harmless."""
    idle = [State.WAITING, State.QUEUED, State.INTERRUPTED, State.PAUSED]
    stopped = Job.objects.filter(pk=job.pk, state__in=idle)
    if stopped.update(state=State.CANCELLED, cancel_requested_at=now(), finished_at=now()):
        _close(job, State.CANCELLED)
    elif not Job.objects.filter(pk=job.pk, state=State.RUNNING).update(
        cancel_requested_at=Coalesce("cancel_requested_at", now())
    ):
        raise JobIsOver
    job.refresh_from_db()


@transaction.atomic
def retry(job: Job) -> None:
    """Take a failed or cancelled job up again; it goes on from its last savepoint."""
    reopened = Job.objects.filter(pk=job.pk, state__in=[State.FAILED, State.CANCELLED]).update(
        state=State.WAITING, finished_at=None, cancel_requested_at=None, error_code="", error_message=""
    )
    if not reopened:
        raise JobIsLive
    settle_waiting(Job.objects.filter(pk=job.pk))
    job.refresh_from_db()
