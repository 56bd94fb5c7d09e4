"""What the scheduler process puts right: interrupted jobs, dead attempts, waiting jobs, and lost deliveries."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils.timezone import now

from training import doorbell, jobs, machine
from training.models import Attempt, Job

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

SILENCE = timedelta(seconds=30)
"""A running job that was not heard of for so long has lost its worker."""
RING_AGAIN = timedelta(seconds=10)
"""The least time between two rings for one job; it doubles with each, up to the longest."""
RING_AGAIN_LONGEST = timedelta(minutes=5)
_chores: list[Callable[[], object]] = []


def also(chore: Callable[[], object]) -> None:
    """Have a room put its own rows right with every sweep; called in `AppConfig.ready`."""
    _chores.append(chore)


def sweep() -> None:
    """Put right whatever is wrong now. Safe to run in many processes at once, and at any time."""
    resume_interrupted()
    return_the_dead()
    jobs.settle_waiting(Job.objects.all())
    ring_again()
    for chore in _chores:
        chore()


def resume_interrupted() -> None:
    """Queue the jobs that a stopping worker laid aside."""
    for job in Job.objects.filter(state=Job.State.INTERRUPTED):
        if jobs.take_up_interrupted(job):
            log.info("job %s (%s) goes on after its interruption", job.pk, job.kind)


def return_the_dead() -> None:
    """Give up attempts whose worker has died: silent for too long, or known to be gone from this machine."""
    for attempt in Attempt.objects.filter(outcome="", job__state=Job.State.RUNNING).select_related("job"):
        if is_silent(attempt.job) or machine.is_gone(attempt.worker, attempt.boot_id):
            with contextlib.suppress(jobs.Fenced):
                jobs.lose(attempt)
                log.warning("%s died with its worker; its job was returned", attempt)


def is_silent(job: Job) -> bool:
    """Whether a running job was not heard of for too long."""
    return job.heartbeat_at is not None and job.heartbeat_at < now() - SILENCE


def ring_again(moment: datetime | None = None) -> None:
    """Ring for queued jobs whose delivery may have been lost, ever more rarely."""
    at = moment or now()
    for job in Job.objects.filter(state=Job.State.QUEUED):
        rung = job.rung_at or job.queued_at
        pause = min(max(RING_AGAIN, rung - job.queued_at), RING_AGAIN_LONGEST)
        if job.rung_at is None or at - rung >= pause:
            doorbell.ring(job.pk, job.kind)


def ring_queued() -> None:
    """Ring for everything that is queued; a worker that starts has missed whatever was rung before."""
    for job in Job.objects.filter(state=Job.State.QUEUED):
        doorbell.ring(job.pk, job.kind)
