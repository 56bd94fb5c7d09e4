"""The ground floor's cast: a project, its people, and kinds of job that need no model."""

from __future__ import annotations

import pytest

from tests.training.tiny_kinds import TinyConfig, WordsConfig
from training import doorbell, kinds, launcher, measures
from training.config import ConfigError
from training.models import Membership, Project, User


def write_words(job, folder):
    if job.config["what"] == "nothing":
        raise ValueError("There is nothing to write down.")
    (folder / "data.jsonl").write_text('{"id": "1"}\n{"id": "2"}\n')
    (folder / "card.json").write_text('{"kind": "prompts", "count": 2}')


TINY = kinds.JobKind(
    name="tiny.train",
    title="Add numbers",
    config=TinyConfig,
    inputs=(kinds.Input("prompts", "prompts", required=False), kinds.Input("policy", "policy", required=False)),
    program="tests.training.tiny_trainer",
    output="policy",
)
REFINE = kinds.JobKind(
    name="tiny.refine",
    title="Add more numbers",
    config=TinyConfig,
    inputs=(
        kinds.Input("policy", "policy", default="champion"),
        kinds.Input("prompts", "prompts", required=False, default="latest"),
        kinds.Input("samples", "samples", required=False),
    ),
    program="tests.training.tiny_trainer",
    output="policy",
)


def not_too_many(config):
    if config.steps > 100:
        raise ConfigError("not that many steps here", {"steps": "too many"})


JUDGED = kinds.JobKind(
    name="tiny.judged",
    title="Add numbers that are judged",
    config=TinyConfig,
    inputs=(kinds.Input("reward", "reward", many=True), kinds.Input("policy", "policy", required=False)),
    check=not_too_many,
    program="tests.training.tiny_trainer",
    output="policy",
)
SNAPSHOT = kinds.JobKind(
    name="tiny.snapshot", title="Write words down", config=WordsConfig, inside=write_words, output="prompts"
)


@pytest.fixture(autouse=True)
def tiny_kinds(monkeypatch):
    monkeypatch.setattr(kinds, "_kinds", {each.name: each for each in (TINY, REFINE, JUDGED, SNAPSHOT)})
    monkeypatch.setattr(kinds, "SNAPSHOT_KIND", "tiny.snapshot")
    monkeypatch.setattr(measures, "_measures", {})


@pytest.fixture(autouse=True)
def nobody_told_to_stop():
    launcher.stopping.clear()
    yield
    launcher.stopping.clear()


@pytest.fixture
def rung(monkeypatch):
    """The jobs that were rung for, in order."""
    heard = []
    monkeypatch.setattr(doorbell, "ring", lambda job_id, _kind: heard.append(job_id))
    return heard


def a_project(slug="stories"):
    return Project.objects.create(slug=slug, name="Bedtime stories")


@pytest.fixture
def project(db):
    return a_project()


@pytest.fixture
def shared_project(transactional_db):
    """A project that other threads and processes can see."""
    return a_project()


@pytest.fixture
def rhea(project):
    """A researcher of the project."""
    return person(project, "rhea", Membership.Role.RESEARCHER)


@pytest.fixture
def adam(project):
    """An admin of the project."""
    return person(project, "adam", Membership.Role.ADMIN)


def person(project, username, role=None):
    user = User.objects.create_user(username, password="a long password", name=username.title())
    if role:
        Membership.objects.create(project=project, user=user, role=role)
    return user
