"""The process table, as the tests of a whole Laurel look at it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    parent: int
    command: str

    def kill(self) -> None:
        """End it at once, with no chance to say goodbye."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def everyone() -> list[Process]:
    """Every process that lives; those that only wait to be buried do not count."""
    shown = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 3) for line in shown.stdout.splitlines()]
    return [Process(int(row[0]), int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")]


def family(ancestor: int) -> list[Process]:
    """A process and all that descend from it."""
    children: dict[int, list[Process]] = {}
    alive = everyone()
    for process in alive:
        children.setdefault(process.parent, []).append(process)
    found = [process for process in alive if process.pid == ancestor]
    for process in found:
        found += children.get(process.pid, [])
    return found


def alive(processes: list[Process]) -> list[Process]:
    """Those of them that still live, under the same command."""
    return [process for process in everyone() if any(same(process, each) for each in processes)]


def same(one: Process, other: Process) -> bool:
    """Whether both are the same process; its parent may have died meanwhile."""
    return one.pid == other.pid and one.command == other.command
