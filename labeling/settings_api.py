"""How a project labels, over HTTP: read by those who lead it, changed by its admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response as Answer

from labeling import leading, qualification, queue
from labeling.api import LabelingView
from labeling.models import Guidelines, LabelingSettings, Qualification
from labeling.project_settings import LabelSetSerializer
from training import access, people
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, LARGEST_ID, page, page_of
from training.models import Membership
from training.records import LARGEST_RANKING, SMALLEST_RANKING

if TYPE_CHECKING:
    from rest_framework.request import Request

KEY = RegexValidator(r"\A[a-z][a-z0-9_]{0,63}\Z", "A key holds small letters, digits and _ alone.")


class NewFlagSerializer(serializers.Serializer[Any]):
    """One flag that can be raised from now on."""

    key = serializers.CharField(max_length=64, validators=[KEY])
    label = serializers.CharField(max_length=200)  # type: ignore[assignment]  # DRF's own attribute is another


class NewLabelSetSerializer(serializers.Serializer[Any]):
    """What can be said of a response, and of a whole task, from now on."""

    response_flags = NewFlagSerializer(many=True, max_length=32)  # type: ignore[call-arg]  # many takes a list's
    task_flags = NewFlagSerializer(many=True, max_length=32)  # type: ignore[call-arg]  # many takes a list's

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two flags of one key."""
        for where, flags in attrs.items():
            keys = [flag["key"] for flag in flags]
            twice = sorted({key for key in keys if keys.count(key) > 1})
            if twice:
                raise ValidationError({where: [f"Two flags have the key {twice[0]}."]})
        return attrs


class AllSettingsSerializer(serializers.ModelSerializer[LabelingSettings]):
    """Everything that a project's leads decide."""

    label_set = LabelSetSerializer()

    class Meta:
        model = LabelingSettings
        fields = [
            "responses_per_task",
            "overlap",
            "overlap_percent",
            "extra_below",
            "lease_seconds",
            "skip_limit",
            "daily_limit",
            "gold_percent",
            "qualification_tasks",
            "qualification_percent",
            "order",
            "shows_agreement",
            "label_set",
        ]


class SettingsChangeSerializer(serializers.Serializer[Any]):
    """What is to be otherwise from now on; what is left out stays."""

    responses_per_task = serializers.IntegerField(min_value=SMALLEST_RANKING, max_value=LARGEST_RANKING, required=False)
    overlap = serializers.IntegerField(min_value=1, max_value=100, required=False)
    overlap_percent = serializers.IntegerField(min_value=0, max_value=100, required=False)
    extra_below = serializers.IntegerField(min_value=1, max_value=100, allow_null=True, required=False)
    lease_seconds = serializers.IntegerField(min_value=30, max_value=7 * 86_400, required=False)
    skip_limit = serializers.IntegerField(min_value=1, max_value=1000, required=False)
    daily_limit = serializers.IntegerField(min_value=1, max_value=100_000, allow_null=True, required=False)
    gold_percent = serializers.IntegerField(min_value=0, max_value=50, required=False)
    qualification_tasks = serializers.IntegerField(min_value=0, max_value=50, required=False)
    qualification_percent = serializers.IntegerField(min_value=0, max_value=100, required=False)
    order = serializers.ChoiceField(choices=LabelingSettings.Order.choices, required=False)
    shows_agreement = serializers.BooleanField(required=False)
    label_set = NewLabelSetSerializer(required=False)
    also_open = serializers.BooleanField(
        default=False, help_text="Give the tasks that are open already the seats that a higher overlap asks for."
    )


class AllSettings(LabelingView):
    """How a project labels."""

    @extend_schema(responses=AllSettingsSerializer, tags=["projects"])
    def get(self, request: Request, slug: str) -> Answer:
        """Every setting."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        return Answer(AllSettingsSerializer(queue.settings_of(project)).data)

    @extend_schema(request=SettingsChangeSerializer, responses=AllSettingsSerializer, tags=["projects"])
    def patch(self, request: Request, slug: str) -> Answer:
        """Label otherwise from now on. Who changed what is recorded."""
        project = access.membership_of(asker(request), slug, *access.ADMINS).project
        wanted = parsed(SettingsChangeSerializer, request.data)
        return Answer(AllSettingsSerializer(leading.change_settings(project=project, by=asker(request), **wanted)).data)


class GuidelinesVersionSerializer(serializers.ModelSerializer[Guidelines]):
    """What annotators were told from an instant on."""

    created_by = serializers.CharField(default=None, allow_null=True)

    class Meta:
        model = Guidelines
        fields = ["version", "text", "created_by", "created_at"]


class NewGuidelinesSerializer(serializers.Serializer[Any]):
    """What annotators are to be told, in Markdown."""

    text = serializers.CharField(max_length=200_000, allow_blank=True, trim_whitespace=False)


class GuidelinesVersions(LabelingView):
    """What annotators were told, by version."""

    @extend_schema(
        parameters=[CURSOR],
        responses=page_of(GuidelinesVersionSerializer),
        operation_id="guidelines_versions_list",
        tags=["projects"],
    )
    def get(self, request: Request, slug: str) -> Answer:
        """Each version, newest first; none is ever changed."""
        project = access.membership_of(asker(request), slug).project
        rows = Guidelines.objects.filter(project=project).select_related("created_by")
        return page(request, rows, GuidelinesVersionSerializer)

    @extend_schema(request=NewGuidelinesSerializer, responses={201: GuidelinesVersionSerializer}, tags=["projects"])
    def post(self, request: Request, slug: str) -> Answer:
        """Publish the next version. Annotators are shown it once, and each word names the version it was said under."""
        project = access.membership_of(asker(request), slug, *access.ADMINS).project
        text = parsed(NewGuidelinesSerializer, request.data)["text"]
        made = leading.publish_guidelines(project=project, by=asker(request), text=text)
        return Answer(GuidelinesVersionSerializer(made).data, status=201)


# --- Qualification ----------------------------------------------------------------------------------


class QualificationSerializer(serializers.ModelSerializer[Qualification]):
    """What became of someone's first tasks."""

    annotator = serializers.IntegerField(source="annotator_id")
    decided_by = serializers.CharField(default=None, allow_null=True)

    class Meta:
        model = Qualification
        fields = ["annotator", "state", "share", "tasks", "decided_by", "decided_at"]


class DecisionSerializer(serializers.Serializer[Any]):
    """What a lead decides: that someone may work, or that they may try again."""

    state = serializers.ChoiceField(choices=["passed", "again"])


class Qualifications(LabelingView):
    """Who may do real work."""

    @extend_schema(
        parameters=[CURSOR],
        responses=page_of(QualificationSerializer),
        operation_id="qualifications_list",
        tags=["projects"],
    )
    def get(self, request: Request, slug: str) -> Answer:
        """What became of everyone's first tasks, newest first; nothing of those who are not through with them."""
        project = access.membership_of(asker(request), slug, *access.READERS).project
        rows = Qualification.objects.filter(project=project).select_related("decided_by")
        return page(request, rows, QualificationSerializer)


class OneQualification(LabelingView):
    """Whether someone may do real work."""

    @extend_schema(request=DecisionSerializer, responses=QualificationSerializer, tags=["projects"])
    def put(self, request: Request, slug: str, user_id: int) -> Answer:
        """Let someone work whatever their first tasks were like, or let them try again on others."""
        project = access.membership_of(asker(request), slug, *access.ADMINS).project
        state = parsed(DecisionSerializer, request.data)["state"]
        rows = Membership.objects.active().select_related("user")
        found = rows.filter(project=project, user=min(user_id, LARGEST_ID)).first()
        if found is None:
            raise people.NoSuchMember
        verb = qualification.let_through if state == "passed" else qualification.let_try_again
        made = verb(project=project, annotator=found.user, by=asker(request))
        return Answer(QualificationSerializer(made).data)
