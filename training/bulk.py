"""New rows, as fast as the database takes them.

Many at once by COPY on PostgreSQL and by one prepared statement on SQLite; a few by one statement that is written once
and planned once (`add`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection, models, transaction

from training import composed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper
    from django.db.models import Model

M = TypeVar("M", bound="Model")


def write(rows: Sequence[M], *, unless_there: bool = False) -> list[M]:
    """Write new rows of one table, numbered in their order; those that were written.

    `unless_there` passes over a row that a constraint keeps out because somebody else wrote it meanwhile. No signals
    are sent, and no defaults of the database are asked for.
    """
    if not rows:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        number(rows, cursor)
        insert = copy if connection.vendor == "postgresql" else execute_many
        written = insert(Columns(type(rows[0])), rows, cursor, unless_there=unless_there)
    for row in written:
        row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001 (it stands in the database now)
    return written


def add(*rows: M) -> M:
    """Write a few new rows of one table; the first of them, with its number.

    For what is written at every turn: the ORM composes an insertion each time, and PostgreSQL plans it each time. No
    signals are sent, and no defaults of the database are asked for.
    """
    here = composed.here()
    columns = columns_of(type(rows[0]), here.vendor)
    values = [columns.values(row, here) for row in rows]
    if columns.is_numbered:
        values = [row[1:] for row in values]
    with composed.cursor(here) as cursor:
        cursor.execute(columns.insertion(len(rows)), [value for row in values for value in row])
        keys = sorted(key for (key,) in cursor.fetchall()) if columns.is_numbered else [row.pk for row in rows]
    for row, key in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding, row._state.db = False, here.alias  # noqa: SLF001 (it stands in the database now)
    return rows[0]


class Columns:
    """The columns of a table, and how each is filled from a row."""

    def __init__(self, model: type[Model]) -> None:
        quote, fields = connection.ops.quote_name, model._meta.concrete_fields  # noqa: SLF001 (Django documents _meta)
        self.table = quote(model._meta.db_table)  # noqa: SLF001
        self.key = quote(str(model._meta.pk.column))  # noqa: SLF001
        self.names = ", ".join(quote(str(field.column)) for field in fields)
        self.count = len(fields)
        self.is_numbered = isinstance(model._meta.pk, models.AutoField)  # noqa: SLF001
        self.writers: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
            (field.pre_save, field.get_db_prep_save) for field in fields
        ]

    def values(self, row: Model, connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
        """What a row holds, as this database wants it. What it points to must be written already."""
        row._prepare_related_fields_for_save(operation_name="bulk_create")  # type: ignore[attr-defined]  # noqa: SLF001
        return tuple(prepare(read(row, add=True), connection=connection) for read, prepare in self.writers)

    def insertion(self, count: int) -> str:
        """The statement that writes so many rows and gives their keys; the database numbers them where it does that."""
        names = self.names.partition(", ")[2] if self.is_numbered else self.names
        row = f"({', '.join(['%s'] * (self.count - self.is_numbered))})"
        return f"INSERT INTO {self.table} ({names}) VALUES {', '.join([row] * count)} RETURNING {self.key}"  # noqa: S608 (names of our own tables and columns)


@cache
def columns_of(model: type[Model], vendor: str) -> Columns:  # noqa: ARG001 (each writes in its own way)
    """The columns of a table."""
    return Columns(model)


def number(rows: Sequence[Model], cursor: CursorWrapper) -> None:
    """Give rows their numbers beforehand, where the database numbers them."""
    meta = type(rows[0])._meta  # noqa: SLF001
    if not isinstance(meta.pk, models.AutoField):
        return
    for row, key in zip(rows, numbers(meta.db_table, str(meta.pk.column), len(rows), cursor), strict=True):
        row.pk = key


def numbers(table: str, column: str, count: int, cursor: CursorWrapper) -> Iterator[int]:
    """So many numbers of a table that nobody has and nobody will get."""
    if connection.vendor == "postgresql":
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)", [f'"{table}"', column, count]
        )
        return iter(sorted(key for (key,) in cursor.fetchall()))
    cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])  # we hold the only pen
    last = cursor.fetchone()
    return iter(range((last[0] if last else 0) + 1, (last[0] if last else 0) + 1 + count))


def copy(columns: Columns, rows: Sequence[M], cursor: CursorWrapper, *, unless_there: bool) -> list[M]:
    """Write rows by COPY; where some may be there, into a table of their own first."""
    if not unless_there:
        stream(columns.table, columns, rows, cursor)
        return list(rows)
    waiting = "rows_in_waiting"
    cursor.execute(f"CREATE TEMPORARY TABLE {waiting} (LIKE {columns.table}) ON COMMIT DROP")
    stream(waiting, columns, rows, cursor)
    cursor.execute(
        f"INSERT INTO {columns.table} ({columns.names}) SELECT {columns.names} FROM {waiting} ORDER BY {columns.key} "  # noqa: S608 (names of our own tables and columns)
        f"ON CONFLICT DO NOTHING RETURNING {columns.key}"
    )
    written = {key for (key,) in cursor.fetchall()}
    cursor.execute(f"DROP TABLE {waiting}")
    return [row for row in rows if row.pk in written]


def stream(table: str, columns: Columns, rows: Iterable[Model], cursor: Any) -> None:
    """Send rows to a table."""
    here = composed.here()
    with here.wrap_database_errors, cursor.copy(f"COPY {table} ({columns.names}) FROM STDIN") as copying:
        for row in rows:
            copying.write_row(columns.values(row, here))


def execute_many(columns: Columns, rows: Sequence[M], cursor: CursorWrapper, *, unless_there: bool) -> list[M]:
    """Write rows by one statement, said for each."""
    conflict = " ON CONFLICT DO NOTHING" if unless_there else ""
    marks = ", ".join(["%s"] * columns.count)
    here = composed.here()
    cursor.executemany(
        f"INSERT INTO {columns.table} ({columns.names}) VALUES ({marks}){conflict}",  # noqa: S608 (as above)
        [columns.values(row, here) for row in rows],
    )
    if not unless_there or cursor.rowcount == len(rows):
        return list(rows)
    everyone: Any = type(rows[0])._default_manager  # noqa: SLF001
    return [row for row in rows if everyone.filter(pk=row.pk).exists()]
