"""Laws J1, J4 and J7: one winner a claim, a cancel is final, and who was given up writes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, connection
from django.utils.timezone import now

from training import checkpoints, datasets, jobs, sweeper
from training.checks import gpu_kinds_exist
from training.doorbell import queue_of
from training.inputs import BadInput
from training.models import Attempt, Checkpoint, Dataset, Job, Metric

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db]

DIGEST = "sha256:" + "a" * 64
CARD = {"count": 2}


def finish(attempt, digest=DIGEST):
    return jobs.finish(attempt, digest=digest, folder=Path("/nowhere"), card=CARD)


def in_threads(count, work):
    """What `work(number)` gives in many threads that start together."""
    found, errors, barrier = [], [], threading.Barrier(count)

    def one(number):
        try:
            barrier.wait()
            found.append(work(number))
        except Exception as error:  # noqa: BLE001 (the test shows whatever a thread met)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return found


# --- J1 ----------------------------------------------------------------------------------------


@pytest.mark.law("J1")
def test_of_many_claims_of_one_job_one_wins(shared_project, rung):
    for _ in range(5):
        job = jobs.start(project=shared_project, kind="tiny.train")
        claims = in_threads(8, lambda number, job=job: jobs.claim(job.pk, worker=f"worker {number}"))
        assert len([claim for claim in claims if claim]) == 1
        assert job.attempts.count() == 1


@pytest.mark.law("J1")
def test_a_second_delivery_is_harmless(project):
    job = jobs.start(project=project, kind="tiny.train")
    first = jobs.claim(job.pk)
    assert jobs.claim(job.pk) is None
    finish(first)
    assert jobs.claim(job.pk) is None
    assert job.attempts.count() == 1


@pytest.mark.law("J1")
def test_a_job_is_rung_for_when_its_row_can_be_seen(project, rung, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.start(project=project, kind="tiny.train")
        assert rung == []
    assert rung == [job.pk]


@pytest.mark.law("J1")
def test_a_lost_delivery_is_found_again_and_ever_more_rarely(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    beginning = job.queued_at
    Job.objects.filter(pk=job.pk).update(rung_at=beginning)
    rings = []
    for second in range(120):
        sweeper.ring_again(beginning + timedelta(seconds=second))
        if rung:
            rings.append(second)
            Job.objects.filter(pk=job.pk).update(rung_at=beginning + timedelta(seconds=second))
            rung.clear()
    assert rings == [10, 20, 40, 80]


@pytest.mark.law("J1")
def test_a_silent_worker_loses_its_job_and_another_takes_it(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    silent = jobs.claim(job.pk, worker="far away|1|1")
    sweeper.return_the_dead()
    assert jobs.claim(job.pk) is None, "it was heard of just now"
    Job.objects.filter(pk=job.pk).update(heartbeat_at=now() - timedelta(minutes=2))
    sweeper.return_the_dead()
    silent.refresh_from_db()
    assert silent.outcome == Attempt.Outcome.LOST
    assert jobs.claim(job.pk).number == 2


@pytest.mark.law("J1")
def test_a_worker_of_this_machine_that_is_gone_is_not_waited_for(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    attempt = jobs.claim(job.pk)
    sweeper.return_the_dead()
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING, "this very process lives"
    Attempt.objects.filter(pk=attempt.pk).update(worker=f"{attempt.host}|{2**22 + 1}|1")
    sweeper.return_the_dead()
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED


def test_a_job_that_kills_every_worker_fails_in_the_end(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    for _ in range(jobs.LOST_TOO_OFTEN):
        jobs.lose(jobs.claim(job.pk))
    job.refresh_from_db()
    assert (job.state, job.error_code) == (Job.State.FAILED, "killed_too_often")
    jobs.retry(job)
    jobs.lose(jobs.claim(job.pk))
    job.refresh_from_db()
    assert job.state == Job.State.QUEUED, "whoever tried again has as many tries as before"


def test_an_interrupted_job_goes_back_to_the_queue(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    jobs.interrupt(jobs.claim(job.pk))
    job.refresh_from_db()
    assert job.state == Job.State.INTERRUPTED
    assert jobs.claim(job.pk) is None
    sweeper.sweep()
    assert jobs.claim(job.pk).number == 2


def test_a_paused_job_waits_for_a_person_and_then_goes_on(project, rung):
    job = jobs.start(project=project, kind="tiny.train")
    jobs.pause(jobs.claim(job.pk), message="The numbers look odd.")
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_message) == (Job.State.PAUSED, "paused", "The numbers look odd.")
    assert job.attempts.get().outcome == Attempt.Outcome.PAUSED
    sweeper.sweep()
    assert jobs.claim(job.pk) is None, "nobody has said that it may go on"
    jobs.resume(job)
    assert (job.error_code, job.error_message) == ("", "")
    assert jobs.claim(job.pk).number == 2
    with pytest.raises(jobs.JobIsNotPaused):
        jobs.resume(job)


def test_a_paused_job_can_be_cancelled_and_jobs_that_wait_for_it_wait_on(project):
    job = jobs.start(project=project, kind="tiny.train")
    waiting = jobs.start(project=project, kind="tiny.refine", inputs={"policy": {"job": job.pk}})
    jobs.pause(jobs.claim(job.pk), message="?")
    sweeper.sweep()
    waiting.refresh_from_db()
    assert waiting.state == Job.State.WAITING
    jobs.cancel(job)
    assert (job.state, job.error_code) == (Job.State.CANCELLED, "")
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code) == (Job.State.FAILED, "input_failed")


def test_of_an_input_that_takes_many_each_is_resolved_and_becomes_a_parent(project):
    digests = ["sha256:" + letter * 64 for letter in "bcd"]
    for number, digest in enumerate(digests):
        checkpoints.publish(project=project, kind="reward", digest=digest, card={}, name=f"reward {number}")
    given = {"reward": "latest", "reward_2": digests[0], "reward_10": digests[1]}
    job = jobs.start(project=project, kind="tiny.judged", inputs=given)
    attempt = jobs.claim(job.pk)
    assert attempt.job.inputs == {"reward": digests[2], "reward_2": digests[0], "reward_10": digests[1]}
    made = finish(attempt)
    assert {parent.digest for parent in made.parents.all()} == set(digests)
    for name in ("reward_1", "reward_02", "reward_x", "policy_2"):
        with pytest.raises(BadInput, match=name):
            jobs.start(project=project, kind="tiny.judged", inputs={"reward": "latest", name: digests[0]})
    with pytest.raises(BadInput) as refusal:
        jobs.start(project=project, kind="tiny.judged", inputs={"reward": "latest", "reward_2": DIGEST})
    assert set(refusal.value.fields) == {"reward_2"}


def test_a_configuration_that_this_installation_does_not_allow_is_refused_before_it_starts(project):
    with pytest.raises(jobs.BadJobConfig, match="not that many"):
        jobs.start(project=project, kind="tiny.judged", config={"steps": 1000})


# --- J4 ----------------------------------------------------------------------------------------


@pytest.mark.law("J4")
def test_a_queued_job_is_cancelled_at_once(project):
    job = jobs.start(project=project, kind="tiny.train")
    jobs.cancel(job)
    assert job.state == Job.State.CANCELLED
    assert jobs.claim(job.pk) is None
    with pytest.raises(jobs.JobIsOver):
        jobs.cancel(job)


@pytest.mark.law("J4")
def test_a_running_job_hears_of_its_cancel_with_the_next_beat(project):
    job = jobs.start(project=project, kind="tiny.train")
    attempt = jobs.claim(job.pk)
    assert not jobs.beat(attempt)
    jobs.cancel(job)
    jobs.cancel(job)
    assert jobs.beat(attempt)
    jobs.cancelled(attempt)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


@pytest.mark.law("J4")
def test_nothing_is_published_once_a_cancel_was_asked_for(project):
    job = jobs.start(project=project, kind="tiny.train")
    attempt = jobs.claim(job.pk)
    jobs.cancel(job)
    with pytest.raises(jobs.Fenced):
        finish(attempt)
    assert not Checkpoint.objects.exists()


@pytest.mark.law("J4")
def test_a_cancelled_job_whose_worker_dies_does_not_come_back(project):
    job = jobs.start(project=project, kind="tiny.train")
    attempt = jobs.claim(job.pk)
    jobs.cancel(job)
    jobs.lose(attempt)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_a_cancelled_job_can_be_taken_up_again(project):
    job = jobs.start(project=project, kind="tiny.train")
    with pytest.raises(jobs.JobIsLive):
        jobs.retry(job)
    jobs.cancel(job)
    jobs.retry(job)
    assert job.state == Job.State.QUEUED
    assert jobs.claim(job.pk).number == 1


# --- J7 ----------------------------------------------------------------------------------------


@pytest.mark.law("J7")
@pytest.mark.parametrize(
    "write",
    [
        jobs.beat,
        lambda attempt: jobs.beat(attempt, jobs.News(metrics={("tiny/total", 1): 1.0}, progress=(1, 2, "steps"))),
        finish,
        lambda attempt: jobs.fail(attempt, code="late", message="late"),
        jobs.cancelled,
        jobs.interrupt,
        jobs.lose,
        lambda attempt: jobs.launched(attempt, pid=1),
    ],
    ids=["beat", "metrics", "finish", "fail", "cancelled", "interrupt", "lose", "launched"],
)
@pytest.mark.parametrize("meanwhile", ["queued", "running", "succeeded", "cancelled"])
def test_an_attempt_that_was_given_up_can_write_nothing(project, write, meanwhile):
    job = jobs.start(project=project, kind="tiny.train")
    fenced = jobs.claim(job.pk)
    jobs.lose(fenced)
    if meanwhile == "cancelled":
        jobs.cancel(job)
    elif meanwhile != "queued":
        later = jobs.claim(job.pk)
        jobs.beat(later, jobs.News(metrics={("tiny/total", 1): 2.0}))
        if meanwhile == "succeeded":
            finish(later, digest="sha256:" + "b" * 64)
    before = everything()
    with pytest.raises(jobs.Fenced):
        write(fenced)
    assert everything() == before


def everything():
    return [list(model.objects.order_by("pk").values()) for model in (Job, Attempt, Metric, Checkpoint, Dataset)]


@pytest.mark.law("J7")
def test_of_two_attempts_that_finish_at_once_one_publishes(shared_project, rung):
    job = jobs.start(project=shared_project, kind="tiny.train")
    first = jobs.claim(job.pk)
    jobs.lose(first)
    second = jobs.claim(job.pk)

    def try_to_finish(number):
        try:
            return finish((first, second)[number % 2])
        except jobs.Fenced:
            return None

    published = [each for each in in_threads(6, try_to_finish) if each]
    assert len(published) == 1
    assert Checkpoint.objects.count() == 1


def test_saying_a_metric_again_changes_it_in_place(project):
    attempt = jobs.claim(jobs.start(project=project, kind="tiny.train").pk)
    jobs.beat(attempt, jobs.News(metrics={("tiny/total", 1): 1.0, ("tiny/total", 2): None}))
    jobs.beat(attempt, jobs.News(metrics={("tiny/total", 1): 3.0}, progress=(1, 4, "steps")))
    assert list(Metric.objects.order_by("step").values_list("step", "value")) == [(1, 3.0), (2, None)]
    attempt.job.refresh_from_db()
    assert (attempt.job.progress_done, attempt.job.progress_total) == (1, 4)


# --- What a job reads, and what it leaves ------------------------------------------------------


def test_a_finished_job_leaves_a_checkpoint_that_knows_its_parents(project, rung):
    parent = checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="first")
    checkpoints.promote(parent)
    job = jobs.start(project=project, kind="tiny.refine")
    child = finish(jobs.claim(job.pk), digest="sha256:" + "b" * 64)
    job.refresh_from_db()
    assert job.inputs == {"policy": DIGEST}
    assert (job.state, job.output_digest, child.job) == (Job.State.SUCCEEDED, child.digest, job)
    assert list(child.parents.all()) == [parent]
    assert checkpoints.ancestors(child) == [parent]


def test_a_later_champion_changes_nothing_for_a_job_that_was_claimed(project, rung):
    checkpoints.promote(checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="first"))
    job = jobs.start(project=project, kind="tiny.refine")
    attempt = jobs.claim(job.pk)
    later = checkpoints.publish(project=project, kind="policy", digest="sha256:" + "b" * 64, card={}, name="second")
    checkpoints.promote(later)
    jobs.lose(attempt)
    assert jobs.claim(job.pk).job.inputs == {"policy": DIGEST}


def test_a_job_waits_for_the_job_whose_output_it_reads(project, rung):
    first = jobs.start(project=project, kind="tiny.train")
    second = jobs.start(project=project, kind="tiny.refine", inputs={"policy": {"job": first.pk}})
    assert second.state == Job.State.WAITING
    assert jobs.claim(second.pk) is None
    finish(jobs.claim(first.pk))
    assert jobs.claim(second.pk).job.inputs == {"policy": DIGEST}


def test_a_job_whose_input_failed_fails_by_name_and_can_be_retried_after_it(project, rung):
    first = jobs.start(project=project, kind="tiny.train")
    second = jobs.start(project=project, kind="tiny.refine", inputs={"policy": {"job": first.pk}})
    third = jobs.start(project=project, kind="tiny.refine", inputs={"policy": {"job": second.pk}})
    jobs.fail(jobs.claim(first.pk), code="broken", message="broken")
    for each in (second, third):
        each.refresh_from_db()
        assert (each.state, each.error_code) == (Job.State.FAILED, "input_failed")
    jobs.retry(first)
    jobs.retry(second)
    assert second.state == Job.State.WAITING
    finish(jobs.claim(first.pk))
    second.refresh_from_db()
    assert second.state == Job.State.QUEUED


def test_a_snapshot_is_taken_first_and_waited_for(project, rung):
    job = jobs.start(project=project, kind="tiny.train", inputs={"prompts": "snapshot"})
    snapshot = job.waits_for.get()
    assert (snapshot.kind, snapshot.config) == ("tiny.snapshot", {"what": "prompts"})
    dataset = finish(jobs.claim(snapshot.pk))
    assert (dataset.kind, dataset.version, dataset.count) == ("prompts", 1, 2)
    assert jobs.claim(job.pk).job.inputs == {"prompts": DIGEST}


def test_the_latest_dataset_is_the_one_that_was_published_last(project, rung):
    datasets.publish(project=project, kind="prompts", digest=DIGEST, card=CARD)
    newest = datasets.publish(project=project, kind="prompts", digest="sha256:" + "b" * 64, card=CARD)
    assert newest.version == 2
    job = jobs.start(project=project, kind="tiny.train", inputs={"prompts": "latest"})
    assert jobs.claim(job.pk).job.inputs == {"prompts": newest.digest}


@pytest.mark.parametrize("said", [{}, {"prompts": "latest"}], ids=["silently", "in words"])
def test_the_default_of_an_optional_input_is_used_where_there_is_one(project, rung, said):
    checkpoints.promote(checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="first"))
    assert "prompts" not in jobs.start(project=project, kind="tiny.refine", inputs=said).requested_inputs
    datasets.publish(project=project, kind="prompts", digest=DIGEST, card=CARD)
    assert jobs.start(project=project, kind="tiny.refine", inputs=said).requested_inputs["prompts"] == "latest"


@pytest.mark.parametrize("nothing", ["", None])
def test_an_optional_input_can_be_left_out_although_its_default_is_there(project, rung, nothing):
    checkpoints.promote(checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="first"))
    datasets.publish(project=project, kind="prompts", digest=DIGEST, card=CARD)
    job = jobs.start(project=project, kind="tiny.refine", inputs={"prompts": nothing})
    assert job.requested_inputs == {"policy": "champion"}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "no champion policy checkpoint"),
        ({"policy": "latest"}, "no policy checkpoint yet"),
        ({"policy": "snapshot"}, "wants a checkpoint"),
        ({"policy": "champion", "samples": "snapshot"}, "A snapshot holds prompts; samples wants samples."),
        ({"policy": DIGEST}, "has no policy checkpoint 'sha256"[:24]),
        ({"policy": {"job": 10**9}}, "a job that this project does not have"),
        ({"policy": {"jobs": 1}}, "a job that this project does not have"),
        ({"police": DIGEST}, "no input called police"),
    ],
)
def test_an_input_that_is_not_there_is_refused_by_name(project, inputs, words):
    with pytest.raises(BadInput) as refused:
        jobs.start(project=project, kind="tiny.refine", inputs=inputs)
    assert words in refused.value.message
    assert set(refused.value.fields) <= {"policy", "police", "samples"}
    assert not Job.objects.exists()


def test_another_projects_checkpoint_cannot_be_named(project):
    other = type(project).objects.create(slug="other", name="Other")
    checkpoints.publish(project=other, kind="policy", digest=DIGEST, card={}, name="theirs")
    with pytest.raises(BadInput):
        jobs.start(project=project, kind="tiny.refine", inputs={"policy": DIGEST})


def test_a_wrong_setting_is_refused_by_its_name(project):
    with pytest.raises(jobs.BadJobConfig) as refused:
        jobs.start(project=project, kind="tiny.train", config={"stepz": 3, "steps": "many"})
    assert set(refused.value.fields) == {"stepz", "steps"}


def test_the_whole_configuration_is_written_down_with_its_defaults(project):
    job = jobs.start(project=project, kind="tiny.train", config={"steps": 9})
    assert job.config == {"steps": 9, "seconds_a_step": 0.0, "misbehaviour": "none"}


def test_the_database_refuses_a_second_live_attempt(project):
    job = jobs.start(project=project, kind="tiny.train")
    first = jobs.claim(job.pk)
    with pytest.raises(IntegrityError):
        Attempt.objects.create(job=job, number=2, worker="x|1|1", host=first.host, boot_id=first.boot_id)


# --- Champions ---------------------------------------------------------------------------------


def test_a_promotion_keeps_the_reigns_before_it(project, rhea):
    first = checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="first")
    second = checkpoints.publish(project=project, kind="policy", digest=DIGEST, card={}, name="second")
    checkpoints.promote(first, by=rhea)
    checkpoints.promote(second, by=rhea)
    with pytest.raises(checkpoints.IsChampion):
        checkpoints.promote(second, by=rhea)
    assert checkpoints.champion(project, "policy") == second
    assert [reign.checkpoint for reign in project.champions.order_by("since")] == [first, second]
    assert project.champions.filter(until=None).count() == 1


@pytest.mark.law("J7")
def test_promotions_at_once_leave_one_champion(shared_project):
    candidates = [
        checkpoints.publish(project=shared_project, kind="policy", digest=DIGEST, card={}, name=f"candidate {number}")
        for number in range(6)
    ]
    in_threads(6, lambda number: checkpoints.promote(candidates[number]))
    assert shared_project.champions.count() == 6
    assert shared_project.champions.filter(until=None).count() == 1


def test_kinds_that_need_a_gpu_go_to_its_workers_and_a_wrong_name_is_refused(settings):
    settings.GPU_KINDS = ["tiny.refine", "tiny.wrong"]
    queues = {name: queue_of(name) for name in ("tiny.train", "tiny.refine", "tiny.snapshot")}
    assert queues == {"tiny.train": "default", "tiny.refine": "gpu", "tiny.snapshot": "inside"}
    (error,) = gpu_kinds_exist()
    assert "'tiny.wrong'" in error.msg
