"""How a project labels, as its page shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from labeling import queue

if TYPE_CHECKING:
    from training.models import Project


class FlagSerializer(serializers.Serializer[Any]):
    """One flag that can be raised."""

    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute of that name is another


class LabelSetSerializer(serializers.Serializer[Any]):
    """What can be said of a response, and of a whole task."""

    response_flags = FlagSerializer(many=True)
    task_flags = FlagSerializer(many=True)


class LabelingSettingsSerializer(serializers.Serializer[Any]):
    """What an annotator's screen needs to know of a project."""

    responses_per_task = serializers.IntegerField()
    overlap = serializers.IntegerField()
    lease_seconds = serializers.IntegerField()
    daily_limit = serializers.IntegerField(allow_null=True)
    qualification_tasks = serializers.IntegerField()
    qualification_percent = serializers.IntegerField()
    shows_agreement = serializers.BooleanField()
    label_set = LabelSetSerializer()


def read(project: Project) -> dict[str, Any]:
    """The settings of a project."""
    return dict(LabelingSettingsSerializer(queue.settings_of(project)).data)
