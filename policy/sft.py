"""Supervised fine-tuning: the loss falls on what the assistant wrote, and on nothing else."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from policy.config import SFTConfig
from training import config as configs
from training.config import ConfigError
from training.lm import attention, backbone, optim, savepoints
from training.lm.logprobs import autocast, linear_cross_entropy, matmul_dtype, trunk_and_head
from training.lm.packing import Conversation, Document, PackedConversations, by_length, text_windows
from training.program import Interrupted
from training.records import DemonstrationLine, Message, TextLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.lm.encoder import Encoder
    from training.program import Run


class NoDemonstrations(ValueError):  # noqa: N818
    """There is nothing to learn from."""

    code = "no_demonstrations"


class Best:
    """The weights with the lowest valid loss so far; a part of every savepoint."""

    def __init__(self) -> None:
        self.loss = math.inf
        self.step = 0
        self.weights: dict[str, torch.Tensor] = {}

    def consider(self, loss: float, step: int, model: Any) -> None:
        """Keep a copy of the model's weights if this loss is the lowest yet."""
        if loss < self.loss:
            self.loss, self.step = loss, step
            self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Give everything that is kept."""
        return {"loss": self.loss, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self.loss, self.step, self.weights = state["loss"], state["step"], state["weights"]


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


def sft(run: Run) -> None:
    """Do one `policy.sft` job: inputs `policy`, `demonstrations` and, for `text_share`, `text`."""
    config = configs.parse(SFTConfig, run.config)
    device = torch.device(run.job.device)
    savepoints.seed_everything(run.seed)
    model, encoder = backbone.load_policy(run.input("policy"), device)
    model.set_attn_implementation(attention.NAME)
    train, valid = _conversations(run, encoder, model)
    plan = Plan(train, _text(run, config, encoder), encoder.eos_id, config, run.seed)
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
    best = Best()
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "best": best}
    saved = run.last_savepoint()
    step = int(savepoints.restore(saved, parts)["step"]) if saved else 0

    def save(folder: Path) -> None:
        savepoints.save(folder, parts, {"step": step})

    windows = _TextReader(plan, start=step)
    dropout = backbone.ResidualDropout(model, config.dropout)
    saved_at = reported_at = time.monotonic()
    while step < plan.steps:
        if step == 0 and valid:
            run.reporter.metrics(0, {"sft/valid_loss": valid_loss(model, valid, config)})
        loss, norm = _learn(model, optimizer, plan.batch(step), windows.take(), config)
        rate = float(schedule.get_last_lr()[0])
        schedule.step()
        step += 1
        run.reporter.metrics(step, {"sft/loss": loss, "sft/grad_norm": norm, "sft/learning_rate": rate})
        if valid and _is_look(step, plan):
            measured = valid_loss(model, valid, config)
            best.consider(measured, step, model)
            run.reporter.metrics(step, {"sft/valid_loss": measured})
        now = time.monotonic()
        if now - reported_at >= 1 or step == plan.steps:
            run.reporter.progress(step, plan.steps, "steps")
            reported_at = now
        if run.stop.requested or now - saved_at >= config.savepoint_every_seconds:
            run.savepoint(step, save)
            saved_at = now
            if run.stop.requested:
                raise Interrupted
    dropout.remove()
    if best.weights:
        model.load_state_dict(best.weights)
    evaluation = {
        "valid_loss": best.loss if best.weights else None,
        "chosen_step": best.step if best.weights else plan.steps,
        "steps": plan.steps,
        "train_demonstrations": len(train),
        "valid_demonstrations": len(valid),
    }
    backbone.no_dropout(model)
    run.publish(
        lambda folder: backbone.save_policy(folder, model, encoder, dtype=torch.float16),
        {"evaluation": evaluation},
    )


def valid_loss(model: Any, conversations: Sequence[Conversation], config: SFTConfig) -> float:
    """Mean nats per token of the assistant's turns, every token of the split weighing the same."""
    was_training = model.training
    model.eval()
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for pack in by_length(conversations, config.micro_batch_tokens):
            batch = PackedConversations(pack, device=model.device)
            nats += float(_nats(model, batch, config))
            tokens += len(batch.targets)
    model.train(was_training)
    return nats / tokens


def _conversations(run: Run, encoder: Encoder, model: Any) -> tuple[list[Conversation], list[Conversation]]:
    """Encode the demonstrations by their split; those longer than the model can see are left out, and counted."""
    longest = int(getattr(model.config, "max_position_embeddings", 0)) or 2**31
    parts: dict[str, list[Conversation]] = {"train": [], "valid": [], "test": []}
    too_long = 0
    for line in read_lines(DemonstrationLine, run.input("demonstrations")):
        ids, learn = encoder.conversation([*line.prompt, Message("assistant", line.response)])
        # Earlier turns of the assistant are context here; the demonstration is the last turn.
        last = len(ids) - len(encoder.response_ids(line.response))
        if len(ids) > longest:
            too_long += 1
        else:
            parts[line.split].append(Conversation(ids, [place >= last and real for place, real in enumerate(learn)]))
    if not parts["train"]:
        raise NoDemonstrations("the demonstrations have no line of the split train that the model can hold")
    note = f"{len(parts['train']):,} demonstrations to learn from, {len(parts['valid']):,} to measure on."
    if too_long:
        note += f" {too_long:,} are longer than the model's {longest:,} tokens and were left out."
    if not parts["valid"]:
        note += " None of them is of the split valid, so the last step is what will be kept."
    run.reporter.note(note)
    return parts["train"], parts["valid"]


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
        for line in read_lines(TextLine, run.input("text"))
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
    model: Any,
    optimizer: torch.optim.Optimizer,
    conversations: Sequence[Conversation],
    windows: NDArray[np.int32],
    config: SFTConfig,
) -> tuple[float, float]:
    """Take one optimiser step; return the mean loss on the demonstrations and the gradient's norm before clipping."""
    model.train()
    packs = [
        PackedConversations(pack, device=model.device) for pack in by_length(conversations, config.micro_batch_tokens)
    ]
    targets = sum(len(pack.targets) for pack in packs)
    total = 0.0
    for pack in packs:
        nats = _nats(model, pack, config)
        (nats * ((1 - config.text_share) / targets)).backward()  # type: ignore[no-untyped-call]
        total += float(nats.detach())
    rows = max(1, config.micro_batch_tokens // config.text_context)
    for start in range(0, len(windows), rows):
        ids = torch.from_numpy(windows[start : start + rows].astype(np.int64)).to(model.device)
        nats = _text_nats(model, ids, config)
        (nats * (config.text_share / windows[:, 1:].size)).backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total / targets, float(norm)


def _nats(model: Any, pack: PackedConversations, config: SFTConfig) -> torch.Tensor:
    """Sum of the losses over the tokens that are to be learnt."""
    trunk, head = trunk_and_head(model)
    with autocast(config.precision, pack.ids.device):
        hidden = trunk(
            input_ids=pack.ids, position_ids=pack.position_ids, use_cache=False, layout=pack.layout
        ).last_hidden_state
    return linear_cross_entropy(hidden[0].index_select(0, pack.predicting_at), head, pack.targets)


def _text_nats(model: Any, ids: torch.Tensor, config: SFTConfig) -> torch.Tensor:
    trunk, head = trunk_and_head(model)
    with autocast(config.precision, ids.device):
        hidden = trunk(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return linear_cross_entropy(hidden.flatten(0, 1), head, ids[:, 1:].flatten())
