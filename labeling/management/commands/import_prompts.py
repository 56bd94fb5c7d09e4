"""`manage.py import_prompts FILE`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from labeling import imports
from labeling.management.importing import ImportCommand

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from pathlib import Path

    from training.models import Project


class Command(ImportCommand):
    help = "Bring prompts in from a file: each text once, split by source user or long common beginning."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read, besides, whether people are to answer the prompts."""
        super().add_arguments(parser)
        parser.add_argument(
            "--near",
            choices=get_args(imports.Near),
            default="keep",
            help="what becomes of a prompt that shares a long beginning with one before it",
        )
        parser.add_argument("--demonstrate", action="store_true", help="open a demonstration task for each new prompt")

    def bring_in(
        self, project: Project, path: Path, options: imports.Options, chosen: dict[str, Any]
    ) -> imports.Report:
        """Bring prompts in."""
        options = replace(options, near=chosen["near"])
        return imports.import_prompts(project=project, path=path, options=options, demonstrate=chosen["demonstrate"])
