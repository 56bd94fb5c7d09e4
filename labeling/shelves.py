"""Which task comes next for an annotator, in SQL: what is looked at, in which order, and what can be passed over."""
# ruff: noqa: S608 (all of it is written here; what comes from outside stands in parameters)

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connection

from labeling.models import LabelingSettings, Task
from training import composed

if TYPE_CHECKING:
    from labeling.models import Lease
    from training.models import Project, User

# One statement picks the next task, locks it and takes a seat: what is locked is what is counted.
TAKE = """
    UPDATE labeling_task SET seats_left = seats_left - 1
    WHERE id = ({picked})
    RETURNING id, prompt_id
"""
OPEN = """
    {task}.project_id = %(project)s AND {task}.kind = %(kind)s AND {task}.purpose = '{purpose}'
    AND {task}.state = 'open' AND {task}.seats_left > 0
"""
# OFFSET 0 keeps PostgreSQL from reading all that someone has seen beforehand, though one task is looked for.
UNSEEN_BY_THEM = """
    NOT EXISTS (
        SELECT 1 FROM labeling_lease AS seen
        WHERE seen.task_id {same} AND seen.annotator_id = %(annotator)s AND seen.state <> 'given_back'
        LIMIT 1 OFFSET 0
    )
"""
IN_ORDER = f"""
    SELECT task.id FROM labeling_task AS task
    WHERE {OPEN} AND {UNSEEN_BY_THEM}
    ORDER BY {{order}}
    LIMIT 1 {{lock}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """An order of the hand-out: what tasks of a priority are ordered by; where it is the same, their numbers decide."""

    columns: str
    place: str = ""
    """The column that says where a task lies; without one, what it is ordered by tells shelves apart."""
    begin: str = "0"
    """A place before all others."""
    beyond: str = ">"
    """How a place compares to those before it."""

    def of(self, task: str = "task") -> str:
        """What tasks of any priority are ordered by; each has an index that matches it.

        Of `id + 0`: else PostgreSQL reads the rows of all older projects, in the order of the key.
        """
        return f"{task}.priority DESC, {task}.{self.columns}, {task}.id + 0"

    @property
    def shelf(self) -> list[str]:
        """The columns that tell one shelf from another."""
        return ["priority"] if self.place else ["priority", "served"]


SEQUENCES = {
    LabelingSettings.Order.SERVED: Sequence(columns="served DESC"),
    LabelingSettings.Order.UNIFORM: Sequence(columns="lot", place="task.lot", begin="-1e308"),
    LabelingSettings.Order.SCORE: Sequence(columns="score DESC", place="task.score", begin="1e308", beyond="<"),
}

# Where tasks want several judgements, an annotator has done many that are open to others, and those come first. The
# bookmarks tell how many of them can be passed over. One holds for a priority, so the tasks are looked at shelf by
# shelf. A shelf is a priority, on which tasks lie by their place; or, where those come first that were served most, a
# priority and a number of judgements served: the bookmark holds for all of these, since a task moves between them.
WORK, LOWER = OPEN.format(task="task", purpose="work"), OPEN.format(task="lower", purpose="work")
STEP_DOWN = f"(SELECT lower.id FROM labeling_task AS lower WHERE {LOWER} AND {{below}} ORDER BY {{order}} LIMIT 1)"
SHELVES = f"""
    WITH RECURSIVE shelf ({{shelf}}) AS (
        SELECT * FROM (
            SELECT {{of_task}} FROM labeling_task AS task WHERE {WORK} ORDER BY {{order}} LIMIT 1
        ) AS highest
        UNION ALL
        SELECT {{of_task}} FROM shelf JOIN labeling_task AS task ON task.id = COALESCE({{steps}}, NULL)
    )
"""
EDITION = "COALESCE((SELECT edition.number FROM labeling_edition AS edition WHERE edition.project_id = %(project)s), 0)"
MARKED = f"""
    COALESCE((
        SELECT mark.{{column}} FROM labeling_bookmark AS mark
        WHERE mark.annotator_id = %(annotator)s AND mark.project_id = %(project)s AND mark.kind = %(kind)s
          AND mark.priority = {{priority}} AND mark.sequence = '{{sequence}}' AND mark.edition = {EDITION}
    ), {{begin}})
"""
FIRST = f"""
    (
        SELECT task.id FROM labeling_task AS task
        WHERE {WORK} AND task.priority = shelf.priority AND {{which}} AND {{left}}
        ORDER BY {{order}}
        LIMIT 1 {{lock}}
    )
"""
FOUND = """
    (
        SELECT {first} AS id FROM shelf {of}
        LIMIT 1000000 -- else PostgreSQL looks for each task twice: is there one, and which is it
    ) AS found
"""
BY_SHELVES = f"{{shelves}} SELECT found.id FROM {FOUND} WHERE found.id IS NOT NULL LIMIT 1"
# The first task of a priority that may still be handed to the annotator holds their bookmark up; so does one that lies
# in somebody's hands, since it may come back from there. What they submitted or skipped stays with them for good.
NOT_DONE = """
    NOT EXISTS (
        SELECT 1 FROM labeling_lease AS done
        WHERE done.task_id = task.id AND done.annotator_id = %(annotator)s AND done.state IN ('submitted', 'skipped')
        LIMIT 1 OFFSET 0
    )
"""
MOVE_ON = f"""
    INSERT INTO labeling_bookmark (annotator_id, project_id, kind, priority, sequence, place, upto, edition)
    {{shelves}}
    SELECT %(annotator)s, %(project)s, %(kind)s, %(priority)s, '{{sequence}}', ahead.place, ahead.id - 1, {EDITION}
    FROM (
        SELECT 0 AS is_theirs, (SELECT {{place}} FROM labeling_task AS task WHERE task.id = found.id) AS place, found.id
        FROM {FOUND} WHERE found.id IS NOT NULL
        UNION ALL
        SELECT 0, {{place}}, task.id FROM labeling_lease AS held JOIN labeling_task AS task ON task.id = held.task_id
        WHERE held.state = 'live' AND held.project_id = %(project)s AND held.kind = %(kind)s
          AND task.priority = %(priority)s AND task.purpose = 'work' AND {{is_beyond}} AND {NOT_DONE}
        UNION ALL
        SELECT 1, {{place}}, task.id + 1 FROM labeling_task AS task WHERE task.id = %(task)s
    ) AS ahead
    ORDER BY ahead.is_theirs, ahead.place {{direction}}, ahead.id
    LIMIT 1
    ON CONFLICT (annotator_id, project_id, kind, priority) DO UPDATE
    SET sequence = excluded.sequence, place = excluded.place, upto = excluded.upto, edition = excluded.edition
"""
NEW_EDITION = """
    INSERT INTO labeling_edition (project_id, number) VALUES (%(project)s, 1)
    ON CONFLICT (project_id) DO UPDATE SET number = labeling_edition.number + 1
"""
LOCKS = {"postgresql": "FOR UPDATE OF task SKIP LOCKED", "sqlite": ""}  # SQLite has one writer at a time
SAME = "= task.id"
SAME_OR_ITS_ORIGIN = (  # who judged the task that a known answer came from knows this one
    "IN (task.id, (SELECT known.origin_id FROM labeling_knownanswer AS known WHERE known.task_id = task.id))"
)


def take(statement: str, project: Project, kind: str, annotator: User) -> tuple[int, int] | None:
    """Run a statement that picks."""
    with composed.cursor() as cursor:
        cursor.execute(statement, {"project": project.pk, "kind": kind, "annotator": annotator.pk})
        row = cursor.fetchone()
    return (row[0], row[1]) if row else None


@cache
def statement_of(order: str, vendor: str, *, bookmarked: bool) -> str:
    """The statement that picks work, for a kind of database; with or without a look at bookmarks."""
    sequence, lock = SEQUENCES[LabelingSettings.Order(order)], LOCKS[vendor]
    if bookmarked:
        unseen = UNSEEN_BY_THEM.format(same=SAME)
        first = first_on_shelf(order, left=unseen, lock=lock)
        return TAKE.format(picked=BY_SHELVES.format(shelves=shelves_of(sequence), first=first, of=""))
    picked = IN_ORDER.format(task="task", purpose=Task.Purpose.WORK, same=SAME, order=sequence.of(), lock=lock)
    return TAKE.format(picked=picked)


def shelves_of(sequence: Sequence) -> str:
    """All shelves on which there is something to do, from the highest down.

    There may be one step only, and SQLite's COALESCE wants two things: so it gets a NULL, here and in `first_on_shelf`.
    """
    steps = ["lower.priority < shelf.priority"]
    if not sequence.place:
        steps.insert(0, "lower.priority = shelf.priority AND lower.served < shelf.served")
    return SHELVES.format(
        shelf=", ".join(sequence.shelf),
        of_task=", ".join(f"task.{column}" for column in sequence.shelf),
        order=sequence.of(),
        steps=", ".join(STEP_DOWN.format(below=below, order=sequence.of("lower")) for below in steps),
    )


def first_on_shelf(order: str, *, left: str, lock: str = "") -> str:
    """The number of the first task of a shelf, beyond the bookmark, that is left to the annotator."""
    sequence = SEQUENCES[LabelingSettings.Order(order)]
    place, upto = marked(order, "shelf.priority")
    later = f"task.id + 0 > {upto}"
    ranges = {f"task.served = shelf.served AND {later}": "task.id + 0"}
    if sequence.place:
        ranges = {
            f"{sequence.place} = {place} AND {later}": "task.id + 0",
            f"{sequence.place} {sequence.beyond} {place}": f"task.{sequence.columns}, task.id + 0",
        }
    firsts = [FIRST.format(which=which, left=left, order=by, lock=lock) for which, by in ranges.items()]
    return f"COALESCE({', '.join(firsts)}, NULL)"


def marked(order: str, priority: str) -> tuple[str, str]:
    """The place and the number up to which an annotator is through a priority; those before all others without one."""
    said = {"priority": priority, "sequence": order}
    begin = SEQUENCES[LabelingSettings.Order(order)].begin
    return MARKED.format(column="place", begin=begin, **said), MARKED.format(column="upto", begin=0, **said)


def statement_of_known(purpose: str) -> str:
    """The statement that picks a task whose answer is known, at random, for this database."""
    lock = LOCKS[connection.vendor]
    picked = IN_ORDER.format(task="task", purpose=purpose, same=SAME_OR_ITS_ORIGIN, order="random()", lock=lock)
    return TAKE.format(picked=picked)


def move_on(lease: Lease, *, order: str) -> None:
    """Move the annotator's bookmark to the first task that may still be handed to them.

    Only where tasks want several judgements: of others that are done, none is open.
    """
    task = lease.task
    if task.seats < 2:
        return
    whose = {"annotator": lease.annotator_id, "project": lease.project_id, "kind": lease.kind}
    said: dict[str, Any] = whose | {"priority": task.priority, "task": task.pk}
    with composed.cursor() as cursor:
        cursor.execute(statement_of_moving_on(order), said)


@cache
def statement_of_moving_on(order: str) -> str:
    """The statement that moves a bookmark, or lays the first."""
    sequence = SEQUENCES[LabelingSettings.Order(order)]
    place, upto = marked(order, "%(priority)s")
    is_beyond = f"task.id > {upto}"
    if sequence.place:
        here = sequence.place
        is_beyond = f"({here} {sequence.beyond} {place} OR ({here} = {place} AND {is_beyond}))"
    return MOVE_ON.format(
        shelves=shelves_of(sequence),
        sequence=order,
        place=sequence.place or sequence.begin,
        first=first_on_shelf(order, left=NOT_DONE),
        of="WHERE shelf.priority = %(priority)s",
        is_beyond=is_beyond,
        direction="DESC" if sequence.beyond == "<" else "ASC",
    )


def new_edition(project: int) -> None:
    """Let no bookmark of a project hold any more: part of each transaction that opens tasks or moves them forward.

    Numbers are given before a transaction ends, so that new tasks too may come to lie before a bookmark. Until the end
    of the transaction, what others look at is the old edition, without these tasks. Comes last: others wait for it.
    """
    with composed.cursor() as cursor:
        cursor.execute(NEW_EDITION, {"project": project})
