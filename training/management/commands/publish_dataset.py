"""`manage.py publish_dataset KIND FILE`: freeze a file of lines into a dataset that jobs can read."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training import artifacts, datasets, records
from training.management.commands.start_job import project_named

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

TEXT_FIELDS = ("text", "split", "title", "weight")
VALID_SHARE = TEST_SHARE = 0.05
STRICT: dict[str, type[records.Line]] = {
    "prompts": records.PromptLine,
    "demonstrations": records.DemonstrationLine,
    "rankings": records.RankingLine,
}


class Command(BaseCommand):
    help = (
        "Publish a file of JSON lines (also gzipped) as a dataset; a bad line is refused by its number. "
        "Lines of text may hold other fields, which are left out, and get a split by their hash where they name none."
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
                lines = text_lines(file) if kind == "text" else records.read_lines(STRICT[kind], file)
                shown = tqdm(lines, desc=kind, unit=" lines", leave=False)
                card = records.write_lines(shown, Path(folder), kind=kind)
            except (records.RecordError, OSError) as error:
                raise CommandError(str(error)) from error
            digest = artifacts.Store(settings.STORE_ROOT).put(Path(folder))
        dataset = datasets.publish(project=owner, kind=kind, name=named, digest=digest, card=card)
        self.stdout.write(f"{dataset} has {dataset.count} lines: {dataset.digest}")


def text_lines(path: Path) -> Iterator[records.Line]:
    """The texts of a file, reduced to the fields that trainers know."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield text_line(line, number)


def text_line(line: str, number: int) -> records.TextLine:
    """One text; 5 of 100 that name no split are valid, and 5 are test."""
    try:
        said = json.loads(line)
        known = {name: said[name] for name in TEXT_FIELDS if name in said}
    except (ValueError, TypeError) as error:
        raise records.RecordError(f"is not a JSON object: {error}", line_number=number) from error
    draw = hashlib.sha256(str(known.get("text")).encode()).digest()[0] / 256
    split = "valid" if draw < VALID_SHARE else "test" if draw < VALID_SHARE + TEST_SHARE else "train"
    return records.TextLine.from_json(json.dumps({"split": split, **known}), number)
