"""Learn: one optimiser step of policy and critic from part of a rollout, exact however it is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from policy.losses import policy_losses, value_losses
from policy.rollout import Stopped, response_logprobs, rows_of
from training.lm import optim
from training.lm.masked import masked_sum
from training.lm.trees import Tree, TreeBatch, by_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from policy.config import PPOConfig
    from policy.critic import Critic


@dataclass(frozen=True, slots=True)
class Experience:
    """A rollout as learning sees it: (N, R) tensors, 0 where no token is real, and what was measured on the way."""

    trees: list[Tree]
    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    figures: dict[str, float]

    @property
    def responses_per_prompt(self) -> int:
        """K."""
        return len(self.trees[0].responses)

    def plain(self) -> dict[str, Any]:
        """Give it as tensors and plain data, for a savepoint."""
        trees = [{"prompt": list(tree.prompt), "responses": [list(r) for r in tree.responses]} for tree in self.trees]
        tensors = {name: getattr(self, name) for name in ("logprobs", "values", "advantages", "returns")}
        return {"trees": trees, "figures": dict(self.figures), **tensors}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Experience:
        """Take it back."""
        return cls(**{**plain, "trees": [Tree(tree["prompt"], tree["responses"]) for tree in plain["trees"]]})


class Average:
    """The exponential moving average of a model's parameters."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the model's weights: decay·average + (1 - decay)·weights."""
        for name, parameter in self.model.named_parameters():
            self.shadow[name].mul_(self.decay).add_(parameter, alpha=1 - self.decay)

    @torch.no_grad()
    def put(self) -> None:
        """Put the average into the model."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(self.shadow[name])

    def state_dict(self) -> dict[str, Tensor]:
        """Give the averages."""
        return dict(self.shadow)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the averages back."""
        for name, tensor in state.items():
            self.shadow[name].copy_(tensor)


class Learner:
    """Policy and critic with their optimisers and schedules. `updates` optimiser steps make one rollout's learning."""

    def __init__(self, policy: Any, critic: Critic, config: PPOConfig, *, stop: Callable[[], bool]) -> None:
        self.policy, self.critic, self.config, self.stop = policy, critic, config, stop
        self.optimizers = [
            optim.adamw(model, learning_rate=rate, betas=(0.9, 0.95), eps=config.adam_eps, tf_style=config.tf_adam)
            for model, rate in ((policy, config.learning_rate), (critic, config.value_learning_rate))
        ]
        self.schedules = [
            optim.schedule(optimizer, "constant", steps=config.steps, warmup=config.warmup_steps, start=0.1)
            for optimizer in self.optimizers
        ]
        self.average = Average(policy, config.ema) if config.ema is not None else None

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that a savepoint must hold."""
        parts = {
            "policy": self.policy,
            "critic": self.critic,
            "policy_optimizer": self.optimizers[0],
            "critic_optimizer": self.optimizers[1],
            "policy_schedule": self.schedules[0],
            "critic_schedule": self.schedules[1],
        }
        return parts | ({"average": self.average} if self.average else {})

    def update(
        self, experience: Experience, tree_numbers: Sequence[int], *, critic_only: bool = False
    ) -> dict[str, float]:
        """Take one optimiser step on these trees; return sums over their tokens, `tokens` among them.

        In the critic's warm-up (`critic_only`) the policy stays as it is and values are not clipped: a critic that
        starts from a reward model was only ever asked at the last token, and is far off in the middle of a response.

        Raises Stopped between micro-batches when asked; then no weight has changed.
        """
        K = experience.responses_per_prompt
        tokens = sum(len(ids) for i in tree_numbers for ids in experience.trees[i].responses)
        sums: dict[str, float] = {"tokens": float(tokens)}
        for group in by_tokens(((i, experience.trees[i]) for i in tree_numbers), self.config.micro_batch_tokens):
            if self.stop():
                self._drop_gradients()
                raise Stopped
            batch = TreeBatch([experience.trees[i] for i in group], device=self.policy.device)
            rows = rows_of(group, K)
            policy_loss, value_loss, parts = self.losses(batch, experience, rows, clip_values=not critic_only)
            if not critic_only:
                (policy_loss / tokens).backward()  # type: ignore[no-untyped-call]
            (value_loss / tokens).backward()  # type: ignore[no-untyped-call]
            add(sums, parts)
        learning = list(zip(("grad_norm", "value_grad_norm"), (self.policy, self.critic), self.optimizers, strict=True))
        for name, model, optimizer in learning[critic_only:]:
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.max_grad_norm)
            sums[name] = float(norm) * tokens
            optimizer.step()
        self._drop_gradients()
        if self.average and not critic_only:
            self.average.update()
        return sums

    def losses(
        self, batch: TreeBatch, experience: Experience, rows: Tensor, *, clip_values: bool = True
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Sums over the real tokens of both losses of a batch, and of what is reported; `rows` are its responses'."""
        config, mask = self.config, batch.response_mask
        width = mask.shape[1]
        old_logprobs, old_values, advantages, returns = (
            x[rows, :width].to(mask.device)
            for x in (experience.logprobs, experience.values, experience.advantages, experience.returns)
        )
        logprobs, entropy = response_logprobs(self.policy, batch, config.temperature)
        values, _ = self.critic(batch)
        policy_loss = masked_sum(policy_losses(logprobs, old_logprobs, advantages, config.clip_range), mask)
        value_clip = config.value_clip_range if clip_values else float("inf")
        value_loss = masked_sum(value_losses(values, old_values, returns, value_clip), mask)
        with torch.no_grad():
            log_ratio = logprobs - old_logprobs
            outside = (log_ratio.exp() - 1).abs() > config.clip_range
            value_outside = (values - old_values).abs() > value_clip
            sums = {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": masked_sum(entropy, mask),
                "approx_kl": masked_sum(0.5 * log_ratio.square(), mask),
                "clip_fraction": masked_sum(outside.float(), mask),
                "value_clip_fraction": masked_sum(value_outside.float(), mask),
            }
        return policy_loss, value_loss, {name: float(value.detach()) for name, value in sums.items()}

    def end_step(self, *, critic_only: bool = False) -> float:
        """Move the schedules on after a rollout's learning; return the policy's learning rate that was used."""
        rate = 0.0 if critic_only else float(self.schedules[0].get_last_lr()[0])
        for schedule in self.schedules[critic_only:]:
            schedule.step()
        return rate

    def _drop_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)


def add(sums: dict[str, float], parts: Mapping[str, float]) -> None:
    """Add named sums to named sums."""
    for name, value in parts.items():
        sums[name] = sums.get(name, 0.0) + value


def minibatches(count: int, size: int, *, epochs: int, seed: int, step: int) -> Iterable[list[int]]:
    """Yield the trees of each optimiser step of one rollout: a pure function of its arguments."""
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + step) * 131 + epoch)
        order = torch.randperm(count, generator=generator).tolist()
        for start in range(0, count, size):
            yield order[start : start + size]
