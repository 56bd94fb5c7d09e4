"""The queue, one annotator at a time: what is handed out, in which order, and what becomes of seats."""

from __future__ import annotations

from datetime import timedelta

import labeling_factories as factories
import pytest
from django.utils.timezone import now

from labeling import demonstrations, drafts, queue, rankings, shelves
from labeling.models import Bookmark, Candidate, Draft, Judgement, Lease, Prompt, Task
from labeling.words import placements_of
from training import access
from training.records import Placement

pytestmark = pytest.mark.django_db


def next_for(annotator, kind="ranking", slug="stories"):
    return queue.lease_next(annotator=annotator, slug=slug, kind=kind)


def in_a_row(lease):
    """A ranking in the shown order, rated 7, 6, 5, …"""
    return [Placement(response=each, rank=place + 1, rating=7 - place) for place, each in enumerate(lease.shown)]


def submit(annotator, lease, **more):
    return rankings.submit(annotator=annotator, lease_id=lease.pk, placements=in_a_row(lease), **more)


def let_expire(lease):
    Lease.objects.filter(pk=lease.pk).update(expires_at=now() - timedelta(seconds=1))
    assert queue.expire() >= 1


def seats(task):
    task.refresh_from_db()
    live = task.leases.filter(state="live").count()
    assert live + task.served + task.seats_left == task.seats
    return task.seats_left


def test_a_lease_takes_a_seat_and_stores_the_order_shown(project, ada):
    factories.GuidelinesFactory(project=project, version=3)
    task = factories.TaskFactory(of=project)
    handout = next_for(ada)
    assert seats(task) == 0
    assert handout.lease.shown == [str(response.pk) for response in handout.responses]
    assert {response.pk for response in handout.responses} == set(task.responses.values_list("pk", flat=True))
    assert handout.prompt == task.prompt
    assert handout.lease.guidelines_version == 3


def test_nothing_open_is_no_task(project, ada):
    assert next_for(ada) is None
    factories.TaskFactory(of=project, kind="demonstration")
    assert next_for(ada) is None
    assert next_for(ada, kind="demonstration").responses == []


def test_charlie_gets_nothing_from_a_project_that_is_not_his(project, charlie):
    factories.TaskFactory(of=project)
    with pytest.raises(access.NoSuchProject):
        next_for(charlie)


def test_a_researcher_does_not_label(project, charlie):
    factories.MembershipFactory(project=project, user=charlie, role="researcher")
    factories.TaskFactory(of=project)
    with pytest.raises(access.NotAllowed):
        next_for(charlie)


def test_other_projects_tasks_stay_where_they_are(ada):
    factories.TaskFactory(of=factories.ProjectFactory())
    assert next_for(ada) is None


def test_priority_comes_first_then_the_most_served_then_the_oldest(project, ada):
    oldest = factories.TaskFactory(of=project, seats=3)
    begun = factories.TaskFactory(of=project, seats=3, served=1, seats_left=2)
    urgent = factories.TaskFactory(of=project, priority=5)
    order = []
    for _ in range(3):
        handout = next_for(ada)
        order.append(handout.lease.task_id)
        submit(ada, handout.lease)
    assert order == [urgent.pk, begun.pk, oldest.pk]


@pytest.mark.parametrize(("order", "column"), [("uniform", "lot"), ("score", "score")])
def test_a_project_may_ask_for_another_order(settings_of_project, project, ada, order, column):
    settings_of_project.order = order
    settings_of_project.save()
    values = [0.5, 0.1, 0.9]
    tasks = [factories.TaskFactory(of=project, **{column: value}) for value in values]
    wanted = sorted(tasks, key=lambda task: getattr(task, column), reverse=order == "score")
    for task in wanted:
        handout = next_for(ada)
        assert handout.lease.task_id == task.pk
        submit(ada, handout.lease)


@pytest.mark.law("Q1")
def test_nobody_sees_a_task_twice(project, ada, ben):
    factories.TaskFactory(of=project, seats=2)
    submit(ada, next_for(ada).lease)
    assert next_for(ada) is None
    assert next_for(ben) is not None


def test_an_annotator_holds_two_tasks_of_a_kind_at_most(project, ada):
    factories.TaskFactory.create_batch(3, of=project)
    factories.TaskFactory(of=project, kind="demonstration")
    first, second = next_for(ada), next_for(ada)
    with pytest.raises(queue.TooManyLeases):
        next_for(ada)
    assert next_for(ada, kind="demonstration") is not None
    assert [each.lease for each in queue.in_hand(annotator=ada, slug="stories", kind="ranking")] == [
        first.lease,
        second.lease,
    ]
    submit(ada, first.lease)
    assert next_for(ada).lease.slot == 1


def test_submitting_writes_the_word_and_closes_the_lease(project, ada):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    drafts.save(annotator=ada, lease_id=lease.pk, body={"half": "done"})
    judgement, is_new = submit(ada, lease, flags=["all_bad"], note="close", seconds_spent=12.5)
    assert is_new
    assert seats(task) == 0
    lease.refresh_from_db()
    assert (lease.state, lease.slot) == ("submitted", None)
    assert not Draft.objects.exists()
    judgement.refresh_from_db()
    assert judgement.shown == lease.shown
    assert (judgement.flags, judgement.note, judgement.seconds_spent) == (["all_bad"], "close", 12.5)
    assert placements_of(judgement) == tuple(in_a_row(lease))


@pytest.mark.law("Q2")
def test_submitting_twice_is_submitting_once(project, ada):
    task = factories.TaskFactory(of=project, seats=2)
    lease = next_for(ada).lease
    first, _ = submit(ada, lease)
    second, is_new = submit(ada, lease)
    assert (second, is_new) == (first, False)
    assert Judgement.objects.count() == 1
    task.refresh_from_db()
    assert task.served == 1


def test_a_flag_that_the_project_lacks_is_refused(project, ada):
    factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    with pytest.raises(rankings.UnknownFlag):
        submit(ada, lease, flags=["made_up"])
    assert not Judgement.objects.exists()


def test_ben_cannot_submit_what_ada_holds(project, ada, ben):
    factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    with pytest.raises(queue.NoSuchLease):
        submit(ben, lease)


def test_a_demonstration_is_written_once(project, ada):
    task = factories.TaskFactory(of=project, kind="demonstration")
    lease = next_for(ada, kind="demonstration").lease
    with pytest.raises(demonstrations.EmptyDemonstration):
        demonstrations.submit(annotator=ada, lease_id=lease.pk, text=" \n ")
    first, is_new = demonstrations.submit(annotator=ada, lease_id=lease.pk, text=" Once a kite went home. ")
    again, is_again_new = demonstrations.submit(annotator=ada, lease_id=lease.pk, text="Something else.")
    assert (is_new, is_again_new, again) == (True, False, first)
    assert first.text == "Once a kite went home."
    assert (first.prompt, seats(task)) == (task.prompt, 0)


def test_a_ranking_does_not_answer_a_demonstration_task(project, ada):
    factories.TaskFactory(of=project, kind="demonstration")
    lease = next_for(ada, kind="demonstration").lease
    with pytest.raises(queue.NoSuchLease):
        rankings.submit(annotator=ada, lease_id=lease.pk, placements=[])


def test_a_skip_returns_the_seat_and_keeps_that_annotator_away(project, ada, ben):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    for _ in range(2):
        queue.skip(annotator=ada, lease_id=lease.pk, reason="unclear")
    assert seats(task) == 1
    assert task.skips == 1
    assert next_for(ada) is None
    assert next_for(ben).lease.task == task


def test_a_skip_after_expiry_returns_no_second_seat(project, ada):
    task = factories.TaskFactory(of=project, seats=2)
    lease = next_for(ada).lease
    let_expire(lease)
    queue.skip(annotator=ada, lease_id=lease.pk)
    assert seats(task) == 2
    assert next_for(ada) is None


def test_a_task_skipped_too_often_is_set_aside(settings_of_project, project, ada, ben):
    settings_of_project.skip_limit = 2
    settings_of_project.save()
    task = factories.TaskFactory(of=project)
    for annotator in (ada, ben):
        queue.skip(annotator=annotator, lease_id=next_for(annotator).lease.pk)
    assert seats(task) == 1
    assert task.state == Task.State.SET_ASIDE


def test_a_task_given_back_unseen_may_come_again(project, ada):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    for _ in range(2):
        queue.give_back(annotator=ada, lease_id=lease.pk)
    assert seats(task) == 1
    assert next_for(ada).lease.task == task
    with pytest.raises(queue.LeaseClosed):
        submit(ada, lease)


@pytest.mark.law("Q3")
def test_an_expired_lease_returns_its_seat_once(project, ada, ben):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    let_expire(lease)
    assert queue.expire() == 0
    assert seats(task) == 1
    assert next_for(ben).lease.task == task


def test_an_overdue_lease_is_swept_when_nothing_else_is_open(project, ada, ben):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    Lease.objects.filter(pk=lease.pk).update(expires_at=now() - timedelta(seconds=1))
    assert next_for(ben).lease.task == task
    assert seats(task) == 0


def test_a_renewed_lease_does_not_expire(project, ada):
    factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    Lease.objects.filter(pk=lease.pk).update(expires_at=now() - timedelta(seconds=1))
    queue.renew(annotator=ada, lease_id=lease.pk)
    assert queue.expire() == 0


@pytest.mark.law("Q3")
def test_a_submission_after_expiry_is_kept_while_the_seat_is_free(project, ada):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    let_expire(lease)
    _, is_new = submit(ada, lease)
    assert is_new
    assert seats(task) == 0


@pytest.mark.law("Q3")
def test_a_submission_after_expiry_is_refused_by_name_when_the_seat_is_taken_and_the_draft_is_kept(project, ada, ben):
    task = factories.TaskFactory(of=project)
    lease = next_for(ada).lease
    drafts.save(annotator=ada, lease_id=lease.pk, body={"note": "mine"})
    let_expire(lease)
    theirs = next_for(ben).lease
    for _ in range(2):
        with pytest.raises(queue.LeaseExpired):
            submit(ada, lease)
    with pytest.raises(queue.LeaseExpired):
        queue.renew(annotator=ada, lease_id=lease.pk)
    assert Draft.objects.get(lease=lease).body == {"note": "mine"}
    submit(ben, theirs)
    assert seats(task) == 0
    assert Judgement.objects.get().annotator == ben


def test_an_expired_lease_comes_back_to_its_annotator_with_its_draft_and_order(project, ada):
    task = factories.TaskFactory(of=project)
    factories.TaskFactory(of=project, priority=9)
    lease = next_for(ada).lease
    drafts.save(annotator=ada, lease_id=lease.pk, body={"note": "half"})
    let_expire(lease)
    handout = next_for(ada)
    assert handout.lease.pk == lease.pk
    assert [str(response.pk) for response in handout.responses] == lease.shown
    assert handout.draft.body == {"note": "half"}
    assert seats(lease.task) == 0
    assert seats(task) == 1


def test_raising_the_overlap_adds_seats(project, ada, ben):
    task = factories.TaskFactory(of=project)
    submit(ada, next_for(ada).lease)
    assert next_for(ben) is None
    assert queue.raise_overlap(tasks=Task.objects.filter(pk=task.pk), seats=3) == 1
    assert queue.raise_overlap(tasks=Task.objects.filter(pk=task.pk), seats=2) == 0
    assert seats(task) == 2
    assert next_for(ben).lease.task == task


def test_a_retired_prompt_is_handed_out_no_more(project, ada, ben):
    task = factories.TaskFactory(of=project, seats=2)
    lease = next_for(ada).lease
    queue.retire(prompts=Prompt.objects.filter(pk=task.prompt_id))
    assert next_for(ben) is None
    submit(ada, lease)
    assert seats(task) == 1


def test_demonstrations_are_asked_for_once_a_prompt(project):
    wanted = factories.PromptFactory.create_batch(3, project=project)
    assert queue.ask_for_demonstrations(project=project, wanted=wanted[:2]) == 2
    assert queue.ask_for_demonstrations(project=project, wanted=wanted) == 1
    assert Task.objects.filter(kind="demonstration").count() == 3


@pytest.mark.law("Q1")
@pytest.mark.parametrize("is_told", [True, False])
def test_a_task_that_appears_before_a_bookmark_is_handed_out_too(settings_of_project, ada, is_told):
    """Numbers are given before a transaction ends: who was quicker may be through to a higher one by then."""
    project = settings_of_project.project
    late, *tasks = factories.TaskFactory.create_batch(4, of=project, seats=2, responses=2)
    number, candidates = late.pk, list(late.candidates.values_list("response_id", flat=True))
    late.delete()

    def work():
        lease = next_for(ada).lease
        submit(ada, lease)
        return lease.task_id

    assert [work(), work()] == [tasks[0].pk, tasks[1].pk]
    assert Bookmark.objects.get(annotator=ada).upto == tasks[1].pk
    late.pk = number
    late.save(force_insert=True)
    Candidate.objects.bulk_create([Candidate(task=late, response_id=each) for each in candidates])
    if is_told:
        shelves.new_edition(project.pk)
        assert [work(), work()] == [number, tasks[2].pk]
    else:
        assert [work(), work()] == [tasks[2].pk, number]
    assert next_for(ada) is None
