"""Tiny random models and run folders for the tests of trainers: real files, real programs, nothing to download."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from training.lm import backbone
from training.lm.encoder import Encoder
from training.program import Job, Run, open_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SPECIAL = ["<pad>", "<end>", "<user>", "<assistant>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' }}{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def encoder() -> Encoder:
    """A byte-level tokenizer of 260 entries with a chat template."""
    letters = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[2:]})
    fast.chat_template = TEMPLATE
    return Encoder(fast)


def causal_lm(family: str = "llama", *, vocabulary: int = 260, seed: int = 0, hidden: int = 32, layers: int = 2) -> Any:
    """A random causal LM of two layers, in float32."""
    torch.manual_seed(seed)
    common = {"vocab_size": vocabulary, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    if family == "gpt2":
        config: Any = GPT2Config(n_embd=hidden, n_layer=layers, n_head=4, n_positions=256, **common)
    else:
        shape = {
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "tie_word_embeddings": True,
        }
        kinds = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": functools.partial(Qwen3Config, head_dim=8)}
        config = kinds[family](**shape, **common)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    with torch.no_grad():  # untrained weights are so small that every test would pass; make the words matter
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(4)
    backbone.no_dropout(model)
    return model


def policy(folder: Path, family: str = "llama", *, seed: int = 0) -> Path:
    """Save a tiny policy and give its folder."""
    backbone.save_policy(folder, causal_lm(family, seed=seed), encoder())
    return folder


def encoder_only(folder: Path) -> Path:
    """Save a tiny BERT, whose tokens see what comes after them."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=260,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
        pad_token_id=0,
    )
    backbone.save_policy(folder, AutoModel.from_config(config), encoder())
    return folder


def scorer(folder: Path, policy_folder: Path, *, seed: int = 0, mean: float = 0.3, std: float = 0.7) -> Path:
    """Save a tiny reward model, with a normalisation that is not the identity."""
    model, its_encoder = backbone.scorer_from_policy(policy_folder, seed=seed)
    model.config.reward_mean, model.config.reward_std = mean, std
    backbone.save_scorer(folder, model, its_encoder)
    return folder


def ranking_lines(count: int, *, annotators: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """Rankings of four responses in which the one with more vowels is better, and equal counts tie."""
    generator = torch.Generator().manual_seed(seed)

    def word() -> str:
        return "".join("aeioubcdfghklmnprstw"[int(torch.randint(20, (1,), generator=generator))] for _ in range(8))

    lines = []
    for number in range(count):
        responses = [word() for _ in range(4)]
        merits = [sum(letter in "aeiou" for letter in text) for text in responses]
        order = sorted(set(merits), reverse=True)
        said = {
            "kind": "ranking",
            "placements": [{"response": f"r{i}", "rank": order.index(m) + 1} for i, m in enumerate(merits)],
            "simulated": True,
        }
        lines.append(
            {
                "id": str(number),
                "split": "valid" if number % 5 == 4 else "train",
                "group": str(number),
                "prompt": [{"role": "user", "content": f"say {word()}"}],
                "responses": [{"id": f"r{i}", "text": text} for i, text in enumerate(responses)],
                "judgements": [said | {"annotator": f"a{i}"} for i in range(annotators)],
            }
        )
    return lines


def prompt_lines(count: int) -> list[dict[str, Any]]:
    """Short prompts."""
    return [
        {
            "id": f"p{number}",
            "split": "valid" if number % 5 == 4 else "train",
            "group": str(number),
            "prompt": [{"role": "user", "content": f"say {number}"}],
            "source": "test",
        }
        for number in range(count)
    ]


def dataset(folder: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write a dataset folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def run(folder: Path, kind: str, inputs: Mapping[str, Path], config: Mapping[str, Any], *, seed: int = 1) -> Run:
    """Make a run folder and open its next attempt."""
    folder.mkdir(parents=True, exist_ok=True)
    job = {"job": "1", "kind": kind, "seed": seed, "config": dict(config), "code_revision": "test", "device": "cpu"}
    job["inputs"] = {name: str(path) for name, path in inputs.items()}
    (folder / "job.json").write_text(json.dumps(job))
    return open_run(folder)


def job(kind: str) -> Job:
    """A job that needs no file."""
    return Job(job="1", kind=kind, seed=1, config={}, inputs={}, store=None, code_revision="test", device="cpu")


def events(one: Run, kind: str) -> list[dict[str, Any]]:
    """The events of a kind that an attempt said."""
    text = (one.attempt_dir / "events.jsonl").read_text()
    return [event for event in map(json.loads, text.splitlines()) if event["event"] == kind]


def metrics(one: Run, name: str) -> list[tuple[int, float]]:
    """One curve of an attempt: (step, value)."""
    return [(event["step"], event["values"][name]) for event in events(one, "metrics") if name in event["values"]]


def curves(*runs: Run) -> dict[tuple[int, str], float]:
    """Every value that some attempts said, by step and name; a later attempt's word counts."""
    return {
        (event["step"], name): value
        for one in runs
        for event in events(one, "metrics")
        for name, value in event["values"].items()
    }


class StopsAfter:
    """A stop signal that is raised once somebody has looked at it so many times."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    @property
    def requested(self) -> bool:
        """Whether it is time to stop; each look counts."""
        self.left -= 1
        return self.left < 0
