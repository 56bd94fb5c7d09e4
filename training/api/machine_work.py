"""Jobs over HTTP: which kinds there are, starting and stopping them, and watching them live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from training import access, jobs, report
from training.api.asking import asker, parsed
from training.api.paging import CURSOR, PROJECT, one, page, page_of, whole_number
from training.kinds import all_kinds, is_offered, kind_named
from training.models import Attempt, Job, Metric

if TYPE_CHECKING:
    from pathlib import Path

    from django.db.models import QuerySet
    from rest_framework.request import Request

METRICS_AT_ONCE = 20_000
EVENTS_AT_ONCE = 1_000
ATTEMPT_UNIT = 2**40
"""An events cursor is the attempt's number times this, plus the bytes of its events that were read."""
SHOWN_EVENTS = {"note", "samples", "alarm", "pause", "error", "done"}


class InputSerializer(serializers.Serializer[Any]):
    """One thing that a kind of job reads."""

    name = serializers.CharField()
    kind = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]  # DRF's own attribute of that name is another
    default = serializers.CharField(allow_null=True)
    many = serializers.BooleanField(  # type: ignore[assignment]  # DRF's own attribute is another
        help_text="Whether further ones may be given, as `<name>_2`, `<name>_3` and so on."
    )


class KindSerializer(serializers.Serializer[Any]):
    """A kind of job, with the JSON schema of its configuration."""

    kind = serializers.CharField(source="name")
    title = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField()
    inputs = InputSerializer(many=True)
    makes = serializers.ListField(
        child=serializers.CharField(), help_text="The kinds of checkpoint or dataset that its jobs may make."
    )


class JobKinds(APIView):
    """What can be started."""

    @extend_schema(responses=KindSerializer(many=True), operation_id="job_kinds_list", tags=["jobs"])
    def get(self, _request: Request) -> Response:
        """Every kind of job: its form, what it reads and what it makes."""
        return Response(KindSerializer(all_kinds(), many=True).data)


class JobProgressSerializer(serializers.Serializer[Any]):
    """How much is done."""

    done = serializers.FloatField(source="progress_done", allow_null=True)
    total = serializers.FloatField(source="progress_total", allow_null=True)
    unit = serializers.CharField(source="progress_unit")


class JobErrorSerializer(serializers.Serializer[Any]):
    """What went wrong."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job in a list."""

    project = serializers.CharField(source="project.slug")
    makes = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    created_by = serializers.CharField(default=None, allow_null=True)

    class Meta:
        model = Job
        fields = [
            "id", "project", "kind", "name", "makes", "state", "progress", "error", "created_by", "schedule",
            "cancel_requested_at", "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_makes(self, job: Job) -> str | None:
        """The kind of checkpoint or dataset that it makes; null where its kind of job is not offered any more."""
        return kind_named(job.kind).output_of(job.config) if is_offered(job.kind) else None

    @extend_schema_field(JobProgressSerializer(allow_null=True))
    def get_progress(self, job: Job) -> dict[str, Any] | None:
        """How far it is, once it has said so."""
        return JobProgressSerializer(job).data if job.progress_total is not None else None

    @extend_schema_field(JobErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, Any] | None:
        """What went wrong, if something did."""
        return JobErrorSerializer(job).data if job.error_code else None


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One try at a job."""

    class Meta:
        model = Attempt
        fields = ["number", "host", "started_at", "ended_at", "outcome"]


class JobOutputSerializer(serializers.Serializer[Any]):
    """What a job made."""

    digest = serializers.CharField()
    checkpoint = serializers.IntegerField(allow_null=True)
    dataset = serializers.IntegerField(allow_null=True)


class JobDetailSerializer(JobSerializer):
    """A job, whole."""

    attempts = AttemptSerializer(many=True)
    output = serializers.SerializerMethodField()
    waits_for = serializers.PrimaryKeyRelatedField[Any](many=True, read_only=True)

    class Meta(JobSerializer.Meta):
        fields = [
            *JobSerializer.Meta.fields,
            "config", "seed", "requested_inputs", "inputs", "attempts", "output", "waits_for", "triggered_by",
        ]  # fmt: skip

    @extend_schema_field(JobOutputSerializer(allow_null=True))
    def get_output(self, job: Job) -> dict[str, Any] | None:
        """What it made, once it has."""
        if not job.output_digest:
            return None
        checkpoint, dataset = getattr(job, "checkpoint", None), getattr(job, "dataset", None)
        return {
            "digest": job.output_digest,
            "checkpoint": checkpoint.pk if checkpoint else None,
            "dataset": dataset.pk if dataset else None,
        }


REFERENCES = {
    "type": "object",
    "description": 'Input name -> a digest, "champion", "previous" (champion), "latest", "snapshot" or {"job": id}.',
    "additionalProperties": {
        "oneOf": [{"type": "string"}, {"type": "object", "properties": {"job": {"type": "integer"}}}]
    },
}


@extend_schema_field(REFERENCES)
class ReferencesField(serializers.DictField):
    """Input name -> reference."""


class NewJobSerializer(serializers.Serializer[Any]):
    """What to start."""

    project = serializers.SlugField()
    kind = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=120, default="", allow_blank=True)
    config = serializers.DictField(default=dict)
    inputs = ReferencesField(default=dict)
    seed = serializers.IntegerField(default=1, min_value=0, max_value=2**31 - 1)


def shown() -> QuerySet[Job]:
    """Jobs with all that a list shows."""
    return Job.objects.select_related("project", "created_by")


def whole(job_id: int, request: Request, *roles: str) -> Job:
    """One job with all that its page shows, if the asker has one of the roles in its project."""
    rows = shown().select_related("checkpoint", "dataset").prefetch_related("attempts", "waits_for")
    job = cast("Job | None", one(rows, job_id))
    if job is None:
        raise access.NotThere
    access.check(asker(request), job.project_id, *roles)
    return job


class Jobs(APIView):
    """Machine work."""

    @extend_schema(
        parameters=[
            PROJECT,
            OpenApiParameter("kind", str),
            OpenApiParameter("state", str, enum=Job.State.values),
            CURSOR,
        ],
        responses=page_of(JobSerializer),
        operation_id="jobs_list",
        tags=["jobs"],
    )
    def get(self, request: Request) -> Response:
        """Jobs, newest first."""
        rows = in_my_projects(request, shown())
        wanted = {name: request.query_params[name] for name in ("kind", "state") if request.query_params.get(name)}
        return page(request, rows.filter(**wanted), JobSerializer)

    @extend_schema(request=NewJobSerializer, responses={201: JobDetailSerializer}, tags=["jobs"])
    def post(self, request: Request) -> Response:
        """Start a job."""
        said = parsed(NewJobSerializer, request.data)
        project = access.membership_of(asker(request), said.pop("project"), *access.RESEARCHERS).project
        job = jobs.start(project=project, by=asker(request), **said)
        return Response(JobDetailSerializer(job).data, status=201)


def in_my_projects(request: Request, rows: QuerySet[Any], *roles: str) -> QuerySet[Any]:
    """What belongs to the project that was named, or else to all in which the asker may read."""
    allowed = roles or access.READERS
    slug = request.query_params.get("project")
    if slug:
        return rows.filter(project=access.membership_of(asker(request), slug, *allowed).project)
    return rows.filter(project__in=access.projects_of(asker(request), *allowed))


class OneJob(APIView):
    """One job."""

    @extend_schema(responses=JobDetailSerializer, tags=["jobs"])
    def get(self, request: Request, job_id: int) -> Response:
        """A job: what was asked, what became of it."""
        return Response(JobDetailSerializer(whole(job_id, request, *access.READERS)).data)


class Cancel(APIView):
    """Stopping a job."""

    @extend_schema(request=None, responses=JobDetailSerializer, tags=["jobs"])
    def post(self, request: Request, job_id: int) -> Response:
        """Stop a job: at once if it waits, within ten seconds if it runs. Nothing of it is published."""
        job = whole(job_id, request, *access.RESEARCHERS)
        jobs.cancel(job)
        return Response(JobDetailSerializer(job).data)


class Retry(APIView):
    """Taking a job up again."""

    @extend_schema(request=None, responses=JobDetailSerializer, tags=["jobs"])
    def post(self, request: Request, job_id: int) -> Response:
        """Take a failed or cancelled job up again from its last savepoint."""
        job = whole(job_id, request, *access.RESEARCHERS)
        jobs.retry(job)
        return Response(JobDetailSerializer(job).data)


class Resume(APIView):
    """Letting a paused job go on."""

    @extend_schema(request=None, responses=JobDetailSerializer, tags=["jobs"])
    def post(self, request: Request, job_id: int) -> Response:
        """Let a job that has paused go on from its savepoint: somebody has looked at what it paused for."""
        job = whole(job_id, request, *access.RESEARCHERS)
        jobs.resume(job)
        return Response(JobDetailSerializer(job).data)


class JobMetricsSerializer(serializers.Serializer[Any]):
    """Curves, as far as they have grown since the cursor."""

    cursor = serializers.IntegerField()
    series = serializers.SerializerMethodField()

    @extend_schema_field(
        {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number", "nullable": True}, "minItems": 2, "maxItems": 2},
            },
        }
    )
    def get_series(self, said: dict[str, Any]) -> dict[str, list[Any]]:
        """Name -> [[step, value], …]; a value that was not finite is null."""
        return cast("dict[str, list[Any]]", said["series"])


def after(request: Request) -> int:
    """The cursor of a live view; 0 at its beginning."""
    return whole_number("after", request.query_params.get("after") or "0")


AFTER = OpenApiParameter("after", int, description="`cursor` of the answer before; 0 or nothing at the beginning.")


class Metrics(APIView):
    """A job's curves."""

    @extend_schema(parameters=[AFTER], responses=JobMetricsSerializer, tags=["jobs"])
    def get(self, request: Request, job_id: int) -> Response:
        """What the trainer has measured since the cursor."""
        job = whole(job_id, request, *access.READERS)
        cursor, series = after(request), cast("dict[str, list[Any]]", {})
        rows = Metric.objects.filter(job=job, pk__gt=cursor).order_by("pk").values_list("pk", "name", "step", "value")
        for number, name, step, value in rows[:METRICS_AT_ONCE]:
            series.setdefault(name, []).append([step, value])
            cursor = number
        return Response(JobMetricsSerializer({"cursor": cursor, "series": series}).data)


class JobEventsSerializer(serializers.Serializer[Any]):
    """What a trainer has said in words."""

    cursor = serializers.IntegerField()
    events = serializers.ListField(child=serializers.DictField())


class Events(APIView):
    """A job's notes and samples."""

    @extend_schema(parameters=[AFTER], responses=JobEventsSerializer, tags=["jobs"])
    def get(self, request: Request, job_id: int) -> Response:
        """Notes, samples, alarms, pauses and errors since the cursor, each with `at` (epoch seconds) and `event`."""
        job = whole(job_id, request, *access.READERS)
        cursor, said = events_since(settings.RUNS_ROOT / str(job.pk), job.attempt_number, after(request))
        return Response({"cursor": cursor, "events": said})


def events_since(folder: Path, attempts: int, cursor: int) -> tuple[int, list[dict[str, Any]]]:
    """What people may want to read in the attempts' events after the cursor, and the next cursor."""
    first, offset = divmod(cursor, ATTEMPT_UNIT)
    said: list[dict[str, Any]] = []
    for number in range(max(first, 1), attempts + 1):
        start = offset if number == first else 0
        events, reached = report.read_events(folder / f"attempt-{number}" / "events.jsonl", start)
        said += [event for event in events if event["event"] in SHOWN_EVENTS]
        cursor = number * ATTEMPT_UNIT + reached
        if len(said) >= EVENTS_AT_ONCE:
            break
    return cursor, said
