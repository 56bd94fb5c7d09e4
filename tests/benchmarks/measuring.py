"""What the benchmarks share: cases in turn, figures as JSON lines, peers' environments, loops in processes."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "build" / "peers"


def tell(text: str) -> None:
    """Tell whoever watches; figures go elsewhere."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say(
    benchmark: str, case: str, ours: float, peer: float | None, ratio: float, goal: float | None, unit: str
) -> None:
    """Say one figure as a JSON line, at once: what was measured stays when a later case fails."""
    tell(f"  {case}: ours {ours:.4g}, peer {peer}, ratio {ratio:.3g}, goal {goal}")
    line = {"benchmark": benchmark, "case": case, "ours": round(ours, 4), "peer": peer and round(peer, 4)}
    line |= {"ratio": round(ratio, 3), "goal": goal, "unit": unit, "cores": os.cpu_count()}
    print(json.dumps(line), flush=True)  # noqa: T201


def in_turn(cases: Mapping[str, Callable[[], None]], only: Sequence[str]) -> None:
    """Measure the cases of these names, or all of them."""
    if unknown := set(only) - set(cases):
        raise SystemExit(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    for name, case in cases.items():
        if not only or name in only:
            tell(f"{name}:")
            case()


def peer(package: str) -> Path:
    """A peer's package, pinned, in an environment of its own; made the first time. Gives its Python.

    What Laurel's environment has in the version that the peer wants (torch, transformers) is shared with it.
    """
    home = PEERS / package.replace("==", "-")
    python = home / "bin" / "python"
    if not (home / "made").exists():
        tell(f"Making an environment for {package} …")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(home)], check=True)
        (own,) = home.glob("lib/python*/site-packages")
        torch = find_spec("torch")
        assert torch is not None
        assert torch.origin is not None
        (own / "shared.pth").write_text(f"{Path(torch.origin).parents[1]}\n")
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, package], check=True)
        (home / "made").touch()
    return python


def run(script: Path, loop: str, spec: Mapping[str, Any], *, python: Path | None = None) -> dict[str, float]:
    """One loop in a process of its own: with a peer's Python, or Laurel's own.

    When it fails, all that it wrote is shown: a process that a signal ended leaves no traceback of Python's, so the
    signal is named and faulthandler says where each thread was.
    """
    path = Path(spec["scratch"]) / "spec.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec))
    places = [Path(__file__).parent] if python else [Path(__file__).parent, ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "HF_HUB_OFFLINE": "1"}
    environment |= {} if python else program.sharing(os.environ)
    command = [str(python or sys.executable), "-X", "faulthandler", str(script), loop, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        end = f"status {done.returncode}" if done.returncode > 0 else signal.Signals(-done.returncode).name
        raise SystemExit(f"{loop} ended with {end} on {spec}:\n{done.stdout}{done.stderr}")
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    tell(f"  {loop:21} {said['seconds']:7.2f} s, {said['processor_seconds']:7.2f} s of processors")
    return said


def interleaved(loops: Mapping[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, dict[str, float]]:
    """All loops in turn, several times; the median of each figure."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            runs[name].append(loop())
    return {
        name: {figure: statistics.median(each[figure] for each in said) for figure in said[0]}
        for name, said in runs.items()
    }
