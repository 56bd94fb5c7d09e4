"""What an annotator submitted: read again as they saw it, and changed by a word that supersedes; each past word stays.

A change names the word that it replaces, so that two machines cannot overwrite each other unseen, and an edit id of the
sender's choice, so that sending it again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from labeling import demonstrations, queue, rankings
from labeling.models import Demonstration, Draft, Guidelines, Judgement, Kind, Lease
from labeling.turns import Turns
from training import access
from training.models import Membership
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.db.models import QuerySet

    from labeling.queue import Handout
    from training import records
    from training.models import Project, User


class NoSuchSubmission(Refusal):
    code, status = "not_found", 404
    message = "There is no such submission, or it is not yours."


class ChangedMeanwhile(Refusal):
    code, status = "changed_meanwhile", 409
    message = "You changed this in another place in the meantime. Open it again to see what stands now."


class NotARanking(Refusal):
    code, status = "not_a_ranking", 409
    message = "This was brought in as pairwise verdicts. It can be read, and stays as it was said."


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What an annotator said, with the task as they saw it."""

    handout: Handout
    """With the draft of a change, if one was begun and what it replaces still stands."""
    word: Judgement | Demonstration
    """What stands now."""
    changes: int
    """How many words it has superseded."""
    before: UUID | None
    """The lease of the same kind that they submitted before this one."""


def words_of(lease: Lease) -> QuerySet[Judgement] | QuerySet[Demonstration]:
    """Every word that was said with a lease."""
    if lease.kind == Kind.DEMONSTRATION:
        return Demonstration.objects.filter(lease=lease)
    return Judgement.objects.filter(lease=lease).prefetch_related("placements", "verdicts")


def of(annotator: User, *, project: Project, kind: str = "", text: str = "") -> QuerySet[Lease]:
    """What an annotator submitted; of one kind, or with a text in the prompt or in what they wrote, if asked for."""
    mine = Lease.objects.filter(annotator=annotator, project=project, state=Lease.State.SUBMITTED)
    if kind:
        mine = mine.filter(kind=kind)
    for word in text.split():
        written = Demonstration.objects.filter(lease=OuterRef("pk"), is_current=True, text__icontains=word)
        noted = Judgement.objects.filter(lease=OuterRef("pk"), is_current=True, note__icontains=word)
        mine = mine.alias(asked=Turns("task__prompt__messages")).filter(
            Q(asked__icontains=word) | Exists(written) | Exists(noted)
        )
    return mine


def mine(annotator: User, lease_id: UUID) -> Lease:
    """The annotator's own submitted lease, in a project that they still belong to. Raises NoSuchSubmission."""
    still_member = Membership.objects.active().filter(
        user=annotator, project=OuterRef("project"), role__in=access.LABELERS
    )
    lease = (
        Lease.objects.select_related("task")
        .filter(Exists(still_member), pk=lease_id, annotator=annotator, state=Lease.State.SUBMITTED)
        .first()
    )
    if lease is None:
        raise NoSuchSubmission
    return lease


def read(*, annotator: User, lease_id: UUID) -> Submission:
    """What the annotator said with a lease, and the task as they saw it."""
    lease = mine(annotator, lease_id)
    handout = queue.papers(lease)
    words = words_of(lease)
    word = words.get(is_current=True)
    if handout.draft and handout.draft.replaces != word.pk:
        handout = replace(handout, draft=None)
    older = Lease.objects.filter(
        annotator=annotator, project=lease.project_id, state=lease.state, kind=lease.kind, ended_at__lt=lease.ended_at
    )
    return Submission(
        handout=handout,
        word=word,
        changes=words.count() - 1,
        before=older.order_by("-ended_at").values_list("pk", flat=True).first(),
    )


@transaction.atomic(durable=True)
def change_ranking(
    *,
    annotator: User,
    lease_id: UUID,
    edit: UUID,
    replaces: int,
    placements: Sequence[records.Placement],
    flags: Sequence[str] = (),
    note: str = "",
    seconds_spent: float | None = None,
) -> tuple[Judgement, bool]:
    """Supersede a ranking by another, and whether that is news: the same edit sent twice changes nothing."""
    lease = locked(annotator=annotator, lease_id=lease_id, kind=Kind.RANKING)
    written = Judgement.objects.filter(lease=lease, edit=edit).first()
    if written:
        return written, False
    before = Judgement.objects.get(lease=lease, is_current=True)
    if before.form != Judgement.Form.RANKING:
        raise NotARanking
    if before.pk != replaces:
        raise ChangedMeanwhile(replaces=before.pk)
    rankings.validate(placements, lease.shown)
    rankings.check_flags(lease, placements, flags, before=before)
    stand_back(before)
    after = rankings.write(
        annotator=annotator,
        lease=lease,
        placements=placements,
        flags=flags,
        note=note,
        seconds_spent=seconds_spent,
        guidelines_version=guidelines_now(lease),
        supersedes=before,
        edit=edit,
    )
    return after, True


@transaction.atomic(durable=True)
def change_demonstration(
    *,
    annotator: User,
    lease_id: UUID,
    edit: UUID,
    replaces: int,
    text: str,
    started_from: UUID | None = None,
    seconds_spent: float | None = None,
) -> tuple[Demonstration, bool]:
    """Supersede a demonstration by another, and whether that is news: the same edit sent twice changes nothing."""
    lease = locked(annotator=annotator, lease_id=lease_id, kind=Kind.DEMONSTRATION)
    written = Demonstration.objects.filter(lease=lease, edit=edit).first()
    if written:
        return written, False
    before = Demonstration.objects.get(lease=lease, is_current=True)
    if before.pk != replaces:
        raise ChangedMeanwhile(replaces=before.pk)
    better = demonstrations.checked(text)
    demonstrations.check_start(lease, started_from)
    stand_back(before)
    after = demonstrations.write(
        annotator=annotator,
        lease=lease,
        text=better,
        started_from=started_from,
        is_conversation=before.is_conversation,
        seconds_spent=seconds_spent,
        guidelines_version=guidelines_now(lease),
        supersedes=before,
        edit=edit,
    )
    return after, True


def locked(*, annotator: User, lease_id: UUID, kind: str | None = None) -> Lease:
    """The annotator's submitted lease, locked until the transaction ends. Raises NoSuchSubmission."""
    try:
        lease = queue.locked(annotator=annotator, lease_id=lease_id, kind=kind)
    except queue.NoSuchLease as error:
        raise NoSuchSubmission from error
    if lease.state != Lease.State.SUBMITTED:
        raise NoSuchSubmission
    return lease


def stand_back(word: Judgement | Demonstration) -> None:
    """Let another word stand in this one's place; the draft of the change has served."""
    word.is_current = False
    word.save(update_fields=["is_current"])
    Draft.objects.filter(lease=word.lease_id).delete()


def guidelines_now(lease: Lease) -> int | None:
    """The version of the guidelines that a change is made under."""
    versions = (
        Guidelines.objects.filter(project=lease.project_id).order_by("-version").values_list("version", flat=True)
    )
    return versions.first()
