"""Named numbers that rooms offer to schedules and gates, such as `labeling.rankings_since_snapshot`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from training.models import Project


class UnknownMeasure(Refusal):
    """Nobody registered this measure."""

    code, status = "unknown_measure", 422
    message = "There is no such measure."


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number about a project."""

    name: str
    title: str
    read: Callable[[Project, datetime | None], float | None]
    """The number now; measures that count something count from the instant on, or everything for None."""


_measures: dict[str, Measure] = {}


def register(measure: Measure) -> None:
    """Offer a measure; called by rooms in `AppConfig.ready`."""
    if measure.name in _measures and _measures[measure.name] != measure:
        raise ValueError(f"{measure.name} is registered twice")
    _measures[measure.name] = measure


def measure_named(name: str) -> Measure:
    """The measure of that name, or a refusal."""
    if name not in _measures:
        raise UnknownMeasure(f"There is no measure called {name!r}.", measure="unknown")
    return _measures[name]


def all_measures() -> list[Measure]:
    """Every measure, by name."""
    return [_measures[name] for name in sorted(_measures)]
