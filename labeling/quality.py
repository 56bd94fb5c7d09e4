"""How well a project labels, at a glance: agreement, people, pace, position, ratings over time, and what stands out.

Worked out from what was said, in plain Python (10,000 rankings take about a second and a half), and kept until there is
a newer judgement. Gold, qualification and simulated work stays out unless it is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Max, Q
from django.db.models.functions import Length
from django.utils.timezone import now

from labeling import agreement, patterns, queue
from labeling.models import Judgement, Placement, QualityReport, Task
from labeling.patterns import Observed
from labeling.turns import Turns
from labeling.words import as_record, of_ranks, verdicts_by_word
from training import records
from training.models import User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.models import QuerySet

    from training.models import Project

LARGEST = 10_000  # judgements that enter, the newest ones: a page must not take minutes however old a project is
FRESH = timedelta(minutes=1)  # a report this young is shown though people have gone on judging
DISPUTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What was said, by people under names that tell them apart."""

    tasks: dict[str, list[records.Judgement]]
    observed: list[Observed]
    people: dict[str, User]
    is_capped: bool
    known: dict[str, agreement.Agreement]
    """By name: how far they agree with the answers of gold and qualification tasks."""

    @property
    def shared(self) -> dict[str, list[records.Judgement]]:
        """The tasks that at least two people judged."""
        return {task: words for task, words in self.tasks.items() if len(words) > 1}


def report(project: Project, *, simulated: bool = False) -> dict[str, Any]:
    """The newest report, worked out anew if judgements have come in since; at most once a minute."""
    kept = QualityReport.objects.filter(project=project, with_simulated=simulated).first()
    newest = Judgement.objects.filter(project=project).aggregate(newest=Max("pk"))["newest"] or 0
    if kept is None or is_stale(kept, newest):
        kept, _ = QualityReport.objects.update_or_create(
            project=project,
            with_simulated=simulated,
            defaults={"newest": newest, "body": work_out(project, simulated=simulated), "made_at": now()},
        )
    return {**kept.body, "made_at": kept.made_at}


def is_stale(kept: QualityReport, newest: int) -> bool:
    """Whether people have judged since, and the report is no longer young."""
    return kept.newest != newest and kept.made_at < now() - FRESH


def work_out(project: Project, *, simulated: bool) -> dict[str, Any]:
    """Everything that the page shows, ready to be kept as JSON."""
    material = gather(project, simulated=simulated)
    pairwise = agreement.pairwise(material.shared)
    return {
        "simulated": simulated,
        "capped": material.is_capped,
        "judgements": sum(map(len, material.tasks.values())),
        "tasks": len(material.tasks),
        "shared_tasks": len(material.shared),
        "agreement": agreed(pairwise),
        "rank_alpha": figure(agreement.rank_alpha(material.shared)),
        "rating_alpha": figure(agreement.rating_alpha(material.shared)),
        "ceiling": agreement.ceiling(pairwise.share.value).accuracy if pairwise.share else None,
        "people": people(material),
        "pairs": pairs(material),
        "flags": flags(material, project),
        "places": [figure(rate) for rate in patterns.win_rates(material.observed)],
        "ratings": given(patterns.ratings(material.observed)),
        "weeks": weeks(material.observed),
        "standing_out": [
            {"code": flag.code, "annotator": material.people[flag.annotator].pk, "sentence": flag.sentence}
            for flag in patterns.flags(material.observed)
        ],
        "disputed": disputed(material.shared),
    }


# --- What was said --------------------------------------------------------------------------------


def gather(project: Project, *, simulated: bool) -> Material:
    """The newest current words on work, with a fixed number of statements."""
    said = Judgement.objects.filter(project=project, is_current=True, task__purpose=Task.Purpose.WORK)
    if not simulated:
        said = said.filter(is_simulated=False)
    oldest = said.order_by("-pk").values_list("pk", flat=True)[LARGEST - 1 : LARGEST].first()
    if oldest is not None:
        said = said.filter(pk__gte=oldest)
    placements, read = placements_of(said)
    verdicts = verdicts_by_word(said)
    measured = Judgement.objects.filter(project=project, is_current=True, task__known_answer__isnull=False)
    if not simulated:
        measured = measured.filter(is_simulated=False)
    users = list(User.objects.filter(Q(judgements__in=said) | Q(judgements__in=measured)).distinct())
    names = names_of(users)
    tasks: dict[str, list[records.Judgement]] = defaultdict(list)
    observed = []
    rows = said.annotate(asked=Length(Turns("task__prompt__messages"))).order_by("pk")
    for word in rows.iterator(2000):
        name, task = names[word.annotator_id], str(word.task_id)
        if word.form == Judgement.Form.VERDICTS:
            compared = tuple(verdicts[word.pk])
            tasks[task].append(records.VerdictsJudgement(annotator=name, verdicts=compared))
            continue
        ranking = records.RankingJudgement(
            annotator=name,
            placements=tuple(placements[word.pk]),
            flags=tuple(word.flags),
            shown=tuple(word.shown),
            seconds=word.seconds_spent,
        )
        tasks[task].append(ranking)
        characters = (word.asked or 0) + read[word.pk]
        observed.append(Observed(task=task, at=word.created_at, ranking=ranking, characters=characters))
    return Material(
        tasks=dict(tasks),
        observed=observed,
        people={names[person.pk]: person for person in users},
        is_capped=oldest is not None,
        known=against_known(measured, names),
    )


def against_known(said: QuerySet[Judgement], names: Mapping[int, str]) -> dict[str, agreement.Agreement]:
    """How far each annotator agrees with the known answers, with a fixed number of statements."""
    tasks: dict[str, list[records.Judgement]] = defaultdict(list)
    answers: dict[str, records.Judgement] = {}
    words = said.select_related("task__known_answer").prefetch_related("placements", "verdicts")
    for word in words.order_by("-pk")[:LARGEST]:
        task = str(word.task_id)
        tasks[task].append(as_record(word, annotator=names[word.annotator_id]))
        answers[task] = of_ranks(word.task.known_answer.ranks, annotator="known")
    return agreement.against_gold(tasks, answers)


def placements_of(said: QuerySet[Judgement]) -> tuple[dict[int, list[records.Placement]], Counter[int]]:
    """By judgement: where its responses were placed, and how many characters they have together."""
    found: dict[int, list[records.Placement]] = defaultdict(list)
    characters: Counter[int] = Counter()
    rows = Placement.objects.filter(judgement__in=said).values_list(
        "judgement_id", "response_id", "rank", "rating", "flags", Length("response__text")
    )
    for word, response, rank, rating, raised, length in rows.iterator(2000):
        placed = records.Placement(response=str(response), rank=rank, rating=rating, flags=tuple(raised))
        found[word].append(placed)
        characters[word] += length
    return found, characters


def names_of(users: Sequence[User]) -> dict[int, str]:
    """What each person is called, with their user name where two are called alike."""
    alike = Counter(map(str, users))
    return {user.pk: str(user) if alike[str(user)] == 1 else f"{user} ({user.username})" for user in users}


# --- What the page shows --------------------------------------------------------------------------


def figure(estimate: agreement.Estimate | None) -> dict[str, Any] | None:
    """A figure with its interval."""
    return asdict(estimate) if estimate else None


def agreed(how_far: agreement.Agreement | None) -> dict[str, Any]:
    """Agreement on pairs, as a share and beyond chance."""
    return {
        "share": figure(how_far.share) if how_far else None,
        "kappa": figure(how_far.kappa) if how_far else None,
    }


def given(ratings: patterns.Ratings | None) -> dict[str, Any] | None:
    """How often each rating was given."""
    return {"counts": list(ratings.counts), "mean": ratings.mean, "count": ratings.count} if ratings else None


def people(material: Material) -> list[dict[str, Any]]:
    """Each annotator: how much, how far they agree with the others, how fast, how they rate."""
    rest = agreement.against_rest(material.shared)
    paces = patterns.paces(material.observed)
    ratings = patterns.ratings_by_annotator(material.observed)
    count = Counter(word.annotator for words in material.tasks.values() for word in words)
    return [
        {
            "id": person.pk,
            "name": name,
            "simulated": person.is_simulated,
            "judgements": count[name],
            "agreement": agreed(rest.get(name)),
            "known": agreed(material.known.get(name)),
            "pace": asdict(paces[name]) if name in paces else None,
            "ratings": given(ratings.get(name)),
        }
        for name, person in sorted(material.people.items(), key=lambda each: (-count[each[0]], each[0]))
    ]


def pairs(material: Material) -> list[dict[str, Any]]:
    """Each two annotators that judged the same pairs."""
    return [
        {"a": material.people[a].pk, "b": material.people[b].pk, "agreement": agreed(how_far)}
        for (a, b), how_far in agreement.between_annotators(material.shared).items()
    ]


def flags(material: Material, project: Project) -> list[dict[str, Any]]:
    """Each flag that somebody raised: how often, and how far annotators agree on it."""
    label_set = queue.settings_of(project).label_set
    labels = {
        (place, flag["key"]): flag["label"]
        for place in ("response", "task")
        for flag in label_set.get(f"{place}_flags", ())
    }
    return [
        {
            "place": place,
            "key": key,
            "label": labels.get((place, key), key),
            "alpha": figure(how_far.alpha),
            "positive": how_far.positive,
            "raised": how_far.raised,
            "units": how_far.units,
        }
        for (place, key), how_far in agreement.flag_agreement(material.shared).items()
    ]


def weeks(observed: Sequence[Observed]) -> list[dict[str, Any]]:
    """Each week's ratings, and whether they moved away from those before."""
    moved = {week.monday: week for week in patterns.weeks(observed)}
    return [
        {
            "monday": monday.isoformat(),
            "ratings": given(ratings),
            "moved": monday in moved and moved[monday].moved,
            "stability_index": moved[monday].stability_index if monday in moved else None,
        }
        for monday, ratings in patterns.ratings_by_week(observed).items()
    ]


def disputed(shared: Mapping[str, Sequence[records.Judgement]]) -> list[dict[str, Any]]:
    """The tasks on which people agree least, each with its prompt."""
    found = []
    for task, words in shared.items():
        share = agreement.pairwise({task: words}).share
        if share and share.value < 1:
            found.append((share.value, -share.count, int(task), len(words)))
    worst = sorted(found)[:DISPUTED]
    asked = Task.objects.select_related("prompt").in_bulk([task for _, _, task, _ in worst])
    return [
        {"task": task, "prompt": asked[task].prompt.title, "share": share, "annotators": count}
        for share, _, task, count in worst
    ]
