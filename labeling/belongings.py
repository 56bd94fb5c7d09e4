"""What the reading room holds of one person: to be exported, given back, forgotten, and found in datasets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings

from labeling import queue
from labeling.models import (
    Conversation,
    Demonstration,
    Draft,
    GuidelinesAcknowledgement,
    Judgement,
    Lease,
    Qualification,
    QualityReport,
    Report,
    Review,
)
from labeling.words import placements_of, verdicts_of
from training import artifacts
from training.models import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.models import Project, User

ROWS: dict[str, type[Judgement | Demonstration]] = {"judgements": Judgement, "demonstrations": Demonstration}
KINDS = (Dataset.Kind.RANKINGS, Dataset.Kind.DEMONSTRATIONS)


def export(project: Project, person: User) -> dict[str, Any]:
    """Every word, past ones too, with what they were shown; what they began, skipped and reported, and every review."""
    judgements = Judgement.objects.filter(project=project, annotator=person).prefetch_related("placements", "verdicts")
    demonstrations = Demonstration.objects.filter(project=project, annotator=person)
    reviews = Review.objects.filter(project=project)
    return {
        "judgements": [
            {
                **said_of(word),
                "task": word.task_id,
                "form": word.form,
                "shown": word.shown,
                "flags": word.flags,
                "note": word.note,
                "placements": [
                    {"response": each.response, "rank": each.rank, "rating": each.rating, "flags": list(each.flags)}
                    for each in placements_of(word)
                ],
                "verdicts": [{"a": each.a, "b": each.b, "verdict": each.verdict} for each in verdicts_of(word)],
            }
            for word in judgements.order_by("pk").iterator(500)
        ],
        "demonstrations": [
            {
                **said_of(word),
                "task": word.task_id,
                "prompt": word.prompt_id,
                "started_from": word.started_from_id,
                "text": word.text,
            }
            for word in demonstrations.order_by("pk").iterator(500)
        ],
        "leases": list(
            Lease.objects.filter(project=project, annotator=person)
            .order_by("created_at")
            .values("task", "kind", "state", "skip_reason", "created_at", "ended_at")
        ),
        "drafts": list(
            Draft.objects.filter(lease__project=project, lease__annotator=person).values("lease", "body", "saved_at")
        ),
        "unfinished_conversations": list(
            Conversation.objects.filter(project=project, annotator=person).values("id", "body", "saved_at")
        ),
        "reports": list(
            Report.objects.filter(project=project, reporter=person)
            .order_by("pk")
            .values("prompt", "reason", "note", "created_at", "settled_at")
        ),
        "guidelines_read": list(
            GuidelinesAcknowledgement.objects.filter(guidelines__project=project, annotator=person)
            .order_by("pk")
            .values("guidelines__version", "created_at")
        ),
        "qualification": list(
            Qualification.objects.filter(project=project, annotator=person).values(
                "state", "share", "tasks", "decided_at"
            )
        ),
        "reviews_of_their_words": [
            *reviews.filter(judgement__annotator=person).values("judgement", "standing", "comment", "created_at"),
            *reviews.filter(demonstration__annotator=person).values(
                "demonstration", "standing", "comment", "created_at"
            ),
        ],
        "reviews_by_them": list(
            reviews.filter(by=person).values("judgement", "demonstration", "standing", "comment", "created_at")
        ),
    }


def said_of(word: Judgement | Demonstration) -> dict[str, Any]:
    """What every word has."""
    return {
        "id": word.pk,
        "said_at": word.created_at,
        "is_current": word.is_current,
        "supersedes": word.supersedes_id,
        "standing": word.standing,
        "source": word.source,
        "guidelines_version": word.guidelines_version,
        "seconds_spent": word.seconds_spent,
    }


def datasets(project: Project, person: User) -> Iterator[tuple[Dataset, int]]:
    """The datasets that hold words of a person, by the exact rows that each was made of."""
    theirs = {
        name: set(model.objects.filter(project=project, annotator=person).values_list("pk", flat=True))
        for name, model in ROWS.items()
    }
    if any(theirs.values()):
        for dataset in Dataset.objects.filter(project=project, kind__in=KINDS).order_by("-pk"):
            held = sum(len(theirs[name].intersection(rows)) for name, rows in revisions(dataset).items())
            if held:
                yield dataset, held


def revisions(dataset: Dataset) -> dict[str, list[int]]:
    """The rows that a snapshot recorded, by what they are; none for a dataset that no snapshot made."""
    try:
        folder = artifacts.Store(settings.STORE_ROOT).fetch(dataset.digest)
    except artifacts.ArtifactMissing:
        return {}
    file = folder / "revisions.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    return {name: rows for name, rows in said.items() if name in ROWS}


def leave(project: Project, person: User) -> None:
    """Give back what a person holds."""
    queue.take_back(project=project, annotator=person)


def erase(person: User) -> None:
    """Forget what they began and figures that name them; labels stay, under the pseudonym of their row by then."""
    Draft.objects.filter(lease__annotator=person).delete()
    Conversation.objects.filter(annotator=person).delete()
    QualityReport.objects.filter(project__memberships__user=person).delete()
    for word in Judgement.objects.filter(annotator=person, said__annotator__isnull=False).iterator(500):
        Judgement.objects.filter(pk=word.pk).update(said=(word.said or {}) | {"annotator": f"annotator-{person.pk}"})
