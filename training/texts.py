"""Plain text as people have it: files, folders of them, JSON lines, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from itertools import groupby
from typing import TYPE_CHECKING

from training.records import RecordError, Split, TextLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN, LINES = (".txt", ".text", ".md"), (".jsonl", ".json")
FIELDS = ("text", "split", "title", "weight")
VALID_SHARE = TEST_SHARE = 0.05
PIECE_CHARACTERS = 2048


class NoText(ValueError):  # noqa: N818 - named for what is missing
    """There is no text to learn from or to measure on."""

    code = "no_text"


def read_texts(path: Path) -> Iterator[TextLine]:
    """Read a dataset's folder, a file of text or of JSON lines, or all of these in a folder, in the order of names.

    What names no split gets one by its hash: 5 of 100 are valid and 5 are test. A plain file is held out by pieces of
    some paragraphs; the paragraphs between them stay together.
    """
    if path.is_dir() and (path / "data.jsonl").is_file():
        yield from read_lines(TextLine, path)
        return
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    known = [file for file in files if _kind(file) in (*PLAIN, *LINES)]
    if not known:
        raise RecordError(f"in {path} is no text: name files that end in {', '.join((*PLAIN, *LINES))}, or .gz")
    for file in known:
        yield from _lines(file) if _kind(file) in LINES else _passages(file)


def _kind(file: Path) -> str:
    return (file.with_suffix("") if file.suffix == ".gz" else file).suffix.lower()


def _open(file: Path) -> Iterator[str]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="\n") as stream:
        yield from stream


def _lines(file: Path) -> Iterator[TextLine]:
    """The texts of JSON lines, reduced to the fields that trainers know."""
    for number, line in enumerate(_open(file), start=1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
            known = {name: said[name] for name in FIELDS if name in said}
        except (ValueError, TypeError) as error:
            raise RecordError(f"is not a JSON object: {error}", line_number=number) from error
        yield TextLine.from_json(json.dumps({"split": _split(str(known.get("text"))), **known}), number)


def _passages(file: Path) -> Iterator[TextLine]:
    """The passages of a plain file that are in one split, each as long as its pieces go on to be."""
    title = file.name.partition(".")[0]
    try:
        text = "".join(_open(file))
    except UnicodeDecodeError as error:
        raise RecordError(f"{file} is not text in UTF-8: {error}") from error
    for split, pieces in groupby(_pieces(text), key=_split):
        passage = "".join(pieces)
        if passage.strip():
            yield TextLine(text=passage, split=split, title=title)


def _pieces(text: str) -> Iterator[str]:
    """A text, cut at the ends of paragraphs into pieces of about `PIECE_CHARACTERS`."""
    piece = ""
    for paragraph in re.split(r"(?<=\n\n)", text):
        piece += paragraph
        if len(piece) >= PIECE_CHARACTERS:
            yield piece
            piece = ""
    if piece:
        yield piece


def _split(text: str) -> Split:
    draw = hashlib.sha256(text.encode()).digest()[0] / 256
    return "valid" if draw < VALID_SHARE else "test" if draw < VALID_SHARE + TEST_SHARE else "train"
