"""The hidden states of a row of tokens, computed with fewer passes over memory than `transformers` takes.

The backbone's own modules do every matrix product, so weights, adapters and names are what they are. What lies between
them (norms, rotation, gates) runs in functions whose gradients are written out and touch each number few times, and
where only the states of last tokens are wanted, the last layer computes nothing but keys and values for the others.
Backbones of families that are not known here, with dropout, or laid out over several processes, run as `transformers`
runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn import functional as F
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.models.llama.modeling_llama import LlamaModel
from transformers.models.qwen2.modeling_qwen2 import Qwen2Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

from training.lm import kernels
from training.lm.trees import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from training.lm.attention import Row
    from training.lm.trees import TreeBatch


class Pruned(NamedTuple):
    """Tokens whose states alone are wanted, and how these attend: the last layer computes no more than that."""

    at: Tensor
    """(N,) in the order of the row."""
    attend: Callable[..., Tensor]


def states(trunk: Any, row: Row) -> Tensor:
    """Give the hidden state of every token, (T, D), from a backbone without its head."""
    way = _way(trunk)
    return way(trunk, row, None) if way else read(trunk, row)


def response_states(trunk: Any, batch: TreeBatch) -> Tensor:
    """Give the states at `batch.read_at`, (M, D), from a backbone without its head."""
    way = _way(trunk)
    if way and batch.layout.prunes:
        return way(trunk, batch, Pruned(batch.read_at, batch.layout.attend_responses))
    return states(trunk, batch)[batch.read_at]


def last_states(trunk: Any, batch: TreeBatch) -> Tensor:
    """Give the state of each response's last token, (N, D), from a backbone without its head."""
    way = _way(trunk)
    if way:
        return way(trunk, batch, Pruned(batch.last_at, batch.layout.attend_ends))
    return read(trunk, batch)[batch.last_at]


def _way(trunk: Any) -> Callable[[Any, Row, Pruned | None], Tensor] | None:
    """How the states of this backbone are computed here, or None if `transformers` has to."""
    if _is_plain(trunk):
        if type(trunk) in {LlamaModel, Qwen2Model, Qwen3Model} and trunk.config.hidden_act == "silu":
            return _llama_states
        if type(trunk) is GPT2Model and trunk.config.activation_function == "gelu_new":
            return _gpt2_states
    return None


def _is_plain(trunk: Any) -> bool:
    """Whether nothing hangs on the layers' own forward passes: no parts to gather, nothing to compute twice or drop."""
    again = trunk.training and getattr(trunk, "gradient_checkpointing", False)
    return not again and not any(
        isinstance(module, FSDPModule) or module._forward_hooks or _drops(name, module)  # noqa: SLF001
        for name, module in trunk.named_modules()
    )


def _drops(name: str, module: Any) -> bool:
    """Whether a module leaves something out by chance as it is now; what adapters leave out is their own matter."""
    if not module.training or ".lora_dropout." in name:
        return False
    return bool(getattr(module, "attention_dropout", 0.0)) or (isinstance(module, nn.Dropout) and module.p > 0)


# --- Llama, Qwen2, Qwen3 ---------------------------------------------------------------------------


State = tuple["Tensor", "Tensor | None"]
"""What layers hand on: states, and what is still to be added to them, which the next norm does in passing."""


def _llama_states(trunk: Any, row: Row, pruned: Pruned | None) -> Tensor:
    x = trunk.embed_tokens(row.ids[0])
    cos, sin = trunk.rotary_emb(x, row.position_ids)
    turn = cos[0, :, None, : cos.shape[-1] // 2].float(), sin[0, :, None, : sin.shape[-1] // 2].float()
    *layers, last = trunk.layers
    state: State = (x, None)
    for layer in layers:
        state = _llama_layer(layer, state, turn, row.layout, None)
    return _norm(trunk.norm, *_llama_layer(last, state, turn, row.layout, pruned))[1]


def _llama_layer(layer: Any, state: State, turn: tuple[Tensor, Tensor], layout: Any, pruned: Pruned | None) -> State:
    """One layer: states (T, D) to (T, D), or to those (N, D) that are wanted."""
    attention = layer.self_attn
    x, h = _norm(layer.input_layernorm, *state)
    key, value = _heads(attention.k_proj(h), attention), _heads(attention.v_proj(h), attention)
    if pruned is not None:
        h, x = h.index_select(0, pruned.at), x.index_select(0, pruned.at)
    query = _heads(attention.q_proj(h), attention)
    if hasattr(attention, "q_norm"):
        query, key = _norm(attention.q_norm, query)[1], _norm(attention.k_norm, key)[1]
    cos, sin = turn
    key = _turned(key, cos, sin)
    query = _turned(query, cos, sin) if pruned is None else _turned(query, cos[pruned.at], sin[pruned.at])
    attend = layout.attend_rows if pruned is None else pruned.attend
    seen = attend(query, key, value, scaling=attention.scaling)
    x, h = _norm(layer.post_attention_layernorm, x, attention.o_proj(seen.flatten(1)))
    inner = _Gate.apply(layer.mlp.gate_proj(h), layer.mlp.up_proj(h))  # type: ignore[no-untyped-call]
    return x, layer.mlp.down_proj(inner)


def _heads(x: Tensor, attention: Any) -> Tensor:
    """(T, H·D) to (T, H, D)."""
    return x.view(len(x), -1, attention.head_dim)


def _norm(norm: Any, x: Tensor, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Add to x what is to be added; the sum, and it divided by the root of its mean square and weighed."""
    if kernels.suit(x, norm.weight, *(() if added is None else (added,))):
        total, out = _JoinedNorm.apply(x, added, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    else:
        total = x if added is None else x + added
        out = _RootMeanSquare.apply(total, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return total, out


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head's pairs (i, i + D/2) by its token's angles: x (T, H, D), cos and sin (T, 1, D/2)."""
    out: Tensor = _Turn.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return out


class _JoinedNorm(torch.autograd.Function):
    """A residual sum, and `_RootMeanSquare` of it, each forward and backward in one pass over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Tensor | None, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        total, out, inverse = kernels.norm_forward(x, added, weight, epsilon)
        ctx.save_for_backward(total, weight, inverse)
        ctx.has_added = added is not None
        ctx.set_materialize_grads(False)  # the sum of the last norm goes nowhere
        return total, out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        total, weight, inverse = ctx.saved_tensors
        of_total, slope = gradients
        wanted = ctx.needs_input_grad[2]
        of_x, of_weight = kernels.norm_backward(total, weight, inverse, slope, of_total, of_weight=wanted)
        return of_x, of_x if ctx.has_added else None, of_weight, None


class _RootMeanSquare(torch.autograd.Function):
    """y = w x / r with r = sqrt(mean(x²) + ε). dx = (w dy - x mean(w dy x) / r²) / r."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = x.float()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        out: Tensor = (wide * inverse).to(x.dtype).mul_(weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, weight, inverse = ctx.saved_tensors
        wide, slope = x.float(), gradients[0].float()
        along = slope * wide
        of_weight = torch.mv(along.flatten(0, -2).T, inverse.flatten()) if ctx.needs_input_grad[1] else None
        shift = torch.mv(along.flatten(0, -2), weight.float()).view_as(inverse)
        shift.mul_(inverse).mul_(inverse).mul_(inverse).div_(x.shape[-1])
        of_x = torch.mul(slope, weight, out=along).mul_(inverse).addcmul_(wide, shift, value=-1)
        return of_x.to(x.dtype), None if of_weight is None else of_weight.to(weight.dtype), None


class _Turn(torch.autograd.Function):
    """A rotation; its gradient turns back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return _turn(gradients[0], cos, sin, -1.0), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor, way: float) -> Tensor:
    return (kernels.turned if kernels.suit(x, cos) else _rotate)(x, cos, sin, way)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, way: float) -> Tensor:
    half = x.shape[-1] // 2
    one, other = torch.split(x.float(), half, dim=-1)
    out = torch.empty(x.shape, device=x.device)
    torch.mul(one, cos, out=out[..., :half]).addcmul_(other, sin, value=-way)
    torch.mul(other, cos, out=out[..., half:]).addcmul_(one, sin, value=way)
    return out.to(x.dtype)


class _Gate(torch.autograd.Function):
    """SwiGLU: silu(gate) · up."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return kernels.gate_forward(gate, up) if kernels.suit(gate, up) else F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (slope,) = gradients
        gate, up = ctx.saved_tensors
        if kernels.suit(gate, up, slope):
            return kernels.gate_backward(gate, up, slope)
        of_up = F.silu(gate).mul_(slope)
        of_gate = slope * up
        torch.ops.aten.silu_backward.grad_input(of_gate, gate, grad_input=of_gate)
        return of_gate, of_up


# --- GPT-2 -----------------------------------------------------------------------------------------


def _gpt2_states(trunk: Any, row: Row, pruned: Pruned | None) -> Tensor:
    x = trunk.wte(row.ids[0]) + trunk.wpe(row.position_ids[0])
    *layers, last = trunk.h
    for layer in layers:
        x = _gpt2_layer(layer, x, row.layout, None)
    return trunk.ln_f(_gpt2_layer(last, x, row.layout, pruned))  # type: ignore[no-any-return]


def _gpt2_layer(layer: Any, x: Tensor, layout: Any, pruned: Pruned | None) -> Tensor:
    """One layer: states (T, D) to (T, D), or to those (N, D) that are wanted."""
    attention = layer.attn
    projected = attention.c_attn(layer.ln_1(x)).view(len(x), 3, attention.num_heads, attention.head_dim)
    query, key, value = projected.unbind(1)
    if pruned is not None:
        query, x = query.index_select(0, pruned.at), x.index_select(0, pruned.at)
    attend = layout.attend_rows if pruned is None else pruned.attend
    seen = attend(query, key, value, scaling=attention.scaling)
    x = x + attention.c_proj(seen.flatten(1))
    out: Tensor = x + layer.mlp.c_proj(F.gelu(layer.mlp.c_fc(layer.ln_2(x)), approximate="tanh"))
    return out
