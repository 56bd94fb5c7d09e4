"""Pre-training: next-word prediction from plain text, from nothing or onwards from any causal LM."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from policy.config import PretrainConfig
from training import config as configs
from training.config import ConfigError
from training.lm import backbone, optim, savepoints
from training.lm.encoder import Encoder
from training.lm.logprobs import autocast, linear_cross_entropy, matmul_dtype, trunk_and_head
from training.lm.packing import Document, reading_windows, text_windows
from training.program import Interrupted
from training.records import TextLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.program import Run

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}{{ message['content'] }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ALL_WINDOWS = None


class NoText(ValueError):  # noqa: N818
    """There is nothing to learn from or to measure on."""

    code = "no_text"


@dataclass(frozen=True, slots=True)
class Reading:
    """Valid text, cut so that each token is predicted once, and the characters that its tokens stand for."""

    windows: NDArray[np.int32]
    real: NDArray[np.bool_]
    characters: int


def pretrain(run: Run) -> None:
    """Do one `policy.pretrain` job: inputs `text` (a dataset) and, to go on from it, `policy`."""
    config = configs.parse(PretrainConfig, run.config)
    device = torch.device(run.job.device)
    savepoints.seed_everything(run.seed)
    lines = list(read_lines(TextLine, run.input("text")))
    saved = run.last_savepoint()
    model, encoder = _start(run, config, lines, saved, device)
    documents, reading = _encode(lines, encoder, config.context)
    step_tokens = config.batch_windows * config.context
    steps = max(1, config.tokens // step_tokens)
    optimizer = optim.make(
        config.optimizer,
        model,
        learning_rate=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        matmul_dtype=matmul_dtype(config.precision, device),
    )
    schedule = optim.schedule(
        optimizer, "cosine", steps=steps, warmup=math.ceil(config.warmup_share * steps), floor=config.floor
    )
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    step = int(savepoints.restore(saved, parts)["step"]) if saved else 0

    def save(folder: Path) -> None:
        savepoints.save(folder, parts, {"step": step})
        backbone.save_tokenizer(folder / "tokenizer", encoder)

    run.reporter.note(
        f"{backbone.parameter_count(model):,} parameters, {sum(len(document.ids) for document in documents):,} tokens "
        f"of text, {steps:,} steps; starting at step {step}."
    )
    trunk, head = trunk_and_head(model)
    if config.compile:
        trunk = torch.compile(trunk, dynamic=False)
    looks = {round(steps * (index + 1) / config.evaluations) for index in range(config.evaluations)} - {steps}
    batches = _batches(documents, encoder.eos_id, config, seed=run.seed, start=step)
    saved_at = reported_at = time.monotonic()
    model.train()
    while step < steps:
        loss, norm = _learn(trunk, head, optimizer, next(batches), config)
        rate = schedule.get_last_lr()[0]
        schedule.step()
        step += 1
        run.reporter.metrics(
            step, {"pretrain/loss": loss, "pretrain/grad_norm": norm, "pretrain/learning_rate": float(rate)}
        )
        if step in looks:
            bits = bits_per_character(trunk, head, reading, config, device, limit=config.evaluation_windows)
            run.reporter.metrics(step, {"pretrain/valid_bits_per_character": bits})
        now = time.monotonic()
        if now - reported_at >= 1 or step == steps:
            run.reporter.progress(step * step_tokens, steps * step_tokens, "tokens")
            reported_at = now
        if run.stop.requested or now - saved_at >= config.savepoint_every_seconds:
            run.savepoint(step, save)
            saved_at = now
            if run.stop.requested:
                raise Interrupted
    bits = bits_per_character(trunk, head, reading, config, device, limit=ALL_WINDOWS)
    run.reporter.metrics(steps, {"pretrain/valid_bits_per_character": bits})
    evaluation = {
        "valid_bits_per_character": bits,
        "valid_characters": reading.characters,
        "valid_tokens": int(reading.real.sum()),
        "train_tokens": steps * step_tokens,
        "parameters": backbone.parameter_count(model),
    }
    run.publish(
        lambda folder: backbone.save_policy(folder, model, encoder, dtype=torch.float16),
        {"evaluation": evaluation},
    )


def train_tokenizer(lines: Sequence[TextLine], entries: int, max_length: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer (any text can be encoded) with its own pad token and a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=[PAD, END, USER, ASSISTANT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    repeated = (line.text for line in lines for _ in range(max(1, round(line.weight))))
    tokenizer.train_from_iterator(repeated, trainer)
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def bits_per_character(
    trunk: Any, head: Any, reading: Reading, config: PretrainConfig, device: torch.device, *, limit: int | None
) -> float:
    """Measure how many bits the model needs for a character of valid text; `limit` windows stand for all of them."""
    count = len(reading.windows)
    chosen = np.arange(count) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(int)
    size = config.micro_batch_windows
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(chosen), size):
            rows = chosen[start : start + size]
            windows, real = reading.windows[rows], reading.real[rows]
            if len(rows) < size:  # a full batch keeps the one compiled shape
                windows = np.concatenate([windows, np.repeat(windows[:1], size - len(rows), axis=0)])
                real = np.concatenate([real, np.zeros((size - len(rows), real.shape[1]), dtype=bool)])
            ids = torch.from_numpy(windows.astype(np.int64)).to(device)
            weights = torch.from_numpy(real).to(device, torch.float32).flatten()
            nats += float(_nats(trunk, head, ids, weights, config))
            tokens += int(real.sum())
    tokens_per_character = int(reading.real.sum()) / reading.characters
    return nats / tokens / math.log(2) * tokens_per_character


def _start(
    run: Run, config: PretrainConfig, lines: Sequence[TextLine], saved: Path | None, device: torch.device
) -> tuple[Any, Encoder]:
    if run.has_input("policy"):
        given, its_encoder = backbone.load_policy(run.input("policy"), device)
        longest = getattr(given.config, "max_position_embeddings", config.context)
        if config.context > longest:
            raise ConfigError(
                f"context {config.context} is longer than the {longest} tokens that the given policy can see",
                {"context": f"must be at most {longest} for this policy"},
            )
        return given, its_encoder
    if saved:
        encoder = backbone.load_encoder(saved / "tokenizer")
    else:
        run.reporter.note("Training the tokenizer.")
        train = [line for line in lines if line.split == "train"]
        encoder = Encoder(train_tokenizer(train, config.vocabulary, config.max_context))
    shape = LlamaConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=config.max_context,
        tie_word_embeddings=True,
        pad_token_id=encoder.pad_id,
        bos_token_id=None,
        eos_token_id=encoder.eos_id,
    )
    model: Any = LlamaForCausalLM(shape)
    model.to(device)
    # Residual branches start smaller with depth, so that the sum of all layers keeps its size.
    for layer in model.model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.data /= math.sqrt(2 * config.layers)
    return model, encoder


def _encode(lines: Sequence[TextLine], encoder: Encoder, context: int) -> tuple[list[Document], Reading]:
    documents, valid, characters = [], [], 0
    for line in lines:
        ids = np.array(encoder.plain_ids(line.text), dtype=np.int32)
        if line.split == "train":
            documents.append(Document(ids, line.weight))
        elif line.split == "valid":
            valid.append(ids)
            characters += len(line.text)
    if not documents:
        raise NoText("the text dataset has no line of the split train")
    if not valid:
        raise NoText("the text dataset has no line of the split valid, so nothing could be measured")
    windows, real = reading_windows(valid, context=context, eos_id=encoder.eos_id, pad_id=encoder.pad_id)
    return documents, Reading(windows, real, characters)


def _batches(
    documents: list[Document], eos_id: int, config: PretrainConfig, *, seed: int, start: int
) -> Iterator[NDArray[np.int32]]:
    """Yield batches of windows for ever, from the step `start` on: windows left at an epoch's end open the next."""
    size = config.batch_windows
    skip = start * size
    epoch = 0
    left = np.empty((0, config.context + 1), dtype=np.int32)
    while True:
        windows = text_windows(documents, context=config.context, eos_id=eos_id, seed=seed, epoch=epoch)
        epoch += 1
        if skip >= len(left) + len(windows):
            skip -= len(left) + len(windows)
            left = left[:0]
            continue
        left = np.concatenate([left, windows])[skip:]
        skip = 0
        while len(left) >= size:
            yield left[:size]
            left = left[size:]


def _learn(
    trunk: Any,
    head: Any,
    optimizer: torch.optim.Optimizer,
    windows: NDArray[np.int32],
    config: PretrainConfig,
) -> tuple[float, float]:
    """Take one optimiser step; return the mean loss in nats per token and the gradient's norm before clipping."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    ids = torch.from_numpy(windows.astype(np.int64)).to(parameters[0].device)
    targets = ids.shape[0] * (ids.shape[1] - 1)
    total = 0.0
    for part in torch.split(ids, config.micro_batch_windows):
        nats = _nats(trunk, head, part, None, config)
        (nats / targets).backward()  # type: ignore[no-untyped-call]
        total += float(nats.detach())
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total / targets, float(norm)


def _nats(
    trunk: Any, head: Any, ids: torch.Tensor, weights: torch.Tensor | None, config: PretrainConfig
) -> torch.Tensor:
    """Sum of the losses of predicting ids[:, 1:] from ids[:, :-1]."""
    with autocast(config.precision, ids.device):
        hidden = trunk(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return linear_cross_entropy(hidden.flatten(0, 1), head, ids[:, 1:].flatten(), weights)
