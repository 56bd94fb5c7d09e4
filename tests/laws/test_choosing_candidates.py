"""Does it teach a reward model more when its ensemble chooses, among candidates, what people rank?"""

from __future__ import annotations

import math
import random
import statistics

import pytest
import tiny
from oracle import LENGTH, LETTERS, Oracle

from policy.sample import liked
from rewardmodel import scoring
from rewardmodel.train import train

SEEDS = range(32)
KNOWN, NEW, CANDIDATES, SHOWN = 64, 128, 16, 4
PROMPT = [{"role": "user", "content": "say"}]
CONFIG = {
    "epochs": 4,
    "batch_prompts": 8,
    "learning_rate": 2e-3,
    "heads": 16,
    "heads_learning_rate": 1e-2,
    "warmup_share": 0.05,
    "precision": "float32",
}


def ranked(oracle, number, texts, dice):
    """What an annotator of the oracle's taste says of some texts."""
    felt = [oracle.reward(text) - math.log(-math.log(dice.random())) for text in texts]
    order = sorted(range(len(texts)), key=felt.__getitem__, reverse=True)
    placements = [{"response": f"r{i}", "rank": order.index(i) + 1} for i in range(len(texts))]
    return {
        "id": str(number),
        "split": "train",
        "group": str(number),
        "prompt": PROMPT,
        "responses": [{"id": f"r{i}", "text": text} for i, text in enumerate(texts)],
        "judgements": [{"kind": "ranking", "annotator": "a", "simulated": True, "placements": placements}],
    }


def gains(seed, folder):
    """True reward of the best of 16, as a reward model chooses it, after rankings of some kind; and without these."""
    oracle, dice = Oracle(seed=seed), random.Random(seed)
    lines = oracle.lines(KNOWN, 16)
    policy = tiny.policy(folder / "policy")

    def texts(count):
        return ["".join(dice.choices(LETTERS, k=LENGTH)) for _ in range(count)]

    tests = [texts(16) for _ in range(300)]
    pool = [texts(CANDIDATES) for _ in range(NEW)]

    def taught(name, more):
        rankings = tiny.dataset(folder / f"rankings-{name}", lines + more)
        run = tiny.run(folder / name, "rewardmodel.train", {"policy": policy, "rankings": rankings}, CONFIG)
        train(run)
        return scoring.load(run.output_dir)

    def best_of_16(scorer):
        said = scorer.score([PROMPT] * len(tests), tests)
        return statistics.fmean(
            oracle.reward(texts[int(scores.argmax())]) for texts, scores in zip(tests, said, strict=True)
        )

    before = taught("before", [])
    said = before.score_with_spread([PROMPT] * NEW, pool)
    shown = {
        "by lot": [texts[:SHOWN] for texts in pool],
        "chosen": [
            [texts[i] for i in liked(doubted.members, range(CANDIDATES), SHOWN, dice)]
            for texts, doubted in zip(pool, said, strict=True)
        ],
    }
    found = {"before": best_of_16(before)}
    for name, some in shown.items():
        more = [ranked(oracle, 1000 + number, texts, dice) for number, texts in enumerate(some)]
        found[name] = best_of_16(taught(name, more))
    return found


@pytest.mark.slow
def test_what_the_ensemble_chose_teaches_more_than_as_many_by_lot(tmp_path):
    found = [gains(seed, tmp_path / str(seed)) for seed in SEEDS]
    more = [each["chosen"] - each["by lot"] for each in found]
    error = statistics.stdev(more) / len(more) ** 0.5
    means = {name: round(statistics.fmean(each[name] for each in found), 3) for name in found[0]}
    assert statistics.fmean(more) > 2 * error, f"{means}, {statistics.fmean(more):.3f} ± {error:.3f}"
    assert means["by lot"] > means["before"]
    print(means, f"{statistics.fmean(more):.3f} ± {error:.3f}", [round(each, 3) for each in more])  # noqa: T201
