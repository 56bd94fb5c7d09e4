"""The loops that the benchmark of the policy's trainers compares, each run in a process of its own.

`python loops.py LOOP SPEC`: the `ours_` loops in Laurel's environment, the others in their peer's. SPEC is a JSON
file; the last line said is a JSON object. Only the loop is timed: weights and token ids are there before it starts,
and a small one was run by models that are thrown away.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from clocks import Clock, peak, rest

if TYPE_CHECKING:
    from collections.abc import Callable

VOCABULARY, PAD, END = 8192, 0, 1
K = 4
EPOCHS = 4
RATE = 1e-5
TOP_K = 50
NO_TOKEN = -1
WARM = 4
"""Prompts of the run that warms up."""


def prompts(spec: dict[str, Any]) -> list[list[int]]:
    """Prompts of one length, so that the peers pad nothing."""
    dice = random.Random(1)
    return [_tokens(dice, spec["prompt_tokens"]) for _ in range(spec["prompts"])]


def conversations(spec: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Prompts of half to one and a half times the usual length, each with a response of a quarter to 1¾."""
    dice = random.Random(2)
    prompt, response = spec["prompt_tokens"], spec["new_tokens"]
    return [
        (
            _tokens(dice, dice.randint(prompt // 2, prompt * 3 // 2)),
            _tokens(dice, dice.randint(response // 4, response * 7 // 4)),
        )
        for _ in range(spec["conversations"])
    ]


def _tokens(dice: random.Random, count: int) -> list[int]:
    return [dice.randrange(2, VOCABULARY) for _ in range(count)]


def measured(loop: Callable[[list[Any]], dict[str, float]], given: list[Any], *, warm: int) -> dict[str, float]:
    """What a loop says of its time, and its peak memory: all models, and what they need."""
    loop(given[:warm])
    at_rest = rest()
    return loop(given) | {"bytes": peak() - at_rest}


# --- Generation ------------------------------------------------------------------------------------


def ours_generate(spec: dict[str, Any]) -> dict[str, float]:
    """K responses a prompt, log-probabilities included."""
    from training.lm import attention, backbone  # noqa: PLC0415 - the peers' environments have no Laurel
    from training.lm.generation import Generator, Sampling  # noqa: PLC0415

    sampling = Sampling(max_new_tokens=spec["new_tokens"], top_k=TOP_K, seed=1)

    def loop(given: list[list[int]]) -> dict[str, float]:
        model, _ = backbone.load_policy(spec["weights"], dtype=torch.float32)
        model.set_attn_implementation(attention.NAME)
        clock = Clock()
        written = Generator(model, end_id=NO_TOKEN, pad_id=PAD).generate(
            given, keys=[str(number) for number in range(len(given))], responses_per_prompt=K, sampling=sampling
        )
        times = clock.read()
        assert {len(response.logprobs) for row in written for response in row} == {spec["new_tokens"]}
        return times

    return measured(loop, prompts(spec), warm=WARM)


def transformers_generate(spec: dict[str, Any]) -> dict[str, float]:
    """`generate` of transformers, without log-probabilities."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    def loop(given: list[list[int]]) -> dict[str, float]:
        model = AutoModelForCausalLM.from_pretrained(spec["weights"], dtype=torch.float32, attn_implementation="sdpa")
        model.eval()
        model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, PAD
        ids = torch.tensor(given)
        clock = Clock()
        written = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=TOP_K,
            num_return_sequences=K,
            max_new_tokens=spec["new_tokens"],
            **spec["settings"],
        )
        times = clock.read()
        assert written.shape == (len(given) * K, ids.shape[1] + spec["new_tokens"])
        return times

    return measured(loop, prompts(spec), warm=WARM)


# --- PPO -------------------------------------------------------------------------------------------


def ours_ppo(spec: dict[str, Any]) -> dict[str, float]:
    """One step of PPO as the trainer takes it: sample and measure, judge, credit, learn."""
    from policy.config import PPOConfig  # noqa: PLC0415
    from policy.learner import Learner, minibatches  # noqa: PLC0415
    from policy.ppo import credit  # noqa: PLC0415
    from policy.rollout import Prompt, Verdict, roll_out  # noqa: PLC0415
    from policy.team import assemble  # noqa: PLC0415
    from rewardmodel import scoring  # noqa: PLC0415
    from training.lm.generation import Sampling  # noqa: PLC0415

    weights, reward = Path(spec["weights"]), Path(spec["reward"])
    length = {"max_new_tokens": spec["new_tokens"], "min_new_tokens": spec["new_tokens"] - 1}

    def loop(given: list[list[int]]) -> dict[str, float]:
        config = PPOConfig(
            rollout_prompts=len(given),
            minibatch_prompts=len(given),
            responses_per_prompt=K,
            epochs=EPOCHS,
            learning_rate=RATE,
            value_learning_rate=RATE,
            warmup_steps=0,
            missing_end="score",
            value_model=spec["value_model"],
            precision="float32",
            **length,
        )
        team = assemble(weights, config, torch.device("cpu"), critic_from=reward)
        scorer = scoring.load(reward)
        learner = Learner(team, config, stop=lambda: False)
        asked = [Prompt(str(number), (), tuple(ids)) for number, ids in enumerate(given)]
        clock = Clock()
        rollout = roll_out(
            team,
            asked,
            keys=[prompt.id for prompt in asked],
            responses_per_prompt=K,
            sampling=Sampling(seed=1, **length),
            micro_batch_tokens=config.micro_batch_tokens,
            stop=lambda: False,
        )
        rolled_out = clock.read()["seconds"]
        scores = scorer.score_ids(given, [[answer.ids for answer in row] for row in rollout.answers])
        experience = credit(rollout, Verdict.of(torch.cat(scores)), config, config.kl_coef)
        judged = clock.read()["seconds"]
        for trees in minibatches(len(given), len(given), epochs=EPOCHS, seed=1, step=0):
            learner.update(experience, trees)
        learner.end_step()
        times = clock.read()
        assert bool(rollout.response_mask.all())
        return times | {"rollout": rolled_out, "judge": judged - rolled_out, "update": times["seconds"] - judged}

    return measured(loop, prompts(spec), warm=WARM)


def trl_ppo(spec: dict[str, Any]) -> dict[str, float]:
    """The same step of TRL's PPOTrainer, with a value model of its own; every episode is a row."""
    from datasets import Dataset  # noqa: PLC0415 - Laurel's environment has no TRL
    from transformers import (  # noqa: PLC0415
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )
    from transformers.trainer_callback import PrinterCallback  # noqa: PLC0415
    from trl.experimental.ppo import PPOConfig, PPOTrainer  # noqa: PLC0415

    as_ours = {"dtype": torch.float32, "attn_implementation": "sdpa"}

    def loop(given: list[list[int]]) -> dict[str, float]:
        episodes = Dataset.from_list([{"input_ids": ids} for ids in given for _ in range(K)])
        micro = min(spec["settings"]["micro"], len(episodes))
        arguments = PPOConfig(
            output_dir=spec["scratch"],
            total_episodes=len(episodes),
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=len(episodes) // micro,
            num_mini_batches=1,
            num_ppo_epochs=EPOCHS,
            response_length=spec["new_tokens"],
            temperature=1.0,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            num_sample_generations=0,
            **_plainly(),
        )
        policy, reference = (AutoModelForCausalLM.from_pretrained(spec["weights"], **as_ours) for _ in range(2))
        value, reward = (AutoModelForSequenceClassification.from_pretrained(spec["reward"], **as_ours) for _ in "vr")
        trainer = PPOTrainer(
            args=arguments,
            processing_class=AutoTokenizer.from_pretrained(spec["weights"]),
            model=policy,
            ref_model=reference,
            reward_model=reward,
            value_model=value,
            train_dataset=episodes,
            eval_dataset=episodes,
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.train()
        return clock.read()

    return measured(loop, prompts(spec), warm=WARM)


# --- SFT -------------------------------------------------------------------------------------------


def ours_sft(spec: dict[str, Any]) -> dict[str, float]:
    """An epoch of fine-tuning as the trainer takes it."""
    from policy import sft  # noqa: PLC0415
    from policy.config import SFTConfig  # noqa: PLC0415
    from training.lm import attention, backbone, optim  # noqa: PLC0415
    from training.lm.packing import Conversation  # noqa: PLC0415

    device = torch.device("cpu")
    told = {"epochs": 1, "batch_conversations": spec["batch"], "learning_rate": RATE, "precision": "float32"}
    config = SFTConfig(**told, weight_decay=0.0, dropout=0.0)

    def loop(lines: list[tuple[list[int], list[int]]]) -> dict[str, float]:
        shown = [Conversation(ask + say, [False] * len(ask) + [True] * len(say)) for ask, say in lines]
        plan = sft.Plan(shown, [], END, config, seed=1)
        model = backbone.load_to_train(spec["weights"], config, device)
        model.set_attn_implementation(attention.NAME)
        spread = backbone.to_train(model, config, device)
        optimizer = optim.make(
            "adamw", model, learning_rate=RATE, betas=(0.9, 0.999), weight_decay=0.0, matmul_dtype=torch.float32
        )
        no_text = sft._TextReader(plan, start=0).take()
        clock = Clock()
        for step in range(plan.steps):
            sft._learn(spread, optimizer, plan.batch(step), no_text, config)
        return clock.read()

    return measured(loop, conversations(spec), warm=spec["batch"])


def trl_sft(spec: dict[str, Any]) -> dict[str, float]:
    """An epoch of TRL's SFTTrainer; steps see as many tokens as ours, packed as the settings say."""
    from datasets import Dataset  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415
    from transformers.trainer_callback import PrinterCallback  # noqa: PLC0415
    from trl import SFTConfig, SFTTrainer  # noqa: PLC0415

    def loop(lines: list[tuple[list[int], list[int]]]) -> dict[str, float]:
        rows = [{"input_ids": ask + say, "completion_mask": [0] * len(ask) + [1] * len(say)} for ask, say in lines]
        arguments = SFTConfig(
            output_dir=spec["scratch"],
            num_train_epochs=1,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            completion_only_loss=True,
            logging_steps=10_000,
            **spec["settings"],
            **_plainly(),
        )
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                spec["weights"], dtype=torch.float32, attn_implementation="sdpa"
            ),
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(spec["weights"]),
        )
        trainer.remove_callback(PrinterCallback)
        clock = Clock()
        trainer.train()
        return clock.read()

    return measured(loop, conversations(spec), warm=spec["batch"])


def _plainly() -> dict[str, Any]:
    """TRL in float32 without gradient checkpointing, saying and saving nothing: its fastest on processors."""
    return {
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 1,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    loop, path = sys.argv[1:]
    if loop.startswith("ours"):
        from training import program

        program.keep_memory()  # as Laurel's trainers do
    loops = (ours_generate, transformers_generate, ours_ppo, trl_ppo, ours_sft, trl_sft)
    chosen = {one.__name__: one for one in loops}[loop]
    print(json.dumps(chosen(json.loads(Path(path).read_text()))))  # noqa: T201
