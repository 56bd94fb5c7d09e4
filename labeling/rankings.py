"""Rankings with ties and ratings: what makes one whole and free of contradiction, and how it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from labeling import agreement, qualification, queue
from labeling.models import Judgement, Kind, Lease, Placement, Task
from labeling.words import as_record
from training import bulk, records
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from training.models import User


class Incomplete(Refusal):
    code, status = "incomplete_ranking", 422
    message = "Every response needs a place and a rating."


class Contradictory(Refusal):
    code, status = "contradictory_ranking", 422
    message = "The ranking contradicts itself."


class UnknownFlag(Refusal):
    code, status = "unknown_flag", 422
    message = "The project has no such flag."


def validate(placements: Sequence[records.Placement], responses: Collection[str], *, rated: bool = True) -> None:
    """Refuse what is no ranking of exactly these responses, naming what is wrong.

    Ranks are dense (1, 2, 2, 3); a better rank never has a lower rating; tied means equal rating; equal ratings may be
    ordered or tied. `rated` wants a rating of 1 to 7 everywhere; imported rankings may lack them.
    """
    placed = [place.response for place in placements]
    missing = [response for response in responses if response not in placed]
    if missing:
        raise Incomplete("Some responses have no place yet.", placements=missing)
    unrated = [place.response for place in placements if place.rating is None] if rated else []
    if unrated:
        raise Incomplete("Some responses have no rating yet.", ratings=unrated)
    strangers = [response for response in placed if response not in responses]
    if strangers:
        raise Contradictory("The ranking places responses that are not in this task.", placements=strangers)
    beyond = [place.response for place in placements if place.rating is not None and not 1 <= place.rating <= 7]
    if beyond:
        raise Contradictory("A rating lies between 1 and 7.", ratings=beyond)
    wrong = records.contradiction(placements, responses)
    if wrong:
        raise Contradictory(f"The placements {wrong}.", placements=placed)


def check_flags(
    lease: Lease,
    placements: Sequence[records.Placement],
    flags: Collection[str],
    *,
    before: Judgement | None = None,
) -> None:
    """Refuse flags that the project's label set lacks; those that the word `before` raised may stay where they are."""
    settings = queue.settings_of(lease.project)
    on_responses = {(place.response, flag) for place in placements for flag in place.flags}
    on_task = set(flags)
    if before is not None:
        stay = before.placements.values_list("response_id", "flags")
        on_responses -= {(str(response), flag) for response, raised in stay for flag in raised}
        on_task -= set(before.flags)
    for where, raised in (("response", {flag for _, flag in on_responses}), ("task", on_task)):
        unknown = sorted(raised - settings.flag_keys(where))
        if unknown:
            raise UnknownFlag(f"The project has no {where} flag called {', '.join(unknown)}.", flags=unknown)


@transaction.atomic(durable=True)
def submit(
    *,
    annotator: User,
    lease_id: UUID,
    placements: Sequence[records.Placement],
    flags: Sequence[str] = (),
    note: str = "",
    seconds_spent: float | None = None,
) -> tuple[Judgement, bool]:
    """Record what the annotator said, and whether that is news: saying it twice with one lease changes nothing."""
    lease = queue.locked(annotator=annotator, lease_id=lease_id, kind=Kind.RANKING)
    if lease.state == Lease.State.SUBMITTED:
        return Judgement.objects.get(lease=lease, supersedes=None), False
    validate(placements, lease.shown)
    check_flags(lease, placements, flags)
    queue.settle(lease)
    judgement = write(
        annotator=annotator,
        lease=lease,
        placements=placements,
        flags=flags,
        note=note,
        seconds_spent=seconds_spent,
        guidelines_version=lease.guidelines_version,
    )
    ask_another(lease)
    qualification.decide(lease, queue.settings_of(lease.project))
    return judgement, True


def ask_another(lease: Lease) -> None:
    """Give a task of two seats a third one where its two annotators disagree more than the project lets them.

    The task is locked, and `lease.task` is as it was before this submission.
    """
    task, least = lease.task, queue.settings_of(lease.project).extra_below
    if least is None or (task.seats, task.served) != (2, 1) or task.purpose != Task.Purpose.WORK:
        return
    words = Judgement.objects.filter(task=task, is_current=True).prefetch_related("placements", "verdicts")
    said = [as_record(word, annotator=str(word.annotator_id)) for word in words]
    share = agreement.pairwise({"": said}, ties="half").share
    if share is not None and 100 * share.value < least:
        queue.add_seats(tasks=Task.objects.filter(pk=task.pk), seats=3)


def write(
    *,
    annotator: User,
    lease: Lease,
    placements: Sequence[records.Placement],
    flags: Sequence[str],
    note: str,
    seconds_spent: float | None,
    guidelines_version: int | None,
    supersedes: Judgement | None = None,
    edit: UUID | None = None,
) -> Judgement:
    """Write a ranking down as it was said; part of each submission's transaction."""
    judgement = bulk.add(
        Judgement(
            project=lease.project,
            task=lease.task,
            lease=lease,
            annotator=annotator,
            form=Judgement.Form.RANKING,
            shown=lease.shown,
            flags=list(flags),
            note=note,
            guidelines_version=guidelines_version,
            seconds_spent=seconds_spent,
            is_simulated=annotator.is_simulated,
            supersedes=supersedes,
            edit=edit,
        )
    )
    place(judgement, placements)
    return judgement


def place(judgement: Judgement, placements: Sequence[records.Placement]) -> None:
    """Write a ranking's placements."""
    bulk.add(
        *(
            Placement(
                judgement=judgement,
                response_id=placed.response,
                rank=placed.rank,
                rating=placed.rating,
                flags=list(placed.flags),
            )
            for placed in placements
        )
    )
