"""Turns of the loop, derived from what is stored: labels, reward models, policies, and how these fared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labeling import contests
from labeling.models import Judgement
from training.models import Checkpoint, Job

if TYPE_CHECKING:
    from datetime import datetime

    from labeling.agreement import Estimate
    from training.models import Project

PPO = "policy.ppo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One turn: what people said before it, the reward model made of that, and the policy that came out."""

    round: int
    checkpoint: int | None
    name: str
    labels: int
    rm_accuracy: float | None
    ceiling: float | None
    kl: float | None
    win_rate: Estimate | None
    """Share of comparisons within one ranking that this policy won over the round before, by people's word."""


def rounds_of(project: Project) -> list[Round]:
    """Round 0 is the policy that the project began with; each finished PPO job ends a round. Oldest first."""
    jobs = list(
        Job.objects.filter(project=project, kind=PPO, state=Job.State.SUCCEEDED)
        .select_related("checkpoint")
        .order_by("finished_at")
    )
    policies = Checkpoint.objects.filter(project=project, kind=Checkpoint.Kind.POLICY)
    first = policies.exclude(job__kind=PPO).order_by("created_at").first()
    rounds = [
        Round(
            round=0,
            checkpoint=first.pk if first else None,
            name=first.name if first else "",
            labels=0,
            rm_accuracy=None,
            ceiling=None,
            kl=None,
            win_rate=None,
        )
    ]
    since: datetime | None = None
    for number, job in enumerate(jobs, start=1):
        rounds.append(_round(project, number, job, since, rounds[-1].checkpoint))
        since = job.finished_at
    return rounds


def _round(project: Project, number: int, job: Job, since: datetime | None, before: int | None) -> Round:
    checkpoint: Checkpoint | None = getattr(job, "checkpoint", None)
    reward = Checkpoint.objects.filter(project=project, digest=job.inputs.get("reward", "")).first()
    valid = (_evaluation(reward).get("valid") or {}) if reward else {}
    after = (_evaluation(checkpoint).get("after") or {}) if checkpoint else {}
    labels = Judgement.objects.filter(project=project, is_current=True, created_at__lte=job.created_at)
    if since is not None:
        labels = labels.filter(created_at__gt=since)
    return Round(
        round=number,
        checkpoint=checkpoint.pk if checkpoint else None,
        name=checkpoint.name if checkpoint else "",
        labels=labels.count(),
        rm_accuracy=_figure(valid.get("accuracy")),
        ceiling=_figure((valid.get("ceiling") or {}).get("accuracy")),
        kl=after.get("ppo/kl"),
        win_rate=contests.between(project, checkpoint.pk, before) if checkpoint and before else None,
    )


def _evaluation(checkpoint: Checkpoint) -> dict[str, Any]:
    evaluation = checkpoint.card.get("evaluation")
    return evaluation if isinstance(evaluation, dict) else {}


def _figure(said: Any) -> float | None:
    """Read a figure of a card: a number, or a number with its interval."""
    return said.get("value") if isinstance(said, dict) else said
