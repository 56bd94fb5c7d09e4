"""From ranking lines to trees and comparisons: each judgement as it was said, each token once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rewardmodel.loss import Pairs, pairs_of_ranking
from training.lm.trees import Tree, by_tokens
from training.records import RankingJudgement, RankingLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rewardmodel.loss import Ties
    from training.lm.encoder import Encoder
    from training.records import Judgement, Message, Split, VerdictsJudgement

TARGETS = {"a": 1.0, "a_slight": 1.0, "tie": 0.5, "b_slight": 0.0, "b": 0.0}

EMPTY_TURN = ({"role": "user", "content": ""},)


class NoRankings(ValueError):  # noqa: N818 - named for what is missing
    """There is nothing to learn from."""

    code = "no_rankings"


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement of a prompt's responses as comparisons of them, their weights summing to 1."""

    annotator: str
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its K responses as one tree, and what each annotator said about them."""

    id: str
    split: Split
    tree: Tree
    judgements: tuple[Judged, ...]
    cut: bool
    """Whether the prompt or a response was too long and was cut."""

    @property
    def pairs(self) -> Pairs:
        """The comparisons of all judgements together."""
        return Pairs.concatenate([judged.pairs for judged in self.judgements])


def read_examples(path: Path, encoder: Encoder, *, ties: Ties, max_tokens: int) -> list[Example]:
    """Read a dataset of rankings; a malformed line raises RecordError with its number and field.

    Lines that nobody judged, or on which every judgement says nothing, are left out.
    """
    examples = (example_of(line, encoder, ties=ties, max_tokens=max_tokens) for line in read_lines(RankingLine, path))
    return [example for example in examples if example.judgements]


def example_of(line: RankingLine, encoder: Encoder, *, ties: Ties, max_tokens: int) -> Example:
    """Make one line's tree and comparisons."""
    tree, cut = tree_of(encoder, line.prompt, [response.text for response in line.responses], max_tokens=max_tokens)
    ids = [response.id for response in line.responses]
    judged = [Judged(said.annotator, pairs_of(said, ids, ties=ties)) for said in line.judgements]
    return Example(line.id, line.split, tree, tuple(word for word in judged if len(word.pairs)), cut)


def pairs_of(judgement: Judgement, ids: Sequence[str], *, ties: Ties) -> Pairs:
    """Comparisons of one judgement over the responses `ids`, sharing a weight of 1."""
    if isinstance(judgement, RankingJudgement):
        rank_of = {placement.response: placement.rank for placement in judgement.placements}
        return pairs_of_ranking([rank_of[response] for response in ids], ties=ties)
    return _pairs_of_verdicts(judgement, ids, ties=ties)


def _pairs_of_verdicts(judgement: VerdictsJudgement, ids: Sequence[str], *, ties: Ties) -> Pairs:
    said = [(ids.index(word.a), ids.index(word.b), TARGETS[word.verdict]) for word in judgement.verdicts]
    return Pairs.of([row for row in said if ties == "half" or row[2] != 0.5])


def tree_of(
    encoder: Encoder,
    prompt: Sequence[Message] | Sequence[dict[str, str]],
    responses: Sequence[str],
    *,
    max_tokens: int,
    finished: Sequence[bool] | None = None,
) -> tuple[Tree, bool]:
    """Encode a prompt and its responses; also say whether anything was cut to fit `max_tokens`.

    An empty prompt reads as an empty turn of the user. A response ends with the end token unless `finished` says that
    it was cut off. A response that is too long loses its end (and end token); a prompt that is too long loses its
    beginning, down to an eighth of the room.
    """
    prompt_ids = encoder.prompt_ids(prompt or EMPTY_TURN)
    finished = [True] * len(responses) if finished is None else finished
    encoded = [encoder.response_ids(text, end=end) for text, end in zip(responses, finished, strict=True)]
    encoded = [ids or [encoder.eos_id] for ids in encoded]
    return fit(Tree(prompt_ids, encoded), max_tokens)


def fit(tree: Tree, max_tokens: int) -> tuple[Tree, bool]:
    """Cut a tree so that the prompt with any one response has at most `max_tokens` tokens; also say if it was cut."""
    longest = max(map(len, tree.responses))
    if len(tree.prompt) + longest <= max_tokens:
        return tree, False
    room = max(max_tokens - longest, max_tokens // 8)
    prompt = tree.prompt[-room:]
    return Tree(prompt, [ids[: max_tokens - len(prompt)] for ids in tree.responses]), True


def epoch_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """Shuffle `count` examples for one epoch: a pure function, so that a resume needs no state."""
    order: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch)).tolist()
    return order


def micro_batches(examples: Sequence[Example], limit: int) -> Iterator[list[Example]]:
    """Group examples into micro-batches of at most `limit` tokens, alike in length so that attention pads little."""
    order = sorted(range(len(examples)), key=lambda i: max(map(len, examples[i].tree.responses)))
    for group in by_tokens(((i, examples[i].tree) for i in order), limit):
        yield [examples[i] for i in group]


def joined_pairs(examples: Iterable[Example]) -> Pairs:
    """Comparisons of a batch, as indices into the flat scores of its responses in the order of the examples."""
    parts, offset = [], 0
    for example in examples:
        parts.append(example.pairs.shifted(offset))
        offset += len(example.tree.responses)
    return Pairs.concatenate(parts)
