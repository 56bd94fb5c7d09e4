"""What the trainers of the policy can be told: one frozen dataclass a job kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from training import size
from training.config import Bounds, ConfigError, check
from training.records import LARGEST_RANKING, SMALLEST_RANKING
from training.size import AnySize, Precision

if TYPE_CHECKING:
    from collections.abc import Iterable

Count = Annotated[int, Bounds(minimum=1)]
Rate = Annotated[float, Bounds(above=0, below=1)]
Share = Annotated[float, Bounds(minimum=0, maximum=1)]
OptimizerName = Literal["adamw", "muon"]
AlarmAction = Literal["note", "pause", "stop", "roll_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptConfig:
    """A policy that exists already."""

    model: str = ""
    """A folder on the worker's machine, or a name on a model hub; empty for the starter's model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig(size.AnySize):
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
        size.check(self)
        if self.compile and self.parallel == "fsdp":
            raise ConfigError(
                "torch.compile fuses a model that is there as a whole, and under fsdp it is not: choose one of them",
                {"compile": "must be false under fsdp"},
            )
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
class SFTConfig(size.AnySize):
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
    turns: Literal["last", "all"] = "last"
    """Learn the demonstrated response only, or the assistant's earlier turns of its conversation as well."""
    evaluations_per_epoch: Count = 1
    """Looks at the valid demonstrations in each epoch. The step with the lowest valid loss is the one kept, or, given
    a reward model, the one whose responses it scores highest."""
    reward_prompts: Count = 64
    """Given a reward model: prompts of the split valid that each look writes a response to."""
    reward_max_new_tokens: Count = 128
    """The longest of these responses, its end token included."""
    reward_temperature: Annotated[float, Bounds(minimum=0)] = 1.0
    """Logits are divided by it when they are written; 0 takes the likeliest token."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 100.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        size.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsConfig:
    """What PPO does when it sees itself go wrong.

    Every alarm is said by name and marked on the curves. Then: note goes on; pause waits for a person, who can resume
    the job or cancel it; stop ends the run and publishes the policy; roll_back ends it and publishes the policy as it
    was at the last look that no alarm followed.
    """

    window: Count = 3
    """Steps whose mean is held against the mean of the run's first steps, as many."""
    kl_running_away: AlarmAction = "note"
    """When the KL of a response passes kl_limit, or would after another window at its present pace."""
    kl_limit: Annotated[float, Bounds(above=0)] = 50.0
    """KL of a whole response to the reference, in nats, that is too much."""
    length_drifting: AlarmAction = "note"
    """When responses have become longer or shorter than at first by more than length_drift."""
    length_drift: Annotated[float, Bounds(above=0)] = 0.5
    """0.5 allows half as many tokens again, or a third fewer."""
    entropy_collapsing: AlarmAction = "note"
    """When the entropy of a token has fallen to entropy_left of what it was at first."""
    entropy_left: Annotated[float, Bounds(above=0, below=1)] = 0.3
    """Share of the first entropy that is too little."""
    reward_up_while_ensemble_disagrees: AlarmAction = "note"
    """When the reward has risen by more than chance, and its judges disagree disagreement_growth times as much as where
    they agreed best."""
    disagreement_growth: Annotated[float, Bounds(above=1)] = 1.5
    """Growth of the judges' standard deviation that is too much."""
    negative_kl: AlarmAction = "note"
    """When the KL was below 0 by more than chance for a window: sampling and learning disagree."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def rolls_back(self) -> bool:
        """Whether any alarm wants the last good state, so that it must be kept."""
        return "roll_back" in (
            self.kl_running_away,
            self.length_drifting,
            self.entropy_collapsing,
            self.reward_up_while_ensemble_disagrees,
            self.negative_kl,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig(AnySize):
    """Teach the policy with PPO against a reward, held close to where it starts by a KL penalty."""

    precision: Precision = "auto"
    """Arithmetic of the matrix products: auto takes bfloat16 on GPUs, and float32 elsewhere, where ratios are exact."""
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
    micro_batch_tokens: Count = 2048
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
    reward_combination: Literal["mean", "worst", "mean_minus_variance"] = "mean"
    """How several judges' votes become one reward: their mean, the lowest, or the mean less λ times the variance."""
    reward_variance_coef: Annotated[float, Bounds(minimum=0)] = 0.5
    """That λ."""
    reward_function: str = ""
    """A registered function that judges, too; with no reward model chosen, it judges alone."""
    reward_url: str = ""
    """An address that judges, too, as POST /api/v1/rewards does; LAUREL_REWARD_URLS must allow it."""
    reward_url_model: str = ""
    """The model that the address is asked for, where it has several."""
    reward_timeout_seconds: Annotated[float, Bounds(above=0, maximum=600)] = 60.0
    """How long the address may take to judge 64 responses, before it is asked again."""
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
    max_update_kl: Annotated[float, Bounds(above=0)] | None = None
    """Stop learning from a rollout when the approximate KL of its update exceeds this many nats a token."""
    gamma: Annotated[float, Bounds(above=0, maximum=1)] = 1.0
    """Discount of later rewards."""
    gae_lambda: Share = 1.0
    """GAE's λ: 1 trusts the rewards only, 0 the values. Less than 1 is for a critic that explains the returns: 0.95
    looks some twenty tokens ahead, so a reward at the end reaches the beginning through the critic alone."""
    clip_range: Annotated[float, Bounds(above=0)] = 0.2
    """The ratio of new to old probability counts up to this far from 1."""
    value_clip_range: Annotated[float, Bounds(above=0)] = 0.2
    """A value counts up to this far from what it was at the rollout."""
    value_model: Literal["separate", "shared"] = "separate"
    """A model of its own, or one more head on the policy's trunk: less memory and time, another algorithm."""
    value_coef: Annotated[float, Bounds(above=0)] = 0.1
    """Weight of the value loss in a shared trunk."""
    whiten_rewards: bool = False
    """Scale the rewards of a rollout to variance 1, keeping their mean. Advantages are always whitened."""
    ptx_coef: Annotated[float, Bounds(minimum=0)] = 0.0
    """Weight gamma of next-word prediction on the text in each policy step; 1 for the starter (InstructGPT: 27.8)."""
    ptx_examples_per_episode: Annotated[float, Bounds(above=0)] = 8.0
    """Windows of that text for each response that a step sees."""
    ptx_context: Annotated[int, Bounds(minimum=8)] = 256
    """Tokens in such a window."""
    ema: Annotated[float, Bounds(above=0, below=1)] | None = None
    """Publish the exponential moving average of the weights with this decay (InstructGPT: 0.992)."""
    evaluations: Count = 4
    """Looks at fixed prompts of the split valid, evenly over the run, and one before it."""
    evaluation_prompts: Count = 16
    """How many prompts a look samples a response to."""
    alarms: AlarmsConfig = AlarmsConfig()
    """What happens when the run goes wrong."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 60.0
    """Time between savepoints."""

    @property
    def rollouts(self) -> int:
        """Rollouts of the whole run: those of the critic's warm-up, then those of the policy."""
        return self.critic_warmup_steps + self.steps

    def __post_init__(self) -> None:
        size.check(self)
        if self.lora_dropout:
            raise ConfigError(
                f"lora_dropout {self.lora_dropout} would make every ratio of PPO random",
                {"lora_dropout": "must be 0 in PPO"},
            )
        if self.rollout_prompts < self.processes:
            raise ConfigError(
                f"rollout_prompts {self.rollout_prompts} leave some of {self.processes} processes without a prompt",
                {"rollout_prompts": "must be at least processes"},
            )
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


def refuse_reward_url(url: str, allowed: Iterable[str]) -> None:
    """Refuse an address to which nobody allowed responses to be sent, naming the setting that does."""
    _refuse_address(url, allowed, what="responses", field="reward_url", setting="LAUREL_REWARD_URLS")


def refuse_server(url: str, allowed: Iterable[str]) -> None:
    """Refuse a server to which nobody allowed prompts to be sent, naming the setting that does."""
    _refuse_address(url, allowed, what="prompts", field="server", setting="LAUREL_SAMPLE_SERVERS")


def _refuse_address(url: str, allowed: Iterable[str], *, what: str, field: str, setting: str) -> None:
    """An entry of the list allows that address alone; one that ends with a slash, whatever lies below it."""
    entries = [entry.strip() for entry in allowed if entry.strip()]
    climbs = ".." in url or "%" in url or "\\" in url
    if climbs or not any(url == entry or (entry.endswith("/") and url.startswith(entry)) for entry in entries):
        raise ConfigError(
            f"{what} may not be sent to {url}: an admin allows addresses in {setting} "
            f"(now: {', '.join(entries) or 'none'})",
            {field: f"is not allowed by {setting}"},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleConfig:
    """Write K responses to each prompt of a dataset."""

    responses_per_prompt: Count = 4
    """Responses to each prompt, 2 to 9 where people rank them; where there is a rival, half of them are its."""
    candidates: Annotated[int, Bounds(minimum=0)] = 0
    """Write so many first, and let the members of the reward model's ensemble choose among them: each response is what
    a member drawn at random likes best, so that people compare what might be best. 0 writes no more than are wanted."""
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
    server: str = ""
    """Let a server write that speaks OpenAI's API (vLLM, SGLang): its address, which LAUREL_SAMPLE_SERVERS allows."""
    server_models: tuple[str, ...] = ()
    """What that server calls the policy and, where there is one, the rival; by default the checkpoints' digests."""
    place: bool = True
    """Put the responses into the annotators' queue, one ranking task a prompt."""
    savepoint_every_seconds: Annotated[float, Bounds(minimum=0)] = 30.0
    """Time between savepoints."""

    def __post_init__(self) -> None:
        check(self)
        if 0 < self.candidates < self.responses_per_prompt:
            raise ConfigError(
                f"{self.responses_per_prompt} responses cannot be chosen among {self.candidates} candidates",
                {"candidates": "must be 0, or at least responses_per_prompt"},
            )
        if self.min_new_tokens >= self.max_new_tokens:
            raise ConfigError(
                f"min_new_tokens {self.min_new_tokens} leaves no room below max_new_tokens {self.max_new_tokens}",
                {"min_new_tokens": "must be less than max_new_tokens"},
            )
        if self.place and not SMALLEST_RANKING <= self.responses_per_prompt <= LARGEST_RANKING:
            raise ConfigError(
                f"{self.responses_per_prompt} responses to a prompt cannot be ranked: people rank "
                f"{SMALLEST_RANKING} to {LARGEST_RANKING} (place=false keeps them out of the queue)",
                {"responses_per_prompt": f"must be {SMALLEST_RANKING} to {LARGEST_RANKING} where place is true"},
            )
