"""Before the first update PPO refuses a wrong set-up and names the cause: each cause is made, and found by name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tiny
import torch
from ppo_cast import FAST, Cast, teach

from policy.__main__ import KINDS
from policy.config import PPOConfig
from policy.preflight import NotEnoughMemory, check_ends, memory, preflight
from policy.rollout import Answer
from policy.selfcheck import SelfCheckFailed, self_check
from training.lm import backbone
from training.lm.encoder import BadTokenizer, Encoder
from training.program import open_run

KIND_INPUTS = {"policy.sft": ("policy", "demonstrations"), "policy.sample": ("policy", "prompts")}


@pytest.fixture
def cast(inputs):
    return Cast(inputs, min_new_tokens=3)


def check(cast, rollout=None, *, raw=None, config=None):
    verdict = cast.verdict if raw is None else type(cast.verdict).of(raw)
    return self_check(cast.team, rollout or cast.rollout, verdict, config or cast.config, critic_is_reward=True)


def resampled(cast, logprobs):
    logprobs = logprobs.masked_fill(~cast.rollout.response_mask, 0)
    return replace(cast.rollout, logprobs=logprobs, sampled_logprobs=logprobs)


@pytest.mark.law("P2")
def test_a_right_set_up_passes_and_says_how_exact_it_is(cast):
    """Law P2: at step 0 the KL is 0 per token, and the gap between sampler and trainer is bounded and reported."""
    found = check(cast)
    assert found["sampler_gap"] < 1e-4
    assert found["first_kl"] < 1e-4
    assert found["first_value_error"] < 1e-4


@pytest.mark.law("P1")
def test_dropout_that_is_on_is_named(cast):
    layer = cast.policy.model.layers[1].self_attn
    layer.attention_dropout = 0.5
    cast.policy.train()
    with pytest.raises(SelfCheckFailed, match=r"dropout is on \(p = 0.5 in model.layers.1.self_attn"):
        check(cast)


def test_a_policy_that_answers_by_chance_is_named(cast):
    layer = cast.policy.model.layers[0].mlp.down_proj
    layer.register_forward_hook(lambda _, __, out: out + torch.randn_like(out))
    with pytest.raises(SelfCheckFailed, match="random numbers"):
        check(cast)


@pytest.mark.parametrize(("drawn", "learnt"), [(1.0, 0.7), (0.7, 1.0), (0.49, 0.7)])
def test_another_temperature_is_named_with_its_number(inputs, drawn, learnt):
    cast = Cast(inputs, temperature=drawn)
    with pytest.raises(SelfCheckFailed, match=f"drawn at temperature {drawn:g} and are learnt at {learnt:g}"):
        check(cast, config=replace(cast.config, temperature=learnt))


def test_a_sampler_that_cuts_off_unlikely_tokens_is_named(cast):
    """The importance ratio of a top-p sampler is biased: it shares out what it cut off, and the trainer does not."""
    shares = torch.rand(cast.rollout.logprobs.shape, generator=torch.Generator().manual_seed(1)) * 0.3
    with pytest.raises(SelfCheckFailed, match="top_k, top_p"):
        check(cast, resampled(cast, cast.rollout.logprobs + shares))


def test_padding_that_reaches_shorter_prompts_is_named(cast):
    noise = torch.randn(cast.rollout.logprobs.shape, generator=torch.Generator().manual_seed(2)) * 0.3
    noise[-cast.config.responses_per_prompt :] = 0  # the longest prompt comes last
    with pytest.raises(SelfCheckFailed, match="shorter than the longest"):
        check(cast, resampled(cast, cast.rollout.logprobs + noise))


def test_a_gap_without_a_known_cause_is_refused_all_the_same(cast):
    noise = torch.randn(cast.rollout.logprobs.shape, generator=torch.Generator().manual_seed(3)) * 0.3
    with pytest.raises(SelfCheckFailed, match="acts differently"):
        check(cast, resampled(cast, cast.rollout.logprobs + noise))
    with pytest.raises(SelfCheckFailed):
        check(cast, resampled(cast, cast.rollout.logprobs * torch.nan))


@pytest.mark.law("P2")
def test_a_reference_that_is_another_model_is_named(cast):
    with torch.no_grad():
        cast.team.reference.model.norm.weight.mul_(1.5)
    off = replace(cast.rollout, ref_logprobs=cast.rollout.ref_logprobs - 0.1)
    with pytest.raises(SelfCheckFailed, match=r"not the same checkpoint \(model.norm.weight differs\)"):
        check(cast, off)
    cast.team.reference.half()
    with pytest.raises(SelfCheckFailed, match="different precisions"):
        check(cast, off)


def test_a_reference_that_was_asked_differently_is_named(cast):
    with pytest.raises(SelfCheckFailed, match="asked differently"):
        check(cast, replace(cast.rollout, ref_logprobs=cast.rollout.ref_logprobs - 0.1))


@pytest.mark.law("P8")
def test_a_reward_that_leaves_the_end_out_is_named(cast):
    """The reward of a pad = end set-up, or of an evaluation that omits the end token, is read one token early."""
    last = cast.rollout.response_mask.sum(-1, keepdim=True) - 1
    with pytest.raises(SelfCheckFailed, match="one token early"):
        check(cast, raw=cast.rollout.values.gather(1, last).squeeze(1))


@pytest.mark.law("P8")
def test_another_normalisation_is_named_with_its_numbers(cast):
    with pytest.raises(SelfCheckFailed, match=r"reward = 2 · value \+ 0.5"):
        check(cast, raw=2 * cast.rollout.end_values + 0.5)


@pytest.mark.law("P8")
def test_text_that_is_encoded_anew_is_named(cast):
    noise = torch.randn(len(cast.raw), generator=torch.Generator().manual_seed(4))
    with pytest.raises(SelfCheckFailed, match=r"other tokens than the policy wrote|another prompt"):
        check(cast, raw=cast.raw + noise)
    row = cast.rollout.answers[0]
    answers = [[replace(row[0], text="something else"), *row[1:]], *cast.rollout.answers[1:]]
    with pytest.raises(SelfCheckFailed, match="other tokens than the policy wrote"):
        check(cast, replace(cast.rollout, answers=answers), raw=cast.raw + noise)


def test_wrong_ends_are_named(cast):
    eos, pad = cast.encoder.eos_id, cast.encoder.pad_id

    def with_first(answer):
        return replace(cast.rollout, answers=[[answer, *cast.rollout.answers[0][1:]], *cast.rollout.answers[1:]])

    with pytest.raises(SelfCheckFailed, match="goes on after its end token"):
        check(cast, with_first(Answer((7, eos, 8), "", finished=False)))
    with pytest.raises(SelfCheckFailed, match="said to have ended"):
        check(cast, with_first(Answer((7, 8), "", finished=True)))
    padded = [[Answer((7, pad), "", finished=False) for _ in row] for row in cast.rollout.answers]
    with pytest.raises(SelfCheckFailed, match="pad token"):
        check(cast, replace(cast.rollout, answers=padded))


# --- Before anything is loaded -------------------------------------------------------------------


def test_a_template_that_ends_turns_with_another_token_is_refused_with_the_mend(tmp_path):
    """A chat model whose eos_token is not what closes its turns never seems to end."""
    encoder = tiny.encoder()
    check_ends(encoder, tmp_path)
    encoder.tokenizer.chat_template = tiny.TEMPLATE.replace("<end>", "<user>")
    with pytest.raises(BadTokenizer, match="set eos_token to '<user>'"):
        check_ends(Encoder(encoder.tokenizer), tmp_path)


@pytest.mark.parametrize("kind", ["policy.sft", "policy.sample"])
def test_such_a_policy_is_refused_before_it_is_fine_tuned_or_writes(inputs, tmp_path, kind):
    """Or PPO would be the first to say so, days later."""
    odd = tmp_path / "odd"
    odd.mkdir()
    for file in inputs["policy"].iterdir():
        (odd / file.name).write_bytes(file.read_bytes())
    (odd / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("<end>", "<user>"))
    (odd / "model.safetensors").unlink()  # it is found before the weights are read
    shown = inputs | {"policy": odd, "demonstrations": inputs["prompts"]}
    run = tiny.run(tmp_path / "run", kind, {name: shown[name] for name in KIND_INPUTS[kind]}, {})
    with pytest.raises(BadTokenizer, match="set eos_token to '<user>'"):
        KINDS[kind](run)


def test_the_beginning_token_stands_once_where_the_template_has_it_and_never_in_a_response():
    """A tokenizer that adds its own beginning to what a template begins with costs a reward model its accuracy."""
    tokenizer = tiny.encoder().tokenizer
    tokenizer.add_special_tokens({"bos_token": "<begin>"})
    tokenizer.chat_template = "<begin>" + tiny.TEMPLATE
    encoder = Encoder(tokenizer)
    prompt = encoder.prompt_ids([{"role": "user", "content": "hi"}])
    assert [prompt[0], prompt.count(tokenizer.bos_token_id)] == [tokenizer.bos_token_id, 1]
    assert tokenizer.bos_token_id not in encoder.response_ids("hi")


def test_pad_that_is_the_end_is_refused_before_the_job_begins(inputs, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in inputs["policy"].iterdir():
        (bad / file.name).write_bytes(file.read_bytes())
    settings = json.loads((bad / "tokenizer_config.json").read_text())
    (bad / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": settings["eos_token"]}))
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs | {"policy": bad}, FAST)
    with pytest.raises(BadTokenizer, match="pad token is the end token"):
        teach(run, inputs)


def test_what_does_not_fit_is_refused_with_what_each_part_takes_and_what_would_take_less(inputs, tmp_path, monkeypatch):
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST)
    monkeypatch.setattr("policy.preflight.free_memory", lambda _: 2**18)
    with pytest.raises(NotEnoughMemory, match=r"policy .*reference .*value model .*lora_rank.*value_model shared"):
        preflight(run, PPOConfig(), torch.device("cpu"), critic_from=inputs["reward"])
    monkeypatch.setattr("policy.preflight.free_memory", lambda _: 2**23)
    preflight(run, PPOConfig(), torch.device("cpu"), critic_from=inputs["reward"])
    assert "It may not fit" in tiny.events(run, "note")[-1]["text"]


def test_the_memory_of_weights_is_what_their_sizes_say(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST)
    count = backbone.parameter_count(backbone.load_policy(inputs["policy"])[0])
    scorer = backbone.parameter_count(backbone.load_scorer(inputs["reward"])[0])

    def needs(**settings):
        config = PPOConfig(**settings)
        return memory(run, config, torch.device("cpu"), critic_from=inputs["reward"])

    full = needs()
    assert full["policy"] == 16 * count
    assert full["reference"] == 4 * count
    assert full["value model"] == 16 * scorer
    assert full["reward model"] == 4 * scorer
    assert "value model" not in needs(value_model="shared")
    adapted = needs(lora_rank=2)
    assert adapted["reference"] == 0
    assert adapted["policy"] < full["policy"] / 2
    assert needs(ema=0.99)["averages and good states"] == 4 * count
    assert needs(processes=2, parallel="fsdp")["policy"] == full["policy"] // 2
    assert needs(activation_checkpointing=True)["activations"] < full["activations"]


def test_the_job_states_its_memory_and_how_it_checked_itself(inputs, tmp_path):
    run = teach(tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"steps": 1}), inputs)
    assert any(e["text"].startswith("Memory: about") for e in tiny.events(run, "note"))
    said = {name: v for e in tiny.events(run, "metrics") if e["step"] == 0 for name, v in e["values"].items()}
    assert said["ppo/sampler_gap"] < 1e-4
    assert open_run(run.folder).attempt == 2
