"""Training a reward model end to end: it learns, stops, resumes to the byte, and leaves as a plain folder."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel import scoring
from rewardmodel.data import NoRankings
from rewardmodel.train import train
from training import artifacts
from training.program import Interrupted, open_run
from training.records import RecordError

ROOT = Path(__file__).parents[2]
FAST = {"learning_rate": 2e-3, "batch_prompts": 8, "evaluations": 2, "patience": 0}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    home = tmp_path_factory.mktemp("inputs")
    demonstrations = [
        {
            "id": str(i),
            "split": "train",
            "group": str(i),
            "prompt": [{"role": "user", "content": f"say {i}"}],
            "response": "aeiouaei",
            "annotator": None,
            "source": "test",
            "simulated": True,
        }
        for i in range(12)
    ]
    return {
        "policy": tiny.policy(home / "policy"),
        "rankings": tiny.dataset(home / "rankings", tiny.ranking_lines(160, annotators=2)),
        "demonstrations": tiny.dataset(home / "demonstrations", demonstrations),
    }


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    run = tiny.run(tmp_path_factory.mktemp("trained"), "rewardmodel.train", inputs, FAST | {"epochs": 3})
    train(run)
    return run


def card_of(run):
    return json.loads((run.output_dir / "card.json").read_text())


def test_it_learns_what_the_annotators_like(trained):
    valid = card_of(trained)["evaluation"]["valid"]
    assert valid["accuracy"]["value"] > 0.8
    assert valid["accuracy"]["low"] < valid["accuracy"]["value"] <= valid["accuracy"]["high"]
    assert valid["log_loss"]["value"] < math.log(2)
    assert set(valid["by_annotator"]) == {"a0", "a1"}
    assert valid["ceiling"]["agreement"] == 1
    names = {name for event in tiny.events(trained, "metrics") for name in event["values"]}
    assert {"rm/loss", "rm/accuracy", "rm/log_loss", "rm/kendall_tau"} <= names


@pytest.mark.law("R7")
def test_demonstrations_score_0_on_average_and_the_folder_scores_the_same_when_loaded_again(trained, inputs):
    """Law R7: after the bias step the mean score on demonstrations is 0; saved and reloaded the score is identical."""
    lines = [json.loads(line) for line in (inputs["demonstrations"] / "data.jsonl").read_text().splitlines()]
    prompts, responses = [line["prompt"] for line in lines], [[line["response"]] for line in lines]
    scores = torch.cat(scoring.load(trained.output_dir).score(prompts, responses))
    assert float(scores.mean()) == pytest.approx(0, abs=1e-5)
    again = torch.cat(scoring.load(trained.output_dir).score(prompts, responses))
    assert torch.equal(scores, again)


def test_plain_transformers_loads_the_folder_and_gives_the_same_raw_logit(trained):
    plain = AutoModelForSequenceClassification.from_pretrained(trained.output_dir)
    tokenizer = AutoTokenizer.from_pretrained(trained.output_dir)
    assert plain.config.num_labels == 1
    scorer = scoring.load(trained.output_dir)
    prompt = [{"role": "user", "content": "say it"}]
    ours = scorer.score([prompt], [["aeiou", "xyz"]])[0]
    for text, score in zip(["aeiou", "xyz"], ours.tolist(), strict=True):
        start = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(start + text + tokenizer.eos_token, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            logit = float(plain(input_ids=ids["input_ids"]).logits)
        assert logit == pytest.approx(score * plain.config.reward_std + plain.config.reward_mean, abs=1e-5)


def test_texts_and_ids_get_the_same_score(trained):
    scorer = scoring.load(trained.output_dir)
    messages = [{"role": "user", "content": "say it"}]
    ids = [scorer.encoder.response_ids(text) for text in ("aeiou", "bcd")]
    by_ids = scorer.score_ids([scorer.encoder.prompt_ids(messages)], [ids])
    assert torch.equal(by_ids[0], scorer.score([messages], [["aeiou", "bcd"]])[0])
    assert scorer.score([[]], [["aeiou"]])[0].isfinite().all()
    assert scorer.shares_tokenizer(tiny.encoder())


@pytest.mark.law("R9")
def test_it_stops_when_the_valid_loss_rises_and_keeps_the_best_step(inputs, tmp_path):
    """Law R9: learning noise by heart raises the valid log-loss; early stop fires and the best look is published."""
    lines = tiny.ranking_lines(60)
    for number, line in enumerate(lines):  # annotators who roll dice
        order = torch.randperm(4, generator=torch.Generator().manual_seed(number)).tolist()
        for place, rank in zip(line["judgements"][0]["placements"], order, strict=True):
            place["rank"] = rank + 1
    noise = tiny.dataset(tmp_path / "noise", lines)
    config = FAST | {"epochs": 40, "evaluations": 20, "patience": 2, "learning_rate": 5e-3}
    run = tiny.run(tmp_path / "run", "rewardmodel.train", inputs | {"rankings": noise}, config)
    train(run)
    evaluation = card_of(run)["evaluation"]
    assert evaluation["steps"] < 40 * 6
    looks = {e["step"]: e["values"]["rm/log_loss"] for e in tiny.events(run, "metrics") if "rm/log_loss" in e["values"]}
    assert looks[evaluation["best_step"]] == min(looks.values())
    assert evaluation["valid"]["log_loss"]["value"] == pytest.approx(min(looks.values()), abs=1e-5)


@pytest.mark.law("J5")
def test_how_a_step_is_split_changes_nothing(inputs, tmp_path):
    """Micro-batches of one prompt or of all give the same losses."""
    losses = []
    for limit in (1, 10_000):
        run = tiny.run(tmp_path / str(limit), "rewardmodel.train", inputs, FAST | {"micro_batch_tokens": limit})
        train(run)
        losses.append([e["values"]["rm/loss"] for e in tiny.events(run, "metrics") if "rm/loss" in e["values"]])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


class _StopAfter:
    """A stop signal that is raised at the n-th time that somebody looks."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def requested(self):
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("looks", [0, 1, 7, 23, 40])
@pytest.mark.law("J2")
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bytes(inputs, tmp_path, looks):
    """Law J2: asked to stop at any poll, a resume publishes the same bytes as an unbroken run."""
    config = FAST | {"savepoint_every_seconds": 0.0}
    whole = tiny.run(tmp_path / "whole", "rewardmodel.train", inputs, config)
    train(whole)
    broken = tiny.run(tmp_path / "broken", "rewardmodel.train", inputs, config)
    broken.stop = _StopAfter(looks)
    with pytest.raises(Interrupted):
        train(broken)
    again = open_run(tmp_path / "broken")
    train(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


@pytest.mark.law("J2")
def test_killed_in_mid_flight_it_resumes_to_the_same_bytes_and_metrics(inputs, tmp_path):
    """Law J2: kill -9 of the program, then another attempt: bytes and metrics are those of an unbroken run."""
    config = FAST | {"savepoint_every_seconds": 0.0, "epochs": 2}
    whole = tiny.run(tmp_path / "whole", "rewardmodel.train", inputs, config)
    train(whole)
    broken = tiny.run(tmp_path / "broken", "rewardmodel.train", inputs, config)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "rewardmodel", str(broken.folder), "--attempt", "1"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as program:
        while program.poll() is None and not list(broken.attempt_dir.glob("savepoints/step-*")):
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    assert not artifacts.is_whole(broken.output_dir)
    again = open_run(broken.folder, 2)
    assert again.last_savepoint() is not None
    train(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)
    assert _curves(broken, again) == _curves(whole)


def _curves(*runs):
    return {(e["step"], n): v for run in runs for e in tiny.events(run, "metrics") for n, v in e["values"].items()}


def test_nothing_to_learn_from_and_malformed_lines_are_refused_by_name(inputs, tmp_path):
    none = tiny.dataset(tmp_path / "none", [line | {"judgements": []} for line in tiny.ranking_lines(3)])
    with pytest.raises(NoRankings, match="no judged ranking"):
        train(tiny.run(tmp_path / "a", "rewardmodel.train", inputs | {"rankings": none}, FAST))
    lines = tiny.ranking_lines(3)
    del lines[1]["responses"]
    bad = tiny.dataset(tmp_path / "bad", lines)
    with pytest.raises(RecordError, match=r"line 2: responses"):
        train(tiny.run(tmp_path / "b", "rewardmodel.train", inputs | {"rankings": bad}, FAST))


def test_the_shell_scores_a_file_and_names_a_bad_line(trained, tmp_path, capsys):
    from rewardmodel.__main__ import score  # noqa: PLC0415

    file = tmp_path / "texts.jsonl"
    file.write_text('{"prompt": "say it", "response": "aeiou"}\n{"prompt": "", "responses": ["aeiou", "xx"]}\n')
    assert score([str(file), "--model", str(trained.output_dir)]) == 0
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert isinstance(one["reward"], float)
    assert one["prompt"] == "say it"
    assert len(two["rewards"]) == 2
    file.write_text('{"prompt": "a", "response": "b"}\n{"prompt": 3, "response": "b"}\n')
    assert score([str(file), "--model", str(trained.output_dir)]) == 1
    assert "line 2: prompt" in capsys.readouterr().err
