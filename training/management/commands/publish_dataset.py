"""`manage.py publish_dataset KIND FILE`: freeze a file of lines into a dataset that jobs can read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training import artifacts, datasets, records
from training.management.projects import project_named
from training.texts import read_texts

if TYPE_CHECKING:
    from argparse import ArgumentParser

STRICT: dict[str, type[records.Line]] = {
    "prompts": records.PromptLine,
    "demonstrations": records.DemonstrationLine,
    "rankings": records.RankingLine,
}


class Command(BaseCommand):
    help = (
        "Publish a file of JSON lines (also gzipped) as a dataset; a bad line is refused by its number. "
        "Text may also be a plain file, or a folder of files; its lines may hold other fields, which are left out, and "
        "get a split by their hash where they name none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read what to publish."""
        parser.add_argument("kind", choices=sorted([*STRICT, "text"]))
        parser.add_argument("file", type=Path)
        parser.add_argument("--project", metavar="SLUG", help="the project (not needed where there is one only)")
        parser.add_argument("--name", default="", help="what to call it (default: the file's name)")

    def handle(self, *, kind: str, file: Path, project: str | None, name: str, **_options: Any) -> None:
        """Check every line, store the file, and make it visible."""
        owner = project_named(project)
        named = name or file.name.partition(".")[0]
        with tempfile.TemporaryDirectory() as folder:
            try:
                lines = read_texts(file) if kind == "text" else records.read_lines(STRICT[kind], file)
                shown = tqdm(lines, desc=kind, unit=" lines", leave=False, disable=None)
                card = records.write_lines(shown, Path(folder), kind=kind)
            except (records.RecordError, OSError) as error:
                raise CommandError(str(error)) from error
            digest = artifacts.Store(settings.STORE_ROOT).put(Path(folder))
        dataset = datasets.publish(project=owner, kind=kind, name=named, digest=digest, card=card)
        self.stdout.write(f"{dataset} has {dataset.count} lines: {dataset.digest}")
