"""Which task comes next for an annotator, in SQL: what is looked at, in which order, and what can be passed over."""
# ruff: noqa: S608 (all of it is written here; what comes from outside stands in parameters)

from __future__ import annotations

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
ORDERS = {
    LabelingSettings.Order.SERVED: "task.priority DESC, task.served DESC, task.id + 0",
    LabelingSettings.Order.UNIFORM: "task.priority DESC, task.lot, task.id",
    LabelingSettings.Order.SCORE: "task.priority DESC, task.score DESC, task.id",
}

# Where tasks want several judgements, an annotator has done many that are open to others, and those come first. The
# bookmarks tell how many of them can be passed over. One holds for a priority, whatever was served: so the tasks are
# looked at shelf by shelf, a shelf being a priority and a number of judgements served, in the order of the hand-out.
WORK, LOWER = OPEN.format(task="task", purpose="work"), OPEN.format(task="lower", purpose="work")
STEP_DOWN = f"""
    SELECT lower.id FROM labeling_task AS lower WHERE {LOWER} AND {{below}}
    ORDER BY lower.priority DESC, lower.served DESC, lower.id + 0 LIMIT 1
"""
SHELVES = f"""
    WITH RECURSIVE shelf (priority, served) AS (
        SELECT * FROM (
            SELECT task.priority, task.served FROM labeling_task AS task WHERE {WORK}
            ORDER BY task.priority DESC, task.served DESC, task.id + 0 LIMIT 1
        ) AS highest
        UNION ALL
        SELECT task.priority, task.served FROM shelf JOIN labeling_task AS task ON task.id = COALESCE(
            ({STEP_DOWN.format(below="lower.priority = shelf.priority AND lower.served < shelf.served")}),
            ({STEP_DOWN.format(below="lower.priority < shelf.priority")})
        )
    )
"""
EDITION = "COALESCE((SELECT edition.number FROM labeling_edition AS edition WHERE edition.project_id = %(project)s), 0)"
UPTO = f"""
    COALESCE((
        SELECT mark.upto FROM labeling_bookmark AS mark
        WHERE mark.annotator_id = %(annotator)s AND mark.project_id = %(project)s AND mark.kind = %(kind)s
          AND mark.priority = {{priority}} AND mark.edition = {EDITION}
    ), 0)
"""
BY_SHELVES = f"""
    {SHELVES}
    SELECT found.id FROM (
        SELECT (
            SELECT task.id FROM labeling_task AS task
            WHERE {WORK} AND task.priority = shelf.priority AND task.served = shelf.served
              AND task.id + 0 > {UPTO.format(priority="shelf.priority")}
              AND {UNSEEN_BY_THEM.format(same="= task.id")}
            ORDER BY task.id + 0
            LIMIT 1 {{lock}}
        ) AS id FROM shelf
        LIMIT 1000000 -- else PostgreSQL looks for each task twice: is there one, and which is it
    ) AS found
    WHERE found.id IS NOT NULL
    LIMIT 1
"""
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
    INSERT INTO labeling_bookmark (annotator_id, project_id, kind, priority, upto, edition)
    {SHELVES}
    SELECT %(annotator)s, %(project)s, %(kind)s, %(priority)s, COALESCE(MIN(ahead.id) - 1, %(task)s), {EDITION}
    FROM (
        SELECT (
            SELECT task.id FROM labeling_task AS task
            WHERE {WORK} AND task.priority = shelf.priority AND task.served = shelf.served
              AND task.id + 0 > {UPTO.format(priority="%(priority)s")} AND {NOT_DONE}
            ORDER BY task.id + 0 LIMIT 1
        ) AS id FROM shelf WHERE shelf.priority = %(priority)s
        UNION ALL
        SELECT MIN(task.id) FROM labeling_lease AS held JOIN labeling_task AS task ON task.id = held.task_id
        WHERE held.state = 'live' AND held.project_id = %(project)s AND held.kind = %(kind)s
          AND task.priority = %(priority)s AND task.purpose = 'work'
          AND task.id > {UPTO.format(priority="%(priority)s")} AND {NOT_DONE}
    ) AS ahead
    WHERE TRUE
    ON CONFLICT (annotator_id, project_id, kind, priority)
    DO UPDATE SET upto = excluded.upto, edition = excluded.edition
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


def statement_of(order: str, *, bookmarked: bool = True) -> str:
    """The statement that picks work, for this database; with or without a look at bookmarks."""
    lock = LOCKS[connection.vendor]
    if bookmarked and order == LabelingSettings.Order.SERVED:
        return TAKE.format(picked=BY_SHELVES.format(lock=lock))
    in_order = ORDERS[LabelingSettings.Order(order)]
    picked = IN_ORDER.format(task="task", purpose=Task.Purpose.WORK, same=SAME, order=in_order, lock=lock)
    return TAKE.format(picked=picked)


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
    if task.seats < 2 or order != LabelingSettings.Order.SERVED:
        return
    whose = {"annotator": lease.annotator_id, "project": lease.project_id, "kind": lease.kind}
    said: dict[str, Any] = whose | {"priority": task.priority, "task": task.pk}
    with composed.cursor() as cursor:
        cursor.execute(MOVE_ON, said)


def new_edition(project: int) -> None:
    """Let no bookmark of a project hold any more: part of each transaction that opens tasks or moves them forward.

    Numbers are given before a transaction ends, so that new tasks too may come to lie before a bookmark. Until the end
    of the transaction, what others look at is the old edition, without these tasks. Comes last: others wait for it.
    """
    with composed.cursor() as cursor:
        cursor.execute(NEW_EDITION, {"project": project})
