"""Which of two policies people prefer: pairs within one ranking, and intervals over prompts and people."""

from __future__ import annotations

import random

import labeling_factories as factories
import pytest
from django.utils.timezone import now
from hypothesis import given
from hypothesis import strategies as st

from labeling import contests
from labeling.agreement import Part, clustered, clustered_twice
from labeling.models import Candidate, Judgement, Lease, Placement, Response, Standing, Task
from labeling.rounds import rounds_of
from training import checkpoints
from training.models import Checkpoint, Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def policies(project):
    return [
        Checkpoint.objects.create(project=project, kind="policy", name=name, digest=f"sha256:{name}")
        for name in ("old", "new", "other")
    ]


def ranked(project, annotator, by_policy, *, task=None, **said):
    """A judgement that ranks each policy's responses as told: {policy: [rank, rank]}."""
    task = task or Task.objects.create(
        project=project, kind="ranking", prompt=factories.PromptFactory(project=project), seats=9, seats_left=9
    )
    whose = {"project": project, "task": task, "annotator": annotator}
    over = {"state": Lease.State.SUBMITTED, "expires_at": now(), "ended_at": now()}
    lease = Lease.objects.create(kind="ranking", shown=[], **whose, **over)
    judgement = Judgement.objects.create(lease=lease, form="ranking", **whose, **said)
    for policy, ranks in by_policy.items():
        for rank in ranks:
            response = Response.objects.create(prompt=task.prompt, text=f"{policy.name} {rank}", checkpoint=policy)
            Candidate.objects.create(task=task, response=response)
            Placement.objects.create(judgement=judgement, response=response, rank=rank, rating=None)
    return judgement


def test_pairs_of_different_policies_count_and_ties_by_half(project, policies, ada):
    old, new, other = policies
    ranked(project, ada, {new: [1, 2], old: [2, 4]})  # 1<2, 1<4, 2=2, 2<4: three and a half of four
    ranked(project, ada, {new: [3, 3], other: [1, 2]})
    ranked(project, ada, {new: [1, 2, 3, 4]})  # of one policy: no contest
    against = {contest.rival.name: contest for contest in contests.contests_of(new)}
    assert set(against) == {"old", "other"}
    assert against["old"].win.value == 3.5 / 4
    assert (against["old"].rankings, against["old"].annotators, against["old"].win.count) == (1, 1, 4)
    assert against["other"].win.value == 0
    (back,) = [each for each in contests.contests_of(old) if each.rival == new]
    assert back.win.value == 0.5 / 4


def test_only_what_people_say_of_work_and_what_stands_enters_unless_simulated_is_asked_for(project, policies, ada, ben):
    old, new, _ = policies
    ranked(project, ada, {new: [1, 2], old: [3, 4]})
    ranked(project, ada, {new: [3, 4], old: [1, 2]}, is_current=False)
    ranked(project, ada, {new: [3, 4], old: [1, 2]}, standing=Standing.RETURNED)
    ranked(project, ben, {new: [3, 4], old: [1, 2]}, is_simulated=True)
    Task.objects.filter(judgements=ranked(project, ada, {new: [3, 4], old: [1, 2]})).update(purpose=Task.Purpose.GOLD)
    assert contests.between(project, new.pk, old.pk).value == 1
    assert contests.contests_of(new)[0].rankings == 1
    asked = contests.contests_of(new, simulated=True)[0]
    assert (asked.win.value, asked.rankings, asked.annotators) == (0.5, 2, 2)


def test_a_round_won_by_people_says_so_with_its_interval(project, policies, ada):
    old, new, _ = policies
    Checkpoint.objects.exclude(pk__in=[old.pk, new.pk]).delete()
    job = Job.objects.create(project=project, kind="policy.ppo", state="succeeded", finished_at="2030-01-01T00:00Z")
    Checkpoint.objects.filter(pk=new.pk).update(job=job)
    assert rounds_of(project)[1].win_rate is None
    for _ in range(6):
        ranked(project, ada, {new: [1, 3], old: [2, 4]})
    won = rounds_of(project)[1].win_rate
    assert won.value == 0.75
    assert won.low < 0.75 < won.high


def test_leads_see_the_contests_of_a_policy(project, policies, ada, ben, lea, charlie, browser):
    old, new, other = policies
    checkpoints.promote(old)
    for _ in range(3):
        ranked(project, ada, {new: [1, 2], old: [3, 4]})
    ranked(project, ben, {new: [1, 2], other: [3, 4]}, is_simulated=True)
    address = f"/api/v1/projects/{project.slug}/contests"
    assert browser(charlie).get(address, {"checkpoint": new.pk}).status_code == 404
    client = browser(lea)
    body = client.get(address, {"checkpoint": new.pk}).json()
    assert [each["rival"] for each in body["contests"]] == [{"id": old.pk, "name": "old", "is_champion": True}]
    assert body["contests"][0]["win"]["value"] == 1.0
    assert body["contests"][0]["speaks_for_others"] is False
    asked = client.get(address, {"checkpoint": new.pk, "simulated": True}).json()
    assert [each["rival"]["name"] for each in asked["contests"]] == ["old", "other"]
    assert client.get(address, {"checkpoint": 10**6}).json()["code"] == "not_found"
    assert client.get(address).json()["code"] == "invalid"


def test_the_number_of_statements_does_not_grow_with_rankings(project, policies, ada, django_assert_num_queries):
    old, new, other = policies
    for _ in range(3):
        ranked(project, ada, {new: [1, 2], old: [3, 4]})
        ranked(project, ada, {new: [1, 2], other: [3, 4]})
        with django_assert_num_queries(2):
            contests.contests_of(new)


# --- The interval over tasks and annotators -------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_two_ways_of_clustering_never_know_more_than_one(rows):
    parts = [Part(task=task, annotator=who, top=float(won), bottom=4.0) for task, who, won in rows]
    both = clustered_twice(parts)
    by_task = {}
    for part in parts:
        top, bottom = by_task.get(part.task, (0.0, 0.0))
        by_task[part.task] = (top + part.top, bottom + part.bottom)
    one = clustered(by_task.values())
    assert both.value == pytest.approx(one.value)
    assert (both.count, both.tasks) == (one.count, one.tasks)
    if both.low is not None:
        assert both.low <= one.low + 1e-9
        assert both.high >= one.high - 1e-9
    flipped = clustered_twice([Part(task=p.task, annotator=p.annotator, top=4 - p.top, bottom=4.0) for p in parts])
    assert flipped.value == pytest.approx(1 - both.value)


def test_the_interval_covers_the_truth_as_often_as_it_says_where_annotators_differ():
    """Twelve annotators with tastes of their own, forty prompts: 95 % intervals miss one half rarely; 200 worlds."""
    missed = {"twice": 0, "once": 0}
    for seed in range(200):
        dice = random.Random(seed)
        tastes = [dice.gauss(0, 0.15) for _ in range(12)]
        parts = []
        for prompt in range(40):
            lean = dice.gauss(0, 0.1)
            for who in dice.sample(range(12), 2):
                chance = min(1.0, max(0.0, 0.5 + tastes[who] + lean))
                parts.append(
                    Part(task=prompt, annotator=who, top=sum(dice.random() < chance for _ in range(4)), bottom=4)
                )
        twice = clustered_twice(parts)
        by_task = {}
        for part in parts:
            top, bottom = by_task.get(part.task, (0.0, 0.0))
            by_task[part.task] = (top + part.top, bottom + part.bottom)
        once = clustered(by_task.values())
        missed["twice"] += not twice.low <= 0.5 <= twice.high
        missed["once"] += not once.low <= 0.5 <= once.high
    assert missed["twice"] <= 20  # 5 % of 200 are 10
    assert missed["once"] > 2 * missed["twice"]  # what leaving the annotators out would claim to know
