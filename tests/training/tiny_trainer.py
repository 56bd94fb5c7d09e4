"""A trainer without a model, for tests of the launcher: it adds pseudo-random numbers, one a step.

`python -m tests.training.tiny_trainer RUN_DIR --attempt N`, with everything that a true trainer does: events,
savepoints, an exact resume, and an output that is sealed last.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

from training import program


def train(run):  # noqa: C901 (each misbehaviour is one branch)
    config = run.config
    generator, total, done = random.Random(run.seed), 0.0, 0
    last = run.last_savepoint()
    if last:
        state = json.loads((last / "state.json").read_text())
        done, total = state["done"], state["total"]
        version, words, gauss = state["random"]
        generator.setstate((version, tuple(words), gauss))
    if config["misbehaviour"] == "forks":
        subprocess.Popen(["sleep", "600"])
    if config["misbehaviour"] == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if config["misbehaviour"] == "crashes":
        sys.exit(3)
    for step in range(done + 1, config["steps"] + 1):
        time.sleep(config["seconds_a_step"])
        total += generator.random()
        run.reporter.metrics(step, {"tiny/total": total})
        run.reporter.progress(step, config["steps"], "steps")

        def save(folder, step=step, total=total):
            state = {"done": step, "total": total, "random": generator.getstate()}
            (folder / "state.json").write_text(json.dumps(state))

        run.savepoint(step, save)
        if config["misbehaviour"] == "refuses" and step == 2:
            raise program.BadRun("There is nothing to add up; give it more numbers.")
        if config["misbehaviour"] == "pauses" and step == 2 and run.attempt == 1:
            raise program.Paused("The sum grows too fast.")
        if config["misbehaviour"] == "dies" and step == 3 and run.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if run.stop.requested and config["misbehaviour"] != "deaf":
            raise program.Interrupted

    def build(folder):
        (folder / "sum.txt").write_text(f"{total!r}\n")

    run.publish(build, {"count": config["steps"], "total": total})


if __name__ == "__main__":
    sys.exit(program.main({"tiny.train": train, "tiny.refine": train}))
