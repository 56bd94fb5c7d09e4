"""Where one annotator stands in a project: their first tasks, what is left of their day, and how far they agree."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labeling import agreement, queue
from labeling.models import Judgement, Kind, Lease, Task
from labeling.words import as_record, of_ranks

if TYPE_CHECKING:
    from labeling.agreement import Agreement
    from training.models import Project, User
    from training.records import Judgement as Word

NEWEST = 500  # of someone's words: what they agreed with long ago says little of how they judge now
ME = "me"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTasks:
    """How far someone is with the tasks that let them do real work."""

    failed: bool
    done: int
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What an annotator may know of themselves."""

    first_tasks: FirstTasks | None
    """None for those who may do real work."""
    left_today: int | None
    """How many more tasks they may take today; None where there is no limit."""
    shows_agreement: bool
    others: Agreement | None
    """With the people who judged the same tasks."""
    known: Agreement | None
    """With the known answers; which tasks have one is not told."""


def of(annotator: User, project: Project) -> Standing:
    """Where someone stands; what the project does not let them see is left out."""
    desk = queue.desk_of(annotator=annotator, slug=project.slug, kind=Kind.RANKING)
    limit, shows = desk.settings.daily_limit, desk.settings.shows_agreement
    return Standing(
        first_tasks=first_tasks(annotator, desk) if desk.first_tasks else None,
        left_today=None if limit is None else max(0, limit - desk.done_today),
        shows_agreement=shows,
        others=with_others(annotator, project) if shows else None,
        known=with_known_answers(annotator, project) if shows else None,
    )


def first_tasks(annotator: User, desk: queue.Desk) -> FirstTasks:
    """What they have answered, of what is asked of them."""
    assert desk.first_tasks is not None  # noqa: S101 (the caller looked)
    held = Lease.objects.filter(
        annotator=annotator,
        project=desk.project,
        state=Lease.State.LIVE,
        task__purpose=Task.Purpose.QUALIFICATION,
    ).count()
    return FirstTasks(
        failed=desk.first_tasks.failed,
        done=desk.first_tasks.tried - held,
        needed=desk.settings.qualification_tasks,
    )


def with_others(annotator: User, project: Project) -> Agreement | None:
    """How far someone agrees with the people who judged the same tasks, on the newest of them."""
    work = Judgement.objects.filter(project=project, is_current=True, task__purpose=Task.Purpose.WORK)
    mine = list(work.filter(annotator=annotator).order_by("-pk").values_list("task_id", flat=True)[:NEWEST])
    tasks: dict[str, list[Word]] = defaultdict(list)
    for word in work.filter(task__in=mine, is_simulated=False).prefetch_related("placements", "verdicts"):
        name = ME if word.annotator_id == annotator.pk else str(word.annotator_id)
        tasks[str(word.task_id)].append(as_record(word, annotator=name))
    shared = {task: words for task, words in tasks.items() if len(words) > 1}
    return agreement.against_rest(shared).get(ME)


def with_known_answers(annotator: User, project: Project) -> Agreement | None:
    """How far someone agrees with the answers of gold and qualification tasks, on the newest of them."""
    measured = Judgement.objects.filter(
        project=project, annotator=annotator, is_current=True, task__known_answer__isnull=False
    )
    with_answers = measured.select_related("task__known_answer").prefetch_related("placements", "verdicts")
    words = list(with_answers.order_by("-pk")[:NEWEST])
    said = {str(word.task_id): [as_record(word, annotator=ME)] for word in words}
    answers = {str(word.task_id): of_ranks(word.task.known_answer.ranks, annotator="known") for word in words}
    return agreement.against_gold(said, answers).get(ME)
