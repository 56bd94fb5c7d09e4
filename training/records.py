"""The line formats of datasets: frozen dataclasses that read themselves from one JSON line and write it back.

`X.from_json(text, line_number)` accepts exactly what the format allows and otherwise raises RecordError, which
names the line and the field; `X.from_json(x.to_json()) == x` for every x.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeVar, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Split = Literal["train", "valid", "test"]
Role = Literal["system", "user", "assistant"]
Word = Literal["a", "a_slight", "tie", "b_slight", "b"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
WORDS: tuple[Word, ...] = ("a", "a_slight", "tie", "b_slight", "b")
LARGEST = sys.float_info.max
SMALLEST_RANKING, LARGEST_RANKING = 2, 9
"""How many responses people rank at once: fewer compare nothing, more are beyond what one keeps in mind."""
WRITTEN_AT_ONCE = 2**20


class RecordError(ValueError):
    """A line that does not keep its format; knows the line's number and the field."""

    code = "bad_record"

    def __init__(self, reason: str, *, field: str = "", line_number: int | None = None) -> None:
        self.reason, self.field, self.line_number = reason, field, line_number
        where = f"line {line_number}: " if line_number is not None else ""
        super().__init__(f"{where}{field + ' ' if field else ''}{reason}")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLine:
    """A conversation that ends with the user's turn and wants a response."""

    id: str
    split: Split
    group: str
    prompt: tuple[Message, ...]
    source: str

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            return cls(**line.head(), source=line.text("source"))

    def to_json(self) -> str:
        """Write the line, without its newline."""
        return _dump(_head(self) | {"source": self.source})


@dataclass(frozen=True, slots=True, kw_only=True)
class DemonstrationLine:
    """A prompt with an annotator's ideal response; `started_from` is the id of a sampled one that they began with."""

    id: str
    split: Split
    group: str
    prompt: tuple[Message, ...]
    response: str
    annotator: str | None
    source: str
    simulated: bool
    started_from: str | None = None

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            return cls(
                **line.head(),
                response=line.text("response", blank=False),
                annotator=line.optional("annotator", line.text),
                source=line.text("source"),
                simulated=line.flag("simulated"),
                started_from=line.optional("started_from", line.text),
            )

    def to_json(self) -> str:
        """Write the line, without its newline."""
        rest = {"response": self.response, "annotator": self.annotator, "source": self.source}
        return _dump(_head(self) | rest | {"simulated": self.simulated, "started_from": self.started_from})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One candidate answer, by a checkpoint or a person."""

    id: str
    text: str
    checkpoint: str | None = None
    author: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One response's rank (1 is best, ties share a rank) and rating (1 to 7) in a ranking."""

    response: str
    rank: int
    rating: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingJudgement:
    """One annotator's ordering, with ties, of all responses to a prompt."""

    annotator: str
    placements: tuple[Placement, ...]
    flags: tuple[str, ...] = ()
    note: str = ""
    guidelines: int | None = None
    shown: tuple[str, ...] = ()
    seconds: float | None = None
    simulated: bool = False
    weight: float = 1.0
    """How much it counts in training, beside others."""

    def plain(self) -> dict[str, Any]:
        """Give it as it stands in a line."""
        return plain_ranking(
            annotator=self.annotator,
            placements=[plain_placement(said.response, said.rank, said.rating, said.flags) for said in self.placements],
            flags=self.flags,
            note=self.note,
            guidelines=self.guidelines,
            shown=self.shown,
            seconds=self.seconds,
            simulated=self.simulated,
            weight=self.weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One pairwise judgement: which of responses `a` and `b` is better."""

    a: str
    b: str
    verdict: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictsJudgement:
    """One annotator's pairwise verdicts, as they were said: they need fit no order."""

    annotator: str
    verdicts: tuple[Verdict, ...]
    simulated: bool = False
    weight: float = 1.0
    """How much it counts in training, beside others."""

    def plain(self) -> dict[str, Any]:
        """Give it as it stands in a line."""
        return plain_verdicts(self.annotator, self.verdicts, simulated=self.simulated, weight=self.weight)


Judgement = RankingJudgement | VerdictsJudgement


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingLine:
    """A prompt, its responses, and every annotator's word on them."""

    id: str
    split: Split
    group: str
    prompt: tuple[Message, ...]
    responses: tuple[Response, ...]
    judgements: tuple[Judgement, ...]

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            # A record without a prompt compares bare statements: its prompt is empty.
            head = line.head(empty_prompt=True)
            responses = tuple(_response(item) for item in line.items("responses"))
            ids = [response.id for response in responses]
            if len(ids) < 2:
                raise RecordError("must hold at least two responses", field="responses")
            if len(set(ids)) < len(ids):
                raise RecordError("names a response twice", field="responses")
            judgements = tuple(_judgement(item, ids) for item in line.items("judgements"))
            return cls(**head, responses=responses, judgements=judgements)

    def to_json(self) -> str:
        """Write the line, without its newline."""
        responses = [plain_response(each.id, each.text, each.checkpoint, each.author) for each in self.responses]
        return ranking_line(_head(self), responses, [judgement.plain() for judgement in self.judgements]).decode()[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A text to pre-train on. `weight` is how often it is read for each time that the others are."""

    text: str
    split: Split
    title: str | None = None
    weight: float = 1.0

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            return cls(
                text=line.text("text", blank=False),
                split=line.split(),
                title=line.optional("title", line.text),
                weight=line.weight(),
            )

    def to_json(self) -> str:
        """Write the line, without its newline."""
        return _dump({"text": self.text, "split": self.split, "title": self.title, "weight": _finite(self.weight)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The k-th response to a prompt, with the sum of its tokens' log-probabilities where its engine tells them.

    by: the job's input whose checkpoint wrote it.
    """

    k: int
    text: str
    token_count: int | None
    logprob: float | None
    finished: bool
    seed: int
    by: str = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLine:
    """A prompt and the K responses that a policy, or two of them, wrote to it."""

    prompt_id: str
    prompt: tuple[Message, ...]
    responses: tuple[Sample, ...]
    doubt: float | None = None
    """How unsure a reward model was of their order, 0 to ½; None where none was asked."""

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            responses = tuple(_sample(item) for item in line.items("responses"))
            if len({sample.k for sample in responses}) < len(responses):
                raise RecordError("holds the same k twice", field="responses")
            return cls(
                prompt_id=line.text("prompt_id", blank=False),
                prompt=line.prompt(),
                responses=responses,
                doubt=line.optional("doubt", line.number),
            )

    def to_json(self) -> str:
        """Write the line, without its newline."""
        responses = [
            {
                "k": sample.k,
                "text": sample.text,
                "token_count": sample.token_count,
                "logprob": _finite(sample.logprob),
                "finished": sample.finished,
                "seed": sample.seed,
                "by": sample.by,
            }
            for sample in self.responses
        ]
        said = {} if self.doubt is None else {"doubt": _finite(self.doubt)}
        return _dump({"prompt_id": self.prompt_id, "prompt": plain_prompt(self.prompt), "responses": responses} | said)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardLine:
    """A response with what a reward model says of it, or has still to say."""

    prompt: tuple[Message, ...]
    response: str
    reward: float | None = None
    spread: float | None = None
    """How far the reward model's ensemble is apart on it, where it has one."""

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""
        with _Reader(text, line_number) as line:
            return cls(
                prompt=line.prompt(empty=True),
                response=line.text("response"),
                reward=line.optional("reward", line.number),
                spread=line.optional("spread", line.number),
            )

    def to_json(self) -> str:
        """Write the line, without its newline."""
        said = {"reward": _finite(self.reward), "spread": _finite(self.spread)}
        return _dump({"prompt": plain_prompt(self.prompt), "response": self.response} | said)


class Writable(Protocol):
    """What can be written as a line."""

    def to_json(self) -> str:
        """Write the line, without its newline."""


class Line(Writable, Protocol):
    """What all line formats share."""

    @classmethod
    def from_json(cls, text: str, line_number: int | None = None) -> Self:
        """Read one line, or raise RecordError."""


class Written(NamedTuple):
    """A line of any format that is written already, with its newline."""

    split: str
    line: bytes


L = TypeVar("L", bound=Line)
V = TypeVar("V")


def read_lines(cls: type[L], path: Path) -> Iterator[L]:
    """Read the lines of a dataset: of a folder's `data.jsonl`, or of a plain or gzipped file."""
    path = Path(path)
    for number, text in numbered_lines(path / "data.jsonl" if path.is_dir() else path):
        yield cls.from_json(text, number)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of a plain or gzipped file that are not blank, with their numbers; RecordError if no text."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise RecordError(f"is not UTF-8 at byte {error.start + 1}", line_number=number) from error
            if text.strip():
                yield number, text


def has_half_pair(text: str) -> bool:
    """Tell whether half of a surrogate pair stands in it: JSON can say such a thing, but no tokenizer reads it."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def write_lines(lines: Iterable[Writable | Written], folder: Path, *, kind: str) -> dict[str, Any]:
    """Write a dataset folder (`data.jsonl` and `card.json` with the counts); return the card."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count, splits = 0, dict.fromkeys(SPLITS, 0)
    with (folder / "data.jsonl").open("wb", buffering=WRITTEN_AT_ONCE) as file:
        for line in lines:
            file.write(line.line if isinstance(line, Written) else line.to_json().encode() + b"\n")
            count += 1
            split = getattr(line, "split", None)
            if split is not None:
                splits[split] += 1
    card = {"kind": kind, "count": count, "splits": splits}
    (folder / "card.json").write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
    return card


def plain_prompt(prompt: Iterable[Message]) -> list[dict[str, str]]:
    """Give the messages as the plain dictionaries that chat templates and JSON take."""
    return [{"role": message.role, "content": message.content} for message in prompt]


# What a line of rankings is written from. A snapshot makes it of a database's values: a dataclass for each response and
# each placement would take longer than all the rest.


def plain_response(key: str, text: str, checkpoint: str | None, author: str | None) -> dict[str, Any]:
    """Give a response as it stands in a line."""
    return {"id": key, "text": text, "checkpoint": checkpoint, "author": author}


def plain_placement(response: str, rank: int, rating: int | None, flags: tuple[str, ...]) -> dict[str, Any]:
    """Give a placement as it stands in a line."""
    return {"response": response, "rank": rank, "rating": rating, "flags": flags}


def plain_ranking(
    *,
    annotator: str,
    placements: list[dict[str, Any]],
    flags: tuple[str, ...],
    note: str,
    guidelines: int | None,
    shown: tuple[str, ...],
    seconds: float | None,
    simulated: bool,
    weight: float = 1.0,
) -> dict[str, Any]:
    """Give one annotator's ordering as it stands in a line."""
    return {
        "kind": "ranking",
        "annotator": annotator,
        "placements": placements,
        "flags": flags,
        "note": note,
        "guidelines": guidelines,
        "shown": shown,
        "seconds": _finite(seconds),
        "simulated": simulated,
    } | _weighed(weight)


def plain_verdicts(
    annotator: str, verdicts: Iterable[Verdict], *, simulated: bool, weight: float = 1.0
) -> dict[str, Any]:
    """Give one annotator's pairwise verdicts as they stand in a line."""
    return {
        "kind": "verdicts",
        "annotator": annotator,
        "verdicts": [{"a": said.a, "b": said.b, "verdict": said.verdict} for said in verdicts],
        "simulated": simulated,
    } | _weighed(weight)


def plain_head(key: str, split: str, group: str, prompt: list[dict[str, str]]) -> dict[str, Any]:
    """Give what every line begins with; the prompt as `plain_prompt` gives it."""
    return {"id": key, "split": split, "group": group, "prompt": prompt}


def ranking_line(head: dict[str, Any], responses: list[dict[str, Any]], judgements: list[dict[str, Any]]) -> bytes:
    """Write a line of rankings, with its newline."""
    line = head | {"responses": responses, "judgements": judgements}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _dump(data: dict[str, Any]) -> str:
    return orjson.dumps(data).decode()


class _Reader:
    """The fields of one object, each read with its type; leaves no unknown field behind."""

    def __init__(self, source: str | object, line_number: int | None = None, path: str = "") -> None:
        self._line_number, self._path, self._seen = line_number, path, set[str]()
        data = source
        if isinstance(source, str):
            try:
                data = json.loads(source, parse_constant=_refuse_constant)
            except ValueError as error:
                raise RecordError(f"is not JSON: {error}", line_number=line_number) from error
            except RecursionError as error:
                raise RecordError("is nested too deeply", line_number=line_number) from error
        if not isinstance(data, dict):
            raise RecordError("must be an object", field=path.rstrip("."), line_number=line_number)
        self._data: dict[str, Any] = data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            unknown = self._data.keys() - self._seen
            if unknown:
                name = min(unknown)
                reason = "is not a field of this format"
                raise RecordError(reason, field=self._path + name, line_number=self._line_number)
        elif isinstance(error, RecordError) and error.line_number is None and self._line_number is not None:
            raise RecordError(error.reason, field=error.field, line_number=self._line_number) from error

    def fail(self, name: str, reason: str) -> RecordError:
        return RecordError(reason, field=self._path + name)

    def take(self, name: str) -> Any:
        self._seen.add(name)
        if name not in self._data:
            raise self.fail(name, "is missing")
        return self._data[name]

    def optional(self, name: str, read: Callable[[str], V], default: Any = None) -> V | Any:
        self._seen.add(name)
        return default if self._data.get(name) is None else read(name)

    def text(self, name: str, *, blank: bool = True) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise self.fail(name, "must be text")
        if has_half_pair(value):
            raise self.fail(name, "holds half of a surrogate pair, which is not text")
        if not blank and not value.strip():
            raise self.fail(name, "is empty")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false")
        return value

    def whole(self, name: str) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(name, "must be a whole number")
        return value

    def number(self, name: str) -> float:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -LARGEST <= value <= LARGEST:
            raise self.fail(name, "must be a finite number")
        return float(value)

    def weight(self) -> float:
        value: float = self.optional("weight", self.number, 1.0)
        if value <= 0:
            raise self.fail("weight", f"must be greater than 0, not {value}")
        return value

    def choice(self, name: str, options: tuple[V, ...]) -> V:
        value = self.take(name)
        if value not in options:
            raise self.fail(name, f"must be one of {', '.join(map(str, options))}")
        return cast("V", value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.take(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(name, "must be a list of texts")
        return tuple(value)

    def items(self, name: str) -> Iterator[_Reader]:
        value = self.take(name)
        if not isinstance(value, list):
            raise self.fail(name, "must be a list")
        for index, item in enumerate(value):
            yield _Reader(item, path=f"{self._path}{name}[{index}].")

    def split(self) -> Split:
        return self.choice("split", SPLITS)

    def prompt(self, *, empty: bool = False) -> tuple[Message, ...]:
        messages = []
        for item in self.items("prompt"):
            with item:
                messages.append(Message(item.choice("role", ROLES), item.text("content", blank=False)))
        if not messages and not empty:
            raise self.fail("prompt", "is empty")
        if messages and messages[-1].role != "user":
            raise self.fail("prompt", "must end with the user's turn")
        return tuple(messages)

    def head(self, *, empty_prompt: bool = False) -> dict[str, Any]:
        return {
            "id": self.text("id", blank=False),
            "split": self.split(),
            "group": self.text("group"),
            "prompt": self.prompt(empty=empty_prompt),
        }


def _response(item: _Reader) -> Response:
    with item:
        return Response(
            id=item.text("id", blank=False),
            text=item.text("text", blank=False),
            checkpoint=item.optional("checkpoint", item.text),
            author=item.optional("author", item.text),
        )


def _judgement(item: _Reader, ids: list[str]) -> Judgement:
    with item:
        if item.choice("kind", ("ranking", "verdicts")) == "verdicts":
            verdicts = tuple(_verdict(verdict, ids) for verdict in item.items("verdicts"))
            if not verdicts:
                raise item.fail("verdicts", "is empty")
            return VerdictsJudgement(
                annotator=item.text("annotator"),
                verdicts=verdicts,
                simulated=item.flag("simulated"),
                weight=item.weight(),
            )
        placements = tuple(_placement(placement) for placement in item.items("placements"))
        reason = contradiction(placements, ids)
        if reason:
            raise item.fail("placements", reason)
        shown = item.texts("shown") if "shown" in item._data else ()  # noqa: SLF001 - a reader of this module
        if shown and sorted(shown) != sorted(ids):
            raise item.fail("shown", "must name every response once, in the order in which they were shown")
        return RankingJudgement(
            annotator=item.text("annotator"),
            placements=placements,
            flags=item.optional("flags", item.texts, ()),
            note=item.optional("note", item.text, ""),
            guidelines=item.optional("guidelines", item.whole),
            shown=shown,
            seconds=item.optional("seconds", item.number),
            simulated=item.flag("simulated"),
            weight=item.weight(),
        )


def contradiction(placements: Iterable[Placement], ids: Iterable[str]) -> str | None:
    """Say why placements are no ranking of the responses `ids`, or None when they are one.

    Every response is placed once; ranks are dense (1, 2, 2, 3); a better rank never has a lower rating; tied
    responses have equal ratings; equal ratings may be ordered or tied.
    """
    placements = sorted(placements, key=lambda placement: placement.rank)
    if sorted(placement.response for placement in placements) != sorted(ids):
        return "must place every response exactly once"
    ranks = sorted({placement.rank for placement in placements})
    if ranks != list(range(1, len(ranks) + 1)):
        return "must have dense ranks: 1, then 2, with no number left out"
    rated = [placement for placement in placements if placement.rating is not None]
    for better, worse in itertools.pairwise(rated):
        if cast("int", better.rating) < cast("int", worse.rating) and better.rank < worse.rank:
            return f"rank {better.response} above {worse.response} but rate it lower"
        if better.rank == worse.rank and better.rating != worse.rating:
            return f"tie {better.response} with {worse.response} but rate them differently"
    return None


def _placement(item: _Reader) -> Placement:
    with item:
        rank = item.whole("rank")
        if rank < 1:
            raise item.fail("rank", "must be at least 1")
        rating = item.optional("rating", item.whole)
        if rating is not None and not 1 <= rating <= 7:
            raise item.fail("rating", "must be between 1 and 7")
        response = item.text("response", blank=False)
        return Placement(response=response, rank=rank, rating=rating, flags=item.optional("flags", item.texts, ()))


def _verdict(item: _Reader, ids: list[str]) -> Verdict:
    with item:
        verdict = Verdict(a=item.text("a"), b=item.text("b"), verdict=item.choice("verdict", WORDS))
        for name in ("a", "b"):
            if getattr(verdict, name) not in ids:
                raise item.fail(name, "names no response of this line")
        if verdict.a == verdict.b:
            raise item.fail("b", "is the same response as a")
        return verdict


def _sample(item: _Reader) -> Sample:
    with item:
        return Sample(
            k=item.whole("k"),
            text=item.text("text"),
            token_count=item.optional("token_count", item.whole),
            logprob=item.optional("logprob", item.number),
            finished=item.flag("finished"),
            seed=item.whole("seed"),
            by=item.optional("by", item.text, "policy"),
        )


def _head(line: Any) -> dict[str, Any]:
    return plain_head(line.id, line.split, line.group, plain_prompt(line.prompt))


def _weighed(weight: float) -> dict[str, float | None]:
    """Say the weight only where it says something, so that lines without one keep their bytes."""
    return {} if weight == 1 else {"weight": _finite(weight)}


def _finite(number: float | None) -> float | None:
    """Refuse with ValueError what JSON has no word for: a null in its place would be read as nothing said."""
    if number is not None and not -LARGEST <= number <= LARGEST:
        raise ValueError(f"{number} is not a number in JSON")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
