"""Law Q1, Q3 and D4: whatever people do in whatever order, every seat is accounted for."""

from __future__ import annotations

from datetime import timedelta

import labeling_factories as factories
import pytest
from django.utils.timezone import now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from labeling import curating, drafts, queue, rankings, review, shelves
from labeling.models import Draft, Judgement, LabelingSettings, Lease, Task
from training.records import Placement

PEOPLE = st.integers(0, 3)
PLACES = {"served": lambda task: -task.served, "uniform": lambda task: task.lot, "score": lambda task: -task.score}


class QueueMachine(RuleBasedStateMachine):
    """Four annotators, some tasks, and what the test itself remembers of who saw what."""

    leases = Bundle("leases")

    @initialize(
        skip_limit=st.integers(1, 4),
        seats=st.lists(st.integers(1, 3), min_size=1, max_size=4),
        extra_below=st.sampled_from([None, 50]),
        order=st.sampled_from(sorted(PLACES)),
    )
    def open_the_room(self, skip_limit, seats, extra_below, order):
        self.project = factories.ProjectFactory()
        factories.SettingsFactory(project=self.project, skip_limit=skip_limit, extra_below=extra_below, order=order)
        self.place_of = PLACES[order]
        self.reviewer = factories.UserFactory()
        self.people = [factories.UserFactory() for _ in range(4)]
        for person in self.people:
            factories.MembershipFactory(project=self.project, user=person)
        self.seen: set[tuple[int, int]] = set()  # (task, annotator) that was handed out and not given back
        self.words: dict[object, tuple[int, int]] = {}  # lease -> (task, annotator) of each acknowledged judgement
        for count in seats:
            self.add_task(seats=count, priority=0, tenths=count)

    @rule(seats=st.integers(1, 3), priority=st.integers(0, 2), tenths=st.integers(0, 3))
    def add_task(self, seats, priority, tenths):
        place = tenths / 10
        factories.TaskFactory(of=self.project, seats=seats, priority=priority, responses=2, lot=place, score=place)
        shelves.new_edition(self.project.pk)

    @rule(order=st.sampled_from(sorted(PLACES)))
    def change_the_order(self, order):
        LabelingSettings.objects.filter(project=self.project).update(order=order)
        self.place_of = PLACES[order]

    @rule(target=leases, who=PEOPLE)
    def take(self, who):
        person = self.people[who]
        mine = Lease.objects.filter(annotator=person, state="live").count()
        coming_back = {
            lease.pk
            for lease in Lease.objects.filter(annotator=person, state="expired").select_related("task")
            if lease.task.state == "open" and lease.task.seats_left
        }
        fresh = [
            task
            for task in Task.objects.filter(project=self.project, state="open", seats_left__gt=0)
            if (task.pk, who) not in self.seen
        ]
        try:
            handout = queue.lease_next(annotator=person, slug=self.project.slug, kind="ranking")
        except queue.TooManyLeases:
            assert mine == 2
            return multiple()
        assert mine < 2
        if handout is None:
            assert not fresh
            assert not coming_back
            return multiple()
        if coming_back:
            assert handout.lease.pk in coming_back
        else:
            best = min(fresh, key=lambda task: (-task.priority, self.place_of(task), task.pk))
            assert handout.lease.task_id == best.pk
            self.seen.add((best.pk, who))
        return handout.lease.pk, who

    @rule(lease=leases, again=st.booleans(), likes=st.sampled_from([None, min, max]))
    def submit(self, lease, again, likes):
        lease_id, who = lease
        row = Lease.objects.select_related("task").get(pk=lease_id)
        free = row.task.state == "open" and row.task.seats_left > 0
        best = likes(row.shown) if likes else None  # two who like different ones may bring a third annotator in
        placements = [
            Placement(response=each, rank=1 if each == best or not best else 2, rating=5 if each == best else 4)
            for each in row.shown
        ]
        for _ in range(1 + again):
            try:
                rankings.submit(annotator=self.people[who], lease_id=lease_id, placements=placements)
            except queue.LeaseExpired:
                assert row.state == "expired"
                assert not free
                return
            except queue.LeaseClosed:
                assert row.state in {"skipped", "given_back"}
                return
        assert row.state in {"live", "submitted"} or free
        self.words[lease_id] = (row.task_id, who)

    @rule(lease=leases)
    def renew(self, lease):
        lease_id, who = lease
        before = Lease.objects.get(pk=lease_id).state
        try:
            queue.renew(annotator=self.people[who], lease_id=lease_id)
        except queue.LeaseClosed:
            assert before in {"submitted", "skipped", "given_back"}
        except (queue.LeaseExpired, queue.TooManyLeases):
            assert before == "expired"
        else:
            assert Lease.objects.get(pk=lease_id).state == "live"

    @rule(lease=leases)
    def skip(self, lease):
        lease_id, who = lease
        try:
            queue.skip(annotator=self.people[who], lease_id=lease_id, reason="unclear")
        except queue.LeaseClosed:
            assert Lease.objects.get(pk=lease_id).state in {"submitted", "given_back"}

    @rule(lease=consumes(leases))
    def give_back(self, lease):
        lease_id, who = lease
        row = Lease.objects.get(pk=lease_id)
        try:
            queue.give_back(annotator=self.people[who], lease_id=lease_id)
        except queue.LeaseClosed:
            assert row.state in {"submitted", "skipped"}
        else:
            self.seen.discard((row.task_id, who))

    @rule(lease=leases)
    def go_home_without_a_word(self, lease):
        lease_id, _ = lease
        overdue = Lease.objects.filter(pk=lease_id, state="live")
        was_live = overdue.update(expires_at=now() - timedelta(seconds=1))
        assert queue.expire(project_slug=self.project.slug) == was_live
        assert queue.expire(project_slug=self.project.slug) == 0

    @rule(lease=leases)
    def save_a_draft(self, lease):
        lease_id, who = lease
        try:
            drafts.save(annotator=self.people[who], lease_id=lease_id, body={"half": str(lease_id)})
        except queue.LeaseClosed:
            assert not Draft.objects.filter(lease=lease_id).exists()
        else:
            assert Draft.objects.get(lease=lease_id).body == {"half": str(lease_id)}

    @rule(seats=st.integers(1, 4))
    def raise_the_overlap(self, seats):
        queue.raise_overlap(tasks=Task.objects.filter(project=self.project), seats=seats)

    @rule(which=st.integers(0, 7), deed=st.sampled_from([review.ask_one_more, review.retire, review.put_back]))
    def review_a_task(self, which, deed):
        tasks = list(Task.objects.filter(project=self.project).order_by("pk"))
        task = tasks[which % len(tasks)]
        try:
            deed(task=task, by=self.reviewer)
        except (review.NotOpen, review.IsOpen):
            assert (task.state == "open") == (deed is review.put_back)

    @rule(which=st.integers(0, 7), priority=st.integers(0, 2))
    def change_the_priority_of_a_prompt(self, which, priority):
        tasks = list(Task.objects.filter(project=self.project).order_by("pk"))
        curating.change(
            project=self.project, by=self.reviewer, prompts=[tasks[which % len(tasks)].prompt_id], priority=priority
        )

    @rule(who=PEOPLE)
    def leave_the_project(self, who):
        queue.take_back(project=self.project, annotator=self.people[who])
        assert not Lease.objects.filter(annotator=self.people[who], state="live").exists()

    @invariant()
    def every_seat_is_live_served_or_free(self):
        for task in Task.objects.filter(project=self.project):
            live = task.leases.filter(state="live").count()
            assert live + task.served + task.seats_left == task.seats
            assert task.served == task.judgements.filter(is_current=True).count()

    @invariant()
    def nobody_holds_more_than_two(self):
        for person in self.people:
            assert Lease.objects.filter(annotator=person, state="live").count() <= 2

    @invariant()
    def each_acknowledged_word_exists_once(self):
        stored = list(Judgement.objects.filter(project=self.project).values_list("task", "annotator"))
        numbers = {person.pk: place for place, person in enumerate(self.people)}
        assert sorted((task, numbers[who]) for task, who in stored) == sorted(self.words.values())
        assert len(set(stored)) == len(stored)


@pytest.mark.django_db
@pytest.mark.law("Q1")
def test_every_seat_is_accounted_for_whatever_people_do():
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
