"""What a snapshot freezes. Knows neither Django nor torch: forms, API schema and command line are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotConfig:
    """What becomes an immutable dataset."""

    what: Literal["rankings", "demonstrations", "prompts"] = "rankings"
    """Rankings (with pairwise verdicts), demonstrations, or the prompts alone."""
    include_simulated: bool = False
    """Take what simulated annotators said, too."""
    include_gold: bool = False
    """Take what was said on gold and qualification tasks, too."""
    sources: tuple[str, ...] = ()
    """Only what was brought in from these sources; empty for everything. Work done here has the source "here"."""
    words: Literal["settled", "all", "merged"] = "settled"
    """Of rankings: every annotator's word, but on a task that a reviewer settled the settled one alone; every word, the
    settled one before them; or one ranking a task, settled or else merged by how reliable its annotators are."""
