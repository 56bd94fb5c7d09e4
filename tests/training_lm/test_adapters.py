"""Adapters train a little of a model, can be taken away again, and leave no trace in what is published."""

from __future__ import annotations

import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from training.lm import adapters, backbone, optim, savepoints
from training.size import AnySize

IDS = torch.arange(4, 24).view(1, 20)
SIZE = AnySize(lora_rank=3, lora_alpha=6)


def adapted(family="llama", size=SIZE):
    model = tiny.causal_lm(family).eval()
    before = model(IDS).logits.detach()
    adapters.attach(model, size)
    return model, before


def shake(model):
    """Give the adapters weights that matter."""
    with torch.no_grad():
        for parameter in adapters.trainable(model):
            parameter.normal_(std=0.1)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_new_adapters_change_nothing_and_only_they_are_trained(family):
    model, before = adapted(family)
    assert torch.equal(model(IDS).logits, before)
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names
    assert all(".lora_" in name for name in names)
    assert sum(p.numel() for p in adapters.trainable(model)) < 0.3 * backbone.parameter_count(model)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_without_its_adapters_a_trained_model_is_the_one_it_started_from(family):
    model, before = adapted(family)
    shake(model)
    after = model(IDS).logits
    assert not torch.allclose(after, before)
    with adapters.without(model):
        assert torch.equal(model(IDS).logits, before)
    assert torch.equal(model(IDS).logits, after)
    assert adapters.trainable(model)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_what_is_published_is_an_ordinary_checkpoint_that_computes_the_same(tmp_path, family):
    model, _ = adapted(family)
    shake(model)
    backbone.save_policy(tmp_path, model, tiny.encoder())
    assert sorted(path.name for path in tmp_path.glob("*adapter*")) == []
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits, atol=1e-4, rtol=1e-4)
    assert backbone.parameter_count(loaded) == backbone.parameter_count(tiny.causal_lm(family))


def test_a_reward_model_keeps_its_head_trainable_and_is_published_whole(tmp_path):
    policy = tiny.policy(tmp_path / "policy")
    model, encoder = backbone.scorer_from_policy(policy, seed=1)
    adapters.attach(model, SIZE, also_train=("score",))
    assert model.score.weight.requires_grad
    assert not model.model.embed_tokens.weight.requires_grad
    shake(model)
    backbone.save_scorer(tmp_path / "scorer", model, encoder)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "scorer").eval()
    torch.testing.assert_close(loaded(IDS).logits, model.eval()(IDS).logits, atol=1e-4, rtol=1e-4)


def test_two_sets_of_adapters_share_one_backbone_and_learn_apart():
    model, before = adapted()
    adapters.attach(model, SIZE, name="value")
    first = {id(p) for name, p in model.named_parameters() if ".default." in name}
    assert first < {id(p) for p in adapters.trainable(model)}
    shake(model)
    with adapters.using(model, "default"):
        one = model(IDS).logits
        one.sum().backward()
    assert all(p.grad is None for name, p in model.named_parameters() if ".value." in name)
    with adapters.using(model, "value"):
        assert not torch.allclose(model(IDS).logits, one)
    with adapters.without(model):
        assert torch.equal(model(IDS).logits, before)
    assert adapters.active(model) == "value"


def test_named_layers_get_adapters_and_a_name_that_fits_none_is_refused():
    model, _ = adapted(size=AnySize(lora_rank=2, lora_targets=("q_proj",)))
    assert {name.split(".")[4] for name, p in model.named_parameters() if p.requires_grad} == {"q_proj"}
    with pytest.raises(adapters.NoSuchLayer, match="no layer of LlamaForCausalLM is called key_layer"):
        adapted(size=AnySize(lora_rank=2, lora_targets=("key_layer",)))


def test_an_optimiser_and_a_savepoint_hold_what_is_trained_and_no_more(tmp_path):
    model, _ = adapted()
    optimizer = optim.adamw(model, learning_rate=0.1)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in adapters.trainable(model)}
    shake(model)
    savepoints.save(tmp_path, {"model": savepoints.Trained(model)}, {})
    other, _ = adapted()
    savepoints.restore(tmp_path, {"model": savepoints.Trained(other)})
    for (name, one), (_, two) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(one, two), name
    saved = (tmp_path / "state.pt").stat().st_size
    assert saved < 4 * sum(p.numel() for p in adapters.trainable(model)) + 40_000
