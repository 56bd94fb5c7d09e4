"""Freezing what people said into a dataset: one view of the database, exact revisions, one line a task."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from django.db import connection, transaction
from django.db.models import Prefetch, Q

from labeling import rankings
from labeling.batches import batched
from labeling.config import SnapshotConfig
from labeling.models import Demonstration, Judgement, Prompt, Response, Task
from training import code_revision, records
from training import config as configs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.db.models import QuerySet

    from training.models import Job, Project, User

BATCH = 500
HERE = "here"
IMPORTED = "imported-"


def take(job: Job, folder: Path) -> None:
    """Write the dataset of a labeling.snapshot job: its lines, its card, and the exact rows that they were made of."""
    config = configs.parse(SnapshotConfig, job.config)
    with one_view():
        card = write(job.project, config, folder)
    card |= {"config": configs.to_json(config), "project": job.project.slug, "code_revision": code_revision.current()}
    (folder / "card.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def write(project: Project, config: SnapshotConfig, folder: Path) -> dict[str, Any]:
    """Write `data.jsonl`, and `revisions.json` with the ids of the rows that it holds; the counts."""
    revisions: list[int] = []

    def kept() -> Iterator[records.Line]:
        for line, rows in FREEZERS[config.what](project, config):
            revisions.extend(rows)
            yield line

    card = records.write_lines(kept(), folder, kind=config.what)
    (folder / "revisions.json").write_text(json.dumps({ROWS[config.what]: revisions}) + "\n")
    return card


@contextmanager
def one_view() -> Iterator[None]:
    """One unchanging view of the database, which keeps nobody from writing."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            if connection.in_atomic_block:  # whoever began it has one view already
                yield
                return
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
    else:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield


# --- What becomes a line -------------------------------------------------------------------------


def freeze_rankings(project: Project, config: SnapshotConfig) -> Iterator[tuple[records.Line, list[int]]]:
    """A line a task that somebody judged, with every annotator's current word."""
    said = judgements_in(project, config)
    ids = said.order_by("task_id").values_list("task_id", flat=True).distinct().iterator(BATCH)
    with_everything = Task.objects.select_related("prompt").prefetch_related(
        Prefetch("responses", Response.objects.select_related("checkpoint")),
        Prefetch(
            "judgements",
            said.select_related("annotator").prefetch_related("placements", "verdicts").order_by("pk"),
        ),
    )
    for some in batched(ids, BATCH):
        for task in with_everything.filter(pk__in=some).order_by("pk"):
            words = list(task.judgements.all())
            yield ranking_line(task, words), [word.pk for word in words]


def freeze_demonstrations(project: Project, config: SnapshotConfig) -> Iterator[tuple[records.Line, list[int]]]:
    """A line a demonstration that is in force."""
    rows = Demonstration.objects.filter(chosen(config), simulated(config), project=project, is_current=True)
    if not config.include_gold:
        rows = rows.filter(Q(task=None) | Q(task__purpose=Task.Purpose.WORK))
    for row in rows.select_related("prompt", "annotator").order_by("pk").iterator(BATCH):
        line = records.DemonstrationLine(
            **head(str(row.pk), row.prompt),
            response=row.text,
            annotator=pseudonym(row.annotator),
            source=row.source or HERE,
            simulated=row.is_simulated,
        )
        yield line, [row.pk]


def freeze_prompts(project: Project, config: SnapshotConfig) -> Iterator[tuple[records.Line, list[int]]]:
    """A line a prompt that is not retired."""
    rows = Prompt.objects.filter(chosen(config), project=project, retired_at=None).exclude(messages=[])
    for row in rows.order_by("pk").iterator(BATCH):
        yield records.PromptLine(**head(str(row.pk), row), source=row.source or HERE), [row.pk]


FREEZERS: dict[str, Callable[[Project, SnapshotConfig], Iterator[tuple[records.Line, list[int]]]]] = {
    "rankings": freeze_rankings,
    "demonstrations": freeze_demonstrations,
    "prompts": freeze_prompts,
}
ROWS = {"rankings": "judgements", "demonstrations": "demonstrations", "prompts": "prompts"}


def judgements_in(project: Project, config: SnapshotConfig) -> QuerySet[Judgement]:
    """The words that enter a dataset of rankings."""
    rows = Judgement.objects.filter(chosen(config), simulated(config), project=project, is_current=True)
    return rows if config.include_gold else rows.filter(task__purpose=Task.Purpose.WORK)


def chosen(config: SnapshotConfig) -> Q:
    """Rows of the sources that were asked for."""
    sources = ["" if source == HERE else source for source in config.sources]
    return Q(source__in=sources) if sources else Q()


def simulated(config: SnapshotConfig) -> Q:
    """Simulated words only where they were asked for."""
    return Q() if config.include_simulated else Q(is_simulated=False)


def head(line_id: str, prompt: Prompt) -> dict[str, Any]:
    """What every line begins with."""
    return {
        "id": line_id,
        "split": prompt.split,
        "group": prompt.group,
        "prompt": tuple(records.Message(turn["role"], turn["content"]) for turn in prompt.messages),
    }


def ranking_line(task: Task, words: list[Judgement]) -> records.RankingLine:
    """A task with what was said of it; responses by id, so that their order tells nothing."""
    return records.RankingLine(
        **head(str(task.pk), task.prompt),
        responses=tuple(
            records.Response(
                id=str(response.pk),
                text=response.text,
                checkpoint=response.checkpoint.digest if response.checkpoint else None,
                author=response.writer or None,
            )
            for response in sorted(task.responses.all(), key=lambda response: str(response.pk))
        ),
        judgements=tuple(as_record(word) for word in words),
    )


def as_record(word: Judgement) -> records.Judgement:
    """One annotator's word, in the form in which it was said."""
    if word.form == Judgement.Form.VERDICTS:
        return records.VerdictsJudgement(
            annotator=pseudonym(word.annotator),
            verdicts=tuple(
                records.Verdict(a=str(said.a_id), b=str(said.b_id), verdict=cast("records.Word", said.word))
                for said in sorted(word.verdicts.all(), key=lambda said: said.pk)
            ),
            simulated=word.is_simulated,
        )
    return records.RankingJudgement(
        annotator=pseudonym(word.annotator),
        placements=rankings.as_records(word),
        flags=tuple(word.flags),
        note=word.note,
        guidelines=word.guidelines_version,
        shown=tuple(word.shown),
        seconds=word.seconds_spent,
        simulated=word.is_simulated,
    )


def pseudonym(annotator: User) -> str:
    """Who said it: a number for a person, the name that a file or a simulation gives otherwise."""
    if annotator.is_simulated:
        return annotator.username
    if annotator.username.startswith(IMPORTED) and not annotator.is_active:
        return annotator.name
    return f"annotator-{annotator.pk}"
