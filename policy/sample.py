"""Writing K responses to each prompt of a dataset, for people to rank.

Each response draws from the random stream (seed, prompt, k), so the same job gives the same responses however its
prompts are batched. A response that is empty, or nearly the same as another of its prompt, is sampled again from the
stream of another seed; the seed that a response came from stands beside it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from policy.config import SampleConfig
from training import config as configs
from training.lm import attention, backbone
from training.lm.generation import Generator, Sampling
from training.program import Interrupted
from training.records import PromptLine, Sample, SampleLine, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.lm.encoder import Encoder
    from training.lm.generation import Response
    from training.program import Run

CHUNK = 64
RETRY_SEED = 1_000_003


class NothingSampled(ValueError):  # noqa: N818 - named for what happened
    """There was no prompt to answer, or no answer was worth keeping."""

    code = "nothing_sampled"


def sample(run: Run) -> None:
    """Do one `policy.sample` job: inputs `policy` and `prompts`."""
    config = configs.parse(SampleConfig, run.config)
    policy, encoder = backbone.load_policy(run.input("policy"), run.job.device)
    policy.float().set_attn_implementation(attention.NAME)
    prompts = _prompts(run, encoder, config, policy.config.max_position_embeddings - config.max_new_tokens)
    writer = Writer(policy, encoder, config, run)
    saved = run.last_savepoint()
    lines = list(read_lines(SampleLine, saved)) if saved else []
    done = int((saved / "done").read_text()) if saved else 0
    run.reporter.note(f"{len(prompts):,} prompts, {config.responses_per_prompt} responses each; starting at {done}.")

    def save(folder: Path) -> None:
        write_lines(lines, folder, kind="samples")
        (folder / "done").write_text(str(done))

    saved_at = time.monotonic()
    while done < len(prompts):
        written = writer.write(prompts[done : done + CHUNK])
        if written is not None:
            lines += written
            done = min(done + CHUNK, len(prompts))
            run.reporter.progress(done, len(prompts), "prompts")
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


class Writer:
    """Writes K responses to prompts with one policy."""

    def __init__(self, policy: Any, encoder: Encoder, config: SampleConfig, run: Run) -> None:
        self.encoder, self.config, self.run = encoder, config, run
        self.generator = Generator(policy, end_id=encoder.eos_id, pad_id=encoder.pad_id, decode=encoder.text)

    def write(self, prompts: Sequence[PromptLine]) -> list[SampleLine] | None:
        """Answer these prompts, leaving out those without two different answers; None if asked to stop."""
        K = self.config.responses_per_prompt
        answers: list[dict[int, Sample]] = [{} for _ in prompts]
        wanting = list(range(len(prompts)))
        for attempt in range(self.config.retries + 1):
            seed = self.run.seed + RETRY_SEED * attempt
            sampled = self._sample([prompts[i] for i in wanting], seed)
            if sampled is None:
                return None
            for i, responses in zip(wanting, sampled, strict=True):
                fresh = [self._answer(k, response, seed) for k, response in enumerate(responses)]
                answers[i] = _keep(answers[i], fresh, self.config.similarity, last=attempt == self.config.retries)
            wanting = [i for i in wanting if len(answers[i]) < K]
            if not wanting:
                break
        return [
            SampleLine(prompt_id=line.id, prompt=line.prompt, responses=tuple(kept[k] for k in sorted(kept)))
            for line, kept in zip(prompts, answers, strict=True)
            if len(kept) >= min(2, K)
        ]

    def _sample(self, prompts: Sequence[PromptLine], seed: int) -> list[list[Response]] | None:
        config = self.config
        return self.generator.generate(
            [self.encoder.prompt_ids(line.prompt) for line in prompts],
            keys=[line.id for line in prompts],
            responses_per_prompt=config.responses_per_prompt,
            sampling=Sampling(
                max_new_tokens=config.max_new_tokens,
                min_new_tokens=config.min_new_tokens,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                stop=config.stop,
                seed=seed,
            ),
            stop=lambda: self.run.stop.requested,
        )

    def _answer(self, k: int, response: Response, seed: int) -> Sample:
        return Sample(
            k=k,
            text=before_stop(self.encoder.text(response.ids), self.config.stop).strip(),
            token_count=len(response.ids),
            logprob=sum(response.logprobs),
            finished=response.finished,
            seed=seed,
        )


def before_stop(text: str, stops: Sequence[str]) -> str:
    """Cut a text at the first of these stops."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


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


def _prompts(run: Run, encoder: Encoder, config: SampleConfig, longest: int) -> list[PromptLine]:
    lines = [line for line in read_lines(PromptLine, run.input("prompts")) if line.split in config.splits]
    short = [line for line in lines if len(encoder.prompt_ids(line.prompt)) <= longest]
    if len(short) < len(lines):
        run.reporter.note(f"{len(lines) - len(short)} prompts are longer than {longest} tokens: left out.")
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
    return {
        "prompts": prompts,
        "responses": len(samples),
        "ended": sum(one.finished for one in samples) / len(samples),
        "mean_tokens": sum(one.token_count for one in samples) / len(samples),
    }
