"""Settings of the kinds of job that need no model. Their module has a name that no other has: it is looked up by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyConfig:
    """How the tiny trainer behaves."""

    steps: int = 4
    """How many numbers to add."""
    seconds_a_step: float = 0.0
    """How long an addition takes."""
    misbehaviour: Literal["none", "refuses", "crashes", "dies", "deaf", "forks", "pauses"] = "none"
    """What goes wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsConfig:
    """What the inside kind writes down."""

    what: str = "prompts"
    """The kind of dataset."""
