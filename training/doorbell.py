"""Ringing a worker: Celery carries a job's id, and a ring too many or too few does no harm."""

from __future__ import annotations

import logging

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.utils.timezone import now
from kombu.exceptions import OperationalError

from training.kinds import UnknownKind, kind_named
from training.models import Job

log = logging.getLogger(__name__)

INSIDE = "inside"
"""The queue of work that a worker does itself; it never waits behind a long training."""
GPU = "gpu"
"""The queue of the kinds that LAUREL_GPU_KINDS names."""


def ring_on_commit(job: Job) -> None:
    """Ring once the row that is rung for can be seen."""

    def ring_now() -> None:
        ring(job.pk, job.kind)

    transaction.on_commit(ring_now, robust=True)


def ring(job_id: int, kind_name: str) -> None:
    """Tell the workers of a job. If the broker is away, the sweeper rings again later."""
    (settings.RUNS_ROOT / str(job_id)).mkdir(parents=True, exist_ok=True)
    Job.objects.filter(pk=job_id).update(rung_at=now())
    try:
        current_app.send_task(kind_name, args=[job_id], queue=queue_of(kind_name), retry=False)
    except OperationalError:
        log.warning("the broker did not take the ring for job %s; the sweeper will ring again", job_id)


def queue_of(kind_name: str) -> str:
    """The queue that a kind's workers listen to."""
    try:
        kind = kind_named(kind_name)
    except UnknownKind:
        return "default"
    if kind.inside:
        return INSIDE
    return GPU if kind_name in settings.GPU_KINDS else kind.queue
