"""The loops of machine code compute what PyTorch's operations do, and are done without where they cannot be had."""

from __future__ import annotations

import os
import shutil
import stat

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.lm import attention, blocks, drawing, kernels, segments
from training.lm.generation import Generator, Sampling

PROMPTS = [[5, 6, 7, 8, 9, 10], [11], [12, 13], [14, 15, 16], [17, 18], [19, 20, 21, 22], [23]]
sizes = st.integers(1, 70)
seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True)
def compiler():
    if shutil.which("cc") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler (cc) on this machine")
        pytest.skip("there is no C compiler (cc) on this machine")


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(seed=seeds, rows=sizes, width=sizes)
@settings(deadline=None)
def test_a_norm_is_that_of_pytorch(seed, rows, width):
    x = numbers(seed, rows, width)
    assert torch.allclose(kernels.norm(x, 1e-5), torch.nn.functional.rms_norm(x, (width,), None, 1e-5), atol=1e-6)


@given(seed=seeds, rows=sizes, width=sizes, scale=st.sampled_from([0.1, 3.0, 100.0]))
@settings(deadline=None)
def test_a_gate_is_that_of_pytorch(seed, rows, width, scale):
    both = numbers(seed, rows, 2 * width) * scale
    expected = torch.nn.functional.silu(both[:, :width]) * both[:, width:]
    assert torch.allclose(kernels.gate(both), expected, rtol=1e-5, atol=1e-6)


@given(
    seed=seeds,
    rows=st.integers(1, 200),
    k=sizes,
    width=st.integers(1, 100),
    has_bias=st.booleans(),
    is_added=st.booleans(),
)
@settings(deadline=None)
def test_rows_times_a_matrix_are_what_they_are_and_each_by_itself(seed, rows, k, width, has_bias, is_added):
    x, matrix, before = numbers(seed, rows, k), numbers(seed + 1, k, width), numbers(seed + 2, rows, width)
    bias = numbers(seed + 3, width) if has_bias else None
    by = kernels.matrix_of(matrix, bias)
    found = kernels.multiply(x, by, into=before.clone() if is_added else None)
    exact = x.double() @ matrix.double()
    exact += (bias.double() if has_bias else 0) + (before.double() if is_added else 0)
    assert torch.allclose(found.double(), exact, atol=1e-4)
    row = seed % rows
    alone = kernels.multiply(x[row : row + 1], by, into=before[row : row + 1].clone() if is_added else None)
    assert torch.equal(alone[0], found[row])


@given(seed=seeds, rows=sizes, half=st.integers(1, 40), heads=st.integers(1, 3), others=st.integers(0, 2))
@settings(deadline=None)
def test_heads_are_turned_where_they_lie_and_no_others(seed, rows, half, heads, others):
    x = numbers(seed, rows, heads + others, 2 * half)
    angles = numbers(seed + 1, 50, half)
    places = torch.randint(50, (rows,), generator=torch.Generator().manual_seed(seed))
    cos, sin = angles.cos(), angles.sin()
    c, s = cos[places].unsqueeze(1), sin[places].unsqueeze(1)
    one, other = x[:, :heads].chunk(2, -1)
    expected = torch.cat([torch.cat([one * c - other * s, other * c + one * s], -1), x[:, heads:]], 1)
    kernels.turn_(x, heads, cos, sin, places)
    assert torch.allclose(x, expected, atol=1e-5)


@given(
    seed=seeds,
    vocabulary=st.sampled_from([2, 127, 128, 129, 400, 3333]),
    top_k=st.sampled_from([0, 1, 2, 50, 1000]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    ties=st.booleans(),
)
@settings(deadline=None)
def test_what_is_drawn_is_what_pytorch_would_draw(seed, vocabulary, top_k, temperature, ties):
    logits = numbers(seed, 33, vocabulary) * 3
    logits = logits.round() if ties else logits
    uniform = torch.rand(33, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    early = uniform > 0.5
    sampling = Sampling(temperature=temperature, top_k=top_k)
    weights, own = logits.clone(), logits.clone()
    expected, total = drawing._draw(weights, uniform, sampling, early, 1)
    tokens, totals = kernels.draw_(own, uniform, early=early, end_id=1, temperature=temperature, top_k=top_k)
    assert torch.allclose(own, weights, atol=1e-6)
    assert torch.allclose(totals, total[:, 0], rtol=1e-5)
    # A number may fall on a border that is rounded another way; then the neighbour is drawn.
    same = tokens == expected[:, 0]
    assert same.float().mean() > 0.96
    assert not bool((tokens[early] == 1).any())


# --- With gradients ----------------------------------------------------------------------------------


def slopes(out, inputs, seed):
    return torch.autograd.grad((out * numbers(seed, *out.shape)).sum(), inputs)


@given(seed=seeds, rows=sizes, width=sizes, is_added=st.booleans())
@settings(deadline=None)
def test_a_sum_and_its_norm_have_the_gradients_of_their_formulas(seed, rows, width, is_added):
    x, added, weight = (
        numbers(seed + i, *shape).requires_grad_() for i, shape in enumerate([(rows, width)] * 2 + [(width,)])
    )
    total = x + added if is_added else x
    plain = torch.nn.functional.rms_norm(total, (width,), weight, 1e-3)
    ours, normed = blocks._JoinedNorm.apply(x, added if is_added else None, weight, 1e-3)
    assert torch.allclose(ours, total)
    assert torch.allclose(normed, plain, atol=1e-5)
    inputs = [x, weight, added] if is_added else [x, weight]
    expected = slopes(plain + total**2, inputs, seed)
    for one, other in zip(slopes(normed + ours**2, inputs, seed), expected, strict=True):
        # The norm of one or two numbers hardly moves with them: what is left are small differences of larger numbers.
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-4)


@given(seed=seeds, rows=sizes, width=sizes)
@settings(deadline=None)
def test_a_gate_has_the_gradients_of_its_formula(seed, rows, width):
    gates, ups = (numbers(seed + i, rows, width).mul(4).requires_grad_() for i in (0, 1))
    plain = torch.nn.functional.silu(gates) * ups
    expected = slopes(plain, [gates, ups], seed)
    for one, other in zip(slopes(blocks._Gate.apply(gates, ups), [gates, ups], seed), expected, strict=True):
        assert difference(one, other) < 1e-5


@given(seed=seeds, rows=sizes, heads=st.integers(1, 3), half=st.integers(1, 40))
@settings(deadline=None)
def test_turning_back_undoes_a_turn(seed, rows, heads, half):
    x, angles = numbers(seed, rows, heads, 2 * half), numbers(seed + 1, rows, 1, half)
    there = kernels.turned(x, angles.cos(), angles.sin(), 1.0)
    assert torch.allclose(there.norm(dim=-1), x.norm(dim=-1), rtol=1e-4)
    assert torch.allclose(kernels.turned(there, angles.cos(), angles.sin(), -1.0), x, atol=1e-5)


trees = st.lists(st.tuples(st.integers(1, 80), st.lists(st.integers(1, 70), max_size=4)), min_size=1, max_size=3)


@given(seed=seeds, trees=trees, depth=st.sampled_from([2, 8, 24, 32, 64, 80]), heads=st.sampled_from([(1, 1), (4, 2)]))
@settings(deadline=None)
def test_segments_see_what_they_should_with_the_gradients_of_plain_attention(seed, trees, depth, heads):
    lengths, seen = [], []
    for trunk, branches in trees:
        first = len(lengths)
        lengths += [trunk, *branches]
        seen += [(first,), *((first, first + 1 + i) for i in range(len(branches)))]
    looks = segments.Looks(lengths, lengths, seen)
    T = sum(lengths)
    query = numbers(seed, T, heads[0], depth).requires_grad_()
    key, value = (numbers(seed + i, T, heads[1], depth).requires_grad_() for i in (1, 2))
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    sees = torch.stack([torch.tensor([other in each for other in range(len(lengths))]) for each in seen])
    causal = torch.ones(T, T, dtype=torch.bool).tril()
    plain = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(0, 1).unsqueeze(0) for x in (query, key, value)),
        attn_mask=sees[owner][:, owner] & causal,
        scale=0.3,
        enable_gqa=True,
    )[0].transpose(0, 1)
    ours = segments.attend(query, key, value, looks, 0.3)
    assert difference(ours, plain) < 1e-5
    expected = slopes(plain, [query, key, value], seed)
    for one, other in zip(slopes(ours, [query, key, value], seed), expected, strict=True):
        # Where a query sees one key only, its gradient is nothing but rounding.
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def difference(one, other):
    return float((one - other).detach().norm() / other.detach().norm().clamp_min(1e-6))


# --- Sampling ----------------------------------------------------------------------------------------


def without_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "_library", lambda: None)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gpt2"])
def test_responses_are_the_same_with_and_without_them(family, monkeypatch):
    def responses():
        model = tiny.causal_lm(family)
        model.set_attn_implementation(attention.NAME)
        one = Generator(model, end_id=1, pad_id=0, slot_count=3)
        return one.generate(
            PROMPTS,
            keys=[str(number) for number in range(len(PROMPTS))],
            responses_per_prompt=3,
            sampling=Sampling(max_new_tokens=21, top_k=30, seed=4),
        )

    fast = [response for row in responses() for response in row]
    without_kernels(monkeypatch)
    plain = [response for row in responses() for response in row]
    assert [each.ids for each in fast] == [each.ids for each in plain]
    for one, other in zip(fast, plain, strict=True):
        assert torch.allclose(torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=1e-4)


def test_what_is_not_a_number_stays_what_it_is():
    x = torch.ones(3, 40)
    x[1, 7] = torch.nan
    uniform, early = torch.full((3,), 0.5, dtype=torch.float64), torch.zeros(3, dtype=torch.bool)
    _, totals = kernels.draw_(x.clone(), uniform, early=early, end_id=0, temperature=1.0, top_k=5)
    mixed = kernels.attend((x.view(3, 1, 40),) * 3, segments.Looks([1, 1, 1], [1, 1, 1], [(0,), (1,), (2,)]).table, 1.0)
    for out in (kernels.norm(x, 1e-5), kernels.gate(x), kernels.gate_forward(x, x), mixed, totals):
        assert bool(out[1].isnan().any())
        assert not bool(out[[0, 2]].isnan().any())


def test_as_many_threads_as_there_are_change_nothing():
    x, threads = numbers(1, 40, 130), torch.get_num_threads()
    try:
        said = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            said.append(kernels.gate(x))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(said[0], said[1])
    assert torch.equal(said[0], said[2])


# --- Compiling ---------------------------------------------------------------------------------------


@pytest.fixture
def anew(monkeypatch, tmp_path):
    """A machine on which nothing is compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels.tempfile, "tempdir", str(tmp_path))
    kernels._library.cache_clear()
    yield tmp_path / "cache" / "laurel"
    kernels._library.cache_clear()


def test_they_are_compiled_once_for_this_machine(anew):
    assert kernels.suit(torch.zeros(1))
    (made,) = anew.iterdir()
    when = made.stat().st_mtime_ns
    kernels._library.cache_clear()
    assert kernels.suit(torch.zeros(1))
    assert [path.stat().st_mtime_ns for path in anew.iterdir()] == [when]


def test_without_a_compiler_they_are_done_without(anew, monkeypatch):
    monkeypatch.setenv("PATH", str(anew))
    assert not kernels.suit(torch.zeros(1))


def test_a_compiler_that_fails_leaves_nothing_behind(anew, monkeypatch, tmp_path, caplog):
    broken = tmp_path / "bin" / "cc"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'it does not work' >&2; exit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    with caplog.at_level("INFO", logger="training.lm.kernels"):
        assert not kernels.suit(torch.zeros(1))
    assert "it does not work" in caplog.text
    assert list(anew.iterdir()) == []


def test_a_home_that_cannot_be_written_to_is_no_obstacle(monkeypatch, tmp_path, anew):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert kernels.suit(torch.zeros(1))
    assert not anew.exists()


def test_only_float32_on_a_processor_suits():
    assert not kernels.suit(torch.zeros(1, dtype=torch.bfloat16))
    assert not kernels.suit(torch.zeros(1), torch.zeros(1, device="meta"))
