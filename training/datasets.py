"""Frozen datasets: publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from training.models import Dataset, Job, Project

if TYPE_CHECKING:
    from collections.abc import Mapping


@transaction.atomic
def publish(
    *, project: Project, kind: str, digest: str, card: Mapping[str, Any], name: str = "", job: Job | None = None
) -> Dataset:
    """Make a stored artefact visible as the next version of a dataset; its card says how many lines it has."""
    Project.objects.select_for_update().get(pk=project.pk)
    named = name or (job.name if job else "") or kind
    versions = Dataset.objects.filter(project=project, kind=kind, name=named)
    return Dataset.objects.create(
        project=project,
        kind=kind,
        name=named,
        version=(versions.aggregate(last=Max("version"))["last"] or 0) + 1,
        digest=digest,
        count=int(card["count"]),
        card=dict(card),
        job=job,
    )
