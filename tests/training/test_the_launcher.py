"""Laws J2, J3 and J4: a trainer is followed, stopped, resumed, and its output appears whole or not at all."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import connection

from training import code_revision, jobs, launcher, machine, sweeper
from training.artifacts import ArtifactDamaged, Store
from training.models import Attempt, Checkpoint, Dataset, Job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, rung):
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")
    monkeypatch.setattr(settings, "RUNS_ROOT", tmp_path / "runs")


@pytest.fixture
def project(shared_project):
    return shared_project


def started(project, kind="tiny.train", **config):
    job = jobs.start(project=project, kind=kind, config=config)
    (settings.RUNS_ROOT / str(job.pk)).mkdir(parents=True)
    return job


def seen_through(job):
    """Let a worker answer the ring, and give the job as it is afterwards."""
    launcher.answer_for(job.pk)
    job.refresh_from_db()
    return job


@contextmanager
def worker_at_work(job):
    """A worker in a thread; the block begins once the trainer has reported something."""

    def work():
        try:
            launcher.answer_for(job.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(job.metrics.exists)
    try:
        yield
    finally:
        thread.join(timeout=30)
    assert not thread.is_alive()
    job.refresh_from_db()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def live_group(job):
    return job.attempts.get(outcome="").pgid


def curve(job):
    return list(job.metrics.order_by("step").values_list("step", "value"))


def test_a_trainer_runs_and_leaves_a_checkpoint(project):
    job = seen_through(started(project))
    assert (job.state, job.error_message) == (Job.State.SUCCEEDED, "")
    assert [step for step, _ in curve(job)] == [1, 2, 3, 4]
    assert (job.progress_done, job.progress_total, job.progress_unit) == (4, 4, "steps")
    checkpoint = job.checkpoint
    assert (checkpoint.digest, checkpoint.name) == (job.output_digest, f"train-{job.pk}")
    assert (checkpoint.card["config"], checkpoint.card["seed"]) == (job.config, 1)
    assert checkpoint.card["code_revision"] == code_revision.current()
    assert job.attempts.get().outcome == Attempt.Outcome.SUCCEEDED


@pytest.mark.law("J5")
def test_the_same_job_twice_gives_the_same_bytes(project):
    first, second = seen_through(started(project)), seen_through(started(project))
    assert first.output_digest == second.output_digest


@pytest.mark.law("J2")
def test_a_trainer_that_is_killed_goes_on_and_ends_with_the_same_bytes(project):
    unbroken = seen_through(started(project, misbehaviour="none", steps=6))
    broken = seen_through(started(project, misbehaviour="dies", steps=6))
    assert (broken.state, broken.attempts.get().outcome) == (Job.State.QUEUED, Attempt.Outcome.LOST)
    broken = seen_through(broken)
    assert broken.state == Job.State.SUCCEEDED
    assert curve(broken) == curve(unbroken)
    store = Store(settings.STORE_ROOT)
    sums = [(store.fetch(job.output_digest) / "sum.txt").read_bytes() for job in (broken, unbroken)]
    assert sums[0] == sums[1]


@pytest.mark.law("J2")
def test_a_stopping_worker_interrupts_its_trainer_after_a_savepoint(project):
    job = started(project, steps=200, seconds_a_step=0.05)
    with worker_at_work(job):
        began = time.monotonic()
        launcher.stopping.set()
    assert time.monotonic() - began < 10
    assert job.state == Job.State.INTERRUPTED
    done = max(step for step, _ in curve(job))
    launcher.stopping.clear()
    sweeper.resume_interrupted()
    Job.objects.filter(pk=job.pk).update(config=job.config | {"steps": done + 1})
    job = seen_through(job)
    assert (job.state, job.attempt_number) == (Job.State.SUCCEEDED, 2)
    assert [step for step, _ in curve(job)] == list(range(1, done + 2))


def test_a_trainer_that_pauses_says_why_and_is_taken_up_where_it_stopped(project):
    unbroken = seen_through(started(project))
    paused = seen_through(started(project, misbehaviour="pauses"))
    assert (paused.state, paused.error_message) == (Job.State.PAUSED, "The sum grows too fast.")
    assert [step for step, _ in curve(paused)] == [1, 2]
    sweeper.sweep()
    paused.refresh_from_db()
    assert paused.state == Job.State.PAUSED
    jobs.resume(paused)
    paused = seen_through(paused)
    assert (paused.state, paused.error_message) == (Job.State.SUCCEEDED, "")
    assert curve(paused) == curve(unbroken)


@pytest.mark.law("J4")
def test_a_cancel_stops_a_running_trainer_and_nothing_is_published(project):
    job = started(project, steps=2000, seconds_a_step=0.05)
    with worker_at_work(job):
        group = live_group(job)
        began = time.monotonic()
        jobs.cancel(Job.objects.get(pk=job.pk))
    assert time.monotonic() - began < 10
    assert job.state == Job.State.CANCELLED
    assert not machine.commands_in_group(group)
    assert not Checkpoint.objects.exists()


@pytest.mark.law("J4")
def test_a_deaf_trainer_is_killed_within_ten_seconds_of_the_cancel(project):
    job = started(project, misbehaviour="deaf", steps=2000, seconds_a_step=0.05)
    with worker_at_work(job):
        began = time.monotonic()
        jobs.cancel(Job.objects.get(pk=job.pk))
    assert 7 < time.monotonic() - began < 10
    assert job.state == Job.State.CANCELLED


@pytest.mark.law("J7")
def test_a_trainer_whose_attempt_was_given_up_is_killed(project):
    job = started(project, steps=2000, seconds_a_step=0.05)
    with worker_at_work(job):
        group = live_group(job)
        jobs.lose(job.attempts.get(outcome=""))
    assert job.state == Job.State.QUEUED
    assert not machine.commands_in_group(group)


def test_nothing_that_a_trainer_started_outlives_it(project):
    job = seen_through(started(project, misbehaviour="forks"))
    assert job.state == Job.State.SUCCEEDED
    assert not machine.commands_in_group(job.attempts.get().pgid)


def test_a_trainer_that_names_its_error_is_quoted(project):
    job = seen_through(started(project, misbehaviour="refuses"))
    assert (job.state, job.error_code) == (Job.State.FAILED, "bad_run")
    assert "give it more numbers" in job.error_message


def test_a_trainer_that_names_no_error_leaves_its_last_words(project):
    job = seen_through(started(project, misbehaviour="crashes"))
    assert (job.state, job.error_code) == (Job.State.FAILED, "trainer_crashed")
    assert "status 3" in job.error_message


def test_a_failed_job_that_is_retried_goes_on_from_its_savepoint(project):
    job = seen_through(started(project, misbehaviour="refuses"))
    Job.objects.filter(pk=job.pk).update(config=job.config | {"misbehaviour": "none"})
    jobs.retry(job)
    job = seen_through(job)
    assert job.state == Job.State.SUCCEEDED
    notes = (settings.RUNS_ROOT / str(job.pk) / "attempt-2" / "events.jsonl").read_text()
    assert '"step": 2,' not in notes, "steps 1 and 2 were in the savepoint"


def test_a_worker_that_cannot_see_the_shared_folder_refuses_by_name(project):
    job = jobs.start(project=project, kind="tiny.train")
    job = seen_through(job)
    assert (job.state, job.error_code, job.attempt_number) == (Job.State.QUEUED, "shared_folder_missing", 0)
    assert "LAUREL_HOME" in job.error_message
    (settings.RUNS_ROOT / str(job.pk)).mkdir(parents=True)
    job = seen_through(job)
    assert (job.state, job.error_code) == (Job.State.SUCCEEDED, "")


def test_the_worker_does_inside_work_itself(project):
    job = seen_through(started(project, kind="tiny.snapshot"))
    dataset = Dataset.objects.get()
    assert (job.state, dataset.count, dataset.digest) == (Job.State.SUCCEEDED, 2, job.output_digest)
    assert job.attempts.get().pid is None


def test_inside_work_that_fails_says_why(project):
    job = seen_through(started(project, kind="tiny.snapshot", what="nothing"))
    assert (job.state, job.error_message) == (Job.State.FAILED, "There is nothing to write down.")
    assert not Dataset.objects.exists()


def test_a_worker_that_starts_ends_what_a_dead_worker_left_and_returns_its_job(project):
    job = started(project, steps=2000, seconds_a_step=0.05)
    attempt = jobs.claim(job.pk, worker=f"{machine.host()}|{2**22 + 1}|1")
    folder = settings.RUNS_ROOT / str(job.pk) / "attempt-1"
    folder.mkdir()
    launcher.write_job_file(attempt.job)
    process = launcher.launch(attempt, folder)
    jobs.launched(attempt, pid=process.pid)
    wait_until((folder / "events.jsonl").exists)
    threading.Thread(target=process.wait).start()
    launcher.reap_orphans()
    assert not machine.commands_in_group(process.pid)
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED


def test_what_was_interrupted_goes_on_before_anything_new_begins(project):
    interrupted, fresh = started(project), started(project)
    jobs.interrupt(jobs.claim(interrupted.pk))
    sweeper.resume_interrupted()
    seen_through(fresh)
    ended = Attempt.objects.exclude(outcome="interrupted").order_by("ended_at").values_list("job", "outcome")
    assert list(ended) == [(interrupted.pk, "succeeded"), (fresh.pk, "succeeded")]


def test_a_process_that_only_has_an_orphans_old_number_is_spared(project):
    job = started(project)
    attempt = jobs.claim(job.pk, worker=f"{machine.host()}|{2**22 + 1}|1")
    Attempt.objects.filter(pk=attempt.pk).update(pid=os.getpid(), pgid=os.getpgrp())
    launcher.reap_orphans()
    assert job.attempts.get().outcome == Attempt.Outcome.LOST


@pytest.mark.law("J3")
def test_a_published_checkpoint_whose_bytes_changed_is_not_read(project):
    job = seen_through(started(project))
    file = Store(settings.STORE_ROOT).fetch(job.output_digest) / "sum.txt"
    file.chmod(0o644)
    file.write_text("9" * file.stat().st_size)
    with pytest.raises(ArtifactDamaged):
        Store(settings.STORE_ROOT).fetch(job.output_digest)


@pytest.fixture
def two_processes(project):
    """Starts a job of the tiny trainer in two processes."""

    def start(**config):
        job = started(project, **config)
        Job.objects.filter(pk=job.pk).update(config=job.config | {"processes": 2})
        job.refresh_from_db()
        return job

    return start


def ranks_of(job):
    """The ranks of a job that run now, without torchrun."""
    found = machine.running([str(settings.RUNS_ROOT / str(job.pk)), "--attempt", str(job.attempts.count())])
    return sorted(set(found) - set(job.attempts.values_list("pid", flat=True)))


@pytest.mark.law("J2")
def test_a_job_of_two_processes_is_said_once_and_goes_on_after_a_rank_was_killed(two_processes, project):
    """The tiny trainer kills itself after its third step; torchrun ends the other rank and says 1."""
    unbroken = seen_through(started(project, steps=6))
    job = seen_through(two_processes(misbehaviour="dies", steps=6))
    assert (job.state, job.attempts.get().outcome) == (Job.State.QUEUED, Attempt.Outcome.LOST)
    job = seen_through(job)
    assert (job.state, job.error_message) == (Job.State.SUCCEEDED, "")
    assert curve(job) == curve(unbroken)
    assert not ranks_of(job)


@pytest.mark.law("J4")
def test_a_cancel_reaches_every_rank_and_nothing_is_left_of_them(two_processes):
    job = two_processes(steps=2000, seconds_a_step=0.05)
    with worker_at_work(job):
        assert len(ranks_of(job)) == 2
        began = time.monotonic()
        jobs.cancel(Job.objects.get(pk=job.pk))
    assert time.monotonic() - began < 10
    assert job.state == Job.State.CANCELLED
    assert not ranks_of(job)


def test_ranks_that_a_dead_worker_and_a_dead_torchrun_left_are_ended(two_processes, monkeypatch):
    monkeypatch.setattr(launcher, "INTERRUPT_GRACE_SECONDS", 1.0)
    job = two_processes(misbehaviour="deaf", steps=2000, seconds_a_step=0.05)
    attempt = jobs.claim(job.pk, worker=f"{machine.host()}|{2**22 + 1}|1")
    folder = settings.RUNS_ROOT / str(job.pk) / "attempt-1"
    folder.mkdir()
    launcher.write_job_file(attempt.job)
    process = launcher.launch(attempt, folder)
    jobs.launched(attempt, pid=process.pid)
    wait_until((folder / "events.jsonl").exists)
    process.kill()
    process.wait()
    assert len(ranks_of(job)) == 2
    launcher.reap_orphans()
    wait_until(lambda: not ranks_of(job))
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED
