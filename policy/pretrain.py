"""Pre-training: next-word prediction from plain text, from nothing or onwards from any causal LM."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from policy.config import PretrainConfig
from training import config as configs
from training.config import ConfigError
from training.lm import adapters, backbone, distributed, optim, savepoints
from training.lm.encoder import Encoder
from training.lm.logprobs import autocast, linear_cross_entropy, matmul_dtype, trunk_and_head
from training.lm.packing import Document, reading_windows, text_windows
from training.program import Interrupted
from training.texts import NoText, read_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.program import Run
    from training.records import TextLine

PAD, END, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}{{ message['content'] }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ALL_WINDOWS = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Valid text, cut so that each token is predicted once, and the characters that its tokens stand for."""

    windows: NDArray[np.int32]
    real: NDArray[np.bool_]
    characters: int


def pretrain(run: Run) -> None:
    """Do one `policy.pretrain` job: inputs `text` (a dataset, a file, a folder) and, to go on from it, `policy`."""
    config = configs.parse(PretrainConfig, run.config)
    device = distributed.start(run, config.processes)
    savepoints.seed_everything(run.seed)
    lines = list(read_texts(run.input("text")))
    saved = run.last_savepoint()
    model, encoder = _start(run, config, lines, saved, device)
    documents, reading = _encode(lines, encoder, config.context)
    spread = backbone.to_train(model, config, device)
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
    parts = {"model": savepoints.Trained(model), "optimizer": optimizer, "schedule": schedule}
    savepoints.seed_everything(distributed.own_seed(run.seed))
    step = int(savepoints.restore(saved, parts)["step"]) if saved else 0

    def save(folder: Path) -> None:
        savepoints.save(folder, parts, {"step": step})
        backbone.save_tokenizer(folder / "tokenizer", encoder)

    run.reporter.note(
        f"{backbone.parameter_count(model):,} parameters, {sum(len(document.ids) for document in documents):,} tokens "
        f"of text, {steps:,} steps; starting at step {step}."
    )
    trunk, head = trunk_and_head(model)
    reader = Reader(spread, torch.compile(trunk, dynamic=False) if config.compile else trunk, head, config)
    looks = {round(steps * (index + 1) / config.evaluations) for index in range(config.evaluations)} - {steps}
    batches = _batches(documents, encoder.eos_id, config, seed=run.seed, start=step)
    saved_at = reported_at = time.monotonic()
    model.train()
    while step < steps:
        loss, norm = _learn(reader, optimizer, next(batches))
        rate = schedule.get_last_lr()[0]
        schedule.step()
        step += 1
        run.reporter.metrics(
            step, {"pretrain/loss": loss, "pretrain/grad_norm": norm, "pretrain/learning_rate": float(rate)}
        )
        if step in looks:
            run.reporter.metrics(step, _named(held_out(reader, reading, limit=config.evaluation_windows)))
        now = time.monotonic()
        if now - reported_at >= 1 or step == steps:
            run.reporter.progress(step * step_tokens, steps * step_tokens, "tokens")
            reported_at = now
        if run.stop.requested or distributed.first_says(now - saved_at >= config.savepoint_every_seconds):
            run.savepoint(step, save)
            saved_at = now
            if run.stop.requested:
                raise Interrupted
    figures = held_out(reader, reading, limit=ALL_WINDOWS)
    run.reporter.metrics(steps, _named(figures))
    evaluation = {
        **figures,
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
    tokenizer = Tokenizer.from_str(distributed.gather(tokenizer.to_str())[0])  # one for all ranks
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


@dataclass(frozen=True, slots=True)
class Reader:
    """The model as it reads windows of tokens: its trunk (perhaps compiled) and its head, laid out over the ranks."""

    spread: distributed.Spread
    trunk: Any
    head: Any
    config: PretrainConfig

    @property
    def size(self) -> int:
        """Windows computed at once; always as many, for a compiled trunk has one shape."""
        return distributed.at_most(self.config.micro_batch_windows, self.config.batch_windows)

    def nats(self, ids: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sum of the losses of predicting ids[:, 1:] from ids[:, :-1]."""

        def compute() -> torch.Tensor:
            with autocast(self.config.precision, ids.device):
                hidden = self.trunk(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            return linear_cross_entropy(hidden.flatten(0, 1), self.head, ids[:, 1:].flatten(), weights)

        return self.spread(compute)

    def ids(self, windows: NDArray[np.int32]) -> torch.Tensor:
        """Windows as the model takes them."""
        return torch.from_numpy(windows.astype(np.int64)).to(self.spread.model.device)


def held_out(reader: Reader, reading: Reading, *, limit: int | None) -> dict[str, float]:
    """Measure on valid text: perplexity of a token, and bits for a character, which compares across tokenizers.

    `limit` windows, evenly over the text, stand for all of them.
    """
    model = reader.spread.model
    was_training = model.training
    model.eval()
    count = len(reading.windows)
    chosen = np.arange(count) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(int)
    size = reader.size
    nats = 0.0
    with torch.no_grad():
        for rows, weight in distributed.deal([chosen[start : start + size] for start in range(0, len(chosen), size)]):
            windows, real = reading.windows[rows], reading.real[rows]
            if len(rows) < size:  # a full batch keeps the one compiled shape
                windows = np.concatenate([windows, np.repeat(windows[:1], size - len(rows), axis=0)])
                real = np.concatenate([real, np.zeros((size - len(rows), real.shape[1]), dtype=bool)])
            ids = reader.ids(windows)
            nats += weight * float(reader.nats(ids, torch.from_numpy(real).to(ids.device, torch.float32).flatten()))
    model.train(was_training)
    mean = distributed.total(nats)[0] / int(reading.real[chosen].sum())
    tokens_per_character = int(reading.real.sum()) / reading.characters
    return {
        "valid_perplexity": math.exp(min(mean, math.log(sys.float_info.max))),
        "valid_bits_per_character": mean / math.log(2) * tokens_per_character,
    }


def _named(figures: dict[str, float]) -> dict[str, float]:
    """Figures by the names of their curves."""
    return {f"pretrain/{name}": value for name, value in figures.items()}


def _start(
    run: Run, config: PretrainConfig, lines: Sequence[TextLine], saved: Path | None, device: torch.device
) -> tuple[Any, Encoder]:
    if run.has_input("policy"):
        return _given(run, config, device)
    if config.lora_rank:
        raise ConfigError(
            "a model that starts from nothing has nothing to adapt: give a policy, or set lora_rank to 0",
            {"lora_rank": "needs the input policy"},
        )
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
    where = distributed.loading_device(config.parallel, device)
    with torch.device("meta" if where.type == "meta" else "cpu"):
        model: Any = LlamaForCausalLM(shape)
    model.to(where)
    # Residual branches start smaller with depth, so that the sum of all layers keeps its size.
    for layer in model.model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.data /= math.sqrt(2 * config.layers)
    return model, encoder


def _given(run: Run, config: PretrainConfig, device: torch.device) -> tuple[Any, Encoder]:
    """Load the policy to go on from; a bare base model gets what it lacks to be taught conversations later."""
    folder = run.input("policy")
    model = backbone.load_to_train(folder, config, device)
    longest = backbone.context_of(model)
    if config.context > longest:
        raise ConfigError(
            f"context {config.context} is longer than the {longest} tokens that the given policy can see",
            {"context": f"must be at most {longest} for this policy"},
        )
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    added = furnish(tokenizer)
    if added:
        if config.lora_rank:
            raise ConfigError(
                f"the given tokenizer gets {', '.join(added)}, and adapters leave the rows of new tokens as they are: "
                "set lora_rank to 0, or mend the tokenizer first",
                {"lora_rank": "must be 0 for a tokenizer that is mended"},
            )
        run.reporter.note(f"The given tokenizer had none, so it was given {', '.join(added)}.")
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, Encoder(tokenizer)


def furnish(tokenizer: Any) -> list[str]:
    """Give a tokenizer what a policy needs and it has not; name what that was."""
    added = []
    if tokenizer.eos_token_id is None:
        tokenizer.add_special_tokens({"eos_token": END})
        added.append("an end token")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD})
        added.append("a pad token of its own")
    if not tokenizer.chat_template:
        tokenizer.add_special_tokens({"additional_special_tokens": [USER, ASSISTANT]})
        tokenizer.chat_template = CHAT_TEMPLATE.replace(END, tokenizer.eos_token)
        added.append("a chat template")
    return added


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
        raise NoText("the text has no line of the split train, so there is nothing to learn from")
    if not valid:
        raise NoText(
            "the text has no line of the split valid, so nothing could be measured: add more text, or JSON lines that "
            'name their split ("split": "valid")'
        )
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


def _learn(reader: Reader, optimizer: torch.optim.Optimizer, windows: NDArray[np.int32]) -> tuple[float, float]:
    """Take one optimiser step; return the mean loss in nats per token and the gradient's norm before clipping."""
    targets = windows[:, 1:].size
    size = reader.size
    total = 0.0
    for part, weight in distributed.deal([windows[start : start + size] for start in range(0, len(windows), size)]):
        nats = reader.nats(reader.ids(part))
        (nats * (weight / targets)).backward()  # type: ignore[no-untyped-call]
        total += weight * float(nats.detach())
    norm = distributed.finish_gradients(adapters.trainable(reader.spread.model), reader.config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return distributed.total(total)[0] / targets, norm
