"""Bringing files in, over HTTP: whole or not at all, bad lines by number, and how far it is."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from django.core.cache import cache
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response as Answer

from labeling import imports, lines
from labeling.api import LabelingView
from training import access
from training.api.asking import asker, parsed
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rest_framework.request import Request

    from training.models import Project, User

TOLD = 200  # bad lines that an answer names
REMEMBERED_SECONDS = 3600
TELL_SECONDS = 0.3


class FileSerializer(serializers.Serializer[Any]):
    """A file, and what to do with it."""

    file = serializers.FileField()
    what = serializers.ChoiceField(choices=["prompts", "demonstrations", "judgements"], default="prompts")
    on_error = serializers.ChoiceField(
        choices=get_args(imports.OnError),
        default="refuse",
        help_text="What a bad line does: refuse the whole file, or be skipped. It is named either way.",
    )
    near = serializers.ChoiceField(
        choices=get_args(imports.Near),
        default="keep",
        help_text="What becomes of a prompt that shares a long beginning with one before it.",
    )
    source = serializers.CharField(  # type: ignore[assignment]  # DRF's own attribute is another
        max_length=100, allow_blank=True, default="", help_text="The source of lines that name none."
    )
    demonstrate = serializers.BooleanField(default=False, help_text="Open a demonstration task for each new prompt.")
    ticket = serializers.UUIDField(required=False, help_text="Of your choice; with it you can ask how far it is.")


class BadLineSerializer(serializers.Serializer[Any]):
    """A line that was skipped, or that the file was refused for."""

    line = serializers.IntegerField()
    reason = serializers.CharField()


class CountSerializer(serializers.Serializer[Any]):
    """How many of something there were, in words."""

    what = serializers.CharField()
    count = serializers.IntegerField()


class ImportReportSerializer(serializers.Serializer[Any]):
    """What an import did."""

    lines = serializers.IntegerField()
    counts = CountSerializer(many=True)
    bad_count = serializers.IntegerField()
    bad = BadLineSerializer(many=True, help_text=f"The first {TOLD} lines that were skipped.")


class ImportProgressSerializer(serializers.Serializer[Any]):
    """How far an import is: the share of the file that is dealt with, and what it did once it is through."""

    share = serializers.FloatField()
    report = ImportReportSerializer(allow_null=True)
    refused = serializers.CharField(allow_null=True)


VERBS: dict[str, Callable[..., imports.Report]] = {
    "prompts": imports.import_prompts,
    "demonstrations": imports.import_demonstrations,
    "judgements": imports.import_judgements,
}


class Imports(LabelingView):
    """Bringing a file in."""

    parser_classes = [MultiPartParser]

    @extend_schema(request=FileSerializer, responses={201: ImportReportSerializer}, tags=["prompts"])
    def post(self, request: Request, slug: str) -> Answer:
        """Bring a file of JSON lines or CSV in, gzipped or not: whole, or not at all. Twice changes nothing."""
        project = access.membership_of(asker(request), slug, *access.RESEARCHERS).project
        wanted = parsed(FileSerializer, request.data)
        said = Said(project, wanted.get("ticket"))
        try:
            report = bring_in(project, asker(request), wanted, said)
        except imports.ImportRefused as refusal:
            said.refused(refusal.message)
            refusal.fields["bad"] = bad_lines(refusal.bad)
            raise
        except Refusal as refusal:
            said.refused(refusal.message)
            raise
        except Exception:
            said.refused("The import broke off, and nothing was brought in. Why stands in the server's log.")
            raise
        body = ImportReportSerializer(report_body(report)).data
        said.done(body)
        return Answer(body, status=201)


def bring_in(project: Project, by: User, wanted: dict[str, Any], said: Said) -> imports.Report:
    """Lay the file where it can be read twice, and bring it in."""
    upload = wanted["file"]
    with tempfile.TemporaryDirectory(prefix="laurel-import-") as folder:
        path = Path(folder) / f"upload{''.join(Path(upload.name).suffixes[-2:])}"
        if not lines.is_readable(path):
            raise lines.UnknownFormat
        with path.open("wb") as copy:
            shutil.copyfileobj(upload, copy)
        said.of = 2 * path.stat().st_size
        options = imports.Options(
            source=wanted["source"],
            on_error=wanted["on_error"],
            near=wanted["near"],
            progress=said.read,
            by=by,
            called=upload.name,
        )
        more = {"demonstrate": wanted["demonstrate"]} if wanted["what"] == "prompts" else {}
        return VERBS[wanted["what"]](project=project, path=path, options=options, **more)


def report_body(report: imports.Report) -> dict[str, Any]:
    """Lay a report out for ImportReportSerializer."""
    return {
        "lines": report.lines,
        "counts": [{"what": what, "count": count} for what, count in sorted(report.counts.items()) if count],
        "bad_count": len(report.bad),
        "bad": bad_lines(report.bad),
    }


def bad_lines(bad: Any) -> list[dict[str, Any]]:
    """The first bad lines, each with what is wrong with it."""
    return [{"line": each.number, "reason": each.reason} for each in bad[:TOLD]]


def key_of(project: Project, ticket: UUID) -> str:
    """Where it stands how far an import is."""
    return f"import:{project.pk}:{ticket}"


class Said:
    """How far an import is, for whoever asks with its ticket: its own transaction is seen by nobody yet."""

    def __init__(self, project: Project, ticket: UUID | None) -> None:
        self.key = key_of(project, ticket) if ticket else None
        self.seen, self.of, self.told_at = 0, 1, 0.0

    def tell(self, **news: Any) -> None:
        """Write it where other requests see it."""
        if self.key:
            share = min(1.0, self.seen / max(1, self.of))
            cache.set(self.key, {"share": share, "report": None, "refused": None} | news, REMEMBERED_SECONDS)

    def read(self, count: int) -> None:
        """Hear that so many bytes were read."""
        self.seen += count
        if time.monotonic() - self.told_at >= TELL_SECONDS:
            self.told_at = time.monotonic()
            self.tell()

    def done(self, report: Any) -> None:
        """Hear what it did."""
        self.tell(share=1.0, report=report)

    def refused(self, why: str) -> None:
        """Hear that nothing was brought in."""
        self.tell(refused=why)


class OneImport(LabelingView):
    """An import that is going on, or was a moment ago."""

    @extend_schema(responses=ImportProgressSerializer, tags=["prompts"])
    def get(self, request: Request, slug: str, ticket: UUID) -> Answer:
        """How far it is; what it did, once it is through. 404 before it begins and an hour after its end."""
        project = access.membership_of(asker(request), slug, *access.RESEARCHERS).project
        found = cache.get(key_of(project, ticket))
        if found is None:
            raise access.NotThere
        return Answer(ImportProgressSerializer(found).data)
