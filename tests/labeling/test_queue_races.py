"""Laws Q1, Q2, D4 under real concurrency: threads with connections of their own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import labeling_factories as factories
import pytest
from django.db.models import F
from django.utils.timezone import now
from together import at_once

from labeling import queue, rankings
from labeling.models import Judgement, LabelingSettings, Lease, Task
from training import bulk
from training.records import Placement

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
HAND_OUTS = 10_000


def crowd(project, count):
    people = factories.UserFactory.create_batch(count)
    for person in people:
        factories.MembershipFactory(project=project, user=person)
    return people


def submit(person, lease):
    tied = [Placement(response=each, rank=1, rating=4) for each in lease.shown]
    return rankings.submit(annotator=person, lease_id=lease.pk, placements=tied)[0]


def assert_every_seat_is_accounted_for():
    for task in Task.objects.all():
        live = task.leases.filter(state="live").count()
        assert live + task.served + task.seats_left == task.seats
        assert task.served == task.judgements.count() == task.judgements.values("annotator").distinct().count()


@pytest.fixture
def people(settings_of_project):
    return crowd(settings_of_project.project, 8)


def work_until_nothing_is_open(annotator):
    """The tasks that someone was handed and submitted, in order."""
    done = []
    while handout := queue.lease_next(annotator=annotator, slug="stories", kind="ranking"):
        done.append(handout.lease.task_id)
        submit(annotator, handout.lease)
    return done


@pytest.mark.law("Q1")
@pytest.mark.parametrize("order", ["served", "uniform", "score"])
def test_raced_hand_outs_give_each_seat_to_one_annotator(project, people, order):
    LabelingSettings.objects.update_or_create(project=project, defaults={"order": order})
    factories.TaskFactory.create_batch(24, of=project, seats=2, responses=2)

    handed = at_once(8, lambda number: work_until_nothing_is_open(people[number]))
    assert all(len(set(done)) == len(done) for done in handed)
    assert sorted(task for done in handed for task in done) == sorted(
        2 * list(Task.objects.values_list("pk", flat=True))
    )
    assert_every_seat_is_accounted_for()


@pytest.mark.slow
@pytest.mark.law("Q1")
@pytest.mark.timeout(3600)
def test_ten_thousand_raced_hand_outs_give_each_seat_once(project, people):
    """Tasks of one seat and, which bookmarks pass over, of two."""
    prompt = factories.PromptFactory(project=project)
    responses = factories.ResponseFactory.create_batch(2, prompt=prompt)
    seats = [1, 2, 1, 1] * (HAND_OUTS // 5)
    tasks = [Task(project=project, kind="ranking", prompt=prompt, seats=each, seats_left=each) for each in seats]
    queue.link((task, responses) for task in bulk.write(tasks))

    handed = at_once(8, lambda number: work_until_nothing_is_open(people[number]))
    assert all(len(set(done)) == len(done) for done in handed)
    times = Counter(task for done in handed for task in done)
    assert times == {task.pk: task.seats for task in tasks}
    assert times.total() == HAND_OUTS
    assert not Task.objects.exclude(served=F("seats"), seats_left=0).exists()


@pytest.mark.law("D4")
def test_one_lease_submitted_by_many_requests_at_once_is_one_word(project, people):
    factories.TaskFactory(of=project, seats=3, responses=2)
    lease = queue.lease_next(annotator=people[0], slug="stories", kind="ranking").lease
    words = at_once(8, lambda _: submit(people[0], lease).pk)
    assert set(words) == {Judgement.objects.get().pk}
    assert_every_seat_is_accounted_for()


def test_one_annotator_asking_many_times_at_once_holds_two(project, people):
    factories.TaskFactory.create_batch(9, of=project, seats=2, responses=2)

    def ask(_):
        try:
            return queue.lease_next(annotator=people[0], slug="stories", kind="ranking").lease.task_id
        except queue.TooManyLeases:
            return None

    handed = [task for task in at_once(8, ask) if task is not None]
    assert len(handed) == len(set(handed)) == 2
    assert_every_seat_is_accounted_for()


@pytest.mark.law("Q3")
def test_a_submission_that_races_the_sweep_is_kept_or_refused_and_never_both(project, people):
    factories.TaskFactory.create_batch(8, of=project, responses=2)
    leases = [queue.lease_next(annotator=person, slug="stories", kind="ranking").lease for person in people]
    Lease.objects.update(expires_at=now() - timedelta(seconds=1))

    def submit_or_sweep_or_take(number):
        if number % 2:
            queue.expire()
            return queue.lease_next(annotator=people[number], slug="stories", kind="ranking") and None
        try:
            return submit(people[number], leases[number]).pk
        except queue.LeaseExpired:
            return None

    acknowledged = [word for word in at_once(8, submit_or_sweep_or_take) if word]
    assert sorted(Judgement.objects.values_list("pk", flat=True)) == sorted(acknowledged)
    assert_every_seat_is_accounted_for()


@pytest.mark.law("Q1")
def test_a_crowd_that_does_whatever_it_likes_loses_no_seat_and_no_word(project, people):
    factories.TaskFactory.create_batch(12, of=project, seats=2, responses=2)
    refusals = (queue.LeaseClosed, queue.LeaseExpired, queue.TooManyLeases)

    some = Task.objects.filter(pk__in=list(Task.objects.values_list("pk", flat=True)[:3]))

    def live(number):
        chance, held, words = random.Random(number), [], 0
        for _ in range(30):
            act = chance.choice(["take", "take", "submit", "submit", "skip", "give back", "renew", "expire", "raise"])
            try:
                if act == "take":
                    handout = queue.lease_next(annotator=people[number], slug="stories", kind="ranking")
                    held += [handout.lease] if handout else []
                elif act == "expire":
                    Lease.objects.filter(state="live", annotator=people[number]).update(expires_at=now())
                    queue.expire()
                elif act == "raise":
                    queue.raise_overlap(tasks=some, seats=3)
                elif held:
                    lease = chance.choice(held)
                    words += act == "submit" and bool(submit(people[number], lease))
                    {"skip": queue.skip, "give back": queue.give_back, "renew": queue.renew}.get(act, lambda **_: None)(
                        annotator=people[number], lease_id=lease.pk
                    )
            except refusals:
                continue
        return words

    at_once(8, live)
    assert_every_seat_is_accounted_for()
    assert Lease.objects.filter(state="submitted").count() == Judgement.objects.count()
