"""What must hold of any PPO for language models, whatever the code looks like."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policy import losses
from policy.advantages import gae, kl_k1, kl_k3, token_rewards
from policy.losses import adapted_kl_coef, head_logprobs, head_policy_loss, policy_losses, value_losses
from training.lm.masked import EmptyMask, masked_mean, masked_var, whiten
from training.lm.optim import TensorFlowAdam

numbers = st.floats(-3, 3)


@st.composite
def responses(draw, count=3):
    """`count` tensors (B, R) of numbers, with garbage where no token is real, and their mask."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    R = max(lengths) + draw(st.integers(0, 3))
    mask = torch.arange(R) < torch.tensor(lengths).unsqueeze(1)
    size = len(lengths) * R
    filled = [
        torch.tensor(draw(st.lists(numbers, min_size=size, max_size=size)), dtype=torch.float64).view(mask.shape)
        for _ in range(count)
    ]
    return mask, *filled


@given(responses(), st.floats(0, 1))
@pytest.mark.law("P3")
def test_rewards_sum_to_the_score_less_the_penalty_and_stand_on_real_tokens(case, beta):
    """Law P3: sum of rewards = score - beta * sum of k1; the score once, nothing after the end."""
    mask, logprobs, ref_logprobs, extra = case
    scores = extra[:, 0]
    rewards = token_rewards(scores, logprobs, ref_logprobs, mask, beta)
    for row in range(len(mask)):
        real = mask[row]
        spent = beta * float((logprobs - ref_logprobs)[row][real].sum())
        assert float(rewards[row].sum()) == pytest.approx(float(scores[row]) - spent, abs=1e-9)
        assert rewards[row][~real].abs().sum() == 0
        no_score = token_rewards(torch.zeros_like(scores), logprobs, ref_logprobs, mask, beta)
        placed = (rewards - no_score)[row].nonzero().flatten().tolist()
        assert placed in ([], [int(real.sum()) - 1])


@given(responses(), st.floats(0.5, 1), st.floats(0, 1))
@pytest.mark.law("P4")
def test_advantages_are_the_discounted_sum_of_errors(case, gamma, lam):
    """Law P4: GAE equals its definition, summed in O(T^2)."""
    mask, rewards, values, _ = case
    got = gae(rewards, values, mask, gamma=gamma, gae_lambda=lam)
    for b in range(len(mask)):
        T = int(mask[b].sum())
        delta = [
            float(rewards[b, t]) + (gamma * float(values[b, t + 1]) if t + 1 < T else 0) - float(values[b, t])
            for t in range(T)
        ]
        for t in range(T):
            expected = sum((gamma * lam) ** k * delta[t + k] for k in range(T - t))
            assert float(got[b, t]) == pytest.approx(expected, abs=1e-9)
        assert got[b, T:].abs().sum() == 0


@given(responses())
@pytest.mark.law("P4")
def test_the_two_ends_of_lambda(case):
    """Law P4: lambda 1 without values is the reward to go; lambda 0 is the one-step error."""
    mask, rewards, values, _ = case
    to_go = gae(rewards, torch.zeros_like(values), mask, gamma=1, gae_lambda=1)
    real = rewards.masked_fill(~mask, 0)
    assert torch.allclose(to_go, real.flip(-1).cumsum(-1).flip(-1).masked_fill(~mask, 0))
    one_step = gae(rewards, values, mask, gamma=1, gae_lambda=0)
    first = real[:, 0] - values[:, 0] + torch.where(mask.sum(-1) > 1, values.roll(-1, -1)[:, 0], torch.zeros(len(mask)))
    assert torch.allclose(one_step[:, 0], first)


@given(responses(1))
@pytest.mark.law("P5")
def test_whitened_numbers_have_mean_0_and_variance_1_where_the_mask_is_true(case):
    """Law P5: masked mean 0 and variance 1; without the shift the mean stays."""
    mask, x = case
    if float(masked_var(x, mask)) < 1e-2:
        return
    white, kept = whiten(x, mask), whiten(x, mask, shift_mean=False)
    assert float(masked_mean(white, mask)) == pytest.approx(0, abs=1e-6)
    assert float(masked_var(white, mask)) == pytest.approx(1, abs=1e-4)
    assert float(masked_mean(kept, mask)) == pytest.approx(float(masked_mean(x, mask)), abs=1e-6)
    assert white[~mask].abs().sum() == 0


@given(responses(1), st.integers(1, 5))
@pytest.mark.law("P5")
def test_padding_changes_nothing(case, extra):
    """Law P5: more padding, even of NaN, changes no mean, variance or whitened number."""
    mask, x = case
    wide = torch.cat([x, torch.full((len(x), extra), torch.nan, dtype=x.dtype)], -1)
    wide_mask = torch.cat([mask, torch.zeros(len(x), extra, dtype=torch.bool)], -1)
    assert torch.allclose(masked_mean(wide, wide_mask), masked_mean(x, mask))
    assert torch.allclose(masked_var(wide, wide_mask), masked_var(x, mask))
    if float(masked_var(x, mask)) > 1e-6:
        assert torch.allclose(whiten(wide, wide_mask)[:, : x.shape[1]], whiten(x, mask))


def test_a_mean_over_nothing_is_refused():
    with pytest.raises(EmptyMask):
        masked_mean(torch.ones(2), torch.zeros(2, dtype=torch.bool))


@given(st.integers(0, 2**31))
@pytest.mark.law("P7")
def test_k1_is_unbiased_and_k3_is_too_but_never_negative(seed):
    """Law P7: over all outcomes both estimates average to KL(p || q); k1 is negative on some, k3 on none."""
    p, q = torch.randn(2, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).log_softmax(-1)
    kl = float((p.exp() * (p - q)).sum())
    assert float((p.exp() * kl_k1(p, q)).sum()) == pytest.approx(kl)
    assert float((p.exp() * kl_k3(p, q)).sum()) == pytest.approx(kl)
    assert kl_k1(p, q).min() < 0
    assert kl_k3(p, q).min() >= 0


@given(responses())
@pytest.mark.law("P1")
def test_at_ratio_one_the_loss_is_minus_the_advantage_and_its_gradient_too(case):
    """Law P1: before the first step nothing is clipped, and the gradient is that of the plain policy gradient."""
    _, logprobs, advantages, _ = case
    logprobs = logprobs.clone().requires_grad_()
    losses = policy_losses(logprobs, logprobs.detach(), advantages, 0.2)
    losses.sum().backward()
    assert torch.equal(losses.detach(), -advantages)
    assert torch.allclose(logprobs.grad, -advantages)


@given(st.integers(0, 2**31), st.floats(0.5, 2), st.booleans(), st.integers(1, 9), st.booleans())
@pytest.mark.law("P6")
def test_the_fused_head_is_the_plain_loss_and_its_gradient_however_it_is_cut(seed, temperature, has_bias, chunk, bars):
    """Loss, log-probabilities and every gradient are those of the plain formulas on whole logits."""
    torch.manual_seed(seed)
    head = torch.nn.Linear(5, 7, bias=has_bias, dtype=torch.float64).float()
    hidden, targets = torch.randn(8, 5), torch.randint(6, (8,))
    old, advantages = -torch.rand(8) * 4, torch.randn(8)
    barred = {"early": torch.rand(8) < 0.5, "end_id": 6} if bars else {}

    def gradients(loss, hidden):
        loss.backward()
        found = [hidden.grad, *(p.grad.clone() for p in head.parameters())]
        head.zero_grad()
        return found

    plain = hidden.clone().requires_grad_()
    logits = head(plain)
    if bars:
        logits = logits.masked_fill(barred["early"].unsqueeze(1) & (torch.arange(7) == 6), -torch.inf)
    logprobs = (logits / temperature).log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    wanted = policy_losses(logprobs, old, advantages, 0.2).sum()
    fused = hidden.clone().requires_grad_()
    before, losses.CHUNK = losses.CHUNK, chunk
    try:
        got, said = head_policy_loss(
            fused, head, targets, old, advantages, clip_range=0.2, temperature=temperature, **barred
        )
        assert torch.allclose(head_logprobs(hidden, head, targets, temperature, **barred), logprobs.detach(), atol=1e-5)
    finally:
        losses.CHUNK = before
    assert torch.allclose(said, logprobs.detach(), atol=1e-5)
    assert float(got.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4, abs=1e-4)
    for mine, theirs in zip(gradients(3 * got, fused), gradients(3 * wanted, plain), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@given(st.floats(-1, 1), st.floats(-2, 2), st.floats(0.05, 0.5))
def test_the_clip_never_rewards_going_further(log_ratio, advantage, clip):
    """Past the clip, in the direction that the advantage asks for, the gradient is 0; before it, it is not."""
    if abs(advantage) < 1e-3 or min(abs(math.exp(log_ratio) - 1 - clip), abs(math.exp(log_ratio) - 1 + clip)) < 1e-6:
        return
    x = torch.tensor(log_ratio, dtype=torch.float64, requires_grad=True)
    policy_losses(x, torch.zeros_like(x), torch.tensor(advantage, dtype=torch.float64), clip).backward()
    outside = math.exp(log_ratio) > 1 + clip if advantage > 0 else math.exp(log_ratio) < 1 - clip
    assert (x.grad == 0) == outside


@given(numbers, numbers, numbers, st.floats(0.05, 0.5))
def test_the_clipped_value_loss_is_never_below_the_plain_one(value, old, target, clip):
    """A value that ran far from its old one cannot make the loss smaller than it truly is."""
    value, old, target = (torch.tensor(x, dtype=torch.float64) for x in (value, old, target))
    loss = value_losses(value, old, target, clip)
    assert loss >= 0.5 * (value - target) ** 2 - 1e-12
    if abs(value - old) <= clip:
        assert loss == pytest.approx(float(0.5 * (value - target) ** 2))


@given(st.floats(0.01, 1), st.floats(-5, 50), st.integers(1, 512))
def test_the_coefficient_rises_above_the_target_and_falls_below_it(beta, kl, count):
    """Adaptive control moves towards the target, by at most a fifth of n/horizon."""
    new = adapted_kl_coef(beta, kl, target=6, horizon=10_000, responses=count)
    assert (new > beta) == (kl > 6) or kl == pytest.approx(6)
    assert abs(new / beta - 1) <= 0.2 * count / 10_000 + 1e-12


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.floats(1e-8, 1e-2))
@pytest.mark.law("P10")
def test_tensorflow_style_adam_equals_its_closed_form(gradients, eps):
    """Law P10: the step is lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps), m and v as explicit sums."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = TensorFlowAdam([weight], learning_rate=0.1, betas=(0.9, 0.99), eps=eps)
    expected = 0.0
    for t, gradient in enumerate(gradients, start=1):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        m = sum(0.1 * 0.9 ** (t - i) * g for i, g in enumerate(gradients[:t], start=1))
        v = sum(0.01 * 0.99 ** (t - i) * g * g for i, g in enumerate(gradients[:t], start=1))
        expected -= 0.1 * math.sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (math.sqrt(v) + eps)
        assert float(weight.detach()) == pytest.approx(expected, rel=1e-6, abs=1e-9)
