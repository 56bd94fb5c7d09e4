"""Law Q5: what is a ranking, and what is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.rankings import Contradictory, Incomplete, validate
from training.records import Placement


@st.composite
def rankings(draw, *, rated=True):
    """Sound rankings: ratings fall from rank to rank, ties share theirs, equal ratings may be ordered."""
    count = draw(st.integers(2, 9))
    ids = draw(st.permutations([f"r{i}" for i in range(count)]))
    ranks, rank = [], 1
    for place in range(count):
        rank += place > 0 and draw(st.booleans())
        ranks.append(rank)
    ratings = sorted(draw(st.lists(st.integers(1, 7), min_size=rank, max_size=rank)), reverse=True)
    return [
        Placement(response=response, rank=rank, rating=ratings[rank - 1] if rated else None)
        for response, rank in zip(ids, ranks, strict=True)
    ]


def ids_of(placements):
    return [place.response for place in placements]


@pytest.mark.law("Q5")
@given(rankings())
def test_a_sound_ranking_is_accepted(placements):
    validate(placements, ids_of(placements))


@given(rankings(rated=False))
def test_an_imported_ranking_may_lack_ratings(placements):
    validate(placements, ids_of(placements), rated=False)
    with pytest.raises(Incomplete):
        validate(placements, ids_of(placements))


@given(rankings(), st.data())
def test_a_missing_response_is_named(placements, data):
    lost = data.draw(st.sampled_from(placements))
    with pytest.raises(Incomplete) as refusal:
        validate([place for place in placements if place is not lost], ids_of(placements))
    assert refusal.value.fields == {"placements": [lost.response]}


@pytest.mark.law("Q5")
@given(rankings(), st.data())
def test_one_changed_rating_is_accepted_just_when_no_better_rank_is_rated_lower(placements, data):
    chosen = data.draw(st.sampled_from(placements))
    rating = data.draw(st.integers(1, 7))
    changed = [
        Placement(response=place.response, rank=place.rank, rating=rating if place is chosen else place.rating)
        for place in placements
    ]
    sound = all(
        (one.rating >= other.rating if one.rank < other.rank else True)
        and (one.rating == other.rating if one.rank == other.rank else True)
        for one in changed
        for other in changed
    )
    if sound:
        validate(changed, ids_of(changed))
    else:
        with pytest.raises(Contradictory):
            validate(changed, ids_of(changed))


def test_ranks_with_a_hole_are_refused():
    with pytest.raises(Contradictory):
        validate([Placement(response="a", rank=1, rating=5), Placement(response="b", rank=3, rating=4)], ["a", "b"])


def test_a_response_placed_twice_is_refused():
    twice = [Placement(response=each, rank=1, rating=5) for each in ("a", "b", "a")]
    with pytest.raises(Contradictory):
        validate(twice, ["a", "b"])


def test_a_stranger_among_the_responses_is_named():
    with pytest.raises(Contradictory) as refusal:
        validate([Placement(response=each, rank=1, rating=5) for each in ("a", "b", "c")], ["a", "b"])
    assert refusal.value.fields == {"placements": ["c"]}


@pytest.mark.parametrize("rating", [0, 8, -1])
def test_a_rating_beyond_one_to_seven_is_named(rating):
    with pytest.raises(Contradictory) as refusal:
        validate([Placement(response="a", rank=1, rating=rating)], ["a"])
    assert refusal.value.fields == {"ratings": ["a"]}


def test_equal_ratings_may_be_ordered_or_tied():
    validate([Placement(response="a", rank=1, rating=5), Placement(response="b", rank=2, rating=5)], ["a", "b"])
    validate([Placement(response="a", rank=1, rating=5), Placement(response="b", rank=1, rating=5)], ["a", "b"])
