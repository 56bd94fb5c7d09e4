"""One pass of a causal LM for sampling: prompts computed once, then one token of each response at a time.

The prompts in flight lie in *slots*, and each of the K responses of a slot in a *cell*. Keys and values of a prompt are
kept once, those of the responses beside them, in buffers made once. Attention runs over whole slots; everything else
runs on the rows that still write, so a response that has ended costs no matrix product any more.

Two backbones read tokens. `General` runs any `transformers` model through its own code. `Fused` knows how the layers of
Llama and its kin are built and runs copies of their weights in fewer, larger operations: what a step of small batches
costs is mostly how many operations it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from training.lm import kernels
from training.lm.logprobs import trunk_and_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from training.lm.attention import Layout

FUSED = (LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)
ROPES = {"default", "linear", "llama3", "yarn"}
"""Rotary embeddings whose angles depend on the position alone."""


class Cache:
    """Keys and values of S slots of K cells, by layer.

    prompt: keys (S, H, D, P) and values (S, H, P, D). own: keys and values (S, H, K, R, D), a column a token.
    """

    def __init__(
        self, *, slot_count: int, responses: int, prompt_tokens: int, new_tokens: int, dtype: torch.dtype
    ) -> None:
        self.slot_count, self.responses = slot_count, responses
        self.prompt_tokens, self.new_tokens, self.dtype = prompt_tokens, new_tokens, dtype
        self.prompt: dict[int, tuple[Tensor, Tensor]] = {}
        self.own: dict[int, tuple[Tensor, Tensor]] = {}

    def keep_prompts(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Store the keys and values (n, H, P', D) of the prompts that enter these n slots."""
        _, heads, tokens, depth = key.shape
        S, P = self.slot_count, self.prompt_tokens
        if layer not in self.prompt:

            def buffer(*shape: int) -> Tensor:
                return key.new_zeros(shape, dtype=self.dtype)

            own = (S, heads, self.responses, self.new_tokens, depth)
            self.prompt[layer] = (buffer(S, heads, depth, P), buffer(S, heads, P, depth))
            self.own[layer] = (buffer(*own), buffer(*own))
        keys, values = self.prompt[layer]
        keys[slots, :, :, :tokens] = key.transpose(-1, -2)
        values[slots, :, :tokens] = value

    def select(self, slots: Tensor) -> None:
        """Keep these slots only, in this order."""
        self.slot_count = len(slots)
        for buffers in (self.prompt, self.own):
            for layer, (key, value) in buffers.items():
                buffers[layer] = (key[slots], value[slots])


class Prompts:
    """Causal attention over right-padded prompts that enter slots, which keeps their keys and values."""

    def __init__(self, cache: Cache, slots: Tensor) -> None:
        self.cache, self.slots = cache, slots

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend causally: a prompt's tokens come first in its row, so none of them sees the padding."""
        self.cache.keep_prompts(layer, self.slots, key, value)
        gqa = query.shape[1] != key.shape[1]
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=gqa
        )


class Step:
    """One new token a row: its query sees its slot's prompt and the tokens of its own cell up to itself.

    rows (n,): the cells, counted through all slots and in order, that the n rows belong to; None where each cell has
    its row. lengths (S,): tokens of the slots' prompts; prompt_bias (S, P): 0 on them, else -inf. columns (S,): where
    the slots' new keys and values go; column: the same as one number where it is, else None. width: columns that are
    looked at.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        rows: Tensor | None,
        lengths: Tensor,
        prompt_bias: Tensor,
        columns: Tensor,
        column: int | None,
        width: int,
    ) -> None:
        self.cache, self.rows, self.columns, self.column, self.width = cache, rows, columns, column, width
        self.lengths, self.prompt_bias = lengths, prompt_bias
        self.spread: tuple[Tensor, Tensor] | None = None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend: query (n, H, 1, D); key, value (n, H_kv, 1, D). Returns (n, H, 1, D)."""
        del dropout  # nothing is dropped while sampling
        prompt, own = self.cache.prompt[layer], self.cache.own[layer]
        if kernels.suit(query, *prompt):
            heads = (query.squeeze(2), key.squeeze(2), value.squeeze(2))
            slots = (self.lengths, self.columns)
            return kernels.attend_step(
                heads, cells=self.cells, slots=slots, prompt=prompt, own=own, scaling=scaling
            ).unsqueeze(2)
        self._write(own, key, value)
        return self._attend(query, prompt, own, scaling)

    def run(self, layer: int, x: Tensor, what: kernels.LayerStep, turn: tuple[Tensor, Tensor, Tensor]) -> None:
        """Let the states x (n, width) of the rows go through a whole layer, in machine code and in place."""
        slots, prompt, own = (self.lengths, self.columns), self.cache.prompt[layer], self.cache.own[layer]
        kernels.layer_step_(x, what, turn=turn, cells=self.cells, slots=slots, prompt=prompt, own=own)

    @cached_property
    def cells(self) -> Tensor:
        """(n,) the cell of each row."""
        return torch.arange(self.cache.slot_count * self.cache.responses) if self.rows is None else self.rows

    def _attend(
        self, query: Tensor, prompt: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], scaling: float
    ) -> Tensor:
        S, K, c = self.cache.slot_count, self.cache.responses, self.width
        (_, H, _, D), Hk = query.shape, prompt[0].shape[1]
        G, P = H // Hk, self.cache.prompt_tokens
        prompt_key, prompt_value = (each.view(S * Hk, *each.shape[2:]) for each in prompt)
        own_key, own_value = (each.view(S * Hk * K, -1, D)[:, :c] for each in own)
        prompt_bias, own_bias = self._biases(Hk)
        # Heads that share keys are further queries of the same key head.
        q = (
            self._cells(query.to(self.cache.dtype))
            .view(S, K, Hk, G, D)
            .transpose(1, 2)
            .contiguous()
            .view(S * Hk, K * G, D)
        )
        to_prompt = torch.baddbmm(prompt_bias, q, prompt_key, alpha=scaling).view(-1, G, P)
        to_own = torch.baddbmm(own_bias, q.view(-1, G, D), own_key.transpose(1, 2), alpha=scaling)
        weights = torch.cat([to_prompt, to_own], -1).softmax(-1, dtype=torch.float32).to(self.cache.dtype)
        out = torch.bmm(weights.view(S * Hk, K * G, P + c)[..., :P], prompt_value).view(-1, G, D)
        out.baddbmm_(weights[..., P:], own_value)
        by_cell = out.view(S, Hk, K, G, D).transpose(1, 2).reshape(S * K, H, 1, D)
        return by_cell if self.rows is None else by_cell.index_select(0, self.rows)

    def _write(self, own: tuple[Tensor, Tensor], key: Tensor, value: Tensor) -> None:
        for buffer, new in zip(own, (key, value), strict=True):
            S, Hk, K, _, D = buffer.shape
            cells = self._cells(new).view(S, K, Hk, D).transpose(1, 2)
            if self.column is None:
                buffer[torch.arange(S, device=new.device), :, :, self.columns] = cells
            else:
                buffer[:, :, :, self.column] = cells

    def _cells(self, rows: Tensor) -> Tensor:
        """Lay rows (n, …) into their cells (S·K, …); the other cells hold nothing that anyone looks at."""
        if self.rows is None:
            return rows
        cells = rows.new_zeros(self.cache.slot_count * self.cache.responses, *rows.shape[1:])
        return cells.index_copy_(0, self.rows, rows)

    def _biases(self, heads: int) -> tuple[Tensor, Tensor]:
        """Both biases as the products want them, (S·H_kv, 1, P) and (S·H_kv·K, 1, width); one step makes them once."""
        if self.spread is None:
            seen = torch.arange(self.width, device=self.columns.device) <= self.columns.unsqueeze(1)
            own = bias(seen, self.prompt_bias.dtype)
            self.spread = (
                self.prompt_bias.repeat_interleave(heads, dim=0).unsqueeze(1),
                own.repeat_interleave(heads * self.cache.responses, dim=0).unsqueeze(1),
            )
        return self.spread


def bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where something is seen, else -inf."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


class Backbone(Protocol):
    """Reads tokens and says what could come next."""

    dtype: torch.dtype

    def prepare(self, longest: int) -> None:
        """Make ready for positions below `longest`."""
        ...

    def logits(self, ids: Tensor, positions: Tensor, layout: Layout, keep: Tensor | None = None) -> Tensor:
        """Read ids (n, T) at their positions; logits (n, V) of each row's last token, or of the one at keep (n,)."""
        ...


def backbone_for(model: Any) -> Backbone:
    """Give the fastest backbone that computes what the model does, with its weights as they are now.

    It computes in the dtype of autocast where that is on, else in the model's own. The model must have been loaded
    with our attention where it is not one of those that can be fused.
    """
    kind = model.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
    return Fused(model, dtype) if can_fuse(model) else General(model, dtype)


def can_fuse(model: Any) -> bool:
    """Whether the model is built as `Fused` expects: Llama, Qwen2 or Qwen3, attending to everything before."""
    if type(model) not in FUSED:
        return False
    config = model.config
    return (
        config.hidden_act == "silu"
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
        and model.base_model.rotary_emb.rope_type in ROPES
    )


class General:
    """Any causal LM of `transformers`, through its own code and our attention."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.trunk, self.head = trunk_and_head(model)
        self.dtype = dtype

    def prepare(self, longest: int) -> None:
        """Nothing is to be made ready."""

    def logits(self, ids: Tensor, positions: Tensor, layout: Layout, keep: Tensor | None = None) -> Tensor:
        """Read ids (n, T) at their positions; logits (n, V) of each row's last token, or of the one at keep (n,)."""
        hidden = self.trunk(input_ids=ids, position_ids=positions, use_cache=False, layout=layout).last_hidden_state
        last = hidden[:, -1] if keep is None else hidden[torch.arange(len(ids), device=ids.device), keep]
        logits: Tensor = self.head(last)
        return logits


class Product(Protocol):
    """A matrix (in, out) and a bias, applied to rows (n, in)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows."""
        ...

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the product to what is there already."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """PyTorch's product."""

    matrix: Tensor
    """(in, out), laid out so that a product with few rows reads it in order."""
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows."""
        return x @ self.matrix if self.bias is None else torch.addmm(self.bias, x, self.matrix)

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the product to what is there already."""
        total.addmm_(x, self.matrix)
        if self.bias is not None:
            total += self.bias


@dataclass(frozen=True, slots=True)
class Paneled:
    """A product in machine code, which is the faster one where there are few rows."""

    matrix: kernels.Matrix

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply rows."""
        return kernels.multiply(x, self.matrix)

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the product to what is there already."""
        kernels.multiply(x, self.matrix, into=total)


@dataclass(frozen=True, slots=True)
class Layer:
    """A decoder layer. The weights of its norms are part of the matrices that read what was normed."""

    qkv: Product
    out: Product
    gate_up: Product
    down: Product
    head_norm: Tensor | None
    """(H + H_kv, D): weights of the norm of each head's query and key, where the model has one."""
    step: kernels.LayerStep | None
    """All of it as machine code runs it for one token a row, where it can."""


class Fused:
    """Llama and its kin with one product for query, key and value, one for gate and up, and no module in between."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        config = model.config
        self.dtype = dtype
        self.H, self.Hk = config.num_attention_heads, config.num_key_value_heads
        self.eps = config.rms_norm_eps
        trunk, head = trunk_and_head(model)
        self.embeddings = model.get_input_embeddings()
        self.rotary = trunk.rotary_emb
        self.scaling = float(trunk.layers[0].self_attn.scaling)
        with torch.no_grad(), torch.autocast(model.device.type, enabled=False):
            self.layers = [self._layer(each) for each in trunk.layers]
            self.head = self._product([head], trunk.norm.weight)
        self.angles: tuple[Tensor, Tensor] | None = None

    def prepare(self, longest: int) -> None:
        """Compute the angles of all positions below `longest`."""
        like = self.embeddings.weight[:1, :1].to(self.dtype)
        cos, sin = self.rotary(like.unsqueeze(0), torch.arange(longest, device=like.device).unsqueeze(0))
        half = sin.shape[-1] // 2
        self.angles = (cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous())

    def logits(self, ids: Tensor, positions: Tensor, layout: Layout, keep: Tensor | None = None) -> Tensor:
        """Read ids (n, T) at their positions; logits (n, V) of each row's last token, or of the one at keep (n,)."""
        with torch.autocast(ids.device.type, enabled=False):  # everything is in the one dtype already
            return self._logits(ids, positions, layout, keep)

    def _logits(self, ids: Tensor, positions: Tensor, layout: Layout, keep: Tensor | None) -> Tensor:
        n, T = ids.shape
        x = self.embeddings(ids).to(self.dtype).view(n * T, -1)
        if isinstance(layout, Step) and kernels.suit(x):
            return self._step(x, positions.reshape(-1), layout)
        turn = self._rotation(positions)
        last = None if keep is None else torch.arange(n, device=ids.device) * T + keep
        for number, layer in enumerate(self.layers):
            q, k, v = self._heads(layer, x, turn)
            seen = layout.attend(
                number,
                q.view(n, T, self.H, -1).transpose(1, 2),
                k.view(n, T, self.Hk, -1).transpose(1, 2),
                v.view(n, T, self.Hk, -1).transpose(1, 2),
                scaling=self.scaling,
                dropout=0.0,
            )
            seen = seen.transpose(1, 2).reshape(n * T, -1)
            if last is not None and number == len(self.layers) - 1:
                x, seen = x[last], seen[last]  # nobody reads what the last layer says of the tokens before
            layer.out.add_to(x, seen)
            layer.down.add_to(x, _gated(layer.gate_up(self._norm(x))))
        return self.head(self._norm(x))

    def _step(self, x: Tensor, places: Tensor, step: Step) -> Tensor:
        """Logits (n, V) after one new token a row, whose states x (n, width) are, each layer in one piece."""
        assert self.angles is not None  # noqa: S101 - prepare comes first
        for number, layer in enumerate(self.layers):
            assert layer.step is not None  # noqa: S101 - `suit` was asked
            step.run(number, x, layer.step, (*self.angles, places))
        return self.head(self._norm(x))

    def _heads(self, layer: Layer, x: Tensor, turn: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (n, H, D), keys and values (n, H_kv, D) of rows (n, width), turned to their positions."""
        qkv = layer.qkv(self._norm(x)).view(len(x), self.H + 2 * self.Hk, -1)
        if layer.head_norm is not None:
            turning = qkv[:, : self.H + self.Hk]
            turning.copy_(self._norm(turning.reshape(-1, turning.shape[-1])).view_as(turning).mul_(layer.head_norm))
        q, k = turn(qkv).tensor_split([self.H], dim=1)
        return q, k, qkv[:, self.H + self.Hk :]

    def _norm(self, x: Tensor) -> Tensor:
        return kernels.norm(x, self.eps) if kernels.suit(x) else F.rms_norm(x, x.shape[-1:], None, self.eps)

    def _rotation(self, positions: Tensor) -> Callable[[Tensor], Tensor]:
        """What turns the queries and keys among all heads (n, H + 2 H_kv, D) of tokens at these positions."""
        assert self.angles is not None  # noqa: S101 - prepare comes first
        angles, at, heads = self.angles, positions.reshape(-1), self.H + self.Hk
        if kernels.suit(*angles):

            def turn(qkv: Tensor) -> Tensor:
                kernels.turn_(qkv, heads, *angles, at)
                return qkv[:, :heads]

        else:
            cos, sin = (each[at].unsqueeze(1) for each in angles)
            cos, sin = torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)

            def turn(qkv: Tensor) -> Tensor:
                turning = qkv[:, :heads]
                return torch.addcmul(turning * cos, turning.roll(turning.shape[-1] // 2, -1), sin)

        return turn

    def _layer(self, layer: Any) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        head_norm = None
        if hasattr(attention, "q_norm"):
            weights = [attention.q_norm.weight.expand(self.H, -1), attention.k_norm.weight.expand(self.Hk, -1)]
            head_norm = torch.cat(weights).to(self.dtype)
        products = (
            self._product([attention.q_proj, attention.k_proj, attention.v_proj], layer.input_layernorm.weight),
            self._product([attention.o_proj]),
            self._product([mlp.gate_proj, mlp.up_proj], layer.post_attention_layernorm.weight),
            self._product([mlp.down_proj]),
        )
        matrices = [each.matrix for each in products if isinstance(each, Paneled)]
        step = kernels.LayerStep(matrices, head_norm, self.eps, self.scaling) if matrices else None
        return Layer(*products, head_norm=head_norm, step=step)

    def _product(self, linears: list[Any], norm: Tensor | None = None) -> Product:
        """One product for several layers that read the same, with the weight of the norm before them."""
        parts = [_matrix_and_bias(each) for each in linears]
        matrix = torch.cat([matrix for matrix, _ in parts], dim=-1)
        if norm is not None:
            matrix = matrix.float() * norm.float().unsqueeze(-1)
        biases = [bias for _, bias in parts]
        bias = None
        if any(each is not None for each in biases):
            widths = [part.new_zeros(part.shape[-1]) for part, _ in parts]
            bias = torch.cat([zero if one is None else one for zero, one in zip(widths, biases, strict=True)])
        matrix, bias = matrix.to(self.dtype), None if bias is None else bias.to(self.dtype)
        if kernels.suit(matrix):
            return Paneled(kernels.matrix_of(matrix, bias))
        return Plain(matrix.contiguous(), bias)


def _gated(both: Tensor) -> Tensor:
    """SwiGLU of gate and up side by side: (n, 2 D) to (n, D)."""
    if kernels.suit(both):
        return kernels.gate(both)
    gate, up = both.chunk(2, -1)
    return F.silu(gate).mul_(up)


def _matrix_and_bias(linear: Any) -> tuple[Tensor, Tensor | None]:
    """What a linear layer computes, as (in, out) and (out,); one that is more than a matrix (adapters) is asked."""
    if type(linear) is nn.Linear:
        return linear.weight.detach().t(), None if linear.bias is None else linear.bias.detach()
    width = linear.in_features
    probe = torch.cat([torch.zeros(1, width), torch.eye(width)]).to(linear.weight)
    said = linear(probe)
    bias = said[0]
    return said[1:] - bias, bias if bool(bias.any()) else None
