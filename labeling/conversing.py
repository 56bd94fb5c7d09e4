"""Converse: one annotator plays both sides, the user and the ideal assistant, and makes a demonstration from nothing.

What came before the last turn becomes a prompt of the project, in the split of how it began; the last turn is the
demonstration. The assistant's earlier turns are the annotator's ideal responses too, and become lines of their own when
demonstrations are frozen.

It is work that no queue hands out, so the project's rules are asked here: who has still to qualify begins and submits
none, and who has done a day's work begins none. What was begun may be finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils.timezone import now

from labeling import acknowledgements, demonstrations, prompts, queue
from labeling.models import Conversation, Demonstration, Kind, Lease, Task
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from training.models import Project, User

SOURCE = "converse"
SIDES = ("user", "assistant")


class NoSuchConversation(Refusal):
    code, status = "not_found", 404
    message = "There is no such conversation, or it is not yours."


class NotAConversation(Refusal):
    code, status = "not_a_conversation", 422
    message = "A conversation begins with the user, goes back and forth, and ends with the assistant."


class ConversationSubmitted(Refusal):
    code, status = "conversation_submitted", 409
    message = "This conversation was submitted. Open it in what you did to change it."


def unfinished(annotator: User, project: Project) -> Conversation | None:
    """What they wrote last and have not submitted."""
    mine = Conversation.objects.filter(annotator=annotator, project=project)
    return mine.order_by("-saved_at", "pk").first()


def check_rules(annotator: User, project: Project) -> None:
    """Refuse to begin what the project's rules do not let them do now. Raises what `Desk.check` raises, slots apart."""
    desk = queue.desk_of(annotator=annotator, slug=project.slug, kind=Kind.DEMONSTRATION)
    desk.check_day()
    desk.check_first_tasks(Kind.DEMONSTRATION)


def checked(turns: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The turns, without white space around them. Raises NotAConversation, which names the turn that is wrong."""
    said = [{"role": turn["role"], "content": turn["content"].strip()} for turn in turns]
    for place, turn in enumerate(said):
        if turn["role"] != SIDES[place % 2]:
            raise NotAConversation(turns=[place])
        if not turn["content"]:
            raise NotAConversation(f"The {turn['role']}'s turn number {place // 2 + 1} is empty.", turns=[place])
    if not said or len(said) % 2:
        raise NotAConversation("The conversation ends with the assistant's turn; there is none yet.", turns=[len(said)])
    return said


@transaction.atomic(durable=True)
def save(*, annotator: User, project: Project, conversation_id: UUID, body: Any) -> Conversation:
    """Keep an unfinished conversation, so that any machine can go on with it.

    Raises NoSuchConversation for someone else's, ConversationSubmitted for one that is over, and what `check_rules`
    raises for a new one.
    """
    refuse_what_is_over(annotator, project, conversation_id)
    kept = Conversation.objects.select_for_update().filter(pk=conversation_id).first()
    if kept is None:
        check_rules(annotator, project)
    elif (kept.annotator_id, kept.project_id) != (annotator.pk, project.pk):
        raise NoSuchConversation
    conversation, _ = Conversation.objects.update_or_create(
        pk=conversation_id, defaults={"annotator": annotator, "project": project, "body": body, "saved_at": now()}
    )
    return conversation


def refuse_what_is_over(annotator: User, project: Project, conversation_id: UUID) -> None:
    """Raise what there is to say of a conversation that was submitted."""
    lease = Lease.objects.filter(pk=conversation_id).first()
    if lease is None:
        return
    if (lease.annotator_id, lease.project_id) != (annotator.pk, project.pk):
        raise NoSuchConversation
    raise ConversationSubmitted


@transaction.atomic(durable=True)
def discard(*, annotator: User, project: Project, conversation_id: UUID) -> None:
    """Throw an unfinished conversation away. Raises NoSuchConversation."""
    mine = Conversation.objects.filter(pk=conversation_id, annotator=annotator, project=project)
    if not mine.delete()[0]:
        raise NoSuchConversation


def submit(
    *,
    annotator: User,
    project: Project,
    conversation_id: UUID,
    turns: Sequence[Mapping[str, str]],
    seconds_spent: float | None = None,
) -> tuple[Demonstration, bool]:
    """Record a conversation, and whether that is news: sending it twice changes nothing.

    Raises NotAConversation where it is not finished, NoSuchConversation where the id is someone else's, NotQualified or
    QualifyFirst where its writer may not do real work yet.
    """
    said = checked(turns)
    try:
        return write(
            annotator=annotator,
            project=project,
            conversation_id=conversation_id,
            said=said,
            seconds_spent=seconds_spent,
        )
    except IntegrityError:  # the same conversation arrived twice at once: the other one is written
        return written(annotator, project, conversation_id), False


@transaction.atomic(durable=True)
def write(
    *,
    annotator: User,
    project: Project,
    conversation_id: UUID,
    said: Sequence[Mapping[str, str]],
    seconds_spent: float | None,
) -> tuple[Demonstration, bool]:
    """Write the prompt, a task whose only seat is served, its lease and the demonstration."""
    if Lease.objects.filter(pk=conversation_id).exists():
        return written(annotator, project, conversation_id), False
    desk = queue.desk_of(annotator=annotator, slug=project.slug, kind=Kind.DEMONSTRATION)
    desk.check_first_tasks(Kind.DEMONSTRATION)
    prompt = prompts.add(project=project, messages=said[:-1], source=SOURCE)
    task = Task.objects.create(project=project, kind=Kind.DEMONSTRATION, prompt=prompt, seats=1, seats_left=0, served=1)
    guidelines = acknowledgements.in_force(project)
    moment = now()
    lease = Lease.objects.create(
        pk=conversation_id,
        project=project,
        kind=Kind.DEMONSTRATION,
        task=task,
        annotator=annotator,
        state=Lease.State.SUBMITTED,
        guidelines_version=guidelines.version if guidelines else None,
        expires_at=moment,
        ended_at=moment,
    )
    demonstration = demonstrations.write(
        annotator=annotator,
        lease=lease,
        text=said[-1]["content"],
        seconds_spent=seconds_spent,
        guidelines_version=lease.guidelines_version,
        is_conversation=True,
    )
    Conversation.objects.filter(pk=conversation_id, annotator=annotator).delete()
    return demonstration, True


def written(annotator: User, project: Project, conversation_id: UUID) -> Demonstration:
    """What a conversation was recorded as. Raises NoSuchConversation where that is not theirs."""
    mine = Demonstration.objects.filter(annotator=annotator, project=project, is_conversation=True, supersedes=None)
    found = mine.filter(lease=conversation_id).first()
    if found is None:
        raise NoSuchConversation
    return found
