"""PPO from a reward function (InstructGPT, 2203.02155, §3.5; Stiennon et al. 2020, 2009.01325).

The score stands on a response's last token, minus β times the log-ratio to the reference on every token; GAE with a
value model that starts as the reward model; advantages are whitened over the rollout; both losses are clipped and are
means over the minibatch's real tokens, however it is split; PPO-ptx adds a loss on plain text. Left out on purpose:
dropout (ratios must start at 1) and an entropy bonus. `ppo` is the whole loop: act, judge, credit, learn.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from policy import ptx
from policy.advantages import gae, kl_k1, kl_k3, token_rewards
from policy.config import PPOConfig
from policy.learner import Experience, LastGood, Learner, add, minibatches
from policy.losses import adapted_kl_coef
from policy.preflight import preflight
from policy.rewards import repeated_share
from policy.rollout import Prompt, Stopped, Verdict, answer_of, joined, roll_out, sample
from policy.selfcheck import self_check
from policy.team import assemble
from policy.watch import Watch, strongest
from training import config as configs
from training.lm import distributed, savepoints
from training.lm.backbone import context_of, parameter_count, save_policy
from training.lm.generation import Sampling
from training.lm.masked import masked_mean, masked_var, whiten
from training.program import Interrupted, Paused
from training.records import PromptLine, read_lines
from training.texts import NoText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from policy.rollout import Answer, RewardFunction, Rollout
    from policy.team import Team
    from training.program import Run, Stop

T = TypeVar("T")


class NoPrompts(ValueError):  # noqa: N818
    """There is nothing to respond to."""

    code = "no_prompts"


@dataclass(frozen=True, slots=True)
class Course:
    """What a run has from beginning to end."""

    run: Run
    team: Team
    config: PPOConfig
    reward: RewardFunction
    alone: Stop
    """Asks this process alone whether it should stop; `run.stop` asks all of them."""
    critic_is_reward: bool
    """Whether the critic was started from the first judge, so that it must say its reward."""

    @property
    def sampling(self) -> Sampling:
        """How responses are drawn."""
        return Sampling(
            max_new_tokens=self.config.max_new_tokens,
            min_new_tokens=self.config.min_new_tokens,
            temperature=self.config.temperature,
            seed=self.run.seed,
        )


@dataclass(slots=True)
class Place:
    """Where a run stands: steps done, the last look, the figures of the first look and the newest, how it ended."""

    step: int = 0
    looked_at: int = -1
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    ended_by: str = ""
    """The alarm that ended the run, if one did."""


def ppo(  # noqa: C901, PLR0912, PLR0915 - a loop is read whole
    run: Run, reward: RewardFunction, *, critic_from: Path | Any | None
) -> None:
    """Do one `policy.ppo` job: inputs `policy` (start and reference), `prompts` and, for PPO-ptx, `text`.

    `reward` judges; of several processes each asks it about all answers. `critic_from` is the reward model that the
    critic starts from, which must be the first judge and have the policy's own tokenizer: its folder, or the loaded
    model. None starts it from the policy.
    """
    config = configs.parse(PPOConfig, run.config)
    device = distributed.start(run, config.processes)
    alone = run.stop.own if isinstance(run.stop, distributed.AgreedStop) else run.stop
    savepoints.seed_everything(run.seed)
    preflight(run, config, device, critic_from=critic_from)
    team = assemble(run.input("policy"), config, device, critic_from=critic_from)
    is_reward = critic_from is not None and config.value_model == "separate"
    course = Course(run, team, config, reward, alone, critic_is_reward=is_reward)
    train_prompts, valid_prompts = _prompts(course)
    text, held_out = _text(course)
    learner = Learner(team, config, stop=lambda: run.stop.requested, text=text)
    watch = Watch(config.alarms)
    good = LastGood(team.policy) if config.alarms.rolls_back else None
    control = savepoints.Keeper(kl_coef=config.kl_coef, experience={}, updates=0, sums={})
    parts = {**learner.parts, "control": control, "watch": watch} | ({"good": good} if good else {})
    saved = run.last_savepoint()
    place = Place(**savepoints.restore(saved, parts)) if saved else Place()
    updates_a_step = config.rollout_prompts // config.minibatch_prompts * config.epochs
    looks = {round(config.rollouts * (index + 1) / config.evaluations) for index in range(config.evaluations)} | {0}
    _introduce(course, len(train_prompts), place)

    def save() -> None:
        plain = {name: getattr(place, name) for name in Place.__slots__}
        number = place.step * updates_a_step + control.values["updates"]
        run.savepoint(number, lambda folder: savepoints.save(folder, parts, plain))

    saved_at = time.monotonic()
    try:
        while True:
            if place.looked_at < place.step and (place.step in looks or place.ended_by):
                place.last |= _look(course, valid_prompts, place.step) | _text_figures(course, held_out, place.step)
                place.first, place.looked_at = place.first or dict(place.last), place.step
                if good and watch.is_quiet:
                    good.look(place.step, place.last, learner.average)
            if place.step == config.rollouts or place.ended_by:
                break
            warming = place.step < config.critic_warmup_steps
            if not control.values["experience"]:
                batch = _batch(train_prompts, config.rollout_prompts, seed=run.seed, step=place.step)
                rollout, verdict = _act_and_judge(course, batch, place.step)
                credited = credit(rollout, verdict, config, control.values["kl_coef"], warming=warming)
                control.values["experience"] = credited.plain()
            experience = Experience.of(control.values["experience"])
            order = minibatches(
                config.rollout_prompts, config.minibatch_prompts, epochs=config.epochs, seed=run.seed, step=place.step
            )
            for trees in _left(order, control):
                sums = learner.update(experience, trees, critic_only=warming)
                add(control.values["sums"], sums)
                control.values["updates"] += 1
                if config.max_update_kl and sums["approx_kl"] / sums["tokens"] > config.max_update_kl:
                    break
                if distributed.first_says(time.monotonic() - saved_at >= config.savepoint_every_seconds):
                    save()
                    saved_at = time.monotonic()
            figures = _figures(experience, control, learner.end_step(critic_only=warming))
            place.step += 1
            run.reporter.metrics(place.step, {f"ppo/{name}": value for name, value in figures.items()})
            run.reporter.progress(place.step, config.rollouts, "steps")
            place.last |= {f"ppo/{name}": value for name, value in figures.items()}
            _steer(control, figures["kl"], config, warming=warming)
            for alarm in (alarms := watch.see(figures)):
                run.reporter.alarm(place.step, alarm.name, alarm.text, alarm.action)
            if good:
                good.trust() if watch.is_quiet else good.doubt()
            acting = strongest(alarms)
            if acting and acting.action == "pause":
                save()
                raise Paused(f"{acting.name.replace('_', ' ')}: {acting.text}")
            if acting:
                place.ended_by = acting.name
                if acting.action == "roll_back":
                    break
            if run.stop.requested:
                raise Stopped  # noqa: TRY301 - one way out for all who stop
    except Stopped:
        save()
        raise Interrupted from None
    _publish(course, learner, good, place)


def credit(
    rollout: Rollout, verdict: Verdict, config: PPOConfig, kl_coef: float, *, warming: bool = False
) -> Experience:
    """Give every token its advantage. The verdict is what the judges said, before the rule for missing ends.

    While the critic is warming up it is taught what really came (λ = 1), nothing of what it said itself.
    """
    mask, raw = rollout.response_mask, verdict.rewards
    scores = judged(raw, rollout.finished, config)
    rewards = token_rewards(scores, rollout.logprobs, rollout.ref_logprobs, mask, kl_coef)
    if config.whiten_rewards:
        rewards = whiten(rewards, mask, shift_mean=False)
    gae_lambda = 1.0 if warming else config.gae_lambda
    advantages = gae(rewards, rollout.values, mask, gamma=config.gamma, gae_lambda=gae_lambda)
    returns = advantages + rollout.values
    kl = kl_k1(rollout.logprobs, rollout.ref_logprobs).masked_fill(~mask, 0).sum(-1)
    k3 = kl_k3(rollout.logprobs, rollout.ref_logprobs).masked_fill(~mask, 0).sum(-1)
    spread = float(masked_var(returns, mask))
    count = math.sqrt(len(kl))
    figures = {
        "reward": float(scores.mean()),
        "reward_error": float(scores.std(correction=0)) / count,
        "score": float(raw.mean()),
        "score_std": float(raw.std(correction=0)),
        "objective": float((scores - kl_coef * kl).mean()),
        "kl": float(kl.mean()),
        "kl_error": float(kl.std(correction=0)) / count,
        "kl_k3": float(k3.mean()),
        "sqrt_kl": math.sqrt(max(float(kl.mean()), 0.0)),
        "kl_coef": kl_coef,
        # The mean of -log π over what was drawn from π: unbiased, and free.
        "entropy": -float(masked_mean(rollout.logprobs, mask)),
        "ref_perplexity": math.exp(-float(masked_mean(rollout.ref_logprobs, mask))),
        "length": float(mask.sum(-1).float().mean()),
        "repetition": sum(repeated_share(ids) for tree in rollout.trees for ids in tree.responses) / len(kl),
        "ended": float(rollout.finished.float().mean()),
        "value": float(masked_mean(rollout.values, mask)),
        "return": float(masked_mean(returns, mask)),
        "explained_variance": 1 - float(masked_var(advantages, mask)) / spread if spread else 0.0,
    }
    if len(verdict.votes) > 1:
        figures["disagreement"] = float(verdict.votes.std(0, correction=0).mean())
    if not torch.equal(rollout.sampled_logprobs, rollout.logprobs):
        figures["sampler_gap"] = rollout.sampler_gap
    return Experience(rollout.trees, rollout.logprobs, rollout.values, whiten(advantages, mask), returns, figures)


def judged(raw: Tensor, finished: Tensor, config: PPOConfig) -> Tensor:
    """Apply the rule for responses that did not end: a constant instead of their score. (N,)."""
    if config.missing_end == "score":
        return raw
    return torch.where(finished, raw, torch.full_like(raw, config.missing_end_reward))


def _introduce(course: Course, prompts: int, place: Place) -> None:
    config = course.config
    course.run.reporter.note(
        f"{parameter_count(course.team.policy):,} parameters; {prompts:,} prompts to learn on; "
        f"{config.rollouts} steps of {config.rollout_prompts} x {config.responses_per_prompt} responses, of which "
        f"only the critic learns in the first {config.critic_warmup_steps}; starting at step {place.step}."
    )


def _prompts(course: Course) -> tuple[list[Prompt], list[Prompt]]:
    """Read the prompts of the splits train and valid; without valid ones, the first of train stand in to be shown."""
    run, team = course.run, course.team
    longest = context_of(team.policy) - course.config.max_new_tokens
    found: dict[str, list[Prompt]] = {"train": [], "valid": [], "test": []}
    too_long = 0
    for line in read_lines(PromptLine, run.input("prompts")):
        ids = team.encoder.prompt_ids(line.prompt)
        too_long += len(ids) > longest
        if len(ids) <= longest:
            found[line.split].append(Prompt(line.id, line.prompt, tuple(ids)))
    if too_long:
        run.reporter.note(f"{too_long} prompts are longer than {longest} tokens and leave no room to answer: left out.")
    if not found["train"]:
        raise NoPrompts("the dataset has no prompt of the split train that leaves room for a response")
    return found["train"], found["valid"] or found["train"]


def _text(course: Course) -> tuple[ptx.TextStream | None, ptx.HeldOutText | None]:
    """Text to mix in, where ptx_coef wants it, and text to see forgetting on, where the input text has valid lines."""
    run, config, encoder = course.run, course.config, course.team.encoder
    if not run.has_input("text"):
        if config.ptx_coef:
            raise NoText("ptx_coef mixes plain text in: name a text dataset as the input text, or set it to 0")
        return None, None
    train, valid = ptx.read_text(run.input("text"), encoder)
    stream, held_out = None, None
    if config.ptx_coef:
        stream = ptx.TextStream(train, context=config.ptx_context, eos_id=encoder.eos_id, seed=run.seed)
    if valid:
        held_out = ptx.HeldOutText(valid, context=config.ptx_context, eos_id=encoder.eos_id, pad_id=encoder.pad_id)
    return stream, held_out


def _act_and_judge(course: Course, batch: Sequence[Prompt], step: int) -> tuple[Rollout, Verdict]:
    """Sample this process's share of a rollout, put the shares of all together, and have the whole judged."""
    team, config = course.team, course.config
    keys = [f"{step}/{place}/{prompt.id}" for place, prompt in enumerate(batch)]

    def work() -> Rollout:
        return roll_out(
            team,
            distributed.share(batch),
            keys=distributed.share(keys),
            responses_per_prompt=config.responses_per_prompt,
            sampling=course.sampling,
            micro_batch_tokens=config.micro_batch_tokens,
            stop=lambda: course.alone.requested,
        )

    rollout = joined(distributed.gather(_together(work)))
    verdict = Verdict.of(course.reward(rollout.prompts, rollout.answers))
    if step == 0:
        with team.spread.whole():
            found = self_check(team, rollout, verdict, config, critic_is_reward=course.critic_is_reward)
        course.run.reporter.metrics(0, {f"ppo/{name}": value for name, value in found.items()})
    return rollout, verdict


def _together(work: Callable[[], T]) -> T:
    """Do what each process does at its own pace; when one was stopped in it, all are."""
    try:
        done, result = True, work()
    except Stopped:
        done = False
    if distributed.anyone(not done):
        raise Stopped
    return result


def _batch(prompts: Sequence[Prompt], size: int, *, seed: int, step: int) -> list[Prompt]:
    """Give the prompts of one rollout: shuffled epochs laid end to end, a pure function of its arguments."""
    chosen = []
    for place in range(step * size, (step + 1) * size):
        epoch, index = divmod(place, len(prompts))
        order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        chosen.append(prompts[int(order[index])])
    return chosen


def _left(order: Iterable[list[int]], control: savepoints.Keeper) -> Iterator[list[int]]:
    """The minibatches of a rollout that have not been learnt from yet."""
    done = control.values["updates"]
    return (trees for number, trees in enumerate(order) if number >= done)


def _look(course: Course, prompts: Sequence[Prompt], step: int) -> dict[str, float]:
    """Show one response to each of some fixed prompts, drawn with the same random numbers at every look."""
    team, config = course.team, course.config
    chosen = prompts[: config.evaluation_prompts]

    def work() -> list[list[Answer]]:
        mine = distributed.share(chosen)
        keys = [f"look/{prompt.id}" for prompt in mine]
        with team.spread.whole():
            sampled = sample(team, mine, keys, 1, course.sampling, stop=lambda: course.alone.requested)
        return [[answer_of(response, team.encoder) for response in responses] for responses in sampled]

    shares = distributed.gather(_together(work))
    answers = [share[i] for i in range(len(shares[0])) for share in shares if i < len(share)]
    raw = Verdict.of(course.reward(chosen, answers)).rewards
    scores = judged(raw, torch.tensor([row[0].finished for row in answers]), config)
    figures = {
        "ppo/valid_reward": float(scores.mean()),
        "ppo/valid_length": sum(len(row[0].ids) for row in answers) / len(answers),
    }
    rows = [
        {"prompt": prompt.messages[-1].content, "response": row[0].text, "reward": round(score, 4)}
        for prompt, row, score in zip(chosen, answers, scores.tolist(), strict=True)
    ]
    course.run.reporter.samples(step, rows)
    course.run.reporter.metrics(step, figures)
    return figures


def _text_figures(course: Course, held_out: ptx.HeldOutText | None, step: int) -> dict[str, float]:
    """How well the policy still predicts held-out text."""
    if held_out is None:
        return {}
    team, config = course.team, course.config
    with team.spread.whole():
        loss = held_out.loss(team.policy, precision=team.precision, micro_batch_tokens=config.micro_batch_tokens)
    figures = {"ppo/valid_text_loss": loss, "ppo/valid_text_perplexity": math.exp(loss)}
    course.run.reporter.metrics(step, figures)
    return figures


def _figures(experience: Experience, control: savepoints.Keeper, rate: float) -> dict[str, float]:
    sums = control.values["sums"]
    means = {name: value / sums["tokens"] for name, value in sums.items() if name != "tokens"}
    return {**experience.figures, **means, "learning_rate": rate, "updates": float(control.values["updates"])}


def _steer(control: savepoints.Keeper, kl: float, config: PPOConfig, *, warming: bool) -> None:
    """End the step's bookkeeping: adapt β, unless only the critic learns and the KL is 0, and forget the rollout."""
    state = control.values
    if config.kl_control == "adaptive" and not warming:
        responses = config.rollout_prompts * config.responses_per_prompt
        state["kl_coef"] = adapted_kl_coef(
            state["kl_coef"], kl, target=config.kl_target, horizon=config.kl_horizon, responses=responses
        )
    state.update(experience={}, updates=0, sums={})


def _publish(course: Course, learner: Learner, good: LastGood | None, place: Place) -> None:
    """Publish the policy: its average where one is kept, and the last good state where an alarm rolled back to it."""
    run, team = course.run, course.team
    evaluation: dict[str, Any] = {"steps": place.step, "before": place.first, "after": place.last}
    if place.ended_by:
        evaluation["ended_by"] = place.ended_by
    if good and place.ended_by and getattr(course.config.alarms, place.ended_by) == "roll_back":
        good.weights.put()
        evaluation |= {"after": good.said["figures"], "rolled_back_to": good.said["step"]}
        run.reporter.note(f"What is published is the policy as it was at step {good.said['step']}.")
    elif learner.average:
        learner.average.put()
    # Float32: PPO's steps are smaller than what half precision can tell apart.
    run.publish(
        lambda folder: save_policy(folder, team.policy, team.encoder, dtype=torch.float32), {"evaluation": evaluation}
    )
