"""Numbers that schedules and gates may ask the reading room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labeling.models import Demonstration, Judgement, Kind, Prompt, Task
from training.measures import Measure
from training.models import Dataset

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from training.models import Project


def since(rows: QuerySet[Any], moment: datetime | None) -> int:
    """How many rows there are, from an instant on."""
    return (rows if moment is None else rows.filter(created_at__gte=moment)).count()


def rankings(project: Project, moment: datetime | None) -> float:
    """Judgements of people and of simulated annotators."""
    return since(Judgement.objects.filter(project=project, is_current=True), moment)


def demonstrations(project: Project, moment: datetime | None) -> float:
    """Demonstrations."""
    return since(Demonstration.objects.filter(project=project, is_current=True), moment)


def prompts(project: Project, moment: datetime | None) -> float:
    """Prompts that are not retired."""
    return since(Prompt.objects.filter(project=project, retired_at=None), moment)


def rankings_since_snapshot(project: Project, _moment: datetime | None) -> float:
    """Judgements that no dataset of rankings can hold yet."""
    newest = Dataset.objects.filter(project=project, kind=Dataset.Kind.RANKINGS).order_by("-pk").first()
    if newest is None:
        return rankings(project, None)
    return rankings(project, (newest.job and newest.job.started_at) or newest.created_at)


def open_rankings(project: Project, _moment: datetime | None) -> float:
    """Ranking tasks with a free seat."""
    wanted = {"purpose": Task.Purpose.WORK, "state": Task.State.OPEN, "seats_left__gt": 0}
    return Task.objects.filter(project=project, kind=Kind.RANKING, **wanted).count()


MEASURES = (
    Measure(name="labeling.rankings", title="Rankings given", read=rankings),
    Measure(name="labeling.demonstrations", title="Demonstrations written", read=demonstrations),
    Measure(name="labeling.prompts", title="Prompts added", read=prompts),
    Measure(
        name="labeling.rankings_since_snapshot",
        title="Rankings since the newest dataset of rankings",
        read=rankings_since_snapshot,
    ),
    Measure(name="labeling.open_rankings", title="Ranking tasks that wait for annotators", read=open_rankings),
)
