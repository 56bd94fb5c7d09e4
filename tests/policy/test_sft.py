"""Fine-tuning: the loss falls on the assistant's words only, and the best checkpoint is the one that is kept."""

from __future__ import annotations

import json

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from policy import sft
from policy.__main__ import KINDS
from policy.config import SFTConfig
from training import artifacts
from training.config import ConfigError
from training.lm import backbone, distributed, savepoints
from training.program import Interrupted, open_run
from training.records import DemonstrationLine, Message, TextLine, write_lines

CONFIG = {
    "epochs": 3,
    "batch_conversations": 4,
    "micro_batch_tokens": 64,
    "learning_rate": 0.01,
    "dropout": 0.1,
    "evaluations_per_epoch": 2,
    "precision": "float32",
    "savepoint_every_seconds": 0.0,
}


def demonstration(number, response, split="train", prompt=None):
    messages = prompt or (Message("user", f"say {number}"),)
    return DemonstrationLine(
        id=str(number),
        split=split,
        group=str(number),
        prompt=messages,
        response=response,
        annotator=None,
        source="test",
        simulated=False,
    )


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations")
    lines = [demonstration(i, f"ab{'ab' * (i % 3)}.", "valid" if i % 5 == 4 else "train") for i in range(20)]
    write_lines(lines, folder, kind="demonstrations")
    return folder


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    write_lines([TextLine(text="A goat sat on a hill. " * 60, split="train")], folder, kind="text")
    return folder


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return tiny.policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def unbroken(policy, demonstrations, tmp_path_factory):
    inputs = {"policy": policy, "demonstrations": demonstrations}
    run = tiny.run(tmp_path_factory.mktemp("unbroken"), "policy.sft", inputs, CONFIG)
    sft.sft(run)
    return run


def test_it_learns_what_was_shown(unbroken):
    valid = [loss for _, loss in tiny.metrics(unbroken, "sft/valid_loss")]
    assert valid[-1] < 0.7 * valid[0]
    model = AutoModelForCausalLM.from_pretrained(unbroken.output_dir)
    assert model.dtype == torch.float16


@pytest.mark.law("J2")
@pytest.mark.parametrize("stop", [0, 1, 4, 10])
@pytest.mark.parametrize(("share", "optimizer"), [(0.0, "adamw"), (0.4, "muon")])
def test_stopping_and_going_on_changes_no_byte(policy, demonstrations, text, tmp_path, stop, share, optimizer):
    inputs = {"policy": policy, "demonstrations": demonstrations, "text": text}
    config = {**CONFIG, "text_share": share, "text_context": 16, "optimizer": optimizer}
    whole = tiny.run(tmp_path / "whole", "policy.sft", inputs, config)
    sft.sft(whole)
    first = tiny.run(tmp_path / "broken", "policy.sft", inputs, config)
    first.stop = tiny.StopsAfter(stop)
    with pytest.raises(Interrupted):
        sft.sft(first)
    second = open_run(tmp_path / "broken")
    sft.sft(second)
    assert artifacts.digest_of(second.output_dir) == artifacts.digest_of(whole.output_dir)
    for name in ("sft/loss", "sft/valid_loss"):
        assert tiny.metrics(first, name) + tiny.metrics(second, name) == tiny.metrics(whole, name)


def test_the_words_of_the_user_and_of_earlier_turns_carry_no_loss(tmp_path):
    model, encoder = tiny.causal_lm(), tiny.encoder()
    prompt = (Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    write_lines([demonstration(1, "four", prompt=prompt)], tmp_path / "data", kind="demonstrations")
    run = tiny.run(tmp_path / "run", "policy.sft", {"demonstrations": tmp_path / "data"}, CONFIG)
    for turns, wanted in (("last", ["four"]), ("all", ["two", "four"])):
        (conversation,) = sft._read(run, encoder, model, SFTConfig(turns=turns)).train
        learnt = [token for token, learn in zip(conversation.ids, conversation.learn, strict=True) if learn]
        assert learnt == [token for text in wanted for token in encoder.response_ids(text)]


def test_the_loss_is_the_mean_over_the_tokens_of_the_responses(policy, demonstrations, tmp_path):
    model, encoder = backbone.load_policy(policy)
    run = tiny.run(tmp_path, "policy.sft", {"demonstrations": demonstrations}, CONFIG)
    valid = sft._read(run, encoder, model, SFTConfig()).valid
    nats, tokens = 0.0, 0
    for conversation in valid:
        logits = model(torch.tensor([conversation.ids])).logits[0].log_softmax(-1)
        for place, learn in enumerate(conversation.learn):
            if learn:
                nats -= float(logits[place - 1, conversation.ids[place]].detach())
                tokens += 1
    model.set_attn_implementation("laurel")
    for limit in (1, 50, 1000):
        config = SFTConfig(precision="float32", micro_batch_tokens=limit)
        assert sft.valid_loss(distributed.Spread(model), valid, config) == pytest.approx(nats / tokens, rel=1e-4)


def test_the_size_of_micro_batches_changes_no_loss(policy, demonstrations, tmp_path):
    losses = []
    for limit in (16, 1000):
        inputs = {"policy": policy, "demonstrations": demonstrations}
        config = {**CONFIG, "dropout": 0.0, "micro_batch_tokens": limit, "epochs": 1}
        run = tiny.run(tmp_path / str(limit), "policy.sft", inputs, config)
        sft.sft(run)
        losses.append([loss for _, loss in tiny.metrics(run, "sft/loss")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_checkpoint_with_the_lowest_valid_loss_is_kept(policy, tmp_path):
    """One demonstration is learnt by heart, so the loss on the others turns and rises."""
    lines = [demonstration(0, "abc"), demonstration(1, "xyzxyz", "valid")]
    write_lines(lines, tmp_path / "data", kind="demonstrations")
    inputs = {"policy": policy, "demonstrations": tmp_path / "data"}
    config = {**CONFIG, "epochs": 25, "learning_rate": 0.01, "dropout": 0.0, "evaluations_per_epoch": 1}
    run = tiny.run(tmp_path / "run", "policy.sft", inputs, config)
    sft.sft(run)
    looks = tiny.metrics(run, "sft/valid_loss")[1:]
    step, best = min(looks, key=lambda look: look[1])
    card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
    assert (card["chosen_step"], card["valid_loss"]) == (step, best)
    assert step < card["steps"]
    model, encoder = backbone.load_policy(run.output_dir)
    model.set_attn_implementation("laurel")
    valid = sft._read(open_run(tmp_path / "run"), encoder, model, SFTConfig()).valid
    kept = sft.valid_loss(distributed.Spread(model), valid, SFTConfig(precision="float32"))
    assert kept == pytest.approx(best, abs=0.01)


def test_without_valid_demonstrations_the_last_step_is_kept_and_said(policy, tmp_path):
    write_lines([demonstration(0, "abc")], tmp_path / "data", kind="demonstrations")
    run = tiny.run(tmp_path / "run", "policy.sft", {"policy": policy, "demonstrations": tmp_path / "data"}, CONFIG)
    sft.sft(run)
    assert any("the last step is what will be kept" in event["text"] for event in tiny.events(run, "note"))
    assert json.loads((run.output_dir / "card.json").read_text())["evaluation"]["chosen_step"] == CONFIG["epochs"]


def test_a_long_conversation_loses_its_oldest_turns_and_one_too_long_by_itself_is_left_out_and_counted(tmp_path):
    """The tiny model sees 256 tokens, one a letter."""
    model, encoder = tiny.causal_lm(), tiny.encoder()
    rules, old, new = Message("system", "Be kind."), Message("user", "a" * 200), Message("user", "b" * 20)
    lines = [
        demonstration(0, "abc"),
        demonstration(1, "a" * 400),
        demonstration(2, "c" * 30, prompt=(rules, old, Message("assistant", "oh"), new)),
    ]
    write_lines(lines, tmp_path / "data", kind="demonstrations")
    run = tiny.run(tmp_path / "run", "policy.sft", {"demonstrations": tmp_path / "data"}, CONFIG)
    kept = sft._read(run, encoder, model, SFTConfig()).train
    assert kept[1].ids == encoder.conversation([rules, new, Message("assistant", "c" * 30)])[0]
    assert len(kept) == 2
    (note,) = tiny.events(run, "note")
    assert "1 lost their oldest turns, to fit into the model's 256 tokens" in note["text"]
    assert "1 are longer than that by their last turns alone" in note["text"]


def test_the_step_whose_responses_score_highest_is_kept_and_every_look_asks_the_same_prompts(
    policy, demonstrations, tmp_path
):
    """A judge that likes nothing but the third look."""
    asked, looks = [], iter([0.0, -1.0, 0.5, 0.25, -2.0, -3.0, 0.0])

    def judge(prompts, texts, ended):
        asked.append(prompts)
        assert len(prompts) == len(texts) == len(ended) == 3
        score = next(looks)
        return [torch.tensor([score]) for _ in texts]

    inputs = {"policy": policy, "demonstrations": demonstrations}
    config = {**CONFIG, "reward_prompts": 3, "reward_max_new_tokens": 4}
    run = tiny.run(tmp_path, "policy.sft", inputs, config)
    sft.sft(run, judge)
    steps = [step for step, _ in tiny.metrics(run, "sft/valid_reward")]
    card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
    assert (card["chosen_by"], card["chosen_step"], card["valid_reward"]) == ("reward", steps[2], 0.5)
    assert all(prompts == asked[0] for prompts in asked)


def test_a_reward_model_given_to_the_job_is_what_chooses(policy, demonstrations, tmp_path):
    inputs = {"policy": policy, "demonstrations": demonstrations, "reward": tiny.scorer(tmp_path / "scorer", policy)}
    config = {**CONFIG, "epochs": 1, "reward_prompts": 2, "reward_max_new_tokens": 4}
    run = tiny.run(tmp_path / "run", "policy.sft", inputs, config)
    KINDS["policy.sft"](run)
    rewards = tiny.metrics(run, "sft/valid_reward")
    card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
    assert card["valid_reward"] == max(reward for step, reward in rewards if step)


def test_nothing_to_learn_from_is_refused_by_name(policy, tmp_path):
    write_lines([demonstration(0, "abc", "valid")], tmp_path / "data", kind="demonstrations")
    run = tiny.run(tmp_path / "run", "policy.sft", {"policy": policy, "demonstrations": tmp_path / "data"}, CONFIG)
    with pytest.raises(sft.NoDemonstrations):
        sft.sft(run)


def test_a_share_of_text_without_text_is_refused_by_its_setting(policy, demonstrations, tmp_path):
    inputs = {"policy": policy, "demonstrations": demonstrations}
    run = tiny.run(tmp_path, "policy.sft", inputs, {**CONFIG, "text_share": 0.5})
    with pytest.raises(ConfigError) as caught:
        sft.sft(run)
    assert list(caught.value.fields) == ["text_share"]


def test_a_share_of_text_keeps_the_model_closer_to_the_text(policy, demonstrations, text, tmp_path):
    nats = {}
    ids = torch.tensor([tiny.encoder().plain_ids("A goat sat on a hill. " * 5)])
    for share in (0.0, 0.5):
        inputs = {"policy": policy, "demonstrations": demonstrations, "text": text}
        run = tiny.run(tmp_path / str(share), "policy.sft", inputs, {**CONFIG, "text_share": share, "text_context": 32})
        sft.sft(run)
        model, _ = backbone.load_policy(run.output_dir)
        nats[share] = float(model(ids, labels=ids).loss.detach())
    assert nats[0.5] < nats[0.0]


def test_every_demonstration_is_read_once_an_epoch_in_an_order_of_its_own():
    conversations = [sft.Conversation([number], [True]) for number in range(10)]
    plan = sft.Plan(conversations, [], 0, SFTConfig(epochs=3, batch_conversations=4), 1)
    assert (plan.steps_per_epoch, plan.steps) == (3, 9)
    epochs = [[one.ids[0] for step in range(3) for one in plan.batch(3 * epoch + step)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_there_are_as_many_looks_in_an_epoch_as_were_asked_for(looks):
    conversations = [sft.Conversation([number], [True]) for number in range(30)]
    plan = sft.Plan(conversations, [], 0, SFTConfig(epochs=2, batch_conversations=4, evaluations_per_epoch=looks), 1)
    steps = [step for step in range(1, plan.steps + 1) if sft._is_look(step, plan)]
    assert len(steps) == 2 * looks
    assert plan.steps in steps


def test_the_best_weights_are_a_copy_and_only_more_merit_replaces_them():
    model = torch.nn.Linear(1, 1)
    best = sft.Best(savepoints.Trained(model))
    first = model.weight.detach().clone()
    best.put()
    best.consider(-2.0, 1, {"sft/valid_loss": 2.0})
    with torch.no_grad():
        model.weight += 1
    best.consider(-3.0, 2, {"sft/valid_loss": 3.0})
    best.put()
    assert (best.step, best.figures) == (1, {"sft/valid_loss": 2.0})
    assert torch.equal(model.weight, first)
