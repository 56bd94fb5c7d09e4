"""Which kinds of job there are: rooms register them by name, and the ground floor asks for them by name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from training import config as configs
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from training.models import Job

CHECKPOINT_KINDS = ("policy", "reward")
DATASET_KINDS = ("prompts", "demonstrations", "rankings", "text", "samples", "rewards")
SNAPSHOT_KIND = "labeling.snapshot"

FURTHER = re.compile("[2-9]|[1-9][0-9]")
"""Numbers of the further inputs of one name."""


class UnknownKind(Refusal):
    """Nobody registered this kind."""

    code, status = "unknown_kind", 422
    message = "There is no such kind of job."


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a job reads."""

    name: str
    kind: str
    """`policy` or `reward` for a checkpoint, else the kind of dataset."""
    required: bool = True
    default: str | None = None
    """The reference that is used when none is given: `champion`, `previous`, `latest` or `snapshot`."""
    many: bool = False
    """Whether further ones may be given, as `<name>_2`, `<name>_3` and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """What the ground floor needs to know of a kind of job; `name` is its Celery task's name too."""

    name: str
    title: str
    config: type[Any]
    """The frozen dataclass that its configuration is made of."""
    output: str
    """`policy` or `reward` for a checkpoint, else the kind of dataset."""
    output_from: str = ""
    """The setting that names the kind of dataset instead, where that is the user's choice."""
    description: str = ""
    inputs: tuple[Input, ...] = field(default=())
    program: str = ""
    """The trainer, as in `python -m <program> RUN_DIR --attempt N`."""
    check: Callable[[Any], None] | None = None
    """Refuses, by ConfigError, a configuration that this installation does not allow."""
    inside: Callable[[Job, Path], None] | None = None
    """Instead of a program: work that the worker does itself, leaving its files in the folder."""
    deliver: Callable[[Job, Path], None] | None = None
    """What else happens to a finished output, in the transaction that finishes the job. Must be repeatable."""
    queue: str = "default"

    def __post_init__(self) -> None:
        """Refuse a kind that could never run."""
        if bool(self.program) == bool(self.inside):
            raise ValueError(f"{self.name} must be either a program or inside work")
        unknown = {self.output, *(each.kind for each in self.inputs)} - {*CHECKPOINT_KINDS, *DATASET_KINDS}
        if unknown:
            raise ValueError(f"{self.name} speaks of {', '.join(sorted(unknown))}, which nobody can publish")

    def schema(self) -> dict[str, Any]:
        """The JSON schema of its configuration."""
        return configs.schema(self.config)

    @property
    def makes(self) -> tuple[str, ...]:
        """Every kind of checkpoint or dataset that a job of this kind may make."""
        if not self.output_from:
            return (self.output,)
        return tuple(self.schema()["properties"][self.output_from]["enum"])

    def output_of(self, config: Mapping[str, Any]) -> str:
        """What a job with this configuration makes."""
        return str(config[self.output_from]) if self.output_from else self.output

    def input(self, name: str) -> Input | None:
        """The input of that name, which may be one more of a kind of which many are taken."""
        base, _, number = name.rpartition("_")
        for each in self.inputs:
            if each.name == name:
                return each
            if each.many and each.name == base and FURTHER.fullmatch(number):
                return replace(each, name=name, required=False, default=None)
        return None


_kinds: dict[str, JobKind] = {}


def register(kind: JobKind) -> None:
    """Offer a kind of job; called by rooms in `AppConfig.ready`."""
    if _kinds.get(kind.name, kind) != kind:
        raise ValueError(f"{kind.name} is registered twice")
    _kinds[kind.name] = kind


def kind_named(name: str) -> JobKind:
    """The kind of that name, or a refusal."""
    if name not in _kinds:
        raise UnknownKind(f"There is no kind of job called {name!r}.", kind="unknown")
    return _kinds[name]


def is_offered(name: str) -> bool:
    """Whether there is a kind of that name; a job of the past may be of one that is gone."""
    return name in _kinds


def all_kinds() -> list[JobKind]:
    """Every kind, by name."""
    return [_kinds[name] for name in sorted(_kinds)]
