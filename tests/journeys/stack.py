"""A whole Laurel for a test: `manage.py up` on a folder, a database and a broker of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import processes
import psycopg
import redis
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from processes import Process

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = os.environ.get("LAUREL_TEST_DATABASE_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"
REDIS = os.environ.get("LAUREL_TEST_REDIS_URL") or "redis://127.0.0.1:6379/14"
PATIENCE_SECONDS = 240
PR_SET_PDEATHSIG = 1


class Missing(Exception):  # noqa: N818 (it says what is wrong)
    """A service that this Laurel would need is not there."""


def eventually(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition holds, and give what it said."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{seconds:.0f} s have passed without this: {what}"
        time.sleep(0.1)
    return found


class Stack:
    """One Laurel, started and stopped as people start and stop it."""

    def __init__(self, home: Path, services: dict[str, str]) -> None:
        self.home = home
        self.port = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "up.log"
        own = ("LAUREL_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "OMP_", "PORT")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
            "LAUREL_HOME": str(home),
            "LAUREL_DEVICE": "cpu",
            "LAUREL_TRAINER_THREADS": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **services,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--no-starter", "--port", str(self.port)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_the_tests,  # noqa: PLW1509 (only a system call)
            )
        eventually(self.answers, f"Laurel answers at {self.url}")

    def answers(self) -> bool:
        """Whether the web process reaches its database."""
        assert self.process is not None
        assert self.process.poll() is None, f"Laurel ended by itself:\n{self.last_words()}"
        try:
            return httpx.get(f"{self.url}/healthz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def interrupt(self) -> None:
        """Press Ctrl-C, and wait for the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=PATIENCE_SECONDS)

    def destroy(self) -> None:
        """Leave nothing of it running, whatever state it is in."""
        if self.process is None:
            return
        family = processes.family(self.process.pid)
        for process in [*family, *self.trainers()]:
            process.kill()
        self.process.wait()

    def part(self, *words: str) -> list[Process]:
        """The running processes of this Laurel whose command holds all of the words."""
        assert self.process is not None
        return [each for each in processes.family(self.process.pid) if all(word in each.command for word in words)]

    def trainers(self) -> list[Process]:
        """The trainers that work on this Laurel's jobs, whoever their parents are."""
        return [each for each in processes.everyone() if str(self.home / "runs") in each.command]

    def mentioned(self) -> list[Process]:
        """Every process whose command speaks of this Laurel's folder or port."""
        marks = (str(self.home), f"--port {self.port}", f"--port {self.port + 1}")
        return [each for each in processes.everyone() if any(mark in each.command for mark in marks)]

    def savepoints(self, job: int) -> list[Path]:
        """The whole savepoints of a job, the newest last."""
        found = self.home.glob(f"runs/{job}/attempt-*/savepoints/step-*/manifest.json")
        return sorted((file.parent for file in found), key=lambda folder: folder.name)

    def state_of(self, job: int) -> str:
        """A job's state by the database, for when nobody answers."""
        look = f"from training.models import Job; print(Job.objects.get(pk={job}).state)"
        return self.run("django", "shell", "--verbosity", "0", "--command", look).strip()

    def run(self, *words: str) -> str:
        """Run a Python module against this Laurel; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def last_words(self, size: int = 12_000) -> str:
        """The end of what its processes said."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""


def free_ports() -> int:
    """A port that nobody listens on now, nor on the next, which is the model server's."""
    while True:
        with closing(socket.socket()) as found, closing(socket.socket()) as following:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                following.bind(("127.0.0.1", port + 1))
                return port


def end_with_the_tests() -> None:
    """In the new process: stop as soon as the tests have ended, however they ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


# --- Databases and brokers ---------------------------------------------------------------------


@contextmanager
def embedded() -> Iterator[dict[str, str]]:
    """SQLite, and the broker in a file beside it: what Laurel uses when nobody names a service."""
    yield {}


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """PostgreSQL with a database that is made and dropped, and Redis under a prefix that is cleared. Raises Missing."""
    name = f"laurel_journey_{uuid4().hex[:12]}"
    prefix = f"{name}:"
    try:
        broker = redis.Redis.from_url(REDIS)
        broker.ping()
    except redis.RedisError as error:
        raise Missing(f"no Redis at {REDIS}: {error}") from error
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.Error as error:
        raise Missing(f"no PostgreSQL at {POSTGRES}: {error}") from error
    with closing(server), closing(broker):
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            address = httpx.URL(POSTGRES).copy_with(path=f"/{name}")
            yield {"LAUREL_DATABASE_URL": str(address), "LAUREL_REDIS_URL": REDIS, "LAUREL_REDIS_PREFIX": prefix}
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            for key in broker.scan_iter(f"{prefix}*"):
                broker.delete(key)


SERVICES = {"SQLite and the embedded broker": embedded, "PostgreSQL and Redis": servers}
