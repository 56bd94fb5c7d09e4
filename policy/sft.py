"""Supervised fine-tuning: the loss falls on what the assistant wrote, and on nothing else.

InstructGPT (2203.02155, §3.5 and C.1) trained for 16 epochs with a cosine and a residual dropout of 0.2, overfitted its
validation loss after one, and chose by the reward model's score: `epochs`, `dropout` and the input `reward` do that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from policy.config import SFTConfig
from policy.preflight import check_ends
from policy.ptx import text_nats
from training import config as configs
from training.config import ConfigError
from training.lm import adapters, attention, backbone, blocks, distributed, optim, savepoints
from training.lm.generation import Generator, Sampling
from training.lm.logprobs import autocast, linear_cross_entropy, matmul_dtype, trunk_and_head
from training.lm.packing import Conversation, Document, PackedConversations, packs_of_ranks, text_windows
from training.program import Interrupted
from training.records import DemonstrationLine, Message, read_lines
from training.texts import read_texts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.lm.encoder import Encoder
    from training.program import Run

Judge = Callable[[Sequence[Sequence[Message]], Sequence[Sequence[str]], Sequence[Sequence[bool]]], list[torch.Tensor]]
"""Scores responses: (prompts, responses of each, which of them ended by themselves) to a tensor (K,) a prompt."""


class NoDemonstrations(ValueError):  # noqa: N818
    """There is nothing to learn from."""

    code = "no_demonstrations"


class Best:
    """The best step so far, what was measured at it, and its weights; a part of every savepoint."""

    def __init__(self, trained: savepoints.Trained) -> None:
        self._trained = trained
        self.merit = -math.inf
        self.step = 0
        self.figures: dict[str, float] = {}
        self.weights: dict[str, torch.Tensor] = {}

    def consider(self, merit: float, step: int, figures: Mapping[str, float]) -> None:
        """Keep a copy of the weights if nothing had as much merit yet."""
        if merit > self.merit:
            self.merit, self.step, self.figures = merit, step, dict(figures)
            self.weights = self._trained.copy()

    def put(self) -> None:
        """Put the best weights into the model, if any were considered."""
        if self.weights:
            self._trained.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Give everything that is kept."""
        return {"merit": self.merit, "step": self.step, "figures": self.figures, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.merit, self.step, self.figures = state["merit"], state["step"], dict(state["figures"])
        self.weights = self._trained.copy_of(state["weights"])


@dataclass(frozen=True, slots=True)
class Plan:
    """Which demonstrations and which text each step reads: a pure function of the seed and the step's number."""

    conversations: Sequence[Conversation]
    text: Sequence[Document]
    eos_id: int
    config: SFTConfig
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps until each demonstration was read once; the last of them may be smaller."""
        return math.ceil(len(self.conversations) / self.config.batch_conversations)

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self.steps_per_epoch * self.config.epochs

    def batch(self, step: int) -> list[Conversation]:
        """Give the demonstrations of the step with this number, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.conversations))
        size = self.config.batch_conversations
        return [self.conversations[index] for index in order[place * size : (place + 1) * size]]

    def windows_per_step(self) -> int:
        """Windows of plain text that make up `text_share` of a step's tokens."""
        share = self.config.text_share
        tokens = self.config.batch_conversations * float(np.mean([len(piece.ids) for piece in self.conversations]))
        return math.ceil(tokens * share / (1 - share) / self.config.text_context) if share else 0


def sft(run: Run, judge: Judge | None = None) -> None:  # noqa: PLR0915 - the loop is shown whole
    """Do one `policy.sft` job: inputs `policy`, `demonstrations` and, for `text_share`, `text`.

    With a judge the step is kept whose responses to valid prompts it scores highest, else that with the lowest loss.
    """
    config = configs.parse(SFTConfig, run.config)
    device = distributed.start(run, config.processes)
    savepoints.seed_everything(run.seed)
    check_ends(backbone.load_encoder(run.input("policy")), run.input("policy"))
    model = backbone.load_to_train(run.input("policy"), config, device)
    encoder = backbone.load_encoder(run.input("policy"), model)
    model.set_attn_implementation(attention.NAME)
    spread = backbone.to_train(model, config, device)
    shown = _read(run, encoder, model, config)
    plan = Plan(shown.train, _text(run, config, encoder), encoder.eos_id, config, run.seed)
    optimizer = optim.make(
        config.optimizer,
        model,
        learning_rate=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        matmul_dtype=matmul_dtype(config.precision, device),
    )
    warmup = math.ceil(config.warmup_share * plan.steps)
    schedule = optim.schedule(optimizer, "cosine", steps=plan.steps, warmup=warmup, floor=config.floor)
    trained = savepoints.Trained(model)
    best = Best(trained)
    parts = {"model": trained, "optimizer": optimizer, "schedule": schedule, "best": best}
    savepoints.seed_everything(distributed.own_seed(run.seed))
    saved = run.last_savepoint()
    step = int(savepoints.restore(saved, parts)["step"]) if saved else 0

    def save(folder: Path) -> None:
        savepoints.save(folder, parts, {"step": step})

    def look() -> dict[str, float]:
        """Measure the model as it is; the last of the figures decides which step is kept."""
        figures = {"sft/valid_loss": valid_loss(spread, shown.valid, config)}
        if judge is not None:
            figures["sft/valid_reward"] = valid_reward(spread, encoder, shown.prompts, config, judge, seed=run.seed)
        run.reporter.metrics(step, figures)
        return figures

    windows = _TextReader(plan, start=step)
    dropout = backbone.ResidualDropout(model, config.dropout)
    saved_at = reported_at = time.monotonic()
    while step < plan.steps:
        if step == 0 and shown.valid:
            look()
        loss, norm = _learn(spread, optimizer, plan.batch(step), windows.take(), config)
        rate = float(schedule.get_last_lr()[0])
        schedule.step()
        step += 1
        run.reporter.metrics(step, {"sft/loss": loss, "sft/grad_norm": norm, "sft/learning_rate": rate})
        if shown.valid and _is_look(step, plan):
            figures = look()
            merit = -figures["sft/valid_loss"] if judge is None else figures["sft/valid_reward"]
            best.consider(merit, step, figures)
        now = time.monotonic()
        if now - reported_at >= 1 or step == plan.steps:
            run.reporter.progress(step, plan.steps, "steps")
            reported_at = now
        if run.stop.requested or distributed.first_says(now - saved_at >= config.savepoint_every_seconds):
            run.savepoint(step, save)
            saved_at = now
            if run.stop.requested:
                raise Interrupted
    dropout.remove()
    best.put()
    evaluation = {
        "valid_loss": best.figures.get("sft/valid_loss"),
        "valid_reward": best.figures.get("sft/valid_reward"),
        "chosen_step": best.step if best.weights else plan.steps,
        "chosen_by": "reward" if judge else "loss",
        "steps": plan.steps,
        "train_demonstrations": len(shown.train),
        "valid_demonstrations": len(shown.valid),
    }
    backbone.no_dropout(model)
    run.publish(
        lambda folder: backbone.save_policy(folder, model, encoder, dtype=torch.float16),
        {"evaluation": evaluation},
    )


def valid_loss(spread: distributed.Spread, conversations: Sequence[Conversation], config: SFTConfig) -> float:
    """Mean nats per token of the assistant's turns, every token of the split weighing the same."""
    model = spread.model
    was_training = model.training
    model.eval()
    nats = 0.0
    with torch.no_grad():
        for pack, weight in _own_packs(conversations, config):
            batch = PackedConversations(pack, device=model.device)
            nats += weight * float(spread(lambda batch=batch: _nats(model, batch, config)))  # type: ignore[misc]
    model.train(was_training)
    return distributed.total(nats)[0] / sum(conversation.target_count for conversation in conversations)


def valid_reward(
    spread: distributed.Spread,
    encoder: Encoder,
    prompts: Sequence[Sequence[Message]],
    config: SFTConfig,
    judge: Judge,
    *,
    seed: int,
) -> float:
    """Mean score of one sampled response to each prompt; the same random numbers at every look."""
    model = spread.model
    was_training = model.training
    model.eval()
    mine = distributed.share([(str(number), prompt) for number, prompt in enumerate(prompts)])
    sampling = Sampling(max_new_tokens=config.reward_max_new_tokens, temperature=config.reward_temperature, seed=seed)
    with torch.no_grad(), spread.whole():
        written = Generator(model, end_id=encoder.eos_id, pad_id=encoder.pad_id).generate(
            [encoder.prompt_ids(prompt) for _, prompt in mine],
            keys=[key for key, _ in mine],
            responses_per_prompt=1,
            sampling=sampling,
        )
    model.train(was_training)
    rows = written or []
    texts = [[encoder.text(response.ids) for response in row] for row in rows]
    ended = [[response.finished for response in row] for row in rows]
    scores = judge([prompt for _, prompt in mine], texts, ended)
    reward, count = distributed.total(sum(float(score.sum()) for score in scores), len(mine))
    return reward / count


@dataclass(frozen=True, slots=True)
class Shown:
    """The demonstrations that the model can hold, and prompts of the split valid that leave it room to answer."""

    train: list[Conversation]
    valid: list[Conversation]
    prompts: list[Sequence[Message]]


def _read(run: Run, encoder: Encoder, model: Any, config: SFTConfig) -> Shown:
    """Encode the demonstrations by their split; say how many had to be shortened, or left out."""
    longest = backbone.context_of(model)
    parts: dict[str, list[Conversation]] = {"train": [], "valid": [], "test": []}
    prompts: dict[tuple[Message, ...], None] = {}
    shortened = left_out = 0
    for line in read_lines(DemonstrationLine, run.input("demonstrations")):
        turns: Sequence[Message] = line.prompt
        conversation = _encode(encoder, line, turns, config)
        while len(conversation.ids) > longest and (fewer := _without_oldest(turns)):
            turns, conversation = fewer, _encode(encoder, line, fewer, config)
        if len(conversation.ids) > longest:
            left_out += 1
            continue
        shortened += len(turns) < len(line.prompt)
        parts[line.split].append(conversation)
        if line.split == "valid" and len(encoder.prompt_ids(line.prompt)) + config.reward_max_new_tokens <= longest:
            prompts[line.prompt] = None
    if not parts["train"]:
        raise NoDemonstrations("the demonstrations have no line of the split train that the model can hold")
    note = f"{len(parts['train']):,} demonstrations to learn from, {len(parts['valid']):,} to measure on."
    if shortened:
        note += f" {shortened:,} lost their oldest turns, to fit into the model's {longest:,} tokens."
    if left_out:
        note += f" {left_out:,} are longer than that by their last turns alone, and were left out."
    if not parts["valid"]:
        note += " None of them is of the split valid, so the last step is what will be kept."
    run.reporter.note(note)
    chosen = np.random.default_rng(run.seed).permutation(len(prompts))[: config.reward_prompts]
    return Shown(parts["train"], parts["valid"], [list(prompts)[index] for index in sorted(chosen)])


def _encode(encoder: Encoder, line: DemonstrationLine, turns: Sequence[Message], config: SFTConfig) -> Conversation:
    """Encode a demonstration after these turns; under `turns: last` the assistant's earlier ones are context."""
    ids, learn = encoder.conversation([*turns, Message("assistant", line.response)])
    if config.turns == "last":
        last = len(ids) - len(encoder.response_ids(line.response))
        learn = [place >= last and real for place, real in enumerate(learn)]
    return Conversation(ids, learn)


def _without_oldest(turns: Sequence[Message]) -> list[Message]:
    """Give a conversation without its oldest question and what came of it, or nothing if there is only one."""
    opening = [turn for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    later = next((place for place, turn in enumerate(rest) if place > 0 and turn.role == "user"), None)
    return [] if later is None else [*opening, *rest[later:]]


def _text(run: Run, config: SFTConfig, encoder: Encoder) -> list[Document]:
    if not config.text_share:
        return []
    if not run.has_input("text"):
        raise ConfigError(
            "text_share needs the input text: name a text dataset, or set text_share to 0",
            {"text_share": "needs the input text"},
        )
    return [
        Document(np.array(encoder.plain_ids(line.text), dtype=np.int32), line.weight)
        for line in read_texts(run.input("text"))
        if line.split == "train"
    ]


class _TextReader:
    """Windows of plain text, a step's worth at a time; starting at a step gives what an unbroken run would read."""

    def __init__(self, plan: Plan, *, start: int) -> None:
        self._plan, self._size = plan, plan.windows_per_step()
        self._epoch, self._left = 0, np.empty((0, plan.config.text_context + 1), dtype=np.int32)
        for _ in range(start if self._size else 0):
            self.take()

    def take(self) -> NDArray[np.int32]:
        """Give the windows of the next step: shape (windows, text_context + 1), perhaps none."""
        while len(self._left) < self._size:
            more = text_windows(
                self._plan.text,
                context=self._plan.config.text_context,
                eos_id=self._plan.eos_id,
                seed=self._plan.seed,
                epoch=self._epoch,
            )
            self._epoch += 1
            self._left = np.concatenate([self._left, more])
        taken, self._left = self._left[: self._size], self._left[self._size :]
        return taken


def _is_look(step: int, plan: Plan) -> bool:
    looks = plan.config.evaluations_per_epoch
    within = (step - 1) % plan.steps_per_epoch + 1
    return within in {math.ceil(plan.steps_per_epoch * (look + 1) / looks) for look in range(looks)}


def _learn(
    spread: distributed.Spread,
    optimizer: torch.optim.Optimizer,
    conversations: Sequence[Conversation],
    windows: NDArray[np.int32],
    config: SFTConfig,
) -> tuple[float, float]:
    """Take one optimiser step; return the mean loss on the demonstrations and the gradient's norm before clipping."""
    model = spread.model
    model.train()
    targets = sum(conversation.target_count for conversation in conversations)
    total = 0.0
    for pack, weight in _own_packs(conversations, config):
        batch = PackedConversations(pack, device=model.device)
        nats = spread(lambda batch=batch: _nats(model, batch, config))  # type: ignore[misc]
        (nats * (weight * (1 - config.text_share) / targets)).backward()  # type: ignore[no-untyped-call]
        total += weight * float(nats.detach())
    rows = distributed.at_most(config.micro_batch_tokens // config.text_context, len(windows))
    for part, weight in distributed.deal([windows[start : start + rows] for start in range(0, len(windows), rows)]):
        nats = spread(partial(text_nats, model, part, config.precision))
        (nats * (weight * config.text_share / windows[:, 1:].size)).backward()  # type: ignore[no-untyped-call]
    norm = distributed.finish_gradients(adapters.trainable(model), config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return distributed.total(total)[0] / targets, norm


def _own_packs(conversations: Sequence[Conversation], config: SFTConfig) -> list[tuple[list[Conversation], float]]:
    """This rank's packs of what all ranks compute together, with their weights."""
    return packs_of_ranks(conversations, config.micro_batch_tokens, distributed.size())[distributed.rank()]


def _nats(model: Any, pack: PackedConversations, config: SFTConfig) -> torch.Tensor:
    """Sum of the losses over the tokens that are to be learnt."""
    trunk, head = trunk_and_head(model)
    with autocast(config.precision, pack.ids.device):
        hidden = blocks.states(trunk, pack)
    return linear_cross_entropy(hidden.index_select(0, pack.predicting_at), head, pack.targets)
