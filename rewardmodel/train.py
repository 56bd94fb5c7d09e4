"""Training a reward model on whole rankings (InstructGPT, 2203.02155, §3.5).

The prompt and its K responses are one tree, so each token is computed once; the score is read at each response's last
token; all that a judgement says is averaged first, and judgements over the optimiser step. An ensemble of small heads
learns from the same pass. No trainer class, no callbacks: `learn` is the whole loop.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from rewardmodel import card as cards
from rewardmodel import heads as epistemic
from rewardmodel.config import RewardModelConfig
from rewardmodel.data import (
    Example,
    NoRankings,
    choices_in,
    coins,
    epoch_order,
    lot,
    micro_batches,
    pairs_in,
    placed,
    read_examples,
    tree_of,
)
from rewardmodel.evaluation import evaluate
from rewardmodel.heads import Heads
from rewardmodel.loss import bradley_terry, plackett_luce
from rewardmodel.raters import Raters
from rewardmodel.scales import Scales
from rewardmodel.scoring import Stopped, raw_scores
from training import config as configs
from training.lm import adapters, backbone, distributed, optim, savepoints
from training.lm.logprobs import autocast, matmul_dtype
from training.lm.trees import TreeBatch
from training.program import Interrupted
from training.records import DemonstrationLine, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from training.lm.encoder import Encoder
    from training.lm.trees import Tree
    from training.program import Run

REFERENCE_PROMPTS = 512
CURVE = (0.25, 0.5, 1.0)
RATERS_JOURNEY = 8.0
"""How far the logit of a reliability can travel in a run of Adam's steps, from ever reliable to a coin."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is learned from, and what is measured on."""

    train: list[Example]
    valid: list[Example]
    test: list[Example]
    known: frozenset[str]
    """Annotators whose words are learned from."""
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Leg:
    """One run over the rankings: over all of them, or first over parts of them for the learning curve."""

    number: int
    share: float
    material: Material
    steps: int
    before: int
    """Steps of the legs before this one."""
    total: int
    """Steps of all legs."""

    @property
    def is_last(self) -> bool:
        """Whether its model is the one to be published."""
        return self.before + self.steps == self.total


@dataclass(slots=True)
class Student:
    """Everything that a run changes, and how it is computed."""

    scales: Scales
    raters: Raters
    encoder: Encoder
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    spread: distributed.Spread
    best: savepoints.Keeper
    device: torch.device
    precision: str

    @property
    def parts(self) -> dict[str, Any]:
        """What a savepoint holds."""
        return self.learned | {"optimizer": self.optimizer, "schedule": self.schedule, "best": self.best}

    @property
    def learned(self) -> dict[str, savepoints.Trained]:
        """What the best look keeps."""
        modules = {"model": self.scales.model, "heads": self.scales.heads, "raters": self.raters}
        return {name: savepoints.Trained(module) for name, module in modules.items() if module is not None}

    @property
    def groups(self) -> list[list[torch.nn.Parameter]]:
        """What is trained, in parts whose gradients are scaled down apart: the model, its heads, the raters."""
        modules = (self.scales.model, self.scales.heads, self.raters)
        return [adapters.trainable(module) for module in modules if module is not None]

    def save(self, folder: Path) -> None:
        """Write the checkpoint; all ranks call it."""
        backbone.save_scorer(folder, self.scales.model, self.encoder)
        if self.scales.heads is not None and distributed.is_first():
            epistemic.save(self.scales.heads, folder)

    def mixed(self) -> AbstractContextManager[Any]:
        """Compute as the configuration says."""
        return autocast(self.precision, self.device)

    def exact(self) -> AbstractContextManager[Any]:
        """Compute as scoring will: in float32, but on a GPU, whose models are loaded in its own precision."""
        return self.mixed() if self.device.type == "cuda" else nullcontext()

    def scores(self, trees: Sequence[Tree], stop: Callable[[], bool]) -> list[tuple[Tensor, Tensor | None]]:
        """Raw logits (K,) of each tree and its members' (H, K); every rank computes a share of them."""
        self.scales.eval()
        return raw_scores(self.scales, trees, stop=stop, spread=self.spread, together=True)


def train(run: Run) -> None:
    """Do one `rewardmodel.train` job: inputs `policy` (where to start), `rankings` and, optional, `demonstrations`."""
    config = configs.parse(RewardModelConfig, run.config)
    device = distributed.start(run, config.processes)
    material = gather(run.input("policy"), run.input("rankings"), config, seed=run.seed)
    saved = run.last_savepoint()
    begun = int(savepoints.cursor(saved)["leg"]) if saved else 0
    curve = savepoints.Keeper(points=[])
    for leg in legs_of(material, config, seed=run.seed)[begun:]:
        student = begin(run.input("policy"), config, leg, seed=run.seed, device=device)
        if student.scales.caveat and leg.number == begun:
            run.reporter.note(student.scales.caveat)
        cursor = {"step": 0, "looked_at": -1}
        if saved and leg.number == begun:
            cursor = savepoints.restore(saved, student.parts | {"curve": curve})
        learn(run, config, student, leg, cursor=cursor, curve=curve)


# --- Material --------------------------------------------------------------------------------------


def gather(policy: Path, rankings: Path, config: RewardModelConfig, *, seed: int) -> Material:
    """Read the rankings, encoded for the policy that the reward model starts from."""
    encoder = backbone.load_encoder(policy)
    max_tokens = min(config.max_tokens, backbone.context_of(policy))
    enumerated = config.loss == "plackett_luce" and config.ties == "half"
    examples = read_examples(rankings, encoder, ties=config.ties, max_tokens=max_tokens, ties_counted=enumerated)
    people = sorted(annotators_of(examples), key=lambda name: lot(seed, f"annotator {name}"))
    heard = frozenset(people[int(config.held_out_annotators * len(people)) :])
    train = [example.by(heard) for example in examples if example.split == "train"]
    train = [example for example in train if example.judgements]
    if not train:
        raise NoRankings("the dataset has no judged ranking of the split train: rank some first, or import some")
    valid, test = ([each for each in examples if each.split == split] for split in ("valid", "test"))
    return Material(train, valid, test, annotators_of(train), max_tokens)


def legs_of(material: Material, config: RewardModelConfig, *, seed: int) -> list[Leg]:
    """Plan the run; the rankings of a smaller leg are among those of a larger one."""
    order = sorted(range(len(material.train)), key=lambda i: lot(seed, f"example {material.train[i].id}"))
    shares = CURVE if config.learning_curve else CURVE[-1:]
    parts = [sorted(order[: max(1, round(share * len(order)))]) for share in shares]
    steps = [math.ceil(len(part) / config.batch_prompts) * config.epochs for part in parts]
    return [
        Leg(
            number=number,
            share=shares[number],
            material=replace(
                material,
                train=[material.train[i] for i in part],
                known=annotators_of(material.train[i] for i in part),
            ),
            steps=steps[number],
            before=sum(steps[:number]),
            total=sum(steps),
        )
        for number, part in enumerate(parts)
    ]


def annotators_of(examples: Iterable[Example]) -> frozenset[str]:
    """Everyone who said something about them."""
    return frozenset(judged.annotator for example in examples for judged in example.judgements)


# --- Learning --------------------------------------------------------------------------------------


def begin(policy: Path, config: RewardModelConfig, leg: Leg, *, seed: int, device: torch.device) -> Student:
    """Make a new reward model from a policy, with all that teaches it."""
    material, steps = leg.material, leg.steps
    savepoints.seed_everything(seed)
    model, encoder = backbone.scorer_from_policy(policy, seed=seed, dtype=torch.float32)
    head = backbone.score_head(model)
    name = next(name for name, module in model.named_modules() if module is head)
    heads = None
    if config.heads:
        heads = Heads(head.in_features, config.heads, prior_scale=config.prior_scale, seed=seed).to(device)
    scales = Scales(model, heads)
    adapters.attach(model, config, also_train=[name])
    if config.activation_checkpointing:
        backbone.checkpoint_activations(model)
    model.to(device)
    spread = distributed.Spread(model, config.parallel, matmul_dtype(config.precision, device))
    savepoints.seed_everything(distributed.own_seed(seed))
    raters = Raters(
        material.known, model=config.rater_model, error_share=config.error_share, tied_share=_tied(config, material)
    )
    betas = (config.beta1, config.beta2)
    optimizer = optim.adamw(model, learning_rate=config.learning_rate, betas=betas, weight_decay=config.weight_decay)
    for module, rate in ((heads, config.heads_learning_rate), (raters, min(0.3, RATERS_JOURNEY / steps))):
        trained = adapters.trainable(module) if module is not None else []
        if trained:
            optimizer.add_param_group({"params": trained, "lr": rate, "weight_decay": 0.0})
    return Student(
        scales=scales,
        raters=raters.to(device),
        encoder=encoder,
        optimizer=optimizer,
        schedule=optim.schedule(
            optimizer, "cosine", steps=steps, warmup=math.ceil(config.warmup_share * steps), floor=config.floor
        ),
        spread=spread,
        best=savepoints.Keeper(log_loss=math.inf, step=0, weights={}, worse=0),
        device=device,
        precision=config.precision,
    )


def _tied(config: RewardModelConfig, material: Material) -> float | None:
    """Share of the comparisons that are tied, if the loss has a probability for them."""
    if config.loss != "plackett_luce" or config.ties != "half":
        return None
    said = [pair.target for example in material.train for judged in example.judgements for pair in judged.comparisons]
    return sum(target == 0.5 for target in said) / len(said)


def learn(  # noqa: C901 - the loop is shown whole
    run: Run,
    config: RewardModelConfig,
    student: Student,
    leg: Leg,
    *,
    cursor: dict[str, Any],
    curve: savepoints.Keeper,
) -> None:
    """Teach until the steps are done or the valid loss has risen for long enough; keep the best look, and measure it.

    The last leg publishes.
    """
    step, looked_at, saved_at = int(cursor["step"]), int(cursor["looked_at"]), time.monotonic()
    looks = {round(leg.steps * (index + 1) / config.evaluations) for index in range(config.evaluations)} | {0}
    best, material = student.best, leg.material
    run.reporter.note(
        f"{backbone.parameter_count(student.scales.model):,} parameters; {len(material.train):,} prompts to learn "
        f"from, {len(material.valid):,} to measure on, {sum(e.cut for e in material.train):,} cut to "
        f"{material.max_tokens} tokens; {leg.steps:,} steps, starting at step {step}."
    )

    def save_and_stop() -> None:
        place = {"leg": leg.number, "step": step, "looked_at": looked_at}
        parts = student.parts | {"curve": curve}
        run.savepoint(leg.before + step, lambda folder: savepoints.save(folder, parts, place))
        if run.stop.requested:
            raise Interrupted

    def stopping() -> bool:
        return run.stop.requested

    try:
        while True:
            if step in looks and looked_at < step and material.valid:
                figures = _look(student, material, step, stopping)
                if leg.is_last:
                    run.reporter.metrics(step, figures)
                looked_at = step
            if step == leg.steps or (config.patience and best.values["worse"] >= config.patience):
                break
            rate = float(student.schedule.get_last_lr()[0])
            figures = teach(student, batch_of(material.train, config, seed=run.seed, step=step), config, leg, stopping)
            student.schedule.step()
            step += 1
            if leg.is_last:
                run.reporter.metrics(step, figures | {"rm/learning_rate": rate})
            run.reporter.progress(leg.before + step, leg.total, "steps")
            late = distributed.first_says(time.monotonic() - saved_at >= config.savepoint_every_seconds)
            if run.stop.requested or late:
                save_and_stop()
                saved_at = time.monotonic()
        if best.values["weights"]:
            for name, part in student.learned.items():
                part.load_state_dict(best.values["weights"][name])
        valid = measure(student, material, material.valid, stopping)
        curve.values["points"].append({"share": leg.share, "prompts": len(material.train)} | _point(valid))
        if not leg.is_last:
            return
        evaluation = {
            "steps": step,
            "best_step": best.values["step"] if material.valid else step,
            "valid": valid,
            "test": measure(student, material, material.test, stopping),
            "normalised_on": _normalise(run, student, material, stopping),
            "reward_mean": student.scales.model.config.reward_mean,
            "reward_std": student.scales.model.config.reward_std,
            "reliability": {name: student.raters.reliability(name) for name in student.raters.names}
            if config.rater_model == "learned"
            else None,
            "learning_curve": curve.values["points"] if config.learning_curve else None,
        }
    except Stopped:
        student.optimizer.zero_grad(set_to_none=True)  # a step that was not finished did not happen
        save_and_stop()
    run.reporter.metrics(step, _named(evaluation["valid"], "rm/best_") | _named(evaluation["test"], "rm/test_"))

    def build(folder: Path) -> None:
        student.save(folder)
        (folder / cards.FILE).write_text(cards.readable(run.card() | {"evaluation": evaluation}), encoding="utf-8")

    run.publish(build, {"evaluation": evaluation})


def batch_of(examples: Sequence[Example], config: RewardModelConfig, *, seed: int, step: int) -> list[Example]:
    """Give the examples of one optimiser step; the last step of an epoch may have fewer."""
    steps_an_epoch = math.ceil(len(examples) / config.batch_prompts)
    order = epoch_order(len(examples), seed=seed, epoch=step // steps_an_epoch)
    start = step % steps_an_epoch * config.batch_prompts
    return [examples[i] for i in order[start : start + config.batch_prompts]]


def teach(
    student: Student, batch: Sequence[Example], config: RewardModelConfig, leg: Leg, stopping: Callable[[], bool]
) -> dict[str, float]:
    """Take one optimiser step; its loss, and the norm of its gradient before clipping.

    Raises Stopped between micro-batches when asked; then nothing was drawn from the random streams (for the adapters'
    dropout), and the step can be taken anew.
    """
    student.scales.train()
    streams = savepoints.random_state()
    weight = sum(example.weight for example in batch)
    losses = torch.zeros(2)
    for group, counts in micro_batches(batch, config.micro_batch_tokens, ranks=distributed.size())[distributed.rank()]:
        if stopping():
            savepoints.set_random_state(streams)
            raise Stopped

        def compute(group: Sequence[Example] = group) -> tuple[Tensor, Tensor]:
            with student.mixed():
                outputs = student.scales(TreeBatch([e.tree for e in group], device=student.device))
            return _losses(student, group, outputs, config, leg)

        main, of_heads = student.spread(compute)
        ((main + of_heads) * (counts / weight)).backward()  # type: ignore[no-untyped-call]
        losses += torch.stack([main.detach(), of_heads.detach()]).cpu() * (counts / weight)
    if student.raters.model == "learned" and distributed.is_first():
        surprise = student.raters.surprise() / sum(example.weight for example in leg.material.train)
        surprise.backward()  # type: ignore[no-untyped-call]
    model, *others = student.groups
    norm = distributed.finish_gradients(model, config.max_grad_norm)
    for parameters in others:
        distributed.finish_gradients(parameters, config.max_grad_norm)
    student.optimizer.step()
    student.optimizer.zero_grad(set_to_none=True)
    main_loss, heads_loss = distributed.total(*losses.tolist())
    figures = {"rm/loss": main_loss, "rm/grad_norm": norm}
    return figures | ({"rm/heads_loss": heads_loss / config.heads} if config.heads else {})


def _losses(
    student: Student,
    group: Sequence[Example],
    outputs: tuple[Tensor, Tensor | None],
    config: RewardModelConfig,
    leg: Leg,
) -> tuple[Tensor, Tensor]:
    """Sums over the judgements of a micro-batch, by their weight: of the main head, and of all members together.

    A member hears about half of the judgements, and those twice (a bootstrap without replacement), always the same.
    """
    scores, members = outputs
    judged = [word for _, word in placed(group)]
    weights = torch.tensor([word.weight for word in judged], device=scores.device)
    reliability = student.raters.of(judged, scores.device)
    nll = negative_log_likelihood(config, group, student.raters)
    main = (nll(scores, reliability) * weights).sum()
    if members is None:
        return main, main.new_zeros(())
    heard = torch.tensor(
        [coins(f"{leg.number} {e.id} {number}", len(members)) for e in group for number in range(len(e.judgements))],
        device=scores.device,
    )
    taken = None if reliability is None else reliability.detach()
    return main, (nll(members, taken) * heard.T * 2 * weights).sum()


def negative_log_likelihood(
    config: RewardModelConfig, group: Sequence[Example], raters: Raters
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Make the configured loss for a micro-batch: from scores (..., N) and reliabilities (J,) to (..., J)."""
    if config.loss == "plackett_luce":
        choices, log_tie = choices_in(group), raters.tie()
        return lambda scores, reliability: plackett_luce(
            scores,
            choices.to(scores.device),
            log_tie=log_tie,
            reliability=reliability,
            smoothing=config.label_smoothing,
        )
    pairs = pairs_in(group)
    return lambda scores, reliability: bradley_terry(
        scores,
        pairs.to(scores.device),
        reliability=reliability,
        margin=config.margin,
        smoothing=config.label_smoothing,
    )


# --- Measuring -------------------------------------------------------------------------------------


def _look(student: Student, material: Material, step: int, stopping: Callable[[], bool]) -> dict[str, float]:
    """Measure on the valid rankings, and keep the weights if they are the best so far."""
    with student.mixed():
        scored = student.scores([example.tree for example in material.valid], stopping)
    figures = evaluate(material.valid, [raw for raw, _ in scored], reliability=student.raters.reliability)
    log_loss, best = float(figures["log_loss"]["value"]), student.best.values
    if log_loss < best["log_loss"]:
        weights = {name: part.copy() for name, part in student.learned.items()}
        best.update(log_loss=log_loss, step=step, weights=weights, worse=0)
    else:
        best["worse"] += 1
    return _named(figures, "rm/")


def measure(
    student: Student, material: Material, examples: Sequence[Example], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """Everything that the card says of some examples."""
    with student.exact():
        scored = student.scores([example.tree for example in examples], stopping)
    members = [of_members for _, of_members in scored if of_members is not None]
    return evaluate(
        examples,
        [raw for raw, _ in scored],
        reliability=student.raters.reliability,
        known=material.known,
        members=members or None,
    )


def _normalise(run: Run, student: Student, material: Material, stopping: Callable[[], bool]) -> str:
    """Set reward_mean so that demonstrations (else the training responses) score 0, and reward_std on the latter.

    The ensemble's members are centred on the training responses too.
    """
    with student.exact():
        scored = student.scores([example.tree for example in material.train[:REFERENCE_PROMPTS]], stopping)
    responses = torch.cat([raw for raw, _ in scored]).double()
    model_config, heads = student.scales.model.config, student.scales.heads
    model_config.reward_std = float(responses.std(correction=0)) or 1.0
    model_config.reward_mean = float(responses.mean())
    if heads is not None:
        members = torch.cat([of_members for _, of_members in scored if of_members is not None], dim=1).double()
        heads.centre.copy_((members - responses).mean(1))
    if not run.has_input("demonstrations"):
        return "responses"
    shown = [line for line in read_lines(DemonstrationLine, run.input("demonstrations")) if line.split == "train"]
    if not shown:
        return "responses"
    whole = backbone.context_of(student.scales.model)  # as they will be scored, whatever length was learned from
    trees = [tree_of(student.encoder, line.prompt, [line.response], max_tokens=whole)[0] for line in shown]
    with student.exact():
        scored = student.scores(trees, stopping)
    model_config.reward_mean = float(torch.cat([raw for raw, _ in scored]).double().mean())
    return "demonstrations"


def _point(valid: dict[str, Any]) -> dict[str, Any]:
    """What the learning curve says of one leg."""
    return {name: valid.get(name) for name in ("accuracy", "log_loss")}


def _named(figures: dict[str, Any], prefix: str) -> dict[str, float]:
    """The figures that are drawn as curves."""
    plain: dict[str, Any] = {
        "accuracy": figures.get("accuracy", {}).get("value"),
        "accuracy_low": figures.get("accuracy", {}).get("low"),
        "accuracy_high": figures.get("accuracy", {}).get("high"),
        "log_loss": figures.get("log_loss", {}).get("value"),
        "kendall_tau": figures.get("kendall_tau"),
        "calibration_error": figures.get("calibration", {}).get("ece"),
        "length_correlation": figures.get("length_correlation"),
        "ceiling": (figures.get("ceiling") or {}).get("accuracy"),
    }
    return {prefix + name: value for name, value in plain.items() if value is not None}
