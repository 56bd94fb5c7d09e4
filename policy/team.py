"""The models of a PPO run: who acts, who is stayed close to, who expects; and how little memory they can share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from policy.critic import Critic
from policy.losses import head_logprobs
from training.lm import adapters, attention, backbone, distributed
from training.lm.blocks import response_states
from training.lm.logprobs import autocast, matmul_dtype, trunk_and_head

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from policy.config import PPOConfig
    from training.lm.encoder import Encoder
    from training.lm.trees import TreeBatch

VALUE_ADAPTERS = "value"


@dataclass(frozen=True, slots=True)
class Team:
    """Policy, reference and critic, and the one encoder of all three.

    reference: a model of its own, or None where it is the policy without its adapters. precision: of the products.
    spread: how they lie over several processes; every pass whose gradient is wanted runs inside it. min_new_tokens: no
    response ends before so many, so up to there policy and reference are distributions over everything but the end.
    """

    policy: Any
    reference: Any | None
    critic: Critic
    encoder: Encoder
    precision: str
    spread: distributed.Spread
    min_new_tokens: int = 0

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return torch.device(self.policy.device)

    @property
    def is_half(self) -> bool:
        """Whether products run in bfloat16, so that sampling and learning differ by more than float32's rounding."""
        return matmul_dtype(self.precision, self.device) == torch.bfloat16

    def arithmetic(self) -> AbstractContextManager[Any]:
        """In which products run as the configuration says."""
        return autocast(self.precision, self.device)

    def as_critic(self) -> AbstractContextManager[Any]:
        """In which the policy's trunk is the critic's, where it has adapters for that; backward passes included."""
        return adapters.using(self.policy, VALUE_ADAPTERS) if self.critic.reads == "adapters" else nullcontext()

    def policy_hidden(self, batch: TreeBatch) -> Tensor:
        """The policy's hidden states at `batch.read_at`, (M, D)."""
        with self.arithmetic():
            return response_states(trunk_and_head(self.policy)[0], batch)

    def critic_hidden(self, batch: TreeBatch) -> Tensor:
        """Hidden states (M, D) for the critic to read; to be called inside `as_critic`."""
        with self.arithmetic():
            return response_states(self.policy.base_model if self.critic.trunk is None else self.critic.trunk, batch)

    def policy_logprobs(self, batch: TreeBatch, hidden: Tensor, temperature: float) -> Tensor:
        """Log-probabilities (N, R) of the response tokens under the policy, from its hidden states."""
        return self._logprobs(self.policy, batch, hidden, temperature)

    def reference_logprobs(self, batch: TreeBatch, temperature: float) -> Tensor:
        """Log-probabilities (N, R) of the response tokens under the reference."""
        if self.reference is None:
            with adapters.without(self.policy):
                return self._logprobs(self.policy, batch, self.policy_hidden(batch), temperature)
        with self.arithmetic():
            hidden = response_states(trunk_and_head(self.reference)[0], batch)
        return self._logprobs(self.reference, batch, hidden, temperature)

    def early(self, batch: TreeBatch) -> Tensor | None:
        """Which of the batch's real response tokens (n,) cannot be an end; None where each can."""
        if not self.min_new_tokens:
            return None
        mask = batch.response_mask
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        return (places < self.min_new_tokens)[mask]

    def _logprobs(self, model: Any, batch: TreeBatch, hidden: Tensor, temperature: float) -> Tensor:
        early, end_id = self.early(batch), self.encoder.eos_id
        return response_logprobs(model, batch, hidden, temperature, early=early, end_id=end_id)

    def parameters(self) -> dict[str, list[nn.Parameter]]:
        """What each optimiser moves: of the policy, and of the critic (which may lie in the policy's trunk)."""
        found: dict[str, list[nn.Parameter]] = {"policy": [], "critic": adapters.trainable(self.critic)}
        for name, parameter in self.policy.named_parameters():
            if parameter.requires_grad:
                found["critic" if f".{VALUE_ADAPTERS}." in name else "policy"].append(parameter)
        return found


def assemble(start: Path, config: PPOConfig, device: torch.device, *, critic_from: Path | Any | None) -> Team:
    """Load the models that a configuration asks for, sharing what can be shared, and spread them over the processes.

    start: the policy's folder. critic_from: the reward model that the critic starts from, as a folder or loaded (then
    its trunk is the judge's, and only adapters are added); None starts it from the policy.
    """
    precision, where = precision_on(device, config), distributed.loading_device(config.parallel, device)
    half = matmul_dtype(precision, device)
    frozen = config.lora_rank > 0
    policy, encoder = load(start, where, half if frozen else torch.float32)
    reference = None
    if not frozen:
        reference, _ = load(start, where, half)
        reference.requires_grad_(requires_grad=False)
    adapters.attach(policy, config)
    if config.value_model == "shared":
        critic = Critic.on_policy(policy, "shared")
    elif critic_from is not None:
        critic = Critic.from_scorer(critic_from, where)
        adapters.attach(critic.trunk, config)
    elif frozen:
        adapters.attach(policy, config, name=VALUE_ADAPTERS)
        adapters.use(policy, adapters.DEFAULT)
        critic = Critic.on_policy(policy, "adapters")
    else:
        critic = Critic.from_policy(start, where)
    if config.activation_checkpointing:
        for model in (policy, critic.trunk):
            if model is not None:
                backbone.checkpoint_activations(model)
                model.train()  # `transformers` keeps everything in evaluation mode; there is no dropout
    models = {"policy": policy, "critic": critic} | ({"reference": reference} if reference is not None else {})
    spread = distributed.Spread(nn.ModuleDict(models), config.parallel, half)
    return Team(policy, reference, critic, encoder, precision, spread, config.min_new_tokens)


def precision_on(device: torch.device, config: PPOConfig) -> str:
    """Arithmetic on a device. Processors compute in float32 unless told otherwise: PPO lives on small differences."""
    return "float32" if config.precision == "auto" and device.type == "cpu" else config.precision


def load(path: Path, device: torch.device | str, dtype: torch.dtype = torch.float32) -> tuple[Any, Encoder]:
    """Load a policy for PPO with our attention: what learns in float32, since ratios near 1 need it."""
    policy, encoder = backbone.load_policy(path, device, dtype=dtype)
    policy.set_attn_implementation(attention.NAME)
    return policy, encoder


def response_logprobs(
    model: Any,
    batch: TreeBatch,
    hidden: Tensor,
    temperature: float,
    *,
    early: Tensor | None = None,
    end_id: int = 0,
) -> Tensor:
    """Log-probability of each response token, (N, R), 0 where nothing is real; without a gradient.

    hidden (M, D) are the model's at `batch.read_at`. The head is applied to what predicts a response token, and to
    nothing else. `early` says which real tokens cannot be an end, as in `head_logprobs`.
    """
    mask, head = batch.response_mask, trunk_and_head(model)[1]
    read_at, targets = hidden[batch.before_each[mask]], batch.response_ids[mask]
    said = head_logprobs(read_at, head, targets, temperature, early=early, end_id=end_id)
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, said)
