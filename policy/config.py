"""What the trainers of the policy can be told: one frozen dataclass a job kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from training.config import Bounds, ConfigError, check

Count = Annotated[int, Bounds(minimum=1)]
Rate = Annotated[float, Bounds(above=0, below=1)]
Share = Annotated[float, Bounds(minimum=0, maximum=1)]
Precision = Literal["auto", "float32", "bfloat16"]
OptimizerName = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Next-word prediction on plain text, from nothing or from a policy that is given."""

    tokens: Count = 16_000_000
    """How many tokens to train on, all epochs together."""
    context: Annotated[int, Bounds(minimum=8)] = 256
    """Tokens in a training window; texts are packed to fill it."""
    batch_windows: Count = 32
    """Windows that one optimiser step sees."""
    micro_batch_windows: Count = 16
    """Windows computed at once; more of them take more memory."""
    optimizer: OptimizerName = "adamw"
    """Muon learns more from each token when a model starts from nothing; AdamW is what most were made with."""
    learning_rate: Rate = 2e-3
    """Peak learning rate."""
    warmup_share: Share = 0.02
    """Share of the steps in which the rate rises from zero."""
    floor: Share = 0.1
    """The cosine ends at this share of the peak rate."""
    beta1: Share = 0.9
    """Decay of AdamW's mean of gradients."""
    beta2: Share = 0.95
    """Decay of AdamW's mean of squared gradients."""
    weight_decay: Share = 0.1
    """Decoupled weight decay of the matrices."""
    max_grad_norm: Annotated[float, Bounds(above=0)] = 1.0
    """Gradients are scaled down to this norm."""
    precision: Precision = "auto"
    """Arithmetic of the matrix products: auto takes bfloat16 where the processor has instructions for it."""
    compile: bool = False
    """Let torch.compile fuse the model; needs a C++ compiler and about half a minute."""
    vocabulary: Annotated[int, Bounds(minimum=300, maximum=65_536)] = 4_096
    """Entries of the byte-level BPE tokenizer that is trained when no policy is given."""
    hidden: Count = 256
    """Width of a new model."""
    layers: Count = 5
    """Layers of a new model."""
    heads: Count = 8
    """Attention heads of a new model."""
    feed_forward: Count = 688
    """Inner width of a new model's feed-forward blocks."""
    max_context: Count = 512
    """Longest sequence that a new model may see."""
    evaluations: Count = 20
    """Looks at the valid texts, evenly over the run."""
    evaluation_windows: Count = 96
    """Windows of valid text in a look during training; the last look reads all of it."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 100.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        check(self)
        if self.batch_windows % self.micro_batch_windows:
            raise ConfigError(
                f"batch_windows {self.batch_windows} is not a multiple of "
                f"micro_batch_windows {self.micro_batch_windows}",
                {"micro_batch_windows": "must divide batch_windows"},
            )
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ConfigError(
                f"hidden {self.hidden} does not give each of {self.heads} heads an even width",
                {"heads": "must divide hidden into even widths"},
            )
        if self.context > self.max_context:
            raise ConfigError(
                f"context {self.context} is longer than max_context {self.max_context}",
                {"context": "must be at most max_context"},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Supervised fine-tuning: the policy learns to write the demonstrations' responses."""

    epochs: Count = 6
    """Times that the demonstrations are read."""
    batch_conversations: Count = 32
    """Demonstrations that one optimiser step sees."""
    micro_batch_tokens: Count = 4_096
    """Tokens computed at once; more of them take more memory."""
    optimizer: OptimizerName = "adamw"
    """Muon suits models that were pre-trained with it."""
    learning_rate: Rate = 5e-4
    """Peak learning rate."""
    warmup_share: Share = 0.02
    """Share of the steps in which the rate rises from zero."""
    floor: Share = 0.1
    """The cosine ends at this share of the peak rate."""
    beta1: Share = 0.9
    """Decay of AdamW's mean of gradients."""
    beta2: Share = 0.95
    """Decay of AdamW's mean of squared gradients."""
    weight_decay: Share = 0.1
    """Decoupled weight decay of the matrices."""
    max_grad_norm: Annotated[float, Bounds(above=0)] = 1.0
    """Gradients are scaled down to this norm."""
    dropout: Annotated[float, Bounds(minimum=0, below=1)] = 0.1
    """Dropout of attention and of what each block adds, while training."""
    text_share: Annotated[float, Bounds(minimum=0, below=1)] = 0.0
    """Share of pre-training text in the loss and in the tokens of each step; needs the input text."""
    text_context: Annotated[int, Bounds(minimum=8)] = 256
    """Tokens in a window of that text."""
    evaluations_per_epoch: Count = 1
    """Looks at the valid demonstrations in each epoch; the checkpoint with the lowest valid loss is the one kept."""
    precision: Precision = "auto"
    """Arithmetic of the matrix products: auto takes bfloat16 where the processor has instructions for it."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 100.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Teach the policy with PPO against a reward model, held close to where it starts by a KL penalty."""

    steps: Count = 32
    """Rollouts that the policy learns from, each before the next."""
    critic_warmup_steps: Annotated[int, Bounds(minimum=0)] = 2
    """Rollouts before them that only the value model learns from, without clipping and from rewards alone."""
    rollout_prompts: Count = 16
    """Prompts of one rollout."""
    responses_per_prompt: Count = 4
    """Responses sampled to each of them; they share the computation of their prompt."""
    minibatch_prompts: Count = 4
    """Prompts, with all of their responses, that one optimiser step sees."""
    micro_batch_tokens: Count = 4096
    """Tokens computed at once; more of them take more memory and change nothing else."""
    epochs: Count = 2
    """Passes over each rollout."""
    learning_rate: Rate = 3e-5
    """Learning rate of the policy's Adam, after the warm-up."""
    value_learning_rate: Rate = 1e-4
    """Learning rate of the value model's Adam, after the warm-up."""
    warmup_steps: Annotated[int, Bounds(minimum=0)] = 4
    """Rollouts over which each rate rises from a tenth."""
    adam_eps: Annotated[float, Bounds(above=0)] = 1e-5
    """Adam's epsilon."""
    tf_adam: bool = False
    """Let Adam add epsilon before the bias correction as TensorFlow does: the first steps are far smaller."""
    max_grad_norm: Annotated[float, Bounds(above=0)] = 1.0
    """Gradients are scaled down to this norm."""
    max_new_tokens: Count = 128
    """The longest response, its end token included."""
    min_new_tokens: Annotated[int, Bounds(minimum=0)] = 0
    """A response cannot end before this many tokens."""
    temperature: Annotated[float, Bounds(above=0)] = 1.0
    """Logits are divided by it, in sampling and in learning alike."""
    missing_end: Literal["penalty", "score"] = "penalty"
    """A response without an end gets missing_end_reward (penalty), or is scored like any other (score)."""
    missing_end_reward: float = -1.0
    """The reward of a response that did not end, when missing_end says so."""
    kl_coef: Annotated[float, Bounds(minimum=0)] = 0.05
    """Weight β of the penalty for leaving the reference policy."""
    kl_control: Literal["fixed", "adaptive"] = "fixed"
    """Keep kl_coef, or steer it towards kl_target."""
    kl_target: Annotated[float, Bounds(above=0)] = 6.0
    """KL of a whole response, in nats, that adaptive control aims at."""
    kl_horizon: Count = 10_000
    """Responses over which adaptive control reacts."""
    max_kl: Annotated[float, Bounds(above=0)] | None = None
    """End the run when the KL of a response, on average, exceeds this many nats."""
    max_update_kl: Annotated[float, Bounds(above=0)] | None = None
    """Stop learning from a rollout when the approximate KL of its update exceeds this many nats a token."""
    gamma: Annotated[float, Bounds(above=0, maximum=1)] = 1.0
    """Discount of later rewards."""
    gae_lambda: Share = 0.95
    """GAE's λ: 1 trusts the rewards only, 0 the values."""
    clip_range: Annotated[float, Bounds(above=0)] = 0.2
    """The ratio of new to old probability counts up to this far from 1."""
    value_clip_range: Annotated[float, Bounds(above=0)] = 0.2
    """A value counts up to this far from what it was at the rollout."""
    whiten_rewards: bool = False
    """Scale the rewards of a rollout to variance 1, keeping their mean. Advantages are always whitened."""
    ema: Annotated[float, Bounds(above=0, below=1)] | None = None
    """Publish the exponential moving average of the weights with this decay (InstructGPT: 0.992)."""
    evaluations: Count = 4
    """Looks at fixed prompts of the split valid, evenly over the run, and one before it."""
    evaluation_prompts: Count = 16
    """How many prompts a look samples a response to."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 60.0
    """Time between savepoints."""

    @property
    def rollouts(self) -> int:
        """Rollouts of the whole run: those of the critic's warm-up, then those of the policy."""
        return self.critic_warmup_steps + self.steps

    def __post_init__(self) -> None:
        check(self)
        if self.rollout_prompts % self.minibatch_prompts:
            raise ConfigError(
                f"rollout_prompts {self.rollout_prompts} is not a multiple of "
                f"minibatch_prompts {self.minibatch_prompts}",
                {"minibatch_prompts": "must divide rollout_prompts"},
            )
        if self.min_new_tokens >= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens {self.min_new_tokens} leaves no room below max_new_tokens {self.max_new_tokens}",
                {"min_new_tokens": "must be less than max_new_tokens"},
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """Write K responses to each prompt of a dataset."""

    responses_per_prompt: Count = 4
    """Responses to each prompt."""
    max_prompts: Annotated[int, Bounds(minimum=0)] = 0
    """Sample for this many prompts, drawn by the seed; 0 takes all."""
    splits: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")
    """Take the prompts of these splits."""
    max_new_tokens: Count = 128
    """The longest response, its end token included."""
    min_new_tokens: Annotated[int, Bounds(minimum=0)] = 0
    """A response cannot end before this many tokens."""
    temperature: Annotated[float, Bounds(minimum=0)] = 1.0
    """Logits are divided by it; 0 takes the likeliest token."""
    top_k: Annotated[int, Bounds(minimum=0)] = 0
    """Draw among the k likeliest tokens only; 0 keeps all."""
    top_p: Annotated[float, Bounds(above=0, maximum=1)] = 1.0
    """Draw among the likeliest tokens that together have this probability; 1 keeps all."""
    stop: tuple[str, ...] = ()
    """Texts that end a response; they are not part of it."""
    retries: Annotated[int, Bounds(minimum=0)] = 4
    """How often an empty response, or one that is nearly the same as another of its prompt, is sampled again."""
    similarity: Share = 0.9
    """Two responses that share this much of their words are nearly the same."""
    place: bool = True
    """Put the responses into the annotators' queue, one ranking task a prompt."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 30.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        check(self)
        if self.min_new_tokens >= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens {self.min_new_tokens} leaves no room below max_new_tokens {self.max_new_tokens}",
                {"min_new_tokens": "must be less than max_new_tokens"},
            )
