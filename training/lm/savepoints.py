"""A trainer's private state on disk: everything that decides the next step, so that a resume changes no byte."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.lm import distributed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TENSORS, _CURSOR = "state.pt", "cursor.json"


def save(folder: Path, parts: Mapping[str, Any], cursor: Mapping[str, Any]) -> None:
    """Write the `state_dict()` of every part (models, optimisers, schedules), the random streams and a plain cursor.

    All ranks call it, each with its part of the state and with random streams of its own; the first writes.
    """
    state = {name: distributed.wholes(part.state_dict()) for name, part in parts.items()}
    streams = distributed.gather(random_state())
    if distributed.is_first():
        torch.save({"parts": state, "random": streams}, folder / _TENSORS)
        (folder / _CURSOR).write_text(json.dumps(cursor, sort_keys=True))


def restore(folder: Path, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Put every part and the random streams back as they were saved; return the cursor.

    Refuses a savepoint that lacks a part or holds another one: a fresh optimiser is never taken silently.
    """
    # Mapped, not read: ranks of one machine share the pages, and each keeps only its part.
    state = torch.load(folder / _TENSORS, map_location="cpu", weights_only=True, mmap=True)
    if state["parts"].keys() != parts.keys():
        raise ValueError(f"the savepoint {folder} holds {sorted(state['parts'])} but the trainer wants {sorted(parts)}")
    if len(state["random"]) != distributed.size():
        raise ValueError(f"the savepoint {folder} is of {len(state['random'])} processes, not {distributed.size()}")
    for name, part in parts.items():
        saved = state["parts"][name]
        if isinstance(part, torch.optim.Optimizer):
            saved = _moments_like(part, saved)
        part.load_state_dict(saved)
    set_random_state(state["random"][distributed.rank()])
    return cursor(folder)


def _moments_like(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """An optimiser's saved state, of which this rank keeps what belongs to its parts of the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    own = {
        index: {
            name: distributed.part_like(parameters[index], value)
            if isinstance(value, torch.Tensor) and value.shape == parameters[index].shape
            else value
            for name, value in values.items()
        }
        for index, values in state["state"].items()
    }
    return {**state, "state": own}


class Trained:
    """The part of a savepoint that a model is: its trainable parameters. What is frozen comes from the job's input."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """Give the parameters by name."""
        return {name: parameter.detach() for name, parameter in self._parameters().items()}

    def copy(self) -> dict[str, Any]:
        """Give the parameters as they are now and will stay, of the size that this rank holds."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters().items()}

    def copy_of(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Give what this rank holds of parameters that were saved: a `copy` as it was."""
        parameters = self._parameters()
        return {name: distributed.part_like(parameters[name], tensor).clone() for name, tensor in state.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the parameters back, from whole tensors or from a `copy`."""
        parameters = self._parameters()
        if parameters.keys() != state.keys():
            odd = sorted(parameters.keys() ^ state.keys())
            raise ValueError(f"the saved model and this one differ in what is trained: {', '.join(odd[:5])}")
        for name, parameter in parameters.items():
            parameter.copy_(distributed.part_like(parameter, state[name]))

    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}


def cursor(folder: Path) -> dict[str, Any]:
    """Read only the cursor of a savepoint."""
    content: dict[str, Any] = json.loads((folder / _CURSOR).read_text())
    return content


def seed_everything(seed: int) -> None:
    """Start the random streams of python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the global stream
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Give the state of the random streams of python, numpy and torch, as plain data and tensors."""
    version, internal, gauss = random.getstate()
    stream = np.random.get_state(legacy=False)  # noqa: NPY002
    state: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": _plain(stream),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()  # of this rank's device; asking the others would wake them up
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the random streams back to a state from `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    stream = {**state["numpy"], "state": dict(state["numpy"]["state"])}
    stream["state"]["key"] = stream["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(stream)  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _plain(value: Any) -> Any:
    """Turn the nested state of a numpy stream into what torch.save reads back without unpickling code."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.astype(np.int64))
    return value


class Keeper:
    """A part for any plain data that must survive a resume: a dictionary with a state."""

    def __init__(self, **values: Any) -> None:
        self.values: dict[str, Any] = values

    def state_dict(self) -> dict[str, Any]:
        """Give the values."""
        return dict(self.values)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the values back."""
        self.values = dict(state)
