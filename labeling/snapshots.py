"""Freezing what people said into a dataset: one view of the database, exact revisions, one line a task."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from labeling import merging, words
from labeling.batches import batched
from labeling.config import SnapshotConfig
from labeling.models import Candidate, Demonstration, Judgement, Prompt, Settlement, Standing, Task
from training import ahead, code_revision, records
from training import config as configs
from training.composed import Composed
from training.models import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from django.db.models import QuerySet

    from labeling.merging import Merged
    from training.models import Job, Project

BATCH = 800
HERE = "here"
IMPORTED = "imported-"


def take(job: Job, folder: Path) -> None:
    """Write the dataset of a labeling.snapshot job: its lines, its card, and the exact rows that they were made of."""
    config = configs.parse(SnapshotConfig, job.config)
    with one_view():
        card = write(job.project, config, folder)
    card |= {"config": configs.to_json(config), "project": job.project.slug, "code_revision": code_revision.current()}
    (folder / "card.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


Plain = dict[str, Any]
Line = records.Writable | records.Written
Rows = dict[str, list[int]]
"""The rows that a line was made of, by what they are."""
Frozen = Generator[tuple[Line, Rows], None, None]


def write(project: Project, config: SnapshotConfig, folder: Path) -> dict[str, Any]:
    """Write `data.jsonl`, and `revisions.json` with the ids of the rows that it holds; the counts."""
    revisions: Rows = {name: [] for name in ROWS[config.what]}

    def kept(lines: Frozen) -> Iterator[Line]:
        for line, rows in lines:
            for name, ids in rows.items():
                revisions[name] += ids
            yield line

    with closing(FREEZERS[config.what](project, config)) as lines:  # whatever happens, nothing is asked ahead any more
        card = records.write_lines(kept(lines), folder, kind=config.what)
    (folder / "revisions.json").write_text(json.dumps(revisions) + "\n")
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
            # A snapshot asks for some hundred rows by their keys, again and again. Where those are a few percent of a
            # table, the planner would read all of it each time, which makes a snapshot's time grow with its square.
            cursor.execute("SET LOCAL enable_seqscan = off")
            yield


# --- What becomes a line -------------------------------------------------------------------------


def freeze_rankings(project: Project, config: SnapshotConfig) -> Frozen:
    """A line a task that somebody judged or settled, with the words that were asked for."""
    said, tasks = judgements_in(project, config), tasks_in(project, config)
    merged = merge(said.filter(task__in=tasks)) if config.words == "merged" else {}
    settled = Settlement.objects.filter(is_current=True, task__in=tasks)
    keeps_all = config.words == "all"
    spoken_of = partial(with_words, tasks, (said,) if keeps_all else (said, settled))
    asked = [
        Composed(of_tasks, first=Task.id, last=Task.id)
        for of_tasks in (
            lambda first, last: beginnings_of(
                spoken_of(task__gte=first, task__lte=last).filter(pk__gte=first, pk__lte=last)
            ),
            partial(words.rows_of, said),
            words.places_of,
            lambda first, last: settled.filter(task__gte=first, task__lte=last).values_list("task_id", "pk", "ranks"),
            responses_of,
        )
    ]
    keys = array("q", spoken_of().values_list("pk", flat=True).iterator())
    sets = ([each.ask(first=some[0], last=some[-1]) for each in asked] for some in batched(keys, BATCH))
    names = Pseudonyms()
    for beginnings, spoken, places, last_words, written in ahead.answers(sets):
        words_of: dict[int, list[words.PlainWord]] = defaultdict(list)
        for word in words.plain(spoken, places, names):
            words_of[word.task].append(word)
        settlements = {task: (pk, ranks) for task, pk, ranks in last_words}
        responses = responses_by_task(written)
        for task, split, group, messages in beginnings:
            compared, judgements, rows = what_stands(
                responses[task],
                words_of[task],
                settlement=settlements.get(task),
                merged=merged.get(str(task)),
                keeps_all=keeps_all,
            )
            if len(compared) > 1:
                prompt = [{"role": turn["role"], "content": turn["content"]} for turn in orjson.loads(messages)]
                begun = records.plain_head(str(task), split, group, prompt)
                yield records.Written(split, records.ranking_line(begun, compared, judgements)), rows


def with_words(
    tasks: QuerySet[Task], words_of: Iterable[QuerySet[Judgement] | QuerySet[Settlement]], **which: Any
) -> QuerySet[Task]:
    """The tasks on which there are such words, in their order."""
    asked = Q()
    for said in words_of:
        asked |= Q(pk__in=said.filter(**which).values("task_id"))
    return tasks.filter(asked).order_by("pk")


def beginnings_of(tasks: QuerySet[Task]) -> QuerySet[Task, Any]:
    """What the lines of tasks begin with: id, split, group, messages."""
    return tasks.values_list("pk", "prompt__split", "prompt__group", Cast("prompt__messages", TextField()))


def merge(said: QuerySet[Judgement]) -> dict[str, Merged]:
    """The merged ranking of each task, with reliabilities learned from all of them."""
    tasks: dict[str, list[records.Judgement]] = {}
    names = Pseudonyms()
    about = said.order_by("task_id").values_list("task_id", flat=True).distinct()
    for some in batched(about.iterator(BATCH), BATCH):
        for word in words.read(said, some[0], some[-1], names):
            tasks.setdefault(str(word.task), []).append(word.record)
    return merging.merge_all(tasks).rankings


def freeze_demonstrations(project: Project, config: SnapshotConfig) -> Frozen:
    """A line a demonstration that is in force; a conversation has a line for each of its ideal turns."""
    rows = Demonstration.objects.filter(chosen(config), simulated(config), project=project, is_current=True)
    rows = rows.exclude(standing=Standing.RETURNED)
    if not config.include_gold:
        rows = rows.filter(Q(task=None) | Q(task__purpose=Task.Purpose.WORK))
    for row in rows.select_related("prompt", "annotator").order_by("pk").iterator(BATCH):
        for turn in earlier_turns(row.prompt) if row.is_conversation else ():
            yield demonstration_line(row, turn), {}
        yield demonstration_line(row), {"demonstrations": [row.pk]}


def earlier_turns(prompt: Prompt) -> list[int]:
    """Where the assistant speaks in a prompt."""
    return [place for place, turn in enumerate(prompt.messages) if turn["role"] == "assistant"]


def demonstration_line(row: Demonstration, turn: int | None = None) -> records.DemonstrationLine:
    """What an annotator wrote, or the assistant's turn at one place of the prompt, with what came before it."""
    line = records.DemonstrationLine(
        **head(str(row.pk), row.prompt.split, row.prompt.group, row.prompt.messages),
        response=row.text,
        annotator=pseudonym(row.annotator),
        source=row.source or HERE,
        simulated=row.is_simulated,
        started_from=str(row.started_from_id) if row.started_from_id else None,
    )
    if turn is None:
        return line
    said = line.prompt
    return replace(line, id=f"{row.pk}.{turn}", prompt=said[:turn], response=said[turn].content)


def freeze_prompts(project: Project, config: SnapshotConfig) -> Frozen:
    """A line a prompt that is not retired."""
    rows = Prompt.objects.filter(chosen(config), project=project, retired_at=None).exclude(messages=[])
    for row in rows.order_by("pk").iterator(BATCH):
        line = records.PromptLine(**head(str(row.pk), row.split, row.group, row.messages), source=row.source or HERE)
        yield line, {"prompts": [row.pk]}


FREEZERS: dict[str, Callable[[Project, SnapshotConfig], Frozen]] = {
    "rankings": freeze_rankings,
    "demonstrations": freeze_demonstrations,
    "prompts": freeze_prompts,
}
ROWS = {
    "rankings": ("judgements", "settlements"),
    "demonstrations": ("demonstrations",),
    "prompts": ("prompts",),
}


def judgements_in(project: Project, config: SnapshotConfig) -> QuerySet[Judgement]:
    """The words that enter a dataset of rankings, where their task does.

    One that a reviewer returned waits until it is changed.
    """
    rows = Judgement.objects.filter(chosen(config), simulated(config), project=project, is_current=True)
    return rows.exclude(standing=Standing.RETURNED)


def tasks_in(project: Project, config: SnapshotConfig) -> QuerySet[Task]:
    """The tasks that may enter a dataset."""
    rows = Task.objects.filter(project=project)
    return rows if config.include_gold else rows.filter(purpose=Task.Purpose.WORK)


def chosen(config: SnapshotConfig) -> Q:
    """Rows of the sources that were asked for."""
    sources = ["" if source == HERE else source for source in config.sources]
    return Q(source__in=sources) if sources else Q()


def simulated(config: SnapshotConfig) -> Q:
    """Simulated words only where they were asked for."""
    return Q() if config.include_simulated else Q(is_simulated=False)


def head(line_id: str, split: str, group: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What every line begins with: its id, and of its prompt what belongs to a line."""
    return {
        "id": line_id,
        "split": split,
        "group": group,
        "prompt": tuple(records.Message(turn["role"], turn["content"]) for turn in messages),
    }


def what_stands(
    responses: list[Plain],
    said: list[words.PlainWord],
    *,
    settlement: tuple[int, dict[str, int]] | None,
    merged: Merged | None,
    keeps_all: bool,
) -> tuple[list[Plain], list[Plain], Rows]:
    """A task's responses and what was said of them, as they stand in its line, and the rows behind that.

    settlement: its row and its ranks. A settled or merged ranking stands alone, under a name that is nobody's; of what
    nobody compared a merged one says nothing, and neither does its line.
    """
    judgements = [word.plain for word in said]
    rows: Rows = {"judgements": [word.pk for word in said], "settlements": [settlement[0]] if settlement else []}
    if settlement:
        last_word = words.of_ranks(settlement[1], annotator="settled").plain()
        judgements = [last_word, *judgements] if keeps_all else [last_word]
        rows["judgements"] = rows["judgements"] if keeps_all else []
    elif merged:
        judgements = [words.of_ranks(merged.ranks, annotator="merged").plain()]
        responses = [response for response in responses if response["id"] in merged.ranks]
    return responses, judgements, rows


def responses_of(first: int, last: int) -> QuerySet[Candidate, Any]:
    """The responses that lie in the tasks from one to another: task, id, text, checkpoint, writer."""
    rows = Candidate.objects.filter(task__gte=first, task__lte=last).annotate(key=words.KeyText("response_id"))
    written = ("response__text", "response__checkpoint__digest", "response__writer")
    return rows.values_list("task_id", "key", *written)


def responses_by_task(rows: Iterable[tuple[int, str, str, str | None, str]]) -> dict[int, list[Plain]]:
    """The responses of each task; by id, so that their order tells nothing."""
    found: dict[int, list[Plain]] = defaultdict(list)
    for task, key, text, checkpoint, writer in rows:
        found[task].append(records.plain_response(key, text, checkpoint, writer or None))
    for responses in found.values():
        responses.sort(key=itemgetter("id"))
    return found


class Pseudonyms(dict[int, str]):
    """Who said it, by the number of their row; each person is looked up once."""

    def __missing__(self, annotator: int) -> str:
        self[annotator] = name = pseudonym(User.objects.get(pk=annotator))
        return name


def pseudonym(annotator: User) -> str:
    """Who said it: a number for a person, the name that a file or a simulation gives otherwise."""
    if annotator.is_simulated:
        return annotator.username
    if annotator.username.startswith(IMPORTED) and not annotator.is_active:
        return annotator.name
    return f"annotator-{annotator.pk}"
