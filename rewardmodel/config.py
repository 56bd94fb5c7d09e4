"""What the reward model's trainer can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from training.config import Bounds, check

Count = Annotated[int, Bounds(minimum=1)]
Rate = Annotated[float, Bounds(above=0, below=1)]
Share = Annotated[float, Bounds(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelConfig:
    """Learn a score from rankings: one pass over each prompt with all of its responses."""

    loss: Literal["bradley_terry"] = "bradley_terry"
    """All pairs of a ranking under Bradley and Terry's model, averaged within the ranking first."""
    ties: Literal["half", "skip"] = "half"
    """A tie asks for even odds (half), or says nothing (skip)."""
    epochs: Count = 1
    """Passes over the rankings. More than one soon overfits."""
    batch_prompts: Count = 16
    """Prompts, each with all of its responses and judgements, that one optimiser step sees."""
    micro_batch_tokens: Count = 4096
    """Tokens computed at once; more of them take more memory and change nothing else."""
    learning_rate: Rate = 1e-4
    """Peak learning rate of AdamW."""
    warmup_share: Share = 0.05
    """Share of the steps in which the rate rises from zero."""
    floor: Share = 0.1
    """The cosine ends at this share of the peak rate."""
    beta1: Share = 0.9
    """Decay of AdamW's mean of gradients."""
    beta2: Share = 0.95
    """Decay of AdamW's mean of squared gradients."""
    weight_decay: Share = 0.01
    """Decoupled weight decay of the matrices."""
    max_grad_norm: Annotated[float, Bounds(above=0)] = 1.0
    """Gradients are scaled down to this norm."""
    max_tokens: Annotated[int, Bounds(minimum=8)] = 512
    """Longest prompt with one response. A longer prompt loses its beginning, a longer response its end."""
    evaluations: Count = 4
    """Looks at the valid rankings, evenly over the run."""
    patience: Annotated[int, Bounds(minimum=0)] = 2
    """Stop after this many looks without a better valid log-loss; 0 never stops early. The best look is kept."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 60.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        check(self)
