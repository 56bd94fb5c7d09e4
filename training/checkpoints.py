"""Published models: publish, lineage, promote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.timezone import now

from training import audit
from training.models import Champion, Checkpoint, Job, Project, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class IsChampion(Refusal):
    """Promoting it again would change nothing."""

    code = "is_champion"
    message = "This checkpoint is the champion already."


@transaction.atomic
def publish(
    *,
    project: Project,
    kind: str,
    digest: str,
    card: Mapping[str, Any],
    name: str = "",
    job: Job | None = None,
    parents: Iterable[str] = (),
) -> Checkpoint:
    """Make a stored artefact visible as a checkpoint of the project; `parents` are digests."""
    Project.objects.select_for_update().get(pk=project.pk)
    checkpoint = Checkpoint.objects.create(
        project=project, kind=kind, name=name or _name(job), digest=digest, card=dict(card), job=job
    )
    newest = {
        row.digest: row for row in Checkpoint.objects.filter(project=project, digest__in=[*parents]).order_by("pk")
    }
    checkpoint.parents.set(newest.values())
    return checkpoint


def _name(job: Job | None) -> str:
    """`ppo-17`, or the job's own name and number."""
    if job is None:
        raise ValueError("a checkpoint that no job made needs a name")
    return f"{(job.name or job.kind.rpartition('.')[2])[:130]}-{job.pk}"


def ancestors(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Every checkpoint that this one descends from, nearest first."""
    found: dict[int, Checkpoint] = {}
    generation = list(checkpoint.parents.all())
    while generation:
        found.update({each.pk: each for each in generation})
        generation = list(Checkpoint.objects.filter(children__in=generation).exclude(pk__in=found).distinct())
    return list(found.values())


def champion(project: Project, kind: str) -> Checkpoint | None:
    """The checkpoint that is used where nobody names one."""
    reign = Champion.objects.filter(project=project, kind=kind, until=None).select_related("checkpoint").first()
    return reign.checkpoint if reign else None


@transaction.atomic
def promote(checkpoint: Checkpoint, *, by: User | None = None) -> Champion:
    """Make a checkpoint its project's champion; the reigns before it stay on record."""
    Project.objects.select_for_update().get(pk=checkpoint.project_id)
    reigning = Champion.objects.filter(project=checkpoint.project, kind=checkpoint.kind, until=None)
    if reigning.filter(checkpoint=checkpoint).exists():
        raise IsChampion
    moment = now()
    reigning.update(until=moment)
    audit.record(project=checkpoint.project, by=by, did="checkpoint.promoted", about=checkpoint.name)
    return Champion.objects.create(
        project=checkpoint.project, kind=checkpoint.kind, checkpoint=checkpoint, since=moment, by=by
    )
