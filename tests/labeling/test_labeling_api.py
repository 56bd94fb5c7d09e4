"""The reading room over HTTP, as an annotator's browser speaks to it."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from django.utils.timezone import now

from labeling.api import Pace
from labeling.models import Judgement, Lease, Task
from training.models import Job, Membership

pytestmark = pytest.mark.django_db
LEASES = "/api/v1/projects/stories/leases"


def take(client, kind="ranking"):
    return client.post(LEASES, {"kind": kind})


def ranked(lease, ranks=(1, 2, 2, 3), ratings=(6, 4, 4, 2)):
    return {
        "placements": [
            {"response": response["id"], "rank": rank, "rating": rating, "flags": []}
            for response, rank, rating in zip(lease["task"]["responses"], ranks, ratings, strict=True)
        ],
        "flags": [],
        "note": "",
        "seconds_spent": 41.5,
    }


def test_ada_takes_a_task_ranks_it_and_gets_the_next(project, ada, browser):
    factories.TaskFactory.create_batch(2, of=project)
    client = browser(ada)
    lease = take(client).json()
    assert len(lease["task"]["responses"]) == 4
    recorded = client.post(f"/api/v1/leases/{lease['id']}/ranking", ranked(lease))
    assert recorded.status_code == 201
    judgement = Judgement.objects.get(pk=recorded.json()["id"])
    assert sorted(place.rank for place in judgement.placements.all()) == [1, 2, 2, 3]
    assert take(client).json()["task"]["id"] != lease["task"]["id"]


def test_the_same_ranking_sent_twice_is_recorded_once(project, ada, browser):
    factories.TaskFactory(of=project)
    client = browser(ada)
    lease = take(client).json()
    first, second = (client.post(f"/api/v1/leases/{lease['id']}/ranking", ranked(lease)) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert Judgement.objects.count() == 1


def test_nothing_open_is_no_content(project, ada, browser):
    assert take(browser(ada)).status_code == 204


def test_an_incomplete_ranking_is_refused_by_the_names_of_what_is_missing(project, ada, browser):
    factories.TaskFactory(of=project)
    client = browser(ada)
    lease = take(client).json()
    body = ranked(lease)
    missing = body["placements"].pop()["response"]
    refused = client.post(f"/api/v1/leases/{lease['id']}/ranking", body)
    assert refused.status_code == 422
    assert refused.json()["code"] == "incomplete_ranking"
    assert refused.json()["fields"]["placements"] == [missing]
    assert Lease.objects.get().state == Lease.State.LIVE


def test_a_better_rank_with_a_lower_rating_is_refused(project, ada, browser):
    factories.TaskFactory(of=project)
    client = browser(ada)
    lease = take(client).json()
    refused = client.post(f"/api/v1/leases/{lease['id']}/ranking", ranked(lease, (1, 2, 3, 4), (3, 4, 2, 1)))
    assert (refused.status_code, refused.json()["code"]) == (422, "contradictory_ranking")


def test_a_draft_comes_back_on_another_machine(project, ada, browser):
    factories.TaskFactory(of=project)
    lease = take(browser(ada)).json()
    body = {"placements": {"x": 1}}
    saved = browser(ada).put(f"/api/v1/leases/{lease['id']}/draft", body)
    held = browser(ada).get(LEASES, {"kind": "ranking"}).json()
    assert saved.status_code == 200
    assert [each["id"] for each in held] == [lease["id"]]
    assert held[0]["draft"] == body
    assert held[0]["task"]["responses"] == lease["task"]["responses"]


def test_nothing_shown_tells_which_checkpoint_wrote_a_response(project, ada, browser):
    """Law Q4."""
    factories.TaskFactory(of=project)
    lease = take(browser(ada)).json()
    assert all(set(response) == {"id", "text"} for response in lease["task"]["responses"])
    assert set(lease["task"]) == {"id", "prompt", "responses"}


def test_ben_cannot_touch_what_ada_holds(project, ada, ben, browser):
    factories.TaskFactory(of=project)
    lease = take(browser(ada)).json()
    client = browser(ben)
    address = f"/api/v1/leases/{lease['id']}"
    answers = [
        client.post(f"{address}/ranking", ranked(lease)),
        client.put(f"{address}/draft", {}),
        client.post(f"{address}/skip", {"reason": "unclear"}),
        client.post(f"{address}/renew"),
        client.delete(address),
    ]
    assert [each.status_code for each in answers] == [404] * 5


def test_a_stranger_learns_nothing_of_the_project(project, charlie, browser):
    client = browser(charlie)
    asked = [
        client.get(f"/api/v1/projects/stories/{page}") for page in ("progress", "guidelines", "history", "overview")
    ]
    assert [each.status_code for each in [*asked, take(client)]] == [404] * 5


def test_a_researcher_reads_and_does_not_label(project, browser):
    rosa = factories.UserFactory(username="rosa")
    factories.MembershipFactory(project=project, user=rosa, role=Membership.Role.RESEARCHER)
    client = browser(rosa)
    assert take(client).status_code == 403
    assert client.get("/api/v1/projects/stories/overview").status_code == 200


def test_progress_counts_what_was_done_and_what_is_open(project, ada, browser):
    factories.TaskFactory.create_batch(3, of=project)
    factories.TaskFactory(of=project, kind="demonstration")
    client = browser(ada)
    lease = take(client).json()
    client.post(f"/api/v1/leases/{lease['id']}/ranking", ranked(lease))
    progress = client.get("/api/v1/projects/stories/progress").json()
    assert progress["today"] == {"rankings": 1, "demonstrations": 0, "seconds_each": 41.5}
    assert progress["open"] == {"ranking": 2, "demonstration": 1}
    assert progress["being_written"] is None


@pytest.mark.both_databases
def test_progress_says_how_much_of_the_next_responses_is_written(project, ada, browser):
    def being_written(*began):
        Job.objects.all().delete()
        sampling = {"kind": "policy.sample", "config": {"place": True}, "attempt_number": 1, "heartbeat_at": now()}
        for job in began:
            Job.objects.create(project=project, **sampling | {"state": "running", "started_at": now()} | job)
        return browser(ada).get("/api/v1/projects/stories/progress").json()["being_written"]

    waits = {"state": "queued", "started_at": None}
    assert being_written() is None
    assert being_written({}) == 0
    assert being_written({"progress_done": 16, "progress_total": 64}) == 0.25
    assert being_written(waits) == 0
    assert being_written({"progress_done": 16, "progress_total": 64}, waits) == 0.25
    assert being_written({"state": "succeeded", "finished_at": now()}) is None
    assert being_written({"config": {"place": False}}) is None
    assert being_written({"kind": "policy.sft", "config": {}}) is None


def test_a_demonstration_is_written_and_shows_in_the_history(project, ada, browser):
    factories.TaskFactory(of=project, kind="demonstration")
    client = browser(ada)
    lease = take(client, "demonstration").json()
    address = f"/api/v1/leases/{lease['id']}/demonstration"
    assert client.post(address, {"text": "  "}).json()["code"] == "empty_demonstration"
    assert client.post(address, {"text": "Mina found her kite.", "seconds_spent": 60}).status_code == 201
    history = client.get("/api/v1/projects/stories/history").json()
    assert [each["lease"] for each in history["results"]] == [lease["id"]]
    assert history["next"] is None


def test_a_skip_keeps_the_task_away_from_the_one_who_skipped(project, ada, ben, browser):
    factories.TaskFactory(of=project)
    lease = take(browser(ada)).json()
    assert browser(ada).post(f"/api/v1/leases/{lease['id']}/skip", {"reason": "unclear"}).status_code == 204
    assert take(browser(ada)).status_code == 204
    assert take(browser(ben)).json()["task"]["id"] == lease["task"]["id"]


def test_the_overview_counts_people_apart_from_simulations(project, lea, ada, browser):
    factories.TaskFactory.create_batch(2, of=project)
    robot = factories.UserFactory(username="agnes", is_simulated=True)
    factories.MembershipFactory(project=project, user=robot)
    for person in (ada, robot):
        client = browser(person)
        lease = take(client).json()
        client.post(f"/api/v1/leases/{lease['id']}/ranking", ranked(lease))
    overview = browser(lea).get("/api/v1/projects/stories/overview").json()
    assert (overview["rankings"], overview["simulated_rankings"], overview["rankings_since_snapshot"]) == (1, 1, 2)
    assert overview["open_tasks"] == {"ranking": 0, "demonstration": 0}
    assert [each["round"] for each in overview["rounds"]] == [0]


def test_the_next_task_takes_few_statements(project, ada, browser, django_assert_max_num_queries):
    factories.TaskFactory.create_batch(3, of=project)
    client = browser(ada)
    take(client)  # the session's own statements are not the queue's
    with django_assert_max_num_queries(12):
        assert take(client).status_code == 201
    assert Task.objects.filter(seats_left=0).count() == 2


def test_a_script_that_runs_away_is_told_when_to_go_on_and_holds_nobody_up(project, ada, ben, browser, monkeypatch):
    monkeypatch.setattr(Pace, "a_minute", 3)
    monkeypatch.setattr(Pace, "counts", {})
    monkeypatch.setattr("labeling.api.time.time", lambda: 1000 * 60 + 15.0)
    address = "/api/v1/projects/stories/progress"
    answers = [browser(ada).get(address) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert (answers[-1].json()["code"], answers[-1]["Retry-After"]) == ("throttled", "45")
    assert browser(ben).get(address).status_code == 200
    monkeypatch.setattr("labeling.api.time.time", lambda: 1001 * 60 + 1.0)
    assert browser(ada).get(address).status_code == 200
