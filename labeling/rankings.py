"""Rankings with ties and ratings: what makes one whole and free of contradiction, and how it is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from labeling import queue
from labeling.models import Judgement, Kind, Lease, Placement
from training import records
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


def check_flags(lease: Lease, placements: Sequence[records.Placement], flags: Collection[str]) -> None:
    """Refuse flags that the project's label set lacks."""
    settings = queue.settings_of(lease.project)
    for where, raised in (("response", {flag for place in placements for flag in place.flags}), ("task", set(flags))):
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
    return judgement, True


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
    judgement = Judgement.objects.create(
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
    place(judgement, placements)
    return judgement


def place(judgement: Judgement, placements: Sequence[records.Placement]) -> None:
    """Write a ranking's placements."""
    Placement.objects.bulk_create(
        [
            Placement(
                judgement=judgement,
                response_id=placed.response,
                rank=placed.rank,
                rating=placed.rating,
                flags=list(placed.flags),
            )
            for placed in placements
        ]
    )


def as_records(judgement: Judgement) -> tuple[records.Placement, ...]:
    """The placements of a ranking, best first; ties in the order of their ids."""
    return tuple(
        records.Placement(
            response=str(placed.response_id), rank=placed.rank, rating=placed.rating, flags=tuple(placed.flags)
        )
        for placed in sorted(judgement.placements.all(), key=lambda placed: (placed.rank, str(placed.response_id)))
    )
