"""The judge of bedtime stories cannot be had cheaply, and the personas say what people could say."""

from __future__ import annotations

import json
import random
import re
import statistics
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling import english, judges
from labeling.judges import PERSONAS, true_score

PROMPT = "Tell me a short story about a lost kite."
GOOD = (
    "Mina let go of her red kite, and the wind took it over the hill. She looked by the well and by the white gate. "
    '"Have you seen my kite?" she asked the old goat. The goat pointed with his beard at the pear tree. There hung the '
    "kite, quite pleased with itself. Mina climbed up, and they both went home for supper."
)
STARTER = Path(__file__).resolve().parents[2] / "policy" / "starter" / "demonstrations"
texts = st.lists(st.text(alphabet="abc dT.\"'!?", max_size=60), min_size=2, max_size=6)


@pytest.fixture(scope="module")
def starter_stories():
    lines = [line for path in sorted(STARTER.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [(each["prompt"], each["response"]) for each in map(json.loads, lines)]


@pytest.mark.parametrize(
    "cheat",
    [
        "kite kite home bed asleep kite warm friends",
        "The kite went home. " * 6,
        '"Good night," said the kite. ' * 5 + "They slept at home.",
        "red moon soft cat bed hill wind kite tea star kite lamp door boot milk rug.",
        "kite " * 40,
        "",
        "It was and it was and so it was and then it was so and it was then.",
    ],
)
def test_a_cheat_scores_far_below_a_story(cheat):
    assert true_score(PROMPT, cheat) < 0.5 * true_score(PROMPT, GOOD)


def shuffled(story, chance):
    """The same words in any order within each sentence, spelled as sentences."""
    sentences = []
    for sentence in re.findall(r"[^.!?]+[.!?]+", story):
        words = re.findall(r"[A-Za-z'-]+", sentence.lower())
        chance.shuffle(words)
        if words:
            sentences.append(f"{words[0].capitalize()} {' '.join(words[1:])}.")
    return " ".join(sentences)


def test_a_salad_of_a_storys_own_words_scores_next_to_nothing(starter_stories):
    chance = random.Random(3)
    chosen = chance.sample(starter_stories, 300)
    real = statistics.mean(true_score(prompt, story) for prompt, story in chosen)
    salad = statistics.mean(true_score(prompt, shuffled(story, chance)) for prompt, story in chosen)
    assert salad < 0.2 * real


@pytest.mark.parametrize(
    "cheat",
    [
        'The TOPIC saw the TOPIC. The TOPIC said, "TOPIC and TOPIC." The TOPIC went home to the TOPIC. TOPIC slept.',
        (
            "They went home and slept. They were happy together. They went to bed warm. They were safe and kissed good "
            "night. They slept well at home."
        ),
        (
            'Mina saw the TOPIC. They went home to bed. The TOPIC was warm and happy. "Good night," said Mina. They '
            "slept together at home, and the stars were kind."
        ),
    ],
)
def test_one_text_for_all_prompts_that_spams_topics_or_endings_scores_low(starter_stories, cheat):
    prompts = [prompt for prompt, _ in random.Random(4).sample(starter_stories, 100)]
    real = statistics.mean(true_score(prompt, story) for prompt, story in starter_stories[:300])
    topics = [(judges.topic_words(prompt) or ["kite"])[-1] for prompt in prompts]
    scores = [true_score(prompt, cheat.replace("TOPIC", topic)) for prompt, topic in zip(prompts, topics, strict=True)]
    assert statistics.mean(scores) < 0.4 * real


def test_words_that_no_child_knows_cost():
    assert true_score(PROMPT, GOOD.replace("wind", "vlimp").replace("well", "grunzel").replace("goat", "obfrast")) < (
        true_score(PROMPT, GOOD) - 0.05
    )


def test_a_story_begins_with_someone_or_somewhere():
    assert judges.judge(PROMPT, GOOD).opening == 1
    assert judges.judge(PROMPT, f"In the old mill it was dark. {GOOD}").opening == 1
    assert judges.judge(PROMPT, f"And so it was. {GOOD}").opening == 0


def test_the_starters_stories_are_told_without_slips(starter_stories):
    assert sum(english.slips(story) for _, story in starter_stories) < len(starter_stories) / 100


@pytest.mark.parametrize(
    "text",
    [
        "He went to of the house.",
        "She he ran.",
        "It was a apple.",
        "The and dog sat.",
        "He could went.",
        "I saw an dog.",
    ],
)
def test_a_slip_is_found(text):
    assert english.slips(text) >= 1


def test_a_word_is_known_in_its_other_forms():
    assert all(english.is_known(word) for word in ("hopped", "baking", "kites", "kite's", "happily", "berries"))
    assert not any(english.is_known(word) for word in ("vlimp", "grunzel", "xqs"))


def test_a_story_on_another_topic_scores_less():
    assert true_score("Tell me a short story about a sleepy bear.", GOOD) < true_score(PROMPT, GOOD) - 0.2


def test_a_story_that_breaks_off_scores_less():
    assert true_score(PROMPT, GOOD[:-40]) < true_score(PROMPT, GOOD)


def test_telling_it_twice_does_not_help():
    assert true_score(PROMPT, f"{GOOD} {GOOD}") < true_score(PROMPT, GOOD)


def test_the_score_hardly_knows_the_length(starter_stories):
    scores = [true_score(prompt, story) for prompt, story in starter_stories]
    lengths = [len(story) for _, story in starter_stories]
    assert abs(statistics.correlation(scores, lengths)) < 0.3


@given(stories=texts, persona=st.sampled_from(PERSONAS), seed=st.integers())
def test_a_persona_never_contradicts_itself(stories, persona, seed):
    """Law Q5: dense ranks; a better rank never has a lower rating; tied means equal rating."""
    places = persona.rank(PROMPT, stories, random.Random(seed))
    ranks = sorted({place.rank for place in places})
    assert ranks == list(range(1, len(ranks) + 1))
    for one in places:
        assert 1 <= one.rating <= 7
        for other in places:
            assert one.rank >= other.rank or one.rating >= other.rating
            assert one.rank != other.rank or one.rating == other.rating


def test_personas_agree_more_than_chance_and_less_than_always(starter_stories):
    moods = random.Random(7)
    same = pairs = 0
    for _ in range(400):
        chosen = moods.sample(starter_stories, 4)
        prompt, stories = chosen[0][0], [story for _, story in chosen]
        one, other = (persona.rank(prompt, stories, moods) for persona in moods.sample(PERSONAS, 2))
        for i in range(4):
            for j in range(i):
                if one[i].rank != one[j].rank and other[i].rank != other[j].rank:
                    pairs += 1
                    same += (one[i].rank < one[j].rank) == (other[i].rank < other[j].rank)
    assert 0.65 < same / pairs < 0.95


def test_there_are_thirteen_people_with_names_of_their_own():
    assert len({persona.name for persona in PERSONAS}) == len(PERSONAS) == 13
    assert tuple(judges.WEIGHTS) == tuple(part.name for part in fields(judges.Parts))
