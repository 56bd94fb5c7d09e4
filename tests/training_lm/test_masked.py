"""Masked reductions: nothing behind a False reaches a result (laws P5, and NaN behind the mask)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.lm.masked import EmptyMask, masked_mean, masked_sum, masked_var, whiten

numbers = st.floats(-100, 100, width=32)


@st.composite
def masked_rows(draw, minimum=1):
    real = draw(st.lists(numbers, min_size=minimum, max_size=12))
    hidden = draw(st.lists(numbers | st.just(float("nan")) | st.just(float("inf")), max_size=12))
    entries = [(value, True) for value in real] + [(value, False) for value in hidden]
    entries = draw(st.permutations(entries))
    x = torch.tensor([value for value, _ in entries], dtype=torch.float64)
    return x, torch.tensor([keep for _, keep in entries]), torch.tensor(real, dtype=torch.float64)


@given(masked_rows())
def test_reductions_are_those_of_the_real_entries_alone(row):
    x, mask, real = row
    torch.testing.assert_close(masked_sum(x, mask), real.sum())
    torch.testing.assert_close(masked_mean(x, mask), real.mean())
    torch.testing.assert_close(masked_var(x, mask), real.var(unbiased=False))


@given(masked_rows(minimum=2))
def test_whitened_values_have_mean_zero_and_variance_one_where_the_mask_is_true(row):
    x, mask, real = row
    if real.std() < 1e-2:
        return
    white = whiten(x, mask)
    assert float(white[mask].mean()) == pytest.approx(0, abs=1e-6)
    assert float(white[mask].var(unbiased=False)) == pytest.approx(1, abs=1e-3)
    assert not white[~mask].any()


@given(masked_rows(minimum=2))
def test_whitening_without_a_shift_keeps_the_mean(row):
    x, mask, real = row
    if real.std() < 1e-2:
        return
    white = whiten(x, mask, shift_mean=False)
    assert float(white[mask].mean()) == pytest.approx(float(real.mean()), abs=1e-5)


def test_nan_behind_the_mask_poisons_no_gradient():
    x = torch.tensor([1.0, float("nan"), 2.0], requires_grad=True)
    masked_mean(x, torch.tensor([True, False, True])).backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_an_empty_mask_is_refused():
    with pytest.raises(EmptyMask):
        masked_mean(torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    with pytest.raises(EmptyMask):
        masked_mean(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]), dim=1)


def test_a_mask_that_is_spread_over_rows_counts_every_row():
    x = torch.arange(6.0).view(2, 3)
    assert float(masked_mean(x, torch.tensor([True, False, False]))) == 1.5
