"""What this machine is called, and which of its processes live."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal


@functools.cache
def host() -> str:
    """This machine's name."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """A name for the time since the machine was last started: process ids mean nothing across it."""
    linux = Path("/proc/sys/kernel/random/boot_id")
    if linux.exists():
        return linux.read_text().strip()
    found = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def born(pid: int) -> str:
    """When a process started, in the kernel's words, or nothing if it is gone; tells a reused id apart."""
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        fields = stat.read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def this_worker() -> str:
    """A name for this process that no other process has, on any machine."""
    return f"{host()}|{os.getpid()}|{born(os.getpid())}"


def is_gone(worker: str, boot: str) -> bool:
    """Whether a worker of this machine certainly lives no more. Of other machines nothing is known: False."""
    name, pid, start = worker.split("|", 2)
    if name != host():
        return False
    return boot != boot_id() or born(int(pid)) != start


def signal_group(pgid: int, number: signal.Signals) -> bool:
    """Send a signal to a process group; False if nobody is left in it."""
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def commands_in_group(pgid: int) -> list[str]:
    """The command lines of the processes that live in a group."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-A", "-o", "pgid=,command="], capture_output=True, text=True, check=False)
        pairs = (line.strip().partition(" ") for line in shown.stdout.splitlines())
        return [command for group, _, command in pairs if group == str(pgid)]
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, group = stat.read_text().rpartition(")")[2].split()[:3]
            if group == str(pgid) and state not in "ZX":
                found.append(stat.with_name("cmdline").read_text().replace("\0", " "))
    return found


def running(words: list[str]) -> list[int]:
    """The processes whose command line ends with these words."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-A", "-o", "pid=,command="], capture_output=True, text=True, check=False)
        pairs = (line.strip().partition(" ") for line in shown.stdout.splitlines())
        return [int(pid) for pid, _, command in pairs if command.endswith(" ".join(words))]
    found = []
    for said in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if said.read_text().split("\0")[:-1][-len(words) :] == words:
                found.append(int(said.parent.name))
    return found
