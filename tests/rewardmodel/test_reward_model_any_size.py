"""Two ranks learn a reward model as one process does, whole or in parts, and a broken run goes on to the same bytes."""

from __future__ import annotations

import json

import pytest
import ranks
import tiny
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from rewardmodel import scoring
from rewardmodel.train import train
from training import artifacts

FAST = {"learning_rate": 2e-3, "batch_prompts": 5, "evaluations": 2, "patience": 0, "heads": 4, "precision": "float32"}
WAYS = {
    "ddp": {"parallel": "ddp"},
    "fsdp": {"parallel": "fsdp", "rater_model": "learned"},
    "lora": {"parallel": "ddp", "lora_rank": 3, "activation_checkpointing": True},
}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each way in two ranks, one of them broken and resumed besides, and each in one process."""
    home = tmp_path_factory.mktemp("any-size")
    inputs = {
        "policy": tiny.policy(home / "policy"),
        "rankings": tiny.dataset(home / "rankings", tiny.ranking_lines(40, annotators=2)),
    }
    orders = []
    made = {}
    for name, way in WAYS.items():
        made[name] = tiny.run(home / name, "rewardmodel.train", inputs, FAST | way | {"processes": 2})
        orders.append(f"{made[name].folder}:1")
    broken = tiny.run(home / "broken", "rewardmodel.train", inputs, FAST | WAYS["fsdp"] | {"processes": 2})
    ranks.torchrun("jobs", *orders, f"{broken.folder}:1:9", f"{broken.folder}:2")
    alone = {}
    for name, way in WAYS.items():
        alone[name] = tiny.run(home / f"{name}-alone", "rewardmodel.train", inputs, FAST | way)
        train(alone[name])
    return made, alone, broken


def losses(run, name="rm/loss"):
    return [event["values"][name] for event in tiny.events(run, "metrics") if name in event["values"]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.law("J6")
def test_two_ranks_have_the_losses_of_one_process(runs, way):
    """Law J6: same losses to 1e-5 in float32, of the main head, of the ensemble, and on the valid rankings."""
    two, one = runs[0][way], runs[1][way]
    for name in ("rm/loss", "rm/heads_loss", "rm/log_loss", "rm/grad_norm"):
        assert losses(two, name) == pytest.approx(losses(one, name), rel=1e-4, abs=1e-5)
    assert len(losses(two)) == 7


@pytest.mark.parametrize("way", WAYS)
def test_what_two_ranks_publish_is_what_one_process_publishes(runs, way):
    two, one = (some[way].attempt_dir / "output" for some in runs[:2])
    prompt = [{"role": "user", "content": "say it"}]
    scores = [scoring.load(folder).score_with_spread([prompt], [["aeiou", "xyz"]])[0] for folder in (two, one)]
    assert torch.allclose(scores[0].members, scores[1].members, atol=1e-3)
    assert torch.allclose(scores[0].score, scores[1].score, atol=1e-3)
    plain = AutoModelForSequenceClassification.from_pretrained(two)
    assert plain.config.num_labels == 1
    said = [json.loads((folder / "card.json").read_text())["evaluation"]["valid"]["accuracy"] for folder in (two, one)]
    assert said[0] == said[1]


@pytest.mark.law("J2")
def test_two_ranks_that_were_stopped_go_on_to_the_same_bytes(runs):
    """Law J2: asked to stop in the middle, and taken up again, two ranks publish what they would have without it."""
    whole, broken = runs[0]["fsdp"].attempt_dir / "output", runs[2].folder / "attempt-2" / "output"
    assert not artifacts.is_whole(runs[2].folder / "attempt-1" / "output")
    for name in ("model.safetensors", "heads.safetensors"):
        one, other = load_file(whole / name), load_file(broken / name)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert artifacts.digest_of(whole) == artifacts.digest_of(broken)
