"""Which policies people prefer, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import contests
from labeling.api import LabelingView
from labeling.serializers import EstimateSerializer
from training import access
from training.api.asking import asker, parsed
from training.models import Checkpoint

if TYPE_CHECKING:
    from rest_framework.request import Request


class WhichContestsSerializer(serializers.Serializer[Any]):
    """Whose contests, and by whose word."""

    checkpoint = serializers.IntegerField(min_value=1, help_text="A policy of the project.")
    simulated = serializers.BooleanField(default=False, help_text="With what simulated annotators said.")


class RivalSerializer(serializers.Serializer[Any]):
    """Another policy."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    is_champion = serializers.BooleanField()


class ContestSerializer(serializers.Serializer[Any]):
    """How often a policy's responses stand above a rival's in one ranking; ties count half."""

    rival = RivalSerializer()
    win = EstimateSerializer()
    rankings = serializers.IntegerField()
    annotators = serializers.IntegerField()
    speaks_for_others = serializers.BooleanField(
        help_text="Whether the interval covers other annotators, and not only other prompts: it takes five of them."
    )


class ContestsSerializer(serializers.Serializer[Any]):
    """A policy against each that people ranked together with it."""

    checkpoint = serializers.IntegerField()
    simulated = serializers.BooleanField()
    contests = ContestSerializer(many=True)


class Contests(LabelingView):
    """Policies compared by people."""

    @extend_schema(parameters=[WhichContestsSerializer], responses=ContestsSerializer, tags=["review"])
    def get(self, request: Request, slug: str) -> Answer:
        """Win rates of a policy over each rival that stood in one ranking with it, by people's word.

        The intervals are over prompts, and over annotators too where there are five or more. Gold and qualification
        tasks and what was returned stay out, and simulated annotators unless they are asked for.
        """
        project = access.membership_of(asker(request), slug, *access.READERS).project
        wanted = parsed(WhichContestsSerializer, request.query_params)
        rows = Checkpoint.objects.filter(project=project, kind=Checkpoint.Kind.POLICY, pk=wanted["checkpoint"])
        checkpoint = rows.select_related("project").first()
        if checkpoint is None:
            raise access.NotThere
        found = contests.contests_of(checkpoint, simulated=wanted["simulated"])
        body = {"checkpoint": checkpoint.pk, "simulated": wanted["simulated"], "contests": found}
        return Answer(ContestsSerializer(body).data)
