"""Training a reward model end to end: it learns, stops, resumes to the byte, and leaves as a plain folder."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
from oracle import Oracle
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rewardmodel import scoring
from rewardmodel.card import readable
from rewardmodel.data import NoRankings, read_examples
from rewardmodel.evaluation import evaluate
from rewardmodel.scales import Scales
from rewardmodel.train import train
from training import artifacts
from training.lm import backbone
from training.lm.trees import Tree, TreeBatch
from training.program import Interrupted, open_run
from training.records import RecordError

ROOT = Path(__file__).parents[2]
FAST = {"learning_rate": 2e-3, "batch_prompts": 8, "evaluations": 2, "patience": 0, "heads": 4, "precision": "float32"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    home = tmp_path_factory.mktemp("inputs")
    demonstrations = [
        {
            "id": str(i),
            "split": "train",
            "group": str(i),
            "prompt": [{"role": "user", "content": f"say {i}"}],
            "response": "aeiouaei",
            "annotator": None,
            "source": "test",
            "simulated": True,
        }
        for i in range(12)
    ]
    return {
        "policy": tiny.policy(home / "policy"),
        "rankings": tiny.dataset(home / "rankings", tiny.ranking_lines(160, annotators=2)),
        "demonstrations": tiny.dataset(home / "demonstrations", demonstrations),
    }


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    run = tiny.run(tmp_path_factory.mktemp("trained"), "rewardmodel.train", inputs, FAST | {"epochs": 3})
    train(run)
    return run


def card_of(run):
    return json.loads((run.output_dir / "card.json").read_text())


def test_it_learns_what_the_annotators_like(trained):
    valid = card_of(trained)["evaluation"]["valid"]
    assert valid["accuracy"]["value"] > 0.8
    assert valid["accuracy"]["low"] < valid["accuracy"]["value"] <= valid["accuracy"]["high"]
    assert valid["log_loss"]["value"] < math.log(2)
    assert set(valid["by_annotator"]) == {"a0", "a1"}
    assert valid["ceiling"]["agreement"] == 1
    names = {name for event in tiny.events(trained, "metrics") for name in event["values"]}
    assert {"rm/loss", "rm/accuracy", "rm/log_loss", "rm/kendall_tau"} <= names


def test_the_folder_has_a_card_that_people_can_read(trained):
    said, card = (trained.output_dir / "README.md").read_text(), card_of(trained)
    valid = card["evaluation"]["valid"]
    assert f"| accuracy | {valid['accuracy']['value']:.1%} ({valid['accuracy']['low']:.1%} to" in said
    assert f"| log-loss | {valid['log_loss']['value']:.3f}" in said
    assert f"{valid['comparisons']:,} comparisons of 32 prompts of the split valid" in said
    assert f"demonstrations score {card['evaluation']['reward_mean']:.4g} raw" in said
    for name in card["inputs"]:
        assert f"- {name}: `{card['inputs'][name]}`" in said
    assert not re.search(r"None|nan|/tmp", said)
    assert "Nobody knows" in readable(card | {"evaluation": card["evaluation"] | {"valid": {"prompts": 0}}})


@pytest.mark.law("R7")
def test_demonstrations_score_0_on_average_and_the_folder_scores_the_same_when_loaded_again(trained, inputs):
    """Law R7: after the bias step the mean score on demonstrations is 0; saved and reloaded the score is identical.

    To the last digit: the log-loss of the loaded folder is the one that the trainer measured before it saved.
    """
    lines = [json.loads(line) for line in (inputs["demonstrations"] / "data.jsonl").read_text().splitlines()]
    prompts, responses = [line["prompt"] for line in lines], [[line["response"]] for line in lines]
    scorer = scoring.load(trained.output_dir)
    scores = torch.cat(scorer.score(prompts, responses))
    assert float(scores.mean()) == pytest.approx(0, abs=1e-5)
    examples = read_examples(inputs["rankings"], scorer.encoder, ties="half", max_tokens=scorer.max_tokens)
    valid = [example for example in examples if example.split == "valid"]
    raw = [one for one, _ in scoring.raw_scores(scorer.scales, [example.tree for example in valid])]
    learned_from = [example.tree for example in examples if example.split == "train"]
    assert float(torch.cat(scorer.score_trees(learned_from)).std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert evaluate(valid, raw)["log_loss"] == card_of(trained)["evaluation"]["valid"]["log_loss"]


@pytest.mark.law("R7")
def test_demonstrations_longer_than_what_was_learned_from_score_0_on_average_too(inputs, tmp_path):
    """Law R7: the zero point is set on demonstrations as they will be scored, not as training would cut them.

    And on those of the split train alone.
    """
    lines = [json.loads(line) for line in (inputs["demonstrations"] / "data.jsonl").read_text().splitlines()]
    shown = [line | {"response": "aeiou " * (1 + 9 * (number % 2))} for number, line in enumerate(lines)]
    kept_out = [line | {"split": "valid", "response": "xyz"} for line in lines]
    demonstrations = tiny.dataset(tmp_path / "demonstrations", [*shown, *kept_out])
    settings = {"max_tokens": 32, "evaluations": 1}
    run = tiny.run(tmp_path / "run", "rewardmodel.train", inputs | {"demonstrations": demonstrations}, FAST | settings)
    train(run)
    scored = scoring.load(run.output_dir).score(
        [line["prompt"] for line in shown], [[line["response"]] for line in shown]
    )
    assert float(torch.cat(scored).mean()) == pytest.approx(0, abs=1e-5)
    assert card_of(run)["evaluation"]["normalised_on"] == "demonstrations"


def test_plain_transformers_loads_the_folder_and_gives_the_same_raw_logit(trained):
    plain = AutoModelForSequenceClassification.from_pretrained(trained.output_dir)
    tokenizer = AutoTokenizer.from_pretrained(trained.output_dir)
    assert plain.config.num_labels == 1
    scorer = scoring.load(trained.output_dir)
    prompt = [{"role": "user", "content": "say it"}]
    ours = scorer.score([prompt], [["aeiou", "xyz"]])[0]
    for text, score in zip(["aeiou", "xyz"], ours.tolist(), strict=True):
        start = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(start + text + tokenizer.eos_token, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            logit = float(plain(input_ids=ids["input_ids"]).logits)
        assert logit == pytest.approx(score * plain.config.reward_std + plain.config.reward_mean, abs=1e-5)


def test_texts_and_ids_get_the_same_score(trained):
    scorer = scoring.load(trained.output_dir)
    messages = [{"role": "user", "content": "say it"}]
    ids = [scorer.encoder.response_ids(text) for text in ("aeiou", "bcd")]
    by_ids = scorer.score_ids([scorer.encoder.prompt_ids(messages)], [ids])
    assert torch.equal(by_ids[0], scorer.score([messages], [["aeiou", "bcd"]])[0])
    assert scorer.score([[]], [["aeiou"]])[0].isfinite().all()
    assert scorer.shares_tokenizer(tiny.encoder())


def test_scores_come_with_a_spread(trained):
    scorer = scoring.load(trained.output_dir)
    lines = tiny.ranking_lines(20, seed=9)
    prompts = [line["prompt"] for line in lines]
    responses = [[response["text"] for response in line["responses"]] for line in lines]
    found = scorer.score_with_spread(prompts, responses)
    assert all(
        torch.equal(one.score, score) for one, score in zip(found, scorer.score(prompts, responses), strict=True)
    )
    assert all(one.members.shape == (4, 4) and one.spread.shape == (4,) for one in found)
    assert all((one.disagreement == one.disagreement.T).all() for one in found)
    assert all((one.spread > 0).all() and (one.disagreement.diagonal() == 0).all() for one in found)


def test_doubt_is_how_far_the_members_are_apart_on_who_wins():
    members = torch.tensor([[0.0, 1.0, 5.0], [1.0, 0.0, 6.0]])
    said = scoring.Doubted(members.mean(0), members, nats=2.0)

    def wins(nats):
        return 1 / (1 + math.exp(-nats))

    apart = [abs(wins(2) - wins(-2)) / 2, abs(wins(10) - wins(10)) / 2, abs(wins(8) - wins(12)) / 2]
    assert said.doubt == pytest.approx(sum(apart) / 3, rel=1e-4)
    assert said.of([0, 2]).doubt == pytest.approx(0, abs=1e-6)
    assert said.of([1, 0]).doubt == pytest.approx(apart[0])
    assert said.of([1]).doubt == 0


def test_the_spread_shrinks_as_people_say_more(inputs, tmp_path):
    doubts = []
    oracle = Oracle()
    unseen = oracle.lines(0, 700)[648:]
    for count in (16, 640):
        rankings = tiny.dataset(tmp_path / f"rankings-{count}", oracle.lines(count, 8))
        config = FAST | {"heads": 8, "heads_learning_rate": 1e-2}
        run = tiny.run(tmp_path / str(count), "rewardmodel.train", inputs | {"rankings": rankings}, config)
        train(run)
        scorer = scoring.load(run.output_dir)
        texts = [[response["text"] for response in line["responses"]] for line in unseen]
        found = scorer.score_with_spread([line["prompt"] for line in unseen], texts)
        doubts.append(float(torch.stack([one.disagreement.mean() for one in found]).mean()))
    assert doubts[1] < 0.6 * doubts[0]


def test_heads_change_no_score_and_can_be_left_out(trained, inputs, tmp_path):
    run = tiny.run(tmp_path, "rewardmodel.train", inputs, FAST | {"epochs": 3, "heads": 0})
    train(run)
    prompt = [{"role": "user", "content": "say it"}]
    one, other = (scoring.load(each.output_dir) for each in (run, trained))
    assert torch.equal(one.score([prompt], [["aeiou", "xyz"]])[0], other.score([prompt], [["aeiou", "xyz"]])[0])
    assert not (run.output_dir / "heads.safetensors").exists()
    with pytest.raises(scoring.NoSpread, match="heads above 0"):
        one.score_with_spread([prompt], [["aeiou"]])


LOSSES = [
    {"loss": "plackett_luce"},
    {"loss": "plackett_luce", "ties": "skip", "rater_model": "fixed"},
    {"margin": "small", "label_smoothing": 0.05},
    {"rater_model": "learned"},
    {"precision": "bfloat16"},
    {"lora_rank": 4, "learning_rate": 1e-2, "activation_checkpointing": True},
]


@pytest.mark.parametrize("settings", LOSSES, ids=lambda settings: "-".join(map(str, settings.values())))
def test_every_loss_teaches_what_the_annotators_like(inputs, tmp_path, settings):
    run = tiny.run(tmp_path, "rewardmodel.train", inputs, FAST | {"epochs": 3} | settings)
    train(run)
    assert card_of(run)["evaluation"]["valid"]["accuracy"]["value"] > 0.8
    plain = AutoModelForSequenceClassification.from_pretrained(run.output_dir)
    assert type(plain).__name__ == "LlamaForSequenceClassification"


def test_in_bfloat16_the_score_itself_is_not_rounded(inputs):
    scales = Scales(backbone.scorer_from_policy(inputs["policy"], seed=1)[0])
    batch = TreeBatch([Tree([5, 6, 7], [[8, 9], [10], [11, 12, 13]])])
    with torch.autocast("cpu", torch.bfloat16):
        scores, _ = scales(batch)
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())


def test_an_annotator_who_answers_at_random_is_found_out(inputs, tmp_path):
    lines = tiny.ranking_lines(200, annotators=3)
    dice = torch.Generator().manual_seed(0)
    for line in lines:
        places = line["judgements"][1]["placements"]
        line["judgements"][1] = line["judgements"][1] | {
            "placements": [
                place | {"rank": int(rank) + 1}
                for place, rank in zip(places, torch.randperm(len(places), generator=dice), strict=True)
            ]
        }
    mixed = tiny.dataset(tmp_path / "mixed", lines)
    config = FAST | {"epochs": 4, "rater_model": "learned"}
    run = tiny.run(tmp_path / "run", "rewardmodel.train", inputs | {"rankings": mixed}, config)
    train(run)
    reliability = card_of(run)["evaluation"]["reliability"]
    assert reliability["a1"] < 0.4
    assert min(reliability["a0"], reliability["a2"]) > 0.8


def test_annotators_can_be_held_out_and_a_learning_curve_drawn(inputs, tmp_path):
    config = FAST | {"held_out_annotators": 0.5, "learning_curve": True, "epochs": 2}
    run = tiny.run(tmp_path / "curve", "rewardmodel.train", inputs, config)
    train(run)
    evaluation = card_of(run)["evaluation"]
    assert evaluation["valid"]["unseen_annotators"]["annotators"] == 1
    assert evaluation["valid"]["seen_annotators"]["accuracy"]["count"] > 0
    curve = evaluation["learning_curve"]
    assert [point["prompts"] for point in curve] == [32, 64, 128]
    assert curve[-1]["accuracy"] == evaluation["valid"]["accuracy"]
    straight = tiny.run(tmp_path / "straight", "rewardmodel.train", inputs, config | {"learning_curve": False})
    train(straight)
    weights = [(each.output_dir / "model.safetensors").read_bytes() for each in (run, straight)]
    assert weights[0] == weights[1]  # the smaller runs before it leave no trace


def test_a_backbone_that_cannot_read_trees_says_so_once_and_learns_all_the_same(inputs, tmp_path):
    run = tiny.run(
        tmp_path / "run", "rewardmodel.train", inputs | {"policy": tiny.encoder_only(tmp_path / "bert")}, FAST
    )
    train(run)
    notes = [event["text"] for event in tiny.events(run, "note")]
    assert sum("BertForSequenceClassification cannot read" in note for note in notes) == 1
    valid = card_of(run)["evaluation"]["valid"]
    assert valid["log_loss"]["value"] < math.log(2)
    scorer = scoring.load(run.output_dir)
    plain = AutoModelForSequenceClassification.from_pretrained(run.output_dir).eval()
    for text in ("aeiou", "bcd"):
        ids = [*scorer.encoder.prompt_ids([{"role": "user", "content": "say it"}]), *scorer.encoder.response_ids(text)]
        with torch.no_grad():
            logit = float(plain(input_ids=torch.tensor([ids])).logits)
        score = float(scorer.score([[{"role": "user", "content": "say it"}]], [[text]])[0])
        assert logit == pytest.approx(score * scorer.std + scorer.mean, abs=1e-5)


@pytest.mark.law("R9")
def test_it_stops_when_the_valid_loss_rises_and_keeps_the_best_step(inputs, tmp_path):
    """Law R9: learning noise by heart raises the valid log-loss; early stop fires and the best look is published."""
    lines = tiny.ranking_lines(60)
    for number, line in enumerate(lines):  # annotators who roll dice
        order = torch.randperm(4, generator=torch.Generator().manual_seed(number)).tolist()
        for place, rank in zip(line["judgements"][0]["placements"], order, strict=True):
            place["rank"] = rank + 1
    noise = tiny.dataset(tmp_path / "noise", lines)
    config = FAST | {"epochs": 40, "evaluations": 20, "patience": 2, "learning_rate": 5e-3}
    run = tiny.run(tmp_path / "run", "rewardmodel.train", inputs | {"rankings": noise}, config)
    train(run)
    evaluation = card_of(run)["evaluation"]
    assert evaluation["steps"] < 40 * 6
    looks = {e["step"]: e["values"]["rm/log_loss"] for e in tiny.events(run, "metrics") if "rm/log_loss" in e["values"]}
    assert looks[evaluation["best_step"]] == min(looks.values())
    assert evaluation["valid"]["log_loss"]["value"] == pytest.approx(min(looks.values()), abs=1e-5)


@pytest.mark.law("J5")
def test_how_a_step_is_split_changes_nothing(inputs, tmp_path):
    """Micro-batches of one prompt or of all give the same losses."""
    losses = []
    for limit in (1, 10_000):
        run = tiny.run(tmp_path / str(limit), "rewardmodel.train", inputs, FAST | {"micro_batch_tokens": limit})
        train(run)
        losses.append([e["values"]["rm/loss"] for e in tiny.events(run, "metrics") if "rm/loss" in e["values"]])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@pytest.mark.parametrize("looks", [0, 1, 7, 23, 45])
@pytest.mark.law("J2")
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bytes(inputs, tmp_path, looks):
    """Law J2: asked to stop at any poll, a resume publishes the same bytes as an unbroken run."""
    config = FAST | {"savepoint_every_seconds": 0.0}
    whole = tiny.run(tmp_path / "whole", "rewardmodel.train", inputs, config)
    train(whole)
    broken = tiny.run(tmp_path / "broken", "rewardmodel.train", inputs, config)
    broken.stop = tiny.StopsAfter(looks)
    with pytest.raises(Interrupted):
        train(broken)
    again = open_run(tmp_path / "broken")
    train(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


@pytest.mark.parametrize(
    ("looks", "settings"),
    [
        pytest.param(4, {"lora_rank": 2, "lora_dropout": 0.3}, id="between micro-batches with dropout"),
        pytest.param(
            14,
            {"learning_curve": True, "loss": "plackett_luce", "rater_model": "learned", "patience": 1},
            id="in the middle of a learning curve",
        ),
    ],
)
@pytest.mark.law("J2")
def test_a_step_that_was_broken_off_is_taken_anew_to_the_same_bytes(inputs, tmp_path, looks, settings):
    """Law J2: whatever a broken step had drawn or a smaller run had measured, the resume ends with the same bytes."""
    rankings = tiny.dataset(tmp_path / "rankings", tiny.ranking_lines(30))
    config = FAST | {"micro_batch_tokens": 1} | settings
    whole, broken = (
        tiny.run(tmp_path / name, "rewardmodel.train", inputs | {"rankings": rankings}, config)
        for name in ("whole", "broken")
    )
    train(whole)
    broken.stop = tiny.StopsAfter(looks)
    with pytest.raises(Interrupted):
        train(broken)
    again = open_run(tmp_path / "broken")
    train(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


@pytest.mark.law("J2")
def test_killed_in_mid_flight_it_resumes_to_the_same_bytes_and_metrics(inputs, tmp_path):
    """Law J2: kill -9 of the program, then another attempt: bytes and metrics are those of an unbroken run."""
    config = FAST | {"savepoint_every_seconds": 0.0, "epochs": 2}
    whole = tiny.run(tmp_path / "whole", "rewardmodel.train", inputs, config)
    train(whole)
    broken = tiny.run(tmp_path / "broken", "rewardmodel.train", inputs, config)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "rewardmodel", str(broken.folder), "--attempt", "1"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as program:
        while program.poll() is None and not list(broken.attempt_dir.glob("savepoints/step-*")):
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    assert not artifacts.is_whole(broken.output_dir)
    again = open_run(broken.folder, 2)
    assert again.last_savepoint() is not None
    train(again)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)
    assert tiny.curves(broken, again) == tiny.curves(whole)


def test_nothing_to_learn_from_and_malformed_lines_are_refused_by_name(inputs, tmp_path):
    none = tiny.dataset(tmp_path / "none", [line | {"judgements": []} for line in tiny.ranking_lines(3)])
    with pytest.raises(NoRankings, match="no judged ranking"):
        train(tiny.run(tmp_path / "a", "rewardmodel.train", inputs | {"rankings": none}, FAST))
    lines = tiny.ranking_lines(3)
    del lines[1]["responses"]
    bad = tiny.dataset(tmp_path / "bad", lines)
    with pytest.raises(RecordError, match=r"line 2: responses"):
        train(tiny.run(tmp_path / "b", "rewardmodel.train", inputs | {"rankings": bad}, FAST))


def test_the_shell_scores_a_file_and_names_a_bad_line(trained, tmp_path, capsys):
    from rewardmodel.__main__ import score  # noqa: PLC0415

    file = tmp_path / "texts.jsonl"
    file.write_text('{"prompt": "say it", "response": "aeiou"}\n{"prompt": "", "responses": ["aeiou", "xx"]}\n')
    assert score([str(file), "--model", str(trained.output_dir)]) == 0
    one, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert isinstance(one["reward"], float)
    assert one["prompt"] == "say it"
    assert one["spread"] > 0
    assert len(two["rewards"]) == len(two["spreads"]) == 2
    file.write_text('{"prompt": "a", "response": "b"}\n{"prompt": 3, "response": "b"}\n')
    assert score([str(file), "--model", str(trained.output_dir)]) == 1
    assert "line 2: prompt" in capsys.readouterr().err
    file.write_text('{"prompt": "a", "response": "\\ud83d"}\n')
    assert score([str(file), "--model", str(trained.output_dir)]) == 1
    assert "line 1: response must be text" in capsys.readouterr().err
    for path, model, wrong in (
        (tmp_path / "nowhere.jsonl", trained.output_dir, "nowhere.jsonl cannot be read"),
        (file, tmp_path, "cannot be loaded as a reward model: .* holds no config.json"),
    ):
        assert score([str(path), "--model", str(model)]) == 1
        assert re.search(wrong, capsys.readouterr().err)


def test_a_job_scores_a_dataset_of_responses_in_their_order(trained, tmp_path):
    from rewardmodel.score import score  # noqa: PLC0415

    lines = [
        {"prompt": [{"role": "user", "content": "say it"}] if number % 2 else [], "response": "aeiou"[: 1 + number % 5]}
        for number in range(7)
    ]
    inputs = {"reward": trained.output_dir, "responses": tiny.dataset(tmp_path / "responses", lines)}
    run = tiny.run(tmp_path / "run", "rewardmodel.score", inputs, {})
    score(run)
    out = [json.loads(line) for line in (run.output_dir / "data.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["response"]) for line in out] == [
        (line["prompt"], line["response"]) for line in lines
    ]
    scorer = scoring.load(trained.output_dir)
    expected = scorer.score([line["prompt"] for line in lines], [[line["response"]] for line in lines])
    assert [line["reward"] for line in out] == pytest.approx([float(one) for one in expected], abs=1e-5)
    assert all(line["spread"] > 0 for line in out)
    assert card_of(run)["count"] == 7
