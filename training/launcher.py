"""Runs a trainer as its own process, turns what it says into rows, stops it, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from celery import shared_task
from django.conf import settings
from django.db import connection

from training import code_revision, jobs, machine, program, report
from training.artifacts import Store, is_whole
from training.doorbell import queue_of
from training.kinds import all_kinds, kind_named
from training.models import Attempt, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.app.task import Task

T = TypeVar("T")
log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
POLL_SECONDS = 0.2
CANCEL_GRACE_SECONDS = 8.0
INTERRUPT_GRACE_SECONDS = 10.0

stopping = threading.Event()
"""Set when this worker is told to shut down; trainers then write a savepoint."""


def answer(kind_name: str) -> Task[[int], None]:
    """Make the Celery task that answers rings for a kind; a room's tasks.py has one for each of its kinds."""

    @shared_task(name=kind_name)
    def answer_ring(job_id: int) -> None:
        answer_for(job_id)

    return answer_ring


def answer_for(job_id: int) -> None:
    """See a job through, and before it those of its queue that were begun and interrupted."""
    for number in [*begun_before(job_id), job_id]:
        if not stopping.is_set() and sees_the_shared_folder(number):
            take_up(number)


def begun_before(job_id: int) -> list[int]:
    """Queued jobs that already had an attempt, and that this job's worker may do."""
    kind_name = Job.objects.filter(pk=job_id).values_list("kind", flat=True).first() or ""
    kinds = [kind.name for kind in all_kinds() if queue_of(kind.name) == queue_of(kind_name)]
    begun = Job.objects.filter(state=Job.State.QUEUED, attempt_number__gt=0, kind__in=kinds).exclude(pk=job_id)
    return list(begun.order_by("pk").values_list("pk", flat=True))


def take_up(job_id: int) -> None:
    """Claim a job and see it through; does nothing if it is not to be had."""
    attempt = jobs.claim(job_id)
    if attempt is None:
        return
    log.info("%s begins", attempt)
    try:
        run(attempt)
    except jobs.Fenced:
        log.warning("%s was given up by others and has stopped", attempt)
    except Exception as error:
        log.exception("%s broke in its worker", attempt)
        with contextlib.suppress(jobs.Fenced):
            jobs.fail(attempt, code="worker_error", message=f"{type(error).__name__}: {error}")
        raise


def sees_the_shared_folder(job_id: int) -> bool:
    """Refuse, by name, a job whose run folder this worker cannot see: it was made where the job was started."""
    folder = settings.RUNS_ROOT / str(job_id)
    if folder.is_dir():
        return True
    message = (
        f"The worker on {machine.host()} cannot see {folder}. "
        "Mount the folder that LAUREL_HOME names at the same place on every machine."
    )
    log.error("job %s refused: shared_folder_missing: %s", job_id, message)
    Job.objects.filter(pk=job_id, state=Job.State.QUEUED).update(
        error_code="shared_folder_missing", error_message=message
    )
    return False


def run(attempt: Attempt) -> None:
    """Do an attempt from beginning to end; its outcome is always written down."""
    kind = kind_named(attempt.job.kind)
    reap_earlier_attempts(attempt)
    if kind.inside:
        run_inside(attempt, kind.inside)
    else:
        run_program(attempt)


# --- Work that the worker does itself ----------------------------------------------------------


def run_inside(attempt: Attempt, work: Callable[[Job, Path], None]) -> None:
    """Let the worker do the job, beating while it does."""
    draft = run_dir(attempt.job) / f"attempt-{attempt.number}" / "output"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        while_beating(attempt, lambda: work(attempt.job, draft))
    except jobs.Fenced:
        raise
    except Exception as error:  # whatever it was, the ledger must hear of it by name
        code = getattr(error, "code", type(error).__name__)
        log.info("%s failed: %s", attempt, error, exc_info=True)
        jobs.fail(attempt, code=str(code), message=str(error))
        return
    publish(attempt, draft)


def while_beating(attempt: Attempt, work: Callable[[], T]) -> T:
    """Do something long in another thread while this one says that the attempt lives."""

    def do() -> T:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="inside") as pool:
        future = pool.submit(do)
        while True:
            with contextlib.suppress(TimeoutError):
                return future.result(timeout=BEAT_SECONDS)
            if not future.done():
                jobs.beat(attempt)


# --- Trainers ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    """What the launcher knows of one running trainer."""

    attempt: Attempt
    process: subprocess.Popen[bytes]
    folder: Path
    offset: int = 0
    unsaid: dict[tuple[str, int], float | None] = field(default_factory=dict)
    progress: tuple[float, float, str] | None = None
    error: tuple[str, str] | None = None
    pause: str = ""
    done: str = ""
    asked_to: str = ""  # "cancel" or "interrupt", once it was asked to stop
    kill_at: float = float("inf")
    beat_at: float = 0.0


def run_program(attempt: Attempt) -> None:
    """Launch the trainer, follow it to its end, and write the outcome down."""
    folder = run_dir(attempt.job) / f"attempt-{attempt.number}"
    folder.mkdir(parents=True, exist_ok=True)
    write_job_file(attempt.job)
    catch_up(attempt)
    watch = Watch(attempt=attempt, process=launch(attempt, folder), folder=folder)
    try:
        jobs.launched(attempt, pid=watch.process.pid)
        while watch.process.poll() is None:
            follow(watch)
            time.sleep(POLL_SECONDS)
    finally:
        kill(watch)  # whatever a trainer left running
        watch.process.wait()
    read_events(watch)
    jobs.beat(attempt, news_of(watch))
    conclude(watch)


def catch_up(attempt: Attempt) -> None:
    """Write down the metrics that earlier attempts said to nobody: a savepoint may be later than the last beat."""
    for earlier in attempt.job.attempts.filter(number__lt=attempt.number).order_by("number"):
        events, _ = report.read_events(run_dir(attempt.job) / f"attempt-{earlier.number}" / "events.jsonl")
        said = [event for event in events if event["event"] == "metrics"]
        jobs.beat(
            attempt, jobs.News(metrics={key: value for event in said for key, value in metrics_in(event).items()})
        )


def launch(attempt: Attempt, folder: Path) -> subprocess.Popen[bytes]:
    """Start the trainer in a session of its own, with its output in a file."""
    with (folder / "output.log").open("ab") as output:
        return subprocess.Popen(
            command(attempt),
            cwd=settings.ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def command(attempt: Attempt) -> list[str]:
    """`python -m policy RUN_DIR --attempt N`, under torchrun when the configuration asks for several processes."""
    trainer = ["-m", kind_named(attempt.job.kind).program, *words_of(attempt)]
    count = process_count(attempt)
    if count == 1:
        return [sys.executable, *trainer]
    kept = run_dir(attempt.job) / f"attempt-{attempt.number}" / "torchrun"  # else it leaves a folder in /tmp
    torchrun = ["-m", "training.torchrun", "--nproc-per-node", str(count), "--log-dir", str(kept)]
    return [sys.executable, *torchrun, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", *trainer]


def words_of(attempt: Attempt) -> list[str]:
    """What the command line of a trainer ends with: no other attempt's does."""
    return [str(run_dir(attempt.job)), "--attempt", str(attempt.number)]


def process_count(attempt: Attempt) -> int:
    """How many processes the job asks for."""
    return int(attempt.job.config.get("processes", 1))


def environment() -> dict[str, str]:
    """The worker's environment for a trainer, with the number of threads that was set for it."""
    threads = {"OMP_NUM_THREADS": str(settings.TRAINER_THREADS)} if settings.TRAINER_THREADS else {}
    return {**os.environ, "PYTHONUNBUFFERED": "1", **threads}


def write_job_file(job: Job) -> None:
    """Freeze what the trainer is told into RUN_DIR/job.json."""
    said = {
        "job": str(job.pk),
        "kind": job.kind,
        "seed": job.seed,
        "config": job.config,
        "inputs": job.inputs,
        "store": str(settings.STORE_ROOT),
        "code_revision": code_revision.current(),
        "device": device(),
    }
    file = run_dir(job) / "job.json"
    draft = file.with_suffix(".partial")
    draft.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    draft.replace(file)


def device() -> str:
    """The device that trainers here compute on; found without torch, which a worker never loads."""
    if settings.TRAINER_DEVICE != "auto":
        return str(settings.TRAINER_DEVICE)
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


def run_dir(job: Job) -> Path:
    """Where a job's attempts lie."""
    folder: Path = settings.RUNS_ROOT / str(job.pk)
    return folder


def follow(watch: Watch) -> None:
    """One look at a running trainer: read, beat, pass on a wish to stop, and kill it when its time is over."""
    read_events(watch)
    moment = time.monotonic()
    if moment >= watch.beat_at:
        cancelled = jobs.beat(watch.attempt, news_of(watch))
        watch.beat_at = moment + BEAT_SECONDS
        if cancelled:
            ask_to_stop(watch, "cancel", CANCEL_GRACE_SECONDS)
    if stopping.is_set():
        ask_to_stop(watch, "interrupt", INTERRUPT_GRACE_SECONDS)
    if moment >= watch.kill_at:
        kill(watch)


def kill(watch: Watch) -> None:
    """End a trainer's process group at once, and those of its ranks: torchrun starts each in one of its own."""
    ranks = machine.running(words_of(watch.attempt)) if process_count(watch.attempt) > 1 else []
    for pgid in {watch.process.pid, *ranks}:
        machine.signal_group(pgid, signal.SIGKILL)


def ask_to_stop(watch: Watch, why: str, grace_seconds: float) -> None:
    """Send SIGTERM once, and set the time at which patience ends. A cancel outranks an interruption."""
    if watch.asked_to in {why, "cancel"}:
        return
    if not watch.asked_to:
        machine.signal_group(watch.process.pid, signal.SIGTERM)
    watch.asked_to = why
    watch.kill_at = min(watch.kill_at, time.monotonic() + grace_seconds)


def read_events(watch: Watch) -> None:
    """Take in what the trainer has said since the last look."""
    events, watch.offset = report.read_events(watch.folder / "events.jsonl", watch.offset)
    for event in events:
        match event["event"]:
            case "metrics":
                watch.unsaid |= metrics_in(event)
            case "progress":
                watch.progress = (event["done"], event["total"], event["unit"])
            case "pause":
                watch.pause = event["text"]
            case "error":  # of several ranks, the first to fail knows why; the others only miss it
                watch.error = watch.error or (event["code"], event["message"])
            case "done":
                watch.done = event["output"]


def metrics_in(event: dict[str, Any]) -> dict[tuple[str, int], float | None]:
    """The values of a metrics event by name and step."""
    return {(name, event["step"]): value for name, value in event["values"].items()}


def news_of(watch: Watch) -> jobs.News:
    """What was said and not yet written down."""
    news = jobs.News(metrics=watch.unsaid, progress=watch.progress)
    watch.unsaid, watch.progress = {}, None
    return news


def conclude(watch: Watch) -> None:
    """Write down how the trainer ended."""
    attempt, status = watch.attempt, watch.process.returncode
    output = watch.folder / (watch.done or "output")
    if watch.asked_to == "cancel":
        jobs.cancelled(attempt)
    elif status == program.FINISHED and is_whole(output):
        publish(attempt, output)
    elif status == program.INTERRUPTED or watch.asked_to == "interrupt":
        jobs.interrupt(attempt)
    elif watch.pause:
        jobs.pause(attempt, message=watch.pause)
    elif status < 0 or is_killed_under_torchrun(watch):
        log.warning("%s: its trainer was killed", attempt)
        jobs.lose(attempt)
    elif watch.error:
        jobs.fail(attempt, code=watch.error[0], message=watch.error[1])
    else:
        jobs.fail(attempt, code="trainer_crashed", message=last_words(watch, status))
    log.info("%s ended: %s", attempt, Attempt.objects.values_list("outcome", flat=True).get(pk=attempt.pk))


def is_killed_under_torchrun(watch: Watch) -> bool:
    """Torchrun ends with 1 whatever happened to its processes; it names the signal in its log."""
    return process_count(watch.attempt) > 1 and "Signal 9 (SIGKILL)" in tail(watch.folder / "output.log")


def last_words(watch: Watch, status: int) -> str:
    """Why a trainer that named no error has ended, as far as its log tells."""
    log_file = watch.folder / "output.log"
    return f"The trainer ended with status {status} and named no error. The end of {log_file}:\n{tail(log_file)}"


def tail(file: Path, size: int = 4000) -> str:
    """The end of a text file."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - size))
        return stream.read().decode(errors="replace")


def publish(attempt: Attempt, output: Path) -> None:
    """Store what was made, and make it visible in the transaction that closes the job."""
    store = Store(settings.STORE_ROOT)
    digest = while_beating(attempt, lambda: store.take(output))
    folder = store.fetch(digest)
    card: dict[str, Any] = json.loads((folder / "card.json").read_text())
    try:
        jobs.finish(attempt, digest=digest, folder=folder, card=card)
    except jobs.Fenced:
        jobs.cancelled(attempt)  # a cancel came while it was being stored; if it was something else, Fenced again


# --- What dead workers left --------------------------------------------------------------------


def reap_earlier_attempts(attempt: Attempt) -> None:
    """End the processes of this job's earlier attempts on this machine, which nobody watches any more."""
    reap(list(attempt.job.attempts.filter(number__lt=attempt.number, host=machine.host(), boot_id=machine.boot_id())))


def reap_orphans() -> None:
    """At the start of a worker: end trainers of this machine whose worker is gone, and return their jobs."""
    mine = Attempt.objects.filter(outcome="", host=machine.host()).select_related("job")
    gone = [attempt for attempt in mine if machine.is_gone(attempt.worker, attempt.boot_id)]
    reap([attempt for attempt in gone if attempt.boot_id == machine.boot_id()])
    for attempt in gone:
        with contextlib.suppress(jobs.Fenced):
            jobs.lose(attempt)


def reap(attempts: list[Attempt]) -> None:
    """End the process groups that these attempts left behind; a group whose number was reused is spared."""
    left = {pgid: str(run_dir(attempt.job)) for attempt in attempts for pgid in groups_of(attempt)}
    for pgid in living(left):
        log.warning("process group %s was left behind by a worker that died; it is ended", pgid)
        machine.signal_group(pgid, signal.SIGTERM)
    end = time.monotonic() + INTERRUPT_GRACE_SECONDS  # a savepoint may be on its way
    while time.monotonic() < end and living(left):
        time.sleep(POLL_SECONDS)
    for pgid in living(left):
        machine.signal_group(pgid, signal.SIGKILL)


def groups_of(attempt: Attempt) -> list[int]:
    """The process groups that an attempt may have left: its own, and under torchrun one for each rank."""
    if not attempt.pgid:
        return []
    ranks = machine.running(words_of(attempt)) if process_count(attempt) > 1 else []
    return list({attempt.pgid, *ranks})


def living(groups: dict[int, str]) -> list[int]:
    """Those of the process groups in which something that names the group's folder is alive."""
    return [pgid for pgid, folder in groups.items() if any(folder in said for said in machine.commands_in_group(pgid))]
