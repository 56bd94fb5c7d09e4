"""What a judgement says about rewards, as pure functions of the scores.

A ranking of K responses is C(K, 2) comparisons that are not independent: InstructGPT (2203.02155, §3.5) averages
them within the ranking first, so that every ranking weighs the same whatever its K. So does every loss here: each
gives one number a judgement, the mean over what it says, and the trainer averages those. Choices are divided by how
many a ranking without ties is made of: divided by those that were made, the answers that are short for their ties
would weigh more than the others, and the best fit would not be the truth.

Shapes: N responses of a batch in one flat row of scores, J judgements, M comparisons, C choices. Scores may have
leading dimensions (the members of an ensemble), which all results keep.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

Ties = Literal["half", "skip"]
Margin = Literal["none", "small", "large"]

STRONGEST = 3
"""Steps of rating that count as Llama 2's `significantly better`; more of them say no more."""
MARGINS: dict[Margin, float] = {"none": 0.0, "small": 1.0, "large": 3.0}
"""The margin of the strongest preference (Llama 2, 2307.09288, table 27); weaker ones have their share of it."""
MOST_WITH_TIES = 9
"""Responses of one choice whose every possible tie is counted: 2^9 of them."""


class Comparison(NamedTuple):
    """One pair of a judgement's responses: places of both, and the probability that the first is the better one."""

    first: int
    second: int
    target: float
    """1, 0, or ½ for a tie."""
    strength: int | None = None
    """How much better the winner is, in steps of rating from 0 to 6; None where nobody said."""


class Choice(NamedTuple):
    """One step of a ranking: `chosen` is best among `among`; several chosen are tied."""

    chosen: tuple[int, ...]
    among: tuple[int, ...]


# --- What one judgement says ---------------------------------------------------------------------


def comparisons_of_ranking(
    ranks: Sequence[int], *, ties: Ties = "half", ratings: Sequence[int | None] | None = None
) -> tuple[Comparison, ...]:
    """All C(K, 2) comparisons of one ranking, `ranks[i]` being the dense rank of response i (1 is best).

    A tie is a target of ½ (WebGPT, 2112.09332, §3.2), or says nothing (`ties="skip"`).
    """
    rated = ratings or [None] * len(ranks)
    said: list[Comparison] = []
    for i, rank in enumerate(ranks):
        for j in range(i + 1, len(ranks)):
            if rank == ranks[j] and ties == "skip":
                continue
            one, other = rated[i], rated[j]
            strength = None if one is None or other is None else abs(one - other)
            said.append(Comparison(i, j, 0.5 if rank == ranks[j] else float(rank < ranks[j]), strength))
    return tuple(said)


def choices_of_ranking(ranks: Sequence[int], *, ties: Ties = "half") -> tuple[Choice, ...]:
    """The choices that make a ranking, best first: each from what is left.

    With `ties="skip"` tied responses say nothing of each other: each is chosen from itself and what stands below.
    """
    said: list[Choice] = []
    for rank in sorted(set(ranks)):
        chosen = tuple(i for i, one in enumerate(ranks) if one == rank)
        below = tuple(i for i, one in enumerate(ranks) if one > rank)
        if ties == "half" and len(chosen) + len(below) > 1:
            said.append(Choice(chosen, chosen + below))
        elif below:
            said += [Choice((i,), (i, *below)) for i in chosen]
    return tuple(said)


def choices_of_comparisons(comparisons: Iterable[Comparison]) -> tuple[Choice, ...]:
    """Pairwise verdicts as choices from two."""
    return tuple(
        Choice((first, second) if target == 0.5 else (first,) if target == 1 else (second,), (first, second))
        for first, second, target, _ in comparisons
    )


# --- What the judgements of a batch say ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pairs:
    """The comparisons of a batch's judgements.

    first, second: (M,) int64, places in the flat scores. target: (M,), as in `Comparison`. strength: (M,), from 0 to
    1 for `STRONGEST` steps or more, and 0 where nobody said. share: (M,), of its judgement: they sum to 1 in each.
    judgement: (M,) int64, which of the J judgements says it.
    """

    first: Tensor
    second: Tensor
    target: Tensor
    strength: Tensor
    share: Tensor
    judgement: Tensor
    judgement_count: int

    def __len__(self) -> int:
        """M, the number of comparisons."""
        return int(self.first.numel())

    def to(self, device: torch.device) -> Pairs:
        """Return the same comparisons on a device."""
        return _moved(self, device)

    @classmethod
    def of(cls, judgements: Iterable[tuple[int, Sequence[Comparison]]]) -> Self:
        """Join judgements, each with the place of its first response in the flat scores."""
        rows: list[tuple[int, int, float, float, float, int]] = []
        count = 0
        for number, (offset, said) in enumerate(judgements):
            rows += [
                (i + offset, j + offset, target, min(strength or 0, STRONGEST) / STRONGEST, 1 / len(said), number)
                for i, j, target, strength in said
            ]
            count = number + 1
        whole, real = torch.int64, torch.float64
        first, second, target, strength, share, judgement = list(zip(*rows, strict=True)) or [()] * 6
        return cls(
            first=torch.tensor(first, dtype=whole),
            second=torch.tensor(second, dtype=whole),
            target=torch.tensor(target, dtype=real),
            strength=torch.tensor(strength, dtype=real),
            share=torch.tensor(share, dtype=real),
            judgement=torch.tensor(judgement, dtype=whole),
            judgement_count=count,
        )


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of a batch's judgements, of at most S responses each.

    among: (C, S) int64, places in the flat scores; real: (C, S), True where a response stands; chosen: (C, S), True
    on the best. share: (C,), of its judgement: they sum to 1, or to less where ties made it of fewer choices.
    judgement: (C,) int64.
    """

    among: Tensor
    real: Tensor
    chosen: Tensor
    share: Tensor
    judgement: Tensor
    judgement_count: int

    def __len__(self) -> int:
        """C, the number of choices."""
        return int(self.share.numel())

    def to(self, device: torch.device) -> Choices:
        """Return the same choices on a device."""
        return _moved(self, device)

    @classmethod
    def of(cls, judgements: Iterable[tuple[int, Sequence[Choice]]]) -> Self:
        """Join judgements, each with the place of its first response in the flat scores."""
        among: list[list[int]] = []
        chosen: list[list[bool]] = []
        shares: list[float] = []
        numbers: list[int] = []
        count = 0
        for number, (offset, said) in enumerate(judgements):
            without_ties = max(len(said), *(len(choice.among) - 1 for choice in said)) if said else 0
            for choice in said:
                among.append([i + offset for i in choice.among])
                chosen.append([i in choice.chosen for i in choice.among])
                shares.append(1 / without_ties)
                numbers.append(number)
            count = number + 1
        S = max(map(len, among), default=1)
        return cls(
            among=torch.tensor([row + [0] * (S - len(row)) for row in among], dtype=torch.int64).view(-1, S),
            real=torch.tensor([[i < len(row) for i in range(S)] for row in among], dtype=torch.bool).view(-1, S),
            chosen=torch.tensor([row + [False] * (S - len(row)) for row in chosen], dtype=torch.bool).view(-1, S),
            share=torch.tensor(shares, dtype=torch.float64),
            judgement=torch.tensor(numbers, dtype=torch.int64),
            judgement_count=count,
        )


Said = TypeVar("Said", "Pairs", "Choices")


def _moved(said: Said, device: torch.device) -> Said:
    parts: dict[str, Any] = {field.name: getattr(said, field.name) for field in fields(said)}
    moved = {name: part.to(device) for name, part in parts.items() if isinstance(part, torch.Tensor)}
    return replace(said, **(parts | moved))


# --- Losses --------------------------------------------------------------------------------------


def bradley_terry(
    scores: Tensor,
    pairs: Pairs,
    *,
    reliability: Tensor | None = None,
    margin: Margin = "none",
    smoothing: float = 0.0,
) -> Tensor:
    """Bradley and Terry's negative log-likelihood of each judgement: (..., N) to (..., J), the mean over its pairs.

    p(first is better) = sigmoid(score of first - score of second).
    margin (Llama 2, §3.2.2): a strict winner must win by as much as its strength says. smoothing ε: targets move from
    0 and 1 to ε/2 and 1 - ε/2. reliability (J,): see `answered`.
    """
    delta = scores[..., pairs.first] - scores[..., pairs.second]
    target = pairs.target.to(delta)
    if margin != "none":
        delta = delta - (2 * target - 1) * pairs.strength.to(delta) * MARGINS[margin]
    target = target * (1 - smoothing) + smoothing / 2
    won, lost = F.logsigmoid(delta), F.logsigmoid(-delta)
    if reliability is not None:
        chance = torch.full_like(delta, 0.5).log()
        reliability = reliability[pairs.judgement].to(delta)
        won, lost = answered(won, chance, reliability), answered(lost, chance, reliability)
    return _by_judgement(-(target * won + (1 - target) * lost), pairs)


def plackett_luce(
    scores: Tensor,
    choices: Choices,
    *,
    log_tie: Tensor | None = None,
    reliability: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of each judgement as choices from what is left: (..., N) to (..., J), by its K - 1.

    Without `log_tie` this is Plackett and Luce's model: p(i | S) ∝ exp(score of i). With it, it is Davidson and
    Luce's (Firth, Kosmidis, Turner 2019, 1909.07123): p(W | S) ∝ δ^(|W| - 1) exp(mean score of W) for every W in S,
    `log_tie` being log δ. For two responses without ties both are Bradley and Terry's model.
    smoothing ε: a share ε of each choice is spread evenly over the single responses. reliability (J,): see `answered`.
    """
    real = choices.real
    values = scores[..., choices.among].masked_fill(~real, 0.0)
    picked = _log_weight(values, choices.chosen, log_tie) - _log_total(values, real, log_tie)
    if reliability is not None:
        equal = torch.zeros_like(values)
        chance = _log_weight(equal, choices.chosen, log_tie) - _log_total(equal, real, log_tie)
        picked = answered(picked, chance, reliability[choices.judgement].to(picked))
    if smoothing:
        alone = values - _log_total(values, real, log_tie).unsqueeze(-1)
        if reliability is not None:
            even = equal - _log_total(equal, real, log_tie).unsqueeze(-1)
            alone = answered(alone, even, reliability[choices.judgement].to(alone).unsqueeze(-1))
        spread = alone.masked_fill(~real, 0.0).sum(-1) / real.sum(-1)
        picked = (1 - smoothing) * picked + smoothing * spread
    return _by_judgement(-picked, choices)


def answered(meant: Tensor, chance: Tensor, reliability: Tensor) -> Tensor:
    """Log-probability of an answer by someone who means it only so often, and else answers as if all were equal.

    log(r exp(meant) + (1 - r) exp(chance)): with r = 0.9 and two responses the 10 % of uniform error of Christiano et
    al. (1706.03741, §2.2.3). meant, chance: log-probabilities of the answer; reliability r in (0, 1).
    """
    return torch.logaddexp(reliability.log() + meant, torch.log1p(-reliability) + chance)


def _by_judgement(nll: Tensor, said: Pairs | Choices) -> Tensor:
    """Sum each judgement's shares: (..., M) to (..., J)."""
    totals = nll.new_zeros(*nll.shape[:-1], said.judgement_count)
    return totals.index_add(-1, said.judgement, nll * said.share.to(nll))


def _log_weight(values: Tensor, chosen: Tensor, log_tie: Tensor | None) -> Tensor:
    """Log of a choice's weight before it is normalised: (..., C, S) to (..., C)."""
    size = chosen.sum(-1)
    weight = values.masked_fill(~chosen, 0.0).sum(-1) / size
    return weight if log_tie is None else weight + (size - 1) * log_tie


def _log_total(values: Tensor, real: Tensor, log_tie: Tensor | None) -> Tensor:
    """Log of the summed weights of everything that could have been chosen: (..., C, S) to (..., C)."""
    if log_tie is None:
        return values.masked_fill(~real, -torch.inf).logsumexp(-1)
    sets = _sets(real.shape[-1]).to(values.device)
    size = sets.sum(-1)
    weights = values @ sets.to(values).T / size + (size - 1) * log_tie
    possible = ~(~real.unsqueeze(-2) & sets).any(-1)
    return weights.masked_fill(~possible, -torch.inf).logsumexp(-1)


@lru_cache(maxsize=MOST_WITH_TIES)
def _sets(count: int) -> Tensor:
    """Every set of `count` things that is not empty, a row each: (2^count - 1, count), True on its members."""
    number = torch.arange(1, 2**count).unsqueeze(-1)
    return (number >> torch.arange(count)) % 2 == 1
