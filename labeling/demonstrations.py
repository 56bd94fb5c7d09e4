"""Demonstrations: an annotator's ideal response, written down once a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from labeling import queue
from labeling.models import Demonstration, Kind, Lease
from training.refusals import Refusal

if TYPE_CHECKING:
    from uuid import UUID

    from training.models import User


class EmptyDemonstration(Refusal):
    code, status = "empty_demonstration", 422
    message = "There is nothing written yet."


@transaction.atomic(durable=True)
def submit(
    *, annotator: User, lease_id: UUID, text: str, seconds_spent: float | None = None
) -> tuple[Demonstration, bool]:
    """Record what the annotator wrote, and whether that is news: sending it twice with one lease changes nothing."""
    lease = queue.locked(annotator=annotator, lease_id=lease_id, kind=Kind.DEMONSTRATION)
    if lease.state == Lease.State.SUBMITTED:
        return Demonstration.objects.get(lease=lease, supersedes=None), False
    written = checked(text)
    queue.settle(lease)
    demonstration = write(
        annotator=annotator,
        lease=lease,
        text=written,
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


def write(
    *,
    annotator: User,
    lease: Lease,
    text: str,
    seconds_spent: float | None,
    guidelines_version: int | None,
    supersedes: Demonstration | None = None,
    edit: UUID | None = None,
) -> Demonstration:
    """Write a demonstration down as it was said; part of each submission's transaction."""
    return Demonstration.objects.create(
        project=lease.project,
        prompt_id=lease.task.prompt_id,
        task=lease.task,
        lease=lease,
        annotator=annotator,
        text=text,
        guidelines_version=guidelines_version,
        seconds_spent=seconds_spent,
        is_simulated=annotator.is_simulated,
        supersedes=supersedes,
        edit=edit,
    )
