"""The two training loops that the benchmark of the reward model compares, each run in a process of its own.

`python loops.py ours SPEC` in Laurel's environment, `python loops.py trl SPEC` in TRL's. SPEC is a JSON
file; the last line said is a JSON object. Only the loop is timed: weights and token ids are there before it starts,
and one step was taken by a model that is thrown away.
"""

from __future__ import annotations

import json
import math
import random
import sys
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from clocks import Clock, peak, rest

VOCABULARY, PAD = 8192, 0
RATE = 1e-4


def rankings(count: int, *, responses: int, seed: int) -> list[dict[str, Any]]:
    """Prompts of 64 to 192 token ids, each with some responses of 16 to 112, the best first.

    Tokens below the middle of the vocabulary are good: a better response has more of them.
    """
    dice = random.Random(seed)
    half = VOCABULARY // 2

    def tokens(length: int, goodness: float) -> list[int]:
        return [
            dice.randrange(2, half) if dice.random() < goodness else dice.randrange(half, VOCABULARY)
            for _ in range(length)
        ]

    return [
        {
            "prompt": tokens(dice.randint(64, 192), 0.5),
            "responses": [tokens(dice.randint(16, 112), 0.8 - 0.6 * i / (responses - 1)) for i in range(responses)],
        }
        for _ in range(count)
    ]


# --- Laurel ----------------------------------------------------------------------------------------


def ours(spec: dict[str, Any]) -> dict[str, float]:
    """Laurel's own steps, as its trainer takes them."""
    from rewardmodel import train  # noqa: PLC0415 - TRL's environment has no Laurel
    from rewardmodel.config import RewardModelConfig  # noqa: PLC0415
    from rewardmodel.data import Example, Judged  # noqa: PLC0415
    from rewardmodel.loss import choices_of_ranking, comparisons_of_ranking  # noqa: PLC0415
    from training.lm.trees import Tree  # noqa: PLC0415

    def example(number: int, line: dict[str, Any]) -> Example:
        ranks = list(range(1, len(line["responses"]) + 1))
        judged = Judged("a", comparisons_of_ranking(ranks), choices_of_ranking(ranks))
        return Example(str(number), "train", Tree(line["prompt"], line["responses"]), (judged,), cut=False)

    config = RewardModelConfig(
        batch_prompts=spec["prompts_a_step"],
        micro_batch_tokens=2048,
        learning_rate=RATE,
        warmup_share=0.0,
        floor=1.0,
        beta2=0.999,
        weight_decay=0.0,
        heads=0,
        precision="bfloat16" if spec["bfloat16"] else "float32",
        max_tokens=1024,
    )
    examples = [example(number, line) for number, line in enumerate(rankings(**spec["train"]))]
    held_out = [example(number, line) for number, line in enumerate(rankings(**spec["test"]))] if "test" in spec else []
    material = train.Material(examples, held_out, [], frozenset({"a"}), 1024)
    device = torch.device(spec["device"])

    def loop(material: train.Material) -> tuple[train.Student, dict[str, float]]:
        (leg,) = train.legs_of(material, config, seed=spec["seed"])
        student = train.begin(Path(spec["weights"]), config, leg, seed=spec["seed"], device=device)
        clock = Clock()
        for step in range(leg.steps):
            batch = train.batch_of(leg.material.train, config, seed=spec["seed"], step=step)
            train.teach(student, batch, config, leg, lambda: False)
        return student, clock.read()

    loop(train.Material(examples[: spec["prompts_a_step"]], [], [], frozenset({"a"}), 1024))
    at_rest = rest()
    student, times = loop(material)
    said = times | {"bytes": peak() - at_rest}
    if held_out:
        said["accuracy"] = train.measure(student, material, held_out, lambda: False)["accuracy"]["value"]
    return said


# --- TRL -------------------------------------------------------------------------------------------


def trl(spec: dict[str, Any]) -> dict[str, float]:
    """TRL's RewardTrainer on the pairs of the same rankings."""
    from datasets import Dataset  # noqa: PLC0415 - Laurel's environment has no TRL
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: PLC0415
    from transformers.trainer_callback import PrinterCallback  # noqa: PLC0415
    from trl import RewardConfig, RewardTrainer  # noqa: PLC0415

    def pairs(lines: list[dict[str, Any]]) -> Dataset:
        rows = [
            {"chosen_ids": line["prompt"] + better, "rejected_ids": line["prompt"] + worse}
            for line in lines
            for better, worse in combinations(line["responses"], 2)
        ]
        return Dataset.from_list(rows)

    pairs_a_prompt = math.comb(spec["train"]["responses"], 2)
    lines = rankings(**spec["train"])

    def loop(lines: list[dict[str, Any]]) -> tuple[Any, dict[str, float]]:
        model = AutoModelForSequenceClassification.from_pretrained(
            spec["weights"], num_labels=1, dtype=torch.float32, attn_implementation="sdpa"
        )
        arguments = RewardConfig(
            output_dir=spec["scratch"],
            per_device_train_batch_size=spec["pairs_a_batch"],
            gradient_accumulation_steps=spec["prompts_a_step"] * pairs_a_prompt // spec["pairs_a_batch"],
            num_train_epochs=1,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            max_length=None,
            bf16=spec["bfloat16"],
            gradient_checkpointing=False,
            use_cpu=spec["device"] == "cpu",
            report_to=[],
            save_strategy="no",
            logging_steps=10_000,
            disable_tqdm=True,
            dataloader_drop_last=False,
            seed=spec["seed"],
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=pairs(lines),
            processing_class=AutoTokenizer.from_pretrained(spec["weights"]),
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.train()
        return trainer, clock.read()

    loop(lines[: spec["prompts_a_step"]])
    at_rest = rest()
    trainer, times = loop(lines)
    said = times | {"bytes": peak() - at_rest}
    if "test" in spec:
        metrics = trainer.evaluate(pairs(rankings(**spec["test"])))
        said["accuracy"] = metrics["eval_accuracy"]
    return said


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    which, path = sys.argv[1:]
    spec = json.loads(Path(path).read_text())
    if spec.get("threads"):
        torch.set_num_threads(spec["threads"])
    if which == "ours":
        from training import program

        program.keep_memory()  # as Laurel's trainers do
    print(json.dumps({"ours": ours, "trl": trl}[which](spec)))  # noqa: T201
