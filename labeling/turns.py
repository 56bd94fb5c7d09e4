"""What lies in JSON, as the database sees it: a conversation as one text, and whether a list holds a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, TextField, Value
from django.db.models.expressions import Func

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


class Turns(Func):
    """All that was said in a conversation, one turn after the other; null where there is none."""

    output_field = TextField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """SQLite's words for it."""
        turns = "(SELECT group_concat(json_extract(value, '$.content'), char(10)) FROM json_each(%(expressions)s))"
        return self.as_sql(compiler, connection, template=turns, **more)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """PostgreSQL's words for it."""
        turns = "(SELECT string_agg(turn->>'content', chr(10)) FROM jsonb_array_elements(%(expressions)s) AS turn)"
        return self.as_sql(compiler, connection, template=turns, **more)


class Holds(Func):
    """Whether a list of texts holds one."""

    output_field = BooleanField()

    def __init__(self, texts: str, text: str) -> None:
        super().__init__(Value(text, output_field=TextField()), texts)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """SQLite's words for it."""
        among = " IN (SELECT value FROM json_each("
        return self.as_sql(compiler, connection, template="(%(expressions)s)))", arg_joiner=among, **more)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **more: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """PostgreSQL's words for it."""
        among = "::text IN (SELECT jsonb_array_elements_text("
        return self.as_sql(compiler, connection, template="(%(expressions)s)))", arg_joiner=among, **more)
