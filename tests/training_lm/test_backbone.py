"""Models are ordinary transformers folders."""

from __future__ import annotations

import json

import pytest
import tiny
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    pipeline,
)

from training.lm import backbone
from training.lm.encoder import BadTokenizer
from training.lm.generation import Generator, Sampling

IDS = torch.arange(4, 24).view(1, 20)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_a_saved_policy_is_loaded_by_plain_transformers(tmp_path, family):
    model = tiny.causal_lm(family).eval()
    backbone.save_policy(tmp_path, model, tiny.encoder())
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    turn = [{"role": "user", "content": "Hi"}]
    wanted = tiny.encoder().prompt_ids(turn)
    assert tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False) == wanted


def test_a_plain_pipeline_talks_with_a_saved_policy_and_hears_what_our_engine_says(tmp_path):
    model, encoder, turn = tiny.causal_lm().eval(), tiny.encoder(), [{"role": "user", "content": "Hi"}]
    backbone.save_policy(tmp_path, model, encoder)
    said = pipeline("text-generation", model=str(tmp_path))(turn, max_new_tokens=8, do_sample=False)
    ((ours,),) = Generator(model, end_id=encoder.eos_id, pad_id=encoder.pad_id).generate(
        [encoder.prompt_ids(turn)],
        keys=["talk"],
        responses_per_prompt=1,
        sampling=Sampling(max_new_tokens=8, temperature=0),
    )
    assert said[0]["generated_text"][-1] == {"role": "assistant", "content": encoder.text(ours.ids)}


def test_a_model_says_how_much_it_reads_and_one_without_positions_has_no_limit(tmp_path):
    positioned, endless = (
        tiny.causal_lm(),
        BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)),
    )
    for model, wanted in ((positioned, positioned.config.max_position_embeddings), (endless, backbone.NO_LIMIT)):
        folder = tmp_path / type(model).__name__
        model.save_pretrained(folder)
        assert backbone.context_of(model) == backbone.context_of(folder) == wanted


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_half_precision_halves_the_file_and_ties_stay_ties(tmp_path, family):
    model = tiny.causal_lm(family).eval()
    kept = next(model.parameters()).clone()
    backbone.save_policy(tmp_path / "half", model, tiny.encoder(), dtype=torch.float16)
    backbone.save_policy(tmp_path / "full", model, tiny.encoder())
    half, full = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "full"))
    assert full < 4 * backbone.parameter_count(model) + 10_000
    assert half < 0.6 * full
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "float16"
    assert torch.equal(next(model.parameters()), kept)
    loaded, _ = backbone.load_policy(tmp_path / "half")
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, atol=0.05, rtol=0.05)


def test_a_scorer_starts_with_a_small_random_head_that_the_seed_decides(tmp_path):
    folder = tiny.policy(tmp_path / "policy")
    one, _ = backbone.scorer_from_policy(folder, seed=1)
    same, _ = backbone.scorer_from_policy(folder, seed=1)
    other, _ = backbone.scorer_from_policy(folder, seed=2)
    assert torch.equal(one.score.weight, same.score.weight)
    assert not torch.equal(one.score.weight, other.score.weight)
    trunk, _ = backbone.load_policy(folder)
    torch.testing.assert_close(one.model.embed_tokens.weight, trunk.model.embed_tokens.weight)


def test_a_saved_scorer_gives_identical_scores_and_keeps_its_normalisation(tmp_path):
    folder = tiny.scorer(tmp_path / "scorer", tiny.policy(tmp_path / "policy"), mean=0.25, std=2.0)
    model, encoder = backbone.load_scorer(folder)
    assert (model.config.reward_mean, model.config.reward_std) == (0.25, 2.0)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = torch.tensor([encoder.response_ids("a kite")])
    assert torch.equal(plain(ids).logits, model.eval()(ids).logits)


def test_a_scorer_without_its_normalisation_is_not_saved(tmp_path):
    model, encoder = backbone.scorer_from_policy(tiny.policy(tmp_path / "policy"), seed=1)
    del model.config.reward_mean
    with pytest.raises(backbone.BadModel, match="reward_mean"):
        backbone.save_scorer(tmp_path / "scorer", model, encoder)


def test_a_tokenizer_with_more_entries_than_the_model_is_refused(tmp_path):
    backbone.save_policy(tmp_path, tiny.causal_lm(vocabulary=200), tiny.encoder())
    with pytest.raises(BadTokenizer, match="resize_token_embeddings"):
        backbone.load_policy(tmp_path)


def test_a_folder_without_a_model_is_refused_by_name(tmp_path):
    with pytest.raises(backbone.BadModel, match=r"config\.json"):
        backbone.load_policy(tmp_path)


def test_dropout_acts_in_training_only_and_can_be_taken_off():
    model = tiny.causal_lm().eval()
    quiet = model(IDS).logits
    dropout = backbone.ResidualDropout(model, 0.5)
    torch.testing.assert_close(model(IDS).logits, quiet)
    model.train()
    assert not torch.allclose(model(IDS).logits, quiet)
    dropout.remove()
    backbone.no_dropout(model)
    torch.testing.assert_close(model(IDS).logits, quiet)
