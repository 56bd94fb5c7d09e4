"""What was done and what is open: one person's day, and a project's desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.db.models import Avg, Count, F, Q
from django.db.models.functions import TruncDate
from django.utils.timezone import now

from labeling import measures, queue
from labeling.days import today
from labeling.models import Demonstration, Judgement, Kind, Lease, Task
from training.models import Job

if TYPE_CHECKING:
    from datetime import datetime

    from training.models import Project, User

UNDER_WAY = (Job.State.QUEUED, Job.State.RUNNING, Job.State.INTERRUPTED)
DAYS = 14
MANY = 1000  # open tasks: nobody needs to know how many more there are, and a long queue must not slow the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one person did in a while."""

    rankings: int
    demonstrations: int
    seconds_each: float | None


def done_since(annotator: User, project: Project, since: datetime) -> Done:
    """Count what one person submitted since an instant, changes apart, and the seconds that each took on average."""
    mine = {"annotator": annotator, "project": project, "supersedes": None, "created_at__gte": since}
    rankings = Judgement.objects.filter(**mine).aggregate(count=Count("pk"), seconds=Avg("seconds_spent"))
    written = Demonstration.objects.filter(**mine).aggregate(count=Count("pk"), seconds=Avg("seconds_spent"))
    timed = [(each["count"], each["seconds"]) for each in (rankings, written) if each["seconds"] is not None]
    count = sum(number for number, _ in timed)
    return Done(
        rankings=rankings["count"],
        demonstrations=written["count"],
        seconds_each=sum(number * seconds for number, seconds in timed) / count if count else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What one person did on one day."""

    day: date
    rankings: int
    demonstrations: int


def days(annotator: User, project: Project) -> list[Day]:
    """The last two weeks, today last; what was submitted on each day, changes apart."""
    begun = today() - timedelta(days=DAYS - 1)
    mine = {"annotator": annotator, "project": project, "supersedes": None, "created_at__gte": begun}
    on = {
        model: dict(
            model.objects.filter(**mine)
            .annotate(day=TruncDate("created_at"))
            .order_by()
            .values_list("day")
            .annotate(Count("pk"))
        )
        for model in (Judgement, Demonstration)
    }
    every = [(begun + timedelta(days=number)).date() for number in range(DAYS)]
    return [
        Day(day=day, rankings=on[Judgement].get(day, 0), demonstrations=on[Demonstration].get(day, 0)) for day in every
    ]


def open_tasks(annotator: User, project: Project) -> dict[str, int]:
    """How many tasks of each kind could be handed to this person now; counting stops at MANY."""
    return {str(kind): queue.open_to(annotator, slug=project.slug, kind=kind)[:MANY].count() for kind in Kind.values}


def being_written(project: Project) -> float | None:
    """How much of the next responses to rank is written, 0 to 1; None while no policy is writing any.

    A job that samples for the queue says `place` in its configuration.
    """
    writing = Job.objects.filter(project=project, config__place=True, state__in=UNDER_WAY)
    begun_last = F("started_at").desc(nulls_last=True)  # one that runs, rather than one that waits behind it
    job = writing.order_by(begun_last).only("progress_done", "progress_total").first()
    return None if job is None else min(1.0, (job.progress_done or 0) / (job.progress_total or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A project at a glance."""

    demonstrations: int
    rankings: int
    simulated_rankings: int
    rankings_since_snapshot: int
    open_tasks: dict[str, int]
    live_leases: int
    annotators_today: int


def desk(project: Project) -> Desk:
    """Count what a project holds, with a fixed number of statements."""
    judgements = Judgement.objects.filter(project=project, is_current=True)
    rankings = judgements.aggregate(
        people=Count("pk", filter=Q(is_simulated=False)), simulated=Count("pk", filter=Q(is_simulated=True))
    )
    waiting = Task.objects.filter(project=project, purpose=Task.Purpose.WORK, state=Task.State.OPEN, seats_left__gt=0)
    waiting_by_kind = dict(waiting.order_by().values_list("kind").annotate(Count("pk")))
    return Desk(
        demonstrations=Demonstration.objects.filter(project=project, is_current=True).count(),
        rankings=rankings["people"],
        simulated_rankings=rankings["simulated"],
        rankings_since_snapshot=round(measures.rankings_since_snapshot(project, None)),
        open_tasks={str(kind): waiting_by_kind.get(kind, 0) for kind in Kind.values},
        live_leases=Lease.objects.filter(project=project, state=Lease.State.LIVE, expires_at__gt=now()).count(),
        annotators_today=Lease.objects.filter(project=project, state=Lease.State.SUBMITTED, ended_at__gte=today())
        .values("annotator")
        .distinct()
        .count(),
    )
