"""Reports: an annotator says that something is wrong with a prompt, and someone who leads looks at it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
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
    found = held(by, report_id)
    if found.settled_at is None:
        found.settled_at, found.settled_by = now(), by
        found.save(update_fields=["settled_at", "settled_by"])
    return found


@transaction.atomic(durable=True)
def reopen(*, by: User, report_id: int) -> Report:
    """Take back that a report was looked at. Raises NotThere, NotAllowed.

    Where its reporter has reported the prompt anew meanwhile, that report is the open one, and this stays as it is.
    """
    found = held(by, report_id)
    with suppress(IntegrityError), transaction.atomic():  # one open report a person and prompt
        Report.objects.filter(pk=report_id).update(settled_at=None, settled_by=None)
        found.settled_at = found.settled_by = None
    return found


def held(by: User, report_id: int) -> Report:
    """The report, for someone who may look at it, locked until the transaction ends."""
    found = Report.objects.select_for_update().filter(pk=report_id).first()
    if found is None:
        raise access.NotThere
    access.check(by, found.project_id, *access.REVIEWERS)
    return found
