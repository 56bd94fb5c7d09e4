"""Conversations that an annotator writes from nothing, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response as Answer

from labeling import conversing
from labeling.api import LabelingView
from labeling.serializers import RecordedSerializer, SavedSerializer
from training import access
from training.api.asking import asker, parsed

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

    from training.models import Project


class PlayedTurnSerializer(serializers.Serializer[Any]):
    """One turn, of either side."""

    role = serializers.ChoiceField(choices=list(conversing.SIDES))
    content = serializers.CharField(max_length=100_000, allow_blank=True, trim_whitespace=False)


class PlayedSerializer(serializers.Serializer[Any]):
    """A whole conversation: it begins with the user and ends with the assistant."""

    turns = serializers.ListField(child=PlayedTurnSerializer(), max_length=200)
    seconds_spent = serializers.FloatField(min_value=0, max_value=86_400, allow_null=True, default=None)


class UnfinishedSerializer(serializers.Serializer[Any]):
    """A conversation that is not submitted yet, as it was kept."""

    id = serializers.UUIDField()
    body = serializers.DictField()
    saved_at = serializers.DateTimeField()


def project_of(request: Request, slug: str) -> Project:
    """The project, where the asker may label."""
    return access.membership_of(asker(request), slug, *access.LABELERS).project


class Unfinished(LabelingView):
    """What the asker has begun."""

    @extend_schema(
        responses=UnfinishedSerializer(many=True), operation_id="unfinished_conversations_list", tags=["labeling"]
    )
    def get(self, request: Request, slug: str) -> Answer:
        """My conversation that I have not submitted, or none; of several, the one that I wrote in last.

        Where there is none and the project's rules let me begin none now, that is said instead.
        """
        project = project_of(request, slug)
        found = conversing.unfinished(asker(request), project)
        if found is None:
            conversing.check_rules(asker(request), project)
        return Answer(UnfinishedSerializer([found] if found else [], many=True).data)


class OneConversation(LabelingView):
    """One conversation, under an id that its writer drew."""

    @extend_schema(
        request={"application/json": {"type": "object", "additionalProperties": True}},
        responses=SavedSerializer,
        tags=["labeling"],
    )
    def put(self, request: Request, slug: str, conversation_id: UUID) -> Answer:
        """Keep the conversation, so that any machine can go on with it."""
        if not isinstance(request.data, dict):
            raise ValidationError("An unfinished conversation is a JSON object.")
        kept = conversing.save(
            annotator=asker(request),
            project=project_of(request, slug),
            conversation_id=conversation_id,
            body=request.data,
        )
        return Answer(SavedSerializer({"saved_at": kept.saved_at}).data)

    @extend_schema(responses={204: None}, tags=["labeling"])
    def delete(self, request: Request, slug: str, conversation_id: UUID) -> Answer:
        """Throw the unfinished conversation away."""
        project = project_of(request, slug)
        conversing.discard(annotator=asker(request), project=project, conversation_id=conversation_id)
        return Answer(status=204)


class Submit(LabelingView):
    """Finishing a conversation."""

    @extend_schema(
        request=PlayedSerializer, responses={201: RecordedSerializer, 200: RecordedSerializer}, tags=["labeling"]
    )
    def post(self, request: Request, slug: str, conversation_id: UUID) -> Answer:
        """Record the conversation as a demonstration. Sent again with the same id, it changes nothing, answers 200."""
        said = parsed(PlayedSerializer, request.data)
        demonstration, is_new = conversing.submit(
            annotator=asker(request),
            project=project_of(request, slug),
            conversation_id=conversation_id,
            turns=said["turns"],
            seconds_spent=said["seconds_spent"],
        )
        return Answer({"id": demonstration.pk}, status=201 if is_new else 200)
