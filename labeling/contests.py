"""Which of two policies people prefer, from rankings that hold responses of both.

Two policies answer the same prompts, and annotators rank the four responses without knowing whose they are; each pair
of responses of different policies is a comparison. Ties count half. Only current words of people on work enter: gold
and qualification tasks decide nothing, what a reviewer returned neither, and simulated annotators only where they are
asked for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef

from labeling.agreement import Estimate, Part, clustered, clustered_twice
from labeling.models import Placement, Standing, Task
from training.models import Champion, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.db.models import QuerySet

    from training.models import Project

ENOUGH_ANNOTATORS = 5
"""From so many on an interval speaks for other annotators, too; fewer say little about those who are not there."""
HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How often a policy's responses stand above a rival's."""

    rival: Checkpoint
    win: Estimate
    rankings: int
    annotators: int

    @property
    def speaks_for_others(self) -> bool:
        """Whether the interval covers other annotators, and not only other prompts."""
        return self.annotators >= ENOUGH_ANNOTATORS


def contests_of(checkpoint: Checkpoint, *, simulated: bool = False) -> list[Contest]:
    """The policy against each that stood in one ranking with it, the rival that it met most often first."""
    with_it = placements(checkpoint.project, simulated=simulated).filter(response__checkpoint=checkpoint)
    mixed = placements(checkpoint.project, simulated=simulated).filter(judgement__in=with_it.values("judgement"))
    parts = _parts(mixed, checkpoint.pk)
    reigns = Champion.objects.filter(checkpoint=OuterRef("pk"), until=None)
    rivals = Checkpoint.objects.annotate(is_champion=Exists(reigns)).in_bulk(parts)
    found = [_contest(rivals[rival], said) for rival, said in parts.items()]
    return sorted(found, key=lambda contest: (-contest.rankings, -contest.rival.pk))


def between(project: Project, challenger: int, champion: int, *, simulated: bool = False) -> Estimate | None:
    """How often one policy's responses stand above another's; None where nobody ranked both."""
    both = placements(project, simulated=simulated).filter(response__checkpoint__in=[challenger, champion])
    said = _parts(both, challenger).get(champion)
    return _estimate(said) if said else None


def placements(project: Project, *, simulated: bool) -> QuerySet[Placement]:
    """What was said of work and stands."""
    found = Placement.objects.filter(
        judgement__project=project, judgement__is_current=True, judgement__task__purpose=Task.Purpose.WORK
    ).exclude(judgement__standing=Standing.RETURNED)
    return found if simulated else found.filter(judgement__is_simulated=False)


def _parts(placed: QuerySet[Placement], ours: int) -> Mapping[int, list[Part]]:
    """What each judgement says about `ours` against each other checkpoint; the prompt is the task that clusters."""
    columns = "judgement_id", "judgement__task__prompt_id", "judgement__annotator_id", "response__checkpoint_id", "rank"
    ranks: dict[tuple[int, int, int], dict[int | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for judgement, prompt, annotator, checkpoint, rank in placed.values_list(*columns).iterator(2000):
        ranks[judgement, prompt, annotator][checkpoint].append(rank)
    parts: dict[int, list[Part]] = defaultdict(list)
    for (_, prompt, annotator), by_checkpoint in ranks.items():
        for rival, theirs in by_checkpoint.items():
            pairs = [(mine, other) for mine in by_checkpoint.get(ours, ()) for other in theirs]
            if rival is not None and rival != ours and pairs:
                won = sum(1.0 if mine < other else HALF * (mine == other) for mine, other in pairs)
                parts[rival].append(Part(task=prompt, annotator=annotator, top=won, bottom=float(len(pairs))))
    return parts


def _contest(rival: Checkpoint, said: list[Part]) -> Contest:
    return Contest(rival=rival, win=_estimate(said), rankings=len(said), annotators=_annotators(said))


def _estimate(said: list[Part]) -> Estimate:
    if _annotators(said) >= ENOUGH_ANNOTATORS:
        found = clustered_twice(said)
    else:
        by_prompt: dict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for part in said:
            by_prompt[part.task][0] += part.top
            by_prompt[part.task][1] += part.bottom
        found = clustered((won, of) for won, of in by_prompt.values())
    assert found is not None  # noqa: S101 - each part compares something
    return found


def _annotators(said: Iterable[Part]) -> int:
    return len({part.annotator for part in said})
