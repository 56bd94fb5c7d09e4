"""A judge of bedtime stories by rules, and thirteen people made of it.

The judge reads a prompt and a story and says, part by part, how good a bedtime story it is. It knows no model and no
language beyond a few lists of words; it is there so that the whole loop can be run, and measured, with nobody at
the keyboard. Its score is a mean of parts in [0, 1], each of which saturates: more of the same, longer, or the topic's
word said ten times earns nothing.

The personas see the same parts through weights of their own, with noise, lapses and a reluctance to tell close things
apart (AlpacaFarm, 2305.14387, §2.3: thirteen simulated annotators and label noise were needed to reproduce
over-optimisation). Their judgements are marked as simulated wherever they are stored or shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from labeling import english

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_SENTENCE = re.compile(r"[^.!?]+[.!?]+[\"']?")
_SPEECH = re.compile(r'"([^"]+)"')


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REQUEST = _words(
    "a about and an bedtime can could for from hear i in is it kind like little me my of on one please read "
    "sleepy short some story stories tale tell that the their there to us was were who will with would write you "
    "your he she they his her not no at by has had have small"
)
_SAID = _words(
    "said asked answered called cried whispered replied laughed sang told shouted began added agreed explained "
    "thought says asks squeaked hooted purred barked murmured sighed giggled grumbled"
)
_CALM = _words(
    "home bed asleep sleep slept dream dreams dreamed night goodnight moon stars star warm quiet quietly soft "
    "softly together friend friends happy happily glad smiled smile laughed hug hugged kissed supper tea thank "
    "thanks thanked safe kind love loved evening lamp blanket cosy gently morning promised shared"
)
_HAPPY = _words(
    "home bed asleep sleep slept dream dreams dreamed goodnight night together friend friends happy happily glad "
    "smiled smile hug hugged kissed safe love loved"
)
_PLACES = _words("in on at by under near behind beside above over through across outside inside along between")
_COMMON = _words(
    "a about after again all along always an and any are around as asked at away back be because been before "
    "began big both but by came can could day did do down each even every far find first for found from gave get "
    "go good got great had has have he her here him his home how i if in inside into is it its just knew know let "
    "like little long looked made make many me more most much my near never new next no not now of off old on "
    "once one only or other our out over own put ran said sat saw see she so some something soon still stood such "
    "take than that the their them then there these they thing this those through till to together told too took "
    "tree two under until up upon us very was way we well went were what when where which while who why will with "
    "would yes you your"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the judge looks at, each from 0 (not at all) to 1."""

    topic: float
    """The story is about what the prompt asked for, and stays with it."""
    whole: float
    """Whole sentences, a closed ending, quotes that close, neither a scrap nor a ramble."""
    fresh: float
    """It does not repeat itself."""
    speech: float
    """Somebody speaks, and we are told who."""
    close: float
    """It ends calm or kind, and only the end needs to."""
    plain: float
    """The words are known to a child and hang together as English rather than as a heap."""
    opening: float
    """It begins with someone or somewhere."""

    def score(self, weights: Mapping[str, float] | None = None) -> float:
        """Weighted mean of the parts, in [0, 1]; a story that repeats itself or falls apart drags the rest down."""
        weights = WEIGHTS if weights is None else weights
        total = sum(weights.values())
        mean: float = sum(getattr(self, name) * weight for name, weight in weights.items()) / total
        shape: float = min(self.fresh, self.plain) ** 0.5
        return mean * shape


WEIGHTS: Mapping[str, float] = {
    "topic": 4.0,
    "whole": 1.5,
    "fresh": 1.0,
    "speech": 2.5,
    "close": 2.5,
    "plain": 1.0,
    "opening": 0.5,
}


def judge(prompt: str, story: str) -> Parts:
    """Judge one story by the rules, without noise."""
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(story)]
    words = _WORD.findall(story.lower())
    if not words:
        return Parts(topic=0, whole=0, fresh=0, speech=0, close=0, plain=0, opening=0)
    return Parts(
        topic=_topic(prompt, words),
        whole=_whole(story.strip(), sentences, words),
        fresh=_fresh(sentences, words),
        speech=_speech(story),
        close=_close(sentences, words),
        plain=_plain(story, words),
        opening=_opening(prompt, sentences),
    )


def true_score(prompt: str, story: str) -> float:
    """Give the judge's score of a story in [0, 1], without noise."""
    return judge(prompt, story).score()


def topic_words(prompt: str) -> list[str]:
    """Words of the prompt that name what the story should be about, without the request around them."""
    return [_stem(word) for word in _WORD.findall(prompt.lower()) if word not in _REQUEST]


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _topic(prompt: str, words: Sequence[str]) -> float:
    """Each topic word once is half, twice is whole; the last, usually the noun, counts double. Spam earns nothing."""
    wanted = topic_words(prompt)
    if not wanted:
        return 1.0
    stems = [_stem(word) for word in words]
    shares = []
    for place, word in enumerate(wanted):
        count = stems.count(word)
        spam = count > max(4, len(stems) // 8)
        weight = 2.0 if place == len(wanted) - 1 else 1.0
        shares.append((weight, 0.0 if spam else min(count, 2) / 2))
    return sum(w * s for w, s in shares) / sum(w for w, _ in shares)


def _whole(story: str, sentences: Sequence[str], words: Sequence[str]) -> float:
    """Check five plain things about the shape of the text; the mean of those that hold."""
    lengths = [len(_WORD.findall(sentence.lower())) for sentence in sentences] or [0]
    checks = (
        story.endswith((".", "!", "?", '."', '!"', '?"')),
        story.count('"') % 2 == 0,
        all(sentence.lstrip("\"' ")[:1].isupper() for sentence in sentences) and bool(sentences),
        3 <= len(sentences) <= 12 and len(words) >= 25,
        sum(2 <= length <= 28 for length in lengths) == len(lengths),
    )
    return sum(checks) / len(checks)


def _fresh(sentences: Sequence[str], words: Sequence[str]) -> float:
    """The least of four, stretched so that prose gets 1: different word triples, sentences, words, and not all ending.

    All ending is a story whose every sentence goes home, to bed or to a friend; two in five before the last may.
    """
    triples = list(zip(words, words[1:], words[2:], strict=False))
    different = len(set(triples)) / len(triples) if triples else 0.0
    spoken = [_WORD.findall(sentence.lower()) for sentence in sentences]
    unrepeated = len(set(map(tuple, spoken))) / len(spoken) if spoken else 0.0
    meant = [_stem(word) for word in words if word not in _COMMON]
    varied = len(set(meant)) / len(meant) if meant else 0.0
    ended = sum(not _HAPPY.isdisjoint(said) for said in spoken[:-1]) / max(1, len(spoken) - 1)
    return max(0.0, min(1.0, (min(different, unrepeated) - 0.5) / 0.4, (varied - 0.35) / 0.25, 1 - (ended - 0.4) / 0.3))


def _speech(story: str) -> float:
    """Something of two words or more is said in quotes (half), beside a word that says who speaks (whole)."""
    spoken = [match for match in _SPEECH.finditer(story) if len(match.group(1).split()) >= 2]
    if not spoken:
        return 0.0
    for match in spoken:
        beside = story[max(0, match.start() - 40) : match.start()] + " " + story[match.end() : match.end() + 40]
        if _SAID.intersection(_WORD.findall(beside.lower())):
            return 1.0
    return 0.5


def _close(sentences: Sequence[str], words: Sequence[str]) -> float:
    """One calm or kind word in the last sentence is 0.6, two are 1; the same words strewn all over earn nothing."""
    if not sentences:
        return 0.0
    calm = _CALM.intersection(_WORD.findall(sentences[-1].lower()))
    strewn = sum(word in _CALM for word in words) > max(6, len(words) // 6)
    return 0.0 if strewn or not calm else 0.6 if len(calm) == 1 else 1.0


def _plain(story: str, words: Sequence[str]) -> float:
    """The least of three: common words enough, no words that a child does not know, no slips of grammar.

    Ordinary prose is 45 to 70 % common words; a heap of nouns, or nothing but little words, is not prose. One word in
    thirty may be unknown. A slip in fifty words costs a third.
    """
    common = sum(word in _COMMON for word in words) / len(words)
    usual = common / 0.40 if common < 0.40 else 1 - max(0.0, common - 0.78) / 0.15
    unknown = sum(not english.is_known(word) for word in words) / len(words)
    slips = english.slips(story) * 50 / max(50, len(words))
    return max(0.0, min(1.0, usual, 1 - (unknown - 1 / 30) / 0.2, 1 - slips / 3))


def _opening(prompt: str, sentences: Sequence[str]) -> float:
    """The first sentence names someone, what the story is about, or a place."""
    spelled = re.findall(r"[A-Za-z]+", sentences[0]) if sentences else []
    words = [word.lower() for word in spelled]
    named = any(word[0].isupper() and word != "I" for word in spelled[1:])
    someone = named or not english.names().isdisjoint(words)
    topic = set(map(_stem, words)).intersection(topic_words(prompt))
    somewhere = any(one in _PLACES and other in english.BEFORE_A_NOUN for one, other in pairwise(words))
    return float(bool(someone or topic or somewhere))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a persona says of one response: its dense rank, 1 the best, and its rating from 1 to 7."""

    rank: int
    rating: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A simulated annotator."""

    name: str
    likes: Mapping[str, float] = field(default_factory=dict)
    """Factors on the judge's weights: what this person cares about more, or less."""
    noise: float = 0.06
    """Standard deviation of what a mood adds to each score."""
    lapse: float = 0.03
    """How often the attention is elsewhere and the order is chance."""
    flips: float = 0.02
    """How often two neighbours in the order change places by mistake."""
    tie_margin: float = 0.02
    """Scores nearer than this are called equal."""
    lenience: float = 0.0
    """Added to every score before it becomes a rating: some are kind, some are not."""

    def perceive(self, prompt: str, story: str, mood: random.Random) -> float:
        """How good the story seems to this person, this time."""
        weights = {name: weight * self.likes.get(name, 1.0) for name, weight in WEIGHTS.items()}
        return judge(prompt, story).score(weights) + mood.gauss(0.0, self.noise)

    def rank(self, prompt: str, stories: Sequence[str], mood: random.Random) -> list[Placement]:
        """Rank and rate the stories, in their order; a better rank never has a lower rating, and tied means equal."""
        lapsed = mood.random() < self.lapse
        seen = [mood.random() if lapsed else self.perceive(prompt, story, mood) for story in stories]
        for one, other in pairwise(sorted(range(len(stories)), key=lambda i: -seen[i])):
            if mood.random() < self.flips:
                seen[one], seen[other] = seen[other], seen[one]
        order = sorted(range(len(stories)), key=lambda i: -seen[i])
        placements: dict[int, Placement] = {}
        rank, rating, previous = 0, 7, float("inf")
        for i in order:
            if previous - seen[i] > self.tie_margin:
                rank, rating = rank + 1, min(rating, self._rating(seen[i]))
            placements[i] = Placement(rank=rank, rating=rating)
            previous = seen[i]
        return [placements[i] for i in range(len(stories))]

    def _rating(self, score: float) -> int:
        return max(1, min(7, 1 + int((score + self.lenience) * 7)))


PERSONAS: tuple[Persona, ...] = (
    Persona(name="Agnes", likes={"close": 1.4}),
    Persona(name="Bruno", likes={"speech": 1.5}, noise=0.08),
    Persona(name="Clara", likes={"topic": 1.5}, tie_margin=0.01),
    Persona(name="Dario", noise=0.10, lapse=0.05, flips=0.05),
    Persona(name="Edith", likes={"whole": 2.0}, lenience=-0.08),
    Persona(name="Farid", likes={"fresh": 1.5}, tie_margin=0.03),
    Persona(name="Greta", likes={"close": 1.2, "speech": 0.8}, lenience=0.08),
    Persona(name="Henry", noise=0.12, lapse=0.08, flips=0.06, tie_margin=0.03),
    Persona(name="Irene", likes={"plain": 1.5, "opening": 1.5}, noise=0.05),
    Persona(name="Jonas", likes={"speech": 1.3, "topic": 0.8}),
    Persona(name="Karin", likes={"topic": 1.3, "close": 0.8}, noise=0.05, lapse=0.01),
    Persona(name="Lukas", noise=0.09, tie_margin=0.04, lenience=0.05),
    Persona(name="Marta", likes={"close": 1.3, "whole": 1.3}, noise=0.07),
)
"""Thirteen people who agree on most things and not on all."""
