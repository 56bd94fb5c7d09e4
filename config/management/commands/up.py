"""`manage.py up`: the whole of Laurel on this machine, until Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from config import starter
from config.runner import Program, Runner
from training import launcher

if TYPE_CHECKING:
    from argparse import ArgumentParser

PYTHON = sys.executable
QUIET_ROOT = ["-W", "ignore:You're running the worker with superuser privileges"]
ASK_SECONDS = 0.3
HERE = "127.0.0.1"
"""Where the model server listens, whatever the web server does: it asks nobody who they are."""


class Command(BaseCommand):
    help = "Migrate, load the starter, and run web server, workers, scheduler and model server together until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read where to listen."""
        port = int(os.environ.get("PORT") or 8000)
        parser.add_argument("--host", default=HERE, help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=port, help="port to listen on (default: $PORT, else 8000)")
        parser.add_argument("--no-starter", action="store_true", help="do not create the starter project")

    def handle(self, *, host: str, port: int, no_starter: bool, **_options: Any) -> None:
        """Prepare, run, and say when the pages can be opened."""
        model_port = port + 1
        refuse_taken(host, port)
        refuse_taken(HERE, model_port)
        call_command("migrate", verbosity=0)
        if not no_starter:
            call_command("load_starter", verbosity=0, stdout=self.stdout, stderr=self.stderr)
        connections.close_all()
        runner = Runner(programs=programs(host, port, model_port), say=self.stdout.write)
        status = runner.run(Welcome(self, host, port))
        self.stdout.write("Everything has stopped.")
        sys.exit(status)


class Welcome:
    """Says, once, where the pages are and who may sign in, as soon as the web server answers."""

    def __init__(self, command: Command, host: str, port: int) -> None:
        self.command, self.address = command, f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self.asked_at, self.is_said = 0.0, False

    def __call__(self) -> None:
        """Ask whether the web server answers, now and then."""
        if self.is_said or time.monotonic() - self.asked_at < ASK_SECONDS:
            return
        self.asked_at = time.monotonic()
        try:
            urllib.request.urlopen(f"{self.address}/healthz", timeout=2).close()  # noqa: S310 (our own address)
        except (urllib.error.URLError, OSError):
            return
        self.is_said = True
        threading.Thread(target=self.say, daemon=True).start()  # looking at passwords takes long; Ctrl-C must not wait

    def say(self) -> None:
        """The address, and who may sign in."""
        write = self.command.stdout.write
        write(f"\nLaurel is at {self.address}    (stop it with Ctrl-C)\n")
        people = list(starter.passwords_in_force())
        if people:
            write("Sign in as\n")
        for username, role, password in people:
            write(f"  {username:<6} {password:<28} {role}")
        write("")
        connections.close_all()


def refuse_taken(host: str, port: int) -> None:
    """Refuse by name an address that is not this machine's, and a port that someone else listens on."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise CommandError(f"{host} is no address of this machine ({error}): leave --host out, or name one") from error
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CommandError(f"Port {port} is not free ({error}). Choose another: PORT=8100 make run") from error


def programs(host: str, port: int, model_port: int) -> list[Program]:
    """Everything that runs on one machine."""
    model_server = {
        "LAUREL_MODEL_SERVER_URL": os.environ.get("LAUREL_MODEL_SERVER_URL") or f"http://{HERE}:{model_port}"
    }
    found = [
        Program(name="web", words=web(host, port), environment=model_server),
        Program(name="scheduler", words=[PYTHON, str(settings.ROOT / "manage.py"), "scheduler"]),
        Program(name="worker", words=worker("machine", "default,gpu")),
        Program(name="inside", words=worker("inside", "inside")),
    ]
    if importlib.util.find_spec("torch"):
        serve = ["serve", "--host", HERE, "--port", str(model_port), "--store", str(settings.STORE_ROOT)]
        found.append(Program(name="models", words=[PYTHON, "-m", "policy", *serve, "--device", launcher.device()]))
    return found


def web(host: str, port: int) -> list[str]:
    """The web server."""
    words = [PYTHON, "-m", "uvicorn", "config.asgi:application", "--host", host, "--port", str(port)]
    return [*words, "--log-level", "warning", "--lifespan", "off", "--timeout-graceful-shutdown", "5"]


def worker(name: str, queues: str) -> list[str]:
    """A worker that does one job at a time."""
    words = [PYTHON, *QUIET_ROOT, "-m", "celery", "-A", "config", "--quiet", "worker", "-n", f"{name}@%h", "-Q", queues]
    return [*words, "--concurrency", "1", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
