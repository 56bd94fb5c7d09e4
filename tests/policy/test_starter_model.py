"""The starter: its stories are well formed and held out by topic, and one command builds its model, resumably."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from policy.config import PretrainConfig, SFTConfig
from policy.starter import build
from training import artifacts, program
from training.config import parse
from training.records import RecordError

STORIES = list(build.demonstrations())
PROMPTS = [json.loads(line) for line in build.PROMPTS.read_text().splitlines()]


def test_there_are_enough_stories_and_prompts_and_none_twice():
    assert len(STORIES) >= 600
    assert len(PROMPTS) >= 300
    assert len({story.response for story in STORIES}) == len(STORIES)
    assert len({story.id for story in STORIES}) == len(STORIES)
    assert len({line["prompt"] for line in PROMPTS}) == len(PROMPTS)


def test_a_topic_is_never_in_two_splits_and_prompts_to_answer_have_topics_of_their_own():
    splits = defaultdict(set)
    for story in STORIES:
        splits[story.group].add(story.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "valid"}
    assert not splits.keys() & {build.outlines.topic(line["prompt"]) for line in PROMPTS}


def test_every_story_is_a_few_plain_sentences():
    for story in STORIES:
        assert story.response.isascii(), story.id
        assert 38 <= len(story.response.split()) <= 95, story.id
        assert story.response[-1] in '.!?"', story.id
        assert story.response.count('"') % 2 == 0, story.id


def test_the_settings_are_settings():
    parse(PretrainConfig, build.PRETRAIN)
    parse(SFTConfig, build.SFT)


def test_the_simplest_books_are_read_most_often():
    order = [
        ("Beatrix Potter", "Treasury"),
        ("The Brothers Grimm", "Tales"),
        ("Louisa May Alcott", "Men"),
        ("J. Verne", "Moon"),
    ]
    weights = [build.weight(*book) for book in order]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == len(weights)


@pytest.fixture
def books(tmp_path):
    tale = "Once a goat flew a kite over the hill, and the wind was glad. Then they went home. "
    lines = [
        {"author": "Aesop", "title": "Fables", "split": "train", "text": tale * 20},
        {"author": "Anna Sewell", "title": "Horse", "split": "valid", "text": tale * 4},
    ]
    path = tmp_path / "books.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def small(monkeypatch):
    shape = {"hidden": 16, "layers": 1, "heads": 2, "feed_forward": 32, "vocabulary": 300, "max_context": 512}
    steps = {"tokens": 2048, "context": 32, "batch_windows": 8, "micro_batch_windows": 8, "evaluations": 1}
    monkeypatch.setattr(build, "PRETRAIN", {**shape, **steps})
    monkeypatch.setattr(build, "SFT", {"batch_conversations": 16})
    monkeypatch.setattr(build, "SAMPLING", build.Sampling(max_new_tokens=8))
    told = defaultdict(list)
    for story in STORIES:
        told[build.manner(story), story.split].append(story)
    few = [story for (_, split), stories in sorted(told.items()) for story in stories[: 24 if split == "train" else 8]]
    monkeypatch.setattr(build, "demonstrations", lambda: iter(few))
    monkeypatch.setattr(build, "OUTLINED", 24)
    monkeypatch.setattr(build.outlines, "HELD_OUT", 0.3)
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def stop_at_once(command):
    """Follow a trainer that is stopped as soon as it has begun."""
    process = subprocess.Popen(command)
    events = Path(command[3], "attempt-1", "events.jsonl")
    while not events.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    return process.wait()


@pytest.mark.timeout(900)  # starts trainers as programs
@pytest.mark.usefixtures("small")
def test_one_command_builds_the_model_goes_on_when_it_was_stopped_and_does_no_step_twice(
    books, tmp_path, monkeypatch, capsys
):
    work, out = tmp_path / "work", tmp_path / "model"
    arguments = [str(books), "--work", str(work), "--out", str(out)]
    with monkeypatch.context() as stopping:
        stopping.setattr(build, "_follow", stop_at_once)
        assert build.main(arguments) == program.INTERRUPTED
    assert "goes on from there" in capsys.readouterr().err
    assert not out.exists()
    assert build.main(arguments) == program.FINISHED
    digest = artifacts.verify(out)
    assert build.main(arguments) == program.FINISHED
    assert artifacts.verify(out) == digest
    assert len(list(work.glob("policy.*/attempt-*"))) == 4  # one for each step, and one that was stopped
    card = json.loads((out / "card.json").read_text())
    assert card["pretraining"]["evaluation"]["valid_bits_per_character"] > 0
    assert len(card["samples"]["rows"]) == build.SAMPLES_SHOWN
    assert "samples that nobody picked" in (out / "README.md").read_text()
    assert AutoModelForCausalLM.from_pretrained(out).config.vocab_size == 300
    assert str(out) in capsys.readouterr().out


def test_a_step_that_fails_is_named(tmp_path, monkeypatch, capsys, books):
    monkeypatch.setattr(build, "_follow", lambda _: 1)
    assert (
        build.main([str(books), "--work", str(tmp_path / "work"), "--out", str(tmp_path / "model")]) == program.FAILED
    )
    assert "policy.pretrain ended with status 1" in capsys.readouterr().err


def test_a_line_that_is_no_book_is_refused_by_its_number(tmp_path):
    path = tmp_path / "books.jsonl"
    path.write_text('{"author": "a", "title": "b", "split": "train", "text": "c"}\n{"title": "b"}\n')
    with pytest.raises(RecordError, match="line 2: is not a book"):
        list(build.text_lines(path))


@pytest.mark.skipif(not build.MODEL.exists(), reason="the starter model has not been built here")
def test_the_model_in_the_box_is_small_whole_and_loads_anywhere():
    artifacts.verify(build.MODEL)
    assert sum(path.stat().st_size for path in build.MODEL.iterdir()) <= build.LARGEST_MODEL_BYTES
    tokenizer = AutoTokenizer.from_pretrained(build.MODEL)
    model = AutoModelForCausalLM.from_pretrained(build.MODEL)
    assert len(tokenizer) <= 4096
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.chat_template
    assert 3e6 <= model.num_parameters() <= 7e6
    card = json.loads((build.MODEL / "card.json").read_text())
    assert [row["prompt"] for row in card["samples"]["rows"]] == build.shuffled_prompts()[:10]
    assert card["config"] == build.SFT
    last = [line.split for line in build.stories(build.LESSONS[-1])]
    assert card["evaluation"]["train_demonstrations"] == last.count("train")
    assert card["evaluation"]["valid_demonstrations"] == last.count("valid")
    assert (build.MODEL / "README.md").read_text() == build.readable(card)


def test_the_module_says_how_it_is_used():
    said = subprocess.run(
        [sys.executable, "-m", "policy.starter", "--help"], capture_output=True, text=True, check=True
    )
    assert "TEXT" in said.stdout
