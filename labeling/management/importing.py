"""What the commands that bring files in share: options, a progress bar, and a report."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labeling.imports import BAD_LINES_TOLD, Options
from labeling.lines import FORMATS
from training.management.projects import project_named
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from labeling.imports import Report
    from training.models import Project


class ImportCommand(BaseCommand):
    """Brings one file in, whole or not at all."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read the file's name and what to do with it."""
        parser.add_argument("file", type=Path, help=f"{', '.join(FORMATS)}, with .gz or without")
        parser.add_argument("--project", metavar="SLUG", help="where to; not needed while there is one project only")
        parser.add_argument(
            "--on-error",
            choices=["refuse", "skip"],
            default="refuse",
            help="what a bad line does: refuse the whole file (default), or be skipped; it is named either way",
        )
        parser.add_argument("--source", default="", help="the source of lines that name none")
        parser.add_argument(
            "--only", action="append", default=[], metavar="SOURCE", help="take only this source's lines"
        )
        parser.add_argument("--at-most", type=int, metavar="N", help="take the first N lines of each source")

    @abstractmethod
    def bring_in(self, project: Project, path: Path, options: Options, chosen: dict[str, Any]) -> Report:
        """Do the import; each command says how."""

    def handle(self, *_: Any, **chosen: Any) -> None:
        """Bring the file in and say what became of it."""
        file: Path = chosen["file"]
        project = project_named(chosen["project"])
        if not file.is_file():
            raise CommandError(f"There is no file {file}.")
        total = 2 * file.stat().st_size
        # A bar is for a person: `disable=None` draws none where nobody looks at a terminal.
        with tqdm(total=total, unit="B", unit_scale=True, desc=file.name, leave=False, disable=None) as bar:
            options = Options(
                source=chosen["source"],
                only=frozenset(chosen["only"]),
                at_most=chosen["at_most"],
                on_error=chosen["on_error"],
                progress=bar.update,
            )
            try:
                report = self.bring_in(project, file, options, chosen)
            except Refusal as refusal:
                raise CommandError(refusal.message) from refusal
        self.tell(report)

    def tell(self, report: Report) -> None:
        """Say what was written, and name the lines that were skipped."""
        self.stdout.write(f"{report.lines} lines")
        for name, count in sorted(report.counts.items()):
            if count:
                self.stdout.write(f"{count:>8} {name}")
        if report.bad:
            self.stderr.write(f"{len(report.bad):>8} lines skipped:")
        for bad in report.bad[:BAD_LINES_TOLD]:
            self.stderr.write(f"         {bad}")
        if len(report.bad) > BAD_LINES_TOLD:
            self.stderr.write(f"         and {len(report.bad) - BAD_LINES_TOLD} more")
