"""`manage.py load_starter`: a project to begin with. Loading it again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from config import starter
from training import checkpoints
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Create the starter project: people, prompts, demonstrations, and a small model that tells bedtime stories."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read which model to begin with."""
        parser.add_argument(
            "--policy",
            default="",
            metavar="FOLDER|NAME",
            help="begin with another model: a folder that transformers loads, or a name on a model hub",
        )

    def handle(self, *, policy: str, verbosity: int, **_options: Any) -> None:
        """Create what is missing."""
        project, is_new = starter.create_project()
        passwords = starter.invite_people(project)
        if is_new:
            self.stdout.write("Bringing the starter's prompts and demonstrations in …")
            starter.bring_in_words(project)
        champion = checkpoints.champion(project, "policy")
        if champion is not None and policy:
            self.stderr.write(
                f"The champion stays {champion.name}. Bring another policy in with: "
                f"manage.py start_job policy.adopt --project {project.slug} --set model={policy}"
            )
        if champion is None:
            try:
                starter.publish_policy(project, policy)
            except Refusal as refusal:
                self.stderr.write(refusal.message)
            else:
                starter.set_in_motion(project)
        if verbosity:
            for username, password in passwords.items():
                self.stdout.write(f"  {username:<6} {password:<28} {starter.PEOPLE[username][1]}")
