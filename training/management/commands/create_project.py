"""`manage.py create_project NAME`: a project, led by someone who is here or by whoever opens the link that it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from training import people
from training.models import Membership, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Create a project. Without --admin, tell a link with which its first admin joins."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read what it is called, and who leads it."""
        parser.add_argument("name")
        parser.add_argument("--slug", default="", help="its short name in addresses; made of the name otherwise")
        parser.add_argument("--description", default="")
        parser.add_argument("--admin", metavar="USERNAME", help="who leads it")

    def handle(self, *, name: str, slug: str, description: str, admin: str | None, **_: Any) -> None:
        """Create it, and say where it is."""
        lead = User.objects.filter(username=admin, is_active=True).first() if admin else None
        if admin and lead is None:
            raise CommandError(f"Nobody here is called {admin!r}. Leave --admin out to get a link for a new account.")
        try:
            with transaction.atomic():
                project = people.create_project(name=name, slug=slug, description=description, by=lead)
                link = None if lead else people.invite(project=project, role=Membership.Role.ADMIN, by=None)
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(f"{project.name} is at /p/{project.slug}")
        if link:
            self.stdout.write(f"Its first admin joins at /join/{people.token_of(link)}")
