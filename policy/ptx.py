"""PPO-ptx: next-word prediction on plain text, mixed into PPO's steps (InstructGPT, 2203.02155, §3.5 and App. C.4).

Each optimiser step of the policy adds the gradient of the mean loss a token on fresh windows of text, times ptx_coef
(the paper's gamma), to the gradient of PPO's loss, in the same buffer. It keeps what the policy knew of the world.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.lm.logprobs import autocast, linear_cross_entropy, trunk_and_head
from training.lm.packing import Document, reading_windows, text_windows
from training.texts import NoText, read_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.lm.encoder import Encoder

VALID_WINDOWS = 64
"""Windows of held-out text that a look measures."""


class TextStream:
    """An endless stream of windows of text (n, context + 1), epoch after epoch; its place is part of a savepoint."""

    def __init__(self, documents: Sequence[Document], *, context: int, eos_id: int, seed: int) -> None:
        if not documents:
            raise NoText("ptx_coef asks for text, but the dataset of the input text has no line of the split train")
        self._documents, self._context, self._eos_id, self._seed = documents, context, eos_id, seed
        self.epoch = self.place = 0
        self._windows = self._read(0)

    def peek(self, count: int) -> NDArray[np.int32]:
        """Give the next windows without going on; what is taken is said by `advance`, when a step has been made."""
        found, epoch = [self._windows[self.place : self.place + count]], self.epoch
        while (missing := count - sum(map(len, found))) > 0:
            epoch += 1
            found.append(self._read(epoch)[:missing])
        return np.concatenate(found)

    def advance(self, count: int) -> None:
        """Go on by this many windows."""
        self.place += count
        while self.place >= len(self._windows):
            self.place -= len(self._windows)
            self.epoch += 1
            self._windows = self._read(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Give the place."""
        return {"epoch": self.epoch, "place": self.place}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a place."""
        self.epoch, self.place = state["epoch"], state["place"]
        self._windows = self._read(self.epoch)

    def _read(self, epoch: int) -> NDArray[np.int32]:
        return text_windows(self._documents, context=self._context, eos_id=self._eos_id, seed=self._seed, epoch=epoch)


class HeldOutText:
    """Some windows of the split valid, always the same, on which forgetting shows."""

    def __init__(self, documents: Sequence[Document], *, context: int, eos_id: int, pad_id: int) -> None:
        windows, mask = reading_windows(
            [document.ids for document in documents], context=context, eos_id=eos_id, pad_id=pad_id
        )
        spread = np.linspace(0, len(windows) - 1, min(len(windows), VALID_WINDOWS)).astype(int)
        self.windows, self.mask = windows[spread], mask[spread]

    def loss(self, policy: Any, *, precision: str, micro_batch_tokens: int) -> float:
        """Mean nats a token."""
        total = 0.0
        with torch.no_grad():
            for rows in parts(len(self.windows), self.windows.shape[1], micro_batch_tokens):
                weights = torch.from_numpy(self.mask[rows].astype(np.float32)).to(policy.device)
                total += float(text_nats(policy, self.windows[rows], precision, weights.flatten()))
        return total / float(self.mask.sum())


def read_text(path: Path, encoder: Encoder) -> tuple[list[Document], list[Document]]:
    """Encode a text dataset: what to learn on (split train) and what to measure on (split valid)."""
    found: dict[str, list[Document]] = {"train": [], "valid": [], "test": []}
    for line in read_texts(path):
        found[line.split].append(Document(np.array(encoder.plain_ids(line.text), dtype=np.int32), line.weight))
    return found["train"], found["valid"]


def windows_for(episodes: int, per_episode: float) -> int:
    """Windows that a step on so many episodes sees, at least one."""
    return max(1, math.ceil(episodes * per_episode))


def parts(count: int, width: int, micro_batch_tokens: int) -> list[slice]:
    """Slices of so many windows that are computed at once."""
    rows = max(1, micro_batch_tokens // width)
    return [slice(start, start + rows) for start in range(0, count, rows)]


def text_nats(
    policy: Any, windows: NDArray[np.int32], precision: str, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Sum of the losses of the windows' next tokens; weights (windows · context,) or None for ones."""
    ids = torch.from_numpy(windows.astype(np.int64)).to(policy.device)
    trunk, head = trunk_and_head(policy)
    with autocast(precision, ids.device):
        hidden = trunk(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return linear_cross_entropy(hidden.flatten(0, 1), head, ids[:, 1:].flatten(), weights)
