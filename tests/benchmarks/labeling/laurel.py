"""Laurel, served as in production: its database, its servers, and what its annotators and its lead ask of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import psycopg
from load import TEXTS, Client, Growth, Served, Unexpected

ROOT = Path(__file__).resolve().parents[3]
API = "/api/v1"
PASSWORD = "a password for benchmarks"
WORKERS = 2  # of the web role, on two cores


def environment_of(home: Path, database: str, redis: str) -> dict[str, str]:
    """A production installation on this machine, without TLS."""
    return {
        "LAUREL_MODE": "production",
        "LAUREL_SECRET_KEY": "only-for-benchmarks-" * 4,
        "LAUREL_ALLOWED_HOSTS": "127.0.0.1",
        "LAUREL_SSL_REDIRECT": "0",
        "LAUREL_HOME": str(home),
        "LAUREL_REDIS_URL": redis,
        "LAUREL_REDIS_PREFIX": "bench-labeling:",
        "LAUREL_DATABASE_URL": database,
        "LAUREL_LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(ROOT),
    }


class Laurel:
    """Laurel on an empty database of its own.

    postgres: the address of a server on which databases may be made, or None for SQLite and the servers of `make run`.
    """

    name = "ours"

    def __init__(self, home: Path, *, postgres: str | None, redis: str, port: int, people: int = 16) -> None:
        self.home, self.port, self.is_embedded = home, port, postgres is None
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        self.database = f"sqlite:///{home / 'db.sqlite3'}"
        if postgres is not None:
            self.database = empty_database(postgres, "laurel_bench_labeling")
        self.environment = environment_of(home, self.database, redis)
        if self.is_embedded:
            self.environment |= {"LAUREL_MODE": "embedded", "LAUREL_REDIS_URL": ""}
        self.run(["manage.py", "migrate", "--verbosity", "0"])
        self.state(people={"count": people, "password": PASSWORD})
        self.servers: list[Served] = []

    def run(self, words: list[str]) -> None:
        """Run one of our own programs."""
        environment = os.environ | self.environment
        done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)[:200]} failed:\n{done.stderr.decode()}")

    def state(self, **spec: Any) -> None:
        """Write what a measurement finds; see `laurel_state.py`."""
        self.run([str(Path(__file__).with_name("laurel_state.py")), json.dumps(spec)])

    def __enter__(self) -> Self:
        """Serve it: the web role, and a worker that takes snapshots."""
        log = self.home / "servers.log"
        web = ["-m", "gunicorn", "config.asgi:application", "-k", "asgi", "-w", str(WORKERS)]
        web += ["-b", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        if self.is_embedded:
            web = ["-m", "uvicorn", "config.asgi:application", "--port", str(self.port), "--lifespan", "off"]
            web += ["--log-level", "warning"]
        worker = ["-m", "celery", "-A", "config", "--quiet", "worker", "-Q", "inside", "--concurrency", "1"]
        self.servers = [
            Served([sys.executable, *web], self.environment, log=log, port=self.port, path="/healthz"),
            Served([sys.executable, "-W", "ignore", *worker, "--loglevel", "WARNING"], self.environment, log=log),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop its servers."""
        for server in self.servers:
            server.stop()

    def signed_in(self, username: str) -> Client:
        """A browser in which someone has signed in."""
        client = Client(self.port)
        client.ask("GET", f"{API}/session")
        client.wants(200, "POST", f"{API}/session", {"username": username, "password": PASSWORD})
        return client

    def annotators(self, project: str, count: int, *, first: int = 0) -> list[LaurelAnnotator]:
        """People who label in a project."""
        numbers = range(first, first + count)
        return [LaurelAnnotator(self.signed_in(f"annotator{number}"), project) for number in numbers]

    def import_prompts(self, project: str, count: int) -> float:
        """Bring so many prompts in as a file, a demonstration task for each; the seconds that it took."""
        lines = b"".join(json.dumps({"prompt": TEXTS.prompt(number)}).encode() + b"\n" for number in range(count))
        body, form = multipart({"what": "prompts", "demonstrate": "1"}, "prompts.jsonl", lines)
        lead = self.signed_in("lead")
        begun = time.perf_counter()
        report = lead.wants(201, "POST", f"{API}/projects/{project}/imports", body, form=form)
        seconds = time.perf_counter() - begun
        if {each["what"]: each["count"] for each in report["counts"]} != {
            "prompts": count,
            "demonstration tasks": count,
        }:
            raise Unexpected(f"the import reports {report['counts']}")
        return seconds

    def export(self, project: str, file: Path) -> dict[str, float]:
        """Freeze a project's rankings and download them: what `LabelStudio.export` measures, and the job's seconds."""
        lead = self.signed_in("lead")
        with Growth(*self.servers) as growth:
            begun = time.perf_counter()
            asked = {"project": project, "kind": "labeling.snapshot", "config": {"what": "rankings"}}
            job = lead.wants(201, "POST", f"{API}/jobs", asked)["id"]
            while (done := lead.wants(200, "GET", f"{API}/jobs/{job}"))["state"] in ("waiting", "queued", "running"):
                time.sleep(0.05)
            if done["state"] != "succeeded":
                raise Unexpected(f"the snapshot has {done['state']}: {done['error_message']}")
            frozen = time.perf_counter()
            found = lead.wants(200, "GET", f"{API}/datasets?project={project}")["results"][0]
            asked_at = time.perf_counter()
            first = download(lead, f"{API}/datasets/{found['id']}/download", file)
            ended = time.perf_counter()
        return {
            "seconds": ended - begun,
            "job": frozen - begun,
            "first byte": first - begun,
            "first byte of the download": first - asked_at,
            "growth": growth.bytes,
            "rows": sum(1 for _ in file.open("rb")),
        }


def download(client: Client, path: str, file: Path) -> float:
    """Read an answer into a file; the moment of its first byte."""
    answer = client.open("GET", path)
    if answer.status != 200:
        raise Unexpected(f"GET {path}: {answer.status}: {answer.read()[:500]!r}")
    with file.open("wb") as kept:
        kept.write(answer.read(1))
        first = time.perf_counter()
        shutil.copyfileobj(answer, kept, 1 << 18)
    return first


class LaurelAnnotator:
    """Someone who ranks on Laurel."""

    def __init__(self, client: Client, project: str, *, drafts: bool = False) -> None:
        self.client, self.leases, self.drafts = client, f"{API}/projects/{project}/leases", drafts

    def next(self) -> tuple[int, Any] | None:
        """Ask for a lease."""
        status, said = self.client.ask("POST", self.leases, {"kind": "ranking"})
        if status == 204:
            return None
        if status != 201:
            raise Unexpected(f"next: {status}: {said[:500]!r}")
        lease = json.loads(said)
        return lease["task"]["id"], lease

    def submit(self, task: Any) -> None:
        """Rank the responses as they are shown, having kept a draft where drafts are kept."""
        responses = [response["id"] for response in task["task"]["responses"]]
        places = [{"response": each, "rank": rank, "rating": 8 - rank} for rank, each in enumerate(responses, start=1)]
        if self.drafts:
            self.client.wants(200, "PUT", f"{API}/leases/{task['id']}/draft", {"placements": places})
        said = {"placements": places, "seconds_spent": 30.0}
        self.client.wants(201, "POST", f"{API}/leases/{task['id']}/ranking", said)


def multipart(fields: dict[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """A form with a file, and what it is called."""
    edge = "an-edge-between-parts"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return "".join(
        [*parts, head]
    ).encode() + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def empty_database(postgres: str, name: str) -> str:
    """The address of a new database on a server; one of that name is thrown away."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name}")
    return f"{postgres.rpartition('/')[0]}/{name}"
