"""Schedules over HTTP: jobs that start by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.db.models import OuterRef, Subquery
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from training import access, schedules
from training.api.asking import asker, parsed
from training.api.machine_work import JobDetailSerializer, ReferencesField, in_my_projects
from training.api.paging import CURSOR, PROJECT, one, page, page_of
from training.models import Job, Schedule

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request


class TriggerSerializer(serializers.Serializer[Any]):
    """When: `at` a time, by `cron` in a `timezone`, `after` a `kind` of job, or once a `measure` is `at_least`."""

    type = serializers.ChoiceField(choices=Schedule.Trigger.choices)
    at = serializers.DateTimeField(required=False)
    cron = serializers.CharField(required=False, max_length=100)
    timezone = serializers.CharField(required=False, max_length=64)
    kind = serializers.CharField(required=False, max_length=64)
    measure = serializers.CharField(required=False, max_length=100)
    at_least = serializers.FloatField(required=False)


PARTS = {"at": ("at",), "cron": ("cron", "timezone"), "after": ("kind",), "measure": ("measure", "at_least")}


class LastJobSerializer(serializers.Serializer[Any]):
    """The job that a schedule started last."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=Job.State.choices)


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """A schedule."""

    project = serializers.CharField(source="project.slug")
    trigger = serializers.SerializerMethodField()
    last_job = serializers.SerializerMethodField()

    class Meta:
        model = Schedule
        fields = [
            "id", "project", "name", "kind", "config", "inputs", "trigger", "enabled",
            "next_at", "last_fired_at", "last_job", "created_at",
        ]  # fmt: skip

    @extend_schema_field(TriggerSerializer)
    def get_trigger(self, schedule: Schedule) -> dict[str, Any]:
        """When it fires."""
        when = schedules.when_of(schedule)
        return {"type": when.type, **{part: getattr(when, part) for part in PARTS[when.type]}}

    @extend_schema_field(LastJobSerializer(allow_null=True))
    def get_last_job(self, schedule: Any) -> dict[str, Any] | None:
        """What it started last, and what became of that."""
        if schedule.last_job_id is None:
            return None
        return {"id": schedule.last_job_id, "state": schedule.last_job_state}


class NewScheduleSerializer(serializers.Serializer[Any]):
    """A schedule to be."""

    project = serializers.SlugField()
    name = serializers.CharField(max_length=120)
    kind = serializers.CharField(max_length=64)
    config = serializers.DictField(default=dict)
    inputs = ReferencesField(default=dict)
    trigger = TriggerSerializer()
    enabled = serializers.BooleanField(default=True)


class ScheduleChangeSerializer(serializers.Serializer[Any]):
    """What is to be different."""

    name = serializers.CharField(max_length=120, required=False)
    config = serializers.DictField(required=False)
    inputs = ReferencesField(required=False)
    trigger = TriggerSerializer(required=False)
    enabled = serializers.BooleanField(required=False)


def shown() -> QuerySet[Schedule]:
    """Schedules with all that a list shows."""
    last = Job.objects.filter(schedule=OuterRef("pk")).order_by("-pk")
    return Schedule.objects.select_related("project").annotate(
        last_job_id=Subquery(last.values("pk")[:1]), last_job_state=Subquery(last.values("state")[:1])
    )


def whole(request: Request, number: int, *roles: str) -> Schedule:
    """A schedule, if the asker has one of the roles in its project."""
    schedule = cast("Schedule | None", one(shown(), number))
    if schedule is None:
        raise access.NotThere
    access.check(asker(request), schedule.project_id, *roles)
    return schedule


class Schedules(APIView):
    """Jobs that start by themselves."""

    @extend_schema(
        parameters=[PROJECT, CURSOR],
        responses=page_of(ScheduleSerializer),
        operation_id="schedules_list",
        tags=["schedules"],
    )
    def get(self, request: Request) -> Response:
        """Schedules, newest first."""
        return page(request, in_my_projects(request, shown()), ScheduleSerializer)

    @extend_schema(request=NewScheduleSerializer, responses={201: ScheduleSerializer}, tags=["schedules"])
    def post(self, request: Request) -> Response:
        """Make a schedule."""
        said = parsed(NewScheduleSerializer, request.data)
        project = access.membership_of(asker(request), said.pop("project"), *access.RESEARCHERS).project
        when = schedules.When(**said.pop("trigger"))
        schedule = schedules.create(project=project, when=when, by=asker(request), **said)
        return Response(ScheduleSerializer(shown().get(pk=schedule.pk)).data, status=201)


class OneSchedule(APIView):
    """One schedule."""

    @extend_schema(responses=ScheduleSerializer, tags=["schedules"])
    def get(self, request: Request, schedule_id: int) -> Response:
        """A schedule, when it fires next, and what it started last."""
        return Response(ScheduleSerializer(whole(request, schedule_id, *access.READERS)).data)

    @extend_schema(request=ScheduleChangeSerializer, responses=ScheduleSerializer, tags=["schedules"])
    def patch(self, request: Request, schedule_id: int) -> Response:
        """Change a schedule, or switch it on or off."""
        schedule = whole(request, schedule_id, *access.RESEARCHERS)
        said = parsed(ScheduleChangeSerializer, request.data)
        when = schedules.When(**said.pop("trigger")) if "trigger" in said else None
        schedules.change(schedule, when=when, **said)
        return Response(ScheduleSerializer(shown().get(pk=schedule.pk)).data)

    @extend_schema(responses={204: None}, tags=["schedules"])
    def delete(self, request: Request, schedule_id: int) -> Response:
        """Delete a schedule; the jobs that it started stay."""
        whole(request, schedule_id, *access.RESEARCHERS).delete()
        return Response(status=204)


class RunNow(APIView):
    """Firing a schedule by hand."""

    @extend_schema(request=None, responses={201: JobDetailSerializer}, tags=["schedules"])
    def post(self, request: Request, schedule_id: int) -> Response:
        """Start the schedule's job now."""
        job = schedules.fire_by_hand(whole(request, schedule_id, *access.RESEARCHERS))
        return Response(JobDetailSerializer(job).data, status=201)
