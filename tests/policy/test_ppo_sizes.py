"""PPO at any size: a shared trunk, adapters, bfloat16, activations computed twice, and several processes."""

from __future__ import annotations

import json

import pytest
import ranks
import tiny
import torch
from ppo_cast import FAST, Cast, teach
from transformers import AutoModelForCausalLM

from policy.__main__ import KINDS
from policy.critic import Critic
from policy.learner import minibatches
from policy.selfcheck import SelfCheckFailed, self_check
from training import artifacts
from training.config import ConfigError
from training.lm import adapters
from training.program import open_run

WAYS = {
    "separate": {},
    "shared": {"value_model": "shared"},
    "adapters": {"lora_rank": 3},
    "adapters, shared": {"lora_rank": 3, "value_model": "shared"},
    "activations computed twice": {"activation_checkpointing": True},
}
ways = pytest.mark.parametrize("way", WAYS)


def start_of(way):
    return "nobody" if way == "adapters" else "reward"


@ways
@pytest.mark.law("P1")
def test_in_every_way_the_first_ratios_are_1_and_stay_so_without_a_learning_rate(inputs, way):
    """Law P1, for each way to share memory."""
    cast = Cast(inputs, critic_from=start_of(way), **WAYS[way])
    learner = cast.learner(learning_rate=1e-30, value_learning_rate=1e-30, value_coef=1e-9, micro_batch_tokens=60)
    for trees in minibatches(4, 2, epochs=2, seed=1, step=0):
        sums = learner.update(cast.experience, trees)
        assert sums["approx_kl"] / sums["tokens"] < 1e-9
        assert sums["clip_fraction"] == 0


@ways
@pytest.mark.law("P2")
def test_in_every_way_the_reference_is_the_policy_at_first_and_not_after_a_step(inputs, way):
    """Law P2, with adapters too: with them off, it is the policy that they started from."""
    cast = Cast(inputs, critic_from=start_of(way), **WAYS[way])
    is_reward = cast.critic.reads == "own"
    self_check(cast.team, cast.rollout, cast.verdict, cast.config, critic_is_reward=is_reward)
    before = cast.rollout.ref_logprobs
    learner = cast.learner(learning_rate=1e-2, value_learning_rate=1e-2)
    for _ in range(3):
        learner.update(cast.experience, [0, 1, 2, 3])
    after = Cast.again(cast)
    assert torch.allclose(after.ref_logprobs, before, atol=1e-4), "the reference does not move"
    assert not torch.allclose(after.logprobs, before, atol=1e-2), "the policy does"


@ways
@pytest.mark.law("P6")
def test_in_every_way_a_split_minibatch_gives_the_same_gradient(inputs, way):
    """Law P6, for each way to share memory."""
    found = []
    for micro in (1, 4096):
        cast = Cast(inputs, critic_from=start_of(way), **WAYS[way])
        learner = cast.learner(micro_batch_tokens=micro)
        learner._drop_gradients = lambda: None
        sums = learner.update(cast.experience, [3, 0, 1])
        grads = [p.grad.flatten() for ps in learner.parameters.values() for p in ps if p.grad is not None]
        found.append((torch.cat(grads), sums))
    assert (found[1][0] - found[0][0]).norm() / found[0][0].norm() < 1e-4
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-3, abs=1e-3)


def test_activations_that_are_computed_twice_change_no_gradient(inputs):
    flat = []
    for again in (False, True):
        cast = Cast(inputs, activation_checkpointing=again)
        learner = cast.learner()
        learner._drop_gradients = lambda: None
        learner.update(cast.experience, [0, 1])
        flat.append(torch.cat([p.grad.flatten() for ps in learner.parameters.values() for p in ps]))
    assert torch.allclose(flat[0], flat[1], atol=1e-7)


def test_a_shared_trunk_learns_from_both_losses_and_in_the_warm_up_not_at_all(inputs):
    cast = Cast(inputs, value_model="shared")
    assert cast.critic.trunk is None
    trunk = [p.clone() for p in cast.policy.parameters()]
    learner = cast.learner(value_learning_rate=1e-2)
    learner.update(cast.experience, [0, 1], critic_only=True)
    assert all(torch.equal(a, b) for a, b in zip(trunk, cast.policy.parameters(), strict=True))
    assert float(cast.critic.head.weight.detach().abs().sum()) > 0
    gradients = []
    for coef in (1e-9, 10.0):
        fresh = Cast(inputs, value_model="shared")
        torch.nn.init.ones_(fresh.critic.head.weight)
        one = fresh.learner(value_coef=coef, max_grad_norm=1e9)
        one._drop_gradients = lambda: None
        one.update(fresh.experience, [0, 1])
        gradients.append(torch.cat([p.grad.flatten() for p in fresh.policy.parameters()]))
    assert not torch.allclose(*gradients, atol=1e-4)


@pytest.mark.law("P8")
def test_with_adapters_the_critic_is_the_judge_with_adapters_on_and_knows_its_rewards(inputs):
    """Law P8: one copy of the reward model's weights serves judge and critic, and V at the last token is the reward."""
    from rewardmodel import scoring  # noqa: PLC0415

    scorer = scoring.load(inputs["reward"])
    critic = Critic.from_scorer(scorer.model, "cpu")
    assert critic.trunk is scorer.model.base_model
    cast = Cast(inputs | {"loaded": scorer.model}, critic_from="loaded", lora_rank=2)
    assert torch.allclose(cast.rollout.end_values, cast.raw, atol=1e-4)
    learner = cast.learner(value_learning_rate=0.1)
    for _ in range(3):
        learner.update(cast.experience, [0, 1, 2, 3], critic_only=True)
    with adapters.without(scorer.model):
        ids = [[a.ids for a in row] for row in cast.rollout.answers]
        again = torch.cat(scorer.score_ids([p.ids for p in cast.rollout.prompts], ids))
    assert torch.allclose(again, cast.raw, atol=1e-4), "what the critic learns changes no reward"


def test_with_adapters_and_no_reward_model_policy_and_critic_learn_apart_on_one_trunk(inputs):
    cast = Cast(inputs, critic_from="nobody", lora_rank=3)
    assert cast.critic.reads == "adapters"
    learner = cast.learner(learning_rate=1e-2, value_learning_rate=1e-2)
    mine = {name: [p.detach().clone() for p in ps] for name, ps in learner.parameters.items()}
    learner.update(cast.experience, [0, 1], critic_only=True)
    assert all(torch.equal(a, b) for a, b in zip(mine["policy"], learner.parameters["policy"], strict=True))
    learner.update(cast.experience, [0, 1])
    for name, parameters in learner.parameters.items():
        assert any(not torch.equal(a, b) for a, b in zip(mine[name], parameters, strict=True)), name


@ways
@pytest.mark.law("P9")
def test_in_every_way_a_run_resumes_to_the_same_bytes_and_publishes_an_ordinary_checkpoint(inputs, tmp_path, way):
    """Law P9, for each way to share memory; adapters are merged into what is published."""
    config = FAST | WAYS[way] | {"steps": 2, "savepoint_every_seconds": 0.0, "ema": 0.5}
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, config)
    KINDS["policy.ppo"](run)
    again = open_run(run.folder)
    KINDS["policy.ppo"](again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(run.output_dir)
    model = AutoModelForCausalLM.from_pretrained(run.output_dir)
    start = AutoModelForCausalLM.from_pretrained(inputs["policy"]).state_dict()
    assert model.state_dict().keys() == start.keys()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in model.state_dict().items())


def test_in_bfloat16_ratios_start_at_1_within_its_rounding_and_the_gap_is_reported(inputs, tmp_path):
    cast = Cast(inputs, precision="bfloat16")
    assert cast.team.is_half
    learner = cast.learner(micro_batch_tokens=70)
    sums = learner.update(cast.experience, [0, 1])
    assert sums["approx_kl"] / sums["tokens"] < 1e-3
    assert "sampler_gap" in cast.experience.figures
    run = teach(tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"precision": "bfloat16", "steps": 2}), inputs)
    steps = [e["values"] for e in tiny.events(run, "metrics") if "ppo/kl" in e["values"]]
    assert all(0 <= step["ppo/sampler_gap"] < 1 for step in steps)
    assert AutoModelForCausalLM.from_pretrained(run.output_dir).dtype == torch.float32


def test_dropout_in_adapters_is_refused(inputs):
    with pytest.raises(ConfigError, match="random"):
        Cast(inputs, lora_rank=2, lora_dropout=0.1)


def test_adapters_that_do_not_start_at_nothing_are_named(inputs):
    cast = Cast(inputs, critic_from="nobody", lora_rank=3)
    with torch.no_grad():
        for parameter in cast.learner().parameters["policy"]:
            parameter.fill_(0.05)
    crooked = Cast.again(cast)
    with pytest.raises(SelfCheckFailed, match="adapters do not start at zero"):
        self_check(cast.team, crooked, cast.verdict, cast.config, critic_is_reward=False)


# --- Several processes ---------------------------------------------------------------------------

TWO = {
    "ddp": {"parallel": "ddp"},
    "fsdp": {"parallel": "fsdp"},
    "fsdp, shared": {"parallel": "fsdp", "value_model": "shared"},
    "ddp, adapters": {"parallel": "ddp", "lora_rank": 3},
}
FIGURES = ("reward", "kl", "policy_loss", "value_loss", "clip_fraction", "grad_norm", "value_grad_norm", "length")
SETTINGS = {"steps": 2, "critic_warmup_steps": 1, "rollout_prompts": 5, "minibatch_prompts": 5, "evaluation_prompts": 3}
BROKEN = ("fsdp", "ddp, adapters")


@pytest.fixture(scope="module")
def two(inputs, tmp_path_factory):
    """What two ranks did, in each way: a whole run, and one that was interrupted and taken up again."""
    home, orders = tmp_path_factory.mktemp("two"), []
    for name, way in TWO.items():
        config = FAST | SETTINGS | way | {"processes": 2, "micro_batch_tokens": 60, "ema": 0.5}
        for kind, order in (("whole", [":1"]), ("broken", [":1:9", ":2"]))[: 1 + (name in BROKEN)]:
            folder = home / name / kind
            folder.mkdir(parents=True)
            job = {"job": "1", "kind": "policy.ppo", "seed": 1, "config": config, "device": "cpu"}
            job["inputs"] = {key: str(path) for key, path in inputs.items()}
            (folder / "job.json").write_text(json.dumps(job))
            orders += [f"{folder}{end}" for end in order]
    ranks.torchrun("jobs", *orders, timeout=280)
    return home


@pytest.mark.law("J6")
@pytest.mark.parametrize("way", TWO)
def test_two_processes_do_what_one_does(inputs, two, tmp_path, way):
    """Law J6: given the same rollouts, losses are those of one process to 1e-5 while the weights are the same."""
    alone = tiny.run(tmp_path / "alone", "policy.ppo", inputs, FAST | SETTINGS | TWO[way] | {"micro_batch_tokens": 60})
    KINDS["policy.ppo"](alone)
    mine, theirs = tiny.curves(alone), tiny.curves(open_run(two / way / "whole", 1))
    assert mine.keys() == theirs.keys()
    for name in FIGURES:
        if (1, f"ppo/{name}") in mine:
            assert theirs[1, f"ppo/{name}"] == pytest.approx(mine[1, f"ppo/{name}"], rel=1e-5, abs=1e-5), name
    for name in ("reward", "kl", "value_loss", "length"):
        assert theirs[2, f"ppo/{name}"] == pytest.approx(mine[2, f"ppo/{name}"], rel=1e-3, abs=1e-4), name


@pytest.mark.law("P9")
@pytest.mark.parametrize("way", BROKEN)
def test_two_processes_resume_to_the_same_bytes(two, way):
    whole, broken = (open_run(two / way / kind, attempt) for kind, attempt in (("whole", 1), ("broken", 2)))
    assert tiny.events(open_run(two / way / "broken", 1), "note")[-1]["text"] == "interrupted"
    assert artifacts.digest_of(broken.output_dir) == artifacts.digest_of(whole.output_dir)
    assert tiny.curves(open_run(two / way / "broken", 1), broken) == tiny.curves(whole)
