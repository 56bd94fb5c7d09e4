"""A conversation as the database sees it: one text to look for words in, or to measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import TextField
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
