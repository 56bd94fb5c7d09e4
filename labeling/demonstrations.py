"""Demonstrations: an annotator's ideal response, written down once a lease."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from django.db import transaction

from labeling import queue
from labeling.models import Demonstration, Kind, Lease, Response
from training import bulk
from training.refusals import Refusal

if TYPE_CHECKING:
    from uuid import UUID

    from training.models import User


LOOKED_THROUGH = 50  # of the newest responses, for some that differ


class EmptyDemonstration(Refusal):
    code, status = "empty_demonstration", 422
    message = "There is nothing written yet."


class NotShown(Refusal):
    code, status = "not_shown", 422
    message = "A demonstration may start from a response that you were shown with this task."


@transaction.atomic(durable=True)
def show_responses(*, annotator: User, lease_id: UUID) -> list[Response]:
    """What models wrote to the prompt, for a demonstration to start from: the newest ones, each text once.

    Which they are and in which order is drawn when they are first asked for, and stored: who has seen them is known.
    """
    lease = queue.locked(annotator=annotator, lease_id=lease_id, kind=Kind.DEMONSTRATION)
    if lease.state not in (Lease.State.LIVE, Lease.State.EXPIRED):
        raise queue.LeaseClosed
    if not lease.shown:
        different: dict[str, str] = {}
        for sample in queue.samples_of(lease.task.prompt_id).order_by("-created_at", "pk")[:LOOKED_THROUGH]:
            different.setdefault(sample.text, str(sample.pk))
        newest = list(different.values())[: queue.settings_of(lease.project).responses_per_task]
        lease.shown = random.sample(newest, len(newest))
        lease.save(update_fields=["shown"])
    return queue.papers(lease).responses


@transaction.atomic(durable=True)
def submit(
    *,
    annotator: User,
    lease_id: UUID,
    text: str,
    started_from: UUID | None = None,
    seconds_spent: float | None = None,
) -> tuple[Demonstration, bool]:
    """Record what the annotator wrote, and whether that is news: sending it twice with one lease changes nothing."""
    lease = queue.locked(annotator=annotator, lease_id=lease_id, kind=Kind.DEMONSTRATION)
    if lease.state == Lease.State.SUBMITTED:
        return Demonstration.objects.get(lease=lease, supersedes=None), False
    written = checked(text)
    check_start(lease, started_from)
    queue.settle(lease)
    demonstration = write(
        annotator=annotator,
        lease=lease,
        text=written,
        started_from=started_from,
        seconds_spent=seconds_spent,
        guidelines_version=lease.guidelines_version,
    )
    return demonstration, True


def checked(text: str) -> str:
    """The text without white space around it. Raises EmptyDemonstration."""
    written = text.strip()
    if not written:
        raise EmptyDemonstration(text="empty")
    return written


def check_start(lease: Lease, started_from: UUID | None) -> None:
    """Refuse a response that this annotator was not shown with the task."""
    if started_from is not None and str(started_from) not in lease.shown:
        raise NotShown(started_from=str(started_from))


def write(
    *,
    annotator: User,
    lease: Lease,
    text: str,
    seconds_spent: float | None,
    guidelines_version: int | None,
    started_from: UUID | None = None,
    is_conversation: bool = False,
    supersedes: Demonstration | None = None,
    edit: UUID | None = None,
) -> Demonstration:
    """Write a demonstration down as it was said; part of each submission's transaction."""
    return bulk.add(
        Demonstration(
            project=lease.project,
            prompt_id=lease.task.prompt_id,
            task=lease.task,
            lease=lease,
            annotator=annotator,
            text=text,
            started_from_id=started_from,
            is_conversation=is_conversation,
            guidelines_version=guidelines_version,
            seconds_spent=seconds_spent,
            is_simulated=annotator.is_simulated,
            supersedes=supersedes,
            edit=edit,
        )
    )
