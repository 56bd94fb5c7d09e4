"""The short way through a backbone gives the states and gradients that `transformers` gives a text by itself."""

from __future__ import annotations

import pytest
import tiny
import torch

from training.lm import attention, backbone, blocks, kernels, segments
from training.lm.packing import Conversation, PackedConversations
from training.lm.trees import Tree, TreeBatch

FAMILIES = ("llama", "qwen2", "qwen3", "gpt2")
TREES = [Tree([5, 6, 7], [[8, 9], [10, 11, 12, 13]]), Tree([14], [[15, 16, 17], [18]])]
TEXTS = [[5, 6, 7, 8, 9, 10, 11], [12], [13, 14, 15, 16]]


@pytest.fixture(params=["loops", "segments", "padded"])
def way(request, monkeypatch):
    """How it is computed: by loops of machine code, by PyTorch segment by segment, or by PyTorch on padded operands."""
    if request.param != "loops":
        monkeypatch.setattr(kernels, "suit", lambda *_: False)
    if request.param == "padded":
        monkeypatch.setattr(segments, "suit", lambda *_: False)
    return request.param


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny.causal_lm(request.param)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten().clone() for p in model.base_model.parameters() if p.grad is not None])


def difference(one, other):
    return float((one - other).detach().norm() / other.detach().norm())


def weights(states):
    """As many as there are numbers in the states: a sum with them depends on each."""
    return torch.linspace(-1, 1, states.numel()).view_as(states)


def alone(model, texts):
    return [model.base_model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0] for ids in texts]


def test_packed_texts_have_the_states_and_gradients_that_they_have_alone(model, way):
    wanted = torch.cat(alone(model, TEXTS))
    slope = gradients(model, (wanted * weights(wanted)).sum())
    model.set_attn_implementation(attention.NAME)
    found = blocks.states(
        model.base_model, PackedConversations([Conversation(ids, [True] * len(ids)) for ids in TEXTS])
    )
    assert difference(found, wanted) < 1e-5
    assert difference(gradients(model, (found * weights(found)).sum()), slope) < 1e-5


def test_only_the_states_that_responses_are_read_from_are_computed_to_the_end(model, way):
    model.set_attn_implementation(attention.NAME)
    batch = TreeBatch(TREES)
    whole = blocks.states(model.base_model, batch)[batch.read_at]
    slope = gradients(model, (whole * weights(whole)).sum())
    found = blocks.response_states(model.base_model, batch)
    assert difference(found, whole) < 1e-5
    assert difference(gradients(model, (found * weights(found)).sum()), slope) < 1e-5
    assert torch.equal(batch.read_at[batch.before_each], batch.predicted_at)
    assert torch.equal(batch.read_at[batch.after_last], batch.last_at)


def test_trees_have_the_states_and_gradients_that_their_responses_have_alone(model, way):
    each = alone(model, [[*tree.prompt, *response] for tree in TREES for response in tree.responses])
    ends = torch.stack([states[-1] for states in each])
    within = torch.cat([states[-2:-1] for states in each])
    slope = gradients(model, (ends * weights(ends)).sum() + within.square().sum())
    model.set_attn_implementation(attention.NAME)
    batch = TreeBatch(TREES)
    found = blocks.states(model.base_model, batch)
    before = torch.stack(
        [found[batch.predicted_at[row, n - 1]] for row, n in enumerate(batch.response_lengths.tolist())]
    )
    assert difference(found[batch.last_at], ends) < 1e-5
    assert difference(blocks.last_states(model.base_model, batch), ends) < 1e-5
    loss = (found[batch.last_at] * weights(ends)).sum() + before.square().sum()
    assert difference(gradients(model, loss), slope) < 1e-5


def test_dropout_is_never_skipped(model):
    model.set_attn_implementation(attention.NAME)
    model.train()
    pack = PackedConversations([Conversation(ids, [True] * len(ids)) for ids in TEXTS])
    still = blocks.states(model.base_model, pack)
    dropout = backbone.ResidualDropout(model, 0.5)
    assert difference(blocks.states(model.base_model, pack), still) > 0.1
    dropout.remove()
    backbone.no_dropout(model)
    assert torch.equal(blocks.states(model.base_model, pack), still)
    backbone.set_dropout(model, 0.5)  # in attention, where the backbone has no other
    assert difference(blocks.states(model.base_model, pack), still) > 0.01
