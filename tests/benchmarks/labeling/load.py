"""The load that both sites get: annotators who ask for a task and submit an answer, each in a thread of its own.

A site is a program that is served (`Served`) with annotators who can `next` and `submit`; what it is asked is its own
affair, how it is asked and timed is the same for all.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import statistics
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

K = 4
KEPT_SECONDS = 1.0  # servers hang up on connections that nobody uses for two


# --- What is labeled ---------------------------------------------------------------------------------


class Texts:
    """Prompts of about twenty words with four responses of about ninety each; number and text belong together."""

    def __init__(self) -> None:
        dice = random.Random(1)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(4000)]
        self.pool = [" ".join(dice.choices(words, k=dice.randint(60, 120))) for _ in range(997)]

    def prompt(self, number: int) -> str:
        """The prompt of a task."""
        return f"Task {number}: {self.pool[number % 997][:120]}"

    def responses(self, number: int) -> list[str]:
        """Its four responses."""
        return [f"{number}.{k} {self.pool[(number * 7 + k * 31) % 997]}" for k in range(K)]


TEXTS = Texts()


# --- Asking -------------------------------------------------------------------------------------------


class Unexpected(Exception):  # noqa: N818 (it says what the answer was)
    """An answer that nobody should get."""


class Client:
    """One person's browser, as far as a server can tell: a kept connection, a session's cookies, a CSRF token."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.cookies: dict[str, str] = {}
        self.used_at = 0.0

    def ask(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> tuple[int, bytes]:
        """Send a request, JSON unless it is another form, and read the whole answer."""
        answer = self.open(method, path, body, form=form)
        return answer.status, answer.read()

    def open(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        """Send a request; the answer is still to be read."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if "csrftoken" in self.cookies:
            headers["X-CSRFToken"] = self.cookies["csrftoken"]
        if body is not None:
            headers["Content-Type"] = form
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if time.monotonic() - self.used_at > KEPT_SECONDS:
            self.connection.close()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        self.used_at = time.monotonic()
        for line in answer.msg.get_all("Set-Cookie") or ():
            self.cookies |= {name: each.value for name, each in SimpleCookie(line).items()}
        return answer

    def wants(self, status: int, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The JSON of an answer that must have this status; None where it is empty."""
        got, said = self.ask(method, path, body, **how)
        if got != status:
            raise Unexpected(f"{method} {path}: {got} instead of {status}: {said[:500].decode(errors='replace')}")
        return json.loads(said) if said else None


class Annotator(Protocol):
    """Someone who labels on one of the sites."""

    def next(self) -> tuple[int, Any] | None:
        """The number of the task that is handed out, and what else the site says of it; None when there is none."""

    def submit(self, task: Any) -> None:
        """Answer what was handed out."""


@dataclass
class Done:
    """What annotators did while it was counted."""

    seconds: float = 0.0
    next_ms: list[float] = field(default_factory=list)
    submit_ms: list[float] = field(default_factory=list)
    tasks: Counter[int] = field(default_factory=Counter)
    """How often each task was handed out, warming up included."""
    errors: list[str] = field(default_factory=list)

    @property
    def cycles_a_second(self) -> float:
        """Next and submit, done by anyone."""
        return len(self.submit_ms) / self.seconds

    @property
    def doubles(self) -> int:
        """Hand-outs of a task that somebody had been given already; each task has one seat."""
        return sum(self.tasks.values()) - len(self.tasks)

    def said(self) -> str:
        """A line for people."""
        middle, most = statistics.median, lambda times: sorted(times)[int(0.95 * len(times))]
        return (
            f"{self.cycles_a_second:.1f} cycles/s, next {middle(self.next_ms):.1f} / {most(self.next_ms):.1f} ms, "
            f"submit {middle(self.submit_ms):.1f} / {most(self.submit_ms):.1f} ms, "
            f"{self.doubles} double, {len(self.errors)} errors"
        )


def label(annotators: Sequence[Annotator], **how: Any) -> Done:
    """Let all annotators label at once; see `Load`."""
    load = Load(**how)
    threads = [threading.Thread(target=load.work, args=(annotator,), daemon=True) for annotator in annotators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.done.seconds = min(time.perf_counter(), load.end) - load.begin
    if load.done.errors and load.stops:
        raise SystemExit(f"The load broke off: {load.done.errors[0]}")
    return load.done


class Load:
    """Labeling for so many seconds after warming up, or for so many hand-outs, counted.

    stops: whether an error ends it; else it is written down and the annotator goes on with the next task.
    """

    def __init__(self, *, seconds: float = 1e9, warm: float = 2.0, at_most: float = 1e9, stops: bool = True) -> None:
        self.begin = time.perf_counter() + warm
        self.end = self.begin + seconds
        self.left, self.stops = at_most, stops
        self.done, self.lock = Done(), threading.Lock()

    def work(self, annotator: Annotator) -> None:
        """What one annotator does, in a thread of their own."""
        while self.left > 0 and time.perf_counter() < self.end:
            try:
                self.cycle(annotator)
            except (Unexpected, OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.done.errors.append(str(error))
                    self.left = 0 if self.stops else self.left

    def cycle(self, annotator: Annotator) -> None:
        """One task, asked for and answered."""
        asked = time.perf_counter()
        found = annotator.next()
        handed = time.perf_counter()
        if found is None:
            raise Unexpected("there is no task left")
        number, task = found
        with self.lock:
            self.left -= 1
            self.done.tasks[number] += 1
        said = time.perf_counter()
        annotator.submit(task)
        ended = time.perf_counter()
        if self.begin <= ended <= self.end:
            with self.lock:
                self.done.next_ms.append(1000 * (handed - asked))
                self.done.submit_ms.append(1000 * (ended - said))


# --- Serving ------------------------------------------------------------------------------------------


class Served:
    """A program that answers on a port of this machine; its children are its own."""

    def __init__(
        self, words: list[str], environment: dict[str, str], *, log: Path, port: int = 0, path: str = "/"
    ) -> None:
        self.log = log
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                words, env=os.environ | environment, stdout=said, stderr=said, start_new_session=True
            )
        if port:
            self.wait_for(port, path)

    def wait_for(self, port: int, path: str) -> None:
        """Wait until it answers. Raises SystemExit where it ends before."""
        for _ in range(3000):
            if self.process.poll() is not None:
                raise SystemExit(f"A server ended with status {self.process.returncode}; see {self.log}")
            try:
                Client(port).ask("GET", path)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"A server did not answer within five minutes; see {self.log}")

    def memory(self) -> int:
        """Bytes of memory that it and its children have to themselves, with their share of what they have together."""
        return sum(proportional_bytes(pid) for pid in session_of(self.process.pid))

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()


def session_of(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            if int(fields[3]) == leader:
                found.append(int(entry.name))
    return found


def proportional_bytes(pid: int) -> int:
    """The proportional set size of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


class Growth:
    """How much more memory servers have at most while something goes on: `with Growth(server) as growth`."""

    def __init__(self, *servers: Served) -> None:
        self.servers, self.over = servers, threading.Event()
        self.before = self.most = 0

    def now(self) -> int:
        """What they have now."""
        return sum(server.memory() for server in self.servers)

    def __enter__(self) -> Self:
        """Look from now on."""
        self.before = self.most = self.now()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self) -> None:
        """Look ten times a second."""
        while not self.over.wait(0.1):
            self.most = max(self.most, self.now())

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self.over.set()
        self.thread.join()

    @property
    def bytes(self) -> int:
        """By how much they grew."""
        return self.most - self.before
