"""`manage.py demo`: the loop, twice around, with simulated annotators, in a project of its own."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from knox.models import AuthToken

from config import demo, starter
from config.runner import end_with_parent
from labeling.prompts import NewPrompt, add_all
from training import schedules
from training.models import Membership, Project, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 60
LARGEST_LENGTH_CORRELATION = 0.3
STORIES_SHOWN = 3


class Command(BaseCommand):
    help = "Turn the loop with simulated annotators and print, round by round, what became better."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How often, and by which dice."""
        parser.add_argument("--rounds", type=int, default=demo.ROUNDS, help="turns of the loop")
        parser.add_argument("--seed", type=int, default=1, help="which prompts are held out, and every mood and sample")
        parser.add_argument("--policy", default="", metavar="FOLDER|NAME", help="begin with another model")

    def handle(self, *, rounds: int, seed: int, policy: str, **_: Any) -> None:
        """Run the circle, print its table, and fail if the score did not rise."""
        began = time.monotonic()
        plan = demo.Plan(rounds=rounds, seed=seed)
        call_command("migrate", verbosity=0)
        project, admin = found(plan, policy)
        self.stdout.write(f"Project {project.slug}; its annotators are simulated, and marked so wherever they appear.")
        rows: list[demo.Row] = []
        looks: list[demo.Look] = []
        with served() as base_url, hands(admin, base_url) as client:
            try:
                for row, look in demo.circle(
                    project=project, client=client, base_url=base_url, plan=plan, say=self.stdout.write
                ):
                    rows.append(row)
                    looks.append(look)
                    self.stdout.write(f"{demo.table_line()}\n{demo.table_line(row)}")
            except (demo.DemoFailed, httpx.HTTPError) as error:
                raise CommandError(f"The circle broke: {error}") from error
        path = settings.LAUREL_HOME / "demo.jsonl"
        path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
        self.tell_stories(looks)
        self.stdout.write("\n".join([demo.table_line(), *map(demo.table_line, rows)]))
        self.stdout.write(f"{(time.monotonic() - began) / 60:.1f} minutes; the rows are in {path}")
        refuse_standstill(rows)

    def tell_stories(self, looks: list[demo.Look]) -> None:
        """Show the first held-out prompts' stories before and after; nobody picked them."""
        for prompt in list(looks[0].stories)[:STORIES_SHOWN]:
            before, after = looks[0].stories[prompt][0], looks[-1].stories[prompt][0]
            self.stdout.write(f"\n{prompt}\n  before: {before}\n  after:  {after}")
        self.stdout.write("")


def refuse_standstill(rows: list[demo.Row]) -> None:
    """Fail unless every round was a gain, and the judge does not simply like length."""
    for row in rows:
        if row.gain_low is not None and row.gain_low <= 0:
            raise CommandError(f"Round {row.round} is no sure gain: its 95 % interval begins at {row.gain_low:.4f}.")
        if abs(row.length_correlation) >= LARGEST_LENGTH_CORRELATION:
            raise CommandError(f"The judge's score follows the length: r = {row.length_correlation:.2f}.")


def found(plan: demo.Plan, policy: str) -> tuple[Project, User]:
    """Make a fresh project with its prompts, its first policy, its admin, and sampling after PPO."""
    number = 1 + Project.objects.filter(slug__startswith="demo-").count()
    while Project.objects.filter(slug=f"demo-{number}").exists():
        number += 1
    project = Project.objects.create(
        slug=f"demo-{number}", name=f"Demo {number}", description="The loop with simulated annotators."
    )
    admin, is_new = User.objects.get_or_create(
        username="simulated-admin", defaults={"name": "Admin (simulated)", "is_simulated": True}
    )
    if is_new:
        admin.set_unusable_password()
        admin.save(update_fields=["password"])
    Membership.objects.create(project=project, user=admin, role=Membership.Role.ADMIN)
    add_all(project=project, wanted=prompts(plan))
    try:
        starter.publish_policy(project, policy)
    except Refusal as refusal:
        raise CommandError(refusal.message) from refusal
    schedules.create(
        project=project,
        name="new stories after PPO",
        kind="policy.sample",
        when=schedules.When(type="after", kind="policy.ppo"),
        config=demo.LABELED,
        inputs={"policy": {"trigger": True}},
        by=admin,
    )
    return project, admin


def prompts(plan: demo.Plan) -> list[NewPrompt]:
    """Deal prompts into held-out, measured and taught ones; no story was ever written for the first two."""
    dice = random.Random(plan.seed)
    unanswered = asked_in(starter.STARTER / "prompts.jsonl")
    answered = [
        text for file in sorted((starter.STARTER / "demonstrations").glob("*.jsonl")) for text in asked_in(file)
    ]
    dice.shuffle(unanswered)
    dice.shuffle(answered)
    kept = plan.held_out_prompts + plan.valid_prompts
    if len(unanswered) < kept:
        raise CommandError(f"The starter has {len(unanswered)} prompts without a story; the demo keeps {kept} apart.")
    splits = ["test"] * plan.held_out_prompts + ["valid"] * plan.valid_prompts + ["train"] * plan.train_prompts
    return [
        NewPrompt(messages=[{"role": "user", "content": text}], source="starter", split=split)
        for text, split in zip(unanswered + answered, splits, strict=False)
    ]


def asked_in(file: Path) -> list[str]:
    """The prompts of a file of the starter, each once."""
    return list(dict.fromkeys(json.loads(line)["prompt"] for line in file.read_text().splitlines()))


@contextmanager
def served() -> Iterator[str]:
    """Run web server, workers and scheduler for as long as the circle takes; where they answer."""
    port = free_port()
    words = [sys.executable, str(settings.ROOT / "manage.py"), "up", "--no-starter", "--port", str(port)]
    with (settings.LAUREL_HOME / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (only a system call, as in the runner)
        )
    base_url = f"http://127.0.0.1:{port}"
    try:
        wait_for(base_url, process)
        yield base_url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def wait_for(base_url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the web server answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{base_url}/healthz", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise CommandError(f"The server did not start; {settings.LAUREL_HOME / 'demo.log'} says why.")


def free_port() -> int:
    """Find a port that nobody listens on, nor on the one after it, which the model server takes."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


@contextmanager
def hands(admin: User, base_url: str) -> Iterator[httpx.Client]:
    """Give the admin a client with a token that lives as long as the circle."""
    row, token = AuthToken.objects.create(user=admin)
    try:
        with httpx.Client(base_url=base_url, headers={"Authorization": f"Token {token}"}, timeout=60) as client:
            yield client
    finally:
        row.delete()
