"""Packing wastes no token, doubles none, and lets no text see another."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.lm import attention
from training.lm.packing import (
    Conversation,
    Document,
    PackedConversations,
    by_length,
    packs_of_ranks,
    reading_windows,
    text_windows,
)

END, PAD = 1, 0
documents = st.lists(st.lists(st.integers(2, 9), max_size=30), min_size=1, max_size=5)


def arrays(texts):
    return [np.array(text, dtype=np.int32) for text in texts]


@given(documents, st.integers(2, 16))
def test_reading_windows_predict_every_token_exactly_once(texts, context):
    windows, real = reading_windows(arrays(texts), context=context, eos_id=END, pad_id=PAD)
    predicted = windows[:, 1:][real]
    assert predicted.tolist() == [token for text in texts for token in [*text, END]]
    assert (windows[1:, 0] == windows[:-1, -1]).all()


@given(documents, st.integers(2, 16), st.integers(0, 99), st.integers(0, 9))
def test_windows_of_text_are_a_pure_function_and_always_full(texts, context, seed, epoch):
    pieces = [Document(ids) for ids in arrays(texts)]
    options = {"context": context, "eos_id": END, "seed": seed, "epoch": epoch}
    windows = text_windows(pieces, **options)
    assert windows.shape[1] == context + 1
    assert len(windows) > 0
    assert np.array_equal(windows, text_windows(pieces, **options))


def test_an_epoch_reads_every_token_about_once_and_no_two_epochs_are_cut_alike():
    text = Document(np.arange(2, 10_002, dtype=np.int32))
    seen = []
    for epoch in range(3):
        windows = text_windows([text], context=16, eos_id=END, seed=1, epoch=epoch)
        targets = Counter(windows[:, 1:].flatten().tolist())
        assert max(targets.values()) == 1
        assert len(targets) > 10_000 - 2 * 16
        seen.append({tuple(window) for window in windows.tolist()})
    assert not seen[0] & seen[1] & seen[2]


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.5])
def test_a_weight_is_how_often_a_text_is_read(weight):
    light = Document(np.full(50, 5, dtype=np.int32), weight)
    plain = Document(np.full(50, 6, dtype=np.int32))
    counts = Counter()
    for epoch in range(1500):
        windows = text_windows([light, plain], context=4, eos_id=END, seed=3, epoch=epoch)
        counts.update(windows[:, 1:].flatten().tolist())
    assert counts[5] / counts[6] == pytest.approx(weight, rel=0.15)


lengths = st.lists(st.integers(2, 12), min_size=1, max_size=6)


def conversations_of(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Conversation(
            torch.randint(2, 250, (size,), generator=generator).tolist(),
            (torch.rand(size, generator=generator) < 0.6).tolist(),
        )
        for size in sizes
    ]


@given(lengths, st.integers(1, 30))
def test_packs_hold_every_conversation_once_and_keep_the_limit(sizes, limit):
    conversations = conversations_of(sizes)
    packs = by_length(conversations, limit)
    assert sorted(id(one) for pack in packs for one in pack) == sorted(map(id, conversations))
    assert all(len(pack) == 1 or sum(len(one.ids) for one in pack) <= limit for pack in packs)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_a_packed_conversation_is_read_as_if_it_were_alone(family):
    model = tiny.causal_lm(family).eval()
    conversations = conversations_of([7, 3, 12, 5])
    alone = [model(input_ids=torch.tensor([one.ids])).logits[0] for one in conversations]
    model.set_attn_implementation(attention.NAME)
    batch = PackedConversations(conversations)
    packed = model(input_ids=batch.ids, position_ids=batch.position_ids, layout=batch.layout, use_cache=False).logits[0]
    torch.testing.assert_close(packed, torch.cat(alone), atol=2e-5, rtol=1e-4)


@given(lengths, st.integers(0, 99))
def test_targets_are_exactly_the_tokens_that_are_to_be_learnt(sizes, seed):
    conversations = conversations_of(sizes, seed)
    batch = PackedConversations(conversations)
    for number, conversation in enumerate(conversations):
        wanted = [
            token
            for place, (token, learn) in enumerate(zip(conversation.ids, conversation.learn, strict=True))
            if learn and place > 0
        ]
        assert batch.targets[batch.conversation_of == number].tolist() == wanted


def test_an_empty_pack_is_refused():
    with pytest.raises(ValueError, match="at least one conversation"):
        PackedConversations([])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 100), st.integers(1, 5))
def test_ranks_share_a_batch_evenly_and_take_equally_many_packs(lengths, limit, ranks):
    conversations = [Conversation([number] * length, [True] * length) for number, length in enumerate(lengths)]
    shares = packs_of_ranks(conversations, limit, ranks)
    real = [[piece.ids[0] for pack, weight in share if weight for piece in pack] for share in shares]
    assert sorted(number for own in real for number in own) == list(range(len(lengths)))
    tokens = [sum(lengths[number] for number in own) for own in real]
    assert max(tokens) - min(tokens) <= max(lengths)
    assert len({len(share) for share in shares}) == 1
    if ranks == 1:
        assert [pack for pack, _ in shares[0]] == by_length(conversations, limit)
