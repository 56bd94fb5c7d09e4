"""`manage.py invite --project SLUG --role ROLE`: a link that lets one person in, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from training import people
from training.management.projects import project_named
from training.models import Membership

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Tell a link with which one person joins a project, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read where to, as what, and until when."""
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--role", choices=Membership.Role.values, default=Membership.Role.ANNOTATOR)
        parser.add_argument("--for", dest="meant_for", default="", help="whom it is meant for, in your own words")
        parser.add_argument("--days", type=int, default=people.DAYS, help="how long it is good")

    def handle(self, *, project: str, role: str, meant_for: str, days: int, **_: Any) -> None:
        """Make the invitation."""
        made = people.invite(project=project_named(project), role=role, by=None, meant_for=meant_for, days=days)
        self.stdout.write(f"/join/{people.token_of(made)}")
