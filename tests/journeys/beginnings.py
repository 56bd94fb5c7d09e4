"""What a project begins with in these tests: a few prompts, responses to rank, and a tiny policy that knows nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

THINGS = ("kite", "boat", "moon", "key", "owl", "drum", "hat", "well")
REWARD_MODEL = {"epochs": 2, "batch_prompts": 2, "evaluations": 1}
PPO = {
    "steps": 12,
    "critic_warmup_steps": 0,
    "rollout_prompts": 4,
    "responses_per_prompt": 2,
    "minibatch_prompts": 2,
    "max_new_tokens": 12,
    "evaluations": 2,
    "evaluation_prompts": 2,
}
LONG_PPO = PPO | {"steps": 80, "savepoint_every_seconds": 0.5}
SAMPLE = {"max_new_tokens": 24, "min_new_tokens": 8}


def first_folder(folder: Path, *, reward: bool = False) -> Path:
    """Prompts of every split, two tasks to rank, and a policy; if asked, a reward model that is just as ignorant."""
    folder.mkdir()
    tiny.policy(folder / "policy")
    if reward:
        tiny.scorer(folder / "reward", folder / "policy")
    write(folder / "prompts.jsonl", prompts())
    write(folder / "candidates.jsonl", candidates())
    return folder


def prompts() -> Iterable[dict[str, Any]]:
    for number, thing in enumerate(THINGS):
        yield {"prompt": asked(thing), "split": "valid" if number >= 6 else "train", "source": "journey"}


def candidates() -> Iterable[dict[str, Any]]:
    for thing in THINGS[:3]:
        responses = {name: f"{start} {thing}." for name, start in OPENINGS.items()}
        yield {"id": thing, "prompt": asked(thing), "split": "train", "source": "journey", "responses": responses}


OPENINGS = {
    "one": "Mia and Leo ate a pie beside the",
    "two": "Grr. Hm. Psst. Brr",
    "three": "Once an owl saw the",
    "four": "Tom sat by the",
}


def is_old(responses: Iterable[Mapping[str, str]]) -> bool:
    """Whether these are responses that the project began with, and not what its policy wrote."""
    return any(start in response["text"] for response in responses for start in OPENINGS.values())


def asked(thing: str) -> str:
    return f"Tell me of a {thing}."


def write(file: Path, lines: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
