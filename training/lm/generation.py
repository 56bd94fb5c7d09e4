"""K sampled responses for each prompt, the prompt computed once.

The keys and values of a prompt are computed in one pass and shared by its K responses; the responses' own keys and
values lie in a buffer made once. A *slot* holds one prompt and its K rows; when all K have ended, the slot takes the
next prompt. Each row draws from a random stream of its own, named by (seed, prompt key, k): which prompts share a
batch changes no draw.

Log-probabilities are those of the policy at the sampling temperature, before top-k or top-p cut anything off: these
are what PPO's ratio needs (training on the cut distribution's would bias it).
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from training.config import ConfigError
from training.lm.logprobs import trunk_and_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn."""

    max_new_tokens: int = 128
    """The longest response, its end token included."""
    temperature: float = 1.0
    """Logits are divided by it; 0 takes the likeliest token."""
    top_k: int = 0
    """Draw among the k likeliest tokens only; 0 keeps all."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that together have this probability; 1 keeps all."""
    min_new_tokens: int = 0
    """The end token cannot be drawn before this many tokens."""
    stop: tuple[str, ...] = ()
    """Texts that end a response once it holds one of them."""
    seed: int = 0
    """Names the random streams, together with each prompt's key and k."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; a response has at least 1 token")
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; it is 0 or more")
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; it is 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it lies above 0 and is at most 1")


@dataclass(slots=True)
class Response:
    """One sampled response.

    ids: its tokens, the end token included when it was drawn. logprobs: as many numbers, log π(token) at the sampling
    temperature. finished: whether the end token was drawn, or a text of `Sampling.stop`, rather than the length
    reached. stopped: whether it was such a text; the ids still hold it.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False
    stopped: bool = False


def stream(seed: int, prompt_key: str, k: int, length: int) -> Tensor:
    """Draw the `length` uniform numbers that response k of this prompt will use, one a token. (length,) float64."""
    digest = hashlib.sha256(f"{seed}\x1f{prompt_key}\x1f{k}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.rand(length, generator=generator, dtype=torch.float64)


def draw(logits: Tensor, uniform: Tensor, sampling: Sampling, *, barred: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the distribution function at `uniform`.

    logits (N, V), uniform (N,) in [0, 1); barred (N, V) is True on tokens that may not be drawn. Returns token ids
    (N,) and their log-probabilities (N,) at the sampling temperature, before anything was barred or truncated.
    """
    logprobs = F.log_softmax(logits.float() / (sampling.temperature or 1.0), dim=-1)
    allowed = logprobs if barred is None else logprobs.masked_fill(barred, -torch.inf)
    if sampling.temperature == 0:
        token = allowed.argmax(-1)
        return token, logprobs.gather(-1, token.unsqueeze(-1)).squeeze(-1)
    probs = _truncate(allowed, sampling).exp()
    cumulative = probs.cumsum(-1, dtype=torch.float64)
    threshold = uniform.to(cumulative).unsqueeze(-1) * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=logits.shape[-1] - 1).squeeze(-1)
    return token, logprobs.gather(-1, token.unsqueeze(-1)).squeeze(-1)


def _truncate(logprobs: Tensor, sampling: Sampling) -> Tensor:
    """Set what top-k and top-p cut off to -inf. The likeliest token always stays."""
    if sampling.top_k and sampling.top_k < logprobs.shape[-1]:
        least = logprobs.topk(sampling.top_k, dim=-1).values[:, -1:]
        logprobs = logprobs.masked_fill(logprobs < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logprobs.sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()
        cut = torch.zeros_like(before, dtype=torch.bool).scatter_(-1, order, before >= sampling.top_p)
        logprobs = logprobs.masked_fill(cut, -torch.inf)
    return logprobs


class _Prefill:
    """Causal attention over right-padded prompts that keeps each layer's keys and values in the slots' buffers."""

    def __init__(self, cache: _SlotCache, slots: Tensor) -> None:
        self.cache, self.slots = cache, slots

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend causally: a prompt's tokens come first in its row, so none of them sees the padding."""
        self.cache.keep_prompt(layer, self.slots, key, value)
        gqa = query.shape[1] != key.shape[1]
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=gqa
        )


class _SlotCache:
    """Keys and values of S slots: each prompt's once, (S, H, P, D), and its K rows' own, (S, H, K, R, D)."""

    def __init__(self, slot_count: int, responses: int, prompt_tokens: int, new_tokens: int) -> None:
        self.slot_count, self.responses = slot_count, responses
        self.prompt_tokens, self.new_tokens = prompt_tokens, new_tokens
        self.prompt: dict[int, tuple[Tensor, Tensor]] = {}
        self.own: dict[int, tuple[Tensor, Tensor]] = {}

    def keep_prompt(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Store the keys and values (n, H, P', D) of the prompts that enter these n slots."""
        _, heads, tokens, depth = key.shape
        if layer not in self.prompt:
            shape = (self.slot_count, heads, self.prompt_tokens, depth)
            self.prompt[layer] = (key.new_zeros(shape), key.new_zeros(shape))
            own = (self.slot_count, heads, self.responses, self.new_tokens, depth)
            self.own[layer] = (key.new_zeros(own), key.new_zeros(own))
        for buffer, new in zip(self.prompt[layer], (key, value), strict=True):
            buffer[slots, :, :tokens] = new

    def select(self, slots: Tensor) -> None:
        """Keep these slots only, in this order."""
        self.slot_count = len(slots)
        for buffers in (self.prompt, self.own):
            for layer, (key, value) in buffers.items():
                buffers[layer] = (key[slots], value[slots])


class _Decode:
    """One new token a row: its query sees its slot's prompt and its own row's tokens so far."""

    def __init__(self, cache: _SlotCache, written: Tensor, prompt_bias: Tensor) -> None:
        """written: (S, K) how many own tokens each row holds already; prompt_bias: (S, 1, 1, P) 0 or -inf."""
        self.cache, self.prompt_bias = cache, prompt_bias
        self.at = written.unsqueeze(1)[..., None, None]
        self.tokens = int(written.max()) + 1
        places = torch.arange(self.tokens, device=written.device)
        unseen = places > written.unsqueeze(-1)
        self.own_bias = torch.zeros(unseen.shape, device=written.device).masked_fill_(unseen, -torch.inf).unsqueeze(1)
        self.uniform_at = int(written.min()) if bool((written == written.min()).all()) else None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Attend: query (S·K, H, 1, D); key, value (S·K, H_kv, 1, D)."""
        del dropout  # nothing is dropped while sampling
        cache = self.cache
        S, K, (N, H, _, D) = cache.slot_count, cache.responses, query.shape
        kv_heads = key.shape[1]
        prompt_key, prompt_value = cache.prompt[layer]
        own_key, own_value = self._write(layer, key, value)
        # Heads that share keys become further queries of the same key head.
        q = query.view(S, K, kv_heads, H // kv_heads, D).permute(0, 2, 1, 3, 4)  # (S, Hkv, K, G, D)
        groups = q.shape[3]
        to_prompt = (q.reshape(S, kv_heads, K * groups, D) * scaling) @ prompt_key.transpose(-1, -2) + self.prompt_bias
        to_own = (q * scaling) @ own_key.transpose(-1, -2) + self.own_bias.unsqueeze(-2)  # (S, Hkv, K, G, t)
        weights = torch.cat([to_prompt.view(S, kv_heads, K, groups, -1), to_own], dim=-1).softmax(-1)
        on_prompt, on_own = weights.tensor_split([prompt_key.shape[2]], dim=-1)
        out = (on_prompt.reshape(S, kv_heads, K * groups, -1) @ prompt_value).view(S, kv_heads, K, groups, D)
        out = out + on_own @ own_value
        by_row: Tensor = out.permute(0, 2, 1, 3, 4).reshape(N, H, 1, D)
        return by_row

    def _write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        cache, views = self.cache, []
        for buffer, new in zip(cache.own[layer], (key, value), strict=True):
            rows = new.view(cache.slot_count, cache.responses, new.shape[1], 1, -1).transpose(1, 2)
            if self.uniform_at is not None:
                buffer[:, :, :, self.uniform_at] = rows.squeeze(3)
            else:
                buffer.scatter_(3, self.at.expand_as(rows), rows)
            views.append(buffer[:, :, :, : self.tokens])
        return views[0], views[1]


@dataclass(slots=True)
class _Slot:
    """One prompt in flight."""

    prompt: int
    uniforms: Tensor  # (K, max_new_tokens)
    rows: list[Response]
    open_rows: int


class Generator:
    """Samples K responses a prompt from one model, which must have been loaded with our attention.

    end_id ends a response. `slot_count` prompts are in flight at a time. `decode` gives the text of ids; only
    stopping at texts needs it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        end_id: int,
        pad_id: int,
        slot_count: int = 32,
        decode: Callable[[Sequence[int]], str] | None = None,
    ) -> None:
        self.model, self.end_id, self.pad_id, self.slot_count = model, end_id, pad_id, slot_count
        self.decode = decode
        self.device = next(model.parameters()).device

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        keys: Sequence[str],
        responses_per_prompt: int,
        sampling: Sampling,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int], None] = lambda _: None,
        on_token: Callable[[int, int, Response], None] = lambda *_: None,
    ) -> list[list[Response]] | None:
        """Sample `responses_per_prompt` responses for every prompt.

        prompts: token ids, each at least one; keys: a name for each prompt's random streams. `stop` is asked between
        tokens: when it says True the result is None. `progress` hears how many prompts are done, `on_token` the
        index of a prompt, k, and the response that has just grown by a token.
        """
        if sampling.stop and self.decode is None:
            raise ConfigError("stopping at texts needs a generator that can decode")
        state = _State(
            self,
            slot_count=min(self.slot_count, max(len(prompts), 1)),
            responses=responses_per_prompt,
            prompt_tokens=max((len(prompt) for prompt in prompts), default=0),
            sampling=sampling,
            on_token=on_token,
        )
        was_training = self.model.training
        self.model.train(mode=False)
        try:
            return self._run(prompts, keys, state, stop=stop, progress=progress)
        finally:
            self.model.train(was_training)

    def _run(
        self,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        state: _State,
        *,
        stop: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> list[list[Response]] | None:
        results: list[list[Response]] = [[] for _ in prompts]
        waiting = deque(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
        done = 0
        while waiting or state.live:
            if stop():
                return None
            entering = state.room_for(len(waiting))
            if entering:
                chosen = [waiting.popleft() for _ in range(entering)]
                state.enter([(i, list(prompts[i]), keys[i]) for i in chosen])
            state.step()
            for slot in state.leave():
                results[slot.prompt] = slot.rows
                done += 1
                progress(done)
            if not waiting:
                state.close_gaps()
        return results


class _State:
    """The rows in flight and the token that each is about to read."""

    def __init__(
        self,
        owner: Generator,
        *,
        slot_count: int,
        responses: int,
        prompt_tokens: int,
        sampling: Sampling,
        on_token: Callable[[int, int, Response], None],
    ) -> None:
        self.owner, self.K, self.sampling, self.on_token = owner, (K := responses), sampling, on_token
        # A text of n bytes ends within the last n tokens, and a token before them may hold half a letter.
        self.tail = max((len(text.encode()) for text in sampling.stop), default=0) + 4
        self.cache = _SlotCache(slot_count, K, prompt_tokens, sampling.max_new_tokens)
        self.slots: list[_Slot | None] = [None] * slot_count
        device = owner.device
        self.prompt_bias = torch.full((slot_count, 1, 1, prompt_tokens), -torch.inf, device=device)
        self.prompt_length = torch.zeros(slot_count, 1, dtype=torch.int64, device=device)
        self.written = torch.zeros(slot_count, K, dtype=torch.int64, device=device)
        self.next_token = torch.full((slot_count, K), owner.pad_id, dtype=torch.int64, device=device)

    @property
    def live(self) -> bool:
        """Whether any slot holds a prompt."""
        return any(self.slots)

    def room_for(self, waiting: int) -> int:
        """How many prompts should enter now: in groups, since a prompt pass of one costs nearly as much as of many."""
        free = sum(slot is None for slot in self.slots)
        enough = max(1, len(self.slots) // 4)
        return min(free, waiting) if free >= enough or free >= waiting else 0

    def enter(self, arrivals: list[tuple[int, list[int], str]]) -> None:
        """Compute the prompts that enter, in one pass, and draw the first token of each of their rows."""
        free = [i for i, slot in enumerate(self.slots) if slot is None][: len(arrivals)]
        where = torch.tensor(free, device=self.owner.device)
        lengths = torch.tensor([len(ids) for _, ids, _ in arrivals], device=self.owner.device)
        width = int(lengths.max())
        ids = torch.full((len(arrivals), width), self.owner.pad_id, device=self.owner.device)
        for row, (_, prompt, _) in enumerate(arrivals):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        positions = torch.arange(width, device=ids.device).unsqueeze(0).expand_as(ids)
        logits = self._forward(ids, positions, _Prefill(self.cache, where), keep=lengths - 1)
        self.prompt_bias[where] = torch.where(
            torch.arange(self.prompt_bias.shape[-1], device=ids.device) < lengths.view(-1, 1, 1, 1), 0.0, -torch.inf
        )
        self.prompt_length[where, 0] = lengths
        self.written[where] = 0
        for slot, (index, _, key) in zip(free, arrivals, strict=True):
            count = self.sampling.max_new_tokens
            uniforms = torch.stack([stream(self.sampling.seed, key, k, count) for k in range(self.K)])
            self.slots[slot] = _Slot(index, uniforms, [Response() for _ in range(self.K)], self.K)
        self._choose(free, logits.repeat_interleave(self.K, dim=0))

    def step(self) -> None:
        """Read each row's last token and draw the next one. Rows that have ended idle until their slot leaves."""
        if not self.live:
            return
        layout = _Decode(self.cache, self.written, self.prompt_bias)
        positions = (self.prompt_length + self.written).reshape(-1, 1)
        logits = self._forward(self.next_token.reshape(-1, 1), positions, layout, keep=None)
        self.written += 1
        self.written.clamp_(max=self.sampling.max_new_tokens - 1)
        live = [i for i, slot in enumerate(self.slots) if slot is not None]
        rows = torch.tensor(live, device=logits.device)
        self._choose(live, logits.view(len(self.slots), self.K, -1)[rows].flatten(0, 1))

    def leave(self) -> list[_Slot]:
        """Take out the slots whose K rows have all ended, and close the gaps when few are left."""
        gone = [(i, slot) for i, slot in enumerate(self.slots) if slot is not None and slot.open_rows == 0]
        for i, _ in gone:
            self.slots[i] = None
        return [slot for _, slot in gone]

    def close_gaps(self) -> None:
        """Drop the empty slots; worth it once no prompt waits and a third of them is empty."""
        live = [i for i, slot in enumerate(self.slots) if slot is not None]
        if not live or len(live) * 3 > len(self.slots) * 2:
            return
        keep = torch.tensor(live, device=self.owner.device)
        self.cache.select(keep)
        self.slots = [self.slots[i] for i in live]
        self.prompt_bias, self.prompt_length = self.prompt_bias[keep], self.prompt_length[keep]
        self.written, self.next_token = self.written[keep], self.next_token[keep]

    def _choose(self, slots: list[int], logits: Tensor) -> None:
        """Draw a token for each row of these slots; logits (len(slots)·K, V)."""
        holders = [slot for i in slots if (slot := self.slots[i]) is not None]
        uniform = torch.stack([_next_uniform(slot, k) for slot in holders for k in range(self.K)])
        barred = self._too_early_to_end(holders, logits)
        tokens, logprobs = draw(logits, uniform.to(logits.device), self.sampling, barred=barred)
        self.next_token[torch.tensor(slots, device=tokens.device)] = tokens.view(-1, self.K)
        for slot, ids, values in zip(
            holders, tokens.view(-1, self.K).tolist(), logprobs.view(-1, self.K).tolist(), strict=True
        ):
            self._append(slot, ids, values)

    def _too_early_to_end(self, holders: list[_Slot], logits: Tensor) -> Tensor | None:
        if not self.sampling.min_new_tokens:
            return None
        early = [len(row.ids) < self.sampling.min_new_tokens for slot in holders for row in slot.rows]
        barred = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
        barred[:, self.owner.end_id] = torch.tensor(early, device=logits.device)
        return barred

    def _append(self, slot: _Slot, ids: list[int], logprobs: list[float]) -> None:
        for k, (row, token, logprob) in enumerate(zip(slot.rows, ids, logprobs, strict=True)):
            if row.finished or len(row.ids) == self.sampling.max_new_tokens:
                continue
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.stopped = self._holds_stop(row)
            row.finished = row.stopped or token == self.owner.end_id
            self.on_token(slot.prompt, k, row)
            if row.finished or len(row.ids) == self.sampling.max_new_tokens:
                slot.open_rows -= 1

    def _holds_stop(self, row: Response) -> bool:
        if not self.sampling.stop or self.owner.decode is None:
            return False
        text = self.owner.decode(row.ids[-self.tail :])
        return any(stop in text for stop in self.sampling.stop)

    def _forward(self, ids: Tensor, positions: Tensor, layout: Any, keep: Tensor | None) -> Tensor:
        """Logits (N, V) of the last token of each row, or of the token at `keep` (N,)."""
        hidden = self.owner.model.base_model(
            input_ids=ids, position_ids=positions, use_cache=False, layout=layout
        ).last_hidden_state
        last = hidden[:, -1] if keep is None else hidden[torch.arange(len(ids), device=ids.device), keep]
        logits: Tensor = trunk_and_head(self.owner.model)[1](last)
        return logits


def _next_uniform(slot: _Slot, k: int) -> Tensor:
    return slot.uniforms[k, min(len(slot.rows[k].ids), slot.uniforms.shape[1] - 1)]
