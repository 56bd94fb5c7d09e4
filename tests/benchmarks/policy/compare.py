"""Benchmark of the policy's trainers against transformers and TRL: `make bench-policy`.

Both start from the same weights and get the same token ids, and both compute in float32; only their loops are timed,
interleaved, in processes of their own; medians are said. The peers run from their own packages, without gradient
checkpointing (TRL's default is ten times slower on processors) and with those of their settings that are fastest here.
PPO needs TRL 1.12: no later release has it. Prompts have 128 tokens and responses 64, for SFT on average. Says a JSON
line a figure.

    make bench-policy BENCH="[--rounds 5] [--size 14m 2m] [--only generation ppo sft]"
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measuring
import torch
from clocks import matmul_peak
from loops import END, EPOCHS, PAD, VOCABULARY, K, conversations
from measuring import ROOT, in_turn, interleaved, peer, run, tell
from transformers import AutoModelForCausalLM, LlamaConfig

from training.lm import backbone

sys.path.insert(0, str(ROOT / "tests"))
HOME = ROOT / "build" / "bench-policy"
say = partial(measuring.say, "policy")
SCRIPT = Path(__file__).with_name("loops.py")
PEERS = {
    "transformers_generate": "trl==1.12.0",
    "trl_ppo": "trl==1.12.0",
    "trl_sft": "trl==1.16.0",
}


@dataclass(frozen=True)
class Size:
    """A Llama with tied embeddings, and the work that it is measured by."""

    width: int
    layers: int
    heads: int
    inner: int
    conversations: int = 64
    batch: int = 16
    prompts: int = 16
    prompt_tokens: int = 128
    new_tokens: int = 64

    @property
    def work(self) -> dict[str, int]:
        names = ("conversations", "batch", "prompts", "prompt_tokens", "new_tokens")
        return {name: value for name, value in asdict(self).items() if name in names}

    def reading(self, prompts: list[int], responses: list[list[int]]) -> float:
        """Operations of the trunk that reads prompts with their responses once, each token computed once."""
        weights = self.layers * (4 * self.width**2 + 3 * self.width * self.inner)
        tokens = pairs = 0.0
        for prompt, own in zip(prompts, responses, strict=True):
            tokens += prompt + sum(own)
            pairs += prompt**2 / 2 + sum(length * prompt + length**2 / 2 for length in own)
        return 2 * weights * tokens + 4 * self.layers * self.width * pairs

    def predicting(self, tokens: int) -> float:
        """Operations of the head for so many tokens."""
        return 2 * self.width * VOCABULARY * tokens


SIZES = {
    "14m": Size(384, 6, 6, 1024),
    "2m": Size(128, 4, 4, 384, conversations=256),
    "tiny": Size(32, 2, 2, 64, conversations=8, batch=4, prompts=4, prompt_tokens=16, new_tokens=8),
}
GOALS = {
    "generation": {"14m": 3.5, "2m": 4.5},
    "ppo": {"14m": 3.0, "2m": 4.0},
    "ppo shared trunk": {"14m": 5.0, "2m": 5.0},
    "sft": {"14m": 1.5, "2m": 1.5},
}


def weights(name: str) -> dict[str, str]:
    """Random weights that all start from: a policy, and a reward model of it."""
    policy, reward = HOME / name, HOME / f"{name}-reward"
    if not (reward / "config.json").exists():
        import tiny  # noqa: PLC0415 - on the path by now

        size = SIZES[name]
        config = LlamaConfig(
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            intermediate_size=size.inner,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            vocab_size=VOCABULARY,
            pad_token_id=PAD,
            eos_token_id=END,
            bos_token_id=None,
        )
        torch.manual_seed(0)
        backbone.save_policy(policy, AutoModelForCausalLM.from_config(config), tiny.encoder())
        backbone.save_scorer(reward, *backbone.scorer_from_policy(policy, seed=1))
    return {"weights": str(policy), "reward": str(reward)}


class Bench:
    def __init__(self, rounds: int, name: str) -> None:
        self.rounds, self.name, self.size = rounds, name, SIZES[name]
        self.spec = self.size.work | weights(name) | {"scratch": str(HOME / "scratch")}

    def generation(self) -> None:
        """Tokens a second of K responses to each prompt."""
        size = self.size
        theirs = self.best("transformers_generate", [{}, {"cache_implementation": "static"}])
        said = interleaved({"ours": self.ours("ours_generate"), "peer": theirs}, self.rounds)
        self.speed("generation", said["ours"], said["peer"], size.prompts * K * size.new_tokens, "tokens/s")
        self.memory("generation", said["ours"], said["peer"])
        self.useful("generation", self.generating, said["ours"]["seconds"])

    def ppo(self) -> None:
        """Episodes a second of one step of PPO, with a value model of its own and with one on the policy's trunk."""
        size, episodes = self.size, self.size.prompts * K
        choices = [{"micro": micro} for micro in (16, 8, 32) if micro <= episodes]
        loops = {
            "ours": self.ours("ours_ppo", value_model="separate"),
            "shared": self.ours("ours_ppo", value_model="shared"),
            "peer": self.best("trl_ppo", choices),
        }
        said = interleaved(loops, self.rounds)
        head, trunk = size.predicting(episodes * size.new_tokens), self.reading
        for which, case, trunks in (("ours", "ppo", 2), ("shared", "ppo shared trunk", 1)):
            ours = said[which]
            self.speed(case, ours, said["peer"], episodes, "episodes/s")
            self.memory(case, ours, said["peer"])
            self.useful(f"{case} rollout", self.generating + trunks * trunk + head, ours["rollout"])
            self.useful(f"{case} judging", trunk, ours["judge"])
            self.useful(f"{case} update", EPOCHS * 3 * (trunks * trunk + head), ours["update"])

    def sft(self) -> None:
        """Tokens a second of fine-tuning on conversations of many lengths."""
        size = self.size
        lines = conversations(self.spec)
        tokens, targets = (sum(map(len, each)) for each in ([a + b for a, b in lines], [b for _, b in lines]))
        said = interleaved({"ours": self.ours("ours_sft"), "peer": self.best("trl_sft", self.packings())}, self.rounds)
        self.speed("sft", said["ours"], said["peer"], tokens, "tokens/s")
        self.memory("sft", said["ours"], said["peer"])
        reading = size.reading([0] * len(lines), [[len(ask) + len(say)] for ask, say in lines])
        self.useful("sft", 3 * (reading + size.predicting(targets)), said["ours"]["seconds"])

    def packings(self) -> list[dict[str, Any]]:
        """TRL's ways to read a step's tokens: packed without cutting, packed by cutting, padded."""
        size = self.size
        step = size.batch * (size.prompt_tokens + size.new_tokens)

        def settings(rows: int, passes: int, **more: Any) -> dict[str, Any]:
            return {"per_device_train_batch_size": rows, "gradient_accumulation_steps": passes, **more}

        # Under bfd the rows of a pass become one row, in which attention costs the square of all of them.
        return [
            settings(1, 6, packing=True, packing_strategy="bfd", max_length=step // 6),
            settings(2, 3, packing=True, packing_strategy="bfd", max_length=step // 6),
            settings(1, 3, packing=True, packing_strategy="bfd", max_length=step // 3),
            settings(6, 1, packing=True, packing_strategy="wrapped", max_length=step // 6),
            settings(size.batch, 1, max_length=None),
        ]

    # --- Running and saying ------------------------------------------------------------------------

    def ours(self, loop: str, **more: Any) -> Any:
        return partial(run, SCRIPT, loop, self.spec | more)

    def best(self, loop: str, choices: list[dict[str, Any]]) -> Any:
        """A peer's loop with the settings that are fastest here; with one round only, the first of them, untried."""
        tries = [
            partial(run, SCRIPT, loop, self.spec | {"settings": each}, python=peer(PEERS[loop])) for each in choices
        ]
        if self.rounds == 1:
            return tries[0]
        tell(f"{loop}'s best settings among {choices}:")
        seconds = [each()["seconds"] for each in tries]
        tell(f"  {choices[seconds.index(min(seconds))]}")
        return tries[seconds.index(min(seconds))]

    @property
    def reading(self) -> float:
        """Operations of a trunk that reads all episodes once."""
        size = self.size
        return size.reading([size.prompt_tokens] * size.prompts, [[size.new_tokens] * K] * size.prompts)

    @property
    def generating(self) -> float:
        return self.reading + self.size.predicting(self.size.prompts * K * self.size.new_tokens)

    def speed(self, case: str, ours: dict[str, float], theirs: dict[str, float], count: int, unit: str) -> None:
        ratio = theirs["seconds"] / ours["seconds"]
        goal = GOALS[case].get(self.name)
        say(f"{case} {self.name}", count / ours["seconds"], count / theirs["seconds"], ratio, goal, unit)

    def memory(self, case: str, ours: dict[str, float], theirs: dict[str, float]) -> None:
        goal = 2.0 if case.startswith("ppo") else None
        case, unit = f"peak memory {case} {self.name}", "MB, models included"
        say(case, ours["bytes"] / 1e6, theirs["bytes"] / 1e6, theirs["bytes"] / ours["bytes"], goal, unit)

    def useful(self, case: str, operations: float, seconds: float) -> None:
        """Operations of the model a second, as a share of the matmul peak."""
        reached, best = operations / seconds, matmul_peak(torch.float32, "cpu")
        unit = "GFLOP/s; peer: matmul peak"
        case = f"useful FLOP/s {case} {self.name}"
        say(case, reached / 1e9, best / 1e9, reached / best, None, unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each loop; with 1, no settings are tried")
    parser.add_argument("--only", nargs="*", default=[], metavar="CASE", help="generation, ppo, sft")
    parser.add_argument("--size", nargs="*", default=["14m", "2m"], choices=SIZES, help="tiny proves only that it runs")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    for name in options.size:
        bench = Bench(options.rounds, name)
        tell(f"At {name}:")
        in_turn({"generation": bench.generation, "ppo": bench.ppo, "sft": bench.sft}, options.only)


if __name__ == "__main__":
    main()
