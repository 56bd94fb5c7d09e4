"""Transcripts become turns, and the same question is the same prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling import conversations, splits
from labeling.conversations import NotAPrompt, read

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def test_plain_text_is_one_turn_of_the_user():
    assert read("  Tell me a story. ") == [user("Tell me a story.")]


def test_a_transcript_becomes_turns():
    text = "Human: Hi there.\n\nAssistant: Hello!\n\nHuman: A story, please.\nAbout a kite."
    assert read(text) == [user("Hi there."), assistant("Hello!"), user("A story, please.\nAbout a kite.")]


def test_a_last_empty_answer_only_asks_for_one():
    assert read("\n\nHuman: A story?\n\nAssistant:") == [user("A story?")]


def test_two_turns_of_one_speaker_become_one():
    assert read("Human: One.\n\nHuman: Two.") == [user("One.\n\nTwo.")]


def test_words_in_the_middle_of_a_plain_prompt_make_no_transcript():
    text = "Continue this play.\n\nHuman: Who is there?"
    assert read(text) == [user(text)]


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "  ",
        "Human: Hi.\n\nAssistant: Hello!",
        [],
        [assistant("Hello!")],
        [{"role": "robot", "content": "Hi"}],
        [{"role": "user"}],
        ["Hi"],
    ],
)
def test_what_does_not_end_with_the_user_is_refused(prompt):
    with pytest.raises(NotAPrompt):
        read(prompt)


@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from([" ", "  ", "\n", "\t "]))
def test_white_space_makes_no_other_prompt(words, space):
    one = conversations.normal_form([user(" ".join(words))])
    assert conversations.normal_form([user(space.join(words) + space)]) == one


@given(st.text("abcxyz ?."))
def test_case_makes_no_other_prompt(text):
    assert conversations.normal(text.title()) == conversations.normal(text.upper()) == conversations.normal(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_letters_are_normalised_alike_whatever_stands_beside_them(text):
    assert conversations.normal(f"{text} \u00e9") == f"{conversations.normal(text)} \u00e9".strip()


@given(st.text())
def test_normal_text_is_normal_already(text):
    assert conversations.normal(conversations.normal(text)) == conversations.normal(text)


@pytest.mark.law("D1")
@given(st.text(max_size=200), st.text(), st.text())
def test_prompts_with_a_long_common_beginning_share_a_split(beginning, one_end, other_end):
    """Law D1."""
    beginning = conversations.normal(beginning).ljust(splits.LONG_PREFIX, "x")
    groups = {splits.group_of([user(f"{beginning}x{end}")]) for end in (one_end, other_end)}
    assert len(groups) == 1


@pytest.mark.law("D1")
@given(st.text(min_size=1), st.text(min_size=1))
def test_two_dialogues_that_begin_alike_share_a_split(question, answer):
    """Law D1: a dialogue's later turns do not tear it from its siblings."""
    alone = splits.group_of([user(question)])
    assert splits.group_of([user(question), assistant(answer), user("And then?")]) == alone


@pytest.mark.law("D1")
@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=2))
def test_all_prompts_of_a_source_user_share_a_split(name, texts):
    """Law D1."""
    groups = {splits.group_of([user(text)], source="chat", source_user=name) for text in texts}
    assert len(groups) == 1


@pytest.mark.law("D1")
@given(WORDS, WORDS)
def test_a_record_without_a_prompt_stands_by_its_own_hash(one, other):
    """Law D1: bare statements are no cluster of those without a prompt; the whole record decides."""
    groups = [splits.group_of([], record=record) for record in (one, other, one)]
    assert groups[0] == groups[2]
    assert (groups[0] == groups[1]) == (one == other)


def test_the_splits_are_eighty_ten_and_ten_of_a_hundred():
    drawn = [splits.split_of(f"group {n}") for n in range(10_000)]
    assert 7800 < drawn.count("train") < 8200
    assert 850 < drawn.count("valid") < 1150
    assert 850 < drawn.count("test") < 1150


def test_what_anyone_held_out_stays_held_out():
    assert splits.strictest(["train", "test", "valid"]) == "test"
    assert splits.strictest(["train", "valid"]) == "valid"
