"""The whole circle with nobody at the keyboard: sample, judge, learn, improve, measure, and again.

Simulated annotators rank through the people's own API; jobs are started over HTTP and go through the ledger, the
launcher and Celery like anyone's. Held-out prompts are never ranked and never taught; the judge without noise reads
what each round's policy writes to them.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from labeling.judges import true_score
from labeling.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from training.models import Project

POLL_SECONDS = 0.5
TEMPERATURE = 0.7
"""At which everything is drawn, rollouts among it: so small a model breaks words at its unlikely tokens."""
LABELED = {"splits": ["train", "valid"], "temperature": TEMPERATURE}
"""Which prompts get stories for people to rank, and how they are drawn."""
Z95 = 1.959964


class DemoFailed(Exception):  # noqa: N818 (it says what happened)
    """A job of the circle did not succeed."""


ROUNDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large the circle is."""

    rounds: int = ROUNDS
    seed: int = 1
    train_prompts: int = 240
    valid_prompts: int = 60
    held_out_prompts: int = 240
    samples: int = 3
    """Stories a held-out prompt, at each look."""
    reward_model: Mapping[str, Any] = field(
        # One look, at the end: sixty prompts to measure on would choose among several by chance.
        default_factory=lambda: {"learning_rate": 8e-4, "batch_prompts": 8, "evaluations": 1}
    )
    ppo_steps: tuple[int, ...] = (4, 8)
    """PPO's steps in each round, the last number again in later ones: the first reward model has read little yet."""
    ppo: Mapping[str, Any] = field(
        default_factory=lambda: {
            "temperature": TEMPERATURE,
            "epochs": 1,
            "learning_rate": 1e-4,
            "value_learning_rate": 1e-3,
            "critic_warmup_steps": 3,
            # A reward model of 240 rankings sees how a story ends long before it sees whether the story is about what
            # was asked for; twice the usual penalty keeps what it cannot see.
            "kl_coef": 0.1,
            "warmup_steps": 1,
            "evaluations": 1,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One round, as the table and `demo.jsonl` have it. Scores lie in [0, 1]; intervals are 95 %."""

    round: int
    labels: int
    rm_accuracy: float | None
    ceiling: float | None
    true_score: float
    ci_low: float
    ci_high: float
    gain_low: float | None
    gain_high: float | None
    kl: float | None
    win_rate: float | None
    length_correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one policy wrote to the held-out prompts, and what the judge says of it."""

    stories: Mapping[str, tuple[str, ...]]

    def scores(self) -> dict[str, tuple[float, ...]]:
        """The judge's score of each story, by prompt."""
        return {
            prompt: tuple(true_score(prompt, story) for story in stories) for prompt, stories in self.stories.items()
        }

    def means(self) -> dict[str, float]:
        """Mean score of each prompt's stories."""
        return {prompt: statistics.fmean(scores) for prompt, scores in self.scores().items()}

    def length_correlation(self) -> float:
        """Pearson's r between a story's score and its length in characters."""
        scores = self.scores()
        pairs = [
            (score, float(len(story)))
            for prompt, stories in self.stories.items()
            for score, story in zip(scores[prompt], stories, strict=True)
        ]
        return statistics.correlation(*zip(*pairs, strict=True))


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval over independent prompts."""
    mean = statistics.fmean(values)
    half = Z95 * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def win_rate(ours: Look, theirs: Look) -> float:
    """Share of all pairs of stories to the same prompt that ours wins; ties count half."""
    before, after = theirs.scores(), ours.scores()
    wins = [
        1.0 if new > old else 0.5 if new == old else 0.0
        for prompt in after
        for new in after[prompt]
        for old in before[prompt]
    ]
    return statistics.fmean(wins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The admin's hands: jobs, datasets and checkpoints over HTTP."""

    client: httpx.Client
    slug: str
    seed: int
    say: Callable[[str], None]

    def ask(self, method: str, address: str, **body: Any) -> Any:
        """Ask the API, or fail with what it said."""
        answer = self.client.request(method, f"/api/v1/{address}", json=body or None)
        if answer.is_error:
            raise DemoFailed(f"{method} {address} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    def start(self, kind: str, *, config: Mapping[str, Any], inputs: Mapping[str, Any], name: str = "") -> int:
        """Start a job; its number."""
        given = {"kind": kind, "config": dict(config), "inputs": dict(inputs), "name": name, "seed": self.seed}
        return int(self.ask("POST", "jobs", project=self.slug, **given)["id"])

    def finished(self, number: int) -> dict[str, Any]:
        """Wait for a job, telling how far it is, and return it as it ended."""
        told = 0.0
        while True:
            job: dict[str, Any] = self.ask("GET", f"jobs/{number}")
            if job["state"] == "succeeded":
                return job
            if job["state"] in ("failed", "cancelled", "paused"):
                raise DemoFailed(f"job {number} ({job['kind']}) has {job['state']}: {job.get('error')}")
            done = job["progress"]
            if done and done["total"] and done["done"] / done["total"] >= told + 0.25:
                told = done["done"] / done["total"]
                self.say(f"    {job['kind']} {done['done']:.0f}/{done['total']:.0f} {done['unit']}")
            time.sleep(POLL_SECONDS)

    def run(self, kind: str, *, config: Mapping[str, Any], inputs: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Start a job and wait for it."""
        began = time.monotonic()
        job = self.finished(self.start(kind, config=config, inputs=inputs, name=name))
        self.say(f"  {kind}: {time.monotonic() - began:.0f} s")
        return job

    def lines(self, dataset: int) -> list[dict[str, Any]]:
        """Download a dataset."""
        answer = self.client.get(f"/api/v1/datasets/{dataset}/download")
        answer.raise_for_status()
        return [json.loads(line) for line in answer.text.splitlines() if line]


def circle(
    *, project: Project, client: httpx.Client, base_url: str, plan: Plan, say: Callable[[str], None]
) -> Iterator[tuple[Row, Look]]:
    """Turn the loop, giving a row and the held-out stories after each round; the first is the policy as it was."""
    console = Console(client=client, slug=project.slug, seed=plan.seed, say=say)
    prompts = console.run("labeling.snapshot", config={"what": "prompts"}, inputs={})["output"]["digest"]
    before = look(console, prompts, plan)
    yield row(0, before), before
    sampled = console.start("policy.sample", config=LABELED, inputs={"prompts": prompts}, name="round 1")
    for number in range(1, plan.rounds + 1):
        say(f"Round {number}")
        console.finished(sampled)
        labels = simulate(project=project, base_url=base_url, seed=plan.seed * 1000 + number)
        say(f"  {labels} rankings given by simulated annotators")
        snapshot = console.run(
            "labeling.snapshot",
            config={"what": "rankings", "include_simulated": True},
            inputs={},
            name=f"round {number}",
        )["output"]
        reward = console.run(
            "rewardmodel.train",
            config=plan.reward_model,
            # Like the paper's, each reward model starts from the fine-tuned policy, not from one that PPO has bent.
            inputs={"rankings": snapshot["digest"], "policy": project.base_policy},
            name=f"round {number}",
        )["output"]
        improved = console.run(
            "policy.ppo",
            config={**plan.ppo, "steps": plan.ppo_steps[min(number, len(plan.ppo_steps)) - 1]},
            inputs={"reward": reward["digest"], "prompts": prompts},
            name=f"round {number}",
        )
        console.ask("POST", f"checkpoints/{improved['output']['checkpoint']}/promote")
        after = look(console, prompts, plan)
        yield (
            row(
                number,
                after,
                before=before,
                labels=labels,
                rm_accuracy=evaluation(console, reward["checkpoint"])["valid"]["accuracy"]["value"],
                ceiling=ceiling(console.lines(snapshot["dataset"])),
                kl=evaluation(console, improved["output"]["checkpoint"])["after"]["ppo/kl"],
            ),
            after,
        )
        before = after
        sampled = newest_sampling(console, improved["id"])


def evaluation(console: Console, checkpoint: int) -> dict[str, Any]:
    """What a checkpoint's card says of how good it is."""
    said: dict[str, Any] = console.ask("GET", f"checkpoints/{checkpoint}")["card"]["evaluation"]
    return said


def look(console: Console, prompts: str, plan: Plan) -> Look:
    """Let the champion write to the held-out prompts; these responses go to nobody's queue."""
    config = {"splits": ["test"], "temperature": TEMPERATURE, "responses_per_prompt": plan.samples, "place": False}
    job = console.run("policy.sample", config=config, inputs={"prompts": prompts}, name="held-out prompts")
    lines = console.lines(job["output"]["dataset"])
    return Look(
        stories={
            line["prompt"][-1]["content"]: tuple(response["text"] for response in line["responses"]) for line in lines
        }
    )


def newest_sampling(console: Console, ppo: int) -> int:
    """The sampling job that the finished PPO job has started by itself."""
    for _ in range(60):
        for job in console.ask("GET", f"jobs?project={console.slug}&kind=policy.sample")["results"]:
            if job["schedule"] and console.ask("GET", f"jobs/{job['id']}")["triggered_by"] == ppo:
                return int(job["id"])
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"job {ppo} finished, and the schedule that samples after PPO started nothing")


def ceiling(rankings: list[dict[str, Any]]) -> float | None:
    """How often the judge without noise agrees with the annotators' untied pairs of the split valid.

    No reward model can do better for long: it is the truth that the annotators see through their noise.
    """
    agreed = []
    for line in rankings:
        if line["split"] != "valid":
            continue
        prompt = line["prompt"][-1]["content"]
        truth = {response["id"]: true_score(prompt, response["text"]) for response in line["responses"]}
        for judgement in line["judgements"]:
            ranks = {place["response"]: place["rank"] for place in judgement["placements"]}
            agreed += [
                1.0 if truth[one] > truth[other] else 0.5 if truth[one] == truth[other] else 0.0
                for one in ranks
                for other in ranks
                if ranks[one] < ranks[other]
            ]
    return statistics.fmean(agreed) if agreed else None


def row(
    number: int,
    after: Look,
    *,
    before: Look | None = None,
    labels: int = 0,
    rm_accuracy: float | None = None,
    ceiling: float | None = None,
    kl: float | None = None,
) -> Row:
    """Measure one round, against the round before it where there is one."""
    means = after.means()
    mean, low, high = interval(list(means.values()))
    gain_low = gain_high = None
    if before is not None:
        earlier = before.means()
        _, gain_low, gain_high = interval([means[prompt] - earlier[prompt] for prompt in means])
    return Row(
        round=number,
        labels=labels,
        rm_accuracy=rm_accuracy,
        ceiling=ceiling,
        true_score=mean,
        ci_low=low,
        ci_high=high,
        gain_low=gain_low,
        gain_high=gain_high,
        kl=kl,
        win_rate=win_rate(after, before) if before else None,
        length_correlation=after.length_correlation(),
    )


HEADINGS = tuple(name.replace("_", " ") for name in Row.__dataclass_fields__)


def table_line(cells: Row | None = None) -> str:
    """One line of the table, or its head."""
    if cells is None:
        return "  ".join(f"{name:>11.11}" for name in HEADINGS)
    return "  ".join(f"{_cell(value):>11}" for value in asdict(cells).values())


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:d}" if isinstance(value, int) else f"{value:.3f}"
