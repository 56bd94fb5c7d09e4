"""Clocks and memory, as a loop's process and the processors' best see them.

Loops import it in the peers' environments too, so it knows nothing of Laurel.
"""

from __future__ import annotations

import ctypes
import gc
import time
from pathlib import Path

import torch


class Clock:
    """Starts when it is made; wall time and the processor's, in seconds."""

    def __init__(self) -> None:
        self.begun = self._now()

    def read(self) -> dict[str, float]:
        wall, processor = (now - then for now, then in zip(self._now(), self.begun, strict=True))
        return {"seconds": wall, "processor_seconds": processor}

    def _now(self) -> tuple[float, float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


def rest() -> int:
    """Bytes held now, without what is free already; from here on the peak is counted anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """The most bytes held since `rest`."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def matmul_peak(dtype: torch.dtype, device: str) -> float:
    """The most floating-point operations a second that products of large matrices reach here."""
    best = 0.0
    sides = (1024, 2048) if device == "cpu" else (4096, 8192)
    for side in sides:
        one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        for _ in range(12):
            begun = _now(device)
            one @ other
            best = max(best, 2 * side**3 / (_now(device) - begun))
    return best


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()
