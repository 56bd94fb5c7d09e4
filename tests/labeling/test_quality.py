"""A project's labels at a glance: what the page shows is what was said, and nothing that nobody asked for."""

from __future__ import annotations

from datetime import timedelta

import labeling_factories as factories
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from labeling import quality, queue, rankings
from labeling.models import Judgement, Lease, QualityReport, Task, Verdict
from training.models import Membership
from training.records import Placement

pytestmark = pytest.mark.django_db
QUALITY = "/api/v1/projects/stories/quality"


def say(person, task, best_first, *, seconds=60.0, flags=(), shown=None, at=None):
    """A person's word on a task: its responses from best to worst, whatever they are shown."""
    lease = Lease.objects.create(
        project=task.project,
        kind="ranking",
        task=task,
        annotator=person,
        state="submitted",
        shown=[str(each) for each in shown or best_first],
        expires_at=now(),
        ended_at=now(),
    )
    word = rankings.write(
        annotator=person,
        lease=lease,
        placements=[
            Placement(response=str(each), rank=place, rating=max(1, 7 - place), flags=tuple(flags))
            for place, each in enumerate(best_first, start=1)
        ],
        flags=(),
        note="",
        seconds_spent=seconds,
        guidelines_version=None,
    )
    if at:
        Judgement.objects.filter(pk=word.pk).update(created_at=at)
    return word


def responses_of(task):
    return sorted(task.responses.values_list("pk", flat=True), key=str)


@pytest.fixture
def agreeing(settings_of_project, project, ada, ben):
    """Ada and Ben say the same of three tasks and the opposite of one, of three responses each."""
    tasks = factories.TaskFactory.create_batch(4, of=project, seats=2, responses=3)
    for number, task in enumerate(tasks):
        order = responses_of(task)
        say(ada, task, order, seconds=30 + number)
        say(ben, task, order if number else order[::-1], seconds=90)
    return tasks


@pytest.mark.both_databases
def test_agreement_is_the_share_of_pairs_that_two_people_put_in_one_order(agreeing, lea, ada, ben, browser):
    body = browser(lea).get(QUALITY).json()
    assert (body["judgements"], body["tasks"], body["shared_tasks"]) == (8, 4, 4)
    share = body["agreement"]["share"]
    assert (share["value"], share["count"], share["tasks"]) == (0.75, 12, 4)
    assert share["low"] < 0.75 < share["high"]
    assert [each["agreement"]["share"]["value"] for each in body["people"]] == [0.75, 0.75]
    assert {(each["a"], each["b"]) for each in body["pairs"]} == {(ada.pk, ben.pk)}
    assert 0.75 < body["ceiling"] < 1
    assert body["places"][0]["value"] == 1.0  # each was shown the order that they gave


@pytest.mark.both_databases
def test_the_task_on_which_people_disagree_is_named_first(agreeing, lea, browser):
    [worst] = browser(lea).get(QUALITY).json()["disputed"]
    assert (worst["task"], worst["share"], worst["annotators"]) == (agreeing[0].pk, 0.0, 2)
    assert "kite" in worst["prompt"]


def test_pace_and_ratings_are_each_annotators_own(agreeing, lea, ada, browser):
    people = {each["id"]: each for each in browser(lea).get(QUALITY).json()["people"]}
    assert people[ada.pk]["pace"]["median"] == 31.5
    assert people[ada.pk]["pace"]["seconds_per_1000_characters"] > 0
    assert people[ada.pk]["ratings"]["counts"] == [0, 0, 0, 4, 4, 4, 0]


def test_flags_carry_the_names_of_the_projects_label_set(project, lea, ada, ben, browser):
    task = factories.TaskFactory(of=project, seats=2)
    for person in (ada, ben):
        say(person, task, responses_of(task), flags=["hallucination"])
    [flag] = browser(lea).get(QUALITY).json()["flags"]
    assert (flag["place"], flag["label"], flag["positive"], flag["raised"]) == ("response", "Hallucination", 1.0, 1.0)


def test_what_stands_out_is_said_in_a_sentence_about_its_annotator(project, lea, ada, browser):
    for _ in range(30):
        task = factories.TaskFactory(of=project, responses=3)
        say(ada, task, responses_of(task), seconds=0.5)
    found = browser(lea).get(QUALITY).json()["standing_out"]
    assert {each["annotator"] for each in found} == {ada.pk}
    assert {each["code"] for each in found} >= {"same_order", "leans_to_a_side", "too_fast"}
    assert all(each["sentence"].startswith("Ada ") for each in found)


def test_weeks_come_in_order_with_their_ratings(project, lea, ada, browser):
    monday = now().replace(year=2026, month=3, day=2)
    for week in (1, 0):
        task = factories.TaskFactory(of=project, responses=2)
        say(ada, task, responses_of(task), at=monday + timedelta(weeks=week))
    weeks = browser(lea).get(QUALITY).json()["weeks"]
    assert [each["monday"] for each in weeks] == ["2026-03-02", "2026-03-09"]
    assert [each["ratings"]["count"] for each in weeks] == [2, 2]
    assert not any(each["moved"] for each in weeks)


def test_simulated_and_gold_work_stays_out_unless_asked_for(project, lea, ada, browser):
    robot = factories.UserFactory(username="agnes", is_simulated=True)
    gold = factories.TaskFactory(of=project, purpose=Task.Purpose.GOLD)
    say(ada, gold, responses_of(gold))
    work = factories.TaskFactory(of=project, seats=2)
    for person in (ada, robot):
        say(person, work, responses_of(work))
    client = browser(lea)
    assert [each["name"] for each in client.get(QUALITY).json()["people"]] == ["Ada"]
    both = client.get(QUALITY, {"simulated": "true"}).json()
    assert (both["judgements"], {each["name"] for each in both["people"]}) == (2, {"Ada", "Agnes"})


def test_what_was_superseded_counts_no_more(project, lea, ada, browser):
    task = factories.TaskFactory(of=project)
    first = say(ada, task, responses_of(task))
    Judgement.objects.filter(pk=first.pk).update(is_current=False)
    assert browser(lea).get(QUALITY).json()["judgements"] == 0


def test_pairwise_verdicts_count_in_agreement_as_they_were_said(project, lea, ada, ben, browser):
    task = factories.TaskFactory(of=project, seats=2, responses=2)
    best, worst = responses_of(task)
    say(ada, task, [best, worst])
    said = say(ben, task, [best, worst])
    said.placements.all().delete()
    Judgement.objects.filter(pk=said.pk).update(form="verdicts")
    Verdict.objects.create(judgement=said, a_id=worst, b_id=best, word="b_slight")
    body = browser(lea).get(QUALITY).json()
    assert body["agreement"]["share"]["value"] == 1.0
    assert body["ratings"]["count"] == 2


def test_two_people_of_one_name_are_told_apart(project, lea, browser):
    task = factories.TaskFactory(of=project, seats=2)
    for username in ("ann1", "ann2"):
        person = factories.UserFactory(username=username, name="Ann")
        say(person, task, responses_of(task))
    people = browser(lea).get(QUALITY).json()["people"]
    assert [each["name"] for each in people] == ["Ann (ann1)", "Ann (ann2)"]


@pytest.mark.both_databases
def test_a_report_is_kept_until_somebody_judged_and_a_minute_has_passed(project, lea, ada, browser):
    client = browser(lea)
    assert client.get(QUALITY).json()["judgements"] == 0
    task = factories.TaskFactory(of=project)
    say(ada, task, responses_of(task))
    assert client.get(QUALITY).json()["judgements"] == 0
    QualityReport.objects.update(made_at=now() - quality.FRESH - timedelta(seconds=1))
    assert client.get(QUALITY).json()["judgements"] == 1
    kept = QualityReport.objects.get()
    QualityReport.objects.update(made_at=now() - timedelta(days=3))
    client.get(QUALITY)
    assert QualityReport.objects.get().newest == kept.newest
    assert QualityReport.objects.get().made_at < now() - timedelta(days=2)


@pytest.mark.law("A3")
def test_more_judgements_take_no_more_statements(agreeing, project, ada, ben):
    def count():
        with CaptureQueriesContext(connection) as context:
            quality.work_out(project, simulated=False)
        return len(context)

    few = count()
    for task in factories.TaskFactory.create_batch(20, of=project, seats=2, responses=3):
        for person in (ada, ben):
            say(person, task, responses_of(task))
    assert count() == few


def test_only_the_newest_judgements_enter_a_report_and_it_says_so(project, lea, ada, browser, monkeypatch):
    monkeypatch.setattr(quality, "LARGEST", 3)
    for _ in range(5):
        task = factories.TaskFactory(of=project)
        say(ada, task, responses_of(task))
    body = browser(lea).get(QUALITY).json()
    assert (body["judgements"], body["capped"]) == (3, True)


@pytest.mark.law("A1")
def test_annotators_do_not_see_each_others_figures(agreeing, project, ada, charlie, browser):
    assert browser(ada).get(QUALITY).status_code == 403
    assert browser(charlie).get(QUALITY).status_code == 404
    for role in (Membership.Role.REVIEWER, Membership.Role.RESEARCHER):
        person = factories.UserFactory()
        factories.MembershipFactory(project=project, user=person, role=role)
        assert browser(person).get(QUALITY).status_code == 200


def test_what_the_queue_hands_out_ends_up_in_the_report(settings_of_project, project, lea, ada, browser):
    factories.TaskFactory(of=project)
    lease = queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease
    tied = [Placement(response=each, rank=1, rating=4) for each in lease.shown]
    rankings.submit(annotator=ada, lease_id=lease.pk, placements=tied, seconds_spent=12)
    body = browser(lea).get(QUALITY).json()
    assert [place["value"] for place in body["places"]] == [0.5] * 4
