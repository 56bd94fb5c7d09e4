"""What reviewers do with what annotators said: accept it, return it, settle a task, ask for more, make it gold.

Nothing that was said is overwritten. A returned word stands until its annotator has changed it, and enters no dataset
meanwhile; a settled task's last word is a row of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F

from labeling import rankings, shelves
from labeling.models import (
    Candidate,
    Demonstration,
    Judgement,
    Kind,
    KnownAnswer,
    QualityReport,
    Review,
    Settlement,
    Standing,
    Task,
)
from training import audit
from training.records import Placement
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.models import User

KNOWN_SEATS = 30_000  # each annotator once, however many there come to be; the column holds no more than 32,767
Word = Judgement | Demonstration


class ChangedMeanwhile(Refusal):
    code, status = "changed_meanwhile", 409
    message = "Its annotator has said something else in the meantime. Look again before you decide."


class YourOwn(Refusal):
    code, status = "your_own_word", 409
    message = "You said this yourself; someone else reviews it."


class NoComment(Refusal):
    code, status = "no_comment", 422
    message = "Say what is wrong: the annotator reads it beside the task."


class NotARankingTask(Refusal):
    code, status = "not_a_ranking_task", 409
    message = "Only a ranking task can be settled or given a known answer."


class NothingSaid(Refusal):
    code, status = "nothing_said", 409
    message = "Nobody has judged this task yet. A known answer comes from one that was judged."


class NotOpen(Refusal):
    code, status = "not_open", 409
    message = "This task is handed out to nobody, so there is nothing to add or to take back."


class IsOpen(Refusal):
    code, status = "is_open", 409
    message = "This task is in the queue already."


class PromptRetired(Refusal):
    code, status = "prompt_retired", 409
    message = "The prompt of this task is retired. Take that back first, on the Prompts page."


class AlreadyKnown(Refusal):
    code, status = "already_known", 409
    message = "This task has a known answer already."


# --- One word --------------------------------------------------------------------------------------


@transaction.atomic
def accept(*, word: Word, by: User, comment: str = "") -> Review:
    """Say that a word is good. Raises YourOwn and ChangedMeanwhile."""
    return stand(word, by, Standing.ACCEPTED, comment)


@transaction.atomic
def send_back(*, word: Word, by: User, comment: str) -> Review:
    """Ask an annotator to look at their word again; until they change it, it enters no dataset.

    Raises NoComment, YourOwn and ChangedMeanwhile.
    """
    if not comment.strip():
        raise NoComment(comment=[NoComment.message])
    return stand(word, by, Standing.RETURNED, comment.strip())


def stand(word: Word, by: User, standing: Standing, comment: str) -> Review:
    """Write down what a reviewer says of a word, on the row that is locked."""
    if word.annotator_id == by.pk:
        raise YourOwn
    model = type(word)
    if not model.objects.select_for_update().filter(pk=word.pk, is_current=True).exists():
        raise ChangedMeanwhile
    model.objects.filter(pk=word.pk).update(standing=standing)
    name = "judgement" if isinstance(word, Judgement) else "demonstration"
    about = f"task {word.task_id}" if word.task_id else f"demonstration {word.pk}"
    did = "word.accepted" if standing == Standing.ACCEPTED else "word.returned"
    audit.record(project=word.project, by=by, did=did, to=word.annotator, about=about, word=word.pk, comment=comment)
    return Review.objects.create(project=word.project, **{name: word}, standing=standing, comment=comment, by=by)


# --- One task --------------------------------------------------------------------------------------


def locked(task: Task) -> Task:
    """The task as it is now, locked until the transaction ends."""
    return Task.objects.select_for_update(of=("self",)).select_related("project", "prompt").get(pk=task.pk)


@transaction.atomic
def settle(*, task: Task, by: User, ranks: Mapping[str, int], comment: str = "") -> Settlement:
    """Say the last word on a ranking task: dense ranks of all its responses. Nobody else is asked then.

    Raises NotARankingTask, and what `rankings.validate` raises.
    """
    found = locked(task)
    check_ranks(found, ranks)
    Settlement.objects.filter(task=found, is_current=True).update(is_current=False)
    made = Settlement.objects.create(task=found, ranks=dict(ranks), comment=comment, by=by)
    close(found)
    audit.record(project=found.project, by=by, did="task.settled", about=f"task {found.pk}", comment=comment)
    return made


def check_ranks(task: Task, ranks: Mapping[str, int]) -> None:
    """Refuse what is no ranking of a task's responses."""
    responses = [str(pk) for pk in task.candidates.order_by("pk").values_list("response_id", flat=True)]
    if task.kind != Kind.RANKING or not responses:
        raise NotARankingTask
    placements = [Placement(response=response, rank=rank) for response, rank in ranks.items()]
    rankings.validate(placements, responses, rated=False)


def close(task: Task) -> None:
    """Hand a locked task out to nobody any more; who holds it may still finish."""
    if task.state != Task.State.RETIRED:
        task.state = Task.State.RETIRED
        task.save(update_fields=["state"])


@transaction.atomic
def retire(*, task: Task, by: User) -> None:
    """Hand a task out to nobody any more; what was said stays. Raises NotOpen."""
    found = locked(task)
    if found.state == Task.State.RETIRED:
        raise NotOpen
    close(found)
    audit.record(project=found.project, by=by, did="task.retired", about=f"task {found.pk}")


@transaction.atomic
def put_back(*, task: Task, by: User) -> None:
    """Put a task that was set aside or retired into the queue again; who skipped it stays away from it.

    Raises IsOpen and PromptRetired.
    """
    found = locked(task)
    if found.state == Task.State.OPEN:
        raise IsOpen
    if found.prompt.retired_at:
        raise PromptRetired
    found.state, found.skips = Task.State.OPEN, 0
    found.save(update_fields=["state", "skips"])
    shelves.new_edition(found.project_id)
    audit.record(project=found.project, by=by, did="task.put_back", about=f"task {found.pk}")


@transaction.atomic
def ask_one_more(*, task: Task, by: User) -> None:
    """Give an open task one more seat. Raises NotOpen."""
    found = locked(task)
    if found.state != Task.State.OPEN:
        raise NotOpen
    Task.objects.filter(pk=found.pk).update(seats=F("seats") + 1, seats_left=F("seats_left") + 1)
    shelves.new_edition(found.project_id)
    audit.record(project=found.project, by=by, did="task.one_more", about=f"task {found.pk}")


@transaction.atomic
def make_known(*, task: Task, by: User, ranks: Mapping[str, int], purpose: str) -> Task:
    """Copy a judged task into one whose answer is known: gold among the work, or for qualification.

    A copy, so that what was said of the original stays work and enters datasets; who has seen the one is never given
    the other, and the original is handed out to nobody any more. Raises NotARankingTask, NothingSaid and AlreadyKnown.
    """
    found = locked(task)
    check_ranks(found, ranks)
    if found.purpose != Task.Purpose.WORK or KnownAnswer.objects.filter(origin=found).exists():
        raise AlreadyKnown
    if not Judgement.objects.filter(task=found, is_current=True).exists():
        raise NothingSaid
    made = Task.objects.create(
        project=found.project,
        kind=Kind.RANKING,
        prompt=found.prompt,
        purpose=purpose,
        seats=KNOWN_SEATS,
        seats_left=KNOWN_SEATS,
    )
    responses = found.candidates.order_by("pk").values_list("response_id", flat=True)
    Candidate.objects.bulk_create([Candidate(task=made, response_id=response) for response in responses])
    KnownAnswer.objects.create(task=made, origin=found, ranks=dict(ranks), by=by)
    close(found)
    QualityReport.objects.filter(project=found.project).delete()  # it measures people by known answers
    about = f"task {made.pk}"
    audit.record(project=found.project, by=by, did="task.made_known", about=about, origin=found.pk, purpose=purpose)
    return made
