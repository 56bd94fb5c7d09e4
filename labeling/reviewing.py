"""What a reviewer looks at: tasks with everyone's words side by side, laid out with a fixed number of statements."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, QuerySet

from labeling import agreement, merging, submissions
from labeling.models import Demonstration, Judgement, Kind, KnownAnswer, Lease, Review, Settlement, Standing, Task
from labeling.words import as_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from training import records
    from training.models import Project, User

RETURNED_AT_ONCE = 50


def spoken(standing: str | None = None) -> Any:
    """Tasks on which somebody's current word stands so, as part of another statement."""
    words = {"task": OuterRef("pk"), "is_current": True}
    if standing is not None:
        words["standing"] = standing
    return Exists(Judgement.objects.filter(**words)) | Exists(Demonstration.objects.filter(**words))


SHOWN: dict[str, Any] = {
    "all": lambda tasks: tasks,
    "shared": lambda tasks: tasks.filter(served__gt=1, purpose=Task.Purpose.WORK),
    "unreviewed": lambda tasks: tasks.filter(spoken(Standing.UNREVIEWED), served__gt=0, purpose=Task.Purpose.WORK),
    "returned": lambda tasks: tasks.filter(spoken(Standing.RETURNED), served__gt=0),
    "set_aside": lambda tasks: tasks.filter(state=Task.State.SET_ASIDE),
    "settled": lambda tasks: tasks.filter(pk__in=Settlement.objects.filter(is_current=True).values("task_id")),
    "known": lambda tasks: tasks.filter(pk__in=KnownAnswer.objects.values("task_id")),
}
"""Which tasks can be asked for, by name."""


def tasks_to(show: str, project: Project) -> QuerySet[Task]:
    """The project's tasks of one of the SHOWN."""
    found: QuerySet[Task] = SHOWN[show](Task.objects.filter(project=project).select_related("prompt"))
    return found


def current_words(tasks: Sequence[Task]) -> dict[int, list[Judgement | Demonstration]]:
    """By task: everyone's current word, first to last."""
    found: dict[int, list[Judgement | Demonstration]] = defaultdict(list)
    judgements = Judgement.objects.filter(task__in=tasks, is_current=True).prefetch_related("placements", "verdicts")
    demonstrations = Demonstration.objects.filter(task__in=tasks, is_current=True)
    for words in (judgements, demonstrations):
        for word in words.select_related("annotator").order_by("pk"):
            found[word.task_id or 0].append(word)
    return found


def records_of(words: Iterable[Judgement | Demonstration]) -> list[records.Judgement]:
    """Rankings and verdicts as records, by annotators' numbers."""
    return [as_record(word, annotator=str(word.annotator_id)) for word in words if isinstance(word, Judgement)]


def rows_of(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """The tasks as a list shows them."""
    words = current_words(tasks)
    settled = set(Settlement.objects.filter(task__in=tasks, is_current=True).values_list("task_id", flat=True))
    return [row_of(task, words[task.pk], is_settled=task.pk in settled) for task in tasks]


def row_of(task: Task, words: Sequence[Judgement | Demonstration], *, is_settled: bool) -> dict[str, Any]:
    """One task as a list shows it."""
    share = agreement.pairwise({"": records_of(words)}, ties="half").share
    standings = Counter(word.standing for word in words)
    return {
        "id": task.pk,
        "kind": task.kind,
        "purpose": task.purpose,
        "state": task.state,
        "prompt": task.prompt.title,
        "seats": task.seats,
        "words": len(words),
        "agreement": share.value if share else None,
        "accepted": standings[Standing.ACCEPTED],
        "returned": standings[Standing.RETURNED],
        "skips": task.skips,
        "settled": is_settled,
    }


def everything_of(task: Task) -> dict[str, Any]:
    """A task as it is now, with all that was said of it and decided."""
    task.refresh_from_db()
    words = current_words([task])[task.pk]
    settlement = Settlement.objects.filter(task=task, is_current=True).select_related("by").first()
    known = KnownAnswer.objects.filter(task=task).select_related("by").first()
    merged = merging.merge(records_of(words))
    leases = Lease.objects.filter(task=task).select_related("annotator")
    reviews = reviews_by_word(words)
    changes = changes_of(task)
    return row_of(task, words, is_settled=settlement is not None) | {
        "messages": task.prompt.messages,
        "tags": task.prompt.tags,
        "responses": sorted(task.responses.all(), key=lambda response: str(response.pk)),
        "answers": [
            {
                "annotator": word.annotator,
                "is_simulated": word.is_simulated,
                "changes": changes[word.annotator_id] - 1,
                "standing": word.standing,
                "reviews": reviews[type(word), word.pk],
                "word": word,
            }
            for word in words
        ],
        "skipped": leases.filter(state=Lease.State.SKIPPED).order_by("ended_at"),
        "in_hand": leases.filter(state=Lease.State.LIVE).count(),
        "merged": {"ranks": merged.ranks, "support": merged.support} if merged and len(words) > 1 else None,
        "settlement": settlement,
        "known_answer": last_word(known),
        "known_copy": KnownAnswer.objects.filter(origin=task).values_list("task_id", flat=True).first(),
    }


def last_word(known: KnownAnswer | None) -> dict[str, Any] | None:
    """A known answer, as a settlement is shown."""
    if known is None:
        return None
    return {"ranks": known.ranks, "comment": "", "by": known.by, "created_at": known.created_at}


def reviews_by_word(
    words: Sequence[Judgement | Demonstration],
) -> Mapping[tuple[type, int], list[Review]]:
    """What reviewers said of each word, newest first."""
    found: dict[tuple[type, int], list[Review]] = defaultdict(list)
    judgements = [word for word in words if isinstance(word, Judgement)]
    demonstrations = [word for word in words if isinstance(word, Demonstration)]
    rows = Review.objects.filter(judgement__in=judgements) | Review.objects.filter(demonstration__in=demonstrations)
    for row in rows.select_related("by").order_by("-pk"):
        model = Judgement if row.judgement_id else Demonstration
        found[model, row.judgement_id or row.demonstration_id or 0].append(row)
    return found


def changes_of(task: Task) -> Counter[int]:
    """By annotator: how many words they have said of a task, past ones too."""
    model = Demonstration if task.kind == Kind.DEMONSTRATION else Judgement
    return Counter(model.objects.filter(task=task).values_list("annotator_id", flat=True))


# --- The annotator's side ---------------------------------------------------------------------------


def returned_to(annotator: User, project: Project) -> list[dict[str, Any]]:
    """What reviewers returned to an annotator and is not changed yet, oldest first."""
    found: list[dict[str, Any]] = []
    for model, name in ((Judgement, "judgement"), (Demonstration, "demonstration")):
        rows = model.objects.filter(
            annotator=annotator, project=project, is_current=True, standing=Standing.RETURNED, lease__isnull=False
        ).select_related("lease__task__prompt")
        words = {word.pk: word for word in rows.order_by("pk")[:RETURNED_AT_ONCE]}
        reviews = Review.objects.filter(**{f"{name}__in": words}, standing=Standing.RETURNED).select_related("by")
        newest = {getattr(row, f"{name}_id"): row for row in reviews.order_by("pk")}
        found += [
            {
                "lease": word.lease_id,
                "kind": word.lease.kind,
                "prompt": word.lease.task.prompt.title,
                "comment": newest[number].comment,
                "by": newest[number].by,
                "returned_at": newest[number].created_at,
            }
            for number, word in words.items()
            if word.lease is not None
        ]
    return sorted(found, key=lambda row: row["returned_at"])


def reviews_of(lease: Lease) -> list[Review]:
    """What reviewers said of the word that stands now, newest first."""
    word = submissions.words_of(lease).get(is_current=True)
    return reviews_by_word([word])[type(word), word.pk]
