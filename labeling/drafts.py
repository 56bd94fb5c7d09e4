"""Drafts: work that is not submitted yet, kept on the server so that any machine can go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.timezone import now

from labeling import queue, submissions
from labeling.models import Draft, Lease

if TYPE_CHECKING:
    from uuid import UUID

    from training.models import User


@transaction.atomic(durable=True)
def save(*, annotator: User, lease_id: UUID, body: Any) -> Draft:
    """Keep the draft of a lease; an expired lease keeps one too, so that nothing written is lost."""
    lease = queue.locked(annotator=annotator, lease_id=lease_id)
    if lease.state not in (Lease.State.LIVE, Lease.State.EXPIRED):
        raise queue.LeaseClosed
    draft, _ = Draft.objects.update_or_create(lease=lease, defaults={"body": body, "saved_at": now()})
    return draft


@transaction.atomic(durable=True)
def save_change(*, annotator: User, lease_id: UUID, replaces: int, body: Any) -> Draft:
    """Keep the draft of a change to what was submitted. Raises ChangedMeanwhile where another word stands by now."""
    lease = submissions.locked(annotator=annotator, lease_id=lease_id)
    standing = submissions.words_of(lease).filter(is_current=True).values_list("pk", flat=True).get()
    if standing != replaces:
        raise submissions.ChangedMeanwhile(replaces=standing)
    said = {"body": body, "replaces": replaces, "saved_at": now()}
    draft, _ = Draft.objects.update_or_create(lease=lease, defaults=said)
    return draft


@transaction.atomic(durable=True)
def discard_change(*, annotator: User, lease_id: UUID) -> None:
    """Leave what was submitted as it is, and forget the draft of a change."""
    Draft.objects.filter(lease=submissions.locked(annotator=annotator, lease_id=lease_id)).delete()
