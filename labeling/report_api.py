"""Reports of prompts, over HTTP: annotators make them, those who review read and settle them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.response import Response as Answer

from labeling import reports
from labeling.api import LabelingView
from labeling.models import Report
from labeling.serializers import RecordedSerializer
from training import access
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, page, page_of

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

SETTLED = OpenApiParameter("settled", bool, description="Those that were looked at, instead of those that were not.")


class NewReportSerializer(serializers.Serializer[Any]):
    """What is wrong with a prompt."""

    reason = serializers.ChoiceField(choices=Report.Reason.choices)
    note = serializers.CharField(max_length=2000, allow_blank=True, default="")


class WantedReportsSerializer(serializers.Serializer[Any]):
    """Which reports are asked for."""

    settled = serializers.BooleanField(default=False)


class ReportSerializer(serializers.Serializer[Any]):
    """A report, with the prompt that it speaks of."""

    id = serializers.IntegerField()
    prompt = serializers.IntegerField(source="prompt_id")
    title = serializers.CharField(source="prompt.title")
    task = serializers.IntegerField(source="task_id", allow_null=True)
    reporter = serializers.CharField()
    reason = serializers.ChoiceField(choices=Report.Reason.choices)
    note = serializers.CharField()
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)
    settled_by = serializers.CharField(allow_null=True)


class ReportPrompt(LabelingView):
    """Saying that something is wrong with a prompt."""

    @extend_schema(
        request=NewReportSerializer, responses={201: RecordedSerializer, 200: RecordedSerializer}, tags=["labeling"]
    )
    def post(self, request: Request, lease_id: UUID) -> Answer:
        """Report the prompt of a task of mine; the task stays in my hands. Reported again, the reason is said anew."""
        said = parsed(NewReportSerializer, request.data)
        made, is_new = reports.report(
            annotator=asker(request), lease_id=lease_id, reason=said["reason"], note=said["note"]
        )
        return Answer({"id": made.pk}, status=201 if is_new else 200)


class Reports(LabelingView):
    """What annotators reported."""

    @extend_schema(
        parameters=[CURSOR, SETTLED],
        responses=page_of(ReportSerializer),
        operation_id="reports_list",
        tags=["labeling"],
    )
    def get(self, request: Request, slug: str) -> Answer:
        """The reports that nobody has looked at yet, newest first, a page at a time; or those that were looked at."""
        project = access.membership_of(asker(request), slug, *access.REVIEWERS).project
        settled = parsed(WantedReportsSerializer, request.query_params)["settled"]
        found = Report.objects.filter(project=project, settled_at__isnull=not settled)
        return page(request, found.select_related("prompt", "reporter", "settled_by"), ReportSerializer)


class Settle(LabelingView):
    """Having looked at a report."""

    @extend_schema(request=None, responses=ReportSerializer, tags=["labeling"])
    def post(self, request: Request, report_id: int) -> Answer:
        """Say that the report was looked at, and needs nobody else."""
        return Answer(ReportSerializer(reports.settle(by=asker(request), report_id=report_id)).data)

    @extend_schema(responses=ReportSerializer, tags=["labeling"])
    def delete(self, request: Request, report_id: int) -> Answer:
        """Take that back: the report waits for somebody again."""
        return Answer(ReportSerializer(reports.reopen(by=asker(request), report_id=report_id)).data)
