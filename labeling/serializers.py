"""What the labeling API reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from labeling.models import Kind
from training.records import LARGEST_RANKING

if TYPE_CHECKING:
    from labeling.queue import Handout


class MessageSerializer(serializers.Serializer[Any]):
    """One turn of a conversation."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = serializers.CharField()


class ShownResponseSerializer(serializers.Serializer[Any]):
    """A response as an annotator sees it: nothing says who wrote it (law Q4)."""

    id = serializers.UUIDField()
    text = serializers.CharField()


class ShownTaskSerializer(serializers.Serializer[Any]):
    """A task in someone's hands."""

    id = serializers.IntegerField()
    prompt = MessageSerializer(many=True)
    responses = ShownResponseSerializer(many=True)


class LeaseSerializer(serializers.Serializer[Any]):
    """A task in the asker's hands until a time, with the draft that was kept of it."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    expires_at = serializers.DateTimeField()
    task = ShownTaskSerializer()
    samples = serializers.BooleanField(help_text="Whether a demonstration may start from a response of a model.")
    draft = serializers.DictField(allow_null=True)
    draft_saved_at = serializers.DateTimeField(allow_null=True)
    guidelines_version = serializers.IntegerField(allow_null=True)


def lease_body(handout: Handout) -> dict[str, Any]:
    """Lay a handout out for LeaseSerializer."""
    lease, draft = handout.lease, handout.draft
    return {
        "id": lease.pk,
        "kind": lease.kind,
        "expires_at": lease.expires_at,
        "task": {
            "id": lease.task_id,
            "prompt": handout.prompt.messages,
            "responses": [{"id": response.pk, "text": response.text} for response in handout.responses],
        },
        "samples": handout.samples,
        "draft": draft.body if draft else None,
        "draft_saved_at": draft.saved_at if draft else None,
        "guidelines_version": lease.guidelines_version,
    }


class WantedSerializer(serializers.Serializer[Any]):
    """Which kind of task is asked for."""

    kind = serializers.ChoiceField(choices=Kind.choices)


class RenewedSerializer(serializers.Serializer[Any]):
    """Until when the task is held."""

    expires_at = serializers.DateTimeField()


class SavedSerializer(serializers.Serializer[Any]):
    """When the draft was saved."""

    saved_at = serializers.DateTimeField()


class SkipSerializer(serializers.Serializer[Any]):
    """Why a task is passed over."""

    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class PlacementSerializer(serializers.Serializer[Any]):
    """One response's dense rank (1 is the best, ties share one) and rating (1 to 7)."""

    response = serializers.UUIDField()
    rank = serializers.IntegerField(min_value=1, max_value=LARGEST_RANKING)
    rating = serializers.IntegerField(min_value=1, max_value=7)
    flags = serializers.ListField(child=serializers.CharField(max_length=64), max_length=32, default=list)


class RankingSerializer(serializers.Serializer[Any]):
    """A whole ranking."""

    placements = PlacementSerializer(many=True)
    flags = serializers.ListField(child=serializers.CharField(max_length=64), max_length=32, default=list)
    note = serializers.CharField(max_length=10_000, allow_blank=True, default="")
    seconds_spent = serializers.FloatField(min_value=0, max_value=86_400, allow_null=True, default=None)


class DemonstrationSerializer(serializers.Serializer[Any]):
    """An ideal response."""

    text = serializers.CharField(max_length=100_000, allow_blank=True, trim_whitespace=False)
    started_from = serializers.UUIDField(
        allow_null=True, default=None, help_text="The shown response that it started from, if any."
    )
    seconds_spent = serializers.FloatField(min_value=0, max_value=86_400, allow_null=True, default=None)


class RecordedSerializer(serializers.Serializer[Any]):
    """What was recorded."""

    id = serializers.IntegerField()


class DoneSerializer(serializers.Serializer[Any]):
    """What one person did in a while."""

    rankings = serializers.IntegerField()
    demonstrations = serializers.IntegerField()
    seconds_each = serializers.FloatField(allow_null=True)


class DaySerializer(serializers.Serializer[Any]):
    """What one person did on one day."""

    day = serializers.DateField()
    rankings = serializers.IntegerField()
    demonstrations = serializers.IntegerField()


class OpenTasksSerializer(serializers.Serializer[Any]):
    """How many tasks of each kind are open."""

    ranking = serializers.IntegerField()
    demonstration = serializers.IntegerField()


class ProgressSerializer(serializers.Serializer[Any]):
    """The asker's day and week, and what is open to them."""

    today = DoneSerializer()
    week = DoneSerializer()
    days = DaySerializer(many=True, help_text="The last two weeks, today last.")
    open = OpenTasksSerializer()
    being_written = serializers.FloatField(
        allow_null=True,
        help_text="How much of the next responses to rank a policy has written, 0 to 1; null while none is writing.",
    )


class GuidelinesSerializer(serializers.Serializer[Any]):
    """What annotators are told: Markdown, by version. Version null: nobody has written any yet."""

    version = serializers.IntegerField(allow_null=True)
    text = serializers.CharField(allow_blank=True)
    read = serializers.IntegerField(allow_null=True, help_text="The newest version that the asker has read.")
    read_text = serializers.CharField(allow_blank=True, help_text="What it said.")


class ReadSerializer(serializers.Serializer[Any]):
    """Which version of the guidelines was read."""

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class EstimateSerializer(serializers.Serializer[Any]):
    """A figure with its 95 % interval; no bounds where a single task cannot tell."""

    value = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    count = serializers.FloatField(help_text="Comparisons, or values, behind it.")
    tasks = serializers.IntegerField()


class RoundSerializer(serializers.Serializer[Any]):
    """One turn of the loop."""

    round = serializers.IntegerField()
    checkpoint = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    labels = serializers.IntegerField()
    rm_accuracy = serializers.FloatField(allow_null=True)
    ceiling = serializers.FloatField(allow_null=True)
    kl = serializers.FloatField(allow_null=True)
    win_rate = EstimateSerializer(allow_null=True)


class OverviewSerializer(serializers.Serializer[Any]):
    """A project at a glance."""

    demonstrations = serializers.IntegerField()
    rankings = serializers.IntegerField()
    simulated_rankings = serializers.IntegerField()
    rankings_since_snapshot = serializers.IntegerField(help_text="Rankings that no dataset can hold yet.")
    open_tasks = OpenTasksSerializer()
    live_leases = serializers.IntegerField()
    annotators_today = serializers.IntegerField()
    rounds = RoundSerializer(many=True)
