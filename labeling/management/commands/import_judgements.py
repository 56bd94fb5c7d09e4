"""`manage.py import_judgements FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labeling import imports
from labeling.management.importing import ImportCommand

if TYPE_CHECKING:
    from pathlib import Path

    from training.models import Project


class Command(ImportCommand):
    help = (
        "Bring judgements in from a file: rankings, verdicts, chosen and rejected, or responses that are to be ranked."
    )

    def bring_in(self, project: Project, path: Path, options: imports.Options, _: dict[str, Any]) -> imports.Report:
        """Bring judgements in."""
        return imports.import_judgements(project=project, path=path, options=options)
