"""Characters that no database keeps: NUL, and halves of surrogate pairs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable_in(value: Any) -> str | None:
    """The first text of a JSON value that cannot be kept, or nothing."""
    return next(filter(UNSTORABLE.search, texts_in(value)), None)


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a JSON value, the names of its fields among them."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case list() as items:
                waiting += items
            case dict() as fields:
                waiting += [*fields, *fields.values()]
