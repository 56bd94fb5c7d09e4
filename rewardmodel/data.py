"""From ranking lines to trees and what was said of them: each judgement as it was said, each token once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from rewardmodel.loss import (
    MOST_WITH_TIES,
    Choice,
    Choices,
    Comparison,
    Pairs,
    choices_of_comparisons,
    choices_of_ranking,
    comparisons_of_ranking,
)
from training.lm.trees import Tree, by_tokens
from training.records import RankingJudgement, RankingLine, RecordError, plain_prompt, read_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from rewardmodel.loss import Ties
    from training.lm.encoder import Encoder
    from training.records import Judgement, Message, Split, Verdict

TARGETS = {"a": 1.0, "a_slight": 1.0, "tie": 0.5, "b_slight": 0.0, "b": 0.0}
STRENGTHS = {"a": 2, "a_slight": 1, "tie": 0, "b_slight": 1, "b": 2}
"""Verdicts in steps of rating: Llama 2's `better` and `slightly better`."""

EMPTY_TURN = ({"role": "user", "content": ""},)


class NoRankings(ValueError):  # noqa: N818 - named for what is missing
    """There is nothing to learn from."""

    code = "no_rankings"


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement of a prompt's responses, as comparisons and as choices."""

    annotator: str
    comparisons: tuple[Comparison, ...]
    choices: tuple[Choice, ...] = ()
    weight: float = 1.0
    task_flags: tuple[str, ...] = ()
    flags: tuple[tuple[str, ...], ...] = ()
    """Of each response; empty where nobody was asked."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a person would read of an example."""

    prompt: list[dict[str, str]]
    responses: list[str]


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt with its K responses as one tree, and what each annotator said about them."""

    id: str
    split: Split
    tree: Tree
    judgements: tuple[Judged, ...]
    cut: bool
    """Whether the prompt or a response was too long and was cut."""
    texts: Texts | None = None
    """Kept where errors are shown; not for what is learned from."""

    @property
    def weight(self) -> float:
        """How much its judgements weigh together."""
        return sum(judged.weight for judged in self.judgements)

    def by(self, annotators: Collection[str]) -> Example:
        """The same example with these annotators' judgements only."""
        return replace(self, judgements=tuple(word for word in self.judgements if word.annotator in annotators))


def read_examples(
    path: Path, encoder: Encoder, *, ties: Ties, max_tokens: int, ties_counted: bool = False
) -> list[Example]:
    """Read a dataset of rankings; a malformed line raises RecordError with its number and field.

    Lines that nobody judged, or on which every judgement says nothing, are left out. `ties_counted` says that the
    loss counts every possible tie, so that a line of more than nine responses is too much.
    """
    examples = []
    for number, line in enumerate(read_lines(RankingLine, path), start=1):
        if ties_counted and len(line.responses) > MOST_WITH_TIES:
            reason = (
                f"holds {len(line.responses)} responses, and plackett_luce counts every tie of at most "
                f"{MOST_WITH_TIES}: use ties=skip, or bradley_terry"
            )
            raise RecordError(reason, field="responses", line_number=number)
        example = example_of(line, encoder, ties=ties, max_tokens=max_tokens)
        if example.judgements:
            examples.append(example)
    return examples


def example_of(line: RankingLine, encoder: Encoder, *, ties: Ties, max_tokens: int) -> Example:
    """Make one line's tree, and what was said of it."""
    texts = [response.text for response in line.responses]
    tree, cut = tree_of(encoder, line.prompt, texts, max_tokens=max_tokens)
    ids = [response.id for response in line.responses]
    judged = (judged_of(said, ids, ties=ties) for said in line.judgements)
    return Example(
        id=line.id,
        split=line.split,
        tree=tree,
        judgements=tuple(word for word in judged if word.comparisons),
        cut=cut,
        texts=None if line.split == "train" else Texts(plain_prompt(line.prompt), texts),
    )


def judged_of(judgement: Judgement, ids: Sequence[str], *, ties: Ties) -> Judged:
    """What one judgement says of the responses `ids`."""
    if not isinstance(judgement, RankingJudgement):
        comparisons = _comparisons_of_verdicts(judgement.verdicts, ids, ties=ties)
        return Judged(judgement.annotator, comparisons, choices_of_comparisons(comparisons), judgement.weight)
    placed = {placement.response: placement for placement in judgement.placements}
    in_order = [placed[response] for response in ids]
    ranks = [placement.rank for placement in in_order]
    return Judged(
        annotator=judgement.annotator,
        comparisons=comparisons_of_ranking(ranks, ties=ties, ratings=[placement.rating for placement in in_order]),
        choices=choices_of_ranking(ranks, ties=ties),
        weight=judgement.weight,
        task_flags=judgement.flags,
        flags=tuple(placement.flags for placement in in_order),
    )


def _comparisons_of_verdicts(verdicts: Iterable[Verdict], ids: Sequence[str], *, ties: Ties) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(ids.index(said.a), ids.index(said.b), TARGETS[said.verdict], STRENGTHS[said.verdict])
        for said in verdicts
        if ties == "half" or said.verdict != "tie"
    )


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


def lot(seed: int, name: str) -> float:
    """Draw a number in [0, 1) for a name: always the same for the same seed, and alike for no two names."""
    digest = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def coins(name: str, count: int) -> list[float]:
    """Toss `count` coins for a name, 1 or 0 each: always the same for the same name."""
    digest = hashlib.blake2b(name.encode(), digest_size=-(-count // 8)).digest()
    return [float(digest[place // 8] >> place % 8 & 1) for place in range(count)]


def micro_batches(
    examples: Sequence[Example], limit: int, *, ranks: int = 1
) -> list[list[tuple[list[Example], float]]]:
    """Deal examples to ranks, in micro-batches of at most `limit` tokens.

    A micro-batch holds responses of like lengths, so that attention pads little. Every rank gets equally many, each
    with the weight that it counts with: 1, or 0 where a rank has run out and computes something again for company.
    """
    order = sorted(range(len(examples)), key=lambda i: max(map(len, examples[i].tree.responses)))
    dealt = [
        [
            [examples[i] for i in group]
            for group in by_tokens(((i, examples[i].tree) for i in order[rank::ranks]), limit)
        ]
        for rank in range(ranks)
    ]
    most = max(map(len, dealt))
    fill = [examples[order[0]]]
    return [[(group, 1.0) for group in own] + [(fill, 0.0)] * (most - len(own)) for own in dealt]


def placed(examples: Iterable[Example]) -> list[tuple[int, Judged]]:
    """Every judgement of a batch, with the place of its first response in the batch's flat scores."""
    found, offset = [], 0
    for example in examples:
        found += [(offset, judged) for judged in example.judgements]
        offset += len(example.tree.responses)
    return found


def pairs_in(examples: Iterable[Example]) -> Pairs:
    """The comparisons of a batch, for its flat scores in the order of the examples."""
    return Pairs.of((offset, judged.comparisons) for offset, judged in placed(examples))


def choices_in(examples: Iterable[Example]) -> Choices:
    """The choices of a batch, for its flat scores in the order of the examples."""
    return Choices.of((offset, judged.choices) for offset, judged in placed(examples))
