"""PPO-ptx: pre-training gradients in the same buffer, and what it does to what the policy knew."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from ppo_cast import FAST, Cast, teach

from policy import ptx
from policy.ptx import TextStream
from training import artifacts
from training.lm.packing import Document
from training.program import open_run
from training.records import TextLine, write_lines
from training.texts import NoText

DOCUMENTS = [Document(np.arange(4, 4 + 30 + 7 * i, dtype=np.int32) % 256) for i in range(5)]


def stream(context=16, seed=1):
    return TextStream(DOCUMENTS, context=context, eos_id=1, seed=seed)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = [TextLine(text="A goat sat on a hill. " * 20, split=split) for split in ("train", "train", "valid")]
    write_lines(lines, folder, kind="text")
    return folder


def gradients(cast, **settings):
    """Gradient of the policy in one step, the sums that were reported, and the same for the critic."""
    learner = cast.learner(**settings)
    learner._drop_gradients = lambda: None
    sums = learner.update(cast.experience, [0, 2])
    flat = [torch.cat([p.grad.flatten() for p in parameters]) for parameters in learner.parameters.values()]
    for model in (cast.policy, cast.critic):
        model.zero_grad(set_to_none=True)
    return flat[0], flat[1], sums


@pytest.mark.parametrize("micro", [60, 4096])
@pytest.mark.law("P13")
def test_the_gradient_is_that_of_ppo_plus_gamma_times_that_of_the_text(inputs, micro):
    """Law P13: gradient = g_PPO + gamma * g_LM, however the text is split."""
    settings = {"max_grad_norm": 1e9, "learning_rate": 1e-30, "value_learning_rate": 1e-30, "micro_batch_tokens": micro}

    def found(coef):
        cast = Cast(inputs, text=stream())
        return (cast, *gradients(cast, ptx_coef=coef, ptx_examples_per_episode=0.5, ptx_context=16, **settings))

    cast, plain, plain_critic, sums = found(0.0)
    assert "ptx_loss" not in sums
    windows = ptx.windows_for(2 * cast.config.responses_per_prompt, 0.5)
    loss = ptx.text_nats(cast.policy, stream().peek(windows), "float32") / (windows * 16)
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(cast.policy.parameters()))])
    for gamma in (1.0, 27.8):
        _, mixed, critic, sums = found(gamma)
        assert (mixed - plain - gamma * wanted).norm() / mixed.norm() < 1e-4
        assert torch.equal(critic, plain_critic)
        assert sums["ptx_loss"] / sums["tokens"] == pytest.approx(float(loss.detach()), rel=1e-4)


@pytest.mark.law("P13")
def test_with_gamma_0_it_is_plain_ppo_to_the_byte(inputs, text, tmp_path):
    """Law P13: gamma = 0 equals plain PPO exactly; the text is only looked at."""
    plain = teach(tiny.run(tmp_path / "plain", "policy.ppo", inputs, FAST), inputs)
    looked = teach(tiny.run(tmp_path / "looked", "policy.ppo", inputs | {"text": text}, FAST), inputs)
    weights = [(run.output_dir / "model.safetensors").read_bytes() for run in (plain, looked)]
    assert weights[0] == weights[1]
    seen = [e["values"] for e in tiny.events(looked, "metrics") if "ppo/valid_text_loss" in e["values"]]
    assert len(seen) == 2


def test_with_text_mixed_in_the_policy_forgets_less_of_it(inputs, text, tmp_path):
    config = FAST | {"steps": 8, "learning_rate": 3e-3, "kl_coef": 0.0, "ptx_context": 32, "evaluations": 1}
    config |= {"ptx_examples_per_episode": 0.5}
    losses = {}
    for gamma in (0.0, 5.0):
        run = tiny.run(tmp_path / str(gamma), "policy.ppo", inputs | {"text": text}, config | {"ptx_coef": gamma})
        teach(run, inputs)
        card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
        losses[gamma] = card["after"]["ppo/valid_text_loss"] - card["before"]["ppo/valid_text_loss"]
    assert losses[5.0] < losses[0.0]
    assert losses[5.0] < 0, "it even learns it"


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 3))
def test_the_stream_gives_every_window_once_and_goes_on_from_its_place(counts, seed):
    whole, broken = stream(seed=seed), stream(seed=seed)
    for number, count in enumerate(counts):
        if number == len(counts) // 2:
            state = json.loads(json.dumps(broken.state_dict()))
            broken = stream(seed=seed)
            broken.load_state_dict(state)
        assert np.array_equal(whole.peek(count), broken.peek(count))
        assert len(whole.peek(count)) == count
        whole.advance(count)
        broken.advance(count)
    total, again = sum(counts), stream(seed=seed)
    assert np.array_equal(again.peek(total + 3)[total:], whole.peek(3))


@pytest.mark.law("P9")
def test_a_run_with_text_resumes_to_the_same_bytes(inputs, text, tmp_path):
    config = FAST | {
        "ptx_coef": 2.0,
        "ptx_context": 16,
        "ptx_examples_per_episode": 0.5,
        "savepoint_every_seconds": 0.0,
    }
    run = teach(tiny.run(tmp_path / "run", "policy.ppo", inputs | {"text": text}, config), inputs)
    again = open_run(run.folder)
    teach(again, inputs)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(run.output_dir)


def test_text_that_is_not_there_is_refused_by_name(inputs, tmp_path):
    run = tiny.run(tmp_path / "none", "policy.ppo", inputs, FAST | {"ptx_coef": 1.0})
    with pytest.raises(NoText, match="input text"):
        teach(run, inputs)
    empty = tmp_path / "empty"
    write_lines([TextLine(text="Only to look at.", split="valid")], empty, kind="text")
    run = tiny.run(tmp_path / "empty run", "policy.ppo", inputs | {"text": empty}, FAST | {"ptx_coef": 1.0})
    with pytest.raises(NoText, match="split train"):
        teach(run, inputs)
