"""Who has read which guidelines: a change is shown to each annotator once, and holds from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from labeling.models import Guidelines, GuidelinesAcknowledgement, Lease
from training.refusals import Refusal

if TYPE_CHECKING:
    from training.models import Project, User


class NoSuchVersion(Refusal):
    code, status = "not_found", 404
    message = "The guidelines have no such version."


def in_force(project: Project) -> Guidelines | None:
    """The newest guidelines of a project."""
    return Guidelines.objects.filter(project=project).order_by("-version").first()


def read_by(annotator: User, project: Project) -> Guidelines | None:
    """The newest guidelines that someone has said to have read."""
    read = Guidelines.objects.filter(project=project, acknowledgements__annotator=annotator)
    return read.order_by("-version").first()


@transaction.atomic(durable=True)
def acknowledge(*, annotator: User, project: Project, version: int) -> None:
    """Write down that someone has read a version; tasks in their hands are judged under it from now on.

    Saying it twice changes nothing. Raises NoSuchVersion.
    """
    guidelines = Guidelines.objects.filter(project=project, version=version).first()
    if guidelines is None:
        raise NoSuchVersion
    GuidelinesAcknowledgement.objects.get_or_create(guidelines=guidelines, annotator=annotator)
    held = Lease.objects.filter(annotator=annotator, project=project, state=Lease.State.LIVE)
    held.filter(Q(guidelines_version=None) | Q(guidelines_version__lt=version)).update(guidelines_version=version)
