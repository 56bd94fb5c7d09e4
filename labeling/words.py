"""What annotators said, as records: the form in which datasets, agreement and merging read it."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson
from django.db.models import Func, TextField
from django.db.models.functions import Cast

from labeling.models import Judgement, Placement, Verdict
from training import records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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


def read(said: QuerySet[Judgement], first: int, last: int, names: Mapping[int, str]) -> Iterator[Word]:
    """Those of the words that are on the tasks from one to another, as records, oldest first, under given names.

    What is asked for at once should fit into memory.
    """
    rows = [Row(*row) for row in rows_of(said, first, last)]
    placements, verdicts = placements_by_word(places_of(first, last)), verdicts_among(rows)
    for row in rows:
        record: records.Judgement
        if row.form == Judgement.Form.VERDICTS:
            record = records.VerdictsJudgement(
                annotator=names[row.annotator], verdicts=tuple(verdicts[row.pk]), simulated=row.is_simulated
            )
        else:
            placed = tuple(records.Placement(**placement) for placement in placements[row.pk])
            record = records.RankingJudgement(placements=placed, **row.told(names))
        yield Word(row.pk, row.task, record)


class PlainWord(NamedTuple):
    """What was said, in the form that a line is written from."""

    pk: int
    task: int
    plain: dict[str, Any]


def plain(found: Iterable[Any], places: Iterable[Any], names: Mapping[int, str]) -> Iterator[PlainWord]:
    """What the records that `read` gives would write, in a third of the time: it makes no object of each placement.

    found, places: the rows of `rows_of` and `places_of` for the same tasks.
    """
    rows = [Row(*row) for row in found]
    placements, verdicts = placements_by_word(places), verdicts_among(rows)
    for row in rows:
        if row.form == Judgement.Form.VERDICTS:
            word = records.plain_verdicts(names[row.annotator], verdicts[row.pk], simulated=row.is_simulated)
        else:
            word = records.plain_ranking(placements=placements[row.pk], **row.told(names))
        yield PlainWord(row.pk, row.task, word)


class Row(NamedTuple):
    """A judgement's own columns; flags and what was shown are JSON."""

    pk: int
    task: int
    annotator: int
    form: str
    is_simulated: bool
    flags: str
    note: str
    guidelines: int | None
    shown: str
    seconds: float | None

    def told(self, names: Mapping[int, str]) -> dict[str, Any]:
        """What a ranking tells beside its placements, by the fields of its record."""
        return {
            "annotator": names[self.annotator],
            "flags": texts_in(self.flags),
            "note": self.note,
            "guidelines": self.guidelines,
            "shown": tuple(orjson.loads(self.shown)),
            "seconds": self.seconds,
            "simulated": self.is_simulated,
        }


def rows_of(said: QuerySet[Judgement], first: int, last: int) -> QuerySet[Judgement, Any]:
    """Those of the words that are on the tasks from one to another, oldest first, by the columns of a `Row`.

    All as plain values: to make a model's instance of each row would cost several times more than all that is done
    with it.
    """
    said = said.filter(task__gte=first, task__lte=last)  # a list of keys would cost more than what it finds
    said = said.annotate(raised=Cast("flags", TextField()), seen=Cast("shown", TextField())).order_by("pk")
    columns = ("pk", "task_id", "annotator_id", "form", "is_simulated", "raised", "note", "guidelines_version")
    return said.values_list(*columns, "seen", "seconds_spent")


def places_of(first: int, last: int) -> QuerySet[Placement, Any]:
    """The placements of whatever was said on the tasks from one to another: word, response, rank, rating, flags."""
    placed = Placement.objects.filter(judgement__task__gte=first, judgement__task__lte=last)
    placed = placed.annotate(key=KeyText("response_id"), raised=Cast("flags", TextField()))
    return placed.values_list("judgement_id", "key", "rank", "rating", "raised")


def placements_by_word(rows: Iterable[tuple[int, str, int, int | None, str]]) -> dict[int, list[dict[str, Any]]]:
    """The placements of each word as they stand in a line, best first; ties in the order of their ids."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for word, response, rank, rating, flags in rows:
        found[word].append(records.plain_placement(response, rank, rating, texts_in(flags)))
    for placements in found.values():
        placements.sort(key=itemgetter("rank", "response"))
    return found


class KeyText(Func):
    """A UUID as text with its hyphens. To make an object of each costs more than what is done with it."""

    output_field = TextField()
    template = "(%(expressions)s)::text"

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """SQLite keeps the 32 digits alone."""
        parts = " || '-' || ".join(f"substr(%(expressions)s, {start}, {length})" for start, length in HYPHENATED)
        return self.as_sql(compiler, connection, template=parts, **more)


HYPHENATED = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


@lru_cache(1024)
def texts_in(text: str) -> tuple[str, ...]:
    """The flags that a column's text holds: mostly none, and seldom some that nobody raised before."""
    return tuple(orjson.loads(text))


def verdicts_among(rows: list[Row]) -> dict[int, list[records.Verdict]]:
    """The verdicts of those words that are pairwise."""
    tasks = [row.task for row in rows if row.form == Judgement.Form.VERDICTS]
    if not tasks:
        return {}
    return verdicts_by_word(Judgement.objects.filter(task__gte=min(tasks), task__lte=max(tasks)))


def verdicts_by_word(said: QuerySet[Judgement]) -> dict[int, list[records.Verdict]]:
    """Pairwise verdicts, in the order in which they were said."""
    found: dict[int, list[records.Verdict]] = defaultdict(list)
    rows = Verdict.objects.filter(judgement__in=said).annotate(first=KeyText("a_id"), second=KeyText("b_id"))
    for word, a, b, verdict in rows.order_by("pk").values_list("judgement_id", "first", "second", "word"):
        found[word].append(records.Verdict(a=a, b=b, verdict=cast("records.Word", verdict)))
    return found


def best_first(placed: records.Placement) -> tuple[int, str]:
    """Placements stand best first; ties in the order of their ids."""
    return placed.rank, placed.response


def of_ranks(ranks: Mapping[str, int], *, annotator: str) -> records.RankingJudgement:
    """A ranking that is known by its ranks alone: a settled one, a merged one, a known answer."""
    placed = sorted(ranks.items(), key=lambda each: (each[1], each[0]))
    placements = tuple(records.Placement(response=response, rank=rank) for response, rank in placed)
    return records.RankingJudgement(annotator=annotator, placements=placements)
