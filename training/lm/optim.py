"""Optimisers and learning-rate schedules, with states that can be saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

OptimizerName = Literal["adamw", "muon"]
ScheduleName = Literal["cosine", "linear", "constant"]


def make(
    name: OptimizerName,
    model: torch.nn.Module,
    *,
    learning_rate: float,
    betas: tuple[float, float],
    weight_decay: float,
    matmul_dtype: torch.dtype,
) -> torch.optim.Optimizer:
    """Make the optimiser that a configuration names; `matmul_dtype` is what Muon multiplies in."""
    if name == "adamw":
        return adamw(model, learning_rate=learning_rate, betas=betas, weight_decay=weight_decay)
    return Muon(model, learning_rate=learning_rate, betas=betas, weight_decay=weight_decay, precision=matmul_dtype)


def adamw(
    model: torch.nn.Module,
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    tf_style: bool = False,
) -> torch.optim.Optimizer:
    """Make an AdamW over the trainable parameters; weight decay touches matrices only, not norms and biases.

    `tf_style` puts eps before the bias correction as TensorFlow does, which makes the first steps smaller.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trainable if parameter.dim() >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if tf_style:
        return TensorFlowAdam(groups, learning_rate=learning_rate, betas=betas, eps=eps)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=eps, fused=True)


class TensorFlowAdam(torch.optim.Optimizer):
    """Adam as TensorFlow writes it: the step is lr·√(1-β₂ᵗ)/(1-β₁ᵗ) · m/(√v + ε), with decoupled weight decay.

    PyTorch's divides √v by √(1-β₂ᵗ) before it adds ε, so for small gradients its first steps are far larger.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": learning_rate, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient by one step."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] += 1
                state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                if group["weight_decay"]:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                size = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
                parameter.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt().add_(group["eps"]), value=-size)
        return loss


class Muon(torch.optim.Optimizer):
    """Muon for the hidden matrices of a model, AdamW for everything else (embeddings, head, norms, biases).

    Each matrix moves along its momentum made orthogonal by Newton-Schulz steps (K. Jordan, 2024), at the size that
    AdamW's moves have (Liu et al., 2502.16982), so both parts share one learning rate.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        ends = {
            id(parameter)
            for module in model.modules()
            if isinstance(module, torch.nn.Embedding)
            for parameter in module.parameters()
        }
        head = getattr(model, "get_output_embeddings", lambda: None)()
        ends |= {id(parameter) for parameter in head.parameters()} if head is not None else set()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        hidden = [parameter for parameter in trainable if parameter.dim() == 2 and id(parameter) not in ends]
        others = [parameter for parameter in trainable if parameter.dim() != 2 or id(parameter) in ends]
        wide = [parameter for parameter in others if parameter.dim() >= 2]
        narrow = [parameter for parameter in others if parameter.dim() < 2]
        groups: list[dict[str, Any]] = [
            {"params": hidden, "orthogonal": True, "weight_decay": weight_decay},
            {"params": wide, "orthogonal": False, "weight_decay": weight_decay},
            {"params": narrow, "orthogonal": False, "weight_decay": 0.0},
        ]
        defaults = {"lr": learning_rate, "betas": betas, "momentum": momentum, "eps": eps}
        super().__init__([group for group in groups if group["params"]], defaults)
        self._precision = precision

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient by one step."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in moving:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
            if group["orthogonal"]:
                self._move_matrices(moving, group)
            else:
                self._move_others(moving, group)
        return loss

    def _move_matrices(self, matrices: list[Tensor], group: dict[str, Any]) -> None:
        """Move matrices along their orthogonal momentum; those of one shape are made orthogonal together."""
        alike: dict[torch.Size, list[Tensor]] = {}
        for matrix in matrices:
            alike.setdefault(matrix.shape, []).append(matrix)
        for shape, members in alike.items():
            directions = []
            for matrix in members:
                gradient = _gradient(matrix)
                state = self.state[matrix]
                momentum = state.setdefault("momentum", torch.zeros_like(gradient))
                momentum.lerp_(gradient, 1 - group["momentum"])
                directions.append(gradient.lerp(momentum, group["momentum"]))
            size = group["lr"] * 0.2 * math.sqrt(max(shape))
            for matrix, move in zip(members, orthogonal(torch.stack(directions), self._precision), strict=True):
                matrix.add_(move.to(matrix.dtype), alpha=-size)

    def _move_others(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            gradient = _gradient(parameter)
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["step"] += 1
            state["exp_avg"].lerp_(gradient, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            spread = (state["exp_avg_sq"] / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
            parameter.addcdiv_(state["exp_avg"], spread, value=-group["lr"] / (1 - beta1 ** state["step"]))


def orthogonal(matrices: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of each matrix (N, rows, columns) near 1 by five Newton-Schulz steps."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(precision)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    moves: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return moves


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise ValueError("a parameter without a gradient cannot be moved")
    return parameter.grad


def schedule(
    optimizer: torch.optim.Optimizer,
    name: ScheduleName,
    *,
    steps: int,
    warmup: int = 0,
    floor: float = 0.1,
    start: float = 0.0,
) -> torch.optim.lr_scheduler.LambdaLR:
    """Make a schedule over `steps` steps: a linear warm-up from `start`, then down to `floor` times the rate."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(name, step, steps=steps, warmup=warmup, floor=floor, start=start)
    )


def factor(name: ScheduleName, step: int, *, steps: int, warmup: int, floor: float, start: float = 0.0) -> float:
    """Give the factor on the learning rate for the step with this number, counted from 0."""
    if step < warmup:
        return start + (1 - start) * (step + 1) / warmup
    if name == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    if name == "linear":
        return floor + (1 - floor) * (1 - done)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
