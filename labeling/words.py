"""What annotators said, as records: the form in which datasets, agreement and merging read it."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from django.db.models import TextField
from django.db.models.functions import Cast

from labeling.models import Judgement, Placement, Verdict
from training import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.db.models import QuerySet


def placements_of(word: Judgement) -> tuple[records.Placement, ...]:
    """The placements of a ranking, as they stand in a record."""
    placements = (
        records.Placement(
            response=str(placed.response_id), rank=placed.rank, rating=placed.rating, flags=tuple(placed.flags)
        )
        for placed in word.placements.all()
    )
    return tuple(sorted(placements, key=best_first))


def verdicts_of(word: Judgement) -> tuple[records.Verdict, ...]:
    """The pairwise verdicts of a word, in the order in which they were said."""
    return tuple(
        records.Verdict(a=str(said.a_id), b=str(said.b_id), verdict=cast("records.Word", said.word))
        for said in sorted(word.verdicts.all(), key=lambda said: said.pk)
    )


def as_record(word: Judgement, *, annotator: str) -> records.Judgement:
    """One annotator's word under a name, in the form in which it was said."""
    if word.form == Judgement.Form.VERDICTS:
        return records.VerdictsJudgement(annotator=annotator, verdicts=verdicts_of(word), simulated=word.is_simulated)
    return records.RankingJudgement(
        annotator=annotator,
        placements=placements_of(word),
        flags=tuple(word.flags),
        note=word.note,
        guidelines=word.guidelines_version,
        shown=tuple(word.shown),
        seconds=word.seconds_spent,
        simulated=word.is_simulated,
    )


class Word(NamedTuple):
    """What was said, with the row that holds it and the task that it is about."""

    pk: int
    task: int
    record: records.Judgement


def read(said: QuerySet[Judgement], names: Mapping[int, str]) -> Iterator[Word]:
    """Many words as records, oldest first, under the names of their annotators.

    Gives what `as_record` gives, from plain values: to make a model's instance of each row costs several times more
    than everything else that is done with it. What is asked for at once should fit into memory and one statement.
    """
    rows = list(
        said.order_by("pk").values_list(
            "pk",
            "task_id",
            "annotator_id",
            "form",
            "is_simulated",
            "flags",
            "note",
            "guidelines_version",
            "shown",
            "seconds_spent",
        )
    )
    placements = placements_by_word(said)
    in_pairs = any(row[3] == Judgement.Form.VERDICTS for row in rows)
    verdicts = verdicts_by_word(said) if in_pairs else {}
    for pk, task, annotator, form, simulated, flags, note, guidelines, shown, seconds in rows:
        if form == Judgement.Form.VERDICTS:
            compared = tuple(verdicts[pk])
            yield Word(
                pk, task, records.VerdictsJudgement(annotator=names[annotator], verdicts=compared, simulated=simulated)
            )
            continue
        ranking = records.RankingJudgement(
            annotator=names[annotator],
            placements=tuple(sorted(placements[pk], key=best_first)),
            flags=tuple(flags),
            note=note,
            guidelines=guidelines,
            shown=tuple(shown),
            seconds=seconds,
            simulated=simulated,
        )
        yield Word(pk, task, ranking)


def placements_by_word(said: QuerySet[Judgement]) -> dict[int, list[records.Placement]]:
    """Where the responses were placed, in no order."""
    found: dict[int, list[records.Placement]] = defaultdict(list)
    rows = Placement.objects.filter(judgement__in=said).annotate(raised=Cast("flags", TextField()))
    for word, response, rank, rating, raised in rows.values_list(
        "judgement_id", "response_id", "rank", "rating", "raised"
    ):
        found[word].append(records.Placement(response=str(response), rank=rank, rating=rating, flags=flags_in(raised)))
    return found


@lru_cache(1024)
def flags_in(text: str) -> tuple[str, ...]:
    """The flags that a column's text holds: mostly none, and seldom some that nobody raised before."""
    return tuple(json.loads(text))


def verdicts_by_word(said: QuerySet[Judgement]) -> dict[int, list[records.Verdict]]:
    """Pairwise verdicts, in the order in which they were said."""
    found: dict[int, list[records.Verdict]] = defaultdict(list)
    rows = Verdict.objects.filter(judgement__in=said).order_by("pk")
    for word, a, b, verdict in rows.values_list("judgement_id", "a_id", "b_id", "word"):
        found[word].append(records.Verdict(a=str(a), b=str(b), verdict=cast("records.Word", verdict)))
    return found


def best_first(placed: records.Placement) -> tuple[int, str]:
    """Placements stand best first; ties in the order of their ids."""
    return placed.rank, placed.response


def of_ranks(ranks: Mapping[str, int], *, annotator: str) -> records.RankingJudgement:
    """A ranking that is known by its ranks alone: a settled one, a merged one, a known answer."""
    placed = sorted(ranks.items(), key=lambda each: (each[1], each[0]))
    placements = tuple(records.Placement(response=response, rank=rank) for response, rank in placed)
    return records.RankingJudgement(annotator=annotator, placements=placements)
