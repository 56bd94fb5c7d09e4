"""Which part of the data a record belongs to: decided once, by the group that must not be torn apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from labeling import conversations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONG_PREFIX = 100  # characters of normal text; prompts that share so long a beginning are one cluster
SHARES = (("train", 0.8), ("valid", 0.9), ("test", 1.0))  # cumulative
STRICTNESS = {"train": 0, "valid": 1, "test": 2}


def group_of(
    messages: Sequence[Mapping[str, str]], *, source: str = "", source_user: str = "", record: str = ""
) -> str:
    """Whom the record stands or falls with: its source user, else its cluster of a long common beginning, else itself.

    The cluster's key is the beginning of the normal text, so that it depends neither on the order in which prompts
    arrive nor on what else is there. `record` is the whole record's text, for one that has no prompt.
    """
    if source_user:
        return "user:" + conversations.fingerprint(f"{source}\n{source_user}")
    if not messages:
        return "record:" + conversations.fingerprint(record)
    text = beginning(messages)
    if len(text) >= LONG_PREFIX:
        return "prefix:" + conversations.fingerprint(text[:LONG_PREFIX])
    return "prompt:" + conversations.fingerprint(text)


def beginning(messages: Sequence[Mapping[str, str]]) -> str:
    """The normal text of what was said before anybody answered; two dialogues that begin alike share it."""
    opening = []
    for turn in messages:
        if turn["role"] == "assistant":
            break
        opening.append(conversations.normal(turn["content"]))
    return "\n".join(opening)


def split_of(group: str) -> str:
    """train, valid or test: 80, 10 and 10 of 100 groups, by hash."""
    draw = int.from_bytes(hashlib.sha256(f"split of {group}".encode()).digest()[:8]) / 2**64
    return next(name for name, bound in SHARES if draw < bound)


def strictest(splits: Sequence[str]) -> str:
    """The split of a group whose members were promised to several: what anyone held out stays held out."""
    return max(splits, key=STRICTNESS.__getitem__)
