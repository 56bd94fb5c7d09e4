"""Benchmark of the reward model against TRL's RewardTrainer: `make bench-rewardmodel`.

Both start from the same weights and see the same rankings in the same number of optimiser steps with the same AdamW;
only their loops are timed, interleaved, in processes of their own; medians are said. TRL runs from its own package in
an environment of its own, in float32 without gradient checkpointing (its default is ten times slower on processors)
and accumulates a step's gradients over batches of the size that is its fastest here. A step is of eight prompts, and
of one beside it, where moving the weights costs both a larger share. Says a JSON line a figure.

    python tests/benchmarks/rewardmodel/compare.py [--rounds 5] [--only CASE …] [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import torch
from clocks import matmul_peak
from loops import PAD, VOCABULARY, rankings
from measuring import ROOT, in_turn, interleaved, peer, tell
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config

from training.lm import backbone

sys.path.insert(0, str(ROOT / "tests"))
HOME = ROOT / "build" / "bench-rewardmodel"
say = partial(measuring.say, "rewardmodel")
LOOPS = Path(__file__).with_name("loops.py")
K = 4
PAIRS = K * (K - 1) // 2
STEP, SMALL_STEP, MANY_STEPS = 8, 1, 2
"""Prompts of an optimiser step: of what is timed, of what is timed beside it, and where accuracy is compared."""
SEED, SEEDS = 1, (1, 2, 3)
"""Of what is timed, and of what is compared in accuracy: one run cannot tell two of these apart."""


@dataclass(frozen=True)
class Size:
    width: int
    layers: int
    heads: int
    inner: int


SIZES = {"2m": Size(128, 4, 4, 384), "14m": Size(384, 6, 6, 1024), "500m": Size(1280, 24, 20, 3712)}


def config_of(family: str, size: Size) -> Any:
    tokens = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": 1, "bos_token_id": None}
    if family == "gpt2":
        shape = {"n_embd": size.width, "n_layer": size.layers, "n_head": size.heads, "n_inner": size.inner}
        return GPT2Config(n_positions=1024, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **shape, **tokens)
    shape = {
        "hidden_size": size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "intermediate_size": size.inner,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    }
    if family == "qwen3":
        shape["head_dim"] = size.width // size.heads
    return {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}[family](**shape, **tokens)


def weights(family: str, size: str) -> Path:
    """Random weights that both start from."""
    folder = HOME / f"{family}-{size}"
    if not (folder / "config.json").exists():
        import tiny  # noqa: PLC0415 - on the path by now

        torch.manual_seed(0)
        backbone.save_policy(folder, AutoModelForCausalLM.from_config(config_of(family, SIZES[size])), tiny.encoder())
    return folder


def compare(spec: dict[str, Any], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Both loops in turn, several times."""
    said = interleaved({which: partial(run, which, spec) for which in ("ours", "trl")}, rounds)
    return said["ours"], said["trl"]


def run(which: str, spec: dict[str, Any]) -> dict[str, float]:
    """One loop in a process of its own."""
    python = peer("trl==1.16.0") if which == "trl" else None
    return measuring.run(LOOPS, which, spec | {"scratch": str(HOME / "scratch")}, python=python)


def useful_operations(size: Size, lines: list[dict[str, Any]]) -> float:
    """6 times parameters of the trunk times real tokens, and attention's own, each token counted once."""
    trunk = size.layers * (4 * size.width**2 + 3 * size.width * size.inner)
    tokens = pairs = 0.0
    for line in lines:
        prompt, responses = len(line["prompt"]), [len(response) for response in line["responses"]]
        tokens += prompt + sum(responses)
        pairs += prompt**2 / 2 + sum(length * prompt + length**2 / 2 for length in responses)
    return 6 * trunk * tokens + 12 * size.layers * size.width * pairs


# --- Cases -----------------------------------------------------------------------------------------


class Bench:
    def __init__(self, rounds: int, device: str, scale: float) -> None:
        self.rounds, self.device, self.scale = rounds, device, scale
        self.bfloat16 = device != "cpu"
        self._batches: dict[tuple[str, int], int] = {}

    def spec(self, family: str, size: str, count: int, step: int = STEP, **more: Any) -> dict[str, Any]:
        count = max(step, round(count * self.scale) // step * step)
        return self._without_batch(family, size, count, step) | {"pairs_a_batch": self.best_batch(size, step)} | more

    def _without_batch(self, family: str, size: str, count: int, step: int) -> dict[str, Any]:
        return {
            "weights": str(weights(family, size)),
            "device": self.device,
            "bfloat16": self.bfloat16,
            "seed": SEED,
            "prompts_a_step": step,
            "train": {"count": count, "responses": K, "seed": 1},
        }

    def best_batch(self, size: str, step: int) -> int:
        """Pairs that TRL computes at once when it is fastest, of those that make up a step."""
        if (size, step) not in self._batches:
            tell(f"TRL's best batch size at {size}, {step} prompts a step:")
            shares = (1, 2, 4) if self.device == "cpu" else (4, 8, 16)
            choices = [prompts * PAIRS for prompts in shares if prompts <= step]
            spec = self._without_batch("llama", size, STEP, step)
            seconds = {}
            for pairs in choices if len(choices) > 1 else ():
                seconds[pairs] = run("trl", spec | {"pairs_a_batch": pairs})["seconds"]
            self._batches[size, step] = min(seconds, key=seconds.__getitem__, default=choices[0])
            tell(f"  {self._batches[size, step]} pairs")
        return self._batches[size, step]

    def speed(self, size: str, goal: float, count: int, step: int = STEP) -> None:
        """Rankings a second, memory and useful operations."""
        spec = self.spec("llama", size, count, step)
        ours, theirs = compare(spec, self.rounds)
        count = spec["train"]["count"]
        note = f"{size}, {step} prompts a step"
        ratio = theirs["seconds"] / ours["seconds"]
        say(f"speed {note}", count / ours["seconds"], count / theirs["seconds"], ratio, goal, "rankings/s")
        memory = theirs["bytes"] / ours["bytes"]
        say(f"peak memory {note}", ours["bytes"] / 1e6, theirs["bytes"] / 1e6, memory, 2.0, "MB beyond the model")
        peak = matmul_peak(torch.bfloat16 if self.bfloat16 else torch.float32, self.device)
        reached = useful_operations(SIZES[size], rankings(**spec["train"])) / ours["seconds"]
        say(f"useful FLOP/s {note}", reached / 1e9, peak / 1e9, reached / peak, 0.65, "GFLOP/s; peer: matmul peak")

    def accuracy(self, size: str, count: int) -> None:
        """Held-out accuracy of both after the same data, as means over seeds, and the error of the difference."""
        spec = self.spec("llama", size, count, MANY_STEPS, test={"count": 200, "responses": K, "seed": 3})
        found = {which: [run(which, spec | {"seed": seed})["accuracy"] for seed in SEEDS] for which in ("ours", "trl")}
        ours, theirs = map(statistics.fmean, found.values())
        error = sum(statistics.variance(each) / len(SEEDS) for each in found.values()) ** 0.5
        case = f"held-out accuracy {size}, {len(SEEDS)} seeds, difference ± {error:.3f}"
        say(case, ours, theirs, ours - theirs, -0.01, "share; difference")

    def growth(self, size: str, count: int) -> None:
        """Cost of K = 8 against K = 4."""
        four = self.spec("llama", size, count)
        eight = four | {"train": four["train"] | {"responses": 8}}
        runs = [(run("ours", four), run("ours", eight)) for _ in range(self.rounds)]
        seconds = [statistics.median(each[i]["seconds"] for each in runs) for i in (0, 1)]
        say(f"cost of K=8 against K=4 {size}", seconds[1], seconds[0], seconds[1] / seconds[0], 2.2, "s; at most")

    def families(self, size: str, count: int) -> None:
        """The speed-up of every family, and its share of Llama's."""
        found = {}
        for family in ("llama", "qwen2", "qwen3", "gpt2"):
            ours, theirs = compare(self.spec(family, size, count), self.rounds)
            found[family] = theirs["seconds"] / ours["seconds"]
            case = f"speed-up of {family} {size}"
            say(case, ours["seconds"], theirs["seconds"], found[family], round(found["llama"] * 2 / 3, 2), "s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each loop, of which the median counts")
    parser.add_argument("--only", nargs="*", default=[], metavar="CASE", help="14m 2m small accuracy growth families")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the rankings; small ones prove only that it runs"
    )
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.rounds, options.device, options.scale)
    cases = {
        "14m": lambda: bench.speed("14m", 10.0, 16),
        "2m": lambda: bench.speed("2m", 12.0, 64),
        "small": lambda: (bench.speed("14m", 10.0, 8, SMALL_STEP), bench.speed("2m", 12.0, 32, SMALL_STEP)),
        "accuracy": lambda: bench.accuracy("2m", 256),
        "growth": lambda: bench.growth("14m", 16),
        "families": lambda: bench.families("2m", 32),
    }
    if options.device == "cuda":
        cases = {"500m": lambda: bench.speed("500m", 10.0, 64), "growth": lambda: bench.growth("500m", 64)}
    in_turn(cases, options.only)


if __name__ == "__main__":
    main()
