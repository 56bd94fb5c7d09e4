"""Law P12, whole: what the reward models say goes on rising, while what is true rises and falls again.

Some minutes a seed; `make laws` runs it. What it teaches and measures is in `over_optimisation.py`, which draws it.
"""

from __future__ import annotations

import math

import pytest
from over_optimisation import Curve, Point, taught

NATS = 4.0
"""KL of a response at which to stop: twice what the best policy of these runs has."""
CHANCE = 0.1
"""More than the best of a run's noisy means of gold stands above the rest where nothing is learned."""


def test_the_fit_finds_what_a_curve_was_made_of():
    distances = [0.0, 0.0, *(step / 10 for step in range(60))]  # nothing is learned at first
    gold = [0.6 + d * (0.5 - 0.3 * math.log(d)) if d else 0.6 for d in distances]
    points = [Point(step, d, d, true, 0.0) for step, (d, true) in enumerate(zip(distances, gold, strict=True), 1)]
    assert Curve(points, None, None).fit() == pytest.approx((0.5, 0.3, 1.0), abs=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.law("P12")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_true_rises_and_falls_and_a_limit_on_the_kl_rolls_back_to_near_its_peak(tmp_path, seed):
    """Law P12: gold against d, the root of the KL, is d(alpha - beta ln d); the early stop keeps 90 % of its peak."""
    whole = taught(tmp_path / "whole", seed, alarms={"window": 3})
    peak, last = whole.gold_at(whole.peak.step - 1), whole.points[-1]
    assert last.proxy > whole.peak.proxy > whole.points[0].proxy
    assert peak > whole.start + CHANCE
    assert last.gold < whole.start, "taught for too long it is worse than untaught"
    alpha, beta, explained = whole.fit()
    assert min(alpha, beta) > 0
    assert explained > 0.9
    limit = {"window": 3, "kl_running_away": "roll_back", "kl_limit": NATS}
    stopped = taught(tmp_path / "stopped", seed, alarms=limit)
    assert stopped.points == whole.points[: len(stopped.points)], "up to the alarm it is the same run"
    assert stopped.rolled_back_to is not None
    assert whole.gold_at(stopped.rolled_back_to) > 0.9 * peak
