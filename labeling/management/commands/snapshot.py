"""`manage.py snapshot`: freeze what was said, now, without waiting for a worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from django.core.management.base import BaseCommand, CommandError

from labeling.config import SnapshotConfig
from training import jobs, launcher
from training.management.projects import project_named
from training.models import Job
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser

POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = "Freeze rankings, demonstrations or prompts into an immutable dataset with a digest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read what to freeze."""
        kinds = get_args(get_type_hints(SnapshotConfig)["what"])
        parser.add_argument("what", choices=kinds, nargs="?", default=kinds[0])
        parser.add_argument("--project", metavar="SLUG", help="whose; not needed while there is one project only")
        parser.add_argument("--name", default="", help="the dataset's name; the same name again is its next version")
        parser.add_argument("--include-simulated", action="store_true", help="take what simulated annotators said, too")
        parser.add_argument("--include-gold", action="store_true", help="take gold and qualification tasks, too")
        parser.add_argument("--source", action="append", default=[], help='only this source; "here" is work done here')

        words = get_args(get_type_hints(SnapshotConfig)["words"])
        parser.add_argument(
            "--words", choices=words, default=words[0], help="of settled tasks the settled word; every word; or merged"
        )

    def handle(self, *_: Any, **chosen: Any) -> None:
        """Take the snapshot and say what came out."""
        config = {
            "what": chosen["what"],
            "include_simulated": chosen["include_simulated"],
            "include_gold": chosen["include_gold"],
            "sources": chosen["source"],
            "words": chosen["words"],
        }
        try:
            job = jobs.start(
                project=project_named(chosen["project"]), kind="labeling.snapshot", name=chosen["name"], config=config
            )
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        launcher.answer_for(job.pk)
        job = ended(job)
        if job.state != Job.State.SUCCEEDED:
            raise CommandError(f"The snapshot has {job.state}: {job.error_message}")
        dataset = job.dataset
        self.stdout.write(f"{dataset}: {dataset.count} lines, {dataset.card['splits']}")
        self.stdout.write(dataset.digest)


def ended(job: Job) -> Job:
    """The job at its end: a worker may have been quicker to take it."""
    while not Job.objects.get(pk=job.pk).is_over:
        time.sleep(POLL_SECONDS)
    return Job.objects.get(pk=job.pk)
