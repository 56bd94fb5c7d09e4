"""Scoring many responses as one job: a dataset of responses in, the same with rewards out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rewardmodel import scoring
from training.program import Interrupted
from training.records import RewardLine, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.program import Run

BATCH = 256


def score(run: Run) -> None:
    """Do one `rewardmodel.score` job: inputs `reward` (a reward model) and `responses`."""
    scorer = scoring.load(run.input("reward"), run.job.device)
    lines = list(read_lines(RewardLine, run.input("responses")))

    def scored() -> Iterator[RewardLine]:
        for start in range(0, len(lines), BATCH):
            if run.stop.requested:
                raise Interrupted
            part = lines[start : start + BATCH]
            yield from rewarded(scorer, part)
            run.reporter.progress(start + len(part), len(lines), "responses")

    card = {"count": len(lines), "kind": "rewards"}

    def build(folder: Path) -> None:
        write_lines(scored(), folder, kind="rewards")

    run.publish(build, card)


def rewarded(scorer: scoring.Scorer, lines: list[RewardLine]) -> list[RewardLine]:
    """The same lines with their rewards, and spreads where the model has an ensemble."""
    prompts, responses = [line.prompt for line in lines], [[line.response] for line in lines]
    if not scorer.knows_doubt:
        found = scorer.score(prompts, responses)
        return [replace(line, reward=float(one)) for line, one in zip(lines, found, strict=True)]
    return [
        replace(line, reward=float(one.score), spread=float(one.spread))
        for line, one in zip(lines, scorer.score_with_spread(prompts, responses), strict=True)
    ]
