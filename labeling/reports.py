"""Reports: an annotator says that something is wrong with a prompt, and someone who leads looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.timezone import now

from labeling import queue
from labeling.models import Report
from training import access

if TYPE_CHECKING:
    from uuid import UUID

    from training.models import User


@transaction.atomic(durable=True)
def report(*, annotator: User, lease_id: UUID, reason: str, note: str = "") -> tuple[Report, bool]:
    """Report the prompt of a task that the annotator holds or held, and whether that is news.

    The task stays where it is. Reporting a prompt again, while nobody has looked yet, says the reason anew.
    """
    lease = queue.locked(annotator=annotator, lease_id=lease_id)
    return Report.objects.update_or_create(
        project=lease.project,
        prompt_id=lease.task.prompt_id,
        reporter=annotator,
        settled_at=None,
        defaults={"task": lease.task, "reason": reason, "note": note},
    )


@transaction.atomic(durable=True)
def settle(*, by: User, report_id: int) -> Report:
    """Say that a report was looked at; saying it twice changes nothing. Raises NotThere, NotAllowed."""
    found = Report.objects.select_for_update().filter(pk=report_id).first()
    if found is None:
        raise access.NotThere
    access.check(by, found.project_id, *access.REVIEWERS)
    if found.settled_at is None:
        found.settled_at, found.settled_by = now(), by
        found.save(update_fields=["settled_at", "settled_by"])
    return found
