"""How large a model a trainer can take: the settings that every trainer has, whatever it teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from training import config as configs
from training.config import Bounds, ConfigError

Precision = Literal["auto", "float32", "bfloat16"]
Parallel = Literal["ddp", "fsdp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnySize:
    """What a trainer's configuration inherits; `check` belongs into its `__post_init__`."""

    precision: Precision = "auto"
    """Arithmetic of the matrix products: auto takes bfloat16 where the processor has instructions for it."""
    activation_checkpointing: bool = False
    """Compute each layer again in the backward pass instead of keeping what it computed: less memory, more time."""
    lora_rank: Annotated[int, Bounds(minimum=0)] = 0
    """Train low-rank adapters of this rank, merged into what is published; 0 trains all weights."""
    lora_alpha: Annotated[int, Bounds(minimum=1)] = 16
    """What the adapters add is scaled by this over their rank."""
    lora_dropout: Annotated[float, Bounds(minimum=0, below=1)] = 0.0
    """Dropout on what goes into the adapters."""
    lora_targets: tuple[str, ...] = ()
    """Names of the layers that get adapters (q_proj, v_proj); none means every linear layer of the trunk."""
    processes: Annotated[int, Bounds(minimum=1)] = 1
    """Processes that share each step, one a GPU where there are GPUs; the losses are those of one process."""
    parallel: Parallel = "ddp"
    """With several processes: each holds the whole model (ddp), or a part of every tensor (fsdp) for large ones."""


def check(config: AnySize) -> None:
    """Hold a configuration against its bounds, and refuse what cannot go together."""
    configs.check(config)
    if config.parallel == "fsdp" and getattr(config, "optimizer", "") == "muon":
        raise ConfigError(
            "muon turns whole matrices, and under fsdp no process holds one: use adamw, or ddp",
            {"optimizer": "must be adamw under fsdp"},
        )
    if config.lora_targets and not config.lora_rank:
        raise ConfigError(
            "lora_targets names layers for adapters, but lora_rank 0 trains all weights",
            {"lora_rank": "must be at least 1 with lora_targets"},
        )
