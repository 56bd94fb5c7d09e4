"""What else an annotator meets: guidelines to read, responses to start from, prompts to report, their days."""

from __future__ import annotations

from datetime import timedelta

import labeling_factories as factories
import pytest
from django.utils.timezone import now

from labeling import demonstrations, progress, queue, snapshots
from labeling.config import SnapshotConfig
from labeling.models import Demonstration, Lease, Report
from training.models import Checkpoint, Membership
from training.records import DemonstrationLine, read_lines

pytestmark = pytest.mark.django_db
PROJECT = "/api/v1/projects/stories"
TEXTS = ("It flew.", "It fell.", "It flew.", "It sang.")


def take(client, kind="ranking"):
    return client.post(f"{PROJECT}/leases", {"kind": kind}).json()


# --- Guidelines -----------------------------------------------------------------------------------


def test_guidelines_are_read_once_and_again_when_they_change(project, ada, ben, browser):
    client = browser(ada)
    assert client.get(f"{PROJECT}/guidelines").json() == {"version": None, "text": "", "read": None, "read_text": ""}
    factories.GuidelinesFactory(project=project, version=1, text="Be kind.")
    assert client.get(f"{PROJECT}/guidelines").json()["read"] is None
    assert client.post(f"{PROJECT}/guidelines/read", {"version": 1}).status_code == 204
    factories.GuidelinesFactory(project=project, version=2, text="Be true.")
    now_in_force = client.get(f"{PROJECT}/guidelines").json()
    assert now_in_force == {"version": 2, "text": "Be true.", "read": 1, "read_text": "Be kind."}
    assert browser(ben).get(f"{PROJECT}/guidelines").json()["read"] is None
    assert client.post(f"{PROJECT}/guidelines/read", {"version": 9}).status_code == 404


def test_what_is_judged_after_reading_stands_under_the_new_version(project, ada, browser):
    """Law D3."""
    factories.GuidelinesFactory(project=project, version=1)
    factories.TaskFactory.create_batch(2, of=project, kind="demonstration")
    client = browser(ada)
    first, second = take(client, "demonstration"), take(client, "demonstration")
    client.post(f"/api/v1/leases/{first['id']}/demonstration", {"text": "Under the old."})
    factories.GuidelinesFactory(project=project, version=2)
    for _ in range(2):
        client.post(f"{PROJECT}/guidelines/read", {"version": 2})
    client.post(f"/api/v1/leases/{second['id']}/demonstration", {"text": "Under the new."})
    assert dict(Demonstration.objects.values_list("text", "guidelines_version")) == {
        "Under the old.": 1, "Under the new.": 2,
    }  # fmt: skip


# --- Starting from a response ----------------------------------------------------------------------


@pytest.fixture
def sampled(project):
    """A demonstration task whose prompt a model has answered, twice with the same words."""
    task = factories.TaskFactory(of=project, kind="demonstration")
    policy = Checkpoint.objects.create(project=project, kind="policy", name="first", digest="sha256:1")
    for text in TEXTS:
        factories.ResponseFactory(prompt=task.prompt, text=text, checkpoint=policy)
    return task


def test_responses_are_shown_when_asked_for_and_who_has_seen_them_is_known(sampled, ada, browser):
    """Law Q4."""
    client = browser(ada)
    lease = take(client, "demonstration")
    assert (lease["samples"], lease["task"]["responses"]) == (True, [])
    assert Lease.objects.get().shown == []
    shown, again = (client.post(f"/api/v1/leases/{lease['id']}/responses").json() for _ in range(2))
    assert shown == again
    assert sorted(each["text"] for each in shown) == sorted(set(TEXTS))
    assert all(set(each) == {"id", "text"} for each in shown)
    assert Lease.objects.get().shown == [each["id"] for each in shown]
    [held] = client.get(f"{PROJECT}/leases", {"kind": "demonstration"}).json()
    assert held["task"]["responses"] == shown


def test_a_demonstration_says_which_response_it_started_from(sampled, project, ada, browser, tmp_path):
    client = browser(ada)
    address = f"/api/v1/leases/{take(client, 'demonstration')['id']}"
    begun = next(each for each in client.post(f"{address}/responses").json() if each["text"] == "It fell.")
    client.post(f"{address}/demonstration", {"text": "It fell softly.", "started_from": begun["id"]})
    assert Demonstration.objects.get().started_from.text == "It fell."
    submission = client.get(address.replace("leases", "submissions")).json()
    assert submission["word"]["started_from"] == begun["id"]
    assert begun in submission["task"]["responses"]
    snapshots.write(project, SnapshotConfig(what="demonstrations"), tmp_path)
    assert [line.started_from for line in read_lines(DemonstrationLine, tmp_path)] == [begun["id"]]


def test_nobody_starts_from_what_they_were_not_shown(sampled, ada, browser):
    client = browser(ada)
    address = f"/api/v1/leases/{take(client, 'demonstration')['id']}"
    unseen = str(sampled.prompt.responses.first().pk)
    refused = client.post(f"{address}/demonstration", {"text": "It fell.", "started_from": unseen})
    assert (refused.status_code, refused.json()["code"]) == (422, "not_shown")
    assert Lease.objects.get().state == "live"


def test_what_people_wrote_is_nothing_to_start_from_and_a_task_that_is_over_shows_no_more(project, ada, browser):
    task = factories.TaskFactory(of=project, kind="demonstration")
    factories.ResponseFactory(prompt=task.prompt, author=ada)
    client = browser(ada)
    lease = take(client, "demonstration")
    assert lease["samples"] is False
    assert client.post(f"/api/v1/leases/{lease['id']}/responses").json() == []
    demonstrations.submit(annotator=ada, lease_id=lease["id"], text="Home.")
    assert client.post(f"/api/v1/leases/{lease['id']}/responses").json()["code"] == "lease_closed"


# --- Reports ---------------------------------------------------------------------------------------


def test_a_reported_prompt_stays_until_someone_who_reviews_has_looked(project, ada, lea, browser):
    factories.TaskFactory(of=project)
    lease = take(browser(ada))
    address = f"/api/v1/leases/{lease['id']}/report"
    made = browser(ada).post(address, {"reason": "broken"})
    again = browser(ada).post(address, {"reason": "harmful", "note": "It asks for poison."})
    assert (made.status_code, again.status_code) == (201, 200)
    assert Lease.objects.get().state == "live"
    [row] = browser(lea).get(f"{PROJECT}/reports").json()["results"]
    assert (row["reason"], row["note"], row["reporter"]) == ("harmful", "It asks for poison.", "Ada")
    assert row["title"].startswith("Tell me")
    settled = browser(lea).post(f"/api/v1/reports/{row['id']}/settle").json()
    assert (settled["settled_by"], settled["settled_at"] is None) == ("Lea", False)
    assert browser(lea).get(f"{PROJECT}/reports").json()["results"] == []
    assert len(browser(lea).get(f"{PROJECT}/reports", {"settled": "true"}).json()["results"]) == 1
    assert browser(ada).post(address, {"reason": "broken"}).status_code == 201


def test_that_a_report_was_looked_at_can_be_taken_back_unless_it_was_made_anew(project, ada, lea, browser):
    factories.TaskFactory(of=project)
    address = f"/api/v1/leases/{take(browser(ada))['id']}/report"
    number = browser(ada).post(address, {"reason": "broken"}).json()["id"]
    settle = f"/api/v1/reports/{number}/settle"
    browser(lea).post(settle)
    for _ in range(2):
        assert browser(lea).delete(settle).json()["settled_by"] is None
    assert [row["id"] for row in browser(lea).get(f"{PROJECT}/reports").json()["results"]] == [number]
    browser(lea).post(settle)
    anew = browser(ada).post(address, {"reason": "harmful"}).json()["id"]
    assert browser(lea).delete(settle).json()["settled_by"] == "Lea"
    assert [row["id"] for row in browser(lea).get(f"{PROJECT}/reports").json()["results"]] == [anew]


def test_who_may_read_and_settle_reports(project, ada, ben, charlie, browser):
    factories.TaskFactory(of=project)
    lease = take(browser(ada))
    assert browser(ben).post(f"/api/v1/leases/{lease['id']}/report", {"reason": "broken"}).status_code == 404
    browser(ada).post(f"/api/v1/leases/{lease['id']}/report", {"reason": "broken"})
    number = Report.objects.get().pk
    assert browser(ada).get(f"{PROJECT}/reports").status_code == 403
    assert [browser(person).post(f"/api/v1/reports/{number}/settle").status_code for person in (ada, charlie)] == [
        403,
        404,
    ]
    assert browser(ada).post(f"/api/v1/reports/{10**18}/settle").status_code == 404
    assert browser(ada).post(f"/api/v1/reports/{10**30}/settle").status_code == 404


# --- Days ------------------------------------------------------------------------------------------


def test_each_day_counts_what_was_submitted_on_it_and_changes_count_once(project, ada, ben):
    factories.MembershipFactory(project=project, user=factories.UserFactory(), role=Membership.Role.ANNOTATOR)
    for person, age in ((ada, 0), (ada, 0), (ada, 3), (ada, 20), (ben, 0)):
        factories.TaskFactory(of=project, kind="demonstration")
        lease = queue.lease_next(annotator=person, slug="stories", kind="demonstration").lease
        said, _ = demonstrations.submit(annotator=person, lease_id=lease.pk, text="Home.")
        Demonstration.objects.filter(pk=said.pk).update(created_at=now() - timedelta(days=age))
    days = progress.days(ada, project)
    assert (len(days), days[-1].day) == (progress.DAYS, now().date())
    assert {progress.DAYS - 1 - place: day.demonstrations for place, day in enumerate(days) if day.demonstrations} == {
        0: 2, 3: 1,
    }  # fmt: skip
