"""Low-rank adapters (LoRA, 2106.09685) through `peft`, put into the model's own layers.

The model stays what it was: the same class, trunk and head, so that whatever runs on it runs on it with adapters.
Several sets of them, by name, can share one backbone (policy and value), and with all of them off it is the model that
they started from (the reference policy). What is published has them merged in, and is an ordinary checkpoint.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from training.size import AnySize

DEFAULT = "default"


class NoSuchLayer(ValueError):  # noqa: N818 - named for what is wrong
    """The model has no layer that adapters could be put into."""

    code = "no_such_layer"


def attach(model: Any, size: AnySize, *, name: str = DEFAULT, also_train: Sequence[str] = ()) -> None:
    """Put adapters into the trunk as the configuration says, and freeze all else; with `lora_rank` 0 do nothing.

    `also_train` names modules of the model that stay trainable whole: a new head. The adapters start as nothing: until
    the first step the model computes what it did. Drawn from torch's global stream, in float32.
    """
    if not size.lora_rank:
        return
    trunk = model.base_model
    before = {id(parameter) for parameter in trainable(model)} if active(model) else set()
    config = LoraConfig(
        r=size.lora_rank,
        lora_alpha=size.lora_alpha,
        lora_dropout=size.lora_dropout,
        target_modules=list(size.lora_targets) or "all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in trunk.modules()),
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a second set of adapters is what is wanted here
            inject_adapter_in_model(config, trunk, adapter_name=name)
    except ValueError as error:
        raise NoSuchLayer(
            f"no layer of {type(model).__name__} is called {', '.join(size.lora_targets)}: "
            "name some of its linear layers in lora_targets, or none to take all of them"
        ) from error
    for path, parameter in model.named_parameters():
        owner = path.rpartition(".")[0]
        whole = any(owner == each or owner.startswith(f"{each}.") for each in also_train)
        parameter.requires_grad = id(parameter) in before or whole or f".{name}." in path
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    use(model, name)


def trainable(model: Any) -> list[nn.Parameter]:
    """The parameters that are trained: what optimisers and savepoints hold."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def active(model: Any) -> str | None:
    """The name of the adapters that take part now, if any do."""
    for layer in _layers(model):
        return None if layer.disable_adapters else str(layer.active_adapters[0])
    return None


def use(model: Any, name: str | None) -> None:
    """Let the adapters of that name take part from now on, or none; which parameters are trained does not change."""
    for layer in _layers(model):
        kept = [(parameter, parameter.requires_grad) for parameter in layer.parameters()]
        layer.enable_adapters(name is not None)
        if name is not None:
            layer.set_adapter(name)
        for parameter, trained in kept:
            parameter.requires_grad = trained


@contextmanager
def using(model: Any, name: str | None) -> Iterator[None]:
    """Compute with the adapters of that name for a while; without any (None) it is the model they started from."""
    before = active(model)
    use(model, name)
    try:
        yield
    finally:
        use(model, before)


def without(model: Any) -> Any:
    """Compute without adapters for a while: the reference policy. A model that has none is left as it is."""
    return using(model, None)


@torch.no_grad()
def merged(model: Any) -> Iterator[tuple[list[str], Tensor]]:
    """The model's weights, those adapters that take part merged in (in float32): each with the names it goes by.

    They are the names that it had without adapters; tied weights have several.
    """
    layers: dict[str, Any] = {path: module for path, module in model.named_modules() if isinstance(module, LoraLayer)}
    tied: dict[int, list[str]] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        if ".lora_" not in name:
            tied.setdefault(id(tensor), []).append(name)
    for first, *others in tied.values():
        path, _, rest = first.partition(".base_layer.")
        taking_part = layers[path].active_adapters if rest == "weight" and not layers[path].disable_adapters else []
        added = [layers[path].get_delta_weight(adapter).float() for adapter in taking_part]
        tensor = sum(added, tensors[first].float()) if added else tensors[first]
        yield [name.replace(".base_layer.", ".") for name in (first, *others)], tensor.detach()


def _layers(model: Any) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, LoraLayer)]
