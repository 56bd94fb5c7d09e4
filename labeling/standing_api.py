"""Where the asker stands in a project, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import standing
from labeling.api import LabelingView
from labeling.quality_api import AgreementSerializer
from training import access
from training.api.asking import asker

if TYPE_CHECKING:
    from rest_framework.request import Request


class FirstTasksSerializer(serializers.Serializer[Any]):
    """How far the asker is with the tasks that let them do real work."""

    failed = serializers.BooleanField()
    done = serializers.IntegerField()
    needed = serializers.IntegerField()


class OwnAgreementSerializer(serializers.Serializer[Any]):
    """How far the asker agrees; a part is null where nothing speaks to it yet."""

    others = AgreementSerializer(allow_null=True, help_text="With the people who judged the same tasks.")
    known = AgreementSerializer(allow_null=True, help_text="With known answers; which tasks have one is not told.")


class StandingSerializer(serializers.Serializer[Any]):
    """Where the asker stands."""

    first_tasks = FirstTasksSerializer(allow_null=True, help_text="Null for those who may do real work.")
    left_today = serializers.IntegerField(allow_null=True, help_text="Null where there is no daily limit.")
    agreement = OwnAgreementSerializer(allow_null=True, help_text="Null where the project does not show it.")


class OwnStanding(LabelingView):
    """Where the asker stands."""

    @extend_schema(responses=StandingSerializer, tags=["labeling"])
    def get(self, request: Request, slug: str) -> Answer:
        """My first tasks, what is left of my day, and how far I agree with others and with known answers."""
        project = access.membership_of(asker(request), slug, *access.LABELERS).project
        found = standing.of(asker(request), project)
        body = {
            "first_tasks": found.first_tasks,
            "left_today": found.left_today,
            "agreement": found if found.shows_agreement else None,
        }
        return Answer(StandingSerializer(body).data)
