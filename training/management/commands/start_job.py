"""`manage.py start_job KIND`: start a piece of machine work from the shell."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training import jobs
from training.kinds import all_kinds
from training.management.projects import project_named
from training.models import Job
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser

LOOK_SECONDS = 0.5


class Command(BaseCommand):
    help = "Start a job. Workers must be running (make run)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read what to start."""
        parser.add_argument("kind", help=f"one of {', '.join(each.name for each in all_kinds())}")
        parser.add_argument("--project", metavar="SLUG", help="the project (not needed where there is one only)")
        parser.add_argument("--name", default="", help="what to call it")
        parser.add_argument("--seed", type=int, default=1, help="from which all random streams are drawn (default: 1)")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a setting of the kind; of a group: alarms.kl_limit=20",
        )
        parser.add_argument(
            "--input",
            action="append",
            default=[],
            metavar="NAME=REFERENCE",
            help="what it reads: a digest, champion, previous, latest, snapshot, or job:17",
        )
        parser.add_argument("--wait", action="store_true", help="stay until it is over; status 1 unless it succeeded")

    def handle(self, *, kind: str, project: str | None, name: str, seed: int, wait: bool, **rest: Any) -> None:
        """Start it, and wait if asked to."""
        try:
            job = jobs.start(
                project=project_named(project),
                kind=kind,
                name=name,
                seed=seed,
                config=settings_of(pairs(rest["set"])),
                inputs={key: reference_of(text) for key, text in pairs(rest["input"])},
            )
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(f"job {job.pk} ({job.kind}) is {job.state}")
        if wait:
            self.wait_for(job)

    def wait_for(self, job: Job) -> None:
        """Show its progress until it is over."""
        with tqdm(
            total=1.0,
            desc=job.kind,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {postfix}",
            leave=False,
            disable=None,  # none where nobody looks at a terminal
        ) as bar:
            while not job.is_over and job.state != Job.State.PAUSED:
                time.sleep(LOOK_SECONDS)
                job.refresh_from_db()
                bar.n = (job.progress_done or 0) / (job.progress_total or 1)
                bar.set_postfix_str(job.state)
        if job.state != Job.State.SUCCEEDED:
            raise CommandError(f"job {job.pk} has {job.state} {job.error_code}: {job.error_message}")
        self.stdout.write(f"job {job.pk} succeeded: {job.output_digest}")


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """KEY=VALUE words, split."""
    for word in words:
        if "=" not in word:
            raise CommandError(f"{word!r} is not KEY=VALUE")
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def settings_of(said: list[tuple[str, str]]) -> dict[str, Any]:
    """Settings by name; `group.name` is one within a group."""
    found: dict[str, Any] = {}
    for key, text in said:
        *groups, name = key.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value_of(text)
    return found


def value_of(text: str) -> Any:
    """A value as JSON where it is JSON, else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def reference_of(text: str) -> Any:
    """`job:17`, or a word."""
    before, colon, number = text.partition(":")
    return {"job": int(number)} if before == "job" and colon and number.isdecimal() else text
