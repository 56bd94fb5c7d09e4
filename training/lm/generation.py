"""K sampled responses for each prompt, the prompt computed once.

The keys and values of a prompt are computed in one pass and shared by its K responses; the responses' own keys and
values lie in a buffer made once. A *slot* holds one prompt and its K rows. A row that has ended leaves the batch at
once; when all K have, the slot takes the next prompt. Each row draws from a random stream of its own, named by (seed,
prompt key, k): which prompts share a batch changes no draw.

Log-probabilities are those of the policy at the sampling temperature, before top-k or top-p cut anything off: these
are what PPO's ratio needs (training on the cut distribution's would bias it). Where a response cannot end yet
(`min_new_tokens`) they are those of the distribution without the end, which PPO learns from in the same way.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from training.config import ConfigError
from training.lm.decoding import Cache, Prompts, Step, backbone_for, bias
from training.lm.drawing import Drawn, draw, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

PREFILL_TOKENS = 8192
"""Prompts enter in passes of about so many tokens."""
LOOK_EVERY = 8
"""Tokens that are drawn between two looks at them where looking means waiting for a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn, and what is told of them."""

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
    alternatives: int = 0
    """How many of the likeliest tokens are told in the place of each that was drawn."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; a response has at least 1 token")
        if self.temperature < 0:
            raise ConfigError(f"temperature is {self.temperature}; it is 0 or more")
        if self.top_k < 0:
            raise ConfigError(f"top_k is {self.top_k}; it is 0 (off) or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it lies above 0 and is at most 1")
        if self.alternatives < 0:
            raise ConfigError(f"alternatives is {self.alternatives}; it is 0 (none) or more")


@dataclass(slots=True)
class Response:
    """One sampled response.

    ids: its tokens, the end token included when it was drawn. logprobs: as many numbers, log π(token) at the sampling
    temperature. finished: whether the end token was drawn, or a text of `Sampling.stop`, rather than the length
    reached. stopped: whether it was such a text; the ids still hold it. likeliest: where `Sampling.alternatives` asks,
    for each token the likeliest ones in its place with their log-probabilities, the likeliest first.
    """

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False
    stopped: bool = False
    likeliest: list[list[tuple[int, float]]] = field(default_factory=list)


def before_stop(text: str, stops: Sequence[str]) -> str:
    """Cut a text at the first of these stops."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


@dataclass(slots=True)
class _Slot:
    """One prompt in flight: which it is, its K rows, how many of them still write, how many tokens each has read."""

    prompt: int
    rows: list[Response]
    open_rows: int
    age: int = 0


class Generator:
    """Samples K responses a prompt from one model, with its weights as they are when this is made.

    Models that are not built like Llama or Qwen must have been loaded with our attention. end_id ends a response.
    `slot_count` prompts are in flight at a time. `decode` gives the text of ids; only stopping at texts needs it.
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
        self.looks_ahead = self.device.type != "cpu"
        with self._sampling():
            self.backbone = backbone_for(model)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        keys: Sequence[str],
        responses_per_prompt: int,
        sampling: Sampling,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int], None] = lambda _: None,
        on_token: Callable[[int, int, Response], None] | None = None,
    ) -> list[list[Response]] | None:
        """Sample `responses_per_prompt` responses for every prompt.

        prompts: token ids, each at least one; keys: a name for each prompt's random streams. `stop` is asked between
        tokens: when it says True the result is None. `progress` hears how many prompts are done, `on_token` the
        index of a prompt, k, and the response that has just grown by a token.
        """
        if sampling.stop and self.decode is None:
            raise ConfigError("stopping at texts needs a generator that can decode")
        longest = max((len(prompt) for prompt in prompts), default=0)
        with self._sampling():
            self.backbone.prepare(longest + sampling.max_new_tokens)
            batch = _Batch(
                self,
                slot_count=min(self.slot_count, max(len(prompts), 1)),
                responses=responses_per_prompt,
                prompt_tokens=longest,
                sampling=sampling,
                on_token=on_token,
            )
            return _run(batch, prompts, keys, stop=stop, progress=progress)

    @contextmanager
    def _sampling(self) -> Iterator[None]:
        """Switch off what belongs to training: dropout and gradients."""
        was_training = self.model.training
        self.model.train(mode=False)
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(was_training)


def _run(
    batch: _Batch,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    *,
    stop: Callable[[], bool],
    progress: Callable[[int], None],
) -> list[list[Response]] | None:
    results: list[list[Response]] = [[] for _ in prompts]
    waiting = deque(sorted(range(len(prompts)), key=lambda i: len(prompts[i])))
    done = 0
    while waiting or batch.live:
        if stop():
            return None
        entering = [waiting.popleft() for _ in range(batch.room_for(len(waiting)))]
        batch.enter([(i, prompts[i], keys[i]) for i in entering])
        batch.step()
        for slot in batch.leave():
            results[slot.prompt] = slot.rows
            done += 1
            progress(done)
        if not waiting:
            batch.close_gaps()
    return results


class _Batch:
    """The slots, and the token that each of their rows is about to read. S slots of K cells, n rows that still write.

    On a CPU each token is looked at as it is drawn, and a row that has ended leaves the products at once. On a GPU,
    where waiting for a token costs more than computing a few in vain, all cells are computed and tokens are looked at
    several at a time, unless somebody waits for each.
    """

    def __init__(
        self,
        owner: Generator,
        *,
        slot_count: int,
        responses: int,
        prompt_tokens: int,
        sampling: Sampling,
        on_token: Callable[[int, int, Response], None] | None,
    ) -> None:
        self.owner, self.K, self.sampling, self.on_token = owner, responses, sampling, on_token
        # A text of n bytes ends within the last n tokens, and a token before them may hold half a letter.
        self.tail = max((len(text.encode()) for text in sampling.stop), default=0) + 4
        self.look_every = LOOK_EVERY if owner.looks_ahead and on_token is None and not sampling.stop else 1
        self.unseen: list[Drawn] = []  # what was drawn and not looked at yet
        self.slots: list[_Slot | None] = [None] * slot_count
        self.writing: list[int] = []  # the cells whose rows still write
        self.rows: Tensor | None = None  # the same, where not every cell is computed
        self.cache = Cache(
            slot_count=slot_count,
            responses=responses,
            prompt_tokens=prompt_tokens,
            new_tokens=sampling.max_new_tokens + self.look_every - 1,
            dtype=owner.backbone.dtype,
        )
        cells, device = slot_count * responses, owner.device
        self.age = torch.zeros(slot_count, dtype=torch.int64, device=device)  # tokens that the rows of a slot have read
        self.prompt_length = torch.zeros_like(self.age)
        self.prompt_bias = torch.zeros(slot_count, prompt_tokens, dtype=self.cache.dtype, device=device)
        self.next_token = torch.zeros(cells, dtype=torch.int64, device=device)
        self.uniforms = torch.zeros(cells, sampling.max_new_tokens, dtype=torch.float64, device=device)

    @property
    def live(self) -> bool:
        """Whether any slot holds a prompt."""
        return any(self.slots)

    def room_for(self, waiting: int) -> int:
        """How many prompts should enter now: in groups, since a prompt pass of one costs nearly as much as of many."""
        free = sum(slot is None for slot in self.slots)
        enough = max(1, len(self.slots) // 4)
        return min(free, waiting) if free >= enough or free >= waiting else 0

    def enter(self, arrivals: Sequence[tuple[int, Sequence[int], str]]) -> None:
        """Compute the prompts that enter, in passes of bounded size, and draw the first token of each of their rows."""
        free = [i for i, slot in enumerate(self.slots) if slot is None]
        start = 0
        while start < len(arrivals):
            end = start + 1
            longest = len(arrivals[start][1])
            while end < len(arrivals) and (end + 1 - start) * max(longest, len(arrivals[end][1])) <= PREFILL_TOKENS:
                longest = max(longest, len(arrivals[end][1]))
                end += 1
            self._enter(free[start:end], arrivals[start:end])
            start = end

    def _enter(self, slots: list[int], arrivals: Sequence[tuple[int, Sequence[int], str]]) -> None:
        device, K = self.owner.device, self.K
        where = torch.tensor(slots, device=device)
        lengths = torch.tensor([len(ids) for _, ids, _ in arrivals])
        ids = torch.full((len(arrivals), int(lengths.max())), self.owner.pad_id)
        uniforms = []
        for row, (index, prompt, key) in enumerate(arrivals):
            ids[row, : len(prompt)] = torch.tensor(prompt)
            uniforms += [stream(self.sampling.seed, key, k, self.sampling.max_new_tokens) for k in range(K)]
            self.slots[slots[row]] = _Slot(index, [Response() for _ in range(K)], K)
        ids, lengths = ids.to(device), lengths.to(device)
        positions = torch.arange(ids.shape[1], device=device).unsqueeze(0).expand_as(ids)
        logits = self.owner.backbone.logits(ids, positions, Prompts(self.cache, where), keep=lengths - 1)
        places = torch.arange(self.prompt_bias.shape[1], device=device)
        self.prompt_bias[where] = bias(places < lengths.unsqueeze(1), self.prompt_bias.dtype)
        self.prompt_length[where], self.age[where] = lengths, 0
        cells = (where.unsqueeze(1) * K + torch.arange(K, device=device)).flatten()
        own = torch.stack(uniforms).to(device)
        self.uniforms[cells] = own
        drawn = self._draw(logits.repeat_interleave(K, dim=0), own[:, 0], torch.zeros_like(cells))
        self.next_token[cells] = drawn.tokens
        self.writing = sorted(self.writing + self._take(cells.tolist(), Drawn(*(each.unsqueeze(0) for each in drawn))))
        self._choose_rows()

    def step(self) -> None:
        """Let each row read its last token and draw the next one."""
        if not self.writing:
            return
        live = [slot for slot in self.slots if slot is not None]
        ages = {slot.age for slot in live}
        column = None if len(ages) > 1 else ages.pop()
        self.unseen.append(self._advance(column, width=max(slot.age for slot in live) + 1))
        for slot in live:
            slot.age += 1
        if len(self.unseen) == self.look_every:
            self._look()

    def leave(self) -> list[_Slot]:
        """Take out the slots whose K rows have all ended."""
        gone = [(i, slot) for i, slot in enumerate(self.slots) if slot is not None and slot.open_rows == 0]
        for i, _ in gone:
            self.slots[i] = None
        return [slot for _, slot in gone]

    def close_gaps(self) -> None:
        """Drop the empty slots; worth it once no prompt waits and a third of them is empty."""
        kept = [i for i, slot in enumerate(self.slots) if slot is not None]
        if not kept or self.unseen or len(kept) * 3 > len(self.slots) * 2:
            return
        slots = torch.tensor(kept, device=self.owner.device)
        cells = (slots.unsqueeze(1) * self.K + torch.arange(self.K, device=slots.device)).flatten()
        self.cache.select(slots)
        self.age, self.prompt_length, self.prompt_bias = (
            each[slots] for each in (self.age, self.prompt_length, self.prompt_bias)
        )
        self.next_token, self.uniforms = self.next_token[cells], self.uniforms[cells]
        place = {cell: i for i, cell in enumerate(cells.tolist())}
        self.slots, self.writing = [self.slots[i] for i in kept], [place[cell] for cell in self.writing]
        self._choose_rows()

    def _advance(self, column: int | None, width: int) -> Drawn:
        """Compute a step of the rows.

        column: the age of the slots where it is the same; width: more than any of them.
        """
        layout = Step(
            self.cache,
            rows=self.rows,
            lengths=self.prompt_length,
            prompt_bias=self.prompt_bias,
            columns=self.age,
            column=column,
            width=width,
        )
        last = self.sampling.max_new_tokens - 1
        positions = (self.prompt_length + self.age.clamp(max=last)).repeat_interleave(self.K)
        logits = self.owner.backbone.logits(
            self._of_rows(self.next_token).unsqueeze(1), self._of_rows(positions).unsqueeze(1), layout
        )
        self.age.add_(1).clamp_(max=self.cache.new_tokens - 1)  # that of an empty slot grows, too
        before = self.age.repeat_interleave(self.K).clamp_(max=last)
        uniform = self.uniforms.gather(1, before.unsqueeze(1)).squeeze(1)
        drawn = self._draw(logits, self._of_rows(uniform), self._of_rows(before))
        if self.rows is None:
            self.next_token.copy_(drawn.tokens)
        else:
            self.next_token[self.rows] = drawn.tokens
        return drawn

    def _draw(self, logits: Tensor, uniform: Tensor, drawn: Tensor) -> Drawn:
        """Draw a token a row; drawn (n,): how many each row has drawn before."""
        early = drawn < self.sampling.min_new_tokens if self.sampling.min_new_tokens else None
        return draw(logits, uniform, self.sampling, early=early, end_id=self.owner.end_id)

    def _of_rows(self, cells: Tensor) -> Tensor:
        return cells if self.rows is None else cells[self.rows]

    def _choose_rows(self) -> None:
        """Compute the rows that still write and no others; all of them where only the device knows which those are."""
        if not self.owner.looks_ahead:
            all_of_them = len(self.writing) == len(self.slots) * self.K
            self.rows = None if all_of_them else torch.tensor(self.writing, dtype=torch.int64)

    def _look(self) -> None:
        """Hand the tokens that were drawn to their rows; the one place where the host waits for a device."""
        unseen, self.unseen = self.unseen, []
        drawn = Drawn(*(torch.stack(each) for each in zip(*unseen, strict=True)))
        if self.owner.looks_ahead:
            drawn = Drawn(*(each[:, self.writing] for each in drawn))
        going = self._take(self.writing, drawn)
        if len(going) < len(self.writing):
            self.writing = going
            self._choose_rows()

    def _take(self, cells: list[int], drawn: Drawn) -> list[int]:
        """Hand what was drawn (tokens, rows) to the rows of these cells; those that go on."""
        going = dict.fromkeys(cells, True)
        for rows in zip(*(each.tolist() for each in drawn), strict=True):
            for cell, token, logprob, ids, logprobs in zip(cells, *rows, strict=True):
                if going[cell]:
                    going[cell] = self._append(cell, token, logprob, list(zip(ids, logprobs, strict=True)))
        return [cell for cell in cells if going[cell]]

    def _append(self, cell: int, token: int, logprob: float, likeliest: list[tuple[int, float]]) -> bool:
        """Let a row grow by a token; whether it goes on."""
        slot, k = self.slots[cell // self.K], cell % self.K
        assert slot is not None  # noqa: S101 - its row still writes
        row = slot.rows[k]
        row.ids.append(token)
        row.logprobs.append(logprob)
        if likeliest:
            row.likeliest.append(likeliest)
        row.stopped = self._holds_stop(row)
        row.finished = row.stopped or token == self.owner.end_id
        if self.on_token is not None:
            self.on_token(slot.prompt, k, row)
        goes_on = not row.finished and len(row.ids) < self.sampling.max_new_tokens
        slot.open_rows -= not goes_on
        return goes_on

    def _holds_stop(self, row: Response) -> bool:
        if not self.sampling.stop or self.owner.decode is None:
            return False
        text = self.owner.decode(row.ids[-self.tail :])
        return any(stop in text for stop in self.sampling.stop)
