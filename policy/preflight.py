"""What can be found wrong before a job begins, with the mend in the message; and what PPO will need of memory.

It reads configurations, tokenizers and the headers of weight files, no weights: minutes of loading are not spent on a
job that cannot work.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from policy.team import precision_on
from training.lm import backbone
from training.lm.encoder import BadTokenizer
from training.lm.logprobs import matmul_dtype

if TYPE_CHECKING:
    from policy.config import PPOConfig
    from training.lm.encoder import Encoder
    from training.program import Run

FLOAT = 4
ADAM = 2 * FLOAT
"""Bytes of Adam's two means, a parameter."""
LORA_WIDTH = 16
"""Linear layers of a block whose in- and outputs adapters multiply, in units of the hidden width; an upper guess."""


class NotEnoughMemory(ValueError):  # noqa: N818
    """The models do not fit; the message says what each takes, and what would take less."""

    code = "not_enough_memory"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the size of a model in memory depends on."""

    parameters: int
    hidden: int
    layers: int
    feed_forward: int
    vocabulary: int


def preflight(run: Run, config: PPOConfig, device: torch.device, *, critic_from: Path | Any | None) -> None:
    """Check tokenizer, template and ends of the policy; say what memory the job needs, and refuse what cannot fit."""
    start = run.input("policy")
    check_ends(backbone.load_encoder(start), start)
    needs = memory(run, config, device, critic_from=critic_from)
    total, certain, free = sum(needs.values()), sum(needs.values()) - needs["activations"], free_memory(device)
    words = ", ".join(f"{name} {_gigabytes(size)}" for name, size in needs.items() if size)
    said = f"Memory: about {_gigabytes(total)} ({words})"
    if free is None:
        run.reporter.note(f"{said}.")
        return
    said += f"; {_gigabytes(free)} are free on {device.type}."
    if certain > free:
        raise NotEnoughMemory(f"{said} {_mends(config)}")
    run.reporter.note(said if total <= free else f"{said} It may not fit. {_mends(config)}")


def check_ends(encoder: Encoder, folder: Path) -> None:
    """Refuse a policy whose template ends a turn with another token than the one that is taken for its end.

    Such a policy was taught to end with the template's token, so its responses would never seem to end.
    """
    tokenizer, text = encoder.tokenizer, "Good night."
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": text}]
    rendered = str(tokenizer.apply_chat_template(turns, tokenize=False))
    after = rendered.rpartition(text)[2]
    specials = [token for token in tokenizer.all_special_tokens if token in after]
    if not specials or tokenizer.eos_token in after:
        return
    first = min(specials, key=after.index)
    raise BadTokenizer(
        f"the chat template in {folder.name} ends a turn with {first!r} but the tokenizer's end token is "
        f"{tokenizer.eos_token!r}, so no response would ever count as ended: set eos_token to {first!r} in "
        "tokenizer_config.json (and eos_token_id in config.json and generation_config.json)"
    )


def memory(run: Run, config: PPOConfig, device: torch.device, *, critic_from: Path | Any | None) -> dict[str, int]:
    """Bytes that each part of the job takes on one device, by name. An estimate: it does not know the allocator."""
    policy = shape_of(run.input("policy"))
    rewards = [shape_of(run.input(name)) for name in run.job.inputs if name.partition("_")[0] == "reward"]
    half = torch.finfo(matmul_dtype(precision_on(device, config), device)).bits // 8
    shards = config.processes if config.parallel == "fsdp" else 1
    trained = adapted(policy, config) if config.lora_rank else policy.parameters
    frozen = policy.parameters * half if config.lora_rank else 0
    learning = FLOAT + FLOAT + ADAM  # weight, gradient, moments
    needs = {"policy": (frozen + trained * learning) // shards}
    needs["reference"] = 0 if config.lora_rank else policy.parameters * half // shards
    if config.value_model == "separate":
        critic = rewards[0] if critic_from is not None and rewards else policy
        own = adapted(critic, config) if config.lora_rank else critic.parameters
        shares = config.lora_rank and (critic_from is None or not isinstance(critic_from, Path))
        base = 0 if shares else critic.parameters * half if config.lora_rank else 0
        needs["value model"] = (base + own * learning) // shards
    kept = torch.finfo(backbone.compute_dtype(device)).bits // 8
    for number, reward in enumerate(rewards, start=1):
        needs["reward model" if number == 1 else f"reward model {number}"] = reward.parameters * kept
    copies = (config.ema is not None) + config.alarms.rolls_back
    needs["averages and good states"] = copies * trained * FLOAT // shards
    needs["activations"] = _activations(policy, config, half)
    return needs


def _activations(model: Shape, config: PPOConfig, half: int) -> int:
    """Of one micro-batch in learning: what every layer keeps for its backward pass, and a chunk of logits."""
    tokens = config.micro_batch_tokens
    a_layer = 10 * model.hidden + 3 * model.feed_forward
    layers = model.hidden * model.layers + a_layer if config.activation_checkpointing else a_layer * model.layers
    logits = 1024 * model.vocabulary * 3 + model.vocabulary * model.hidden
    return tokens * layers * half + logits * FLOAT


def adapted(model: Shape, config: PPOConfig) -> int:
    """How many parameters adapters of this rank add, at most."""
    return model.layers * LORA_WIDTH * model.hidden * config.lora_rank


def shape_of(folder: Path) -> Shape:
    """Read a model's size from its configuration and the headers of its weight files."""
    said = json.loads((folder / "config.json").read_text())

    def number(*names: str) -> int:
        return next((int(said[name]) for name in names if isinstance(said.get(name), int)), 0)

    hidden = number("hidden_size", "n_embd", "d_model")
    return Shape(
        parameters=sum(map(_parameters_in, folder.glob("*.safetensors"))),
        hidden=hidden,
        layers=number("num_hidden_layers", "n_layer", "num_layers"),
        feed_forward=number("intermediate_size", "n_inner", "ffn_dim") or 4 * hidden,
        vocabulary=number("vocab_size"),
    )


def _parameters_in(file: Path) -> int:
    """Count the numbers in a safetensors file by its header (8 bytes of length, then JSON)."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(torch.Size(entry["shape"]).numel() for name, entry in header.items() if name != "__metadata__")


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device, or None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min((size for size in (_free_of_machine(), _free_of_group()) if size is not None), default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_group() -> int | None:
    """What the control group that this process lives in (a container) still allows it."""
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # there is none, or it has no limit ("max")
        return None
    return limit - used + int(stat.get("inactive_file", 0))


def _mends(config: PPOConfig) -> str:
    """What would take less memory and is not done yet."""
    ways = []
    if not config.lora_rank:
        ways.append("adapters (lora_rank 16), with which the reference costs nothing and optimisers little")
    if config.value_model == "separate":
        ways.append("a value head on the policy's trunk (value_model shared)")
    if not config.activation_checkpointing:
        ways.append("activation_checkpointing")
    if config.micro_batch_tokens > 1024:
        ways.append("fewer micro_batch_tokens")
    if config.parallel != "fsdp":
        ways.append("several processes with parallel fsdp")
    return f"Less is needed with {'; '.join(ways)}." if ways else "Take a smaller model, or a larger machine."


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
