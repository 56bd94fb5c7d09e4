"""What two ranks do in the tests of several processes: started by torchrun, once for many tests.

`torchrun tests/ranks.py steps FOLDER` takes optimiser steps in every way that a model can be spread, and
`torchrun tests/ranks.py jobs FOLDER:ATTEMPT[:STEPS] …` does jobs one after the other, asked to stop after some steps.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tiny
import torch

from training.lm import adapters, attention, backbone, distributed, optim, savepoints
from training.lm.logprobs import linear_cross_entropy, trunk_and_head
from training.program import Interrupted, Run, open_run
from training.size import AnySize

ROOT = Path(__file__).parent.parent
PATIENCE = "LAUREL_TEST_RANKS_PATIENCE"
"""In the ranks' environment: after how many seconds each shows where it is, and ends."""


def torchrun(*arguments: object, timeout: float = 400) -> None:
    """Let two ranks do what the arguments say; show what they said if they failed, and where they were if they hung."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", __file__, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), PATIENCE: str(timeout)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stdout[-9000:])


# --- Steps ---------------------------------------------------------------------------------------

WAYS: dict[str, AnySize] = {
    f"{parallel}{'-lora' if rank else ''}{'-again' if again else ''}": AnySize(
        precision="float32", parallel=parallel, lora_rank=rank, activation_checkpointing=again, processes=2
    )
    for parallel in ("ddp", "fsdp")
    for rank, again in ((0, False), (3, False), (0, True))
}
STEPS, SAVED_AT = 6, 3


def take_steps(size: AnySize, folder: Path) -> dict[str, Any]:
    """Six optimiser steps on five sequences each, a savepoint after the third, and a checkpoint after the last.

    The vocabulary has an odd number of entries, so that two ranks cannot share it evenly.
    """
    if distributed.is_first():
        backbone.save_policy(folder / "policy", tiny.causal_lm(vocabulary=261), tiny.encoder())
    distributed.gather(0)  # nobody reads before it is written
    savepoints.seed_everything(1)
    model = backbone.load_to_train(folder / "policy", size, torch.device("cpu"))
    model.set_attn_implementation(attention.NAME)
    spread = backbone.to_train(model, size, torch.device("cpu"))
    optimizer = optim.adamw(model, learning_rate=0.01, weight_decay=0.1)
    parts = {"model": savepoints.Trained(model), "optimizer": optimizer}
    losses, norms, resumed = [], [], []
    for step in range(STEPS):
        loss, norm = _step(spread, model, optimizer, step)
        losses.append(loss)
        norms.append(norm)
        if step + 1 == SAVED_AT:
            savepoints.save(folder, parts, {"step": step + 1})
            distributed.gather(0)
    backbone.save_policy(folder / "checkpoint", model, tiny.encoder())
    with torch.no_grad(), spread.whole():
        logits = model(torch.arange(4, 24).view(1, 20)).logits
    savepoints.restore(folder, parts)
    resumed += [_step(spread, model, optimizer, step)[0] for step in range(SAVED_AT, STEPS)]
    return {"losses": losses, "norms": norms, "resumed": resumed, "logits": float(logits.square().mean())}


def _step(spread: distributed.Spread, model: Any, optimizer: torch.optim.Optimizer, step: int) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(step)
    batch = [torch.randint(4, 260, (1, 6 + 3 * number), generator=generator) for number in range(5)]
    targets = sum(ids.shape[1] - 1 for ids in batch)
    model.train()
    trunk, head = trunk_and_head(model)
    nats = 0.0
    for ids, weight in distributed.deal(batch):

        def compute(ids: torch.Tensor = ids) -> torch.Tensor:
            hidden = trunk(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            return linear_cross_entropy(hidden[0], head, ids[0, 1:])

        loss = spread(compute) * (weight / targets)
        loss.backward()
        nats += float(loss.detach())
    norm = distributed.finish_gradients(adapters.trainable(model), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return distributed.total(nats)[0], norm


def answers() -> dict[str, Any]:
    """What the ranks say to each other."""
    rank = distributed.rank()
    return {
        "total": distributed.total(rank + 1.0, 0.5),
        "anyone": [distributed.anyone(rank == 1), distributed.anyone(False)],
        "first_says": [distributed.first_says(rank == 1), distributed.first_says(rank == 0)],
        "gather": distributed.gather({"rank": rank}),
        "deal": distributed.deal("abcde"),
        "share": list(distributed.share("abcde")),
        "own_seed": distributed.own_seed(7),
    }


def steps(folder: Path) -> None:
    run = Run(folder, tiny.job("test"), 1)
    distributed.start(run, processes=2)
    said = answers() | {name: take_steps(size, folder / name) for name, size in WAYS.items()}
    (folder / f"rank-{distributed.rank()}.json").write_text(json.dumps(said))


# --- Jobs ----------------------------------------------------------------------------------------


class StopsAfter:
    """Asks the trainer to stop after some looks; on the second rank only, so that the first has to hear of it."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0 and int(os.environ.get("RANK", "1")) == 1


def jobs(orders: list[str]) -> None:
    import policy.__main__  # noqa: PLC0415 - the other half of this program needs no trainer
    import rewardmodel.__main__  # noqa: PLC0415

    kinds = policy.__main__.KINDS | rewardmodel.__main__.KINDS
    for order in orders:
        folder, attempt, *looks = order.split(":")
        run = open_run(Path(folder), int(attempt))
        if looks:
            run.stop = StopsAfter(int(looks[0]))
        try:
            kinds[run.job.kind](run)
        except Interrupted:
            run.reporter.note("interrupted")


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(os.environ[PATIENCE]), exit=True)
    what, *arguments = sys.argv[1:]
    if what == "steps":
        steps(Path(arguments[0]))
    else:
        jobs(arguments)
    distributed.leave(0)
