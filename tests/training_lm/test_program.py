"""What every trainer shares: run folders, savepoints, outputs, exit statuses."""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training import artifacts, program
from training.program import BadRun, Interrupted, NotANumber, open_run

ROOT = Path(program.__file__).parents[1]


def write_job(folder, **job):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps({"job": "1", "kind": "test.count", **job}))
    return folder


def build(text):
    return lambda folder: (folder / "state").write_text(text)


def test_attempts_are_numbered_one_after_the_other(tmp_path):
    write_job(tmp_path)
    assert [open_run(tmp_path).attempt for _ in range(3)] == [1, 2, 3]
    assert open_run(tmp_path, 7).attempt == 7


def test_the_newest_whole_savepoint_of_any_earlier_attempt_is_found(tmp_path):
    write_job(tmp_path)
    first, second, third = (open_run(tmp_path, number) for number in (1, 2, 3))
    assert first.last_savepoint() is None
    first.savepoint(10, build("a"))
    third.savepoint(30, build("c"))
    second.savepoint(20, build("b"))
    assert (second.last_savepoint() / "state").read_text() == "b"
    assert (third.last_savepoint() / "state").read_text() == "c"
    assert (first.last_savepoint() / "state").read_text() == "a"


def test_a_savepoint_that_was_cut_off_or_damaged_is_passed_over(tmp_path):
    run = open_run(write_job(tmp_path), 1)
    good = run.savepoint(10, build("good"))
    cut = run.attempt_dir / "savepoints" / "step-000000011"
    cut.mkdir()
    (cut / "state").write_text("half")
    damaged = run.savepoint(12, build("fine"))
    (damaged / "state").write_text("evil")
    assert run.last_savepoint() == good


def test_the_last_two_savepoints_are_kept(tmp_path):
    run = open_run(write_job(tmp_path), 1)
    for step in range(1, 6):
        run.savepoint(step, build(str(step)))
    names = sorted(path.name for path in (run.attempt_dir / "savepoints").iterdir())
    assert names == ["step-000000004", "step-000000005"]


def test_a_crash_while_saving_leaves_nothing_that_could_be_taken_for_a_savepoint(tmp_path):
    run = open_run(write_job(tmp_path), 1)

    def crash(folder):
        (folder / "state").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        run.savepoint(1, crash)
    assert run.last_savepoint() is None
    run.savepoint(1, build("whole"))
    assert [path.name for path in (run.attempt_dir / "savepoints").iterdir()] == ["step-000000001"]


def test_an_output_is_sealed_with_a_card_that_names_its_inputs_by_digest(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "data.jsonl").write_text("{}\n")
    digest = artifacts.Store(tmp_path / "store").put(data)
    inputs = {"text": digest, "extra": str(data), "none": None}
    run = open_run(write_job(tmp_path / "run", inputs=inputs, store=str(tmp_path / "store"), config={"a": 1}), 1)
    assert not run.has_input("none")
    assert (run.input("text") / "data.jsonl").read_text() == "{}\n"
    output = run.publish(build("weights"), {"evaluation": {"loss": 1.0}})
    card = json.loads((output / "card.json").read_text())
    assert artifacts.is_whole(output)
    assert card["inputs"] == {"text": digest, "extra": digest}
    assert card["parents"] == [digest]
    assert card["evaluation"] == {"loss": 1.0}
    assert str(tmp_path) not in (output / "card.json").read_text()


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_what_has_diverged_is_not_published(tmp_path, figure):
    run = open_run(write_job(tmp_path / "run"), 1)
    with pytest.raises(NotANumber, match="lower learning rate"):
        run.publish(build("weights"), {"evaluation": {"loss": figure}})
    assert not run.output_dir.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": 3}', '{"kind": "a", "config": []}'])
def test_a_run_folder_that_cannot_be_used_is_refused(tmp_path, text):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(BadRun, match=r"job\.json"):
        open_run(tmp_path)
    assert program.main({}, [str(tmp_path)]) == program.FAILED


def test_a_run_folder_without_a_job_is_refused(tmp_path):
    with pytest.raises(BadRun, match="does not exist"):
        open_run(tmp_path)


def test_the_other_ranks_build_too_but_write_nothing_and_say_only_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run = open_run(write_job(tmp_path), 1)
    built, waited = [], []
    run.barrier = lambda: waited.append(len(built))
    run.savepoint(1, lambda folder: built.append((folder / "state").write_text("a")))
    run.publish(lambda folder: built.append((folder / "weights").write_text("b")), {})
    assert waited == [0, 1, 1, 2], "all wait once before the first writes, and once when they have built their own"
    run.reporter.metrics(1, {"loss": 1.0})
    assert not list(run.attempt_dir.iterdir())
    run.reporter.error("out_of_memory", "Only this rank knows.")
    assert [event["event"] for event in events(tmp_path)] == ["error"]


def test_several_processes_are_not_left_to_number_their_attempt(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadRun, match="--attempt 1"):
        open_run(write_job(tmp_path))


@pytest.fixture
def quiet(monkeypatch):
    """Leave this process's signals as they are."""
    monkeypatch.setattr(program.StopSignal, "install", lambda _: None)


def events(folder, attempt=1):
    text = (folder / f"attempt-{attempt}" / "events.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


class PickyError(ValueError):
    code = "too_picky"


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("outcome", "status", "event"),
    [
        (None, program.FINISHED, None),
        (Interrupted(), program.INTERRUPTED, "note"),
        (PickyError("say please"), program.FAILED, "error"),
        (ZeroDivisionError("by zero"), program.FAILED, "error"),
    ],
)
def test_the_exit_status_says_how_it_ended(tmp_path, outcome, status, event):
    def train(_run):
        if outcome:
            raise outcome

    arguments = [str(write_job(tmp_path)), "--attempt", "1", "--detached"]
    assert program.main({"test.count": train}, arguments) == status
    if event:
        assert events(tmp_path)[-1]["event"] == event
    if isinstance(outcome, PickyError):
        assert (events(tmp_path)[-1]["code"], events(tmp_path)[-1]["message"]) == ("too_picky", "say please")
    if isinstance(outcome, ZeroDivisionError):
        assert events(tmp_path)[-1]["code"] == "zero_division_error"


@pytest.mark.usefixtures("quiet")
def test_an_unknown_kind_is_refused_and_says_which_are_known(tmp_path):
    assert program.main({"test.other": lambda _: None}, [str(write_job(tmp_path)), "--detached"]) == program.FAILED
    assert "test.other" in events(tmp_path)[-1]["message"]


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import sys, time
from pathlib import Path
from training.program import follow_parent
from training.report import StopSignal
stop = StopSignal()
stop.install()
follow_parent(stop)
Path(sys.argv[1]).write_text("ready")
while not stop.requested:
    time.sleep(0.01)
Path(sys.argv[1]).write_text("stopped")
"""


def wait_for(path, text):
    for _ in range(1000):
        if path.exists() and path.read_text() == text:
            return
        time.sleep(0.01)
    pytest.fail(f"{path.name} never said {text!r}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_parent_that_is_killed_takes_the_trainer_along(tmp_path):
    sign = tmp_path / "sign"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(sign)], stdout=subprocess.PIPE, text=True)
    with parent:
        child = int(parent.stdout.readline())
        try:
            wait_for(sign, "ready")
            parent.kill()
            parent.wait()
            wait_for(sign, "stopped")
        finally:
            for pid in (child, parent.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


# --- The processor and its memory ----------------------------------------------------------------


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's allocator is told")
def test_what_a_step_frees_is_there_for_the_next_one():
    """Pages that are faulted in again and again are counted by the system; a kept one is faulted in once."""
    script = """
import resource, torch
from training import program

def step():
    held = [torch.ones(7_500_000) for _ in range(3)]  # more than the allocator keeps unasked
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

program.keep_memory()
before = [step() for _ in range(3)][-1]
print([step() for _ in range(10)][-1] - before)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    pages_of_a_step = 3 * 7_500_000 * 4 // resource.getpagesize()
    assert int(done.stdout) < pages_of_a_step, "ten steps needed more new pages than one has"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch brings another OpenMP, which sleeps by itself")
@pytest.mark.parametrize(
    ("room", "given", "said"), [("policy", {}, "1000"), ("rewardmodel", {"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_waiting_threads_leave_the_processor_to_others(tmp_path, room, given, said):
    """OpenMP itself tells how long its threads spin, once it is loaded with torch."""
    write_job(tmp_path, kind=f"{room}.{'sft' if room == 'policy' else 'train'}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-m", room, str(tmp_path)],
        env=environment | given | {"OMP_DISPLAY_ENV": "VERBOSE"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"GOMP_SPINCOUNT = '{said}'" in done.stderr
