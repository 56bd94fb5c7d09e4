"""Law D1: texts that share a long beginning stand in one group, found without comparing every two."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling import conversations, prefixes, splits

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LAUREL_DATA", ROOT.parent / "shared" / "data"))


@st.composite
def families(draw):
    """Texts of a small alphabet that go on from one another's beginnings."""
    texts = [draw(st.text("ab", max_size=8))]
    for _ in range(draw(st.integers(0, 12))):
        model = draw(st.sampled_from(texts))
        texts.append(model[: draw(st.integers(0, len(model)))] + draw(st.text("ab", max_size=8)))
    return draw(st.permutations(texts))


limits = st.fixed_dictionaries({"long": st.integers(1, 12), "most": st.floats(0, 1), "least": st.integers(0, 6)})


def by_comparing_every_two(texts, **limits):
    """The same grouping, the slow way."""
    group = list(range(len(texts)))
    for one, other in combinations(range(len(texts)), 2):
        need = prefixes.needed(max(len(texts[one]), len(texts[other])), **limits)
        if texts[one][:need] == texts[other][:need] and min(len(texts[one]), len(texts[other])) >= need:
            merged, gone = sorted((group[one], group[other]))
            group = [merged if number == gone else number for number in group]
    return group


@given(families(), limits)
def test_groups_are_the_chains_of_near_texts(texts, limits):
    assert prefixes.groups(texts, **limits) == by_comparing_every_two(texts, **limits)


@given(families(), limits, st.randoms())
def test_the_order_of_texts_changes_no_group(texts, limits, shuffler):
    places = shuffler.sample(range(len(texts)), len(texts))
    before, after = prefixes.groups(texts, **limits), prefixes.groups([texts[place] for place in places], **limits)
    assert {frozenset(i for i, g in enumerate(before) if g == group) for group in before} == {
        frozenset(places[i] for i, g in enumerate(after) if g == group) for group in after
    }


@given(families(), limits)
def test_a_group_is_named_by_its_first_member(texts, limits):
    groups = prefixes.groups(texts, **limits)
    assert all(groups.index(group) == group for group in groups)


@given(families(), st.text("ab", max_size=8), limits)
def test_one_more_text_parts_nobody(texts, late, limits):
    before, after = prefixes.groups(texts, **limits), prefixes.groups([*texts, late], **limits)
    for one, other in combinations(range(len(texts)), 2):
        assert before[one] != before[other] or after[one] == after[other]


@given(st.integers(0, 300), limits)
def test_a_longer_text_never_needs_less_and_none_more_than_it_has(length, limits):
    assert prefixes.needed(length, **limits) <= min(length, prefixes.needed(length + 1, **limits))


@given(st.lists(st.text(max_size=4), max_size=8))
def test_equal_texts_stand_together(texts):
    groups = prefixes.groups(texts)
    for one, other in combinations(range(len(texts)), 2):
        assert (texts[one] == texts[other]) == (groups[one] == groups[other])  # so short ones are never merely near


def test_near_duplicates_stand_together_and_others_apart():
    template = (
        "You are given a text. Rewrite it so that a child of six understands it, and keep all of the names. Text: "
    )
    texts = [
        "Tell me a bedtime story about a cat named Tom.",
        "Tell me a bedtime story about a cat named Tim.",
        "Tell me a bedtime story about a dragon who could not sleep and asked the moon for help.",
        template + "The parliament met on Tuesday and discussed the harbour for eleven hours.",
        template + "Photosynthesis.",
        "Who are you?",
        "Who are we?",
    ]
    assert prefixes.groups(texts) == [0, 0, 2, 3, 3, 5, 6]
    assert prefixes.groups([]) == []


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.text("ab", max_size=5)), max_size=10))
def test_no_group_of_the_splits_is_torn_apart(parts):
    """What `splits` keeps together by its first characters is together here too."""
    texts = [first * splits.LONG_PREFIX + rest for first, rest in parts]
    keys = [splits.group_of([{"role": "user", "content": text}]) for text in texts]
    groups = prefixes.groups([conversations.normal_form([{"role": "user", "content": text}]) for text in texts])
    for one, other in combinations(range(len(texts)), 2):
        assert keys[one] != keys[other] or groups[one] == groups[other]


def test_many_texts_with_long_common_beginnings_are_grouped_in_seconds():
    """Comparing every two of these would take 200 million comparisons."""
    dice = random.Random(0)
    beginnings = ["".join(dice.choices("abcdefgh ", k=dice.randint(5, 150))) for _ in range(200)]
    texts = [dice.choice(beginnings) + "".join(dice.choices("abcdefgh ", k=dice.randint(1, 80))) for _ in range(20_000)]
    began = time.process_time()
    groups = prefixes.groups(texts)
    assert time.process_time() - began < 5
    largest = Counter(groups).most_common(1)[0][1]
    assert 50 < largest < 5_000


def test_real_prompts_are_grouped():
    path = DATA / "prompts.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the real prompts are not here: no {path} (set LAUREL_DATA)")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        texts = [conversations.normal(json.loads(line)["prompt"]) for line in file]
    groups = prefixes.groups(texts)
    groups_of = defaultdict(set)
    for text, group in zip(texts, groups, strict=True):
        if len(text) >= 100:
            groups_of[text[:100]].add(group)
    assert all(len(found) == 1 for found in groups_of.values())
    assert [size for _, size in Counter(groups).most_common(2)] == [41, 38]  # one dinner party, one essay on concepts
    assert len(set(groups)) == 4516


@pytest.mark.parametrize("module", ["agreement", "merging", "patterns", "prefixes"])
def test_a_web_process_may_import_it(module):
    """Neither a heavy library nor Django comes with it."""
    look = (
        f"import sys, labeling.{module};"
        "print([name for name in ('numpy', 'scipy', 'pandas', 'crowdkit', 'torch', 'django') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"
