"""Sending a conversation to the annotators, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import asking
from labeling.api import LabelingView, asker, parsed
from training import access

if TYPE_CHECKING:
    from rest_framework.request import Request


class TurnSerializer(serializers.Serializer[Any]):
    """One turn of a conversation that someone had."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = serializers.CharField(max_length=100_000, allow_blank=True, trim_whitespace=False)


class ConversationSerializer(serializers.Serializer[Any]):
    """A conversation, ending with the user's turn."""

    messages = serializers.ListField(child=TurnSerializer(), min_length=1, max_length=400)


class NewPromptSerializer(ConversationSerializer):
    """A conversation, and what is asked of the annotators."""

    ask = serializers.ChoiceField(choices=["demonstration"], default="demonstration")


class AskedSerializer(serializers.Serializer[Any]):
    """The prompt, and whether a task was opened: the same conversation is asked once."""

    prompt = serializers.IntegerField()
    opened = serializers.BooleanField()


class Prompts(LabelingView):
    """What annotators are asked."""

    @extend_schema(
        request=NewPromptSerializer, responses={201: AskedSerializer, 200: AskedSerializer}, tags=["labeling"]
    )
    def post(self, request: Request, slug: str) -> Answer:
        """Ask for a demonstration: the ideal reply to a conversation. Asked again, it changes nothing and answers 200.

        Any member may ask.
        """
        project = access.membership_of(asker(request), slug).project
        said = parsed(NewPromptSerializer, request.data)
        prompt, is_new = asking.for_demonstration(project=project, messages=said["messages"])
        return Answer({"prompt": prompt.pk, "opened": is_new}, status=201 if is_new else 200)
