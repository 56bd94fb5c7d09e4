"""Pre-training: learns, stops when asked, and goes on as if nothing had happened."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from policy import pretrain
from training import artifacts
from training.config import ConfigError
from training.lm import backbone
from training.lm.encoder import BadTokenizer
from training.program import Interrupted, open_run
from training.records import TextLine, write_lines

CONFIG = {
    "tokens": 16 * 8 * 12,
    "context": 16,
    "batch_windows": 8,
    "micro_batch_windows": 4,
    "vocabulary": 300,
    "hidden": 16,
    "layers": 2,
    "heads": 2,
    "feed_forward": 32,
    "max_context": 64,
    "evaluations": 3,
    "learning_rate": 0.01,
    "precision": "float32",
    "savepoint_every_seconds": 0.0,
}
TALE = "The kite flew over the hill. The goat looked up and laughed. Mina ran home for supper. "


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = [
        TextLine(text=TALE * 10, split="train", weight=2.0),
        TextLine(text=TALE[::-1] * 5, split="train", weight=0.5),
    ]
    write_lines([*lines, TextLine(text=TALE * 3, split="valid")], folder, kind="text")
    return folder


@pytest.fixture(scope="module")
def unbroken(text, tmp_path_factory):
    run = tiny.run(tmp_path_factory.mktemp("unbroken"), "policy.pretrain", {"text": text}, CONFIG)
    pretrain.pretrain(run)
    return run


def test_it_learns_and_says_how_well(unbroken):
    losses = [loss for _, loss in tiny.metrics(unbroken, "pretrain/loss")]
    assert losses[-1] < 0.8 * losses[0]
    bits = tiny.metrics(unbroken, "pretrain/valid_bits_per_character")
    assert [step for step, _ in bits] == [4, 8, 12]
    card = json.loads((unbroken.output_dir / "card.json").read_text())
    assert card["evaluation"]["valid_bits_per_character"] == bits[-1][1]
    assert card["evaluation"]["valid_characters"] == len(TALE) * 3
    nats = bits[-1][1] * math.log(2) * len(TALE) * 3
    perplexity = math.exp(nats / card["evaluation"]["valid_tokens"])
    assert tiny.metrics(unbroken, "pretrain/valid_perplexity")[-1][1] == pytest.approx(perplexity)
    assert tiny.events(unbroken, "progress")[-1]["done"] == tiny.events(unbroken, "progress")[-1]["total"]


def test_the_result_is_an_ordinary_folder_with_tied_half_precision_weights(unbroken):
    model = AutoModelForCausalLM.from_pretrained(unbroken.output_dir)
    tokenizer = AutoTokenizer.from_pretrained(unbroken.output_dir)
    assert model.config.tie_word_embeddings
    assert model.dtype == torch.float16
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.pad_token_id == model.config.pad_token_id
    assert tokenizer.decode(tokenizer("A kite, 東京 \u2028!")["input_ids"]) == "A kite, 東京 \u2028!"
    turn = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert turn == "<|user|>Hi<|end|><|assistant|>"


@pytest.mark.law("J2")
@pytest.mark.parametrize("stop", [0, 1, 5, 11])
def test_stopping_and_going_on_changes_no_byte(text, unbroken, tmp_path, stop):
    first = tiny.run(tmp_path, "policy.pretrain", {"text": text}, CONFIG)
    first.stop = tiny.StopsAfter(stop)
    with pytest.raises(Interrupted):
        pretrain.pretrain(first)
    second = open_run(tmp_path)
    pretrain.pretrain(second)
    assert artifacts.digest_of(second.output_dir) == artifacts.digest_of(unbroken.output_dir)
    together = tiny.metrics(first, "pretrain/loss") + tiny.metrics(second, "pretrain/loss")
    assert together == tiny.metrics(unbroken, "pretrain/loss")


@pytest.mark.law("J5")
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(text, unbroken, tmp_path):
    same = tiny.run(tmp_path / "same", "policy.pretrain", {"text": text}, CONFIG)
    other = tiny.run(tmp_path / "other", "policy.pretrain", {"text": text}, CONFIG, seed=2)
    pretrain.pretrain(same)
    pretrain.pretrain(other)
    assert artifacts.digest_of(same.output_dir) == artifacts.digest_of(unbroken.output_dir)
    assert artifacts.digest_of(other.output_dir) != artifacts.digest_of(unbroken.output_dir)


def test_the_size_of_micro_batches_changes_no_loss(text, unbroken, tmp_path):
    run = tiny.run(tmp_path, "policy.pretrain", {"text": text}, {**CONFIG, "micro_batch_windows": 8})
    pretrain.pretrain(run)
    for (_, one), (_, other) in zip(
        tiny.metrics(run, "pretrain/loss"), tiny.metrics(unbroken, "pretrain/loss"), strict=True
    ):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.law("J2")
def test_muon_learns_too_and_goes_on_to_the_same_bytes(text, tmp_path):
    config = {**CONFIG, "optimizer": "muon"}
    whole = tiny.run(tmp_path / "whole", "policy.pretrain", {"text": text}, config)
    pretrain.pretrain(whole)
    losses = [loss for _, loss in tiny.metrics(whole, "pretrain/loss")]
    assert losses[-1] < 0.8 * losses[0]
    first = tiny.run(tmp_path / "broken", "policy.pretrain", {"text": text}, config)
    first.stop = tiny.StopsAfter(5)
    with pytest.raises(Interrupted):
        pretrain.pretrain(first)
    second = open_run(tmp_path / "broken")
    pretrain.pretrain(second)
    assert artifacts.digest_of(second.output_dir) == artifacts.digest_of(whole.output_dir)


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_it_goes_on_from_any_causal_model_and_keeps_its_tokenizer(text, tmp_path, family):
    base = tiny.policy(tmp_path / "base", family)
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": text, "policy": base}, CONFIG)
    pretrain.pretrain(run)
    bits = [value for _, value in tiny.metrics(run, "pretrain/valid_bits_per_character")]
    assert bits[-1] < bits[0]
    assert AutoModelForCausalLM.from_pretrained(run.output_dir).config.model_type == family
    assert (run.output_dir / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()


@pytest.fixture
def bare(tmp_path):
    """A base model whose tokenizer pads with its end token and has no chat template."""
    letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    plain = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<end>")
    tokenizer.save_pretrained(tmp_path / "bare")
    tiny.causal_lm(vocabulary=257).save_pretrained(tmp_path / "bare")
    return tmp_path / "bare"


def test_a_bare_base_model_gets_what_a_policy_needs_and_is_told_what_it_got(text, bare, tmp_path):
    with pytest.raises(BadTokenizer):
        backbone.load_policy(bare)
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": text, "policy": bare}, CONFIG)
    pretrain.pretrain(run)
    model, encoder = backbone.load_policy(run.output_dir)
    assert encoder.pad_id != encoder.eos_id == 0
    assert len(encoder.tokenizer) == model.get_input_embeddings().num_embeddings == 260
    ids, learn = encoder.conversation([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    assert encoder.tokenizer.decode(ids) == "<|user|>a<end><|assistant|>b<end>"
    assert sum(learn) == 2
    assert any("a pad token of its own, a chat template" in event["text"] for event in tiny.events(run, "note"))


def test_adapters_on_a_model_that_needs_new_tokens_are_refused_by_their_setting(text, bare, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": text, "policy": bare}, {**CONFIG, "lora_rank": 2})
    with pytest.raises(ConfigError) as caught:
        pretrain.pretrain(run)
    assert list(caught.value.fields) == ["lora_rank"]


def test_it_reads_a_folder_of_plain_files(tmp_path):
    (tmp_path / "books").mkdir()
    for number in range(3):
        book = "".join(f"{place}{number} {TALE * 25}\n\n" for place in range(12))
        (tmp_path / "books" / f"{number}.txt").write_text(book)
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": tmp_path / "books"}, CONFIG)
    pretrain.pretrain(run)
    assert json.loads((run.output_dir / "card.json").read_text())["evaluation"]["valid_characters"] > 0


def test_a_context_that_the_given_policy_cannot_see_is_refused_by_its_setting(text, tmp_path):
    base = tiny.policy(tmp_path / "base")
    config = {**CONFIG, "context": 300, "max_context": 512}
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": text, "policy": base}, config)
    with pytest.raises(ConfigError) as caught:
        pretrain.pretrain(run)
    assert list(caught.value.fields) == ["context"]


def test_bits_per_character_of_a_model_that_knows_nothing_is_the_entropy_of_its_vocabulary(text, tmp_path):
    run = tiny.run(tmp_path, "policy.pretrain", {"text": text}, {**CONFIG, "tokens": 1, "learning_rate": 1e-9})
    pretrain.pretrain(run)
    card = json.loads((run.output_dir / "card.json").read_text())["evaluation"]
    by_chance = torch.tensor(300.0).log2().item() * card["valid_tokens"] / card["valid_characters"]
    assert card["valid_bits_per_character"] == pytest.approx(by_chance, rel=0.02)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_text_without_a_part_to_learn_from_or_to_measure_on_is_refused(tmp_path, split):
    write_lines([TextLine(text=TALE, split=split)], tmp_path / "text", kind="text")
    run = tiny.run(tmp_path / "run", "policy.pretrain", {"text": tmp_path / "text"}, CONFIG)
    with pytest.raises(pretrain.NoText, match="no line of the split"):
        pretrain.pretrain(run)


def start(folder, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "policy", str(folder), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_savepoint(folder, process):
    deadline = time.monotonic() + 90
    while not any(artifacts.is_whole(path) for path in folder.glob("attempt-1/savepoints/step-*")):
        assert process.poll() is None, (folder / "attempt-1" / "events.jsonl").read_text()[-500:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.law("J2")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_is_killed_or_asked_to_stop_goes_on_to_the_same_bytes(text, tmp_path, sign):
    config = {**CONFIG, "tokens": 16 * 8 * 60}
    alone = tiny.run(tmp_path / "alone", "policy.pretrain", {"text": text}, config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pretrain.pretrain(alone)
    finally:
        torch.set_num_threads(threads)
    folder = tiny.run(tmp_path / "broken", "policy.pretrain", {"text": text}, config).folder
    process = start(folder, "--attempt", "1")
    wait_for_savepoint(folder, process)
    asked_at = time.monotonic()
    process.send_signal(sign)
    status = process.wait(timeout=60)
    if sign == signal.SIGTERM:
        assert status == 75
        assert time.monotonic() - asked_at < 10
    else:
        assert status == -signal.SIGKILL
    assert not (folder / "attempt-1" / "output").exists()
    assert start(folder, "--attempt", "2").wait(timeout=120) == 0
    assert artifacts.digest_of(folder / "attempt-2" / "output") == artifacts.digest_of(alone.output_dir)
