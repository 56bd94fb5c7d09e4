from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from labeling.judges import PERSONAS
from labeling.simulation import ServerRefused, simulate
from training.management.projects import project_named

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Let simulated annotators rank what is open, through the HTTP API of a running server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose work, and how much of it."""
        parser.add_argument("--project", required=True, help="the project's short name")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server answers")
        parser.add_argument("--annotators", type=int, default=len(PERSONAS), help=f"how many of the {len(PERSONAS)}")
        parser.add_argument("--labels", type=int, help="stop after so many rankings; all that is open otherwise")
        parser.add_argument("--seed", type=int, default=1, help="moods, lapses and noise")

    def handle(self, *_: Any, **options: Any) -> None:
        """Rank, and say how much was ranked."""
        project = project_named(options["project"])
        if not 1 <= options["annotators"] <= len(PERSONAS):
            raise CommandError(f"--annotators lies between 1 and {len(PERSONAS)}.")
        with tqdm(total=options["labels"], unit="ranking", disable=options["verbosity"] == 0 or None) as bar:
            try:
                given = simulate(
                    project=project,
                    base_url=options["url"],
                    annotators=options["annotators"],
                    labels=options["labels"],
                    seed=options["seed"],
                    progress=lambda _: bar.update(),
                )
            except httpx.TransportError as error:
                raise CommandError(f"{options['url']}: {error}. Is the server running (make run)?") from error
            except ServerRefused as error:
                raise CommandError(f"{options['url']}: {error}") from error
        self.stdout.write(f"{given} rankings given by simulated annotators.")
