"""PPO from a reward function (InstructGPT, 2203.02155, §3.5; Stiennon et al. 2020, 2009.01325).

The score stands on a response's last token, minus β times the log-ratio to the reference on every token; GAE with a
value model of its own that starts as the reward model; advantages are whitened over the rollout; both losses are
clipped and are means over the minibatch's real tokens, however it is split. Left out on purpose: dropout (ratios must
start at 1), a shared trunk for policy and value, an entropy bonus. `ppo` is the whole loop: act, judge, credit, learn.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from policy.advantages import gae, kl_k1, kl_k3, token_rewards
from policy.config import PPOConfig
from policy.critic import Critic
from policy.learner import Experience, Learner, add, minibatches
from policy.losses import adapted_kl_coef
from policy.rollout import Prompt, Stopped, answer_of, response_logprobs, roll_out, rows_of, sample
from training import config as configs
from training.lm import attention, backbone, savepoints
from training.lm.generation import Sampling
from training.lm.masked import masked_mean, masked_var, whiten
from training.lm.trees import TreeBatch, by_tokens
from training.program import Interrupted
from training.records import PromptLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from policy.rollout import RewardFunction, Rollout
    from training.lm.encoder import Encoder
    from training.program import Run

TOLERANCE = 1e-3
NEGATIVE_KL_STEPS = 3


class SelfCheckFailed(ValueError):  # noqa: N818 - named for what happened
    """What must hold before the first update does not; the message names the cause."""

    code = "self_check_failed"


class NoPrompts(ValueError):  # noqa: N818
    """There is nothing to respond to."""

    code = "no_prompts"


def ppo(run: Run, reward: RewardFunction, *, critic_from: Path | None) -> None:  # noqa: C901, PLR0912, PLR0915 - whole
    """Do one `policy.ppo` job: inputs `policy` (start and reference) and `prompts`; `reward` judges.

    `critic_from` is the folder of the reward model that `reward` asks, when it has the policy's own tokenizer: the
    critic starts from it. None starts it from the policy's trunk with a head of zeros.
    """
    config = configs.parse(PPOConfig, run.config)
    device = torch.device(run.job.device)
    savepoints.seed_everything(run.seed)
    start = run.input("policy")
    policy, encoder = load(start, device)
    reference, _ = load(start, device)
    reference.requires_grad_(requires_grad=False)
    critic = Critic.from_scorer(critic_from, device) if critic_from else Critic.from_policy(start, device)
    train_prompts, valid_prompts = _prompts(run, encoder, policy.config.max_position_embeddings - config.max_new_tokens)

    def stop() -> bool:
        return run.stop.requested

    learner = Learner(policy, critic, config, stop=stop)
    control = savepoints.Keeper(kl_coef=config.kl_coef, negative_kl=0, experience={}, updates=0, sums={})
    parts = {**learner.parts, "control": control}
    saved = run.last_savepoint()
    cursor: dict[str, Any] = {"step": 0, "looked_at": -1, "last": {}, "first": {}}
    if saved:
        cursor = savepoints.restore(saved, parts)
    step, looked_at = int(cursor["step"]), int(cursor["looked_at"])
    first, last = dict(cursor["first"]), dict(cursor["last"])  # figures of the first look, and the newest of all
    looks = {round(config.rollouts * (index + 1) / config.evaluations) for index in range(config.evaluations)} | {0}
    updates_a_step = config.rollout_prompts // config.minibatch_prompts * config.epochs

    def save() -> None:
        place = {"step": step, "looked_at": looked_at, "last": last, "first": first}
        run.savepoint(
            step * updates_a_step + control.values["updates"], lambda folder: savepoints.save(folder, parts, place)
        )

    run.reporter.note(
        f"{backbone.parameter_count(policy):,} parameters; {len(train_prompts):,} prompts to learn on; "
        f"{config.rollouts} steps of {config.rollout_prompts} x {config.responses_per_prompt} responses, of which "
        f"only the critic learns in the first {config.critic_warmup_steps}; starting at step {step}."
    )
    saved_at = time.monotonic()
    try:
        while True:
            if step in looks and looked_at < step:
                last |= _look(run, policy, encoder, valid_prompts, reward, config, step=step, stop=stop)
                first = first or dict(last)
                looked_at = step
            if step == config.rollouts or _too_far(config, last):
                break
            warming = step < config.critic_warmup_steps
            if not control.values["experience"]:
                rollout = roll_out(  # 1. act
                    policy,
                    reference,
                    critic,
                    (batch := _batch(train_prompts, config.rollout_prompts, seed=run.seed, step=step)),
                    keys=[f"{step}/{place}/{prompt.id}" for place, prompt in enumerate(batch)],
                    responses_per_prompt=config.responses_per_prompt,
                    sampling=_sampling(config, run.seed),
                    encoder=encoder,
                    micro_batch_tokens=config.micro_batch_tokens,
                    stop=stop,
                )
                raw = reward(rollout.prompts, rollout.answers)  # 2. judge
                if step == 0:
                    self_check(policy, rollout, raw, config, critic_is_reward=critic_from is not None)
                credited = credit(rollout, raw, config, control.values["kl_coef"], warming=warming)  # 3. credit
                control.values["experience"] = credited.plain()
            experience = Experience.of(control.values["experience"])
            order = minibatches(
                config.rollout_prompts, config.minibatch_prompts, epochs=config.epochs, seed=run.seed, step=step
            )
            for number, trees in enumerate(order):  # 4. learn
                if number < control.values["updates"]:
                    continue
                sums = learner.update(experience, trees, critic_only=warming)
                add(control.values["sums"], sums)
                control.values["updates"] += 1
                if config.max_update_kl and sums["approx_kl"] / sums["tokens"] > config.max_update_kl:
                    break
                if time.monotonic() - saved_at >= config.savepoint_every_seconds:
                    save()
                    saved_at = time.monotonic()
            figures = _figures(experience, control, learner.end_step(critic_only=warming))
            run.reporter.metrics(step + 1, figures)
            last |= figures
            _steer(run, control, experience, config)
            step += 1
            run.reporter.progress(step, config.rollouts, "steps")
            if stop():
                raise Stopped  # noqa: TRY301 - one way out for all who stop
    except Stopped:
        save()
        raise Interrupted from None
    if learner.average:
        learner.average.put()
    run.publish(
        # Float32: PPO's steps are smaller than what half precision can tell apart.
        lambda folder: backbone.save_policy(folder, policy, encoder),
        {"evaluation": {"steps": step, "before": first, "after": last}},
    )


def load(path: Path, device: torch.device | str) -> tuple[Any, Encoder]:
    """Load a policy for PPO: in float32, since ratios near 1 need it, and with our attention."""
    policy, encoder = backbone.load_policy(path)  # loaded on the CPU, nothing is rounded to half precision
    policy.to(device).set_attn_implementation(attention.NAME)
    return policy, encoder


def credit(rollout: Rollout, raw: Tensor, config: PPOConfig, kl_coef: float, *, warming: bool = False) -> Experience:
    """Give every token its advantage. raw (N,): what the reward function said, before the rule for missing ends.

    While the critic is warming up it is taught what really came (λ = 1), nothing of what it said itself.
    """
    mask = rollout.response_mask
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
    figures = {
        "reward": float(scores.mean()),
        "score": float(raw.mean()),
        "score_std": float(raw.std(correction=0)),
        "objective": float((scores - kl_coef * kl).mean()),
        "kl": float(kl.mean()),
        "kl_error": float(kl.std(correction=0)) / math.sqrt(len(kl)),
        "kl_k3": float(k3.mean()),
        "kl_coef": kl_coef,
        "length": float(mask.sum(-1).float().mean()),
        "ended": float(rollout.finished.float().mean()),
        "value": float(masked_mean(rollout.values, mask)),
        "return": float(masked_mean(returns, mask)),
        "explained_variance": 1 - float(masked_var(advantages, mask)) / spread if spread else 0.0,
    }
    return Experience(rollout.trees, rollout.logprobs, rollout.values, whiten(advantages, mask), returns, figures)


def judged(raw: Tensor, finished: Tensor, config: PPOConfig) -> Tensor:
    """Apply the rule for responses that did not end: a constant instead of their score. (N,)."""
    if config.missing_end == "score":
        return raw
    return torch.where(finished, raw, torch.full_like(raw, config.missing_end_reward))


def self_check(policy: Any, rollout: Rollout, raw: Tensor, config: PPOConfig, *, critic_is_reward: bool) -> None:
    """Refuse to start when the first ratio is not 1, the first KL is not 0, or the critic does not know its reward."""
    gap = 0.0
    with torch.no_grad():
        for group in by_tokens(enumerate(rollout.trees), config.micro_batch_tokens):
            batch = TreeBatch([rollout.trees[i] for i in group], device=policy.device)
            again = response_logprobs(policy, batch, config.temperature)[0].cpu()
            rows = rows_of(group, config.responses_per_prompt)
            sampled = rollout.logprobs[rows, : again.shape[1]].masked_fill(~batch.response_mask.cpu(), 0)
            gap = max(gap, float((again - sampled).abs().max()))
    if not gap <= TOLERANCE:
        raise SelfCheckFailed(
            f"before any update, log-probabilities in training differ by up to {gap:.2g} from those in sampling, so "
            "ratios would not start at 1: something in the model acts differently in the two (dropout, dtype, a "
            "logits processor)"
        )
    kl = float(kl_k1(rollout.logprobs, rollout.ref_logprobs).masked_fill(~rollout.response_mask, 0).abs().max())
    if not kl <= TOLERANCE:
        raise SelfCheckFailed(
            f"before any update, policy and reference differ by up to {kl:.2g} on a token's log-probability: "
            "they are not the same checkpoint, or not at the same temperature"
        )
    if critic_is_reward:
        off = float(((rollout.end_values - raw).abs() / (1 + raw.abs())).max())
        if not off <= TOLERANCE:
            raise SelfCheckFailed(
                f"before any update, the critic's value at the last token is off by {off:.2g} from the reward that "
                "it was started from: the reward model reads another token, another text or another normalisation"
            )


def _prompts(run: Run, encoder: Encoder, longest: int) -> tuple[list[Prompt], list[Prompt]]:
    """Read the prompts of the splits train and valid; without valid ones, the first of train stand in to be shown."""
    found: dict[str, list[Prompt]] = {"train": [], "valid": [], "test": []}
    too_long = 0
    for line in read_lines(PromptLine, run.input("prompts")):
        ids = encoder.prompt_ids(line.prompt)
        too_long += len(ids) > longest
        if len(ids) <= longest:
            found[line.split].append(Prompt(line.id, line.prompt, tuple(ids)))
    if too_long:
        run.reporter.note(f"{too_long} prompts are longer than {longest} tokens and leave no room to answer: left out.")
    if not found["train"]:
        raise NoPrompts("the dataset has no prompt of the split train that leaves room for a response")
    return found["train"], found["valid"] or found["train"]


def _batch(prompts: Sequence[Prompt], size: int, *, seed: int, step: int) -> list[Prompt]:
    """Give the prompts of one rollout: shuffled epochs laid end to end, a pure function of its arguments."""
    chosen = []
    for place in range(step * size, (step + 1) * size):
        epoch, index = divmod(place, len(prompts))
        order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        chosen.append(prompts[int(order[index])])
    return chosen


def _sampling(config: PPOConfig, seed: int) -> Sampling:
    return Sampling(
        max_new_tokens=config.max_new_tokens,
        min_new_tokens=config.min_new_tokens,
        temperature=config.temperature,
        seed=seed,
    )


def _look(  # noqa: PLR0917
    run: Run,
    policy: Any,
    encoder: Encoder,
    prompts: Sequence[Prompt],
    reward: RewardFunction,
    config: PPOConfig,
    *,
    step: int,
    stop: Callable[[], bool],
) -> dict[str, float]:
    """Show one response to each of some fixed prompts, drawn with the same random numbers at every look."""
    chosen = list(prompts[: config.evaluation_prompts])
    keys = [f"look/{prompt.id}" for prompt in chosen]
    sampled = sample(policy, chosen, encoder, keys, 1, _sampling(config, run.seed), stop=stop)
    answers = [[answer_of(response, encoder) for response in responses] for responses in sampled]
    raw = reward(chosen, answers)
    scores = judged(raw, torch.tensor([row[0].finished for row in answers]), config)
    run.reporter.samples(
        step,
        [
            {"prompt": prompt.messages[-1].content, "response": row[0].text, "reward": round(float(score), 4)}
            for prompt, row, score in zip(chosen, answers, scores, strict=True)
        ],
    )
    figures = {
        "ppo/valid_reward": float(scores.mean()),
        "ppo/valid_length": sum(len(row[0].ids) for row in answers) / len(answers),
    }
    run.reporter.metrics(step, figures)
    return figures


def _figures(experience: Experience, control: savepoints.Keeper, rate: float) -> dict[str, float]:
    sums = control.values["sums"]
    means = {name: value / sums["tokens"] for name, value in sums.items() if name != "tokens"}
    plain = {**experience.figures, **means, "learning_rate": rate, "updates": float(control.values["updates"])}
    return {f"ppo/{name}": value for name, value in plain.items()}


def _steer(run: Run, control: savepoints.Keeper, experience: Experience, config: PPOConfig) -> None:
    """End the step's bookkeeping: adapt β, and raise the alarm when the KL stays below 0 by more than chance."""
    kl, error = experience.figures["kl"], experience.figures["kl_error"]
    state = control.values
    if config.kl_control == "adaptive":
        responses = config.rollout_prompts * config.responses_per_prompt
        state["kl_coef"] = adapted_kl_coef(
            state["kl_coef"], kl, target=config.kl_target, horizon=config.kl_horizon, responses=responses
        )
    state["negative_kl"] = state["negative_kl"] + 1 if kl < -3 * error - TOLERANCE else 0
    if state["negative_kl"] == NEGATIVE_KL_STEPS:
        run.reporter.note(
            f"Alarm: the KL to the reference was below 0 in {NEGATIVE_KL_STEPS} steps running, by more than chance. "
            "Responses are not drawn from the distribution that is learnt from."
        )
    state.update(experience={}, updates=0, sums={})


def _too_far(config: PPOConfig, last: dict[str, float]) -> bool:
    return config.max_kl is not None and last.get("ppo/kl", 0.0) > config.max_kl
