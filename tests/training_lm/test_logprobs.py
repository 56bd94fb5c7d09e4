"""The cross entropy that never holds all logits."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch.nn import functional

from training.lm import logprobs
from training.lm.logprobs import linear_cross_entropy, trunk_and_head


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 5, 100])
def test_the_chunked_loss_and_its_gradients_are_those_of_the_plain_one(bias, chunk):
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 11, bias=bias)
    hidden = torch.randn(5, 6, requires_grad=True)
    targets, weights = torch.tensor([0, 10, 3, 3, 7]), torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0])
    wanted = (functional.cross_entropy(head(hidden), targets, reduction="none") * weights).sum() * 3
    expected = torch.autograd.grad(wanted, [hidden, *head.parameters()])
    got = linear_cross_entropy(hidden, head, targets, weights, chunk=chunk) * 3
    torch.testing.assert_close(got, wanted)
    for one, other in zip(torch.autograd.grad(got, [hidden, *head.parameters()]), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_no_more_logits_exist_at_once_than_the_chunk_allows(monkeypatch):
    sizes = []
    original = logprobs.weigh_
    monkeypatch.setattr(logprobs, "weigh_", lambda x, *rest: (sizes.append(len(x)), original(x, *rest))[1])
    linear_cross_entropy(torch.randn(50, 4), torch.nn.Linear(4, 9), torch.zeros(50, dtype=torch.int64), chunk=8)
    assert max(sizes) == 8


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_trunk_and_head_together_are_the_model(family):
    model = tiny.causal_lm(family).eval()
    trunk, head = trunk_and_head(model)
    ids = torch.arange(12).view(1, 12)
    torch.testing.assert_close(head(trunk(input_ids=ids).last_hidden_state), model(input_ids=ids).logits)


def test_a_model_that_bends_its_logits_is_refused():
    model = tiny.causal_lm()
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping"):
        trunk_and_head(model)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("has_loops", [True, False])
def test_weights_of_logits_are_their_softmax_before_it_is_divided(temperature, has_loops, monkeypatch):
    if not has_loops:
        monkeypatch.setattr(logprobs.kernels, "suit", lambda *_: False)
    logits = torch.randn(7, 300) * 5
    targets, early = torch.randint(300, (7,)), torch.tensor([True, False] * 3 + [False])
    barred = logits.clone()
    barred[early, 4] = -torch.inf
    expected = (barred / temperature).log_softmax(-1)
    said, totals = logprobs.weigh_(logits, targets, temperature=temperature, early=early, end_id=4)
    torch.testing.assert_close(said, expected.gather(-1, targets.unsqueeze(-1)).squeeze(-1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits / totals.unsqueeze(-1), expected.exp(), atol=1e-6, rtol=1e-4)
    assert torch.equal(logits.amax(-1), torch.ones(7))
