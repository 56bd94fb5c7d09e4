"""Writing K responses to each prompt of a dataset, for people to rank.

They are one policy's, or half of them a rival's: mixed in one ranking, without a name, the same judgements also say
which of the two writes better. The same job gives the same responses however its prompts are batched (from a server,
as far as that keeps to its seeds). A response that is empty, or nearly the same as another of its prompt, is sampled
again with another seed; the seed that a response came from stands beside it.

Given a reward model with an ensemble, each prompt's line says how unsure it is of the order of its responses, so that
people may be asked about that first. It may choose the responses, too, among more candidates than are wanted: by
Thompson sampling (Dwaracherla et al. 2024, 2402.00396), so that people compare what might be best.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from policy.config import SampleConfig
from policy.engines import BuiltIn, Server
from policy.preflight import check_ends
from rewardmodel import scoring
from training import config as configs
from training.config import ConfigError
from training.lm import attention, backbone
from training.program import Interrupted
from training.records import PromptLine, Sample, SampleLine, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from policy.engines import Engine
    from rewardmodel.scoring import Scorer
    from training.program import Run
    from training.report import Reporter

CHUNK = 64
RETRY_SEED = 1_000_003
SAID_EVERY_SECONDS = 1.0
AUTHORS = ("policy", "rival")


class NothingSampled(ValueError):  # noqa: N818 - named for what happened
    """There was no prompt to answer, or no answer was worth keeping."""

    code = "nothing_sampled"


def sample(run: Run) -> None:
    """Do one `policy.sample` job: inputs `policy` and `prompts`.

    And `rival` where responses are to be mixed, and `reward` where doubt about their order is to be told.
    """
    config = configs.parse(SampleConfig, run.config)
    authors = shares(run, config.responses_per_prompt)
    judge = doubting(run, config)
    prompts = _prompts(run, config, list(authors))
    written_by = shares(run, config.candidates) if config.candidates else authors
    told = Told(run.reporter, len(prompts))
    writer = Writer([engine(run, config, by, ks) for by, ks in written_by.items()], config, run, told)
    saved = run.last_savepoint()
    lines = list(read_lines(SampleLine, saved)) if saved else []
    done = int((saved / "done").read_text()) if saved else 0
    whose = " and ".join(f"{len(ks)} of the {by}" for by, ks in authors.items())
    among = f", chosen among {config.candidates}" if config.candidates else ""
    run.reporter.note(f"{len(prompts):,} prompts, responses to each: {whose}{among}; starting at {done}.")

    def save(folder: Path) -> None:
        write_lines(lines, folder, kind="samples")
        (folder / "done").write_text(str(done))

    saved_at = time.monotonic()
    while done < len(prompts):
        written = writer.write(prompts[done : done + CHUNK], before=done)
        if written is not None:
            lines += written if judge is None else judged(written, judge, authors, run.seed)
            done = min(done + CHUNK, len(prompts))
            told.say(done, at_once=True)
        if run.stop.requested or time.monotonic() - saved_at >= config.savepoint_every_seconds:
            run.savepoint(done, save)
            saved_at = time.monotonic()
            if run.stop.requested:
                raise Interrupted
    if not lines:
        raise NothingSampled("no prompt got two different responses that are not empty: is this policy trained at all?")
    if len(lines) < len(prompts):
        run.reporter.note(
            f"{len(prompts) - len(lines)} prompts got fewer than two different responses and are left out."
        )
    run.publish(
        lambda folder: _write(lines, folder),
        {"kind": "samples", "count": len(lines), "evaluation": _evaluation(lines, len(prompts))},
    )


class Told:
    """How far the job is, said to those who watch at most once a second, or at once."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self.reporter, self.total = reporter, total
        self.said_at = time.monotonic()

    def say(self, done: int, *, at_once: bool = False) -> None:
        """So many prompts are answered."""
        if at_once or time.monotonic() - self.said_at >= SAID_EVERY_SECONDS:
            self.reporter.progress(done, self.total, "prompts")
            self.said_at = time.monotonic()


class Writer:
    """Writes K responses to prompts, each engine its share."""

    def __init__(self, engines: Sequence[Engine], config: SampleConfig, run: Run, told: Told) -> None:
        self.engines, self.config, self.run, self.told = engines, config, run, told

    def write(self, prompts: Sequence[PromptLine], *, before: int) -> list[SampleLine] | None:
        """Answer these prompts, leaving out those without two different answers; None if asked to stop.

        before: how many others are answered already. Of each of these, every engine makes its part of an answer, and
        what is sampled again counts no more.
        """
        K = self.config.candidates or self.config.responses_per_prompt
        answers: list[dict[int, Sample]] = [{} for _ in prompts]
        wanting = list(range(len(prompts)))
        for attempt in range(self.config.retries + 1):
            seed = self.run.seed + RETRY_SEED * attempt
            for place, engine in enumerate(self.engines):
                asking = [i for i in wanting if any(k not in answers[i] for k in engine.ks)]

                def progress(answered: int, place: int = place, attempt: int = attempt) -> None:
                    if attempt == 0:
                        self.told.say(before + (place * len(prompts) + answered) // len(self.engines))

                written = engine.write(
                    [prompts[i] for i in asking],
                    seed=seed,
                    stop=lambda: self.run.stop.requested,
                    progress=progress,
                )
                if written is None:
                    return None
                for i, fresh in zip(asking, written, strict=True):
                    answers[i] = _keep(answers[i], fresh, self.config.similarity, last=attempt == self.config.retries)
            wanting = [i for i in wanting if len(answers[i]) < K]
            if not wanting:
                break
        return [
            SampleLine(prompt_id=line.id, prompt=line.prompt, responses=tuple(kept[k] for k in sorted(kept)))
            for line, kept in zip(prompts, answers, strict=True)
            if len(kept) >= min(2, K)
        ]


def shares(run: Run, K: int) -> dict[str, range]:
    """Which of K responses each checkpoint writes: all, or half of them where there is a rival."""
    if not run.has_input("rival"):
        return {"policy": range(K)}
    if K < 2:
        raise ConfigError(f"{K} response to a prompt cannot be shared", {"responses_per_prompt": "must be at least 2"})
    if run.job.inputs["rival"] == run.job.inputs["policy"]:
        raise ConfigError(
            "policy and rival are the same checkpoint, so there is nothing to compare: name another rival"
        )
    half = K - K // 2
    return {"policy": range(half), "rival": range(half, K)}


def engine(run: Run, config: SampleConfig, by: str, ks: range) -> Engine:
    """Who writes with the checkpoint of the input `by`."""
    if config.server:
        place = AUTHORS.index(by)
        named = config.server_models[place] if place < len(config.server_models) else run.job.inputs[by]
        server = Server(named, config, by=by, ks=ks)
        server.check()
        return server
    check_ends(backbone.load_encoder(run.input(by)), run.input(by))
    model, encoder = backbone.load_policy(run.input(by), run.job.device)
    model.set_attn_implementation(attention.NAME)
    return BuiltIn(model, encoder, config, by=by, ks=ks)


def doubting(run: Run, config: SampleConfig) -> Scorer | None:
    """The reward model of the input `reward`, if it was given and can doubt."""
    judge = scoring.load(run.input("reward"), run.job.device) if run.has_input("reward") else None
    if judge is not None and judge.knows_doubt:
        return judge
    if config.candidates:
        raise ConfigError(
            "candidates are chosen by a reward model with an ensemble of heads, and "
            + ("no reward model was given" if judge is None else "the one that was given has none")
            + ": name one under the input reward, or set candidates to 0",
            {"candidates": "must be 0 without a reward model that has an ensemble"},
        )
    if judge is not None:
        run.reporter.note(f"No response is doubted: {scoring.NoSpread()}.")
    return None


def judged(lines: Sequence[SampleLine], judge: Scorer, authors: Mapping[str, range], seed: int) -> list[SampleLine]:
    """Keep as many responses of each author as are wanted, and say how unsure the reward model is of their order.

    Lines of which fewer than two are left are left out, unless one is all that is wanted.
    """
    wanted = sum(len(ks) for ks in authors.values())
    said = judge.score_with_spread(
        [line.prompt for line in lines],
        [[one.text for one in line.responses] for line in lines],
        finished=[[one.finished for one in line.responses] for line in lines],
    )
    done = []
    for line, doubted in zip(lines, said, strict=True):
        dice = random.Random(f"{seed} {line.prompt_id}")
        kept = sorted(
            at
            for by, ks in authors.items()
            for at in liked(doubted.members, [i for i, one in enumerate(line.responses) if one.by == by], len(ks), dice)
        )
        if len(kept) >= min(2, wanted):
            responses = tuple(line.responses[at] for at in kept)
            done.append(replace(line, responses=responses, doubt=doubted.of(kept).doubt))
    return done


def liked(members: Tensor, candidates: Sequence[int], count: int, dice: random.Random) -> list[int]:
    """So many of the candidates, each the one that a member drawn at random likes best of those that are left.

    members: (H, N), what each member says of all.
    """
    left = list(candidates)
    chosen: list[int] = []
    while left and len(chosen) < count:
        taste = members[dice.randrange(len(members))]
        best = max(left, key=lambda at: float(taste[at]))
        left.remove(best)
        chosen.append(best)
    return chosen


def alike(one: str, other: str) -> float:
    """Share of words that two texts have in common, counted as often as they occur: 1 is the same words."""
    a, b = Counter(one.lower().split()), Counter(other.lower().split())
    both = sum((a & b).values())
    return 2 * both / (sum(a.values()) + sum(b.values())) if a or b else 1.0


def _keep(kept: dict[int, Sample], fresh: Sequence[Sample], similarity: float, *, last: bool) -> dict[int, Sample]:
    """Fill the open places with fresh samples that are neither empty nor nearly the same as one that is kept.

    The last time round, nearly the same is good enough; the same text never is.
    """
    kept = dict(kept)
    for one in fresh:
        if one.k in kept or not one.text:
            continue
        texts = [other.text for other in kept.values()]
        if one.text in texts or (not last and any(alike(one.text, text) >= similarity for text in texts)):
            continue
        kept[one.k] = one
    return kept


def _prompts(run: Run, config: SampleConfig, authors: Sequence[str]) -> list[PromptLine]:
    """The prompts that are to be answered: those that leave every author room for a response."""
    lines = [line for line in read_lines(PromptLine, run.input("prompts")) if line.split in config.splits]
    short = lines
    for by in authors:
        folder = run.input(by)
        encoder = backbone.load_encoder(folder)
        longest = backbone.context_of(folder) - config.max_new_tokens
        short = [line for line in short if len(encoder.prompt_ids(line.prompt)) <= longest]
    if len(short) < len(lines):
        run.reporter.note(
            f"{len(lines) - len(short)} prompts leave no room for {config.max_new_tokens} tokens: left out."
        )
    if config.max_prompts and config.max_prompts < len(short):
        chosen = torch.randperm(len(short), generator=torch.Generator().manual_seed(run.seed))[: config.max_prompts]
        short = [short[i] for i in sorted(chosen.tolist())]
    if not short:
        raise NothingSampled("the dataset has no prompt of these splits that leaves room for a response")
    return short


def _write(lines: Sequence[SampleLine], folder: Path) -> None:
    write_lines(lines, folder, kind="samples")


def _evaluation(lines: Sequence[SampleLine], prompts: int) -> dict[str, float]:
    samples = [response for line in lines for response in line.responses]
    lengths = [one.token_count for one in samples if one.token_count is not None]
    doubts = [line.doubt for line in lines if line.doubt is not None]
    return {
        "prompts": prompts,
        "responses": len(samples),
        "ended": sum(one.finished for one in samples) / len(samples),
        **({"mean_tokens": sum(lengths) / len(lengths)} if lengths else {}),
        **({"mean_doubt": sum(doubts) / len(doubts)} if doubts else {}),
    }
