"""What the database looks for while we are busy with what it found before.

PostgreSQL works in a process of its own: what it is asked within a pipeline is sent at once, and fetched when it is
wanted. SQLite works in ours, and has looked for it when it has been asked.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from training.composed import here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.composed import Asked


def answers(sets: Iterator[Sequence[Asked[Any]]]) -> Iterator[list[list[Any]]]:
    """What was found for each set of questions; it is given when those of the next set have been sent.

    sets: sends the questions of a set when the set is drawn.
    """
    with pipeline():
        asked = next(sets, None)
        while asked is not None:
            found = [each.rows() for each in asked]  # what comes later in a pipeline would be waited for, too
            asked = next(sets, None)
            yield found


def pipeline() -> AbstractContextManager[Any]:
    """Where questions are sent without a wait for their answers."""
    connection: Any = here()
    if connection.vendor != "postgresql":
        return nullcontext()
    connection.ensure_connection()
    return connection.connection.pipeline()  # type: ignore[no-any-return]
