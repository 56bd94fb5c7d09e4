"""What came of machine work, over HTTP: checkpoints, datasets, measures."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db.models import Exists, OuterRef
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from training import access, artifacts, checkpoints
from training.api import files
from training.api.asking import asker
from training.api.machine_work import in_my_projects
from training.api.paging import CURSOR, PROJECT, one, page, page_of
from training.measures import all_measures
from training.models import Champion, Checkpoint, Dataset
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.db.models import QuerySet
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request


class FileSerializer(serializers.Serializer[Any]):
    """One file of an artefact."""

    name = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class FilesMissing(Refusal):
    """The row is there, and the bytes are not."""

    code, status = "artifact_missing", 503
    message = "The files are not in the store of this server."


def folder_of(digest: str) -> Path:
    """The artefact's folder in the store. Its bytes are not read: whoever gets a file gets its hash with it."""
    try:
        return artifacts.Store(settings.STORE_ROOT).find(digest)
    except artifacts.ArtifactMissing as error:
        raise FilesMissing(str(error)) from error


def files_of(digest: str) -> list[dict[str, Any]]:
    """The files of an artefact, as its manifest lists them; none where it is not in this server's store."""
    home = settings.STORE_ROOT / digest.removeprefix("sha256:") / artifacts.MANIFEST
    if not home.exists():
        return []
    return cast("list[dict[str, Any]]", json.loads(home.read_bytes())["files"])


def send(request: Request, digest: str, name: str, *, etag: str = "", saved_as: str = "") -> HttpResponseBase:
    """Send one file of an artefact."""
    entry = next((each for each in files_of(digest) if each["name"] == name), None)
    if entry is None:
        raise access.NotThere
    return files.answer(
        request,
        folder_of(digest) / name,
        etag=etag or f"sha256:{entry['sha256']}",
        sha256=entry["sha256"],
        content_type="application/jsonl" if name.endswith(".jsonl") else "application/octet-stream",
        name=saved_as or PurePosixPath(name).name,
    )


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    """A checkpoint in a list."""

    project = serializers.CharField(source="project.slug")
    is_champion = serializers.BooleanField()
    metrics = serializers.SerializerMethodField()

    class Meta:
        model = Checkpoint
        fields = ["id", "project", "kind", "name", "digest", "job", "is_champion", "metrics", "created_at"]

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "number", "nullable": True}})
    def get_metrics(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """The numbers of its evaluation, from its card, by path: `valid/accuracy`."""
        return dict(numbers_in(checkpoint.card.get("evaluation", {})))


def numbers_in(said: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    """The numbers of a nested evaluation by path; a number with its interval is its `value`."""
    if isinstance(said, int | float) and not isinstance(said, bool):
        yield "/".join(path), said
    elif isinstance(said, dict):
        inner = {"value": said["value"]} if "value" in said else said
        for name, part in inner.items():
            yield from numbers_in(part, path if name == "value" else (*path, name))


class RelativeSerializer(serializers.ModelSerializer[Checkpoint]):
    """A parent or a child."""

    class Meta:
        model = Checkpoint
        fields = ["id", "kind", "name"]


class ReignSerializer(serializers.ModelSerializer[Champion]):
    """A time in which a checkpoint was the champion."""

    by = serializers.CharField(default=None, allow_null=True)

    class Meta:
        model = Champion
        fields = ["since", "until", "by"]


class CheckpointDetailSerializer(CheckpointSerializer):
    """A checkpoint, whole."""

    card = serializers.DictField()
    parents = RelativeSerializer(many=True)
    children = RelativeSerializer(many=True)
    reigns = ReignSerializer(many=True)
    files = serializers.SerializerMethodField()

    class Meta(CheckpointSerializer.Meta):
        fields = [*CheckpointSerializer.Meta.fields, "card", "parents", "children", "reigns", "files"]

    @extend_schema_field(FileSerializer(many=True))
    def get_files(self, checkpoint: Checkpoint) -> list[dict[str, Any]]:
        """Names, sizes and hashes of its files."""
        return files_of(checkpoint.digest)


def shown_checkpoints() -> QuerySet[Checkpoint]:
    """Checkpoints with all that a list shows."""
    reigning = Champion.objects.filter(checkpoint=OuterRef("pk"), until=None)
    return Checkpoint.objects.select_related("project").annotate(is_champion=Exists(reigning))


def whole_checkpoint(request: Request, number: int, *roles: str) -> Checkpoint:
    """A checkpoint with its relatives and reigns, if the asker has one of the roles in its project."""
    rows = shown_checkpoints().prefetch_related("parents", "children", "reigns__by")
    checkpoint = cast("Checkpoint | None", one(rows, number))
    if checkpoint is None:
        raise access.NotThere
    access.check(asker(request), checkpoint.project_id, *roles)
    return checkpoint


class Checkpoints(APIView):
    """Published models."""

    @extend_schema(
        parameters=[PROJECT, OpenApiParameter("kind", str, enum=Checkpoint.Kind.values), CURSOR],
        responses=page_of(CheckpointSerializer),
        operation_id="checkpoints_list",
        tags=["models"],
    )
    def get(self, request: Request) -> Response:
        """Checkpoints, newest first."""
        kind = request.query_params.get("kind")
        rows = in_my_projects(request, shown_checkpoints())
        return page(request, rows.filter(kind=kind) if kind else rows, CheckpointSerializer)


class OneCheckpoint(APIView):
    """One published model."""

    @extend_schema(responses=CheckpointDetailSerializer, tags=["models"])
    def get(self, request: Request, checkpoint_id: int) -> Response:
        """A checkpoint: its card, its relatives, its files."""
        return Response(CheckpointDetailSerializer(whole_checkpoint(request, checkpoint_id, *access.READERS)).data)


class Promote(APIView):
    """Choosing the champion."""

    @extend_schema(request=None, responses=CheckpointDetailSerializer, tags=["models"])
    def post(self, request: Request, checkpoint_id: int) -> Response:
        """Make a checkpoint the one that its project uses where nobody names another."""
        checkpoints.promote(whole_checkpoint(request, checkpoint_id, *access.ADMINS), by=asker(request))
        return Response(CheckpointDetailSerializer(whole_checkpoint(request, checkpoint_id)).data)


FILE = OpenApiResponse(
    OpenApiTypes.BINARY, description="The bytes; `Range` gives a part, `X-Content-SHA256` is the whole file's hash."
)


class CheckpointFile(APIView):
    """One file of a published model."""

    @extend_schema(
        responses={(200, "application/octet-stream"): FILE, (206, "application/octet-stream"): FILE}, tags=["models"]
    )
    def get(self, request: Request, checkpoint_id: int, name: str) -> HttpResponseBase:
        """A file of the folder, as `transformers` reads it."""
        return send(request, whole_checkpoint(request, checkpoint_id, *access.RESEARCHERS).digest, name)


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A dataset in a list."""

    project = serializers.CharField(source="project.slug")

    class Meta:
        model = Dataset
        fields = ["id", "project", "kind", "name", "version", "digest", "count", "job", "created_at"]


class DatasetDetailSerializer(DatasetSerializer):
    """A dataset, whole."""

    card = serializers.DictField()
    files = serializers.SerializerMethodField()

    class Meta(DatasetSerializer.Meta):
        fields = [*DatasetSerializer.Meta.fields, "card", "files"]

    @extend_schema_field(FileSerializer(many=True))
    def get_files(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Names, sizes and hashes of its files."""
        return files_of(dataset.digest)


def whole_dataset(request: Request, number: int, *roles: str) -> Dataset:
    """A dataset, if the asker has one of the roles in its project."""
    dataset = cast("Dataset | None", one(Dataset.objects.select_related("project"), number))
    if dataset is None:
        raise access.NotThere
    access.check(asker(request), dataset.project_id, *roles)
    return dataset


class Datasets(APIView):
    """Frozen datasets."""

    @extend_schema(
        parameters=[PROJECT, OpenApiParameter("kind", str, enum=Dataset.Kind.values), CURSOR],
        responses=page_of(DatasetSerializer),
        operation_id="datasets_list",
        tags=["datasets"],
    )
    def get(self, request: Request) -> Response:
        """Datasets, newest first."""
        kind = request.query_params.get("kind")
        rows = in_my_projects(request, Dataset.objects.select_related("project"))
        return page(request, rows.filter(kind=kind) if kind else rows, DatasetSerializer)


class OneDataset(APIView):
    """One frozen dataset."""

    @extend_schema(responses=DatasetDetailSerializer, tags=["datasets"])
    def get(self, request: Request, dataset_id: int) -> Response:
        """A dataset: its card and its files."""
        return Response(DatasetDetailSerializer(whole_dataset(request, dataset_id, *access.READERS)).data)


class DatasetDownload(APIView):
    """The lines of a dataset."""

    @extend_schema(responses={(200, "application/jsonl"): FILE, (206, "application/jsonl"): FILE}, tags=["datasets"])
    def get(self, request: Request, dataset_id: int) -> HttpResponseBase:
        """`data.jsonl`, the same bytes each time; `ETag` is the dataset's digest."""
        dataset = whole_dataset(request, dataset_id, *access.RESEARCHERS)
        name = f"{dataset.project.slug}-{dataset.kind}-{dataset.pk}-v{dataset.version}.jsonl"
        return send(request, dataset.digest, "data.jsonl", etag=dataset.digest, saved_as=name)


class MeasureSerializer(serializers.Serializer[Any]):
    """A named number of a project."""

    name = serializers.CharField()
    title = serializers.CharField()
    value = serializers.FloatField(allow_null=True)


class Measures(APIView):
    """What schedules can wait for."""

    @extend_schema(
        parameters=[OpenApiParameter("project", str, required=True)],
        responses=MeasureSerializer(many=True),
        operation_id="measures_list",
        tags=["schedules"],
    )
    def get(self, request: Request) -> Response:
        """Every measure, and what it is in the project now."""
        slug = request.query_params.get("project", "")
        project = access.membership_of(asker(request), slug, *access.READERS).project
        now = [{"name": each.name, "title": each.title, "value": each.read(project, None)} for each in all_measures()]
        return Response(MeasureSerializer(now, many=True).data)
