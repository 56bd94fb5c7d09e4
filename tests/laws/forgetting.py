"""Law P13 at work: what a policy knew of books, after PPO alone and after PPO-ptx (InstructGPT, 2203.02155, §3.5).

Policy, stories, annotators, reward model and PPO are those of `make demo`, in one round whose PPO takes the steps of
two. Only the beginning differs: the starter has read 96,000 stories since it read books, and what it knew of them is
gone (`main` says how far), so that nothing is left to lose. Like InstructGPT's (App. C), PPO begins from fine-tuning
that mixes the text of pre-training in. The books that are measured on were never read by any of these models.

`python tests/laws/forgetting.py [FOLDER]` draws docs/explanation/ptx.svg and says what it shows; what is already done
in the folder is not done again.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    import django

    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

import numpy as np
import tiny
import torch

from config import demo
from config.management.commands.demo import prompts
from labeling.judges import PERSONAS, true_score
from policy import pretrain
from policy.__main__ import KINDS as POLICY
from policy.config import PretrainConfig
from policy.starter import build
from rewardmodel import scoring
from rewardmodel.__main__ import KINDS as REWARD_MODEL
from training import artifacts
from training.lm import backbone, distributed
from training.lm.logprobs import trunk_and_head
from training.lm.packing import reading_windows
from training.records import SampleLine, read_lines, write_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(os.environ.get("LAUREL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
BOOKS = DATA / "books.jsonl.gz"
SEEDS = (1, 2, 3)
GAMMA, OTHERS = 1.0, (0.1, 27.8)
"""The weight of the text, and others that the first seed tries: a tenth of it, and InstructGPT's."""
STORIES = 1600
REMINDER = {
    "optimizer": "muon",
    "learning_rate": 1e-3,
    "dropout": 0.0,
    "batch_conversations": 16,
    "epochs": 1,
    "text_share": 0.8,
}
"""How the starter is taught books again; among them stories, so that it goes on telling them."""
TEACHING = {
    "steps": sum(demo.Plan().ppo_steps),
    "evaluations": 5,
    "evaluation_prompts": 60,
    "ptx_examples_per_episode": 1.0,
}
WINDOWS = 256
"""Of the held-out books, evenly over them: one in thirteen."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a policy knows of books, and what its stories are worth to the reward model and to the judge behind it."""

    perplexity: float
    bits: float
    reward: float
    reward_error: float
    gold: float
    gold_error: float


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A run: the policy at its end, the KL of a response in its last rollout, and perplexity by step on the way."""

    gamma: float
    after: Seen
    kl: float
    kl_error: float
    curve: dict[int, float]


def job(
    folder: Path, kind: str, inputs: Mapping[str, Path], config: Mapping[str, Any], *, seed: int = build.SEED
) -> Path:
    """Do a job as the platform's workers do, unless the folder holds it done; its output."""
    done = [path for path in folder.glob("attempt-*/output") if artifacts.is_whole(path)]
    if done:
        return done[0]
    run = tiny.run(folder, kind, inputs, config, seed=seed)
    (POLICY | REWARD_MODEL)[kind](run)
    return run.output_dir


def books(folder: Path) -> Path:
    """The books that the starter read most often, and those that were held out from it, as wholes."""
    lines = (line for line in build.text_lines(BOOKS) if line.split == "valid" or line.weight > 1)
    write_lines(lines, folder, kind="text")
    return folder


def reminded(home: Path) -> dict[str, Path]:
    """The starter once it knows books again, and the books."""
    stories = home / "stories"
    write_lines(islice(build.stories({build.OUTLINE}), STORIES), stories, kind="demonstrations")
    text = books(home / "text")
    inputs = {"policy": build.MODEL, "demonstrations": stories, "text": text}
    return {"policy": job(home / "reminded", "policy.sft", inputs, REMINDER), "text": text}


def judged(home: Path, given: Mapping[str, Path], seed: int) -> dict[str, Path]:
    """What PPO is given: the demo's prompts, and a reward model of what its annotators say of the policy's stories."""
    plan = demo.Plan(seed=seed)
    lines = [
        {"id": f"p{i}", "split": new.split, "group": new.group, "source": new.source, "prompt": new.messages}
        for i, new in enumerate(prompts(plan))
    ]
    asked = tiny.dataset(home / "prompts", lines)
    inputs = {"policy": given["policy"], "prompts": asked}
    samples = job(home / "samples", "policy.sample", inputs, demo.LABELED | {"place": False}, seed=seed)
    ranked = rankings(samples, {line["id"]: line for line in lines}, seed)
    inputs = {"policy": given["policy"], "rankings": tiny.dataset(home / "rankings", ranked)}
    reward = job(home / "reward", "rewardmodel.train", inputs, plan.reward_model, seed=seed)
    return {**given, "prompts": asked, "reward": reward}


def rankings(samples: Path, asked: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """One ranking a prompt, each by the next of the demo's simulated annotators."""
    lines = []
    for number, line in enumerate(read_lines(SampleLine, samples)):
        persona, prompt = PERSONAS[number % len(PERSONAS)], line.prompt[-1].content
        texts = [sample.text for sample in line.responses]
        places = persona.rank(prompt, texts, random.Random(f"{seed} {persona.name} {prompt}"))
        judgement = {
            "kind": "ranking",
            "annotator": persona.name,
            "simulated": True,
            "placements": [{"response": f"r{i}", "rank": p.rank, "rating": p.rating} for i, p in enumerate(places)],
        }
        head = {name: asked[line.prompt_id][name] for name in ("id", "split", "group", "prompt")}
        responses = [{"id": f"r{i}", "text": text} for i, text in enumerate(texts)]
        lines.append({**head, "responses": responses, "judgements": [judgement]})
    return lines


def taught(home: Path, given: Mapping[str, Path], seed: int, gamma: float) -> Taught:
    """Teach the policy with this much of the text mixed in."""
    config = {**demo.Plan().ppo, **TEACHING, "ptx_coef": gamma}
    folder = home / f"ppo-{gamma:g}"
    output = job(folder, "policy.ppo", given, config, seed=seed)
    said = json.loads((output / "card.json").read_text())["evaluation"]["after"]
    events = map(json.loads, (output.parent / "events.jsonl").read_text().splitlines())
    looks = [event for event in events if "ppo/valid_text_perplexity" in event.get("values", ())]
    warmup = config["critic_warmup_steps"]
    return Taught(
        gamma=gamma,
        after=seen(folder, given | {"policy": output}, seed),
        kl=said["ppo/kl"],
        kl_error=said["ppo/kl_error"],
        curve={max(0, look["step"] - warmup): look["values"]["ppo/valid_text_perplexity"] for look in looks},
    )


def seen(home: Path, given: Mapping[str, Path], seed: int) -> Seen:
    """Look at a policy: held-out books, as pre-training measures them, and a story to each of the held-out prompts."""
    perplexity, bits = knows(given["policy"], given["text"])
    config = {"splits": ["test"], "temperature": demo.TEMPERATURE, "responses_per_prompt": 1, "place": False}
    inputs = {name: given[name] for name in ("policy", "prompts")}
    samples = job(home / "look", "policy.sample", inputs, config | {"retries": 0}, seed=seed)
    lines = list(read_lines(SampleLine, samples))
    told = [line.responses[0] for line in lines]
    scores = scoring.load(given["reward"]).score(
        [line.prompt for line in lines], [[one.text] for one in told], finished=[[one.finished] for one in told]
    )
    rewards = torch.cat(scores).tolist()
    gold = [true_score(line.prompt[-1].content, one.text) for line, one in zip(lines, told, strict=True)]
    return Seen(
        perplexity=perplexity,
        bits=bits,
        reward=statistics.fmean(rewards),
        reward_error=statistics.stdev(rewards) / math.sqrt(len(rewards)),
        gold=statistics.fmean(gold),
        gold_error=statistics.stdev(gold) / math.sqrt(len(gold)),
    )


def knows(policy: Path, text: Path) -> tuple[float, float]:
    """Perplexity and bits for a character of held-out books."""
    model, encoder = backbone.load_policy(policy)
    valid = [line.text for line in pretrain.read_texts(text) if line.split == "valid"]
    ids = [np.array(encoder.plain_ids(one), dtype=np.int32) for one in valid]
    config = PretrainConfig()
    windows, real = reading_windows(ids, context=config.context, eos_id=encoder.eos_id, pad_id=encoder.pad_id)
    reader = pretrain.Reader(distributed.Spread(model), *trunk_and_head(model), config)
    said = pretrain.held_out(reader, pretrain.Reading(windows, real, sum(map(len, valid))), limit=WINDOWS)
    return said["valid_perplexity"], said["valid_bits_per_character"]


def told(seed: int, before: Seen, runs: Sequence[Taught]) -> str:
    """What the runs of one seed show, a line each."""

    def line(name: str, look: Seen, moved: str = "") -> str:
        return (
            f"seed {seed} {name:>9}: perplexity {look.perplexity:.1f} ({look.bits:.3f} bits a character), "
            f"reward {look.reward:+.2f} ± {look.reward_error:.2f}, judge {look.gold:.3f} ± {look.gold_error:.3f}{moved}"
        )

    moved = [f", KL {run.kl:.1f} ± {run.kl_error:.1f}" for run in runs]
    taught_lines = [line(f"gamma {run.gamma:g}", run.after, kl) for run, kl in zip(runs, moved, strict=True)]
    return "\n".join([line("before", before), *taught_lines])


# --- The figure ----------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 320, 56, 170, 24, 44


def drawn(runs: Sequence[Taught]) -> str:
    """Perplexity of held-out books on the way of each run, as SVG: dashed without text, whole with it."""
    steps = max(step for run in runs for step in run.curve)
    values = [value for run in runs for value in run.curve.values()]
    room = 0.06 * (max(values) - min(values))
    low, high = min(values) - room, max(values) + room

    def at(step: float, value: float) -> tuple[float, float]:
        across = LEFT + step / steps * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="Inter, system-ui, sans-serif" font-size="13">'
        ),
        "<title>Perplexity of held-out books while PPO teaches, without text mixed in and with it</title>",
        (
            "<style>.i{fill:#55605b}.l{stroke:#cfcabd}.on{stroke:#1f6b4a}.off{stroke:#a32a2a;stroke-dasharray:6 4}"
            "@media(prefers-color-scheme:dark){.i{fill:#aab3ae}.l{stroke:#414944}.on{stroke:#6cc79a}"
            ".off{stroke:#f09a92}}</style>"
        ),
    ]
    apart = next(step for step in (1, 2, 5, 10, 20, 50, 100) if (high - low) / step <= 8)
    for value in range(math.ceil(low / apart) * apart, math.floor(high) + 1, apart):
        x, y = at(0, value)
        parts.append(f'<path class="l" d="M{x} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="i" x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    for step in runs[0].curve:
        x, _ = at(step, low)
        parts.append(f'<text class="i" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    parts.append(f'<text class="i" x="{LEFT}" y="{TOP - 10}">perplexity of held-out books</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="i" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">steps of PPO</text>')
    for run in runs:
        path = "M" + "L".join("{:.1f} {:.1f}".format(*at(step, value)) for step, value in run.curve.items())
        parts.append(f'<path class="{"on" if run.gamma else "off"}" d="{path}" fill="none" stroke-width="2"/>')
    for gamma in sorted({run.gamma for run in runs}):
        ends = [at(steps, run.curve[steps]) for run in runs if run.gamma == gamma]
        y = statistics.fmean(y for _, y in ends)
        parts.append(f'<text class="i" x="{ends[0][0] + 8:.1f}" y="{y + 4:.1f}">gamma {gamma:g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(home: Path) -> None:
    """Do all runs, say what they show, and draw them."""
    given = reminded(home)
    perplexity, bits = knows(build.MODEL, given["text"])
    sys.stdout.write(f"the starter as it is: perplexity {perplexity:,.0f} ({bits:.3f} bits a character)\n")
    runs = []
    for seed in SEEDS:
        own = judged(home / str(seed), given, seed)
        both = [taught(home / str(seed), own, seed, gamma) for gamma in (0.0, GAMMA)]
        others = [taught(home / str(seed), own, seed, gamma) for gamma in OTHERS if seed == SEEDS[0]]
        sys.stdout.write(told(seed, seen(home / str(seed), own, seed), both + others) + "\n")
        sys.stdout.flush()
        runs += both
    figure = Path(__file__).parents[2] / "docs" / "explanation" / "ptx.svg"
    figure.write_text(drawn(runs))
    sys.stdout.write(f"{figure}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
