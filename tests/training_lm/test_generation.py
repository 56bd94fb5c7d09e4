"""Sampling: K responses a prompt, each from a random stream of its own, with honest log-probabilities."""

from __future__ import annotations

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.config import PPOConfig
from training.config import ConfigError
from training.lm import adapters, attention
from training.lm.drawing import draw, stream
from training.lm.generation import Generator, Sampling

PROMPTS = [[5, 6, 7, 8, 9, 10], [11], [12, 13], [14, 15, 16], [17, 18], [19, 20, 21, 22], [23]]
KEYS = [f"p{i}" for i in range(len(PROMPTS))]
FAMILIES = ["llama", "qwen2", "qwen3", "gpt2"]


def generator(family="llama", **options):
    model = tiny.causal_lm(family)
    model.set_attn_implementation(attention.NAME)
    return Generator(model, end_id=1, pad_id=0, **options)


@pytest.fixture(scope="module")
def llama():
    return generator()


def ask(one, prompts, keys, sampling, responses=3, **options):
    return one.generate(prompts, keys=keys, responses_per_prompt=responses, sampling=sampling, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likeliest_words_are_those_that_transformers_finds(family):
    one = generator(family, slot_count=3)
    ours = ask(one, PROMPTS, KEYS, Sampling(max_new_tokens=12, temperature=0), responses=2)
    plain = tiny.causal_lm(family)
    for prompt, responses in zip(PROMPTS, ours, strict=True):
        theirs = plain.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=12,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=1,
        )
        assert [r.ids for r in responses] == [theirs[0, len(prompt) :].tolist()] * 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.law("P2")
def test_sampled_logprobs_are_those_of_a_full_pass_at_the_same_temperature(family):
    """Law P2, generation engine: log-probabilities of sampling and of a full forward pass differ by less than 1e-4."""
    one = generator(family, slot_count=2)
    cut = Sampling(max_new_tokens=16, temperature=0.7, top_k=20, top_p=0.8, min_new_tokens=6, seed=3)
    plain = tiny.causal_lm(family)
    for prompt, responses in zip(PROMPTS, ask(one, PROMPTS, KEYS, cut), strict=True):
        for response in responses:
            with torch.no_grad():
                logits = plain(torch.tensor([prompt + response.ids])).logits[0, len(prompt) - 1 : -1]
                logits[:6, 1] = -torch.inf  # where it cannot end, the end has no share
            expected = (logits / 0.7).log_softmax(-1).gather(-1, torch.tensor(response.ids).unsqueeze(-1)).squeeze(-1)
            assert torch.allclose(torch.tensor(response.logprobs), expected, atol=1e-4)


@given(order=st.permutations(range(len(PROMPTS))), slots=st.integers(1, 9), count=st.integers(1, len(PROMPTS)))
@settings(deadline=None, max_examples=12)
def test_who_shares_the_batch_changes_no_draw(llama, order, slots, count):
    sampling = Sampling(max_new_tokens=10, seed=5)
    alone = [ask(llama, [p], [k], sampling)[0] for p, k in zip(PROMPTS, KEYS, strict=True)]
    chosen = order[:count]
    llama.slot_count = slots
    together = ask(llama, [PROMPTS[i] for i in chosen], [KEYS[i] for i in chosen], sampling)
    assert [[r.ids for r in row] for row in together] == [[r.ids for r in alone[i]] for i in chosen]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("looks_ahead", [False, True], ids=["cpu", "gpu"])
def test_rows_that_end_early_leave_and_prompts_that_enter_late_change_no_draw(family, looks_ahead):
    """As on a CPU, where ended rows leave at once, and as on a GPU, where tokens are looked at several at a time."""
    model = tiny.causal_lm(family, vocabulary=24)  # so few that many responses end early, at different lengths
    model.set_attn_implementation(attention.NAME)
    one = Generator(model, end_id=1, pad_id=0, slot_count=3)
    sampling = Sampling(max_new_tokens=24, seed=7)
    alone = [ask(one, [p], [k], sampling)[0] for p, k in zip(PROMPTS, KEYS, strict=True)]
    lengths = {len(response.ids) for row in alone for response in row}
    assert len(lengths) > 4
    assert {response.finished for row in alone for response in row} == {True, False}
    one.looks_ahead = looks_ahead
    together = ask(one, PROMPTS, KEYS, sampling)
    assert [[(r.ids, r.finished) for r in row] for row in together] == [
        [(r.ids, r.finished) for r in row] for row in alone
    ]


def test_adapters_and_the_precision_of_training_are_sampled_with():
    model = tiny.causal_lm()
    plain = ask(Generator(model, end_id=1, pad_id=0), PROMPTS, KEYS, Sampling(max_new_tokens=8, temperature=0))
    adapters.attach(model, PPOConfig(lora_rank=4))
    same = ask(Generator(model, end_id=1, pad_id=0), PROMPTS, KEYS, Sampling(max_new_tokens=8, temperature=0))
    assert [[r.ids for r in row] for row in same] == [[r.ids for r in row] for row in plain]
    with torch.no_grad():
        for parameter in adapters.trainable(model):
            parameter.normal_(std=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        half = ask(Generator(model, end_id=1, pad_id=0), PROMPTS, KEYS, Sampling(max_new_tokens=8, seed=1))
    whole = ask(Generator(model, end_id=1, pad_id=0), PROMPTS, KEYS, Sampling(max_new_tokens=8, seed=1))
    for rows, within in [(half, 0.1), (whole, 1e-4)]:
        for prompt, responses in zip(PROMPTS, rows, strict=True):
            for response in responses:
                with torch.no_grad():
                    logits = model(torch.tensor([prompt + response.ids])).logits[0, len(prompt) - 1 : -1]
                expected = logits.log_softmax(-1).gather(-1, torch.tensor(response.ids).unsqueeze(-1)).squeeze(-1)
                assert (torch.tensor(response.logprobs) - expected).abs().mean() < within


def test_a_stream_depends_on_seed_prompt_and_k():
    names = [(1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1)]
    draws = [tuple(stream(*name, 4).tolist()) for name in names]
    assert len(set(draws)) == 4
    assert draws[0] == tuple(stream(1, "a", 0, 4).tolist())


@given(st.integers(0, 2**31), st.floats(0.3, 2.0))
@settings(deadline=None, max_examples=10)
def test_draws_follow_the_tempered_distribution(seed, temperature):
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(seed))
    uniform = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens, *_ = draw(logits.repeat(20_000, 1), uniform, Sampling(temperature=temperature))
    shares = torch.bincount(tokens, minlength=6) / 20_000
    assert torch.allclose(shares, (logits[0] / temperature).softmax(-1), atol=1e-3)


@given(st.integers(0, 2**31), st.integers(1, 6), st.floats(0.05, 1.0))
@settings(deadline=None, max_examples=20)
def test_truncation_draws_only_what_it_keeps_and_leaves_logprobs_alone(seed, top_k, top_p):
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(seed))
    uniform = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    tokens, logprobs, *_ = draw(logits.repeat(500, 1), uniform, Sampling(top_k=top_k, top_p=top_p))
    probs = logits[0].softmax(-1)
    ordered = probs.sort(descending=True)
    kept = set(ordered.indices[:top_k].tolist())
    for place, token in enumerate(ordered.indices.tolist()):
        if float(ordered.values[:place].sum()) > top_p + 1e-6:
            kept.discard(token)
    assert set(tokens.tolist()) <= kept
    assert torch.allclose(logprobs, probs.log()[tokens], atol=1e-5)


def test_a_response_cannot_end_too_early_and_ends_with_its_end_token():
    model = tiny.causal_lm()
    with torch.no_grad():  # an end token that is nearly certain
        model.get_output_embeddings().weight[1] *= 30
    one = Generator(model, end_id=1, pad_id=0)
    for row in ask(one, PROMPTS, KEYS, Sampling(max_new_tokens=40, min_new_tokens=5, seed=1)):
        for response in row:
            assert 1 not in response.ids[:5]
            assert (response.ids[-1] == 1) == response.finished
            assert response.finished or len(response.ids) == 40
            assert response.ids.count(1) <= 1
            assert len(response.ids) == len(response.logprobs)


def test_a_stop_text_ends_a_response():
    letters = tiny.encoder()
    one = generator(decode=letters.text)
    free = ask(one, PROMPTS, KEYS, Sampling(max_new_tokens=30, seed=2))
    word = letters.text(free[0][0].ids[3:5])
    held = ask(one, PROMPTS, KEYS, Sampling(max_new_tokens=30, seed=2, stop=(word,)))
    for before, after in zip(free, held, strict=True):
        for long, short in zip(before, after, strict=True):
            assert short.ids == long.ids[: len(short.ids)]
            assert short.stopped == (word in letters.text(short.ids))
            assert word not in letters.text(short.ids[:-1])
    assert held[0][0].stopped


def test_stop_texts_without_a_decoder_are_refused(llama):
    with pytest.raises(ConfigError, match="decode"):
        ask(llama, PROMPTS, KEYS, Sampling(stop=("x",)))


def test_stopping_gives_nothing_and_every_token_is_heard(llama):
    assert ask(llama, PROMPTS, KEYS, Sampling(max_new_tokens=5), stop=lambda: True) is None
    heard = []
    rows = ask(
        llama,
        PROMPTS,
        KEYS,
        Sampling(max_new_tokens=5),
        on_token=lambda prompt, k, response: heard.append((prompt, k, response.ids[-1])),
    )
    for prompt, row in enumerate(rows):
        for k, response in enumerate(row):
            assert [token for p, j, token in heard if (p, j) == (prompt, k)] == response.ids


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"temperature": -1}, {"top_k": -1}, {"top_p": 0}, {"top_p": 2}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(**wrong)
