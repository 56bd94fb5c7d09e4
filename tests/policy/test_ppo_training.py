"""PPO end to end: it learns what it is paid for, checks itself, stops, and resumes to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from ppo_cast import FAST, Cast, share_of_vowels, teach
from transformers import AutoModelForCausalLM

from policy.config import PPOConfig
from policy.critic import Critic
from policy.learner import Experience, Learner, Weights, minibatches
from policy.ppo import NoPrompts, credit, judged, ppo
from policy.rollout import Prompt, Stopped, Verdict, roll_out
from policy.team import Team, response_logprobs
from training import artifacts
from training.lm import distributed
from training.lm.blocks import response_states
from training.lm.generation import Sampling
from training.lm.masked import masked_mean, masked_var
from training.lm.trees import Tree, TreeBatch
from training.program import Interrupted, open_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cast(inputs):
    return Cast(inputs)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.law("P1")
def test_first_minibatch_has_ratio_one_everywhere(inputs, temperature):
    """Law P1: in the first minibatch no ratio leaves 1, nothing is clipped, the approximate KL is 0."""
    cast = Cast(inputs, temperature=temperature, min_new_tokens=4)
    sums = cast.learner().update(cast.experience, [0, 1])
    assert sums["approx_kl"] / sums["tokens"] < 1e-9
    assert sums["clip_fraction"] == 0
    assert sums["policy_loss"] == pytest.approx(-float(cast.experience.advantages[:6].sum()), abs=1e-3)


@pytest.mark.parametrize("micro", [1, 60, 4096])
@pytest.mark.law("P1")
def test_without_a_learning_rate_the_ratio_stays_one_for_the_whole_run(inputs, micro):
    """Law P1: at a learning rate of (nearly) nothing ratio, KL and clip fraction stay put, however it is split."""
    cast = Cast(inputs)
    learner = cast.learner(learning_rate=1e-30, value_learning_rate=1e-30, micro_batch_tokens=micro)
    for trees in minibatches(4, 2, epochs=4, seed=1, step=0):
        sums = learner.update(cast.experience, trees)
        assert sums["approx_kl"] / sums["tokens"] < 1e-9
        assert sums["clip_fraction"] == 0


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.law("P2")
def test_at_the_start_policy_and_reference_agree_on_every_token(inputs, temperature):
    """Law P2: KL(policy || reference) is 0 per token at first, with the sampler's log-probabilities."""
    cast = Cast(inputs, temperature=temperature)
    mask = cast.rollout.response_mask
    assert float((cast.rollout.logprobs - cast.rollout.ref_logprobs)[mask].abs().max()) < 1e-4
    assert cast.experience.figures["kl"] == pytest.approx(0, abs=1e-4)


@pytest.mark.law("P7")
@pytest.mark.law("P14")
def test_where_a_response_cannot_end_nobody_is_paid_for_wishing_that_it_did(inputs):
    """Laws P7, P14: up to min_new_tokens the KL is between distributions without an end, so that it is never below 0.

    With the end's share left in, a policy that gives it to the end that is barred makes all that it says less likely:
    a KL below 0, which is paid as a reward.
    """
    cast = Cast(inputs, min_new_tokens=9, max_new_tokens=9 + 1)
    head = torch.nn.Linear(32, 260)
    with torch.no_grad():
        head.weight.copy_(cast.policy.get_output_embeddings().weight)
        head.bias.zero_()
        head.bias[cast.encoder.eos_id] = 30.0
    cast.policy.set_output_embeddings(head)
    now, mask = Cast.again(cast), cast.rollout.response_mask
    assert torch.allclose(now.logprobs[:, :9], cast.rollout.logprobs[:, :9], atol=1e-4)
    assert float((now.logprobs - now.ref_logprobs)[:, :9].min()) > -1e-4
    sums = cast.learner(learning_rate=1e-30).update(replace(cast.experience, logprobs=now.logprobs), [0, 1])
    assert sums["approx_kl"] / sums["tokens"] < 1e-9
    assert float((now.logprobs - now.ref_logprobs)[:, 9][mask[:, 9]].abs().min()) > 1, "it may end now, and that counts"


@pytest.mark.law("P4")
def test_with_lambda_1_the_critic_is_taught_the_reward_to_go(inputs):
    """Law P4, in the loop: with lambda 1 every return is the reward still to come, whatever the values were."""
    cast = Cast(inputs, gae_lambda=1.0)  # at the first step the KL is 0, so only the score is still to come
    mask = cast.rollout.response_mask
    expected = cast.raw.unsqueeze(1).expand_as(mask)
    assert torch.allclose(cast.experience.returns[mask], expected[mask], atol=1e-3)


@pytest.mark.law("P8")
def test_in_its_warm_up_only_the_critic_learns_and_further_than_the_clip_allows(inputs):
    cast = Cast(inputs)
    returns = cast.experience.returns + 5.0  # far from what the critic says, as in the middle of a response
    far = replace(cast.experience, returns=returns.masked_fill(~cast.rollout.response_mask, 0))
    policy = [p.clone() for p in cast.policy.parameters()]
    learner = cast.learner(value_clip_range=1e-3, value_learning_rate=1e-2)
    losses = [learner.update(far, [0, 1, 2, 3], critic_only=True)["value_loss"] for _ in range(12)]
    assert all(torch.equal(old, new) for old, new in zip(policy, cast.policy.parameters(), strict=True))
    assert losses[-1] < losses[0] / 2
    assert learner.end_step(critic_only=True) == 0
    learner.update(far, [0, 1])
    assert learner.end_step() > 0


def test_a_run_warms_its_critic_up_before_the_policy_moves(inputs, tmp_path):
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"critic_warmup_steps": 2, "epochs": 2})
    teach(run, inputs)
    steps = [event["values"] for event in tiny.events(run, "metrics") if "ppo/approx_kl" in event["values"]]
    assert [row["ppo/learning_rate"] > 0 for row in steps] == [False, False, True, True, True]
    assert [row["ppo/approx_kl"] > 1e-9 for row in steps] == [False, False, True, True, True]
    assert all(row["ppo/value_loss"] > 0 for row in steps)


def test_while_the_critic_warms_up_it_is_taught_what_really_came(inputs):
    cast = Cast(inputs, gae_lambda=0.5)
    warm = credit(cast.rollout, cast.verdict, cast.config, cast.config.kl_coef, warming=True)
    mask = cast.rollout.response_mask
    assert torch.allclose(warm.returns[mask], cast.raw[:, None].expand(mask.shape)[mask], atol=1e-4)
    assert not torch.allclose(cast.experience.returns[mask], warm.returns[mask], atol=1e-2)


def test_the_critic_starts_by_saying_the_reward_at_the_last_token(cast):
    """Law P8: V at the last token equals the reward model's normalised score at step 0."""
    assert torch.allclose(cast.rollout.end_values, cast.raw, atol=1e-4)


@pytest.mark.parametrize("tf_adam", [False, True])
@pytest.mark.law("P6")
def test_however_a_minibatch_is_split_it_gives_the_same_gradient(inputs, tf_adam):
    """Law P6: accumulating 1 x all, few x few and all x 1 gives the same gradients (token-weighted)."""
    found = []
    for micro in (1, 70, 4096):
        cast = Cast(inputs)
        learner = cast.learner(micro_batch_tokens=micro, tf_adam=tf_adam)
        learner._drop_gradients = lambda: None
        sums = learner.update(cast.experience, [3, 0, 1])
        gradients = [p.grad.flatten() for m in (cast.policy, cast.critic) for p in m.parameters() if p.grad is not None]
        found.append((torch.cat(gradients), sums))
    for gradient, sums in found[1:]:
        assert (gradient - found[0][0]).norm() / found[0][0].norm() < 1e-4
        assert sums == pytest.approx(found[0][1], rel=1e-3, abs=1e-3)


@pytest.mark.law("P5")
def test_a_longer_batch_mate_changes_no_gradient(inputs):
    """Law P5: wider padding in the stored tensors, even of NaN, changes neither loss nor gradient."""
    found = []
    for extra in (0, 7):
        cast = Cast(inputs)
        plain = cast.experience.plain()
        dead = torch.nn.functional.pad(~cast.rollout.response_mask, (0, extra), value=True)
        for name in ("logprobs", "values", "advantages", "returns"):
            wide = torch.nn.functional.pad(plain[name], (0, extra))
            plain[name] = wide.masked_fill(dead, torch.nan) if extra else wide
        found.append(cast.learner().update(Experience.of(plain), [0, 1]))
    assert found[0] == pytest.approx(found[1])


@pytest.mark.law("P5")
def test_no_figure_of_a_rollout_sees_padding(inputs):
    """Law P5: KL, entropy, perplexity, values and returns are means over real tokens, whatever lies behind them."""
    cast = Cast(inputs)
    rollout, extra = cast.rollout, 6
    dead = torch.nn.functional.pad(~rollout.response_mask, (0, extra), value=True)
    names = ("logprobs", "sampled_logprobs", "ref_logprobs", "values")
    wide = {name: torch.nn.functional.pad(getattr(rollout, name), (0, extra)).masked_fill(dead, 1.0) for name in names}
    padded = credit(replace(rollout, response_mask=~dead, **wide), cast.verdict, cast.config, cast.config.kl_coef)
    assert padded.figures == pytest.approx(cast.experience.figures, rel=1e-5)  # sums are taken in another order
    assert padded.figures["entropy"] > 0
    for name in ("advantages", "returns"):
        got, wanted = getattr(padded, name).masked_fill(dead, 0), getattr(cast.experience, name)
        assert torch.allclose(got[:, :-extra], wanted.masked_fill(~rollout.response_mask, 0), atol=1e-6)


def test_rollouts_explore_and_their_advantages_are_whitened(cast):
    """Responses to one prompt differ, as do those of two steps; advantages have mean 0 and variance 1."""
    for row in cast.rollout.answers:
        assert len({answer.ids for answer in row}) == len(row)
    mask = cast.rollout.response_mask
    assert float(masked_mean(cast.experience.advantages, mask)) == pytest.approx(0, abs=1e-5)
    assert float(masked_var(cast.experience.advantages, mask)) == pytest.approx(1, abs=1e-3)


@pytest.mark.law("P3")
def test_the_policy_is_paid_once_and_only_on_its_own_tokens(cast):
    """Law P3, in the loop: advantages and returns are 0 where no token is real; figures sum as they should."""
    dead = ~cast.rollout.response_mask
    assert cast.experience.advantages[dead].abs().sum() == 0
    assert cast.experience.figures["reward"] == pytest.approx(float(cast.raw.mean()))


@pytest.mark.law("P14")
def test_a_response_without_an_end_gets_the_constant_and_no_response_ends_too_early(inputs):
    """Law P14: the rule for missing ends, and the minimal length, on samples with and without an end token."""
    config = PPOConfig(missing_end_reward=-2.5)
    raw, finished = torch.tensor([0.3, 0.4]), torch.tensor([True, False])
    assert judged(raw, finished, config).tolist() == pytest.approx([0.3, -2.5])
    assert torch.equal(judged(raw, finished, replace(config, missing_end="score")), raw)
    long = Cast(inputs, min_new_tokens=9)
    assert int(long.rollout.response_mask.sum(-1).min()) >= 9
    for row in long.rollout.answers:
        for answer in row:
            assert answer.finished == (answer.ids[-1] == long.encoder.eos_id)


@pytest.mark.law("P10")
def test_in_its_first_steps_adam_as_tensorflow_writes_it_moves_the_policy_several_times_less(inputs):
    """Law P10: at the same rate the approximate KL and the clip fraction of the first epochs are several times less."""
    found = {}
    for tf_adam in (False, True):
        cast, moved = Cast(inputs), {"approx_kl": 0.0, "clip_fraction": 0.0}
        # A small model's gradients are a thousand times a large one's, so that epsilon is, too.
        learner = cast.learner(tf_adam=tf_adam, adam_eps=1e-2, learning_rate=3e-3)
        for trees in minibatches(4, 2, epochs=2, seed=1, step=0):
            sums = learner.update(cast.experience, trees)
            moved = {name: so_far + sums[name] for name, so_far in moved.items()}
        found[tf_adam] = moved
    assert found[False]["approx_kl"] > 3 * found[True]["approx_kl"] > 0
    assert found[False]["clip_fraction"] > 2 * found[True]["clip_fraction"] > 0


@pytest.mark.law("P9")
def test_the_average_equals_its_closed_form():
    """Law P9: the exponential moving average after n updates is d^n w0 + (1 - d) sum of d^(n-i) wi."""
    model = torch.nn.Linear(2, 1, bias=False)
    weights = [torch.randn(1, 2) for _ in range(6)]
    model.weight.data = weights[0].clone()
    average = Weights(model)
    for weight in weights[1:]:
        model.weight.data = weight.clone()
        average.keep(0.9)
    expected = 0.9**5 * weights[0] + sum(0.1 * 0.9 ** (5 - i) * weights[i] for i in range(1, 6))
    average.put()
    assert torch.allclose(model.weight, expected, atol=1e-6)


def test_the_policy_learns_what_it_is_paid_for(inputs, tmp_path):
    config = FAST | {"steps": 30, "rollout_prompts": 8, "responses_per_prompt": 8, "kl_coef": 0.005, "ema": 0.5}
    config |= {"learning_rate": 3e-3, "value_learning_rate": 3e-3, "max_new_tokens": 6, "epochs": 2}
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, config)
    ppo(run, share_of_vowels, critic_from=None)
    rewards = [e["values"]["ppo/reward"] for e in tiny.events(run, "metrics") if "ppo/reward" in e["values"]]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.1
    names = {name for e in tiny.events(run, "metrics") for name in e["values"]}
    wanted = "reward kl kl_k3 entropy length clip_fraction approx_kl explained_variance value_loss policy_loss"
    assert {f"ppo/{name}" for name in wanted.split()} <= names
    shown = tiny.events(run, "samples")
    assert [e["step"] for e in shown] == [0, 30]
    assert all({"prompt", "response", "reward"} == set(row) for e in shown for row in e["rows"])
    assert [row["prompt"] for row in shown[0]["rows"]] == [row["prompt"] for row in shown[1]["rows"]]
    assert AutoModelForCausalLM.from_pretrained(run.output_dir).config._attn_implementation == "sdpa"
    card = json.loads((run.output_dir / "card.json").read_text())
    assert card["evaluation"]["steps"] == 30


@pytest.fixture(scope="module")
def unbroken(inputs, tmp_path_factory):
    return teach(tiny.run(tmp_path_factory.mktemp("whole"), "policy.ppo", inputs, FAST | {"ema": 0.9}), inputs)


@pytest.mark.parametrize("looks", [0, 5, 15, 22, 24, 31, 47, 58])
@pytest.mark.law("P9")
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bytes(inputs, unbroken, tmp_path, looks):
    """Laws P9, J2: asked to stop at any poll (in a look, a rollout, an update), a resume publishes the same bytes."""
    broken = tiny.run(tmp_path / "broken", "policy.ppo", inputs, FAST | {"ema": 0.9})
    broken.stop = tiny.StopsAfter(looks)
    with pytest.raises(Interrupted):
        teach(broken, inputs)
    again = teach(open_run(broken.folder), inputs)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(unbroken.output_dir)
    assert tiny.curves(broken, again) == tiny.curves(unbroken)


@pytest.mark.law("J2")
def test_killed_in_mid_flight_it_resumes_to_the_same_bytes_and_metrics(inputs, tmp_path):
    """Law J2: kill -9 of the program, then another attempt: bytes and metrics are those of an unbroken run."""
    config = FAST | {"steps": 8, "savepoint_every_seconds": 0.0}
    whole = teach(tiny.run(tmp_path / "whole", "policy.ppo", inputs, config), inputs)
    broken = tiny.run(tmp_path / "broken", "policy.ppo", inputs, config)
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "policy", str(broken.folder), "--attempt", "1"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as program:
        while program.poll() is None and len(list(broken.attempt_dir.glob("savepoints/step-*"))) < 2:
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    assert not artifacts.is_whole(broken.output_dir)
    again = open_run(broken.folder, 2)
    assert again.last_savepoint() is not None
    teach(again, inputs)
    assert artifacts.digest_of(again.output_dir) == artifacts.digest_of(whole.output_dir)
    assert tiny.curves(broken, again) == tiny.curves(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="the processor time of another process is read from /proc")
@pytest.mark.law("J4")
def test_asked_to_stop_the_program_ends_soon_with_75_and_a_savepoint(inputs, tmp_path):
    """Law J4: SIGTERM ends the program within 10 s of its own time, after a savepoint, and nothing is published."""
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs, FAST | {"steps": 10_000})
    command = [sys.executable, "-m", "policy", str(run.folder), "--attempt", "1"]
    events = run.attempt_dir / "events.jsonl"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as program:
        while program.poll() is None and not (events.exists() and "progress" in events.read_text()):
            time.sleep(0.01)
        fields = Path(f"/proc/{program.pid}/stat").read_text().rsplit(")", 1)[1].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        program.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(program.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 75
    assert usage.ru_utime + usage.ru_stime - used < 10
    assert run.last_savepoint() is not None
    assert not run.output_dir.exists()


def test_another_tokenizer_for_the_reward_model_gets_texts(inputs, tmp_path):
    from policy.__main__ import KINDS  # noqa: PLC0415

    other = tmp_path / "other"
    other.mkdir()
    for file in inputs["reward"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "chat_template.jinja").write_text(tiny.TEMPLATE.replace("'<' +", "'<assistant><' +"))
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs | {"reward": other}, FAST | {"steps": 1})
    KINDS["policy.ppo"](run)
    assert any("another tokenizer" in e["text"] for e in tiny.events(run, "note"))
    assert artifacts.is_whole(run.output_dir)


def test_a_limit_on_the_kl_ends_an_update(inputs, tmp_path):
    hot = FAST | {"steps": 6, "learning_rate": 2e-2, "warmup_steps": 0}
    run = teach(tiny.run(tmp_path / "update", "policy.ppo", inputs, hot | {"max_update_kl": 1e-6}), inputs)
    assert all(e["values"].get("ppo/updates", 1) < 4 for e in tiny.events(run, "metrics"))


def test_adaptive_control_moves_the_coefficient(inputs, tmp_path):
    """It falls while the KL is below its target, and not before the policy may move."""
    config = FAST | {"kl_control": "adaptive", "kl_target": 50.0, "kl_horizon": 100, "critic_warmup_steps": 1}
    run = teach(tiny.run(tmp_path / "run", "policy.ppo", inputs, config), inputs)
    coefficients = [e["values"]["ppo/kl_coef"] for e in tiny.events(run, "metrics") if "ppo/kl_coef" in e["values"]]
    assert coefficients[0] == coefficients[1] == PPOConfig().kl_coef
    assert coefficients[1] > coefficients[2] > coefficients[3]


def test_no_prompts_are_refused_by_name(inputs, tmp_path):
    empty = tiny.dataset(tmp_path / "empty", [line | {"split": "test"} for line in tiny.prompt_lines(3)])
    run = tiny.run(tmp_path / "run", "policy.ppo", inputs | {"prompts": empty}, FAST)
    with pytest.raises(NoPrompts, match="split train"):
        teach(run, inputs)


@pytest.mark.law("P11")
def test_on_a_bandit_ppo_reaches_the_analytic_optimum():
    """Law P11: with one token to choose, PPO reaches pi_ref * exp(r / beta) (KL < 0.01), and stays for a large beta."""
    rewards = torch.tensor([0.0, 0.0, 0.0, 0.3, -0.4, 0.6, 0.1, -0.2])
    for beta, steps in ((0.5, 40), (50.0, 10)):
        got, start = _bandit(rewards, beta, steps)
        optimum = (start + rewards / beta).log_softmax(-1)
        assert float((got.exp() * (got - optimum)).sum()) < 0.01
        if beta < 1:
            assert float((start.exp() * (start - optimum)).sum()) > 0.1


def _bandit(rewards, beta, steps):
    """Teach a policy of 8 tokens to choose one token; its log-probabilities after and before."""
    policy, reference = (tiny.causal_lm(vocabulary=8, seed=4) for _ in range(2))
    for model in (policy, reference):
        model.set_attn_implementation("laurel")
    critic = Critic(tiny.causal_lm(vocabulary=8, seed=5).base_model, torch.nn.Linear(32, 1))
    critic.trunk.set_attn_implementation("laurel")
    team = Team(policy, reference, critic, _NoText(), "float32", distributed.Spread(policy))
    config = PPOConfig(
        steps=steps,
        rollout_prompts=8,
        minibatch_prompts=8,
        responses_per_prompt=16,
        max_new_tokens=1,
        epochs=4,
        learning_rate=2e-3,
        value_learning_rate=5e-3,
        kl_coef=beta,
        missing_end="score",
    )
    learner = Learner(team, config, stop=lambda: False)
    prompt = Prompt("p", (), (3, 4))
    batch = TreeBatch([tiny_tree(prompt, token) for token in range(8)])

    def logprobs(model):
        with torch.no_grad():
            return response_logprobs(model, batch, response_states(model.base_model, batch), 1.0)[:, 0]

    for step in range(steps):
        for group in learner.optimizers["policy"].param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        rollout = roll_out(
            team,
            [prompt] * 8,
            keys=[f"{step}/{i}" for i in range(8)],
            responses_per_prompt=16,
            sampling=Sampling(max_new_tokens=1, seed=1),
            micro_batch_tokens=4096,
            stop=lambda: False,
        )
        raw = torch.tensor([rewards[a.ids[0]] for row in rollout.answers for a in row])
        experience = credit(rollout, Verdict.of(raw), config, beta)
        for trees in minibatches(8, 8, epochs=4, seed=1, step=step):
            learner.update(experience, trees)
    return logprobs(policy), logprobs(reference)


def tiny_tree(prompt, token):
    return Tree(prompt.ids, [[token]])


class _NoText:
    eos_id, pad_id = 1, 0

    def text(self, _ids):
        return ""


def test_stopping_in_a_rollout_or_an_update_leaves_the_weights_alone(inputs):
    cast = Cast(inputs)
    before = [p.clone() for p in cast.policy.parameters()]
    learner = cast.learner(micro_batch_tokens=1)
    polls = iter([False, False, True])
    learner.stop = lambda: next(polls)
    with pytest.raises(Stopped):
        learner.update(cast.experience, [0, 1, 2])
    assert all(torch.equal(a, b) for a, b in zip(before, cast.policy.parameters(), strict=True))
    assert all(p.grad is None for p in cast.policy.parameters())
