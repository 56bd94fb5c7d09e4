"""Loading and saving models as ordinary `transformers` folders."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from training.lm import adapters, distributed
from training.lm.encoder import BadTokenizer, Encoder
from training.lm.logprobs import matmul_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.size import AnySize

CPU = torch.device("cpu")
NO_LIMIT = 2**31 - 1
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a trainer speaks through its events


class BadModel(ValueError):  # noqa: N818 - named for what is wrong
    """A folder that holds no usable model; the message says why."""

    code = "bad_model"


def load_policy(
    path: Path | str, device: torch.device | str = CPU, *, dtype: torch.dtype | None = None
) -> tuple[Any, Encoder]:
    """Load a causal LM and its encoder, dropout off; by default in the dtype that the device computes in.

    What is trained is loaded in float32 whatever the device computes in: in bfloat16 a small step changes nothing.
    """
    model = _load(AutoModelForCausalLM, path, device, dtype)
    return model, load_encoder(path, model)


def load_scorer(
    path: Path | str, device: torch.device | str = CPU, *, dtype: torch.dtype | None = None
) -> tuple[Any, Encoder]:
    """Load a reward model (one raw logit; `config.reward_mean` and `config.reward_std` scale it) and its encoder."""
    model = _load(AutoModelForSequenceClassification, path, device, dtype)
    if model.config.num_labels != 1:
        raise BadModel(f"{path} scores {model.config.num_labels} labels; a reward model has one")
    encoder = load_encoder(path, model)
    if model.config.pad_token_id != encoder.pad_id:
        raise BadModel(
            f"{path} has pad_token_id {model.config.pad_token_id} in config.json but its tokenizer pads with "
            f"{encoder.pad_id}; make them the same, or scores are read at the wrong token"
        )
    return model, encoder


def load_encoder(path: Path | str, model: Any | None = None) -> Encoder:
    """Load the tokenizer of a model folder as an Encoder; refuses one whose ids the model has no rows for."""
    encoder = Encoder(AutoTokenizer.from_pretrained(str(path)))
    if model is not None and len(encoder.tokenizer) > model.get_input_embeddings().num_embeddings:
        raise BadTokenizer(
            f"the tokenizer in {path} has {len(encoder.tokenizer)} entries but the model only "
            f"{model.get_input_embeddings().num_embeddings}: call model.resize_token_embeddings and save it"
        )
    return encoder


def context_of(model: Any) -> int:
    """Tell how many tokens a model reads at most: one that is loaded, or one in a folder, which is not loaded for it.

    A model whose positions have no end (ALiBi, recurrent ones) has NO_LIMIT.
    """
    config = AutoConfig.from_pretrained(str(model)) if isinstance(model, str | Path) else model.config
    return getattr(config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT


def scorer_from_policy(
    path: Path | str, device: torch.device | str = CPU, *, seed: int, dtype: torch.dtype | None = None
) -> tuple[Any, Encoder]:
    """Start a reward model from a policy: its trunk, and a head drawn from N(0, 1/sqrt(d + 1))."""
    encoder = load_encoder(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the head that is new is the head that we draw below
        model = _load(
            AutoModelForSequenceClassification, path, device, dtype, num_labels=1, pad_token_id=encoder.pad_id
        )
    head = score_head(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(1, head.in_features, generator=generator) / (head.in_features + 1) ** 0.5)
        if head.bias is not None:
            head.bias.zero_()
    model.config.reward_mean, model.config.reward_std = 0.0, 1.0
    return model, encoder


def score_head(model: Any) -> torch.nn.Linear:
    """Give the last layer of a reward model: from a state to one logit."""
    heads = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module.out_features == 1]
    if not heads:
        raise BadModel(f"{type(model).__name__} has no linear layer that ends in one score")
    return heads[-1]


def save_policy(folder: Path, model: Any, encoder: Encoder, *, dtype: torch.dtype | None = None) -> None:
    """Write model and tokenizer into a folder, in `dtype` (default: the model's own)."""
    _save(folder, model, encoder, dtype)


def save_scorer(folder: Path, model: Any, encoder: Encoder, *, dtype: torch.dtype | None = None) -> None:
    """Write a reward model; its config must carry `reward_mean` and `reward_std`."""
    for name in ("reward_mean", "reward_std"):
        if not hasattr(model.config, name):
            raise BadModel(f"the reward model's config has no {name}")
    _save(folder, model, encoder, dtype)


def save_tokenizer(folder: Path, encoder: Encoder) -> None:
    """Write the tokenizer alone, without what loading noted about where it came from: the same bytes each time."""
    encoder.tokenizer.save_pretrained(folder)
    path = Path(folder) / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    for name in ("is_local", "local_files_only"):
        settings.pop(name, None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def to_train(model: Any, size: AnySize, device: torch.device, *, also_train: Sequence[str] = ()) -> distributed.Spread:
    """Make a loaded model ready to be trained as the configuration says: adapters, checkpointing, parts on each rank.

    `also_train` names modules that are trained whole beside adapters. An optimiser is made after this.
    """
    adapters.attach(model, size, also_train=also_train)
    if size.activation_checkpointing:
        checkpoint_activations(model)
    return distributed.Spread(model, size.parallel, matmul_dtype(size.precision, device))


def checkpoint_activations(model: Any) -> None:
    """Let every layer compute its activations again in the backward pass instead of keeping them."""
    model.activation_checkpointing_enable()


def load_to_train(path: Path | str, size: AnySize, device: torch.device) -> Any:
    """Load a causal LM that is to be trained: in float32, or, frozen under adapters, in what the device computes in.

    Where it will be held in parts, no device holds the whole of it.
    """
    dtype = compute_dtype(device) if size.lora_rank else torch.float32
    return _load(AutoModelForCausalLM, path, distributed.loading_device(size.parallel, device), dtype)


def compute_dtype(device: torch.device | str) -> torch.dtype:
    """Say which dtype frozen weights have on a device: float32 everywhere but on GPUs that have bfloat16."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32


def no_dropout(model: Any) -> None:
    """Switch off every dropout in the model, so that a training step computes what an evaluation does."""
    set_dropout(model, 0.0)


def set_dropout(model: Any, p: float) -> None:
    """Set the probability of every dropout layer and of attention dropout in the model; adapters keep their own."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and ".lora_dropout." not in name:
            module.p = p
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = p


class ResidualDropout:
    """Dropout on what each block adds to the residual stream, for backbones that have none of their own.

    Llama and its kin end their blocks in `o_proj` and `down_proj`; other backbones (GPT-2) have dropout layers, which
    `set_dropout` sets. Acts in training mode only; `remove()` takes it off again.
    """

    def __init__(self, model: Any, p: float) -> None:
        set_dropout(model, p)
        self._hooks = [
            module.register_forward_hook(lambda module, _, out: F.dropout(out, p, module.training))
            for name, module in model.named_modules()
            if name.rpartition(".")[2] in {"o_proj", "down_proj"} and p > 0
        ]

    def remove(self) -> None:
        """Take every hook off."""
        for hook in self._hooks:
            hook.remove()


def parameter_count(model: Any) -> int:
    """Count the model's parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _load(auto: Any, path: Path | str, device: torch.device | str, dtype: torch.dtype | None, **overrides: Any) -> Any:
    folder = Path(path)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadModel(f"{folder} holds no config.json, so no transformers model")
    dtype = dtype or compute_dtype(device)
    if torch.device(device).type == "meta":
        with torch.device("meta"):
            shape = AutoConfig.from_pretrained(str(path), **overrides)
            model = auto.from_config(shape, dtype=dtype, attn_implementation="sdpa")
    else:
        model = auto.from_pretrained(str(path), dtype=dtype, attn_implementation="sdpa", **overrides)
        model.to(device)
    no_dropout(model)
    return model


def _save(folder: Path, model: Any, encoder: Encoder, dtype: torch.dtype | None) -> None:
    """Write what `transformers` loads: adapters merged, parts gathered. All ranks call it; the first writes."""
    folder = Path(folder)
    state: dict[str, torch.Tensor] = {}
    own = model.dtype if adapters.active(model) else None
    for names, tensor in adapters.merged(model):
        # Tied tensors stay one tensor after the conversion, or the file would hold them twice.
        state |= dict.fromkeys(names, _converted(distributed.whole(tensor), dtype or own or tensor.dtype))
    if not distributed.is_first():
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept = model.config.dtype
    model.config.dtype = dtype or compute_dtype(CPU)
    try:
        model.save_pretrained(folder, state_dict=state)
    finally:
        model.config.dtype = kept
    if dtype is not None:
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = str(dtype).removeprefix("torch.")
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_tokenizer(folder, encoder)


def _converted(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy on the CPU in that dtype if it is of a floating one; ranks that write nothing keep nothing."""
    if not distributed.is_first():
        return tensor.new_empty(0)
    return tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
