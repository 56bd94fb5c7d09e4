"""Log-probabilities of tokens, with the head applied only where a token is scored."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch

from training.lm import kernels

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1024


def trunk_and_head(model: Any) -> tuple[Any, Any]:
    """Give the part of a causal LM that makes hidden states, and its output projection.

    Models that change the logits after the projection (capping, scaling) are refused: their head is no plain matrix.
    """
    for name in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(model.config, name, None) not in (None, 1, 1.0):
            raise ValueError(
                f"{type(model).__name__} changes its logits after the head ({name}); this trainer does not know how"
            )
    return model.base_model, model.get_output_embeddings()


def weigh_(
    logits: Tensor, targets: Tensor, *, temperature: float = 1.0, early: Tensor | None = None, end_id: int = 0
) -> tuple[Tensor, Tensor]:
    """Turn float32 logits (N, V) into weights in place; log-probabilities of the targets (N,), sums of weights (N,).

    A weight is exp((logit - the largest) / temperature). Rows where early (N,) is True cannot say `end_id`: they weigh
    everything else.
    """
    if kernels.suit(logits):
        return kernels.weigh_(logits, targets, early=early, end_id=end_id, temperature=temperature)
    if early is not None:
        logits[:, end_id].masked_fill_(early, -torch.inf)
    logits -= logits.amax(-1, keepdim=True)
    logits /= temperature
    picked = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    totals = logits.exp_().sum(-1)
    return picked - totals.log(), totals


def linear_cross_entropy(
    hidden: Tensor, head: Any, targets: Tensor, weights: Tensor | None = None, *, chunk: int = CHUNK
) -> Tensor:
    """Sum of weights * cross entropy of head(hidden) against targets; no more than `chunk` rows of logits ever exist.

    hidden (N, D), targets (N,), weights (N,) or None for ones. Gradients are computed in the forward pass, chunk by
    chunk, so the logits are computed once.
    """
    if weights is None:
        weights = torch.ones(hidden.shape[0], device=hidden.device)
    total: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, targets, weights, chunk
    )
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, chunk: int
    ) -> Tensor:
        wants_gradient = any(ctx.needs_input_grad)
        half = hidden.dtype if hidden.dtype in (torch.bfloat16, torch.float16) else weight.dtype
        matrix = weight.detach().to(half)
        total = torch.zeros((), device=hidden.device)
        d_hidden = torch.empty_like(hidden) if wants_gradient else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_gradient else None
        d_bias = torch.zeros_like(bias, dtype=torch.float32) if wants_gradient and bias is not None else None
        for start in range(0, hidden.shape[0], chunk):
            rows = slice(start, start + chunk)
            part = hidden[rows].detach().to(half)
            logits = (part @ matrix.T).float()
            if bias is not None:
                logits += bias.detach().float()
            said, sums = weigh_(logits, targets[rows])
            total -= (said * weights[rows]).sum()
            if d_hidden is None or d_weight is None:
                continue
            slope = logits.mul_((weights[rows] / sums).unsqueeze(-1))
            slope.scatter_add_(-1, targets[rows].unsqueeze(-1), -weights[rows].unsqueeze(-1))
            if d_bias is not None:
                d_bias += slope.sum(0)
            slope = slope.to(half)
            d_hidden[rows] = (slope @ matrix).to(hidden.dtype)
            d_weight += (slope.T @ part).float()
        if wants_gradient:
            ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = (weight.dtype, bias.dtype if bias is not None else None)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        (slope,) = slopes
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        weight_dtype, bias_dtype = ctx.dtypes
        d_bias = None if d_bias is None else (d_bias * slope).to(bias_dtype)
        return d_hidden * slope.to(d_hidden.dtype), (d_weight * slope).to(weight_dtype), d_bias, None, None, None


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Give the context in which matrix products run in bfloat16, or one that does nothing for float32.

    `auto` takes bfloat16 on GPUs and processors that have instructions for it; elsewhere it is slower than float32.
    """
    if matmul_dtype(precision, device) == torch.float32:
        return nullcontext()
    return cast("AbstractContextManager[Any]", torch.autocast(device.type, torch.bfloat16))


def matmul_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Give the dtype of matrix products under a precision setting on a device."""
    if precision == "float32" or (precision == "auto" and not _fast_bfloat16(device)):
        return torch.float32
    return torch.bfloat16


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probes: tuple[Any, ...] = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)  # noqa: SLF001
    return any(bool(probe()) for probe in probes)
