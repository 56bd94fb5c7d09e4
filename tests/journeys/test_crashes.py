"""What survives kill -9 in the middle of PPO, and what Ctrl-C leaves behind."""

from __future__ import annotations

import re
import time

import processes
import pytest
from beginnings import LONG_PPO
from people import ranking
from stack import eventually

SAVEPOINT_SECONDS = 10


@pytest.fixture
def project(project_with_reward_model):
    return project_with_reward_model


@pytest.fixture
def ada(project, signed_in):
    return signed_in("ada")


@pytest.fixture
def lea(project, signed_in):
    return signed_in("lea")


@pytest.fixture
def ppo(stack, lea, project):
    """A PPO job in the middle of its work, with a savepoint behind it."""
    number = lea.start(project, "policy.ppo", LONG_PPO)
    eventually(lambda: len(lea.curve(number, "ppo/kl")) >= 3 and stack.savepoints(number), "PPO has begun to learn")
    return number


def begun_at(person, job):
    """The step that each attempt has begun with, as the trainer says in its notes."""
    notes = [event["text"] for event in person.get(f"jobs/{job}/events")["events"] if event["event"] == "note"]
    return [int(found[1]) for note in notes if (found := re.search(r"starting at step (\d+)", note))]


def words_about(person, project, task):
    """The judgements of one task, as a snapshot of now has them."""
    job = person.succeeded(person.start(project, "labeling.snapshot", {"what": "rankings"}))
    lines = person.lines(job["output"]["dataset"])
    return [word for line in lines if line["id"] == str(task) for word in line["judgements"]]


@pytest.mark.law("J2")
@pytest.mark.law("Q2")
def test_kill_9_of_worker_and_trainer_loses_no_step_and_no_ranking(stack, project, ada, lea, ppo):
    first = ada.lease(project)
    word = ranking(first["task"]["responses"])
    recorded = ada.ask("POST", f"leases/{first['id']}/ranking", 201, word)
    second = ada.lease(project)
    ada.ask("PUT", f"leases/{second['id']}/draft", 200, {"half": "done"})
    worker, trainer = stack.part("celery", "machine@"), stack.trainers()
    assert len(worker) == len(trainer) == 1
    for process in worker + trainer:
        process.kill()

    assert ada.ask("POST", f"leases/{first['id']}/ranking", 200, word) == recorded
    job = lea.succeeded(ppo)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "succeeded"]
    assert begun_at(lea, ppo)[1] > 0, "it began anew instead of going on from its savepoint"
    assert [step for step, _ in sorted(lea.curve(ppo, "ppo/kl"))] == list(range(1, LONG_PPO["steps"] + 1))
    assert len(words_about(lea, project, first["task"]["id"])) == 1
    assert [each["draft"] for each in ada.get(f"projects/{project}/leases?kind=ranking")] == [{"half": "done"}]
    assert not stack.trainers()


@pytest.mark.law("J2")
def test_ctrl_c_leaves_a_savepoint_and_nobody_behind_and_the_job_goes_on_at_the_next_start(stack, lea, ppo):
    running = [*processes.family(stack.process.pid), *stack.trainers()]
    pressed_at = time.time()
    stack.interrupt()
    assert time.time() - pressed_at < SAVEPOINT_SECONDS + 5
    assert not processes.alive(running)
    assert not stack.mentioned()
    assert pressed_at < stack.savepoints(ppo)[-1].stat().st_mtime < pressed_at + SAVEPOINT_SECONDS
    assert stack.state_of(ppo) == "interrupted"

    stack.start()
    job = lea.succeeded(ppo)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["interrupted", "succeeded"]
    assert begun_at(lea, ppo)[1] >= 3
    assert [step for step, _ in sorted(lea.curve(ppo, "ppo/kl"))] == list(range(1, LONG_PPO["steps"] + 1))
