"""PPO watches itself: each alarm by name when its reason is there and not before, and what is done about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from ppo_cast import FAST, reward_of, teach
from transformers import AutoModelForCausalLM

from policy import ppo as ppo_module
from policy.config import AlarmsConfig
from policy.ppo import ppo
from policy.rollout import Verdict, roll_out
from policy.watch import ALARMS, Alarm, Watch, strongest
from training import artifacts
from training.program import Paused, main, open_run

CALM = {"kl": 1.0, "kl_error": 0.1, "length": 40.0, "entropy": 2.0, "reward": 0.0, "reward_error": 0.05}


def seen(steps, **config):
    """The alarms of a run with these figures, as (step, name)."""
    watch = Watch(AlarmsConfig(**config))
    return [(number, alarm.name) for number, step in enumerate(steps, 1) for alarm in watch.see(CALM | step)]


@given(st.lists(st.floats(0.9, 1.1), min_size=1, max_size=20))
def test_small_changes_raise_no_alarm(factors):
    steps = [{name: CALM[name] * factor for name in ("length", "entropy", "kl")} for factor in factors]
    assert seen([step | {"disagreement": 0.3 * f} for step, f in zip(steps, factors, strict=True)]) == []


def test_a_kl_that_runs_away_is_seen_before_it_is_there_and_said_once():
    rising = [{"kl": 4.0 * step} for step in range(1, 12)]
    ((step, name),) = seen(rising, kl_limit=30.0, window=2)
    assert name == "kl_running_away"
    assert rising[step - 1]["kl"] < 30 < rising[step + 1]["kl"]
    assert seen([{"kl": 31.0}], kl_limit=30.0) == [(1, "kl_running_away")]


def test_an_alarm_that_has_been_quiet_goes_off_again():
    kls = [1, 1, 60, 60, 1, 1, 1, 1, 60]
    steps = [step for step, name in seen([{"kl": kl} for kl in kls], window=1) if name == "kl_running_away"]
    assert steps == [3, 9]


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_lengths_that_drift_either_way_are_seen(factor):
    lengths = [40.0] * 3 + [40.0 * factor] * 3
    assert seen([{"length": length} for length in lengths]) == [(6, "length_drifting")]


def test_an_entropy_that_collapses_is_seen():
    assert seen([{"entropy": 2.0}] * 3 + [{"entropy": 0.5}] * 3) == [(6, "entropy_collapsing")]


def test_a_reward_that_rises_is_an_alarm_only_where_its_judges_disagree_more():
    before, after = [{"reward": 0.0}] * 3, [{"reward": 1.0}] * 3

    def judged(first, then):
        return [s | {"disagreement": first} for s in before] + [s | {"disagreement": then} for s in after]

    assert seen(before + after) == []
    assert seen(judged(0.2, 0.2)) == []
    assert seen(judged(0.2, 0.5)) == [(6, "reward_up_while_ensemble_disagrees")]
    flat = [step | {"reward": 0.01} for step in judged(0.2, 0.5)]
    assert seen(flat) == []


def test_judges_who_agreed_better_and_then_no_more_are_seen():
    """At first they disagree for want of practice; it counts from where they agreed best."""
    said = [{"reward": reward, "disagreement": d} for reward, d in ((0.0, 0.9), (0.5, 0.5), (1.0, 1.0)) for _ in "abc"]
    assert seen(said) == [(9, "reward_up_while_ensemble_disagrees")]


@pytest.mark.law("P7")
def test_a_kl_that_stays_below_0_is_an_alarm_and_one_that_is_so_by_chance_is_not():
    assert seen([{"kl": -0.2, "kl_error": 0.1}] * 6) == []
    assert seen([{"kl": -0.5, "kl_error": 0.1}] * 6) == [(3, "negative_kl")]
    assert seen([{"kl": kl, "kl_error": 0.1} for kl in (-0.5, -0.5, 0.1) * 3]) == []


@given(st.lists(st.fixed_dictionaries({name: st.floats(0.01, 100) for name in CALM}), min_size=2, max_size=12))
def test_what_it_remembers_survives_a_savepoint(steps):
    whole = Watch(AlarmsConfig())
    broken = Watch(AlarmsConfig())
    for number, step in enumerate(steps):
        if number == len(steps) // 2:
            state = json.loads(json.dumps(broken.state_dict()))
            broken = Watch(AlarmsConfig())
            broken.load_state_dict(state)
        assert whole.see(step) == broken.see(step)


def test_the_strongest_wish_is_followed():
    alarms = [
        Alarm(name, "", action) for name, action in zip("abcd", ("note", "stop", "roll_back", "pause"), strict=True)
    ]
    assert strongest(alarms).name == "c"
    assert strongest(alarms[:1]) is None


# --- In a run ------------------------------------------------------------------------------------

EARLY = {"window": 1, "kl_limit": 0.05}
"""The KL is soon too much."""


def taught(tmp_path, inputs, action, **settings):
    alarms = EARLY | {"kl_running_away": action}
    config = FAST | {"steps": 4, "evaluations": 4, "alarms": alarms, "warmup_steps": 0} | settings
    return tiny.run(tmp_path / action, "policy.ppo", inputs, config)


def evaluation(run):
    return json.loads((run.output_dir / "card.json").read_text())["evaluation"]


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_a_note_is_said_with_its_step_and_the_run_goes_on(inputs, tmp_path):
    run = teach(taught(tmp_path, inputs, "note"), inputs)
    said = [(e["step"], e["name"], e["action"]) for e in tiny.events(run, "alarm")]
    kl = {e["step"]: e["values"]["ppo/kl"] for e in tiny.events(run, "metrics") if "ppo/kl" in e["values"]}
    first = min(step for step, value in kl.items() if max(value, 2 * value - kl.get(step - 1, value)) > 0.05)
    assert said[0] == (first, "kl_running_away", "note")
    assert "ended_by" not in evaluation(run)
    assert evaluation(run)["steps"] == 4


@pytest.mark.law("P9")
def test_a_pause_waits_for_a_person_and_resumed_it_ends_with_the_same_bytes(inputs, tmp_path):
    """Law P9: to pause and go on changes nothing of what is published but the setting that said so."""
    unbroken = teach(taught(tmp_path, inputs, "note"), inputs)
    run = taught(tmp_path, inputs, "pause")
    with pytest.raises(Paused, match="kl running away"):
        teach(run, inputs)
    assert not run.output_dir.exists()
    again = teach(open_run(run.folder), inputs)
    assert tiny.events(again, "alarm") == []
    names = {file.name for file in unbroken.output_dir.iterdir()} - {"card.json", "manifest.json"}
    for name in names:
        assert (again.output_dir / name).read_bytes() == (unbroken.output_dir / name).read_bytes(), name


def test_the_program_says_why_it_paused(inputs, tmp_path):
    from policy.__main__ import KINDS  # noqa: PLC0415

    run = taught(tmp_path, inputs, "pause")
    assert main(KINDS, [str(run.folder), "--attempt", "1", "--detached"]) == 76
    (event,) = tiny.events(run, "pause")
    assert "kl running away" in event["text"]


def test_a_stop_ends_the_run_and_publishes_the_policy_as_it_is(inputs, tmp_path):
    run = teach(taught(tmp_path, inputs, "stop"), inputs)
    ended = evaluation(run)["steps"]
    assert evaluation(run)["ended_by"] == "kl_running_away"
    assert [e["step"] for e in tiny.events(run, "alarm")] == [ended]
    assert [e["step"] for e in tiny.events(run, "samples")][-1] == ended < 4
    start = weights(inputs["policy"])
    assert any(not torch.equal(tensor, start[name]) for name, tensor in weights(run.output_dir).items())


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_roll_back_publishes_the_last_look_that_no_alarm_followed(inputs, tmp_path, ema):
    alarms = {"window": 1, "kl_limit": 0.2}
    settings = {"steps": 12, "evaluations": 12, "ema": ema, "learning_rate": 2e-4}
    run = teach(
        taught(tmp_path, inputs, "roll_back", alarms=alarms | {"kl_running_away": "roll_back"}, **settings), inputs
    )
    said, looks = evaluation(run), [event["step"] for event in tiny.events(run, "samples")]
    assert said["ended_by"] == "kl_running_away"
    assert said["rolled_back_to"] == looks[-2], "the last look was at the policy that raised the alarm"
    shorter = settings | {"steps": said["rolled_back_to"], "evaluations": said["rolled_back_to"]}
    good = teach(taught(tmp_path / "good", inputs, "note", **shorter), inputs)
    assert (run.output_dir / "model.safetensors").read_bytes() == (good.output_dir / "model.safetensors").read_bytes()


def test_a_look_that_any_alarm_followed_is_never_rolled_back_to(inputs, tmp_path, monkeypatch):
    """A look is not trusted later because the alarm that followed it has gone quiet again."""
    script = iter([[], ["length_drifting"], [], ["kl_running_away"]])

    def see(self, _figures):
        self.up = set(next(script))
        return [Alarm(name, "seen", getattr(self.config, name)) for name in self.up]

    monkeypatch.setattr(Watch, "see", see)
    run = teach(taught(tmp_path, inputs, "roll_back"), inputs)
    assert [e["step"] for e in tiny.events(run, "samples")] == [0, 1, 2, 3]
    assert (evaluation(run)["ended_by"], evaluation(run)["rolled_back_to"]) == ("kl_running_away", 0)
    start = weights(inputs["policy"])
    assert all(torch.equal(tensor, start[name].float()) for name, tensor in weights(run.output_dir).items())


@pytest.mark.law("P9")
def test_what_a_run_would_be_rolled_back_to_survives_an_interruption(inputs, tmp_path, monkeypatch):
    def see(self, _figures):
        self.history.append({})
        self.up = {"kl_running_away"} if len(self.history) == 3 else set()
        return [Alarm(name, "seen", getattr(self.config, name)) for name in self.up]

    monkeypatch.setattr(Watch, "see", see)
    run = teach(taught(tmp_path, inputs, "roll_back", savepoint_every_seconds=0.0), inputs)
    assert evaluation(run)["rolled_back_to"] == 1
    again = teach(open_run(run.folder), inputs)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(run.output_dir)
    start = weights(inputs["policy"])
    assert any(not torch.equal(tensor, start[name].float()) for name, tensor in weights(run.output_dir).items())


def test_what_ends_the_run_survives_an_interruption(inputs, tmp_path):
    run = taught(tmp_path, inputs, "stop", savepoint_every_seconds=0.0)
    whole = teach(run, inputs)
    again = open_run(run.folder)
    teach(again, inputs)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)


@pytest.mark.law("P7")
def test_sampling_that_disagrees_with_learning_is_said_in_the_run(inputs, tmp_path, monkeypatch):
    """Law P7: a batch mean of k1 that stays below 0 means that sampling and learning disagree; it is said by name."""

    def crooked(*arguments, **options):
        out = roll_out(*arguments, **options)
        return replace(out, ref_logprobs=(out.ref_logprobs + 0.5).masked_fill(~out.response_mask, 0))

    monkeypatch.setattr(ppo_module, "roll_out", crooked)
    monkeypatch.setattr(ppo_module, "self_check", lambda *_, **__: {})
    run = teach(tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"steps": 4, "learning_rate": 1e-9}), inputs)
    assert [e["name"] for e in tiny.events(run, "alarm")] == ["negative_kl"]


def test_judges_that_drift_apart_while_the_reward_rises_are_said_in_the_run(inputs, tmp_path):
    plain, calls = reward_of(inputs), []

    def judges(prompts, answers):
        said = plain(prompts, answers)
        calls.append(1)
        votes = torch.stack([said + 0.5 * len(calls), said + 1.5 * len(calls)])
        return Verdict(votes.mean(0), votes)

    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"steps": 5, "alarms": {"window": 2}})
    ppo(run, judges, critic_from=None)
    assert [e["name"] for e in tiny.events(run, "alarm")] == ["reward_up_while_ensemble_disagrees"]
    steps = [e["values"] for e in tiny.events(run, "metrics") if "ppo/kl" in e["values"]]
    assert all(step["ppo/disagreement"] > 0 for step in steps)


def test_every_alarm_has_an_action_and_a_sentence():
    for name in ALARMS:
        assert getattr(AlarmsConfig(), name) == "note"
        assert callable(getattr(Watch, f"_{name}"))
