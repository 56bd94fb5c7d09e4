"""Optimisers against their closed forms (law P10), and schedules by their shape."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.lm import optim


def model_of(values):
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.tensor([values], dtype=torch.float64))
    return model


@pytest.mark.law("P10")
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(1e-6, 1e-2))
def test_tensorflow_adam_follows_its_closed_form(gradients, eps):
    model = model_of([0.0])
    optimizer = optim.adamw(model, learning_rate=0.1, betas=(0.9, 0.99), eps=eps, tf_style=True)
    for gradient in gradients:
        model.weight.grad = torch.tensor([[gradient]], dtype=torch.float64)
        optimizer.step()
    wanted = 0.0
    for t in range(1, len(gradients) + 1):
        m = sum(0.1 * 0.9 ** (t - 1 - i) * gradients[i] for i in range(t))
        v = sum(0.01 * 0.99 ** (t - 1 - i) * gradients[i] ** 2 for i in range(t))
        wanted -= 0.1 * math.sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (math.sqrt(v) + eps)
    assert float(model.weight.detach()) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.law("P10")
def test_with_small_gradients_tensorflow_adam_starts_several_times_smaller():
    moves = []
    for tf_style in (False, True):
        model = model_of([0.0])
        model.weight.grad = torch.tensor([[1e-5]], dtype=torch.float64)
        optim.adamw(model, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-5, tf_style=tf_style).step()
        moves.append(abs(float(model.weight.detach())))
    assert moves[0] > 5 * moves[1]


@given(st.integers(0, 10**6), st.sampled_from([(4, 4), (3, 9), (9, 3)]))
def test_an_orthogonal_move_has_singular_values_near_one_and_keeps_the_directions(seed, shape):
    matrix = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if float(torch.linalg.svdvals(matrix).min()) < 0.1:
        return
    moved = optim.orthogonal(matrix, torch.float64)
    values = torch.linalg.svdvals(moved)
    assert float(values.min()) > 0.3
    assert float(values.max()) < 1.3
    assert bool(((matrix * moved).sum((-2, -1)) > 0).all())


def test_muon_moves_hidden_matrices_by_muon_and_embeddings_and_norms_by_adam():
    model = tiny.causal_lm()
    optimizer = optim.Muon(model, learning_rate=0.01)
    by_muon = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in by_muon) == ("proj" in name), name
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_muon_moves_every_matrix_by_about_the_size_that_adam_would():
    model = torch.nn.Sequential(torch.nn.Linear(64, 32, bias=False))
    before = model[0].weight.detach().clone()
    model[0].weight.grad = torch.randn(32, 64) * 1e-4
    optim.Muon(model, learning_rate=0.01).step()
    moved = (model[0].weight.detach() - before).square().mean().sqrt()
    assert 0.1 * 0.01 < float(moved) < 0.4 * 0.01


@pytest.mark.law("P9")
def test_muon_goes_on_from_its_state_as_if_it_had_never_stopped():
    def run(pause):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))
        optimizer = optim.Muon(model, learning_rate=0.05)
        for step in range(6):
            if step == pause:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = optim.Muon(model, learning_rate=0.05)
                optimizer.load_state_dict(state)
            model(torch.ones(3, 5) * step).sub(1).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return [parameter.detach() for parameter in model.parameters()]

    for one, other in zip(run(None), run(3), strict=True):
        assert torch.equal(one, other)


def test_weight_decay_touches_matrices_only():
    model = torch.nn.Linear(3, 3)
    optimizer = optim.adamw(model, learning_rate=0.1, weight_decay=0.5)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before["weight"] * 0.95)
    torch.testing.assert_close(model.bias.detach(), before["bias"])


def test_frozen_parameters_are_left_out():
    model = torch.nn.Linear(3, 3)
    model.bias.requires_grad_(False)
    optimizer = optim.adamw(model, learning_rate=0.1)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 1


@given(
    st.sampled_from(["cosine", "linear", "constant"]),
    st.integers(1, 200),
    st.integers(0, 50),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_schedule_rises_to_the_peak_and_never_rises_again(name, steps, warmup, floor, start):
    factors = [
        optim.factor(name, step, steps=steps, warmup=warmup, floor=floor, start=start) for step in range(steps + 3)
    ]
    rise, fall = factors[:warmup], factors[warmup:]
    assert rise == sorted(rise)
    assert all(a >= b - 1e-12 for a, b in pairwise(fall))
    assert all(min(floor, start) - 1e-9 <= factor <= 1 + 1e-9 for factor in factors)
    if warmup and rise:
        assert factors[min(warmup, len(rise)) - 1] == pytest.approx(1) or len(rise) < warmup


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_a_schedule_ends_at_its_floor(name):
    assert optim.factor(name, 100, steps=100, warmup=10, floor=0.1) == pytest.approx(0.1)
    assert optim.factor(name, 10, steps=100, warmup=10, floor=0.1) == pytest.approx(1)


def test_the_schedule_moves_the_rate_of_the_optimizer():
    model = torch.nn.Linear(2, 2)
    optimizer = optim.adamw(model, learning_rate=1.0)
    schedule = optim.schedule(optimizer, "linear", steps=10, warmup=2, floor=0.0)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(1 / 8)
