"""`manage.py import_demonstrations FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labeling import imports
from labeling.management.importing import ImportCommand

if TYPE_CHECKING:
    from pathlib import Path

    from training.models import Project


class Command(ImportCommand):
    help = "Bring demonstrations in from a file: a prompt and its ideal response a line."

    def bring_in(self, project: Project, path: Path, options: imports.Options, _: dict[str, Any]) -> imports.Report:
        """Bring demonstrations in."""
        return imports.import_demonstrations(project=project, path=path, options=options)
