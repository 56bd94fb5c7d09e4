"""Records of a file, by line number: JSON lines or CSV, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

from training.refusals import Refusal
from training.storable import unstorable_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

LONGEST_FIELD = 2**24
FORMATS = (".jsonl", ".json", ".ndjson", ".csv")


class UnknownFormat(Refusal):
    code, status = "unknown_format", 422
    message = f"The file's name must end in one of {', '.join(FORMATS)}, with .gz or without."


class BadLine(ValueError):  # noqa: N818 (it names what is bad)
    """What is wrong with one line of a file."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


Numbered: TypeAlias = tuple[int, dict[str, Any] | BadLine]


def is_readable(path: Path) -> bool:
    """Whether a file's name says that it is one of ours."""
    return path.name.removesuffix(".gz").endswith(FORMATS)


def records(path: Path, *, seen: Callable[[int], object] = lambda _: None) -> Iterator[Numbered]:
    """Each record with the number of the line that it begins on; what cannot be read comes as a BadLine.

    `seen` hears how many bytes of the file were read since it heard last. Raises UnknownFormat, also amid a file that
    is called gzipped and cannot be unpacked.
    """
    if not is_readable(path):
        raise UnknownFormat
    name = path.name.removesuffix(".gz")
    with path.open("rb") as raw:
        unpacked: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        position = 0
        try:
            for item in csv_records(unpacked) if name.endswith(".csv") else json_records(unpacked):
                if raw.tell() > position:
                    seen(raw.tell() - position)
                    position = raw.tell()
                yield kept(item)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnknownFormat(f"The file's name ends in .gz, but it cannot be unpacked: {error}") from error


def kept(item: Numbered) -> Numbered:
    """A record as it is, or as a BadLine where it holds what no database keeps."""
    number, record = item
    text = None if isinstance(record, BadLine) else unstorable_in(record)
    if text is None:
        return item
    return number, BadLine(f"this text holds a character that no database keeps: {text[:80]!a}", number)


def json_records(file: Iterable[bytes]) -> Iterator[Numbered]:
    """One JSON object a line; blank lines are passed over."""
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except (ValueError, RecursionError) as error:
            yield number, BadLine(f"this is not JSON: {error}", number)
            continue
        yield number, record if isinstance(record, dict) else BadLine("a JSON object is wanted", number)


def csv_records(file: Iterable[bytes]) -> Iterator[Numbered]:
    """One row a record, under a line of names; empty cells are absent."""
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.DictReader((line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(file)))
    number = 2
    try:
        for row in reader:
            if None in row or None in row.values():
                yield number, BadLine("this row has more or fewer cells than there are names", number)
            else:
                yield number, {name: cell for name, cell in row.items() if cell}
            number = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        yield number, BadLine(f"this is not CSV: {error}", number)
