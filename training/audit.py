"""Who did what in a project: rooms say which deeds there are, verbs record them, and a page shows them.

A deed is recorded in the transaction that does it. It names people by their rows, never in words, so that someone whose
data is erased is gone from here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.models import Deed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from training.models import Project, User

_words: dict[str, str] = {}


def offer(words: Mapping[str, str]) -> None:
    """Let these deeds be recorded; the words complete a sentence that begins with who did it."""
    _words.update(words)


def words() -> dict[str, str]:
    """Every deed that can be recorded, with its words."""
    return dict(sorted(_words.items()))


def record(
    *, project: Project, by: User | None, did: str, to: User | None = None, about: str = "", **details: Any
) -> Deed:
    """Write a deed down; part of the transaction that does it. A deed that nobody offered is a defect (KeyError)."""
    if did not in _words:
        raise KeyError(f"no room offers the deed {did!r}")
    return Deed.objects.create(project=project, by=by, did=did, to=to, about=about[:200], details=details)


offer(
    {
        "project.created": "created the project",
        "project.changed": "changed the project",
        "person.invited": "invited someone",
        "invitation.revoked": "took back the invitation",
        "person.joined": "joined the project",
        "person.role_changed": "changed the role of",
        "person.deactivated": "deactivated",
        "person.reactivated": "let back in",
        "person.exported": "exported the data of",
        "person.erased": "erased the data of",
        "checkpoint.promoted": "made the champion",
    }
)
