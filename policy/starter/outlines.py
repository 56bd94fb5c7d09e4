"""Stories told from outlines, each with other beings and things in it.

A small model learns from them to keep apart who does what to whom: the same plot comes with a fox and a drum, with a
hen and a cart. `outlines.txt` first lists kinds of beings, things and others, each with its pronoun if it has only one
(`* child, beings: boy:he elf`). An outline is a header and a text:

    = A:walker+child T:heavy / @A and @T
    @A found @T {by the road|on the hill}. A could not lift T, and A.he called @B:strong. ...

The header names the roles that the topic speaks of (`A:walker:shy|lost`: of a kind, with one of these adjectives) and
the topic itself; the text may bring in more of them (`@B:strong`). In both `@A` is "a shy fox", `A` "the fox", `+A`
"the shy fox", `-A` "fox", and `A.he`, `A.him`, `A.his` are its pronouns. `{one|another}` is a choice, and may hold
others; choices with the same digit, `{1:a rope|a branch}` and `{1:let it down|pushed it in}`, are made alike.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from training.records import DemonstrationLine, Message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

OUTLINES = Path(__file__).parent / "outlines.txt"
REQUESTS = (
    *["Tell me a short story about {}."] * 10,
    "Tell me a story about {}.",
    "Tell me a bedtime story about {}.",
    "Write a bedtime story about {}.",
    "Please tell a story about {}.",
    "Can you tell me a story about {}?",
    "I would like a story about {}.",
)
HELD_OUT = 0.01
"""Share of the topics that are of the split valid."""
DESCRIBED = 0.75
"""How often somebody whose role has adjectives has one."""
DRESSED = 0.3
"""How often somebody whom the topic names, and whose role has none, has an adjective that fits every plot."""
REMEMBERED = 0.15
"""How often an adjective is said again."""
FITTING = {
    "beings": ("little", "old", "young", "kind", "quiet", "merry", "gentle", "clever", "small", "friendly", "busy"),
    "things": ("red", "blue", "green", "yellow", "white", "little", "small", "old", "new"),
    "others": (),
}
_ROLE = re.compile(
    r"(?P<how>[@+-]?)\b(?P<role>[ABCDGMNPRST])\b"
    r"(?::(?P<kinds>[a-z+]+))?(?:\.(?P<pronoun>he|him|his)\b)?"
)
_CHOICE = re.compile(r"\{(?:(?P<alike>\d):)?(?P<choices>[^{}]*)\}")
Kinds = dict[str, list[tuple[str, tuple[str, ...], tuple[str, ...]]]]
"""Of each kind its nouns or names, the pronouns that may stand for one, and the adjectives that fit it everywhere."""
_PRONOUNS = {
    "he": {"he": "he", "him": "him", "his": "his"},
    "she": {"he": "she", "him": "her", "his": "her"},
    "it": {"he": "it", "him": "it", "his": "its"},
}


@dataclass(frozen=True, slots=True)
class Someone:
    """Who or what plays a role: a noun or a name, perhaps an adjective, and which pronoun stands for it."""

    noun: str
    sex: str
    adjective: str = ""

    def said(self, how: str) -> str:
        """Name it: `@` for the first time, `+` with its adjective, `-` bare, and plainly otherwise."""
        if self.noun[0].isupper():
            return self.noun
        whole = f"{self.adjective} {self.noun}".strip()
        if how == "@":
            return f"the {whole}" if whole == "moon" else f"a {whole}"
        return {"+": f"the {whole}", "-": self.noun}.get(how, f"the {self.noun}")


@dataclass(frozen=True, slots=True)
class Outline:
    """A plot: the roles of its topic as (letter, kinds, adjectives), the topic, and the text."""

    roles: tuple[tuple[str, str, tuple[str, ...]], ...]
    topic: str
    text: str


def kinds() -> Kinds:
    """Read the kinds of beings and things."""
    read: Kinds = {}
    for name, sort, entries in re.findall(r"^\* (\w+), (\w+): (.*)$", OUTLINES.read_text(), re.MULTILINE):
        usual = ("he", "she") if sort == "beings" else ("it",)
        parted = (entry.partition(":") for entry in entries.split())
        read[name] = [(noun.replace("_", " "), (sex,) if sex else usual, FITTING[sort]) for noun, _, sex in parted]
    return read


def outlines() -> list[Outline]:
    """Read all outlines."""
    read = []
    for roles, topic, text in re.findall(r"^= (.*) / (.*)\n(.*)$", OUTLINES.read_text(), re.MULTILINE):
        parsed = []
        for role in roles.split():
            letter, named, *adjectives = role.split(":")
            parsed.append((letter, named, tuple(adjectives[0].split("|")) if adjectives else ()))
        read.append(Outline(tuple(parsed), topic, text))
    return read


def topic(prompt: str) -> str:
    """Give what a prompt asks a story about, without the request around it."""
    return prompt.partition(" about ")[2].rstrip(".?!").lower()


def told(count: int, *, seed: int, without: Collection[str]) -> Iterator[DemonstrationLine]:
    """Tell `count` different stories, as many from each outline as its fillings allow, on topics not in `without`."""
    chance = random.Random(seed)
    plots, everyone = outlines(), kinds()
    seen: set[str] = set()
    while len(seen) < count:
        for plot in plots:
            about, story = tell(plot, everyone, chance)
            if story in seen or about.lower() in without or len(seen) == count:
                continue
            seen.add(story)
            yield DemonstrationLine(
                id=f"starter-outline-{len(seen):05}",
                split="valid" if sha256(about.encode()).digest()[0] < HELD_OUT * 256 else "train",
                group=about.lower(),
                prompt=(Message("user", chance.choice(REQUESTS).format(about)),),
                response=story,
                annotator=None,
                source="starter",
                simulated=False,
            )


def tell(plot: Outline, everyone: Kinds, chance: random.Random) -> tuple[str, str]:
    """Fill an outline; return its topic and its story."""
    cast: dict[str, Someone] = {}
    alike: dict[str, float] = {}

    def join(letter: str, named: str, adjectives: tuple[str, ...] = (), *, dressed: float = 0.0) -> None:
        playing = {someone.noun for someone in cast.values()}
        free = [one for one in everyone[chance.choice(named.split("+"))] if one[0] not in playing]
        noun, sexes, fitting = chance.choice(free)
        often = DESCRIBED if adjectives else dressed
        choices = adjectives or fitting
        adjective = chance.choice(choices) if choices and chance.random() < often else ""
        cast[letter] = Someone(noun, chance.choice(sexes), adjective)

    def choose(match: re.Match[str]) -> str:
        choices = match["choices"].split("|")
        share = chance.random()
        if match["alike"]:
            share = alike.setdefault(match["alike"], share)
        return choices[int(share * len(choices))]

    def put(match: re.Match[str]) -> str:
        letter = match["role"]
        if letter not in cast:
            join(letter, match["kinds"])
        if match["pronoun"]:
            return _PRONOUNS[cast[letter].sex][match["pronoun"]]
        how = match["how"]
        return cast[letter].said("+" if not how and chance.random() < REMEMBERED else how)

    for role in plot.roles:
        join(*role, dressed=DRESSED)
    topic, text = plot.topic, plot.text
    while _CHOICE.search(topic + text):
        topic, text = _CHOICE.sub(choose, topic), _CHOICE.sub(choose, text)
    return _articles(_ROLE.sub(put, topic)), _articles(_capitals(_ROLE.sub(put, text)))


def _capitals(text: str) -> str:
    """Begin each sentence with a capital; a question in quotes has no comma behind it, and `said` goes on after it."""
    text = re.sub(r'([?!]),"', r'\1"', text)
    return re.sub(r'(^|[.!?] |[.!?] "|\." |[?!]" (?=the ))([a-z])', lambda match: match[1] + match[2].upper(), text)


def _articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou]|hour)(?!one\b|uni|ewe|use)", r"\1n ", text)
