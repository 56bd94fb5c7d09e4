"""Statements that are said at every turn: composed once, then only filled in.

To compose a statement costs Django several times what the database needs to answer it. A `Composed` query is written
like any other, of blanks instead of values, each with a column that its values could stand in:

    of_a_user = Composed(lambda user: Membership.objects.filter(user=user), user=Membership.user)
    of_a_user.all(user=7)

The ORM composes it once a process and gives the same rows as ever; `ComposedChange` is the same for updates and
deletions. Only values may differ from one time to the next: whatever changes, the present moment too, must be a blank.
PostgreSQL, to which planning such a statement is most of the work, plans it once a connection (`cursor`).
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models import sql
from django.db.transaction import TransactionManagementError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper
    from django.db.models import Field, QuerySet

T = TypeVar("T")
S = TypeVar("S", bound="Statement")


def here() -> BaseDatabaseWrapper:
    """This thread's connection itself: Django's `connection` looks for it at each of its attributes."""
    return connections[DEFAULT_DB_ALIAS]


def cursor(connection: Any = None) -> CursorWrapper:
    """A cursor whose statements, where they are said again, PostgreSQL does not plan again."""
    connection = connection or here()
    if connection.vendor != "postgresql":
        return cast("CursorWrapper", connection.cursor())
    from django.db.backends.postgresql.base import ServerBindingCursor  # noqa: PLC0415 (where there is PostgreSQL)

    connection.ensure_connection()
    apart: Any = ServerBindingCursor  # statement and values go to the server apart
    return cast("CursorWrapper", connection._prepare_cursor(apart(connection.connection)))  # noqa: SLF001 (as `connection.cursor` does)


class Statement:
    """What was composed, with the places of its blanks. Threads share it: it holds nothing that belongs to one."""

    def __init__(self, query: sql.Query, connection: BaseDatabaseWrapper, blanks: Blanks) -> None:
        self.blanks = blanks
        self.compiler = query.get_compiler(connection=connection)
        named = {blanks.written(name, value, connection): name for name, value in blanks.marks.items()}
        text, params = self.compiler.as_sql()
        self.text, self.params = with_constants(text, params, named)
        self.places = [(place, named[each]) for place, each in enumerate(self.params) if is_in(each, named)]
        if missing := blanks.marks.keys() - {name for _, name in self.places}:
            raise LookupError(f"the statement has no place for {', '.join(sorted(missing))}")

    def filled(self, values: dict[str, Any], connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
        """The parameters, with these values in the blanks."""
        written = {name: self.blanks.written(name, value, connection) for name, value in values.items()}
        params = list(self.params)
        for place, name in self.places:
            params[place] = written[name]
        return tuple(params)


def with_constants(text: str, params: Iterable[Any], marks: dict[Any, str]) -> tuple[str, list[Any]]:
    """The statement with what is the same at every turn written out, and the parameters that are left.

    PostgreSQL plans a statement that is said again for any values of its parameters. Only where it reads that a state
    is 'live' does it take the index of those that are live, and not all rows that there ever were.
    """
    rest, left, written = iter(params), [], []
    for piece in re.split("(%s|%%)", text):
        if piece != "%s":
            written.append(piece)
            continue
        param = next(rest)
        constant = None if is_in(param, marks) else literal(param)
        if constant is None:
            left.append(param)
        written.append(piece if constant is None else constant.replace("%", "%%"))
    return "".join(written), left


def literal(value: Any) -> str | None:
    """A text or a whole number as it is written in SQL; None for whatever else."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'" if "\\" not in value else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


class Blanks:
    """The blanks of a statement: the column that says how values are written down, and a mark that stands for them."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.fields: dict[str, Field[Any, Any]] = {name: column.field for name, column in columns.items()}
        self.marks = {name: mark(field, number) for number, (name, field) in enumerate(self.fields.items(), start=1)}

    def written(self, name: str, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """A value as this database wants it."""
        return self.fields[name].get_db_prep_value(value, connection)


def mark(field: Field[Any, Any], number: int) -> Any:
    """A value of the field's type that nothing else in a statement is equal to."""
    field = getattr(field, "target_field", field)
    if isinstance(field, models.UUIDField):
        return UUID(int=2**127 + number)
    if isinstance(field, models.DateTimeField):
        return datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=number)
    if isinstance(field, models.SmallIntegerField):
        return 2**15 - number
    if isinstance(field, models.IntegerField):
        return 2**62 + number
    return f"\ue000{number}"


def is_in(param: Any, marks: dict[Any, str]) -> bool:
    """Whether a parameter is one of the marks; what cannot be looked up, a list for one, is none."""
    return isinstance(param, str | int | UUID | datetime) and param in marks


class Once(Generic[S]):
    """Something that is composed once, and again for another kind of database."""

    def __init__(self, make: Callable[[BaseDatabaseWrapper], S]) -> None:
        self.make, self.made, self.lock = make, dict[str, S](), threading.Lock()

    def ready(self, connection: BaseDatabaseWrapper) -> S:
        """What was composed."""
        if connection.vendor not in self.made:
            with self.lock:
                self.made[connection.vendor] = self.made.get(connection.vendor) or self.make(connection)
        return self.made[connection.vendor]


class Composed(Generic[T]):
    """A query with blanks."""

    def __init__(self, compose: Callable[..., QuerySet[Any, T]], **columns: Any) -> None:
        blanks = Blanks(columns)
        self.once = Once(lambda connection: Query(compose(**blanks.marks), connection, blanks))

    def ask(self, **values: Any) -> Asked[T]:
        """Send the query with these values."""
        connection = here()
        query = self.once.ready(connection)
        return Asked(query, query.sent(values, connection))

    def all(self, **values: Any) -> list[T]:
        """The rows for these values."""
        return self.ask(**values).rows()

    def first(self, **values: Any) -> T | None:
        """The first row for these values. A query that could find many should ask for one."""
        return next(iter(self.all(**values)), None)


class Query(Statement):
    """A query that is composed."""

    def __init__(self, queryset: QuerySet[Any, Any], connection: BaseDatabaseWrapper, blanks: Blanks) -> None:
        super().__init__(queryset.query, connection, blanks)
        self.queryset, self.here = queryset, threading.local()
        self.locks = queryset.query.select_for_update
        # What makes the rows asks its query for a compiler, and has that ask the database: both are done here.
        queryset.query.get_compiler = lambda *_, **__: self.compiler  # type: ignore[method-assign]
        self.compiler.execute_sql = lambda *_, **__: [self.here.found]
        columns = [selected for selected, *_ in self.compiler.select[: self.compiler.col_count]]
        converters, composite = self.compiler.get_converters(columns), self.compiler.has_composite_fields(columns)
        self.compiler.get_converters = lambda _: converters
        self.compiler.has_composite_fields = lambda _: composite

    def sent(self, values: dict[str, Any], connection: BaseDatabaseWrapper) -> CursorWrapper:
        """Ask. Raises TransactionManagementError where a lock would be let go at once."""
        if self.locks and not connection.in_atomic_block:
            raise TransactionManagementError("rows can be locked only inside of a transaction")
        asking = cursor(connection)
        asking.execute(self.text, self.filled(values, connection))
        return asking

    def rows(self, asked: CursorWrapper) -> list[Any]:
        """What was found."""
        with asked:
            self.here.found = asked.fetchall()
        rows_of: Any = self.queryset._iterable_class  # noqa: SLF001 (what a queryset makes its rows with)
        return list(rows_of(self.queryset))


class Asked(Generic[T]):
    """A query that was sent."""

    def __init__(self, query: Query, cursor: CursorWrapper) -> None:
        self.query, self.cursor = query, cursor

    def rows(self) -> list[T]:
        """What was found, once."""
        return self.query.rows(self.cursor)


class ComposedChange:
    """An update or a deletion with blanks; `updated` and `deleted` say of what."""

    def __init__(self, compose: Callable[..., sql.Query], **columns: Any) -> None:
        blanks = Blanks(columns)
        self.once = Once(lambda connection: Statement(compose(**blanks.marks), connection, blanks))

    def run(self, **values: Any) -> int:
        """Do it, and say how many rows it was."""
        connection = here()
        statement = self.once.ready(connection)
        with cursor(connection) as changing:
            changing.execute(statement.text, statement.filled(values, connection))
            return int(changing.rowcount)


def updated(rows: QuerySet[Any], **values: Any) -> sql.Query:
    """The query that gives rows other values."""
    query: Any = rows.query.chain(sql.UpdateQuery)
    query.add_update_values(values)
    return cast("sql.Query", query)


def deleted(rows: QuerySet[Any]) -> sql.Query:
    """The query that deletes rows, to which no others point."""
    return rows.query.chain(sql.DeleteQuery)
