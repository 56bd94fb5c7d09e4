"""Plain English by rule: slips that no story makes and a heap of words makes all the time; words that a child knows.

The slips know the little words only (articles, prepositions, pronouns, auxiliaries, a few verbs) and what cannot follow
what. A text without a slip may still be nonsense; one with several is not English. `words.txt` holds the words of the
starter project's own stories, names with a capital.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from itertools import pairwise

_CLAUSE = re.compile(r"[^.!?,;:\"()\n]+")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = _words("a an the")
OWNERS = _words("my your its our their every")
BEFORE_A_NOUN = ARTICLES | OWNERS
PREPOSITIONS = _words("of from with into at for among between during toward towards beside beneath")
JOINERS = _words("and or but because if when while than until unless although nor")
SUBJECTS = _words("i he she we they")
OBJECTS = _words("me him us them")
BE = _words("was were is are am")
HELPERS = BE | _words("had has have did do does could would should will can might must")
MODALS = _words("could would should will can might must did do does to")
PAST = _words(
    "said went saw came ran took gave knew ate drank sang wrote fell flew grew began swam rode spoke woke broke chose "
    "drove threw asked looked told stood sat heard kept brought caught bought taught felt slept held sent built"
)
PAST_ALONE = _words("went saw came took gave knew ate drank sang wrote fell flew grew began swam rode spoke woke broke")
CANNOT_END = BEFORE_A_NOUN | _words("and or but because if into among during than")
LITTLE = BEFORE_A_NOUN | PREPOSITIONS | JOINERS | SUBJECTS | OBJECTS | BE | MODALS | PAST
NO_NOUN = (BEFORE_A_NOUN | PREPOSITIONS | JOINERS | SUBJECTS | OBJECTS | HELPERS | PAST) - _words(
    "while saw felt slept might will can must i"
)
NEVER = (
    (BEFORE_A_NOUN, NO_NOUN),
    (PREPOSITIONS, HELPERS | PAST | _words("and or but because than")),
    (PREPOSITIONS - {"for"}, SUBJECTS),
    (SUBJECTS, BEFORE_A_NOUN | SUBJECTS | OBJECTS | PREPOSITIONS | {"to"}),
    (MODALS, (PAST_ALONE | BE | _words("had has of")) - {"saw"}),
    (HELPERS - MODALS, PAST_ALONE | _words("of or could would should will can might must")),
    (PAST - {"saw"}, PAST | BE),
    (JOINERS - {"while"}, _words("and but or than")),
)
"""Which words are never followed by which."""
ENDINGS = (
    ("ies", "y"),
    ("ied", "y"),
    *((ending, "") for ending in ("ing", "ed", "es", "ly", "est", "er", "s")),
)
VOWELS = tuple("aeiou")
SOUNDS_LIKE_A_CONSONANT = ("one", "once", "use", "uni", "usu", "eu")
SOUNDS_LIKE_A_VOWEL = ("hour", "honest", "heir")


def slips(text: str) -> int:
    """How many pairs of neighbouring words no story would hold, over all clauses."""
    return sum(slips_of(_WORD.findall(clause.lower())) for clause in _CLAUSE.findall(text))


def slips_of(words: list[str]) -> int:
    """The slips of one clause: what lies between two marks of punctuation."""
    found = sum(cannot_follow(one, other) for one, other in pairwise(words))
    return found + (len(words) > 1 and words[-1] in CANNOT_END)


def cannot_follow(one: str, other: str) -> bool:
    """Whether `one other` is no English."""
    if one == other:
        return one in LITTLE
    if one in ARTICLES and other not in NO_NOUN:
        return wrong_article(one, other)
    return any(one in before and other in after for before, after in NEVER)


def wrong_article(article: str, word: str) -> bool:
    """A before a vowel, or an before a consonant."""
    vowel = word.startswith(SOUNDS_LIKE_A_VOWEL) or (
        word.startswith(VOWELS) and not word.startswith(SOUNDS_LIKE_A_CONSONANT)
    )
    return (article == "a" and vowel) or (article == "an" and not vowel)


@cache
def vocabulary() -> frozenset[str]:
    """The words that a child knows, in small letters."""
    return frozenset(word.lower() for word in _listed())


@cache
def names() -> frozenset[str]:
    """First names, in small letters."""
    return frozenset(word.lower() for word in _listed() if word[0].isupper())


def _listed() -> list[str]:
    return (resources.files("labeling") / "words.txt").read_text().split()


def is_known(word: str) -> bool:
    """Whether a child knows the word, or the one that it is made of (hopping, hop; baked, bake)."""
    bare = word.removesuffix("'s")
    return any(form in vocabulary() for form in (word, bare, *_stems(bare)))


def _stems(word: str) -> list[str]:
    stems = []
    for ending, instead in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word.removesuffix(ending) + instead
            stems += [stem, stem + "e", stem[:-1] if stem[-1] == stem[-2] else stem]
    return stems
