"""What leads decide holds at the next hand-out, whoever asks, and costs no statement more."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import labeling_factories as factories
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from labeling import asking, days, leading, qualification, queue, rankings, review
from labeling.models import Conversation, Demonstration, Guidelines, Judgement, KnownAnswer, Lease, Qualification, Task
from training.models import Deed, Membership
from training.records import Placement

pytestmark = pytest.mark.django_db
SETTINGS = "/api/v1/projects/stories/labeling"
CONVERSATIONS = "/api/v1/projects/stories/conversations"
TURNS = [{"role": "user", "content": "Tell me of a kite."}, {"role": "assistant", "content": "It flew home."}]


def take(person, kind="ranking"):
    return queue.lease_next(annotator=person, slug="stories", kind=kind)


def say(person, lease, best_first=None):
    """Rank the lease's task: these responses from best to worst, else as they are shown."""
    placements = [
        Placement(response=str(each), rank=rank, rating=max(1, 8 - rank))
        for rank, each in enumerate(best_first or lease.shown, start=1)
    ]
    return rankings.submit(annotator=person, lease_id=lease.pk, placements=placements)[0]


def known_task(project, lea, judged_by, purpose):
    """A task whose answer is known: its origin was judged by someone, in the order of the responses' ids."""
    origin = factories.TaskFactory(of=project, responses=3, priority=100)
    lease = take(judged_by).lease
    order = sorted(lease.shown)
    say(judged_by, lease, order)
    ranks = {response: rank for rank, response in enumerate(order, start=1)}
    return review.make_known(task=origin, by=lea, ranks=ranks, purpose=purpose)


def answer(person, lease, *, rightly):
    best_first = sorted(lease.shown)
    return say(person, lease, best_first if rightly else best_first[::-1])


# --- Settings ------------------------------------------------------------------------------------


def test_settings_are_changed_by_admins_and_who_changed_what_is_written_down(settings_of_project, lea, browser):
    changed = browser(lea).patch(SETTINGS, {"overlap": 3, "lease_seconds": 1800, "extra_below": 60})
    assert (changed.status_code, changed.json()["overlap"], changed.json()["extra_below"]) == (200, 3, 60)
    deed = Deed.objects.get(did="settings.changed")
    assert (deed.by, deed.details["before"]) == (lea, {"overlap": 1, "extra_below": None})
    assert deed.details["after"] == {"overlap": 3, "extra_below": 60}
    browser(lea).patch(SETTINGS, {"overlap": 3})
    assert Deed.objects.count() == 1  # nothing changed: no deed


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"responses_per_task": 1}, "responses_per_task"),
        ({"extra_below": 101}, "extra_below"),
        ({"gold_percent": 51}, "gold_percent"),
        ({"qualification_tasks": 1}, "qualification_tasks"),
        ({"label_set": {"response_flags": [{"key": "A b", "label": "x"}], "task_flags": []}}, "label_set"),
        ({"label_set": {"response_flags": [{"key": "a", "label": "x"}] * 2, "task_flags": []}}, "label_set"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_their_field(settings_of_project, lea, browser, wrong, field):
    refused = browser(lea).patch(SETTINGS, wrong)
    assert refused.status_code in {400, 422}
    assert field in refused.json()["fields"]
    assert not Deed.objects.exists()


def test_a_new_label_set_is_what_annotators_can_raise(settings_of_project, project, ada, lea, browser):
    flags = {"response_flags": [{"key": "dull", "label": "Dull"}], "task_flags": []}
    browser(lea).patch(SETTINGS, {"label_set": flags})
    assert browser(ada).get("/api/v1/projects/stories").json()["settings"]["label_set"] == flags
    factories.TaskFactory(of=project)
    lease = take(ada).lease
    dull = [Placement(response=each, rank=1, rating=4, flags=("dull",)) for each in lease.shown]
    rankings.submit(annotator=ada, lease_id=lease.pk, placements=dull)
    with pytest.raises(rankings.UnknownFlag):
        rankings.check_flags(lease, [], ["all_bad"])


def test_guidelines_come_in_versions_that_never_change(project, ada, lea, browser):
    versions = "/api/v1/projects/stories/guidelines/versions"
    for text in ("Be kind.", "Be kind.", "Be kind and brief."):
        assert browser(lea).post(versions, {"text": text}).status_code == 201
    assert list(Guidelines.objects.order_by("version").values_list("version", "text")) == [
        (1, "Be kind."),
        (2, "Be kind and brief."),
    ]
    assert browser(ada).get("/api/v1/projects/stories/guidelines").json()["version"] == 2
    assert [each["version"] for each in browser(ada).get(versions).json()["results"]] == [2, 1]
    assert browser(ada).post(versions, {"text": "Mine."}).status_code == 403
    assert browser(lea).post(versions, {"text": "  "}).json()["code"] == "empty_guidelines"


# --- Overlap -------------------------------------------------------------------------------------


def test_so_many_of_a_hundred_tasks_get_the_overlap(settings_of_project, project):
    settings_of_project.overlap, settings_of_project.overlap_percent = 3, 30
    settings_of_project.save()
    queue.ask_for_demonstrations(project=project, wanted=factories.PromptFactory.create_batch(400, project=project))
    shared = Task.objects.filter(seats=3, seats_left=3).count()
    assert Task.objects.filter(seats=1, seats_left=1).count() == 400 - shared
    assert 70 < shared < 170  # 120 expected; six standard deviations are 55


@pytest.mark.both_databases
def test_a_higher_overlap_may_reach_the_tasks_that_are_open_already(settings_of_project, project, ada, lea):
    begun, done, closed = factories.TaskFactory.create_batch(3, of=project, responses=2)
    Task.objects.filter(pk=closed.pk).update(state="retired")
    Task.objects.filter(pk=begun.pk).update(priority=1)
    lease = take(ada).lease
    leading.change_settings(project=project, by=lea, overlap=3, also_open=True)
    assert list(Task.objects.order_by("pk").values_list("seats", "seats_left")) == [(3, 2), (3, 3), (1, 1)]
    say(ada, lease)
    assert (Task.objects.get(pk=begun.pk).served, done.pk) == (1, take(ada).lease.task_id)


@pytest.mark.both_databases
@pytest.mark.law("Q1")
@pytest.mark.parametrize(("agree", "seats"), [(True, 2), (False, 3)])
def test_one_more_annotator_is_asked_where_the_first_two_disagree(
    settings_of_project, project, ada, ben, lea, agree, seats
):
    settings_of_project.extra_below = 60
    settings_of_project.save()
    task = factories.TaskFactory(of=project, seats=2, responses=3)
    first, second = take(ada).lease, take(ben).lease
    order = sorted(first.shown)
    say(ada, first, order)
    say(ben, second, order if agree else order[::-1])
    task.refresh_from_db()
    assert (task.seats, task.seats_left, task.served) == (seats, seats - 2, 2)
    if not agree:  # the third word is the last, whatever it says
        third = take(lea).lease
        say(lea, third, order)
        task.refresh_from_db()
        assert (task.seats, task.seats_left, task.served) == (3, 0, 3)


# --- A day's work --------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_day_has_its_limit_and_the_next_one_begins_anew(settings_of_project, project, ada, ben, browser):
    settings_of_project.daily_limit = 2
    settings_of_project.save()
    factories.TaskFactory.create_batch(5, of=project, seats=2, responses=2)
    first = take(ada).lease
    say(ada, first)
    second = take(ada).lease
    refused = browser(ada).post("/api/v1/projects/stories/leases", {"kind": "ranking"})
    assert (refused.status_code, refused.json()["code"]) == (409, "daily_limit_reached")
    assert refused.json()["fields"] == {"limit": 2, "again_at": days.tomorrow().isoformat()}
    say(ada, second)  # what was taken may be finished
    assert take(ben) is not None  # it is each person's own
    Lease.objects.filter(annotator=ada).update(ended_at=days.today() - timedelta(minutes=1))
    assert take(ada) is not None


def test_a_conversation_that_was_begun_is_finished_and_no_other_is_begun_on_a_day_that_is_full(
    settings_of_project, project, ada, browser
):
    settings_of_project.daily_limit = 1
    settings_of_project.save()
    client, begun = browser(ada), uuid4()
    assert client.put(f"{CONVERSATIONS}/{begun}", {"turns": TURNS[:1]}).status_code == 200
    factories.TaskFactory(of=project, responses=2)
    say(ada, take(ada).lease)
    assert client.get(CONVERSATIONS).json()[0]["id"] == str(begun)
    assert client.put(f"{CONVERSATIONS}/{begun}", {"turns": TURNS}).status_code == 200
    assert client.post(f"{CONVERSATIONS}/{begun}/submit", {"turns": TURNS}).status_code == 201
    tries = [client.get(CONVERSATIONS), client.put(f"{CONVERSATIONS}/{uuid4()}", {"turns": TURNS})]
    assert [each.json()["code"] for each in tries] == ["daily_limit_reached"] * 2


# --- Gold ----------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_gold_comes_among_the_work_as_often_as_asked_and_never_to_who_judged_its_origin(
    settings_of_project, project, ada, ben, lea, browser
):
    settings_of_project.gold_percent = 50
    settings_of_project.save()
    gold = known_task(project, lea, ada, "gold")
    factories.TaskFactory.create_batch(12, of=project, seats=2, responses=2)
    assert browser(ben).get("/api/v1/projects/stories/progress").json()["open"]["ranking"] == 12

    def what_comes(person):
        found = []
        while handout := take(person):
            found.append(handout.lease.task_id)
            say(person, handout.lease)
        return found

    assert gold.pk not in what_comes(ada)
    assert gold.pk in what_comes(ben)  # it would be missed once in 2^12
    assert Task.objects.get(pk=gold.pk).served == 1


def test_gold_looks_like_any_other_task(settings_of_project, project, ada, ben, lea, browser):
    known_task(project, lea, ada, "gold")
    Task.objects.filter(purpose="work").update(state="retired")
    settings_of_project.gold_percent = 50
    settings_of_project.save()
    client = browser(ben)
    answers = (client.post("/api/v1/projects/stories/leases", {"kind": "ranking"}) for _ in range(100))
    lease = next(answer.json() for answer in answers if answer.status_code == 201)
    factories.TaskFactory(of=project, responses=3)
    work = client.post("/api/v1/projects/stories/leases", {"kind": "ranking"}).json()
    assert lease.keys() == work.keys()
    assert lease["task"].keys() == work["task"].keys()
    assert "gold" not in str(lease)


# --- Qualification ---------------------------------------------------------------------------------


@pytest.fixture
def asked(settings_of_project, project, ben, lea):
    """A project that asks for two first tasks, of which 70 % must be right; Ben made them known."""
    for _ in range(2):
        known_task(project, lea, ben, "qualification")
    factories.TaskFactory.create_batch(3, of=project, seats=3, responses=2)
    leading.change_settings(project=project, by=lea, qualification_tasks=2)
    return project


def test_other_settings_change_although_a_first_task_is_gone(asked, project, lea):
    Task.objects.filter(project=project, purpose="qualification").update(state="set_aside")
    assert leading.change_settings(project=project, by=lea, overlap=2).overlap == 2
    with pytest.raises(leading.BadSettings):
        leading.change_settings(project=project, by=lea, qualification_tasks=1)


@pytest.mark.both_databases
def test_the_first_tasks_come_before_real_work_and_let_those_work_who_know_the_answers(asked, ada):
    first, second = take(ada).lease, take(ada).lease
    assert {first.task.purpose, second.task.purpose} == {"qualification"}
    answer(ada, first, rightly=True)
    assert take(ada) is None  # what is in her hands decides
    with pytest.raises(qualification.QualifyFirst):
        take(ada, "demonstration")
    answer(ada, second, rightly=True)
    found = Qualification.objects.get(annotator=ada)
    assert (found.state, found.share, found.tasks) == ("passed", 1.0, 2)
    assert take(ada).lease.task.purpose == "work"


def test_who_does_not_know_the_answers_gets_no_work_until_a_lead_says_so(asked, project, ada, ben, lea, browser):
    for rightly in (True, False):
        answer(ada, take(ada).lease, rightly=rightly)
    assert (Qualification.objects.get().state, Qualification.objects.get().share) == ("failed", 0.5)
    with pytest.raises(qualification.NotQualified):
        take(ada)
    with pytest.raises(qualification.NotQualified):
        asking.check_hands(annotator=ada, project=project)
    verdict = f"/api/v1/projects/stories/members/{ada.pk}/qualification"
    assert browser(lea).put(verdict, {"state": "again"}).json()["code"] == "nothing_to_try"
    more = known_task(project, lea, ben, "qualification")
    assert browser(lea).put(verdict, {"state": "again"}).status_code == 200
    lease = take(ada).lease
    assert lease.task_id == more.pk
    answer(ada, lease, rightly=False)  # there is no second one: this one decides
    assert Qualification.objects.get().state == "failed"
    assert browser(lea).put(verdict, {"state": "passed"}).status_code == 200
    assert take(ada).lease.task.purpose == "work"
    assert list(Deed.objects.filter(did="qualification.overruled").values_list("to", flat=True)) == [ada.pk] * 2


def test_skipping_all_first_tasks_is_not_passing_them(asked, ada):
    for _ in range(2):
        queue.skip(annotator=ada, lease_id=take(ada).lease.pk)
    with pytest.raises(qualification.NotQualified):
        take(ada)


def test_nobody_talks_their_way_past_the_first_tasks(asked, ada, ben, browser):
    """Converse is real work, too: it comes after the first tasks, and is no way around them."""
    client = browser(ada)

    def converse(key):
        return [
            client.get(CONVERSATIONS),
            client.put(f"{CONVERSATIONS}/{key}", {"turns": TURNS}),
            client.post(f"{CONVERSATIONS}/{key}/submit", {"turns": TURNS}),
        ]

    assert [each.json()["code"] for each in converse(uuid4())] == ["qualify_first"] * 3
    assert take(ada).lease.task.purpose == "qualification"
    answer(ada, Lease.objects.get(annotator=ada), rightly=False)
    answer(ada, take(ada).lease, rightly=False)
    assert [(each.status_code, each.json()["code"]) for each in converse(uuid4())] == [(403, "not_qualified")] * 3
    assert not Demonstration.objects.exists()
    assert not Conversation.objects.exists()
    made = browser(ben).post(f"{CONVERSATIONS}/{uuid4()}/submit", {"turns": TURNS})  # he worked here before
    assert made.status_code == 201


def test_reviewers_simulated_annotators_and_those_who_worked_before_are_not_asked(asked, ben):
    robot, vera = factories.UserFactory(is_simulated=True), factories.UserFactory()
    factories.MembershipFactory(project=asked, user=robot)
    factories.MembershipFactory(project=asked, user=vera, role=Membership.Role.REVIEWER)
    for person in (robot, vera, ben):
        assert take(person).lease.task.purpose == "work"


@pytest.mark.both_databases
def test_with_every_rule_on_the_next_task_and_a_submission_keep_their_budgets(asked, project, ada, lea, browser):
    known_task(project, lea, lea, "gold")
    leading.change_settings(project=project, by=lea, daily_limit=50, gold_percent=50, extra_below=80)
    boundaries = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
    client = browser(ada)
    for _ in range(4):
        with CaptureQueriesContext(connection) as asking_for_it:
            lease = client.post("/api/v1/projects/stories/leases", {"kind": "ranking"}).json()
        places = [
            {"response": each, "rank": rank, "rating": 8 - rank}
            for rank, each in enumerate(sorted(each["id"] for each in lease["task"]["responses"]), start=1)
        ]
        first = Task.objects.get(pk=lease["task"]["id"]).purpose == "qualification"
        with CaptureQueriesContext(connection) as saying_it:
            assert client.post(f"/api/v1/leases/{lease['id']}/ranking", {"placements": places}).status_code == 201
        taken, said = (
            [sql for each in done if not (sql := each["sql"] or "COPY").startswith(boundaries)]  # COPY has no text here
            for done in (asking_for_it, saying_it)
        )
        assert len(taken) <= 6, "\n".join(taken)
        assert len(said) <= 10 or first, "\n".join(said)
    assert Judgement.objects.filter(annotator=ada).count() == 4


def test_the_origin_of_a_known_answer_is_handed_out_no_more_and_stays_work(settings_of_project, project, ada, ben, lea):
    gold = known_task(project, lea, ada, "gold")
    origin = KnownAnswer.objects.get(task=gold).origin
    assert (origin.state, origin.purpose, origin.judgements.count()) == ("retired", "work", 1)
    assert take(ben) is None
    assert set(gold.responses.all()) == set(origin.responses.all())
    with pytest.raises(review.AlreadyKnown):
        review.make_known(task=origin, by=lea, ranks=gold.known_answer.ranks, purpose="gold")
    assert Lease.objects.filter(created_at__lte=now()).count() == 1
