"""Label Studio from its own package in an environment of its own, and what its annotators and its lead ask of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from laurel import PASSWORD, ROOT, download, empty_database
from load import TEXTS, Client, Growth, Served, Unexpected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSION = "1.23.2"
HOME = ROOT / "build" / "peers" / f"label-studio-{VERSION}"
WORKERS = 3  # synchronous ones; more of them were no faster on two cores
IMPORTED_AT_ONCE = 5000
RANK = """
<View>
  <Text name="prompt" value="$prompt"/>
  <List name="responses" value="$responses" title="Responses"/>
  <Ranker name="rank" toName="responses"/>
</View>
"""
DEMONSTRATE = """
<View>
  <Text name="prompt" value="$prompt"/>
  <TextArea name="response" toName="prompt"/>
</View>
"""
# Its own verbs for people, in the order in which `label-studio init` calls them.
PEOPLE = """
import sys
from label_studio.server import _apply_database_migrations, _setup_env
_setup_env()
_apply_database_migrations()
from organizations.models import Organization
from users.models import User
organization = None
for name in sys.argv[2:]:
    user = User.objects.create_user(email=name, password=sys.argv[1])
    if organization is None:
        organization = Organization.create_organization(created_by=user, title="Label Studio")
    else:
        organization.add_user(user)
    user.active_organization = organization
    user.save(update_fields=["active_organization"])
"""
LEAD = "lead@example.com"


def python() -> Path:
    """The interpreter of Label Studio's environment; made the first time, which takes minutes."""
    if not (HOME / "made").exists():
        sys.stderr.write(f"Making Label Studio's environment in {HOME} …\n")
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        install = [str(HOME / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*install, f"label-studio=={VERSION}", "gunicorn"], check=True)
        (HOME / "made").touch()
    return HOME / "bin" / "python"


class LabelStudio:
    """Label Studio on an empty PostgreSQL database of its own."""

    name = "Label Studio"

    def __init__(self, home: Path, *, postgres: str, port: int, people: int = 16) -> None:
        self.home, self.port = home, port
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        database = urlsplit(empty_database(postgres, "label_studio_bench_labeling"))
        self.environment = {
            "DJANGO_DB": "default",
            "POSTGRE_NAME": database.path.strip("/"),
            "POSTGRE_USER": database.username or os.environ.get("USER", "root"),
            "POSTGRE_PASSWORD": database.password or "",
            "POSTGRE_HOST": database.hostname or "127.0.0.1",
            "POSTGRE_PORT": str(database.port or 5432),
            "LABEL_STUDIO_BASE_DATA_DIR": str(home),
            "LOG_LEVEL": "ERROR",
            "COLLECT_ANALYTICS": "0",  # a server that is not there would be asked at every request
            "LATEST_VERSION_CHECK": "0",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }
        names = [LEAD, *(f"annotator{number}@example.com" for number in range(people))]
        words = [str(python()), "-c", PEOPLE, PASSWORD, *names]
        done = subprocess.run(words, env=os.environ | self.environment, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"Label Studio could not be set up:\n{done.stderr.decode()}")
        self.projects: dict[tuple[int, bool], int] = {}
        self.servers: list[Served] = []

    def __enter__(self) -> Self:
        """Serve it."""
        package = next(HOME.glob("lib/python*/site-packages/label_studio"))
        words = [str(python()), "-m", "gunicorn", "core.wsgi:application", "--pythonpath", str(package)]
        words += ["-w", str(WORKERS), "-b", f"127.0.0.1:{self.port}", "--timeout", "900", "--log-level", "warning"]
        environment = self.environment | {"DJANGO_SETTINGS_MODULE": "core.settings.label_studio"}
        log = self.home / "server.log"
        self.servers = [Served(words, environment, log=log, port=self.port, path="/user/login/")]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop its server."""
        for server in self.servers:
            server.stop()

    def signed_in(self, email: str) -> Client:
        """A browser in which someone has signed in."""
        client = Client(self.port)
        client.ask("GET", "/user/login/")
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        kind = "application/x-www-form-urlencoded"
        status, _ = client.ask("POST", "/user/login/", urlencode(form).encode(), form=kind)
        if status != 302:
            raise Unexpected(f"Label Studio lets {email} not sign in: {status}")
        return client

    def project(self, tasks: int, *, judged: bool = False) -> int:
        """The number of a ranking project with so many tasks; one that is there already is taken again."""
        if (tasks, judged) not in self.projects:
            task = judged_task if judged else ranking_task
            self.projects[tasks, judged], _ = self.new_project(RANK, tasks, task)
        return self.projects[tasks, judged]

    def import_prompts(self, count: int) -> float:
        """Import so many prompts that want a demonstration into a new project; the seconds that it took."""
        return self.new_project(DEMONSTRATE, count, prompt_alone)[1]

    def new_project(self, config: str, count: int, task: Callable[[int], dict[str, Any]]) -> tuple[int, float]:
        """The number of a new project into which tasks were imported, and the seconds that the import took."""
        lead = self.signed_in(LEAD)
        said = {"title": f"{count} tasks", "label_config": config}
        number, seconds = lead.wants(201, "POST", "/api/projects/", said)["id"], 0.0
        for first in range(0, count, IMPORTED_AT_ONCE):
            some = [task(each) for each in range(first, min(count, first + IMPORTED_AT_ONCE))]
            body = json.dumps(some).encode()
            begun = time.perf_counter()
            said = lead.wants(201, "POST", f"/api/projects/{number}/import", body)
            seconds += time.perf_counter() - begun
            if said["task_count"] != len(some):
                raise Unexpected(f"Label Studio's import reports {said}")
        return number, seconds

    def annotators(self, project: int, count: int, *, first: int = 0) -> list[LabelStudioAnnotator]:
        """People who label in a project."""
        return [
            LabelStudioAnnotator(self.signed_in(f"annotator{number}@example.com"), project)
            for number in range(first, first + count)
        ]

    def export(self, project: int, file: Path) -> dict[str, float]:
        """Download a project's annotations as JSON: seconds, first byte, growth of memory in bytes, and rows."""
        lead = self.signed_in(LEAD)
        with Growth(*self.servers) as growth:
            begun = time.perf_counter()
            first = download(lead, f"/api/projects/{project}/export?exportType=JSON", file)
            ended = time.perf_counter()
        rows = len(json.loads(file.read_bytes()))
        return {"seconds": ended - begun, "first byte": first - begun, "growth": growth.bytes, "rows": rows}


RANKING = [
    {"from_name": "rank", "to_name": "responses", "type": "ranker", "value": {"ranker": ["r0", "r1", "r2", "r3"]}}
]


def prompt_alone(number: int) -> dict[str, Any]:
    """A prompt that wants a demonstration, as Label Studio imports it."""
    return {"data": {"prompt": TEXTS.prompt(number)}}


def ranking_task(number: int) -> dict[str, Any]:
    """A task to rank."""
    responses = [{"id": f"r{k}", "body": text} for k, text in enumerate(TEXTS.responses(number))]
    return {"data": {"prompt": TEXTS.prompt(number), "responses": responses}}


def judged_task(number: int) -> dict[str, Any]:
    """A task that somebody has ranked."""
    return ranking_task(number) | {"annotations": [{"result": RANKING}]}


class LabelStudioAnnotator:
    """Someone who ranks on Label Studio."""

    def __init__(self, client: Client, project: int) -> None:
        self.client, self.project = client, project

    def next(self) -> tuple[int, Any] | None:
        """Ask for the next task."""
        status, said = self.client.ask("GET", f"/api/projects/{self.project}/next/")
        if status == 404:
            return None
        if status != 200:
            raise Unexpected(f"next: {status}: {said[:500]!r}")
        number = json.loads(said)["id"]
        return number, number

    def submit(self, task: Any) -> None:
        """Rank the responses as they are shown."""
        said = {"result": RANKING, "lead_time": 30.0}
        self.client.wants(201, "POST", f"/api/tasks/{task}/annotations/?project={self.project}", said)
