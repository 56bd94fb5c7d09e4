"""Many pieces in one sequence without a wasted or a doubled token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from training.lm import segments
from training.lm.attention import OneRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Document:
    """The token ids of one text, and how often it is read in an epoch (1.5: once or twice, by chance)."""

    ids: NDArray[np.int32]
    weight: float = 1.0


def text_windows(
    documents: Sequence[Document], *, context: int, eos_id: int, seed: int, epoch: int
) -> NDArray[np.int32]:
    """Pack one epoch of texts into windows: shape (windows, context + 1), each with its own next-token targets.

    The texts are shuffled, repeated by weight, each ended by `eos_id`, joined, and cut at a random offset, so the
    same text meets other borders in each epoch. A pure function of its arguments: a resume needs no state.
    """
    generator = np.random.default_rng((seed, epoch))
    pieces: list[NDArray[np.int32]] = []
    end = np.array([eos_id], dtype=np.int32)
    weights = np.array([document.weight for document in documents])
    copies = (np.floor(weights) + (generator.random(len(weights)) < weights % 1)).astype(int)
    for index in generator.permutation(np.repeat(np.arange(len(documents)), copies)):
        pieces += [documents[index].ids, end]
    stream = np.concatenate([end, *pieces])
    # One window more than needed is cut off at the random offset; a short corpus keeps at least one whole window.
    while len(stream) < 2 * context + 1:
        stream = np.concatenate([stream, stream[1:]]) if len(stream) > 1 else np.repeat(end, 2 * context + 1)
    stream = stream[generator.integers(context) :]
    count = (len(stream) - 1) // context
    starts = generator.permutation(count) * context
    windows: NDArray[np.int32] = stream[starts[:, None] + np.arange(context + 1)]
    return windows


def reading_windows(
    documents: Sequence[NDArray[np.int32]], *, context: int, eos_id: int, pad_id: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Cut texts into windows that predict each of their tokens exactly once, for measuring.

    Returns windows of shape (windows, context + 1) and a mask of shape (windows, context), True on real targets.
    """
    end = np.array([eos_id], dtype=np.int32)
    stream = np.concatenate([end, *(piece for document in documents for piece in (document, end))])
    count = max(1, -(-(len(stream) - 1) // context))
    padded = np.full(count * context + 1, pad_id, dtype=np.int32)
    padded[: len(stream)] = stream
    windows = padded[np.arange(count)[:, None] * context + np.arange(context + 1)]
    real = np.arange(count * context).reshape(count, context) < len(stream) - 1
    return windows, real


@dataclass(frozen=True, slots=True)
class Conversation:
    """Token ids of a conversation, and which of them the model is to learn to write."""

    ids: Sequence[int]
    learn: Sequence[bool]

    @property
    def target_count(self) -> int:
        """How many of its tokens carry a loss: those to learn that something stands before."""
        return sum(self.learn[1:])


class PackedConversations:
    """Conversations end to end in one row without padding; each sees itself only, at positions of its own.

    T tokens in all. ids, position_ids: (1, T). predicting_at: (M,) where in the row the tokens lie whose next token is
    to be learnt; targets: (M,) those next tokens; conversation_of: (M,) which conversation each belongs to.
    layout: for backbones whose attention is `training.lm.attention.NAME`.
    """

    def __init__(self, conversations: Sequence[Conversation], *, device: torch.device | str = "cpu") -> None:
        lengths = [len(conversation.ids) for conversation in conversations]
        if not lengths or min(lengths) == 0:
            raise ValueError("a pack needs at least one conversation, and each at least one token")
        ids = [token for conversation in conversations for token in conversation.ids]
        positions = [place for length in lengths for place in range(length)]
        at, owners, start = [], [], 0
        for number, conversation in enumerate(conversations):
            places = [place for place, learn in enumerate(conversation.learn) if learn and place > 0]
            at += [start + place - 1 for place in places]
            owners += [number] * len(places)
            start += lengths[number]
        self.ids = torch.tensor([ids], device=device)
        self.position_ids = torch.tensor([positions], device=device)
        self.predicting_at = torch.tensor(at, dtype=torch.int64, device=device)
        self.targets = self.ids[0, self.predicting_at + 1]
        self.conversation_of = torch.tensor(owners, dtype=torch.int64, device=device)
        self.layout = RowLayout(lengths, device=device)


class RowLayout(OneRow):
    """Attention over sequences that lie end to end in one row: each is causal and sees nothing but itself."""

    def __init__(self, lengths: Sequence[int], *, device: torch.device | str = "cpu") -> None:
        self.longest = max(lengths)
        self._looks = segments.Looks(list(lengths), list(lengths), [(number,) for number in range(len(lengths))])
        count = torch.tensor(lengths, device=device).unsqueeze(1)
        start = count.cumsum(0) - count
        steps = torch.arange(self.longest, device=device).unsqueeze(0)
        real = steps < count
        self.at = torch.where(real, start + steps, start)
        self.back = real.flatten().nonzero().squeeze(1)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scaling: float, dropout: float
    ) -> Tensor:
        """Take and give (1, H, T, D); keys and values may have fewer heads."""
        del layer
        if segments.suit(query, self.longest) and not dropout:
            asked, known, said = (x[0].transpose(0, 1) for x in (query, key, value))
            return segments.attend(asked, known, said, self._looks, scaling).transpose(0, 1).unsqueeze(0)
        out = F.scaled_dot_product_attention(
            self._rows(query),
            self._rows(key),
            self._rows(value),
            is_causal=True,  # padding comes last in each row, so no real token sees it
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return out.transpose(1, 2).flatten(0, 1).index_select(0, self.back).transpose(0, 1).unsqueeze(0)

    def _rows(self, x: Tensor) -> Tensor:
        """(1, H, T, D) to (sequences, H, longest, D)."""
        rows = x[0].transpose(0, 1).index_select(0, self.at.flatten())
        return rows.view(*self.at.shape, *rows.shape[1:]).transpose(1, 2)


def by_length(conversations: Sequence[Conversation], limit: int) -> list[list[Conversation]]:
    """Part a batch into packs of at most `limit` tokens, like lengths together; a longer conversation goes alone."""
    packs: list[list[Conversation]] = []
    tokens = 0
    for conversation in sorted(conversations, key=lambda conversation: len(conversation.ids)):
        if not packs or tokens + len(conversation.ids) > limit:
            packs.append([])
            tokens = 0
        packs[-1].append(conversation)
        tokens += len(conversation.ids)
    return packs


def packs_of_ranks(
    conversations: Sequence[Conversation], limit: int, ranks: int
) -> list[list[tuple[list[Conversation], float]]]:
    """Part a batch into packs for each rank, all with about as many tokens and equally many packs.

    Each pack has a weight: 1, or 0 for one that only keeps a rank in step with the others. The longest conversations
    are given out first, each to the rank that has the fewest tokens yet.
    """
    shares: list[list[Conversation]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    for conversation in sorted(conversations, key=lambda conversation: -len(conversation.ids)):
        least = tokens.index(min(tokens))
        shares[least].append(conversation)
        tokens[least] += len(conversation.ids)
    packs = [by_length(share, limit) for share in shares]
    filler = [min(conversations, key=lambda conversation: len(conversation.ids))]
    most = max(len(own) for own in packs)
    return [[*((pack, 1.0) for pack in own), *([(filler, 0.0)] * (most - len(own)))] for own in packs]
