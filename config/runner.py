"""Runs several programs together: shows what they say, starts again what dies, and stops them all cleanly."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training.machine import commands_in_group, signal_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRACE_SECONDS = 15.0
"""How long programs may take to stop; a trainer needs ten seconds for its savepoint."""
POLL_SECONDS = 0.1
STEADY_SECONDS = 30.0
"""A program that lived so long may die again without being given up."""
DEATHS_IN_A_ROW = 3
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True, kw_only=True)
class Program:
    """One program of the house."""

    name: str
    words: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    deaths: int = 0


@dataclass(slots=True, kw_only=True)
class Runner:
    """Programs that live and end together."""

    programs: list[Program]
    say: Callable[[str], object]
    told_to_stop: threading.Event = field(default_factory=threading.Event)
    told_by: str = ""
    """The signal that told it to stop."""
    speaking: threading.Lock = field(default_factory=threading.Lock)

    def run(self, while_running: Callable[[], object] = lambda: None) -> int:
        """Run until told to stop (0), or until a program cannot be kept alive (1)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.hear)
        status = 0
        try:
            for program in self.programs:
                self.start(program)
            while status == 0 and not self.told_to_stop.wait(POLL_SECONDS):
                while_running()
                status = self.start_again_what_died()
            if self.told_by:
                self.tell(f"Stopping ({self.told_by}); jobs that run are writing a savepoint.")
        finally:
            self.stop()
        return status

    def hear(self, number: int, _frame: object) -> None:
        """Take note of a signal to stop."""
        self.told_by = signal.Signals(number).name
        self.told_to_stop.set()

    def tell(self, line: str) -> None:
        """Say a line as a whole, whoever else speaks at the same time."""
        with self.speaking:
            self.say(line)

    def start(self, program: Program) -> None:
        """Start a program in a session of its own, so that Ctrl-C reaches it through us only."""
        program.process = subprocess.Popen(
            program.words,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (only a system call, before any other thread could matter)
        )
        program.started_at = time.monotonic()
        threading.Thread(target=self.pass_on, args=(program.name, program.process), daemon=True).start()

    def pass_on(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Say what a program says, line by line, with its name before it."""
        assert process.stdout is not None  # noqa: S101 (it was started with a pipe)
        with process.stdout as said:
            for line in said:
                self.tell(f"{name:<9} | {line.decode(errors='replace').rstrip()}")

    def start_again_what_died(self) -> int:
        """Start dead programs again; 1 once one of them has died too often to go on."""
        for program in self.programs:
            if program.process is None or program.process.poll() is None:
                continue
            steady = time.monotonic() - program.started_at > STEADY_SECONDS
            program.deaths = 1 if steady else program.deaths + 1
            if program.deaths >= DEATHS_IN_A_ROW:
                self.tell(f"{program.name} ended {program.deaths} times in a row; everything is stopped.")
                return 1
            self.tell(f"{program.name} ended with status {program.process.returncode} and is started again.")
            self.start(program)
        return 0

    def stop(self) -> None:
        """Ask every program to stop, wait, and kill what is left of them."""
        processes = [program.process for program in self.programs if program.process]
        for process in processes:
            signal_group(process.pid, signal.SIGTERM)
        end = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < end and any(process.poll() is None for process in processes):
            time.sleep(POLL_SECONDS)
        for process in processes:
            if process.poll() is None or commands_in_group(process.pid):
                signal_group(process.pid, signal.SIGKILL)
            process.wait()


def end_with_parent() -> None:
    """Ask Linux to stop the program should its runner be killed; elsewhere it is left to live."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
