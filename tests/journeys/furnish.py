"""`python -m tests.journeys.furnish SLUG FOLDER`: a project with its people, its prompts and its first models.

FOLDER holds `policy/`, perhaps `reward/`, `prompts.jsonl` and `candidates.jsonl`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402 (Django comes first)
from django.core.management import call_command  # noqa: E402

from tests.journeys.cast import PASSWORD, PEOPLE  # noqa: E402
from training import checkpoints  # noqa: E402
from training.artifacts import Store  # noqa: E402
from training.models import Membership, Project, User  # noqa: E402


def furnish(slug: str, folder: Path) -> None:
    """Make the project and all that it needs to begin with."""
    project = Project.objects.create(slug=slug, name=f"Stories of {slug}")
    for name, role in PEOPLE.items():
        person = User.objects.filter(username=name).first()
        person = person or User.objects.create_user(name, password=PASSWORD, name=name.title())
        Membership.objects.create(project=project, user=person, role=role)
    for kind in ("policy", "reward"):
        if (folder / kind).is_dir():
            digest = Store(settings.STORE_ROOT).put(folder / kind)
            card = {"kind": "random"}
            first = checkpoints.publish(project=project, kind=kind, digest=digest, card=card, name=f"first {kind}")
            checkpoints.promote(first)
    call_command("import_prompts", folder / "prompts.jsonl", project=slug)
    call_command("import_judgements", folder / "candidates.jsonl", project=slug)


if __name__ == "__main__":
    furnish(sys.argv[1], Path(sys.argv[2]))
