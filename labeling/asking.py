"""Asking people about a conversation that someone had: for the ideal reply, or which of several replies is better.

A prompt from a conversation stands in the split of how the conversation began, so that its turns stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from labeling import prompts, queue, shelves
from labeling.models import Kind, Response, Task
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labeling.models import Prompt
    from labeling.queue import Handout
    from training.models import Checkpoint, Project, User

SOURCE = "chat"


class NothingToCompare(Refusal):
    code, status = "nothing_to_compare", 422
    message = "The model wrote the same reply each time. Raise the temperature, or ask something with more answers."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a checkpoint wrote, and how."""

    text: str
    seed: int
    sample: int
    """Which of the replies under that seed it is."""
    finished: bool
    token_count: int | None = None
    logprob: float | None = None
    """Of the whole reply, in nats."""


@transaction.atomic(durable=True)
def for_demonstration(*, project: Project, messages: Sequence[Mapping[str, Any]]) -> tuple[Prompt, bool]:
    """Ask for the ideal reply to a conversation, and whether that is news: asking twice opens one task.

    Raises NotAPrompt where the conversation does not end with the user's turn.
    """
    prompt = prompts.add(project=project, messages=messages, source=SOURCE)
    return prompt, queue.ask_for_demonstrations(project=project, wanted=[prompt]) > 0


def check_hands(*, annotator: User, project: Project) -> None:
    """Refuse those who may not label here or not now, before anything is written. Raises what `Desk.check` raises."""
    queue.desk_of(annotator=annotator, slug=project.slug, kind=Kind.RANKING).check_real_work()


def different(replies: Sequence[Reply]) -> list[Reply]:
    """The replies that say something, each text once."""
    found: dict[str, Reply] = {}
    for each in replies:
        if text := queue.readable(each.text):
            found.setdefault(text, each)
    return list(found.values())


@transaction.atomic(durable=True)
def for_ranking(
    *,
    project: Project,
    messages: Sequence[Mapping[str, Any]],
    replies: Sequence[Reply],
    checkpoint: Checkpoint,
    sampling: Mapping[str, Any],
    annotator: User | None = None,
) -> tuple[Task, Handout | None]:
    """Open a ranking task of a checkpoint's replies to a conversation; an annotator takes its first seat at once.

    Raises NotAPrompt, NothingToCompare where fewer than two replies differ, NotAllowed and TooManyLeases.
    """
    compared = different(replies)
    if len(compared) < 2:
        raise NothingToCompare
    prompt = prompts.add(project=project, messages=messages, source=SOURCE)
    written = Response.objects.bulk_create(
        Response(
            prompt=prompt,
            text=queue.readable(each.text),
            checkpoint=checkpoint,
            sample=each.sample,
            seed=each.seed,
            sampling=dict(sampling),
            logprob=each.logprob,
            token_count=each.token_count,
            finished=each.finished,
        )
        for each in compared
    )
    task = queue.open_task(queue.settings_of(project), Kind.RANKING, prompt, priority=prompt.priority)
    task.seats_left -= annotator is not None
    task.save()
    queue.link([(task, written)])
    if task.seats_left:
        shelves.new_edition(project.pk)
    return task, hand_to(annotator, task, prompt, written) if annotator else None


def hand_to(annotator: User, task: Task, prompt: Prompt, responses: list[Response]) -> Handout:
    """Lay a new task, whose seat is taken already, into the hands of the annotator who asked for it."""
    desk = queue.desk_of(annotator=annotator, slug=task.project.slug, kind=task.kind)
    desk.check_real_work()
    try:
        with transaction.atomic():
            lease = queue.lease_of(desk, task=task.pk, kind=task.kind, annotator=annotator, responses=responses)
    except IntegrityError as error:  # another request of the same annotator took the slot
        raise queue.TooManyLeases from error
    return queue.Handout(lease=lease, prompt=prompt, responses=responses)
