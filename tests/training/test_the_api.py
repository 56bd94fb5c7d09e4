"""The ground floor over HTTP: lists by the page, live views, downloads that can be resumed, and the envelope."""

from __future__ import annotations

import hashlib
import json

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.test import AsyncClient
from rest_framework.test import APIClient

from training import artifacts, checkpoints, datasets, jobs, measures
from training.models import Attempt, Dataset, Job, Membership, Metric

pytestmark = pytest.mark.django_db

LINES = b"".join(b'{"id": "%d"}\n' % number for number in range(100_000))


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch, rung):
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")
    monkeypatch.setattr(settings, "RUNS_ROOT", tmp_path / "runs")


@pytest.fixture
def client(rhea):
    return signed_in(rhea)


def signed_in(user):
    client = APIClient()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def dataset(project, tmp_path):
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "data.jsonl").write_bytes(LINES)
    digest = artifacts.Store(settings.STORE_ROOT).put(folder)
    return datasets.publish(project=project, kind="prompts", digest=digest, card={"count": 100_000})


def content(answer):
    return b"".join(answer.streaming_content)


# --- Sessions and tokens -----------------------------------------------------------------------


def test_signing_in_and_out(rhea, project):
    client = APIClient()
    assert client.get("/api/v1/session").status_code == 401
    assert "csrftoken" in client.cookies
    wrong = client.post("/api/v1/session", {"username": "rhea", "password": "a wrong password"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    said = client.post("/api/v1/session", {"username": "rhea", "password": "a long password"}).json()
    assert said == client.get("/api/v1/session").json()
    assert said["user"] == {"id": rhea.pk, "username": "rhea", "name": "Rhea"}
    assert said["memberships"] == [{"project": {"slug": "stories", "name": "Bedtime stories"}, "role": "researcher"}]
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get("/api/v1/session").status_code == 401


def test_signing_in_from_another_site_is_refused(rhea):
    client = APIClient(enforce_csrf_checks=True)
    answer = client.post("/api/v1/session", {"username": "rhea", "password": "a long password"})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


def test_too_many_wrong_passwords_lock_the_name_for_a_while(rhea, settings):
    settings.AXES_FAILURE_LIMIT = 3
    client = APIClient()
    answers = [client.post("/api/v1/session", {"username": "rhea", "password": "wrong"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [403, 403, 429]
    assert answers[-1].json()["code"] == "locked_out"
    right = client.post("/api/v1/session", {"username": "rhea", "password": "a long password"})
    assert right.status_code == 429


def test_a_new_password_opens_the_door_keeps_this_browser_in_and_sends_the_others_away(rhea):
    here, elsewhere = APIClient(), APIClient()
    for browser in (here, elsewhere):
        browser.post("/api/v1/session", {"username": "rhea", "password": "a long password"})
    refused = here.patch("/api/v1/session", {"current": "a wrong one", "new": "another long one"})
    assert (refused.status_code, set(refused.json()["fields"])) == (422, {"current"})
    weak = here.patch("/api/v1/session", {"current": "a long password", "new": "password"})
    assert (weak.status_code, set(weak.json()["fields"])) == (422, {"new"})
    assert here.patch("/api/v1/session", {"current": "a long password", "new": "another long one"}).status_code == 204
    assert here.get("/api/v1/session").status_code == 200
    assert elsewhere.get("/api/v1/session").status_code == 401
    assert elsewhere.post("/api/v1/session", {"username": "rhea", "password": "a long password"}).status_code == 403
    assert elsewhere.post("/api/v1/session", {"username": "rhea", "password": "another long one"}).status_code == 200


def test_nobody_has_no_password_to_change_and_guesses_at_one_lock_the_name(rhea, settings):
    settings.AXES_FAILURE_LIMIT = 3
    client = APIClient()
    assert client.patch("/api/v1/session", {"current": "a", "new": "b"}).status_code == 401
    client.post("/api/v1/session", {"username": "rhea", "password": "a long password"})
    guesses = [client.patch("/api/v1/session", {"current": "wrong", "new": "another long one"}) for _ in range(3)]
    assert [each.status_code for each in guesses] == [422, 422, 429]


def test_a_token_is_told_once_and_speaks_for_its_owner_until_it_is_ended(client, dataset):
    made = client.post("/api/v1/tokens").json()
    program = APIClient(HTTP_AUTHORIZATION=f"Token {made['token']}")
    assert program.get("/api/v1/session").json()["user"]["username"] == "rhea"
    assert content(program.get(f"/api/v1/datasets/{dataset.pk}/download")) == LINES
    (listed,) = program.get("/api/v1/tokens").json()
    assert listed["id"] == made["id"]
    assert "token" not in listed
    assert program.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert program.get("/api/v1/session").status_code == 401


# --- Jobs --------------------------------------------------------------------------------------


def test_what_nobody_started_and_nobody_promoted_names_nobody(client, project):
    job = jobs.start(project=project, kind="tiny.train")
    assert client.get(f"/api/v1/jobs/{job.pk}").json()["created_by"] is None
    policy = checkpoints.publish(project=project, kind="policy", digest="sha256:a", card={}, name="found")
    checkpoints.promote(policy)
    assert client.get(f"/api/v1/checkpoints/{policy.pk}").json()["reigns"][0]["by"] is None


def test_a_job_is_started_seen_and_cancelled(client, project):
    answer = client.post(
        "/api/v1/jobs", {"project": "stories", "kind": "tiny.train", "config": {"steps": 7}, "seed": 3}
    )
    assert answer.status_code == 201
    job = answer.json()
    assert (job["state"], job["config"]["steps"], job["seed"], job["created_by"]) == ("queued", 7, 3, "Rhea")
    assert client.get(f"/api/v1/jobs/{job['id']}").json() == job
    assert (
        client.get("/api/v1/jobs?project=stories&state=queued&kind=tiny.train").json()["results"][0]["id"] == job["id"]
    )
    assert client.post(f"/api/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    again = client.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_is_over")
    assert client.post(f"/api/v1/jobs/{job['id']}/retry").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"project": "stories", "kind": "tiny.train", "config": {"stepz": 1}}, 422, "bad_config", "stepz"),
        ({"project": "stories", "kind": "tiny.unknown"}, 422, "unknown_kind", "kind"),
        ({"project": "stories", "kind": "tiny.refine"}, 422, "bad_input", "policy"),
        ({"project": "stories"}, 400, "invalid", "kind"),
        ({"project": "elsewhere", "kind": "tiny.train"}, 404, "not_found", None),
    ],
)
def test_a_refusal_names_its_code_and_the_field(client, project, body, status, code, field):
    answer = client.post("/api/v1/jobs", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "fields"}
    assert field is None or field in answer.json()["fields"]


def test_every_kind_says_what_it_wants(client):
    kinds = {each["kind"]: each for each in client.get("/api/v1/job-kinds").json()}
    refine = kinds["tiny.refine"]
    slot = {"name": "policy", "kind": "policy", "required": True, "default": "champion", "many": False}
    assert refine["inputs"][0] == slot
    assert kinds["tiny.judged"]["inputs"][0]["many"]
    assert refine["schema"]["properties"]["steps"]["description"] == "How many numbers to add."
    assert refine["makes"] == ["policy"]


def test_curves_are_read_as_they_grow(client, project):
    job = jobs.start(project=project, kind="tiny.train")
    Metric.objects.bulk_create([Metric(job=job, name="tiny/total", step=step, value=step / 2) for step in (1, 2)])
    first = client.get(f"/api/v1/jobs/{job.pk}/metrics").json()
    assert first["series"] == {"tiny/total": [[1, 0.5], [2, 1.0]]}
    assert client.get(f"/api/v1/jobs/{job.pk}/metrics?after={first['cursor']}").json() == {**first, "series": {}}
    Metric.objects.create(job=job, name="tiny/total", step=3, value=None)
    later = client.get(f"/api/v1/jobs/{job.pk}/metrics?after={first['cursor']}").json()
    assert later["series"] == {"tiny/total": [[3, None]]}


def test_notes_and_samples_of_all_attempts_are_read_once(client, project):
    job = jobs.start(project=project, kind="tiny.train")
    Job.objects.filter(pk=job.pk).update(attempt_number=2)
    for number in (1, 2):
        folder = settings.RUNS_ROOT / str(job.pk) / f"attempt-{number}"
        folder.mkdir(parents=True)
        said = [
            {"at": number, "event": "metrics", "step": 1, "values": {}},
            {"at": number, "event": "note", "text": "Hm."},
        ]
        (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    first = client.get(f"/api/v1/jobs/{job.pk}/events").json()
    assert [(each["at"], each["text"]) for each in first["events"]] == [(1, "Hm."), (2, "Hm.")]
    assert first["cursor"] < 2**53, "a browser can hold it"
    with (settings.RUNS_ROOT / str(job.pk) / "attempt-2" / "events.jsonl").open("a") as file:
        file.write('{"at": 3, "event": "note", "text": "And on."}\n{"at": 4, "event": "no')
    later = client.get(f"/api/v1/jobs/{job.pk}/events?after={first['cursor']}").json()
    assert [each["text"] for each in later["events"]] == ["And on."]
    assert client.get(f"/api/v1/jobs/{job.pk}/events?after={later['cursor']}").json() == {**later, "events": []}


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "²"])
def test_a_cursor_that_nobody_gave_is_refused(client, project, cursor):
    job = jobs.start(project=project, kind="tiny.train")
    for address in ("jobs?cursor=", f"jobs/{job.pk}/metrics?after=", f"jobs/{job.pk}/events?after="):
        assert client.get(f"/api/v1/{address}{cursor}").status_code == 400


# --- Lists -------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gap_or_overlap_while_rows_are_added(client, project):
    made = [jobs.start(project=project, kind="tiny.train").pk for _ in range(120)]
    seen, address = [], "/api/v1/jobs?project=stories"
    while address:
        page = client.get(address).json()
        seen += [each["id"] for each in page["results"]]
        address = page["next"] and f"/api/v1/jobs?project=stories&cursor={page['next']}"
        jobs.start(project=project, kind="tiny.train")
    assert seen == made[::-1]


@pytest.mark.law("A3")
@pytest.mark.parametrize("address", ["jobs", "schedules", "checkpoints", "datasets", "projects", "tokens"])
def test_a_list_needs_as_many_queries_for_many_rows_as_for_one(
    client, rhea, project, address, django_assert_max_num_queries
):
    def fill(count):
        for number in range(count):
            key = f"{address} {count} {number}"
            job = jobs.start(project=project, kind="tiny.train", by=rhea)
            Attempt.objects.create(job=job, number=1, worker="w|1|1", host="h", boot_id="b")
            made = checkpoints.publish(project=project, kind="policy", digest="sha256:x", card={}, name=key, job=job)
            checkpoints.promote(made, by=rhea)
            Dataset.objects.create(project=project, kind="text", name=key, version=1, digest="sha256:x", count=1)
            signed_in(rhea).post(
                "/api/v1/schedules",
                {
                    "project": "stories",
                    "name": key,
                    "kind": "tiny.train",
                    "trigger": {"type": "after", "kind": "tiny.train"},
                },
            )
            other = type(project).objects.create(slug=f"p{count}-{number}", name=key)
            Membership.objects.create(project=other, user=rhea, role="annotator")
            signed_in(rhea).post("/api/v1/tokens")

    fill(1)
    with django_assert_max_num_queries(6) as few:
        assert client.get(f"/api/v1/{address}").status_code == 200
        count = len(few)
    fill(12)
    with django_assert_max_num_queries(count):
        assert client.get(f"/api/v1/{address}").status_code == 200


# --- Downloads ---------------------------------------------------------------------------------


@pytest.mark.law("A4")
def test_a_download_is_whole_and_can_be_checked(client, dataset):
    answer = client.get(f"/api/v1/datasets/{dataset.pk}/download")
    assert content(answer) == LINES
    assert answer["X-Content-SHA256"] == hashlib.sha256(LINES).hexdigest()
    assert answer["ETag"] == f'"{dataset.digest}"'
    assert int(answer["Content-Length"]) == len(LINES)
    assert answer["Content-Disposition"].endswith('.jsonl"')


@pytest.mark.law("A4")
@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-99999999999", 5, None)],
)
def test_a_broken_download_goes_on_where_it_ended(client, dataset, asked, first, end):
    answer = client.get(f"/api/v1/datasets/{dataset.pk}/download", HTTP_RANGE=asked)
    assert answer.status_code == 206
    part = LINES[first:end]
    assert content(answer) == part
    start = first if first >= 0 else len(LINES) + first
    assert answer["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(LINES)}"


@pytest.mark.law("A4")
def test_the_asynchronous_server_sends_the_same_bytes(rhea, dataset):
    async def fetch():
        client = AsyncClient()
        await client.aforce_login(rhea, backend="django.contrib.auth.backends.ModelBackend")
        answer = await client.get(f"/api/v1/datasets/{dataset.pk}/download", headers={"range": "bytes=7-"})
        return [piece async for piece in answer.streaming_content]

    pieces = async_to_sync(fetch)()
    assert b"".join(pieces) == LINES[7:]
    assert max(map(len, pieces)) < len(LINES) / 2, "it came in pieces"


@pytest.mark.law("A4")
@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=9-5", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused(client, dataset, asked):
    answer = client.get(f"/api/v1/datasets/{dataset.pk}/download", HTTP_RANGE=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(LINES)}")


@pytest.mark.law("A4")
@pytest.mark.parametrize("asked", ["lines=0-9", "bytes=a-b", "bytes=0-1,5-6", "bytes=-"])
def test_a_range_that_cannot_be_read_gives_the_whole_file(client, dataset, asked):
    answer = client.get(f"/api/v1/datasets/{dataset.pk}/download", HTTP_RANGE=asked)
    assert (answer.status_code, content(answer)) == (200, LINES)


@pytest.mark.law("A4")
def test_who_has_the_file_is_told_so_and_who_has_another_gets_this_one_whole(client, dataset):
    address, etag = f"/api/v1/datasets/{dataset.pk}/download", f'"{dataset.digest}"'
    assert client.get(address, HTTP_IF_NONE_MATCH=etag).status_code == 304
    assert client.get(address, HTTP_RANGE="bytes=5-", HTTP_IF_RANGE=etag).status_code == 206
    assert client.get(address, HTTP_RANGE="bytes=5-", HTTP_IF_RANGE='"another"').status_code == 200


def test_only_files_of_the_manifest_are_sent(client, dataset, project):
    made = checkpoints.publish(project=project, kind="policy", digest=dataset.digest, card={}, name="first")
    assert content(client.get(f"/api/v1/checkpoints/{made.pk}/files/data.jsonl")) == LINES
    for name in ("manifest.json", "../secret_key", "%2e%2e/secret_key", "nothing"):
        assert client.get(f"/api/v1/checkpoints/{made.pk}/files/{name}").status_code == 404
    (file,) = client.get(f"/api/v1/checkpoints/{made.pk}").json()["files"]
    assert file == {"name": "data.jsonl", "size": len(LINES), "sha256": hashlib.sha256(LINES).hexdigest()}


# --- Checkpoints, schedules, measures ----------------------------------------------------------


def test_an_admin_promotes_a_checkpoint_and_its_family_is_shown(project, client, adam):
    admin = signed_in(adam)
    parent = checkpoints.publish(project=project, kind="policy", digest="sha256:a", card={}, name="parent")
    child = checkpoints.publish(
        project=project,
        kind="policy",
        digest="sha256:b",
        card={"evaluation": {"kl": 1.5, "valid": {"accuracy": {"value": 0.7, "low": 0.6}}, "worst": ["…"]}},
        name="child",
        parents=["sha256:a"],
    )
    promoted = admin.post(f"/api/v1/checkpoints/{child.pk}/promote").json()
    assert promoted["is_champion"]
    assert promoted["reigns"][0]["by"] == "Adam"
    assert promoted["parents"] == [{"id": parent.pk, "kind": "policy", "name": "parent"}]
    assert promoted["metrics"] == {"kl": 1.5, "valid/accuracy": 0.7}
    assert admin.post(f"/api/v1/checkpoints/{child.pk}/promote").json()["code"] == "is_champion"
    listed = {each["name"]: each["is_champion"] for each in client.get("/api/v1/checkpoints").json()["results"]}
    assert listed == {"parent": False, "child": True}


@pytest.mark.parametrize(
    "trigger",
    [
        {"type": "at", "at": "2030-01-01T09:00:00Z"},
        {"type": "cron", "cron": "0 9 * * *", "timezone": "UTC"},
        {"type": "after", "kind": "tiny.train"},
        {"type": "measure", "measure": "tiny.count", "at_least": 40.0},
    ],
)
def test_a_schedule_reads_as_it_was_written(client, project, trigger):
    measures.register(measures.Measure(name="tiny.count", title="Count", read=lambda *_: 3.0))
    body = {"project": "stories", "name": "by itself", "kind": "tiny.train", "config": {"steps": 2}, "trigger": trigger}
    made = client.post("/api/v1/schedules", body).json()
    assert made["trigger"] == trigger
    assert (made["enabled"], made["last_job"], made["config"]) == (True, None, {"steps": 2})
    address = f"/api/v1/schedules/{made['id']}"
    assert client.patch(address, {"enabled": False}).json()["enabled"] is False
    job = client.post(f"{address}/run").json()
    assert client.get(address).json()["last_job"] == {"id": job["id"], "state": "queued"}
    assert client.delete(address).status_code == 204
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["schedule"] is None


def test_a_schedule_that_could_never_fire_is_refused(client, project):
    body = {"project": "stories", "name": "never", "kind": "tiny.train", "trigger": {"type": "cron", "cron": "x"}}
    answer = client.post("/api/v1/schedules", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_schedule")


def test_measures_are_read_for_a_project(client, project):
    measures.register(measures.Measure(name="tiny.count", title="Count", read=lambda project, _: float(project.pk)))
    assert client.get("/api/v1/measures?project=stories").json() == [
        {"name": "tiny.count", "title": "Count", "value": float(project.pk)}
    ]
