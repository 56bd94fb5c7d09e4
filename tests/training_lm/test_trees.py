"""Trees: a prompt and its K responses in one pass, the same numbers as one pass a response."""

from __future__ import annotations

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.lm import attention
from training.lm.trees import Tree, TreeBatch, by_tokens, read

FAMILIES = ("llama", "gpt2", "qwen3")
ids = st.lists(st.integers(4, 259), min_size=1, max_size=7)
trees = st.builds(Tree, ids, st.lists(ids, min_size=1, max_size=4))


@pytest.fixture(scope="module", params=FAMILIES)
def trunk(request):
    model = tiny.causal_lm(request.param)
    model.set_attn_implementation(attention.NAME)
    return model.base_model


@given(st.lists(trees, min_size=1, max_size=4))
@settings(deadline=None, max_examples=15)
def test_every_response_reads_as_if_it_stood_alone_after_its_prompt(trunk, some):
    batch = TreeBatch(some)
    with torch.no_grad():
        hidden = read(trunk, batch)
        alone = [
            trunk(input_ids=torch.tensor([[*tree.prompt, *response]])).last_hidden_state[0]
            for tree in some
            for response in tree.responses
        ]
    row = 0
    for tree in some:
        for response in tree.responses:
            own = hidden[batch.response_at[row, : len(response)]]
            assert torch.allclose(own, alone[row][len(tree.prompt) :], atol=1e-5)
            before = hidden[batch.predicted_at[row, : len(response)]]
            assert torch.allclose(before, alone[row][len(tree.prompt) - 1 : -1], atol=1e-5)
            row += 1


@given(st.lists(trees, min_size=1, max_size=5))
def test_every_token_is_computed_once(some):
    batch = TreeBatch(some)
    assert batch.token_count == sum(len(t.prompt) + sum(map(len, t.responses)) for t in some)
    assert batch.response_lengths.tolist() == [len(r) for t in some for r in t.responses]
    assert batch.response_ids[batch.response_mask].tolist() == [i for t in some for r in t.responses for i in r]
    assert batch.ids[0, batch.last_at].tolist() == [r[-1] for t in some for r in t.responses]


def test_gradients_equal_those_of_one_pass_a_response():
    model = tiny.causal_lm()
    model.set_attn_implementation(attention.NAME)
    some = [Tree([5, 6, 7], [[8, 9], [10, 11, 12, 13]]), Tree([14], [[15, 16, 17], [18]])]

    def gradients(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten().clone() for p in model.parameters() if p.grad is not None])

    batch = TreeBatch(some)
    packed = gradients(read(model.base_model, batch)[batch.last_at].square().sum())
    naive = gradients(
        sum(
            model.base_model(input_ids=torch.tensor([[*t.prompt, *r]])).last_hidden_state[0, -1].square().sum()
            for t in some
            for r in t.responses
        )
    )
    assert (packed - naive).norm() / naive.norm() < 1e-5


@given(st.lists(trees, min_size=1, max_size=12), st.integers(1, 40))
def test_batches_hold_every_tree_once_and_keep_to_their_size(some, limit):
    groups = list(by_tokens(enumerate(some), limit))
    assert [i for group in groups for i in group] == list(range(len(some)))
    assert all(len(group) == 1 or sum(some[i].token_count for i in group) <= limit for group in groups)


@pytest.mark.parametrize(("prompt", "responses"), [([], [[1]]), ([1], []), ([1], [[1], []])])
def test_a_tree_without_a_prompt_or_with_an_empty_response_is_refused(prompt, responses):
    with pytest.raises(ValueError, match="tree"):
        Tree(prompt, responses)
