"""Plain text is read as people have it, and what is held out of it stays held out."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest

from training.records import RecordError, TextLine, write_lines
from training.texts import read_texts

BOOK = "".join(f"Chapter {number}. {'The goat walked on and on. ' * 30}\n\n" for number in range(200))


def read(path):
    return list(read_texts(path))


def test_nothing_of_a_plain_file_is_lost_and_pieces_of_it_are_held_out(tmp_path):
    (tmp_path / "goat.txt").write_text(BOOK)
    lines = read(tmp_path / "goat.txt")
    assert "".join(line.text for line in lines) == BOOK
    assert {line.title for line in lines} == {"goat"}
    shares = {split: sum(len(x.text) for x in lines if x.split == split) / len(BOOK) for split in ("train", "valid")}
    assert shares["train"] > 0.7
    assert 0 < shares["valid"] < 0.2
    assert all(one.split != other.split for one, other in itertools.pairwise(lines))


def test_a_piece_keeps_its_split_when_the_file_grows_and_wherever_it_lies(tmp_path):
    (tmp_path / "a.txt").write_text(BOOK)
    (tmp_path / "b.txt").write_text(BOOK + "The end.\n\n")
    held_out = [{line.text for line in read(tmp_path / name) if line.split == "valid"} for name in ("a.txt", "b.txt")]
    assert held_out[0] == held_out[1]


def test_a_folder_is_read_in_the_order_of_its_names_with_folders_in_it_and_gzipped_files(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "z.md").write_text("last")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "cover.png").write_bytes(b"\x89PNG")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "second", "author": "Ada", "split": "test"}\n'))
    (tmp_path / "empty.txt").write_text("\n \n")
    assert [line.text for line in read(tmp_path)] == ["first", "second", "last"]
    assert read(tmp_path)[1] == TextLine(text="second", split="test")


def test_a_datasets_folder_is_read_as_it_is(tmp_path):
    lines = [TextLine(text="one", split="valid", weight=2.0), TextLine(text="two", split="train")]
    write_lines(lines, tmp_path, kind="text")
    assert read(tmp_path) == lines


def test_a_line_without_a_split_always_gets_the_same_one(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"tale {i}"}) + "\n" for i in range(400)))
    splits = [line.split for line in read(tmp_path / "a.jsonl")]
    assert splits == [line.split for line in read(tmp_path / "a.jsonl")]
    assert splits.count("train") > 320
    assert splits.count("valid") > 5


def test_what_is_no_text_is_refused_by_name(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\x00")
    with pytest.raises(RecordError, match=r"no text: name files that end in \.txt"):
        read(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(RecordError, match=r"a\.txt is not text in UTF-8"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n3\n')
    with pytest.raises(RecordError, match="line 2"):
        read(tmp_path / "a.jsonl")
