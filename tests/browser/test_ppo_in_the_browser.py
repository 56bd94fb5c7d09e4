"""A PPO job's page: alarms as marks and words, what it writes side by side, and a pause that somebody ends."""

from __future__ import annotations

import math

from browser_world import PHONE, until
from django.conf import settings
from playwright.sync_api import expect

from training import checkpoints, jobs
from training.models import User
from training.report import Reporter

PROMPTS = ["Tell me a story about a lost kite.", "Tell me a story about an owl.", "Tell me a story about rain."]
PROMPTS += [f"Tell me a story about {count} geese." for count in range(2, 8)]


def a_paused_ppo(world, *, steps=24, looks=6):
    """A PPO job that saw its judges fall out, and paused."""
    for kind, name, letter in (("policy", "start", "a"), ("reward", "judge", "b")):
        digest = "sha256:" + letter * 64
        checkpoints.publish(project=world.project, kind=kind, digest=digest, card={}, name=name)
    world.ask("kite", "owl")
    world.snapshot("prompts")
    job = jobs.start(
        project=world.project,
        kind="policy.ppo",
        inputs={"policy": "latest", "reward": "latest", "prompts": "latest"},
        config={"steps": 2 * steps, "alarms": {"reward_up_while_ensemble_disagrees": "pause"}},
        by=User.objects.get(username="lea"),
    )
    attempt = world.claimed(job)
    reporter = Reporter(settings.RUNS_ROOT / str(job.pk) / "attempt-1" / "events.jsonl")
    reporter.note("Judged by reward, reward 2, combined as mean.")
    for look in range(looks):
        written = f"{'Once ' * (look + 1)}there was a story, and it ended well."
        rows = [{"prompt": prompt, "response": written, "reward": look / 4} for prompt in PROMPTS]
        reporter.samples(look * steps // (looks - 1), rows)
    reporter.alarm(14, "length_drifting", "Responses have 61 tokens on average; at first they had 40.", "note")
    reporter.alarm(steps, "reward_up_while_ensemble_disagrees", "The reward has risen by 0.9.", "pause")
    reporter.pause("reward up while ensemble disagrees: The reward has risen by 0.9.")
    curves = {
        "reward": lambda x: x / 10,
        "kl": lambda x: x**1.5 / 10,
        "sqrt_kl": lambda x: math.sqrt(x**1.5 / 10),
        "length": lambda x: 40 + max(0, x - 8) * 3,
        "entropy": lambda x: 2.5 - x / 20,
        "disagreement": lambda x: 0.2 + (x / 20) ** 3,
        "ref_perplexity": lambda x: 9 + x / 3,
        "repetition": lambda x: x / 100,
        "clip_fraction": lambda x: 0.02 + x / 900,
        "explained_variance": lambda x: 1 - math.exp(-x / 5),
    }
    metrics = {(f"ppo/{name}", step): curve(step) for name, curve in curves.items() for step in range(1, steps + 1)}
    metrics |= {("ppo/valid_reward", step): step / 11 for step in range(0, steps + 1, 4)}
    jobs.beat(attempt, jobs.News(metrics=metrics, progress=(steps, 2 * steps, "steps")))
    jobs.pause(attempt, message="reward up while ensemble disagrees: The reward has risen by 0.9.")
    return job


def test_alarms_stand_on_the_curves_and_among_the_notes(world, lea):
    job = a_paused_ppo(world)
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    stage = lea.get_by_role("region", name="PPO")
    expect(stage.get_by_text("▲ step 14: length drifting")).to_be_visible()
    expect(stage.get_by_text("▲ step 24: reward up while its judges disagree")).to_have_count(2)
    notes = lea.get_by_role("list", name="What happened, newest first")
    expect(notes.get_by_text("Alarm at step 14, length drifting")).to_be_visible()
    expect(lea.get_by_role("slider", name="√KL: read along the steps")).to_be_visible()


def test_what_it_writes_is_read_side_by_side_over_the_steps(world, lea):
    job = a_paused_ppo(world)
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    table = lea.get_by_role("region", name="What it writes to the same prompts, step by step")
    heads = ["step 0", "step 14▲ length drifting, step 14"]
    heads += ["step 24▲ reward up while its judges disagree, step 24"]
    expect(table.get_by_role("columnheader")).to_have_text(heads)
    expect(table.get_by_role("rowheader")).to_have_count(4)
    expect(table.get_by_role("cell")).to_have_count(12)
    lea.get_by_role("button", name="All 6 looks").click()
    expect(table.get_by_role("columnheader")).to_have_count(6)
    lea.get_by_role("button", name="All 9 prompts").click()
    expect(table.get_by_role("cell")).to_have_count(54)


def test_a_paused_job_says_why_and_is_resumed(world, lea, sign_in):
    job = a_paused_ppo(world)
    lea.goto(f"/p/bedtime/jobs/{job.pk}")
    expect(lea.get_by_text("paused, waits for you")).to_be_visible()
    expect(lea.get_by_role("heading", name="It has paused, and waits for you")).to_be_visible()
    expect(lea.get_by_role("progressbar")).to_be_visible()
    vera = sign_in("vera", screen=PHONE)
    vera.goto(f"/p/bedtime/jobs/{job.pk}")
    expect(vera.get_by_role("heading", name="It has paused, and waits for you")).to_be_visible()
    expect(vera.get_by_role("button", name="Resume")).to_have_count(0)
    assert vera.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    lea.get_by_role("button", name="Resume").click()
    until(lea, f"jobs/{job.pk}", "it.state === 'queued' && it.error === null")
    expect(lea.get_by_text("It is queued: the next free worker takes it.")).to_be_visible()


def test_a_job_is_given_several_reward_models(world, lea):
    a_paused_ppo(world)
    lea.goto("/p/bedtime/jobs/new?kind=policy.ppo")
    lea.get_by_label("Policy", exact=True).select_option(label="start")
    lea.get_by_role("button", name="Another reward model").click()
    lea.get_by_role("button", name="Another reward model").click()
    second = lea.get_by_label("Reward model (reward_2)")
    second.select_option(label="judge")
    lea.get_by_label("Reward model (reward_3)").select_option(label="None")
    lea.get_by_role("button", name="Start").click()
    lea.wait_for_url("**/jobs/*")
    until(lea, "jobs?project=bedtime&kind=policy.ppo", "it.results.length === 2")
    newest = jobs.Job.objects.filter(kind="policy.ppo").order_by("-pk").first()
    assert newest.requested_inputs["reward_2"] == "sha256:" + "b" * 64
    assert "reward_3" not in newest.requested_inputs
