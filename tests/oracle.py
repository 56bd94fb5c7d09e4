"""People whose taste is known: rankings drawn from Bradley and Terry's model on a reward that a formula gives."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

LETTERS = "abcdefghijklmnopqrst"
LENGTH = 8

Said = Literal["verdicts", "ranking", "extremes"]


@dataclass(frozen=True)
class Oracle:
    """Likes some letters and dislikes others: a response's reward is the sum over its letters, of deviation `sd`.

    Its annotators rank by reward with Gumbel noise, so that a ranking follows Plackett and Luce's model and every pair
    Bradley and Terry's; then each pair that they say is turned round with probability `flip`.
    """

    sd: float = 1.66
    flip: float = 0.0
    seed: int = 0
    taste: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        drawn = [dice.gauss(0, 1) for _ in LETTERS]
        middle = sum(drawn) / len(drawn)
        width = math.sqrt(sum((x - middle) ** 2 for x in drawn) / len(drawn) * LENGTH)
        taste = {letter: self.sd * (x - middle) / width for letter, x in zip(LETTERS, drawn, strict=True)}
        object.__setattr__(self, "taste", taste)

    def reward(self, text: str) -> float:
        return sum(self.taste[letter] for letter in text)

    def line(
        self, number: int, split: str, *, count: int = 4, annotator: str = "a", says: Said = "verdicts"
    ) -> dict[str, Any]:
        """One prompt with `count` responses and an annotator's word on them.

        The word is a verdict on each pair, the same without noise as a ranking, or a verdict on the best against the
        worst alone.
        """
        dice = random.Random(f"{self.seed} {number}")
        texts = ["".join(dice.choices(LETTERS, k=LENGTH)) for _ in range(count)]
        felt = [self.reward(text) - math.log(-math.log(dice.random())) for text in texts]
        order = sorted(range(count), key=felt.__getitem__, reverse=True)
        said: dict[str, Any] = {"kind": "verdicts", "annotator": annotator, "simulated": True}
        if says == "ranking":
            assert not self.flip, "a ranking has no pair that could be turned round by itself"
            placements = [{"response": f"r{i}", "rank": order.index(i) + 1} for i in range(count)]
            said |= {"kind": "ranking", "placements": placements}
        else:
            pairs = combinations(range(count), 2) if says == "verdicts" else [(order[0], order[-1])]
            said["verdicts"] = []
            for i, j in pairs:
                first = (felt[i] > felt[j]) != (dice.random() < self.flip)
                said["verdicts"].append({"a": f"r{i}", "b": f"r{j}", "verdict": "a" if first else "b"})
        return {
            "id": str(number),
            "split": split,
            "group": str(number),
            "prompt": [{"role": "user", "content": "say"}],
            "responses": [{"id": f"r{i}", "text": text} for i, text in enumerate(texts)],
            "judgements": [said],
        }

    def lines(self, train: int, valid: int, test: int = 0, **settings: Any) -> list[dict[str, Any]]:
        splits = ["train"] * train + ["valid"] * valid + ["test"] * test
        return [self.line(number, split, **settings) for number, split in enumerate(splits)]
