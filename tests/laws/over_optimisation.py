"""Law P12: a policy that is taught against reward models for too long becomes better, and then worse (Gao et al. 2022).

Everything is small and real. A policy of two layers writes letters at random. What people want (*gold*) is that just
under half of them are vowels; at first a fifth are, so whoever compares what it writes says *more vowels*, and is wrong
a quarter of the time. Reward models learn from these rankings and never see what lies beyond the top. PPO follows them.

`python tests/laws/over_optimisation.py` draws docs/explanation/over-optimisation.svg and says what it shows.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import tiny

from policy.config import PPOConfig
from policy.ppo import ppo
from policy.rewards import ensemble
from rewardmodel import scoring
from rewardmodel.__main__ import KINDS as REWARD_MODEL
from training import config as configs
from training.lm import backbone
from training.lm.encoder import Encoder
from training.lm.generation import Generator, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

VOWELS, LETTERS = frozenset("aeiou"), "abcdefghijklmnopqrstuvwxyz"
BEST_SHARE, LENGTH, FLIPPED = 0.45, 16, 0.25
RANKINGS, MEMBERS = 400, 3
GROWTH = 1.2
"""Each step goes far here, so the alarm must be quick."""
TEACHING = {
    "steps": 70,
    "critic_warmup_steps": 2,
    "rollout_prompts": 8,
    "responses_per_prompt": 16,
    "minibatch_prompts": 4,
    "epochs": 2,
    "max_new_tokens": LENGTH,
    "min_new_tokens": LENGTH - 1,
    "missing_end": "score",
    "learning_rate": 1e-3,
    "value_learning_rate": 1e-3,
    "warmup_steps": 1,
    "kl_coef": 0.01,
    "evaluations": 35,
    "evaluation_prompts": 1,
    "alarms": {"window": 3, "reward_up_while_ensemble_disagrees": "roll_back", "disagreement_growth": GROWTH},
}


@dataclass(frozen=True)
class Point:
    """One rollout: √KL to where the policy started, what the reward models say, and what is true."""

    step: int
    distance: float
    proxy: float
    gold: float
    disagreement: float


@dataclass(frozen=True)
class Curve:
    """One run: its rollouts, the step at which the alarm went off, and the step of what a roll-back would publish."""

    points: list[Point]
    alarm: int | None
    rolled_back_to: int | None

    def gold_at(self, step: int) -> float:
        """What the policy of a step is truly worth: the mean of the rollouts around its own."""
        near = [point.gold for point in self.points if abs(point.step - (step + 1)) <= 1]
        return sum(near) / len(near)

    @property
    def start(self) -> float:
        """What the policy was worth at first."""
        return self.gold_at(1)

    @property
    def peak(self) -> Point:
        """The best it ever was."""
        return max(self.points, key=lambda point: self.gold_at(point.step - 1))

    def fit(self) -> tuple[float, float, float]:
        """The best alpha and beta of gold = start + d·(alpha - beta·ln d), d = √KL, and the variance explained."""
        seen = [point for point in self.points if point.distance > 0.1]
        d = torch.tensor([point.distance for point in seen], dtype=torch.float64)
        y = torch.tensor([point.gold - self.start for point in seen], dtype=torch.float64)
        design = torch.stack([d, -d * d.log()], 1)
        found = torch.linalg.lstsq(design, y.unsqueeze(1)).solution.squeeze(1)
        left = y - design @ found
        return float(found[0]), float(found[1]), 1 - float(left.square().mean() / y.var(correction=0))


def gold(text: str) -> float:
    """1 at the best share of vowels, 0 without any, and below 0 near a text of vowels alone."""
    share = sum(letter in VOWELS for letter in text) / max(len(text), 1)
    return 1 - ((share - BEST_SHARE) / BEST_SHARE) ** 2


def encoder() -> Encoder:
    """One token a letter."""
    entries = [*tiny.SPECIAL, *LETTERS]
    plain = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(entries)}, unk_token=tiny.SPECIAL[0]))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    plain.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
    fast.add_special_tokens({"additional_special_tokens": tiny.SPECIAL[2:]})
    fast.chat_template = tiny.TEMPLATE
    return Encoder(fast)


def policy(folder: Path, seed: int) -> Path:
    """A policy that writes letters at random, nearly all as likely as the others."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    size = {"vocab_size": len(tiny.SPECIAL) + len(LETTERS), "max_position_embeddings": 64, "tie_word_embeddings": False}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    model: Any = AutoModelForCausalLM.from_config(LlamaConfig(**shape, **size, **ends), attn_implementation="sdpa")
    backbone.save_policy(folder, model, encoder())
    return folder


def rankings(start: Path, seed: int) -> list[dict[str, Any]]:
    """What people say of four texts of the policy: which is nearer to gold, a quarter of the time the other way."""
    model, its_encoder = backbone.load_policy(start)
    model.set_attn_implementation("laurel")
    prompts = [its_encoder.prompt_ids([{"role": "user", "content": "say"}])] * RANKINGS
    written = Generator(model, end_id=its_encoder.eos_id, pad_id=its_encoder.pad_id, slot_count=100).generate(
        prompts,
        keys=[str(number) for number in range(RANKINGS)],
        responses_per_prompt=4,
        sampling=Sampling(max_new_tokens=LENGTH, min_new_tokens=LENGTH - 1, seed=seed),
    )
    assert written is not None
    generator = torch.Generator().manual_seed(seed)
    lines = []
    for number, row in enumerate(written):
        texts = [its_encoder.text(response.ids) for response in row]
        worth = torch.tensor([gold(text) for text in texts])
        wrong = float(torch.rand(1, generator=generator)) < FLIPPED
        order = sorted(set((-worth if wrong else worth).tolist()), reverse=True)
        ranks = [order.index(value) + 1 for value in (-worth if wrong else worth).tolist()]
        judgement = {
            "kind": "ranking",
            "annotator": "a",
            "simulated": True,
            "placements": [{"response": f"r{i}", "rank": rank} for i, rank in enumerate(ranks)],
        }
        lines.append(
            {
                "id": str(number),
                "split": "valid" if number % 5 == 4 else "train",
                "group": str(number),
                "prompt": [{"role": "user", "content": "say"}],
                "responses": [{"id": f"r{i}", "text": text} for i, text in enumerate(texts)],
                "judgements": [judgement],
            }
        )
    return lines


def reward_models(home: Path, start: Path, seed: int) -> list[Path]:
    """Reward models that saw the same rankings in another order, from another head (Coste et al. 2023)."""
    inputs = {"policy": start, "rankings": tiny.dataset(home / "rankings", rankings(start, seed))}
    config = {"epochs": 3, "learning_rate": 2e-3, "batch_prompts": 16, "patience": 0}
    folders = []
    for member in range(MEMBERS):
        run = tiny.run(home / f"reward-{member}", "rewardmodel.train", inputs, config, seed=100 * seed + member)
        REWARD_MODEL["rewardmodel.train"](run)
        folders.append(run.output_dir)
    return folders


def taught(home: Path, seed: int, **settings: Any) -> Curve:
    """Teach the policy against the reward models and see what it is truly worth on the way."""
    start = policy(home / "policy", seed)
    judges = [_judge(scoring.load(folder)) for folder in reward_models(home, start, seed)]
    prompts = tiny.dataset(
        home / "prompts",
        [
            {
                "id": str(i),
                "split": "train",
                "group": str(i),
                "source": "",
                "prompt": [{"role": "user", "content": "say"}],
            }
            for i in range(TEACHING["rollout_prompts"])
        ],
    )
    config = TEACHING | settings
    proxy = ensemble(judges, configs.parse(PPOConfig, config))
    truth: list[float] = []

    def reward(asked: Sequence[Any], answers: Sequence[Sequence[Any]]) -> Any:
        if len(answers) > 1:  # a rollout, not a look
            truth.append(sum(gold(a.text) for row in answers for a in row) / sum(map(len, answers)))
        return proxy(asked, answers)

    run = tiny.run(home / "ppo", "policy.ppo", {"policy": start, "prompts": prompts}, config, seed=seed)
    ppo(run, reward, critic_from=None)
    steps = [(e["step"], e["values"]) for e in tiny.events(run, "metrics") if "ppo/kl" in e["values"]]
    points = [
        Point(step, said["ppo/sqrt_kl"], said["ppo/reward"], true, said["ppo/disagreement"])
        for (step, said), true in zip(steps, truth, strict=True)
    ]
    alarms = [e["step"] for e in tiny.events(run, "alarm") if e["name"] == "reward_up_while_ensemble_disagrees"]
    card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
    return Curve(points, alarms[0] if alarms else None, card.get("rolled_back_to"))


def _judge(scorer: scoring.Scorer) -> Any:
    def judge(prompts: Sequence[Any], answers: Sequence[Sequence[Any]]) -> torch.Tensor:
        return torch.cat(scorer.score_ids([p.ids for p in prompts], [[a.ids for a in row] for row in answers]))

    return judge


# --- The figure ----------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 56, 170, 24, 44


def drawn(curve: Curve) -> str:
    """Proxy and gold against √KL, the alarm, and what a roll-back publishes, as SVG."""
    points = sorted(curve.points, key=lambda point: point.distance)
    top = max(point.distance for point in points) * 1.02
    low, high = _ends([value for point in points for value in (point.proxy, point.gold)])

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / top * (WIDTH - LEFT - RIGHT)
        return across, TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def path(name: str) -> str:
        places = (at(point.distance, getattr(point, name)) for point in points)
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)

    alpha, beta, _ = curve.fit()
    fitted = [i / 100 * top for i in range(3, 101)]
    law = "M" + "L".join("{:.1f} {:.1f}".format(*at(d, curve.start + d * (alpha - beta * math.log(d)))) for d in fitted)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="Inter, system-ui, sans-serif" font-size="13">'
        ),
        "<title>Over-optimisation: what the reward models say rises, what is true rises and falls</title>",
        (
            "<style>.i{fill:#55605b}.l{stroke:#cfcabd}.g{stroke:#1f6b4a}.p{stroke:#24589c}.a{stroke:#a32a2a;fill:#a32a2a}"
            "@media(prefers-color-scheme:dark){.i{fill:#aab3ae}.l{stroke:#414944}.g{stroke:#6cc79a}.p{stroke:#8bb7f0}"
            ".a{stroke:#f09a92;fill:#f09a92}}</style>"
        ),
    ]
    for value in _ticks(low, high):
        x, y = at(0, value)
        parts.append(f'<path class="l" d="M{x} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="i" x="{x - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(0, top):
        x, y = at(value, low)
        parts.append(f'<text class="i" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text class="i" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">√KL moved</text>'
    )
    parts.append(f'<path class="g" d="{law}" fill="none" stroke-dasharray="2 4"/>')
    for name, kind in (("proxy", "p"), ("gold", "g")):
        parts.append(f'<path class="{kind}" d="{path(name)}" fill="none" stroke-width="2"/>')
    last = points[-1]
    parts.append(_label(*at(last.distance, last.proxy), "what the reward models say"))
    parts.append(_label(*at(last.distance, last.gold), "what is true"))
    for step, words in ((curve.alarm, "alarm"), (curve.rolled_back_to, "rolled back to")):
        if step is not None:
            point = min(curve.points, key=lambda each: abs(each.step - step))
            x, y = at(point.distance, point.gold)
            parts.append(f'<path class="a" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke-dasharray="4 4"/>')
            parts.append(f'<circle class="a" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            low_down = HEIGHT - BOTTOM - 8 - (16 if words == "alarm" else 0)
            parts.append(f'<text class="i" x="{x + 6:.1f}" y="{low_down}">{words}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _label(x: float, y: float, words: str) -> str:
    return f'<text class="i" x="{x + 8:.1f}" y="{y + 4:.1f}">{words}</text>'


def _ends(values: Sequence[float]) -> tuple[float, float]:
    room = 0.06 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [round(index * step, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def told(curve: Curve) -> str:
    """What one run shows, in a line."""
    peak, (alpha, beta, explained) = curve.peak, curve.fit()
    kept = "-" if curve.rolled_back_to is None else f"{curve.gold_at(curve.rolled_back_to):.2f}"
    return (
        f"proxy {curve.points[0].proxy:.2f} → {curve.points[-1].proxy:.2f}; gold {curve.start:.2f} → peak "
        f"{curve.gold_at(peak.step - 1):.2f} at step {peak.step} (√KL {peak.distance:.2f}) "
        f"→ {curve.points[-1].gold:.2f}; "
        f"d(a - b ln d): a {alpha:.2f}, b {beta:.2f}, R² {explained:.2f}; alarm at step {curve.alarm}, "
        f"rolled back to step {curve.rolled_back_to} with gold {kept}"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        whole = taught(Path(folder) / "whole", 1, alarms={"window": 3, "disagreement_growth": GROWTH})
        stopped = taught(Path(folder) / "stopped", 1)
    shown = Curve(whole.points, whole.alarm, stopped.rolled_back_to)
    figure = Path(__file__).parents[2] / "docs" / "explanation" / "over-optimisation.svg"
    figure.write_text(drawn(shown))
    sys.stdout.write(f"{told(shown)}\n{figure}\n")
