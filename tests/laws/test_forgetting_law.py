"""Law P13 at work: with text mixed in, PPO forgets less of the books that its policy knew.

About an hour; `make laws` runs it. What it teaches and measures is in `forgetting.py`, which draws it.
"""

from __future__ import annotations

import pytest
from forgetting import BOOKS, GAMMA, SEEDS, judged, reminded, seen, taught

FAR = 5.0
"""KL of a response, in nats: a policy that has moved noticeably."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    if not BOOKS.is_file():
        pytest.skip(f"the real books are not here: no {BOOKS} (set LAUREL_DATA)")
    home = tmp_path_factory.mktemp("forgetting")
    return home, reminded(home)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.law("P13")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_perplexity_of_held_out_books_rises_less_with_ptx(begun, seed):
    """Law P13: from the same weights, seed, prompts and reward model; both runs learn what is wanted."""
    home = begun[0] / str(seed)
    given = judged(home, begun[1], seed)
    before = seen(home, given, seed)
    off, on = (taught(home, given, seed, gamma) for gamma in (0.0, GAMMA))
    assert min(off.kl, on.kl) > FAR
    assert min(off.after.reward, on.after.reward) > before.reward + 4 * before.reward_error
    assert off.after.perplexity > before.perplexity
    assert on.after.perplexity < off.after.perplexity
