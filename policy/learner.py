"""Learn: one optimiser step of policy and critic from part of a rollout, exact however it is split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from policy import ptx
from policy.losses import head_policy_loss, value_losses
from policy.rollout import Stopped, rows_of
from training.lm import distributed, optim, savepoints
from training.lm.logprobs import trunk_and_head
from training.lm.masked import masked_sum
from training.lm.trees import Tree, TreeBatch, by_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from policy.config import PPOConfig
    from policy.ptx import TextStream
    from policy.team import Team

POLICY_SUMS = ("policy_loss", "approx_kl", "clip_fraction")
VALUE_SUMS = ("value_loss", "value_clip_fraction")


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


class Weights(savepoints.Trained):
    """A copy of a model's trainable weights that moves after them, and can be put back into the model."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__(model)
        self.kept = self.copy()

    @torch.no_grad()
    def keep(self, decay: float = 0.0) -> None:
        """Move towards the model's weights: decay·kept + (1 - decay)·weights."""
        for name, parameter in self._parameters().items():
            self.kept[name].mul_(decay).add_(parameter.detach(), alpha=1 - decay)

    def put(self) -> None:
        """Put what is kept into the model."""
        super().load_state_dict(self.kept)

    def state_dict(self) -> dict[str, Any]:
        """Give what is kept."""
        return dict(self.kept)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        for name, tensor in self.kept.items():
            tensor.copy_(distributed.part_like(tensor, state[name]))


class LastGood:
    """What would have been published at the last look that no alarm followed; what a run can be rolled back to.

    A policy is first seen in the rollout after a look at it, so a look is trusted one step later, or never.
    """

    def __init__(self, policy: torch.nn.Module) -> None:
        self.weights, self.candidate = Weights(policy), Weights(policy)
        self.said: dict[str, Any] = {"step": 0, "figures": {}}
        self.candidate_said = dict(self.said)

    def look(self, step: int, figures: Mapping[str, float], average: Weights | None) -> None:
        """Remember the policy (its average where one is kept) with what was seen of it, until it can be trusted."""
        if average:
            self.candidate.load_state_dict(average.kept)
        else:
            self.candidate.keep()
        self.candidate_said = {"step": step, "figures": dict(figures)}
        if step == 0:
            self.trust()

    def trust(self) -> None:
        """Nothing was wrong in the step after the look: that is what a run is rolled back to from now on."""
        self.weights.load_state_dict(self.candidate.kept)
        self.said = dict(self.candidate_said)

    def doubt(self) -> None:
        """An alarm followed the look, so it is never trusted, however quiet the run becomes again."""
        self.candidate.load_state_dict(self.weights.kept)
        self.candidate_said = dict(self.said)

    def state_dict(self) -> dict[str, Any]:
        """Give both."""
        kept = {"weights": self.weights.state_dict(), "candidate": self.candidate.state_dict()}
        return {**kept, "said": dict(self.said), "candidate_said": dict(self.candidate_said)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take both back."""
        self.weights.load_state_dict(state["weights"])
        self.candidate.load_state_dict(state["candidate"])
        self.said, self.candidate_said = dict(state["said"]), dict(state["candidate_said"])


class Learner:
    """Policy and critic with their optimisers and schedules. `updates` optimiser steps make one rollout's learning.

    Over several processes each computes its share of every step, and all take the same step.
    """

    def __init__(
        self, team: Team, config: PPOConfig, *, stop: Callable[[], bool], text: TextStream | None = None
    ) -> None:
        self.team, self.config, self.stop, self.text = team, config, stop, text
        self.parameters = team.parameters()
        rates = {"policy": config.learning_rate, "critic": config.value_learning_rate}
        self.optimizers = {
            name: optim.adamw(
                torch.nn.ParameterList(parameters),
                learning_rate=rates[name],
                betas=(0.9, 0.95),
                eps=config.adam_eps,
                tf_style=config.tf_adam,
            )
            for name, parameters in self.parameters.items()
        }
        self.schedules = {
            name: optim.schedule(optimizer, "constant", steps=config.steps, warmup=config.warmup_steps, start=0.1)
            for name, optimizer in self.optimizers.items()
        }
        self.average = Weights(team.policy) if config.ema is not None else None

    @property
    def parts(self) -> dict[str, Any]:
        """Everything that a savepoint must hold."""
        parts: dict[str, Any] = {
            "policy": savepoints.Trained(self.team.policy),
            "critic": savepoints.Trained(self.team.critic),
        }
        parts |= {f"{name}_optimizer": optimizer for name, optimizer in self.optimizers.items()}
        parts |= {f"{name}_schedule": schedule for name, schedule in self.schedules.items()}
        parts |= {"average": self.average} if self.average else {}
        return parts | ({"text": self.text} if self.text else {})

    def update(
        self, experience: Experience, tree_numbers: Sequence[int], *, critic_only: bool = False
    ) -> dict[str, float]:
        """Take one optimiser step on these trees; return sums over their tokens, `tokens` among them.

        In the critic's warm-up (`critic_only`) the policy stays as it is and values are not clipped: a critic that
        starts from a reward model was only ever asked at the last token, and is far off in the middle of a response.

        Raises Stopped between micro-batches when asked; then no weight has changed.
        """
        K, config = experience.responses_per_prompt, self.config
        tokens = sum(len(ids) for i in tree_numbers for ids in experience.trees[i].responses)
        sums = dict.fromkeys((*POLICY_SUMS, *VALUE_SUMS), 0.0)
        groups = list(by_tokens(((i, experience.trees[i]) for i in tree_numbers), config.micro_batch_tokens))
        for group, weight in distributed.deal(groups):
            self._leave_if_asked()
            batch = TreeBatch([experience.trees[i] for i in group], device=self.team.device)
            parts = self._descend(batch, experience, rows_of(group, K), weight / tokens, critic_only=critic_only)
            add(sums, {name: weight * value for name, value in parts.items()})
        sums = dict(zip(sums, distributed.total(*sums.values()), strict=True)) | {"tokens": float(tokens)}
        windows = 0
        if self.text and config.ptx_coef and not critic_only:
            windows = ptx.windows_for(len(tree_numbers) * K, config.ptx_examples_per_episode)
            sums["ptx_loss"] = self._mix_in(self.text, windows) * tokens
        for name in ("critic",) if critic_only else ("policy", "critic"):
            norm = distributed.finish_gradients(self.parameters[name], config.max_grad_norm)
            sums["grad_norm" if name == "policy" else "value_grad_norm"] = norm * tokens
            self.optimizers[name].step()
        self._drop_gradients()
        if self.text and windows:
            self.text.advance(windows)
        if self.average and not critic_only:
            self.average.keep(config.ema or 0.0)
        return sums

    def end_step(self, *, critic_only: bool = False) -> float:
        """Move the schedules on after a rollout's learning; return the policy's learning rate that was used."""
        rate = 0.0 if critic_only else float(self.schedules["policy"].get_last_lr()[0])
        for name in ("critic",) if critic_only else ("policy", "critic"):
            self.schedules[name].step()
        return rate

    def _descend(
        self, batch: TreeBatch, experience: Experience, rows: Tensor, weight: float, *, critic_only: bool
    ) -> dict[str, float]:
        """Add `weight` times the gradients of the losses' sums over a batch; return sums of what is reported.

        `rows` are the batch's responses in the experience. Policy and critic go one after the other, so that only one
        of them keeps its activations, unless they share a trunk.
        """
        team, mask = self.team, batch.response_mask
        sums: dict[str, Tensor] = {}
        old = {
            name: getattr(experience, name)[rows, : mask.shape[1]].to(mask.device)
            for name in ("logprobs", "values", "advantages", "returns")
        }

        def policy_pass() -> Tensor:
            hidden = team.policy_hidden(batch)
            loss, told = self._policy_loss(hidden, batch, old)
            if team.critic.reads == "shared":
                value_loss, value_told = self._value_loss(hidden, batch, old)
                loss, told = loss + self.config.value_coef * value_loss, told | value_told
            sums.update(told)
            return loss * weight

        def value_pass() -> Tensor:
            with torch.set_grad_enabled(team.critic.reads != "shared"):
                hidden = team.critic_hidden(batch)
            loss, told = self._value_loss(hidden, batch, old, is_clipped=not critic_only)
            sums.update(told)
            return loss * weight

        if not critic_only:
            team.spread(policy_pass).backward()  # type: ignore[no-untyped-call]
        if critic_only or team.critic.reads != "shared":
            with team.as_critic():
                team.spread(value_pass).backward()  # type: ignore[no-untyped-call]
        return {name: float(value) for name, value in sums.items()}

    def _policy_loss(
        self, hidden: Tensor, batch: TreeBatch, old: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, mask = self.config, batch.response_mask
        before = old["logprobs"][mask]
        loss, logprobs = head_policy_loss(
            hidden[batch.before_each[mask]],
            trunk_and_head(self.team.policy)[1],
            batch.response_ids[mask],
            before,
            old["advantages"][mask],
            clip_range=config.clip_range,
            temperature=config.temperature,
            early=self.team.early(batch),
            end_id=self.team.encoder.eos_id,
        )
        log_ratio = logprobs - before
        outside = (log_ratio.exp() - 1).abs() > config.clip_range
        told = (loss.detach(), (0.5 * log_ratio.square()).sum(), outside.sum())
        return loss, dict(zip(POLICY_SUMS, told, strict=True))

    def _value_loss(
        self, hidden: Tensor, batch: TreeBatch, old: Mapping[str, Tensor], *, is_clipped: bool = True
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mask = batch.response_mask
        clip = self.config.value_clip_range if is_clipped else float("inf")
        values, _ = self.team.critic.values(hidden, batch)
        loss = masked_sum(value_losses(values, old["values"], old["returns"], clip), mask)
        outside = masked_sum(((values.detach() - old["values"]).abs() > clip).float(), mask)
        return loss, dict(zip(VALUE_SUMS, (loss.detach(), outside), strict=True))

    def _mix_in(self, text: TextStream, count: int) -> float:
        """Add ptx_coef times the gradient of the mean loss on the next windows of text; return that loss."""
        windows, total, team = text.peek(count), 0.0, self.team
        for rows, weight in distributed.deal(ptx.parts(count, windows.shape[1], self.config.micro_batch_tokens)):
            self._leave_if_asked()
            share = weight / windows[:, 1:].size
            nats = team.spread(partial(ptx.text_nats, team.policy, windows[rows], team.precision))
            (nats * share * self.config.ptx_coef).backward()  # type: ignore[no-untyped-call]
            total += float(nats.detach()) * share
        return distributed.total(total)[0]

    def _leave_if_asked(self) -> None:
        if self.stop():
            self._drop_gradients()
            raise Stopped

    def _drop_gradients(self) -> None:
        for optimizer in self.optimizers.values():
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
