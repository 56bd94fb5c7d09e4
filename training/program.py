"""What every trainer shares: a run folder in, events, savepoints and an output folder out.

`python -m <room> RUN_DIR [--attempt N]` reads `RUN_DIR/job.json` and writes into `RUN_DIR/attempt-N/` and nowhere
else. It starts from the last whole savepoint of any attempt up to N. It ends with 0 (`output/` is sealed), with 75
(asked to stop; a savepoint was written), with 76 (it wants a person to look first; likewise, and a `pause` event says
why) or with 1 (an `error` event names the mend).

Under torchrun every rank runs this program, and `training.lm.distributed.start` joins them. All of them build what is
saved and published, because each may hold a part of it; the first alone writes it down, and alone says how it goes.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from training import artifacts
from training.report import Reporter, StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FINISHED, FAILED, INTERRUPTED, PAUSED = 0, 1, 75, 76
SAVEPOINTS_KEPT = 2
_PR_SET_PDEATHSIG = 1
_SPINS, _WAITS = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 2**30


class Interrupted(Exception):  # noqa: N818 - not an error: the trainer was asked to stop, and has saved
    """The trainer was asked to stop and wrote a savepoint."""


class Paused(Exception):  # noqa: N818 - not an error: the trainer waits for a person, and has saved
    """The trainer wrote a savepoint and wants a person to look before it goes on; the message says at what."""


class NotANumber(RuntimeError):  # noqa: N818 - named for what happened
    """What a job has measured of its output is not a number: it has diverged."""


class BadRun(ValueError):  # noqa: N818
    """The run folder or its job.json cannot be used."""

    code = "bad_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What `job.json` says: what is to be done, with what, and where it lies."""

    job: str
    kind: str
    seed: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    store: Path | None
    code_revision: str
    device: str

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read and check a `job.json`."""
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise BadRun(f"{path} does not exist: a run folder needs a job.json") from error
        except ValueError as error:
            raise BadRun(f"{path} is not JSON: {error}") from error
        if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
            raise BadRun(f'{path} must be an object with a "kind"')
        config, inputs = data.get("config", {}), data.get("inputs", {})
        if not isinstance(config, dict) or not isinstance(inputs, dict):
            raise BadRun(f'{path}: "config" and "inputs" must be objects')
        return cls(
            job=str(data.get("job", "")),
            kind=data["kind"],
            seed=int(data.get("seed", 1)),
            config=config,
            inputs={name: ref for name, ref in inputs.items() if ref is not None},
            store=Path(data["store"]) if data.get("store") else None,
            code_revision=str(data.get("code_revision", "")),
            device=str(data.get("device", "cpu")),
        )


class Stop(Protocol):
    """What loops ask between steps."""

    @property
    def requested(self) -> bool:
        """Whether someone wants the trainer to stop."""
        ...


class Run:
    """One attempt at a job, as its trainer sees it."""

    def __init__(self, folder: Path, job: Job, attempt: int) -> None:
        self.folder = folder
        self.job = job
        self.attempt = attempt
        self.attempt_dir = folder / f"attempt-{attempt}"
        self.attempt_dir.mkdir(parents=True, exist_ok=True)
        self.output_dir = self.attempt_dir / "output"
        self.rank = int(os.environ.get("RANK", "0"))
        self.reporter = Reporter(self.attempt_dir / "events.jsonl", errors_only=self.rank > 0)
        self.stop: Stop = StopSignal()
        self.barrier: Callable[[], None] = _alone
        self.leave: Callable[[int], int] = _return
        """How the program of this run ends with an exit status."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The job's configuration as plain data, for `training.config.parse`."""
        return self.job.config

    @property
    def seed(self) -> int:
        """The seed from which every random stream of the run is drawn."""
        return self.job.seed

    def has_input(self, name: str) -> bool:
        """Tell whether the job was given that input."""
        return name in self.job.inputs

    def input(self, name: str) -> Path:
        """Give the verified local folder (or plain path) of an input."""
        if name not in self.job.inputs:
            raise BadRun(f'the job was given no input "{name}"; name one under "inputs" in job.json')
        return artifacts.resolve(self.job.inputs[name], self.job.store)

    def last_savepoint(self) -> Path | None:
        """Find the newest whole savepoint over all attempts up to this one."""
        found = []
        for folder in self.folder.glob("attempt-*/savepoints/step-*"):
            attempt = int(folder.parent.parent.name.removeprefix("attempt-"))
            if attempt <= self.attempt and artifacts.is_whole(folder):
                found.append((int(folder.name.removeprefix("step-")), attempt, folder))
        for _, _, folder in sorted(found, reverse=True):
            try:
                artifacts.verify(folder)
            except artifacts.ArtifactDamaged as error:
                self.reporter.note(f"A savepoint is damaged and is passed over: {error}")
                continue
            return folder
        return None

    def savepoint(self, step: int, build: Callable[[Path], None]) -> Path:
        """Write the state after `step` steps aside, seal it, reveal it in one rename, and keep the last two."""
        home = self.attempt_dir / "savepoints" / f"step-{step:09d}"
        self._reveal(home, build)
        if self.rank == 0:
            whole = sorted(folder for folder in home.parent.glob("step-*") if artifacts.is_whole(folder))
            for old in whole[:-SAVEPOINTS_KEPT]:
                shutil.rmtree(old)
        return home

    def publish(self, build: Callable[[Path], None], card: Mapping[str, Any]) -> Path:
        """Build the output aside, add its `card.json`, seal it and reveal it as `output/`; then say that it is done.

        The card must hold nothing that differs between two runs of the same job (no times of day, no paths). Raises
        NotANumber where a figure in it is infinite or none at all, which no database keeps.
        """
        whole = {**self.card(), **card}
        try:
            written = json.dumps(whole, indent=2, sort_keys=True, allow_nan=False) + "\n"
        except ValueError as error:
            raise NotANumber(
                "The training has diverged: a figure of its result is not a number. Try a lower learning rate."
            ) from error

        def build_with_card(folder: Path) -> None:
            build(folder)
            (folder / "card.json").write_text(written)

        self._reveal(self.output_dir, build_with_card)
        self.reporter.done()
        return self.output_dir

    def _reveal(self, home: Path, build: Callable[[Path], None]) -> None:
        """Let every rank build what is not there, and reveal what the first has built; nobody goes on before it is.

        All look before the first writes: one that came late would find it there and be missed at the second meeting.
        """
        is_there = artifacts.is_whole(home)
        self.barrier()
        if is_there:
            return
        if self.rank == 0:
            _reveal(home, build)
        else:
            with tempfile.TemporaryDirectory(prefix="laurel-") as aside:
                build(Path(aside))
        self.barrier()

    def card(self) -> dict[str, Any]:
        """Give what every card says: how this output came to be."""
        parents = [ref for ref in self.job.inputs.values() if ref.startswith("sha256:")]
        return {
            "kind": self.job.kind,
            "config": dict(self.job.config),
            "seed": self.job.seed,
            "inputs": {name: _name_of(ref, self.job.store) for name, ref in self.job.inputs.items()},
            "parents": parents,
            "code_revision": self.job.code_revision,
            "versions": versions(),
        }


def open_run(folder: Path, attempt: int | None = None) -> Run:
    """Open a run folder for an attempt; without a number it is the next after those that are there."""
    folder = Path(folder).absolute()
    job = Job.read(folder / "job.json")
    if attempt is None and os.environ.get("WORLD_SIZE", "1") != "1":
        raise BadRun("several processes cannot each choose a number: name the attempt, as in --attempt 1")
    if attempt is None:
        numbers = [int(path.name.removeprefix("attempt-")) for path in folder.glob("attempt-*")]
        attempt = max(numbers, default=0) + 1
    return Run(folder, job, attempt)


def main(kinds: Mapping[str, Callable[[Run], None]], arguments: list[str] | None = None) -> int:
    """Run the trainer for the job's kind; return the exit status."""
    parser = argparse.ArgumentParser(description=f"Do one job: {', '.join(sorted(kinds))}.")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a folder with a job.json")
    parser.add_argument("--attempt", type=int, default=None, help="number of this attempt (default: the next)")
    parser.add_argument(
        "--detached", action="store_true", help="go on when the process that started this one ends (for nohup)"
    )
    options = parser.parse_args(arguments)
    keep_memory()
    try:
        run = open_run(options.run_dir, options.attempt)
    except BadRun as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    signals = StopSignal()
    signals.install()
    run.stop = signals
    if not options.detached:
        follow_parent(signals)
    return run.leave(_attempt(kinds, run))


def _attempt(kinds: Mapping[str, Callable[[Run], None]], run: Run) -> int:
    try:
        _trainer(kinds, run.job.kind)(run)
    except Interrupted:
        run.reporter.note("Interrupted after a savepoint; the next attempt goes on from there.")
        return INTERRUPTED
    except Paused as reason:
        run.reporter.pause(str(reason))
        return PAUSED
    except Exception as error:  # noqa: BLE001 - whatever it was, the ledger must hear of it by name
        traceback.print_exc()
        run.reporter.error(getattr(error, "code", None) or _snake(type(error).__name__), str(error) or repr(error))
        return FAILED
    return FINISHED


def _trainer(kinds: Mapping[str, Callable[[Run], None]], kind: str) -> Callable[[Run], None]:
    if kind not in kinds:
        raise BadRun(f"this program does not know the kind {kind!r}; it does {', '.join(sorted(kinds))}")
    return kinds[kind]


def share_processor() -> None:
    """Let the threads of this program sleep when they wait long for each other; to be called before torch is loaded."""
    os.environ.update(sharing(os.environ))


def sharing(environment: Mapping[str, str]) -> dict[str, str]:
    """What a program's environment lacks to let its threads sleep when they wait long for each other.

    By itself GNU's OpenMP lets them spin for milliseconds. Whoever shares the processor with a web server, a worker and
    another trainer then waits for threads that hold a core and do nothing: a step takes up to six times as long on two
    cores of which one is busy. What OpenMP does once it knows that it shares, it does from the start here; whoever runs
    it may say otherwise.
    """
    return {} if _WAITS in environment or _SPINS in environment else {_SPINS: "1000"}


def keep_memory() -> None:
    """Let this process keep up to a gigabyte that it has freed for what it asks for next.

    A step frees what it computed and the next one asks for as much. GNU's allocator would hand pieces of some megabytes
    back each time, and the system would clear every page of them anew: 8 % of the processor's time in a step of PPO on
    two million parameters. Other allocators are left as they are.
    """
    library = ctypes.CDLL(None)
    if sys.platform == "linux" and hasattr(library, "mallopt"):
        # Before its release 2.35 it takes no more than half of what it calls a heap.
        library.mallopt(_M_MMAP_THRESHOLD, _KEPT) or library.mallopt(_M_MMAP_THRESHOLD, 2**25)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def follow_parent(stop: StopSignal) -> None:
    """Ask the system to send SIGTERM when the parent ends, so that nothing trains on unwatched."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        stop.request()


def versions() -> dict[str, str]:
    """Give the versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "transformers", "peft", "tokenizers", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _reveal(home: Path, build: Callable[[Path], None]) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    for stale in home.parent.glob(f".partial-{home.name}-*"):
        shutil.rmtree(stale)
    draft = home.parent / f".partial-{home.name}-{uuid4().hex}"
    draft.mkdir()
    build(draft)
    artifacts.seal(draft)
    if home.exists():
        shutil.rmtree(home)
    draft.rename(home)


def _alone() -> None:
    """Wait for nobody: there is one process."""


def _return(status: int) -> int:
    return status


def _name_of(ref: str, store: Path | None) -> str:
    """Name an input by its digest wherever it has one, so that a card never depends on where things lie."""
    path = artifacts.resolve(ref, store)
    return artifacts.digest_of(path) if artifacts.is_whole(path) else path.name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
