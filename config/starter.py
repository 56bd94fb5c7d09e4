"""The starter project: bedtime stories, the people who judge them, and the small model that tells them."""

from __future__ import annotations

import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from labeling import imports
from labeling.models import Guidelines
from policy import adoption
from policy.starter import outlines
from training import artifacts, checkpoints, jobs, schedules
from training.models import Membership, Project, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.models import Checkpoint

SLUG = "bedtime-stories"
STARTER = settings.ROOT / "policy" / "starter"
ROLES = Membership.Role
PEOPLE = {
    "ada": ("Ada", ROLES.ANNOTATOR),
    "ben": ("Ben", ROLES.ANNOTATOR),
    "rosa": ("Rosa", ROLES.REVIEWER),
    "rhea": ("Rhea", ROLES.RESEARCHER),
    "carol": ("Carol", ROLES.ADMIN),
}
WORDS = [
    "acorn",
    "badger",
    "candle",
    "daisy",
    "ember",
    "feather",
    "garden",
    "harbor",
    "island",
    "kite",
    "lantern",
    "meadow",
    "otter",
    "pebble",
    "river",
]
DEMONSTRATIONS, UNREAD = 1200, 2
"""How many stories the project begins with, and a seed that tells others than the model has read."""
FIRST_SAMPLES = 120
"""Prompts that the first sampling answers; enough to rank for a while, and soon done."""
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "similarity": 0.6, "retries": 2}
"""So small a model breaks words at its unlikely tokens; and four tellings of one plot leave nothing to choose."""


@transaction.atomic
def create_project() -> tuple[Project, bool]:
    """The starter project, and whether it is new."""
    project, is_new = Project.objects.get_or_create(
        slug=SLUG,
        defaults={
            "name": "Bedtime stories",
            "description": "A small model learns to tell short, kind stories that a child can fall asleep to.",
        },
    )
    if is_new:
        text = (STARTER / "guidelines.md").read_text()
        Guidelines.objects.create(project=project, version=1, text=text)
    return project, is_new


def invite_people(project: Project) -> dict[str, str]:
    """Make those of the starter's people who are missing; give their new passwords, which are told this once.

    In embedded mode they are kept in a private file too, so that each start can show them.
    """
    told: dict[str, str] = {}
    for username, (name, role) in PEOPLE.items():
        if User.objects.filter(username=username).exists():
            continue
        told[username] = new_password()
        is_admin = role == ROLES.ADMIN
        user = User.objects.create_user(
            username, password=told[username], name=name, is_staff=is_admin, is_superuser=is_admin
        )
        Membership.objects.create(project=project, user=user, role=role)
    if not settings.PRODUCTION:
        keep_passwords(known_passwords() | told)
    return told


def new_password() -> str:
    """A password that can be typed: three words and a number."""
    return "-".join([*(secrets.choice(WORDS) for _ in range(3)), str(secrets.randbelow(9000) + 1000)])


def known_passwords() -> dict[str, str]:
    """The passwords that were made on this machine, by name."""
    file = password_file()
    return dict(json.loads(file.read_text())) if file.exists() else {}


def keep_passwords(told: dict[str, str]) -> None:
    """Write the passwords into a file that nobody else may read."""
    file = password_file()
    file.touch(mode=0o600)
    file.write_text(json.dumps(told, indent=2) + "\n")


def password_file() -> Path:
    """Where the embedded starter's passwords lie."""
    home: Path = settings.LAUREL_HOME
    return home / "people.json"


def passwords_in_force() -> Iterable[tuple[str, str, str]]:
    """Name, role and password of each of the starter's people whose password was not changed since."""
    told = known_passwords()
    for member in (
        Membership.objects.filter(project__slug=SLUG, user__username__in=told).select_related("user").order_by("pk")
    ):
        if member.user.is_active and member.user.check_password(told[member.user.username]):
            yield member.user.username, member.role, told[member.user.username]


def bring_in_words(project: Project) -> None:
    """The starter's prompts, each with a demonstration task, and stories of the kind that its model tells."""
    options = imports.Options(source="starter")
    prompts = STARTER / "prompts.jsonl"
    imports.import_prompts(project=project, path=prompts, options=options, demonstrate=True)
    asked = {outlines.topic(json.loads(line)["prompt"]) for line in prompts.read_text().splitlines()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "starter-demonstrations.jsonl"
        with path.open("w") as file:
            for line in outlines.told(DEMONSTRATIONS, seed=UNREAD, without=asked):
                story = {"id": line.id, "prompt": line.prompt[0].content, "response": line.response}
                file.write(json.dumps(story) + "\n")
        imports.import_demonstrations(project=project, path=path, options=options)


def publish_policy(project: Project, named: str = "") -> Checkpoint:
    """Publish the starter's model, or a folder or hub name instead, as the project's first champion."""
    with tempfile.TemporaryDirectory() as draft:
        folder = Path(draft) / "policy"
        card = adoption.copy(named, folder)
        digest = artifacts.Store(settings.STORE_ROOT).put(folder)
    project.base_policy = digest
    project.save(update_fields=["base_policy"])
    name = Path(named).name or "starter"
    checkpoint = checkpoints.publish(project=project, kind="policy", digest=digest, card=card, name=name)
    checkpoints.promote(checkpoint)
    return checkpoint


def set_in_motion(project: Project) -> None:
    """Let the model write for the annotators now, and again whenever PPO has improved it."""
    config = {"max_prompts": FIRST_SAMPLES, **SAMPLING}
    jobs.start(project=project, kind="policy.sample", name="first stories", config=config)
    schedules.create(
        project=project,
        name="new stories after PPO",
        kind="policy.sample",
        when=schedules.When(type="after", kind="policy.ppo"),
        config=config,
        inputs={"policy": {"trigger": True}},
    )
