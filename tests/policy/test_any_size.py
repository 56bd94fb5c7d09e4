"""SFT and pre-training with adapters and in two processes: the losses of one process, and an exact resume.

Two ranks are started once, and do all of the jobs one after the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import ranks
import tiny
import torch
from transformers import AutoModelForCausalLM

from policy.__main__ import KINDS
from training import artifacts, machine
from training.program import Interrupted, open_run
from training.records import DemonstrationLine, Message, TextLine, write_lines

pytestmark = pytest.mark.timeout(1000)  # two ranks on a busy machine
TALE = "The kite flew over the hill. The goat looked up and laughed. Mina ran home for supper. "
SFT = {
    "epochs": 2,
    "batch_conversations": 5,
    "micro_batch_tokens": 48,
    "learning_rate": 0.01,
    "dropout": 0.0,
    "text_share": 0.3,
    "text_context": 16,
    "reward_prompts": 3,
    "reward_max_new_tokens": 6,
    "precision": "float32",
    "savepoint_every_seconds": 600.0,
}
PRETRAIN = {
    "tokens": 16 * 6 * 6,
    "context": 16,
    "batch_windows": 6,
    "micro_batch_windows": 2,
    "learning_rate": 0.01,
    "evaluations": 2,
    "precision": "float32",
    "savepoint_every_seconds": 600.0,
}
LORA = {"lora_rank": 3, "lora_dropout": 0.1}
JOBS = {
    "sft": ("policy.sft", SFT),
    "sft-fsdp": ("policy.sft", SFT | {"parallel": "fsdp", "activation_checkpointing": True}),
    "pretrain": ("policy.pretrain", PRETRAIN),
    "pretrain-fsdp": ("policy.pretrain", PRETRAIN | {"parallel": "fsdp"}),
}
"""Jobs without anything random in a step: two processes must have the losses of one."""
RESUMED = {
    "pretrain-lora": ("policy.pretrain", PRETRAIN | LORA),
    "sft-lora-fsdp": ("policy.sft", SFT | LORA | {"dropout": 0.1, "parallel": "fsdp"}),
}
"""Jobs that are interrupted after their second step, with dropout that differs from rank to rank."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    policy = tiny.policy(folder / "policy")
    shown = [
        DemonstrationLine(
            id=str(number),
            split="valid" if number % 4 == 3 else "train",
            group=str(number),
            prompt=(Message("user", f"say {number}"),),
            response="ab" * (1 + number % 4) + ".",
            annotator=None,
            source="test",
            simulated=False,
        )
        for number in range(16)
    ]
    write_lines(shown, folder / "demonstrations", kind="demonstrations")
    lines = [TextLine(text=TALE * 10, split="train"), TextLine(text=TALE * 3, split="valid")]
    write_lines(lines, folder / "text", kind="text")
    return {
        "policy": policy,
        "text": folder / "text",
        "demonstrations": folder / "demonstrations",
        "reward": tiny.scorer(folder / "scorer", policy),
    }


def order(folder, kind, config, inputs):
    wanted = ("policy", "text") if kind == "policy.pretrain" else inputs
    return tiny.run(folder, kind, {name: inputs[name] for name in wanted}, config)


@pytest.fixture(scope="module")
def two(inputs, tmp_path_factory):
    """The folder in which two ranks have done every job, and those of `RESUMED` once more in two attempts."""
    home = tmp_path_factory.mktemp("two")
    orders = []
    for name, (kind, config) in (JOBS | RESUMED).items():
        order(home / name, kind, config | {"processes": 2}, inputs)
        orders.append(f"{home / name}:1")
    for name, (kind, config) in RESUMED.items():
        order(home / f"{name}-broken", kind, config | {"processes": 2}, inputs)
        orders += [f"{home / name}-broken:1:1", f"{home / name}-broken:2"]
    ranks.torchrun("jobs", *orders)
    return home


@pytest.fixture(scope="module")
def alone(inputs, tmp_path_factory):
    """The runs of one process for `sft` and `pretrain`."""
    home = tmp_path_factory.mktemp("alone")
    runs = {}
    for name in ("sft", "pretrain"):
        runs[name] = order(home / name, *JOBS[name], inputs)
        KINDS[JOBS[name][0]](runs[name])
    return runs


def curves(folder, attempt=1):
    """Every metric but the learning rate, by its name and step."""
    text = (folder / f"attempt-{attempt}" / "events.jsonl").read_text()
    said = [event for event in map(json.loads, text.splitlines()) if event["event"] == "metrics"]
    return {(name, event["step"]): value for event in said for name, value in event["values"].items()}


@pytest.mark.law("J6")
@pytest.mark.parametrize("name", JOBS)
def test_two_processes_have_the_losses_of_one(two, alone, name):
    wanted = curves(alone[name.partition("-")[0]].folder)
    found = curves(two / name)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key
    assert any("valid" in metric for metric, _ in found)


@pytest.mark.law("J2")
@pytest.mark.parametrize("name", RESUMED)
def test_two_processes_go_on_from_a_savepoint_to_the_same_bytes(two, name):
    broken = two / f"{name}-broken"
    assert '"text": "interrupted"' in (broken / "attempt-1" / "events.jsonl").read_text()
    assert curves(broken, 1) | curves(broken, 2) == curves(two / name)
    outputs = [two / name / "attempt-1" / "output", broken / "attempt-2" / "output"]
    assert artifacts.digest_of(outputs[0]) == artifacts.digest_of(outputs[1])
    model = AutoModelForCausalLM.from_pretrained(outputs[0])
    assert not [name for name, _ in model.named_parameters() if "lora" in name]


@pytest.mark.law("J2")
@pytest.mark.parametrize("kind", ["policy.sft", "policy.pretrain"])
def test_adapters_go_on_to_the_same_bytes_and_their_savepoints_hold_nothing_frozen(inputs, tmp_path, kind):
    config = (SFT | {"dropout": 0.1, "text_share": 0.0} if kind == "policy.sft" else PRETRAIN) | LORA
    whole, first = (order(tmp_path / name, kind, config, inputs) for name in ("whole", "broken"))
    KINDS[kind](whole)
    first.stop = StopsAtTheSecondLook()
    with pytest.raises(Interrupted):
        KINDS[kind](first)
    saved = torch.load(first.last_savepoint() / "state.pt", weights_only=True)["parts"]
    assert all(".lora_" in name for name in saved["model"])
    second = open_run(first.folder)
    KINDS[kind](second)
    assert artifacts.digest_of(second.output_dir) == artifacts.digest_of(whole.output_dir)
    before = AutoModelForCausalLM.from_pretrained(inputs["policy"]).state_dict()
    after = AutoModelForCausalLM.from_pretrained(whole.output_dir).float().state_dict()
    changed = {name for name in after if not torch.allclose(after[name], before[name], atol=2e-3, rtol=2e-3)}
    assert changed
    assert all("_proj" in name for name in changed)


class StopsAtTheSecondLook:
    looks = 0

    @property
    def requested(self):
        self.looks += 1
        return self.looks >= 2


def test_a_model_that_starts_from_nothing_takes_no_adapters(inputs, tmp_path):
    run = tiny.run(tmp_path, "policy.pretrain", {"text": inputs["text"]}, PRETRAIN | LORA)
    with pytest.raises(ValueError, match="nothing to adapt"):
        KINDS["policy.pretrain"](run)


def program(folder, attempt):
    """The program as the launcher starts it."""
    words = ["-m", "training.torchrun", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    words += ["--rdzv-endpoint", "127.0.0.1:0", "-m", "policy", str(folder), "--attempt", str(attempt)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
@pytest.mark.law("J2")
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_of_two_ranks_that_is_stopped_or_loses_one_goes_on_to_the_same_bytes(inputs, tmp_path, sign):
    """SIGTERM reaches the ranks through torchrun, and both stop after the same step; SIGKILL hits one of them."""
    config = PRETRAIN | {"tokens": 16 * 6 * 100, "processes": 2, "savepoint_every_seconds": 0.0}
    whole, broken = (order(tmp_path / name, "policy.pretrain", config, inputs).folder for name in ("whole", "broken"))
    assert program(whole, 1).wait(timeout=600) == 0
    process = program(broken, 1)
    while not any(artifacts.is_whole(path) for path in broken.glob("attempt-1/savepoints/step-*")):
        assert process.poll() is None
        time.sleep(0.02)
    if sign == signal.SIGTERM:
        process.terminate()
    else:
        os.kill(max(machine.running([str(broken), "--attempt", "1"])), sign)
    assert process.wait(timeout=120) != 0
    assert not machine.running([str(broken), "--attempt", "1"])
    assert not (broken / "attempt-1" / "output").exists()
    if sign == signal.SIGTERM:
        assert "Interrupted after a savepoint" in (broken / "attempt-1" / "events.jsonl").read_text()
    assert program(broken, 2).wait(timeout=600) == 0
    outputs = [whole / "attempt-1" / "output", broken / "attempt-2" / "output"]
    assert artifacts.digest_of(outputs[0]) == artifacts.digest_of(outputs[1])
