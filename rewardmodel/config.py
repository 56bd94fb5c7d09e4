"""What the reward model's trainer can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from training import size
from training.config import Bounds, ConfigError

Count = Annotated[int, Bounds(minimum=1)]
Rate = Annotated[float, Bounds(above=0, below=1)]
Share = Annotated[float, Bounds(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModelConfig(size.AnySize):
    """Learn a score from rankings: one pass over each prompt with all of its responses."""

    loss: Literal["bradley_terry", "plackett_luce"] = "bradley_terry"
    """All pairs of a ranking (Bradley and Terry), or choice after choice from what is left (Plackett and Luce)."""
    ties: Literal["half", "skip"] = "half"
    """A tie asks for even odds (half; under plackett_luce for Davidson and Luce's tie), or says nothing (skip)."""
    margin: Literal["none", "small", "large"] = "none"
    """How far a winner must win by (Llama 2): up to 1 (small) or 3 (large) for three steps of rating or more."""
    label_smoothing: Annotated[float, Bounds(minimum=0, below=1)] = 0.0
    """Share of every answer that is spread evenly over what could have been said."""
    rater_model: Literal["none", "fixed", "learned"] = "none"
    """Everyone means what they say (none), errs at random as often (fixed), or as often as they are found to."""
    error_share: Annotated[float, Bounds(above=0, below=1)] = 0.1
    """How often an annotator answers at random under rater_model (Christiano et al.: 0.1); learned starts here."""
    heads: Annotated[int, Bounds(minimum=0, maximum=256)] = 16
    """Small heads beside the main one whose spread tells how unsure a score is; 0 for none."""
    prior_scale: Annotated[float, Bounds(minimum=0)] = 1.0
    """How far the heads' fixed random priors lie apart, in logits, where nothing was learned."""
    heads_learning_rate: Rate = 1e-3
    """Peak learning rate of the heads."""
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
    held_out_annotators: Annotated[float, Bounds(minimum=0, below=1)] = 0.0
    """Share of the annotators whose words are not learned from, so that agreement with strangers can be measured."""
    learning_curve: bool = False
    """Train on a quarter and on half of the rankings first, to see what more of them would bring."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 60.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        size.check(self)
        if self.margin != "none" and self.loss != "bradley_terry":
            raise ConfigError(
                "a margin is between two responses, and plackett_luce chooses among all that are left: "
                "use bradley_terry, or no margin",
                {"margin": "must be none under plackett_luce"},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """Score responses: each gets a reward, and its spread where the reward model knows one."""
