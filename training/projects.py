"""What other rooms add to a project's page: settings of their own, asked for by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.serializers import Serializer

    from training.models import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a room describes its settings of a project."""

    shape: type[Serializer[Any]]
    read: Callable[[Project], dict[str, Any]]


_offered: list[Settings] = []


def offer_settings(settings: Settings) -> None:
    """Show a room's settings with every project; called in `AppConfig.ready`."""
    _offered.append(settings)


def settings_shape() -> dict[str, Any]:
    """The fields of all offered settings."""
    return {name: field for each in _offered for name, field in each.shape().fields.items()}


def settings_of(project: Project) -> dict[str, Any]:
    """All offered settings of a project."""
    return {name: value for each in _offered for name, value in each.read(project).items()}
