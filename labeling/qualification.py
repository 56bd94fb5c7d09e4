"""Whether an annotator may do real work yet: their first tasks have known answers, which they must mostly give.

Annotators alone are asked; simulated ones, and those who worked here before there was a rule, are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.timezone import now

from labeling import agreement
from labeling.models import Judgement, KnownAnswer, LabelingSettings, Lease, Qualification, Task
from labeling.words import as_record, of_ranks
from training import audit
from training.models import Membership
from training.refusals import Refusal

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from training.models import Project, User

State = Qualification.State
QUALIFICATION = Task.Purpose.QUALIFICATION


class NotQualified(Refusal):
    code, status = "not_qualified", 403
    message = "You did not pass this project's first tasks. Its leads can let you try again."


class QualifyFirst(Refusal):
    code, status = "qualify_first", 409
    message = "This project begins with a few tasks to rank, which show that you know its guidelines. Rank them first."


class NothingToTry(Refusal):
    code, status = "nothing_to_try", 409
    message = "There is no qualification task that this person has not seen. Make another one first."


def unseen(annotator: User, purpose: str = QUALIFICATION) -> QuerySet[Task]:
    """The tasks with known answers that an annotator has not seen; one whose origin they judged, they have seen."""
    seen = Lease.objects.filter(annotator=annotator).exclude(state=Lease.State.GIVEN_BACK)
    return Task.objects.filter(
        ~Exists(seen.filter(task=OuterRef("pk"))),
        ~Exists(seen.filter(task__known_copies=OuterRef("pk"))),
        purpose=purpose,
        state=Task.State.OPEN,
        seats_left__gt=0,
    )


def decide(lease: Lease, settings: LabelingSettings) -> None:
    """Decide, once enough qualification tasks are answered or none is left; part of the transaction that ends a lease.

    The membership is locked, so that of two answers at once the second sees the first.
    """
    if lease.task.purpose != QUALIFICATION or not settings.qualification_tasks:
        return
    Membership.objects.select_for_update().get(project=lease.project_id, user=lease.annotator_id)
    before = Qualification.objects.filter(project=lease.project_id, annotator=lease.annotator_id).first()
    if before and before.state != State.AGAIN:
        return
    tried = Lease.objects.filter(project=lease.project_id, annotator=lease.annotator_id, task__purpose=QUALIFICATION)
    if before:
        tried = tried.filter(created_at__gte=before.decided_at)
    answered = list(tried.filter(state=Lease.State.SUBMITTED).values_list("pk", flat=True))
    if len(answered) < settings.qualification_tasks and (
        tried.filter(state=Lease.State.LIVE).exists()
        or unseen(lease.annotator).filter(project=lease.project_id).exists()
    ):
        return
    share = agreement_with_known(Judgement.objects.filter(lease__in=answered, is_current=True))
    passed = share is not None and 100 * share >= settings.qualification_percent
    Qualification.objects.update_or_create(
        project=lease.project,
        annotator=lease.annotator,
        defaults={
            "state": State.PASSED if passed else State.FAILED,
            "share": share,
            "tasks": len(answered),
            "decided_by": None,
            "decided_at": now(),
        },
    )


def agreement_with_known(words: QuerySet[Judgement]) -> float | None:
    """The share of the pairs that someone's words put as the known answers do, ties counting half; None without any."""
    said = list(words.prefetch_related("placements", "verdicts"))
    answers = KnownAnswer.objects.in_bulk([word.task_id for word in said])
    found = agreement.against_gold(
        {str(word.task_id): [as_record(word, annotator="them")] for word in said},
        {str(task): of_ranks(answer.ranks, annotator="known") for task, answer in answers.items()},
        ties="half",
    ).get("them")
    return found.share.value if found and found.share else None


@transaction.atomic
def let_through(*, project: Project, annotator: User, by: User) -> Qualification:
    """Let an annotator do real work, whatever their first tasks were like."""
    return overrule(project, annotator, by, State.PASSED)


@transaction.atomic
def let_try_again(*, project: Project, annotator: User, by: User) -> Qualification:
    """Let an annotator try on qualification tasks that they have not seen. Raises NothingToTry."""
    if not unseen(annotator).filter(project=project).exists():
        raise NothingToTry
    return overrule(project, annotator, by, State.AGAIN)


def overrule(project: Project, annotator: User, by: User, state: str) -> Qualification:
    """Write a lead's decision down; part of the transaction that takes it."""
    found, _ = Qualification.objects.update_or_create(
        project=project,
        annotator=annotator,
        defaults={"state": state, "decided_by": by, "decided_at": now()},
    )
    audit.record(project=project, by=by, did="qualification.overruled", to=annotator, state=state)
    return found
