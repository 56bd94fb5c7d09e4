"""What annotators are asked, over HTTP: found, changed, and asked anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import asking, curating
from labeling.api import LabelingView
from labeling.models import Prompt, Split
from labeling.serializers import MessageSerializer
from training import access
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, LARGEST_ID, page, page_of

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


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    """A prompt in a list."""

    title = serializers.CharField()
    messages = MessageSerializer(many=True)
    tags = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Prompt
        fields = [
            "id",
            "title",
            "messages",
            "split",
            "source",
            "source_user",
            "tags",
            "priority",
            "retired_at",
            "created_at",
        ]


class WantedPromptsSerializer(serializers.Serializer[Any]):
    """Which prompts are looked for."""

    q = serializers.CharField(max_length=200, allow_blank=True, default="")
    split = serializers.ChoiceField(choices=Split.choices, allow_blank=True, default="")
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute is another
        max_length=100, allow_blank=True, default=""
    )
    tag = serializers.CharField(max_length=100, allow_blank=True, default="")
    retired = serializers.BooleanField(allow_null=True, default=None)


class PromptsChangeSerializer(serializers.Serializer[Any]):
    """What is to be otherwise with some prompts; what is left out stays."""

    prompts = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID), min_length=1, max_length=500
    )
    retired = serializers.BooleanField(allow_null=True, default=None)
    priority = serializers.IntegerField(min_value=-1000, max_value=1000, allow_null=True, default=None)
    add_tags = serializers.ListField(child=serializers.CharField(max_length=100), max_length=20, default=list)
    remove_tags = serializers.ListField(child=serializers.CharField(max_length=100), max_length=20, default=list)
    demonstrate = serializers.BooleanField(default=False, help_text="Open a demonstration task for each, once.")


class ChangedPromptsSerializer(serializers.Serializer[Any]):
    """How many demonstration tasks were opened."""

    opened = serializers.IntegerField()


class Prompts(LabelingView):
    """What annotators are asked."""

    @extend_schema(
        parameters=[CURSOR, WantedPromptsSerializer],
        responses=page_of(PromptSerializer),
        operation_id="prompts_list",
        tags=["prompts"],
    )
    def get(self, request: Request, slug: str) -> Answer:
        """Prompts, newest first; with words, those that hold each of them."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        wanted = parsed(WantedPromptsSerializer, request.query_params)
        text = wanted.pop("q")
        return page(request, curating.find(project, text=text, **wanted), PromptSerializer)

    @extend_schema(request=PromptsChangeSerializer, responses=ChangedPromptsSerializer, tags=["prompts"])
    def patch(self, request: Request, slug: str) -> Answer:
        """Retire prompts or take them up again, tag them, put them first or last, or ask for demonstrations."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        wanted = parsed(PromptsChangeSerializer, request.data)
        return Answer({"opened": curating.change(project=project, by=asker(request), **wanted)})

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
