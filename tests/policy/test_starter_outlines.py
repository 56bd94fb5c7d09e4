"""Stories told from outlines: every outline can be told, in whole sentences, and the same seed tells the same."""

from __future__ import annotations

import random
import re
import statistics
from itertools import islice

import pytest

from labeling.judges import judge
from policy.starter import outlines

ALL = outlines.outlines()
EVERYONE = outlines.kinds()


def test_there_are_many_and_none_is_lost_in_reading():
    assert len(ALL) == sum(line.startswith("= ") for line in outlines.OUTLINES.read_text().splitlines()) >= 150
    assert len({plot.text for plot in ALL}) == len(ALL)
    assert all(len({noun for noun, *_ in found}) == len(found) for found in EVERYONE.values())


@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.text[:50])
def test_an_outline_tells_whole_sentences_whoever_plays(plot):
    chance = random.Random(plot.text)
    for _ in range(16):
        topic, story = outlines.tell(plot, EVERYONE, chance)
        for text in (topic, story):
            assert not re.search(r"[{}|@+:_]|\b[B-HJ-Z]\b|\bA[ .,]+(?!\w)", text), text
            assert not re.search(r"\b(?:the|a|an) (?:the|a|an)\b", text, re.IGNORECASE), text
            assert not re.search(r"\ba (?!uni|ewe)[aeiou]", text, re.IGNORECASE), text
        assert re.search(r'[.!?]"?$', story), story
        assert re.match(r"[A-Z]", story), story
        assert story.count('"') % 2 == 0, story
        assert not re.search(r"\. [a-z]", story), story
        assert 38 <= len(story.split()) <= 100, story


def test_outlines_leave_room_for_what_people_prefer():
    """Decision 10: about half of the tellings have speech, and about half end cosily; length says nothing."""
    chance = random.Random(1)
    told = [outlines.tell(plot, EVERYONE, chance) for plot in ALL for _ in range(4)]
    judged = [judge(f"Tell me a short story about {topic}.", story) for topic, story in told]
    assert 0.4 < statistics.fmean(parts.speech > 0 for parts in judged) < 0.6
    assert 0.4 < statistics.fmean(parts.close > 0 for parts in judged) < 0.6
    lengths = [float(len(story)) for _, story in told]
    assert abs(statistics.correlation([parts.score() for parts in judged], lengths)) < 0.1


def test_choices_with_the_same_digit_are_made_alike():
    plot = outlines.Outline((), "a test", "{1:rope|branch} {one|two} {1:let down|pushed in}")
    chance = random.Random(1)
    told = {outlines.tell(plot, EVERYONE, chance)[1] for _ in range(60)}
    assert told == {f"{a} {b} {c}" for a, c in (("Rope", "let down"), ("Branch", "pushed in")) for b in ("one", "two")}


def test_articles_capitals_and_pronouns_are_right(monkeypatch):
    monkeypatch.setattr(outlines, "REMEMBERED", 0.0)
    roles = (("A", "fox", ("old",)), ("T", "hat", ()))
    text = '@A lost @T. A.he said, "{where} is A.his -T?" asked A.'
    plot = outlines.Outline(roles, "@A and @T", text)
    everyone = {"fox": [("fox", ("she",), ())], "hat": [("umbrella", ("it",), ())]}
    topic, story = outlines.tell(plot, everyone, random.Random(1))
    assert topic == "an old fox and an umbrella"
    assert story == 'An old fox lost an umbrella. She said, "where is her umbrella?" asked the fox.'


def test_an_adjective_fits_the_plot_and_is_said_again_now_and_then():
    roles = (("A", "fox", ("lost",)), ("T", "hat", ()), ("N", "name", ()))
    plot = outlines.Outline(roles, "@A, @T and N", "@A met N. A gave N @T, and N took T from A.")
    everyone = {
        "fox": [("fox", ("she",), ("kind",))],
        "hat": [("hat", ("it",), ("red",))],
        "name": [("Ada", ("she",), ())],
    }
    chance = random.Random(1)
    told = {outlines.tell(plot, everyone, chance) for _ in range(400)}
    assert {topic for topic, _ in told} == {
        f"{a}, {t} and Ada" for a in ("a fox", "a lost fox") for t in ("a hat", "a red hat")
    }
    assert {"from the fox." in story for _, story in told} == {True, False}


def test_the_same_seed_tells_the_same_stories_each_once_on_no_topic_that_is_kept():
    told = list(islice(outlines.told(600, seed=3, without=set()), 600))
    again = list(outlines.told(600, seed=3, without=set()))
    assert told == again
    assert len({line.response for line in told}) == len({line.id for line in told}) == 600
    splits = {(line.group, line.split) for line in told}
    assert len(splits) == len(dict(splits))
    assert 0 < sum(split == "valid" for _, split in splits) < 0.05 * len(splits)
    kept = {line.group for line in told[:50]}
    assert not kept & {line.group for line in outlines.told(600, seed=3, without=kept)}
    assert all(line.prompt[0].content.partition(" about ")[2].rstrip(".?").lower() == line.group for line in told)
