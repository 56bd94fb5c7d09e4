"""What a line of a file says: a prompt, a demonstration, or responses with what was judged of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from labeling import conversations, rankings, splits
from labeling.lines import BadLine
from labeling.prompts import NewPrompt
from training.records import WORDS
from training.records import Placement as Place

LONGEST_SOURCE, LONGEST_NAME = 100, 150


@dataclass(slots=True, kw_only=True)
class Record:
    """What every line becomes before it is written; a line of prompts is no more than this."""

    prompt: NewPrompt


@dataclass(slots=True, kw_only=True)
class DemonstrationRecord(Record):
    """A line of demonstrations."""

    key: str
    response: str
    annotator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One annotator's word: the order of a ranking, or verdicts."""

    annotator: str
    data: Any
    """As the file has it."""
    places: tuple[Place, ...] = ()
    verdicts: tuple[tuple[str, str, str], ...] = ()
    """(a, b, word)"""
    simulated: bool = False
    flags: tuple[str, ...] = ()
    note: str = ""


@dataclass(slots=True, kw_only=True)
class JudgedRecord(Record):
    """A line of responses with what was said of them. Responses are named by their text: identical ones are one."""

    key: str
    responses: dict[str, str]
    """text -> the name of its (first) writer"""
    said: list[Said]
    left_out: Counter[str]


def read_prompt(data: dict[str, Any], source: str) -> Record:
    """A line with a `prompt` (text, transcript or messages); perhaps source, source_user, tags, priority, split."""
    return Record(prompt=prompt_of(data, source))


def read_demonstration(data: dict[str, Any], source: str) -> DemonstrationRecord:
    """A line with a prompt and its ideal `response`."""
    response = filled(data, "response")
    return DemonstrationRecord(
        prompt=prompt_of(data, source),
        key=key_of(data, source),
        response=response,
        annotator=text(data, "annotator", default="", longest=LONGEST_NAME),
    )


def read_judged(data: dict[str, Any], source: str) -> JudgedRecord:
    """A line of candidates, rankings or verdicts, a (chosen, rejected) pair, or a line that a snapshot wrote."""
    if "chosen" in data or "rejected" in data:
        texts = {"chosen": filled(data, "chosen"), "rejected": filled(data, "rejected")}
        names = {"chosen": "", "rejected": ""}
        more = {name: data[name] for name in ("strength", "votes") if data.get(name) is not None}
        said = [Said(annotator="", data={"verdict": "a"} | more, verdicts=(("chosen", "rejected", "a"),))]
    elif isinstance(data.get("responses"), list):
        texts, names = listed_responses(data["responses"])
        said = [own_word(item, texts) for item in items(data, "judgements")]
    else:
        texts = written(data.get("responses"))
        names = {name: name for name in texts}
        said = [word_of(item, texts) for item in items(data, "annotations")]
    if len({word.annotator for word in said}) < len(said):
        raise BadLine("an annotator has two words on this line")
    return by_text(data, source, texts, names, said)


def by_text(
    data: dict[str, Any], source: str, texts: dict[str, str], names: dict[str, str], said: list[Said]
) -> JudgedRecord:
    """Make identical responses one, and see that there is something left to compare."""
    writers: dict[str, str] = {}
    for name, written_text in texts.items():
        writers.setdefault(written_text, names[name])
    if len(writers) < 2:
        raise BadLine("all responses are identical: there is nothing to compare")
    left_out: Counter[str] = Counter()
    left_out["identical responses made one"] = len(texts) - len(writers)
    merged = [merge(word, texts, left_out) for word in said]
    record = "" if data.get("prompt") else "\n".join(sorted(conversations.normal(each) for each in writers))
    return JudgedRecord(
        prompt=prompt_of(data, source, record=record),
        key=key_of(data, source),
        responses=writers,
        said=[word for word in merged if word.places or word.verdicts],
        left_out=left_out,
    )


def merge(word: Said, texts: dict[str, str], left_out: Counter[str]) -> Said:
    """Say a word of texts instead of names. A ranking keeps the best place that it gave to a text, and closes up."""
    verdicts = [(texts[a], texts[b], verdict) for a, b, verdict in word.verdicts]
    between_two = tuple((a, b, verdict) for a, b, verdict in verdicts if a != b)
    left_out["verdicts between identical responses left out"] += len(verdicts) - len(between_two)
    best: dict[str, Place] = {}
    for place in sorted(word.places, key=lambda place: place.rank):
        best.setdefault(texts[place.response], place)
    dense = {rank: number for number, rank in enumerate(sorted({place.rank for place in best.values()}), start=1)}
    places = tuple(replace(place, response=each, rank=dense[place.rank]) for each, place in best.items())
    if not places and not between_two:
        left_out["annotations that compare only identical responses left out"] += 1
    return replace(word, places=places, verdicts=between_two)


def written(responses: Any) -> dict[str, str]:
    """The texts of `responses {name: text}`."""
    if not isinstance(responses, dict) or len(responses) < 2:
        raise BadLine("responses must hold at least two texts by name")
    return {name: filled(responses, name, called=f"response {name!r}") for name in responses}


def listed_responses(responses: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The texts and writers of `responses [{id, text, author}]`."""
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) for each in responses):
        raise BadLine("responses must hold an id and a text each")
    texts = {each["id"]: filled(each, "text", called=f"response {each['id']!r}") for each in responses}
    if len(texts) < max(2, len(responses)):
        raise BadLine("responses must hold at least two, each under an id of its own")
    return texts, {each["id"]: str(each.get("author") or each.get("checkpoint") or "") for each in responses}


def word_of(item: dict[str, Any], texts: dict[str, str]) -> Said:
    """One of `annotations`: a list from best to worst, or pairwise verdicts."""
    data = item.get("data")
    if not isinstance(data, list) or not data:
        raise BadLine("an annotation's data must be a list")
    annotator = filled(item, "annotator", longest=LONGEST_NAME)
    if all(isinstance(each, str) for each in data):
        places = tuple(Place(response=name, rank=rank) for rank, name in enumerate(data, start=1))
        rankings.validate(places, list(texts), rated=False)
        return Said(annotator=annotator, data=item, places=places)
    return Said(annotator=annotator, data=item, verdicts=verdicts_of(data, texts))


def own_word(item: dict[str, Any], texts: dict[str, str]) -> Said:
    """One of `judgements`, as snapshots write them."""
    annotator, simulated = filled(item, "annotator", longest=LONGEST_NAME), item.get("simulated") is True
    if item.get("kind") == "verdicts":
        verdicts = verdicts_of(items(item, "verdicts"), texts)
        return Said(annotator=annotator, data=item, verdicts=verdicts, simulated=simulated)
    try:
        places = tuple(
            Place(
                response=each["response"],
                rank=each["rank"],
                rating=each.get("rating"),
                flags=tuple(each.get("flags") or ()),
            )
            for each in items(item, "placements")
        )
        rankings.validate(places, list(texts), rated=False)
    except (KeyError, TypeError) as error:
        raise BadLine(f"a placement holds a response, a rank, a rating and flags: {error}") from None
    return Said(
        annotator=annotator,
        data=item,
        places=places,
        simulated=simulated,
        flags=tuple(map(str, item.get("flags") or ())),
        note=text(item, "note", default=""),
    )


def verdicts_of(rows: Any, texts: dict[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Pairwise verdicts: rows with a, b and a verdict."""
    found = []
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("verdict") not in WORDS:
            raise BadLine(f"a verdict is one of {', '.join(WORDS)}")
        a, b = row.get("a"), row.get("b")
        if a not in texts or b not in texts or a == b:
            raise BadLine(f"a verdict is on two responses of its line, not on {a!r} and {b!r}")
        found.append((a, b, row["verdict"]))
    if not found:
        raise BadLine("an annotation without any verdict")
    return tuple(found)


def prompt_of(data: dict[str, Any], source: str, *, record: str = "") -> NewPrompt:
    """The prompt of a line."""
    asked = data.get("prompt")
    if asked is None and not record:
        raise BadLine("prompt is missing")
    if asked is not None and not isinstance(asked, str | list):
        raise BadLine("prompt must be text or a list of messages")
    if len(source) > LONGEST_SOURCE:
        raise BadLine(f"source is longer than {LONGEST_SOURCE} characters")
    split = text(data, "split", default="") or None
    if split is not None and split not in splits.STRICTNESS:
        raise BadLine(f"split must be one of {', '.join(splits.STRICTNESS)}, not {split!r}")
    return NewPrompt(
        messages=[] if record else conversations.read(asked or ""),
        source=source,
        source_user=text(data, "source_user", default="", longest=LONGEST_NAME)
        or text(data, "user", default="", longest=LONGEST_NAME),
        record=record,
        tags=tags_of(data),
        priority=priority_of(data),
        split=split,
        line_split=split,
    )


def tags_of(data: dict[str, Any]) -> tuple[str, ...]:
    """The tags of a line: a list, or text between commas; its category and kind are tags too."""
    tags = data.get("tags") or []
    if isinstance(tags, str):
        tags = tags.split(",")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadLine("tags must be a list of texts")
    more = [data[name] for name in ("category", "kind") if isinstance(data.get(name), str)]
    return tuple(dict.fromkeys(tag.strip() for tag in [*tags, *more] if tag.strip()))


def priority_of(data: dict[str, Any]) -> int:
    """The priority of a line: 0 where it names none."""
    try:
        priority = int(data.get("priority") or 0)
    except (TypeError, ValueError):
        raise BadLine(f"priority must be a whole number, not {data['priority']!r}") from None
    if not -(2**15) <= priority < 2**15:
        raise BadLine("priority must lie between -32768 and 32767")
    return priority


def key_of(data: dict[str, Any], source: str) -> str:
    """What tells a record from others of its source: its id, else its content."""
    own = data.get("id")
    if not isinstance(own, str | int) or len(f"{source}:{own}") > 200:
        own = conversations.fingerprint(json.dumps(data, sort_keys=True))
    return f"{source}:{own}"[-200:]


def text(data: dict[str, Any], name: str, *, default: str, longest: int | None = None) -> str:
    """A text field of at most so many characters; absent or null gives the default."""
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise BadLine(f"{name} must be text")
    if longest is not None and len(value) > longest:
        raise BadLine(f"{name} is longer than {longest} characters")
    return value


def filled(data: dict[str, Any], name: str, *, called: str = "", longest: int | None = None) -> str:
    """A text field that holds something, without white space around it, of at most so many characters."""
    value = data.get(name)
    if not isinstance(value, str):
        raise BadLine(f"{called or name} is missing" if value is None else f"{called or name} must be text")
    if not value.strip():
        raise BadLine(f"{called or name} is empty")
    if longest is not None and len(value.strip()) > longest:
        raise BadLine(f"{called or name} is longer than {longest} characters")
    return value.strip()


def items(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects; absent gives none."""
    found = data.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadLine(f"{name} must be a list of objects")
    return found
