"""The demo's figures: intervals, win rates and ceilings say what they are called."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import demo

GOOD = 'Mina lost her kite by the hill. "Where is my kite?" asked Mina. The goat knew. They took the kite home to bed.'
BAD = "The the the king of it"
PROMPT = "Tell me a short story about a lost kite."


def look(*stories):
    return demo.Look(stories={PROMPT: stories})


def test_a_better_policy_wins_every_pair_and_a_worse_one_none():
    assert demo.win_rate(look(GOOD, GOOD), look(BAD, BAD)) == 1.0
    assert demo.win_rate(look(BAD), look(GOOD)) == 0.0


@given(stories=st.lists(st.sampled_from([GOOD, BAD, "A cat sat."]), min_size=1, max_size=4))
def test_a_policy_against_itself_wins_half(stories):
    assert demo.win_rate(look(*stories), look(*stories)) == pytest.approx(0.5)


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=50), shift=st.floats(-5, 5))
def test_an_interval_moves_with_its_values_and_holds_their_mean(values, shift):
    mean, low, high = demo.interval(values)
    assert low <= mean <= high
    moved = demo.interval([value + shift for value in values])
    assert moved == pytest.approx((mean + shift, low + shift, high + shift), abs=1e-9)


def test_four_times_the_prompts_halve_the_interval():
    _, low, high = demo.interval([0.0, 1.0] * 50)
    _, lower, higher = demo.interval([0.0, 1.0] * 200)
    assert (high - low) / (higher - lower) == pytest.approx(2, rel=0.01)


def test_the_ceiling_counts_only_untied_pairs_of_the_split_valid():
    def line(split, ranks):
        places = [{"response": response, "rank": rank} for response, rank in ranks.items()]
        return {
            "split": split,
            "prompt": [{"role": "user", "content": PROMPT}],
            "responses": [{"id": "good", "text": GOOD}, {"id": "bad", "text": BAD}],
            "judgements": [{"placements": places}],
        }

    assert demo.ceiling([line("train", {"good": 1, "bad": 2})]) is None
    assert demo.ceiling([line("valid", {"good": 1, "bad": 1})]) is None
    assert demo.ceiling([line("valid", {"good": 1, "bad": 2})]) == 1.0
    assert demo.ceiling([line("valid", {"good": 1, "bad": 2}), line("valid", {"good": 2, "bad": 1})]) == 0.5


def test_a_row_prints_every_column_and_dashes_for_what_is_not_known():
    first = demo.row(0, demo.Look(stories={PROMPT: (GOOD,), "Tell me about a cat.": (BAD,)}))
    assert len(demo.table_line().split()) >= len(demo.Row.__dataclass_fields__)
    assert demo.table_line(first).split().count("-") == 6
    assert math.isfinite(first.ci_low)
