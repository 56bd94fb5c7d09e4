"""A reward model's page: what its card measured, drawn with its doubt, and its surest errors with their tasks."""

from __future__ import annotations

import random

import pytest
import torch
from browser_world import PHONE
from oracle import Oracle
from playwright.sync_api import expect

from rewardmodel.data import Example, Judged, Texts
from rewardmodel.evaluation import evaluate
from rewardmodel.loss import comparisons_of_ranking
from training import checkpoints
from training.lm.trees import Tree

FLAGS = ("hallucination", "fails to follow the instruction")


def card():
    """What a trainer would have measured: three annotators of a known taste, and a scorer that is nearly as good."""
    oracle, dice = Oracle(), random.Random(4)
    examples, scores = [], []
    for number in range(240):
        texts = ["".join(dice.choices("abcdefghijklmnopqrst", k=8)) for _ in range(4)]
        rewards = [oracle.reward(text) for text in texts]
        judgements = []
        for annotator in ("annotator-1", "annotator-2", "annotator-3")[: 1 + number % 3]:
            felt = [reward + dice.gauss(0, 1.3) for reward in rewards]
            ratings = [max(1, min(7, round(4 + value))) for value in felt]
            levels = sorted(set(ratings), reverse=True)
            said = comparisons_of_ranking([levels.index(rating) + 1 for rating in ratings], ratings=ratings)
            flags = tuple((dice.choice(FLAGS),) if rating == 1 else () for rating in ratings)
            judgements.append(Judged(annotator, said, flags=flags))
        words = [" ".join(text) for text in texts]
        tree = Tree([1], [[2] * dice.randint(5, 60) for _ in texts])
        asked = Texts(
            [{"role": "user", "content": f"Tell me a short story about a lost {dice.choice(['kite', 'dog'])}."}],
            words,
        )
        examples.append(Example(str(number + 1), "valid", tree, tuple(judgements), cut=False, texts=asked))
        scores.append(torch.tensor([reward + dice.gauss(0, 0.6) for reward in rewards]))
    valid = evaluate(examples, scores, known={"annotator-1", "annotator-2"})
    curve = [
        {"share": share, "prompts": int(800 * share), "log_loss": valid["log_loss"], "accuracy": valid["accuracy"] | at}
        for share, at in (
            (0.25, {"value": 0.68, "low": 0.65, "high": 0.71}),
            (0.5, {"value": 0.72, "low": 0.69, "high": 0.75}),
            (1.0, {}),
        )
    ]
    said = {
        "steps": 50,
        "best_step": 40,
        "valid": valid,
        "test": {"prompts": 0},
        "learning_curve": curve,
        "reward_std": 1.4,
    }
    return {"kind": "rewardmodel.train", "seed": 1, "evaluation": said}


@pytest.fixture
def judge(world):
    digest = "sha256:" + 64 * "5"
    return checkpoints.publish(project=world.project, kind="reward", digest=digest, card=card(), name="round-2-judge")


def test_a_reward_models_figures_are_drawn_and_read_out_by_mouse_keys_and_table(sign_in, world, judge):
    page = sign_in("rhea")
    page.goto(f"/p/bedtime/models/{judge.pk}")
    accuracy = judge.card["evaluation"]["valid"]["accuracy"]["value"]
    expect(page.get_by_role("region", name="How well it agrees with people")).to_contain_text(f"{accuracy * 100:.1f} %")
    strengths = page.get_by_role("region", name="By strength of preference")
    last = judge.card["evaluation"]["valid"]["by_strength"][-1]
    expect(strengths).to_contain_text(f"3 or more steps apart: {last['value'] * 100:.1f} %")
    reader = strengths.get_by_role("slider")
    reader.focus()
    reader.press("ArrowLeft")
    expect(strengths).to_contain_text("2 steps apart:")
    strengths.get_by_role("button", name="Table of By strength of preference").click()
    expect(strengths.get_by_role("row", name="rated alike")).to_have_count(0)
    expect(strengths.get_by_role("row")).to_have_count(4)
    expect(page.get_by_role("region", name="Calibration")).to_contain_text("as promised")
    expect(page.get_by_role("region", name="Learning curve")).to_contain_text("800 prompts (100 %)")
    expect(page.get_by_role("region", name="By annotator")).to_contain_text(
        "annotator whose words it never learned from"
    )
    expect(page.get_by_role("region", name="By flag").get_by_role("row", name="hallucination")).to_be_visible()


def test_the_surest_errors_can_be_read_on_a_phone_and_lead_to_their_tasks(sign_in, world, judge):
    page = sign_in("rhea", screen=PHONE)
    page.goto(f"/p/bedtime/models/{judge.pk}")
    worst = judge.card["evaluation"]["valid"]["errors"][0]
    errors = page.get_by_role("region", name="Where it is surest and wrong")
    expect(errors.get_by_role("article")).to_have_count(10)
    first = errors.get_by_role("article").first
    expect(first).to_contain_text(worst["preferred"])
    expect(first).to_contain_text(worst["scored_higher"])
    expect(first.get_by_role("link")).to_have_attribute("href", f"/p/bedtime/review/{worst['id']}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
