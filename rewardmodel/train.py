"""Training a reward model on whole rankings (InstructGPT, 2203.02155, §3.5).

The prompt and its K responses are one tree, so each token is computed once; the score is read at each response's last
token; all comparisons of a judgement are averaged first, and judgements over the optimiser step. No trainer class, no
callbacks: `train` is the whole loop.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from rewardmodel.config import RewardModelConfig
from rewardmodel.data import Example, NoRankings, epoch_order, joined_pairs, micro_batches, read_examples, tree_of
from rewardmodel.evaluation import evaluate
from rewardmodel.loss import comparison_loss
from rewardmodel.scoring import Scorer, Stopped, raw_scores
from training import config as configs
from training.lm import attention, backbone, optim, savepoints
from training.lm.trees import TreeBatch
from training.program import Interrupted
from training.records import DemonstrationLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.lm.encoder import Encoder
    from training.lm.trees import Tree
    from training.program import Run

REFERENCE_PROMPTS = 512
LOSSES = {"bradley_terry": comparison_loss}


def train(run: Run) -> None:  # noqa: C901, PLR0915 - the loop is shown whole
    """Do one `rewardmodel.train` job: inputs `policy` (where to start), `rankings` and, optional, `demonstrations`."""
    config = configs.parse(RewardModelConfig, run.config)
    device = torch.device(run.job.device)
    savepoints.seed_everything(run.seed)
    model, encoder = backbone.scorer_from_policy(run.input("policy"), seed=run.seed)
    model.to(device).set_attn_implementation(attention.NAME)
    scorer = Scorer(model, encoder)
    max_tokens = min(config.max_tokens, scorer.max_tokens)
    examples = read_examples(run.input("rankings"), encoder, ties=config.ties, max_tokens=max_tokens)
    train_set, valid_set, test_set = ([e for e in examples if e.split == split] for split in ("train", "valid", "test"))
    if not train_set:
        raise NoRankings("the dataset has no judged ranking of the split train: rank some first, or import some")
    steps = math.ceil(len(train_set) / config.batch_prompts) * config.epochs
    optimizer = optim.adamw(
        model,
        learning_rate=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
    )
    schedule = optim.schedule(
        optimizer, "cosine", steps=steps, warmup=math.ceil(config.warmup_share * steps), floor=config.floor
    )
    best = savepoints.Keeper(log_loss=math.inf, step=0, weights={}, worse=0)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "best": best}
    saved = run.last_savepoint()
    cursor = savepoints.restore(saved, parts) if saved else {"step": 0, "looked_at": -1}
    step, looked_at = int(cursor["step"]), int(cursor["looked_at"])
    looks = {round(steps * (index + 1) / config.evaluations) for index in range(config.evaluations)} | {0}
    run.reporter.note(
        f"{backbone.parameter_count(model):,} parameters; {len(train_set):,} prompts to learn from, {len(valid_set):,} "
        f"to measure on, {sum(e.cut for e in examples):,} cut to {max_tokens} tokens; "
        f"{steps:,} steps, starting at step {step}."
    )

    def save_and_stop() -> None:
        run.savepoint(step, lambda folder: savepoints.save(folder, parts, {"step": step, "looked_at": looked_at}))
        if run.stop.requested:
            raise Interrupted

    def stopping() -> bool:
        return run.stop.requested

    saved_at = time.monotonic()
    try:
        while True:
            if step in looks and looked_at < step and valid_set:
                run.reporter.metrics(step, _look(scorer, valid_set, best, step, stopping))
                looked_at = step
            if step == steps or (config.patience and best.values["worse"] >= config.patience):
                break
            batch = _batch(train_set, config, seed=run.seed, step=step)
            loss, norm = _learn(model, optimizer, batch, config, stopping)
            rate = float(schedule.get_last_lr()[0])
            run.reporter.metrics(step + 1, {"rm/loss": loss, "rm/grad_norm": norm, "rm/learning_rate": rate})
            schedule.step()
            step += 1
            run.reporter.progress(step, steps, "steps")
            if run.stop.requested or time.monotonic() - saved_at >= config.savepoint_every_seconds:
                save_and_stop()
                saved_at = time.monotonic()
        if best.values["weights"]:
            model.load_state_dict(best.values["weights"])
        evaluation = {
            "steps": step,
            "best_step": best.values["step"] if valid_set else step,
            "valid": evaluate(valid_set, _raw(scorer, [e.tree for e in valid_set], stopping)),
            "test": evaluate(test_set, _raw(scorer, [e.tree for e in test_set], stopping)),
            "normalised_on": _normalise(run, scorer, encoder, train_set, max_tokens=max_tokens, stopping=stopping),
            "reward_mean": model.config.reward_mean,
            "reward_std": model.config.reward_std,
        }
    except Stopped:
        optimizer.zero_grad(set_to_none=True)  # a step that was not finished did not happen
        save_and_stop()
    run.reporter.metrics(step, _named(evaluation["valid"], "rm/best_") | _named(evaluation["test"], "rm/test_"))
    run.publish(lambda folder: backbone.save_scorer(folder, model, encoder), {"evaluation": evaluation})


def _batch(examples: Sequence[Example], config: RewardModelConfig, *, seed: int, step: int) -> list[Example]:
    """Give the examples of one optimiser step; the last step of an epoch may have fewer."""
    steps_an_epoch = math.ceil(len(examples) / config.batch_prompts)
    order = epoch_order(len(examples), seed=seed, epoch=step // steps_an_epoch)
    start = step % steps_an_epoch * config.batch_prompts
    return [examples[i] for i in order[start : start + config.batch_prompts]]


def _learn(
    model: Any,
    optimizer: torch.optim.Optimizer,
    batch: Sequence[Example],
    config: RewardModelConfig,
    stopping: Callable[[], bool],
) -> tuple[float, float]:
    """Take one optimiser step; return its loss and the norm of its gradient before clipping."""
    judgements = sum(len(example.judgements) for example in batch)
    total = 0.0
    device = next(model.parameters()).device
    for group in micro_batches(batch, config.micro_batch_tokens):
        if stopping():
            raise Stopped
        scores = raw_scores(model, TreeBatch([example.tree for example in group], device=device)).float()
        loss = LOSSES[config.loss](scores, joined_pairs(group).to(device), judgements)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total, float(norm)


def _look(
    scorer: Scorer, valid_set: Sequence[Example], best: savepoints.Keeper, step: int, stopping: Callable[[], bool]
) -> dict[str, float]:
    """Measure on the valid rankings, and keep the weights if they are the best so far."""
    figures = evaluate(valid_set, _raw(scorer, [example.tree for example in valid_set], stopping))
    log_loss = float(figures["log_loss"]["value"])
    if log_loss < best.values["log_loss"]:
        weights = {name: tensor.detach().cpu().clone() for name, tensor in scorer.model.state_dict().items()}
        best.values.update(log_loss=log_loss, step=step, weights=weights, worse=0)
    else:
        best.values["worse"] += 1
    return _named(figures, "rm/")


def _raw(scorer: Scorer, trees: Sequence[Tree], stopping: Callable[[], bool]) -> list[torch.Tensor]:
    """Raw logits of the responses of each tree, whatever normalisation the scorer carries."""
    return [score * scorer.std + scorer.mean for score in scorer.score_trees(trees, stop=stopping)]


def _normalise(
    run: Run,
    scorer: Scorer,
    encoder: Encoder,
    train_set: Sequence[Example],
    *,
    max_tokens: int,
    stopping: Callable[[], bool],
) -> str:
    """Set reward_mean so that demonstrations (else the training responses) score 0, and reward_std on the latter."""
    responses = torch.cat(_raw(scorer, [example.tree for example in train_set[:REFERENCE_PROMPTS]], stopping)).double()
    model_config = scorer.model.config
    model_config.reward_std = float(responses.std(correction=0)) or 1.0
    model_config.reward_mean = float(responses.mean())
    if not run.has_input("demonstrations"):
        return "responses"
    shown = [line for line in read_lines(DemonstrationLine, run.input("demonstrations")) if line.split == "train"]
    if not shown:
        return "responses"
    trees = [tree_of(encoder, line.prompt, [line.response], max_tokens=max_tokens)[0] for line in shown]
    model_config.reward_mean = float(torch.cat(_raw(scorer, trees, stopping)).double().mean())
    return "demonstrations"


def _named(figures: dict[str, Any], prefix: str) -> dict[str, float]:
    """The figures that are drawn as curves."""
    plain: dict[str, Any] = {
        "accuracy": figures.get("accuracy", {}).get("value"),
        "accuracy_low": figures.get("accuracy", {}).get("low"),
        "accuracy_high": figures.get("accuracy", {}).get("high"),
        "log_loss": figures.get("log_loss", {}).get("value"),
        "kendall_tau": figures.get("kendall_tau"),
        "length_correlation": figures.get("length_correlation"),
        "ceiling": (figures.get("ceiling") or {}).get("accuracy"),
    }
    return {prefix + name: value for name, value in plain.items() if value is not None}
