"""Prompts that share a long beginning, grouped, so that near-duplicates never stand on both sides of a split (law D1).

Two texts are near when they begin alike for long enough: for LONG characters, or for most of the longer one if that is
short. Groups are the chains of near texts. In sorted order, texts that begin alike lie side by side and form a tree of
beginnings. A longer text asks for a longer beginning, so the shortest text of a branch speaks for the branch: where it
is not near the others, no text of the branch is. That takes one sort and one walk, O(n log n) for n texts, where
comparing every two would take n².
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 100  # characters: texts that share so many are near, whatever follows
MOST = 0.8  # of the longer text: what must be shared where that is less than LONG
LEAST = 20  # characters: sharing fewer makes no two texts near, unless they are equal


def needed(length: int, *, long: int = LONG, most: float = MOST, least: int = LEAST) -> int:
    """How many first characters a text of this length must share with another to be near it.

    Never more than it has, and never fewer for a longer text than for a shorter one.
    """
    return min(length, max(least, min(long, math.ceil(most * length))))


def groups(texts: Sequence[str], *, long: int = LONG, most: float = MOST, least: int = LEAST) -> list[int]:
    """The group of each text, named by the position of its first member; a text that is near no other stands alone.

    Two texts are near when they share as many first characters as both need (`needed`); a group holds whatever a chain
    of near texts connects. The order of the texts changes no group. Texts are compared as they are: normalise them
    before (`splits.beginning`).
    """
    walk = _Walk([needed(len(text), long=long, most=most, least=least) for text in texts])
    beginnings = [text[: max(long, least)] for text in texts]  # nothing needs more
    before = ""
    for text in sorted(range(len(texts)), key=beginnings.__getitem__):
        walk.leave(_shared(before, beginnings[text]))
        walk.enter(len(beginnings[text]), text)
        before = beginnings[text]
    walk.leave(0)
    return [walk.group_of(text) for text in range(len(texts))]


class _Walk:
    """A walk over sorted texts, which joins those that are near."""

    def __init__(self, needs: Sequence[int]) -> None:
        self._needs = needs
        self._joined_to = list(range(len(needs)))
        # Each within the one before: how many characters its texts share, and which of them needs least.
        self._branches: list[tuple[int, int]] = []

    def enter(self, depth: int, text: int) -> None:
        """Add a branch whose texts share `depth` characters and whose least needy one is `text` to the innermost."""
        if not self._branches or self._branches[-1][0] < depth:
            self._branches.append((depth, text))
            return
        depth, other = self._branches.pop()
        if self._needs[text] <= depth and self._needs[other] <= depth:
            first, second = sorted((self.group_of(text), self.group_of(other)))
            self._joined_to[second] = first
        self._branches.append((depth, min(text, other, key=self._needs.__getitem__)))

    def leave(self, depth: int) -> None:
        """Close the branches that share more than `depth` characters, each into the one that holds it."""
        while self._branches and self._branches[-1][0] > depth:
            _, text = self._branches.pop()
            self.enter(max(depth, self._branches[-1][0] if self._branches else 0), text)

    def group_of(self, text: int) -> int:
        """The first text of the group so far; halves the way there for whoever asks next."""
        while self._joined_to[text] != text:
            self._joined_to[text] = self._joined_to[self._joined_to[text]]
            text = self._joined_to[text]
        return text


def _shared(one: str, other: str) -> int:
    """How many first characters two texts share."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return number
    return min(len(one), len(other))
