"""What a trainer says while it runs: one JSON line an event, appended to a file that the launcher reads."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType


class Reporter:
    """Appends events to one file. Each event is a single write, so a reader never sees half of one for long.

    Of several ranks the first says everything, and the others (`errors_only`) what only they may know.
    """

    def __init__(self, path: Path, *, errors_only: bool = False) -> None:
        self.path = Path(path)
        self._errors_only = errors_only
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Say what was measured at a step. A value that is not finite is said as null."""
        plain = {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
        self._say("metrics", step=step, values=plain)

    def progress(self, done: float, total: float, unit: str) -> None:
        """Say how much of the whole is done, in `unit` (steps, tokens, prompts)."""
        self._say("progress", done=done, total=total, unit=unit)

    def note(self, text: str) -> None:
        """Say something to the people who read along."""
        self._say("note", text=text)

    def samples(self, step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show responses to fixed prompts: rows of `{prompt, response}`, with `reward` where there is one."""
        self._say("samples", step=step, rows=[dict(row) for row in rows])

    def alarm(self, step: int, name: str, text: str, action: str) -> None:
        """Say by name that something goes wrong at a step, and what is done about it (`note` when nothing is)."""
        self._say("alarm", step=step, name=name, text=text, action=action)

    def pause(self, text: str) -> None:
        """Say why the trainer has stopped until a person resumes it."""
        self._say("pause", text=text)

    def error(self, code: str, message: str) -> None:
        """Say by name why the run failed, and how to mend it."""
        self._say("error", code=code, message=message)

    def done(self) -> None:
        """Say that `output/` is sealed and complete."""
        self._say("done", output="output")

    def _say(self, event: str, **rest: Any) -> None:
        if self._errors_only and event != "error":
            return
        line = json.dumps({"at": time.time(), "event": event, **rest}, ensure_ascii=False, allow_nan=False) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


class StopSignal:
    """Turns SIGTERM and SIGINT into a flag that loops look at between steps."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Take over SIGTERM and SIGINT in this process."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def request(self) -> None:
        """Ask the loop to stop, as a signal would."""
        self.requested = True

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the whole lines after `offset` (in bytes); return them and the offset to go on from."""
    if not Path(path).exists():
        return [], offset
    with Path(path).open("rb") as file:
        file.seek(offset)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines() if line.strip()], offset + len(whole)
