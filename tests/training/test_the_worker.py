"""Real workers in processes of their own, on a real broker: what a crash and a shutdown leave (laws J1, J2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

import pytest
import redis
from celery import Celery
from django.conf import settings as django_settings
from django.db import connection

from config import environment
from training import jobs, machine, sweeper
from training.artifacts import Store
from training.models import Attempt, Job

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def redis_url():
    """The Redis of this run: PostgreSQL goes with Redis, SQLite with the embedded broker."""
    if connection.vendor == "sqlite":
        return ""
    url = os.environ.get("LAUREL_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
    try:
        redis.Redis.from_url(url).ping()
    except redis.RedisError as error:
        reason = f"no Redis at {url}: {error}"
        if environment.flag("CI", default=False):
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@pytest.fixture
def world(tmp_path, redis_url, monkeypatch):
    """The environment of the workers; this process shares their folder, database and broker."""
    prefix = f"test-{uuid4().hex}:"
    (tmp_path / "runs").mkdir()
    broker = redis_url or f"sqla+sqlite:///{tmp_path / 'broker.sqlite3'}"
    monkeypatch.setattr(django_settings, "RUNS_ROOT", tmp_path / "runs")
    monkeypatch.setattr(django_settings, "STORE_ROOT", tmp_path / "store")
    ring_through(broker, prefix, monkeypatch)
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LAUREL_HOME": str(tmp_path),
        "LAUREL_DATABASE_URL": address_of_the_test_database(),
        "LAUREL_REDIS_URL": redis_url,
        "LAUREL_REDIS_PREFIX": prefix,
    }


def address_of_the_test_database():
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    user = found["USER"] + (f":{found['PASSWORD']}" if found["PASSWORD"] else "") + ("@" if found["USER"] else "")
    return f"postgresql://{user}{found['HOST']}:{found['PORT'] or 5432}/{found['NAME']}"


def ring_through(broker, prefix, monkeypatch):
    ringing = Celery("ringing", broker=broker)
    ringing.conf.broker_transport_options = {"global_keyprefix": prefix} if broker.startswith("redis") else {}
    monkeypatch.setattr("training.doorbell.current_app", ringing)


@pytest.fixture
def worker(world):
    """Start workers; those that live at the end are ended."""
    living = []

    def start():
        words = ["-A", "tests.training.tiny_worker", "worker", "--concurrency", "1", "-Q", "default,inside"]
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *words, "--without-gossip", "--without-mingle", "--loglevel", "INFO"],
            cwd=django_settings.ROOT,
            env=world,
            start_new_session=True,
        )
        living.append(process)
        return process

    yield start
    for process in living:
        machine.signal_group(process.pid, signal.SIGKILL)
        process.wait()


def eventually(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def state(job):
    job.refresh_from_db()
    return job.state


def result(job):
    return (Store(django_settings.STORE_ROOT).fetch(job.output_digest) / "sum.txt").read_bytes()


@pytest.mark.law("J2")
def test_a_killed_worker_takes_its_trainer_along_and_another_ends_the_job_with_the_same_bytes(shared_project, worker):
    slow = {"steps": 40, "seconds_a_step": 0.05}
    unbroken = jobs.start(project=shared_project, kind="tiny.train", config=slow)
    first = worker()
    eventually(lambda: state(unbroken) == Job.State.SUCCEEDED)
    broken = jobs.start(project=shared_project, kind="tiny.train", config=slow)
    eventually(lambda: broken.metrics.count() > 5)
    group = broken.attempts.get().pgid
    first.kill()
    eventually(lambda: not machine.commands_in_group(group))
    first.wait()
    worker()
    eventually(lambda: state(broken) == Job.State.SUCCEEDED)
    assert broken.attempt_number == 2
    assert broken.attempts.get(number=1).outcome == Attempt.Outcome.LOST
    assert list(broken.metrics.order_by("step").values_list("step", "value")) == list(
        unbroken.metrics.order_by("step").values_list("step", "value")
    )
    assert result(broken) == result(unbroken)


@pytest.mark.law("J2")
def test_a_worker_that_is_told_to_stop_leaves_an_interrupted_job_and_no_process(shared_project, worker):
    job = jobs.start(project=shared_project, kind="tiny.train", config={"steps": 100000, "seconds_a_step": 0.05})
    first = worker()
    eventually(job.metrics.exists)
    group = job.attempts.get().pgid
    began = time.monotonic()
    first.terminate()
    first.wait(timeout=15)
    assert time.monotonic() - began < 10
    assert state(job) == Job.State.INTERRUPTED
    assert not machine.commands_in_group(group)
    reached = job.metrics.count()
    sweeper.resume_interrupted()
    worker()
    eventually(lambda: job.metrics.count() > reached)
    jobs.cancel(job)
    eventually(lambda: state(job) == Job.State.CANCELLED, seconds=10)


@pytest.mark.law("J1")
def test_a_worker_that_starts_finds_what_was_rung_for_in_vain(shared_project, worker, monkeypatch):
    monkeypatch.setattr("training.doorbell.current_app.send_task", lambda *_args, **_kwargs: None)
    lost = jobs.start(project=shared_project, kind="tiny.snapshot")
    worker()
    eventually(lambda: state(lost) == Job.State.SUCCEEDED)
