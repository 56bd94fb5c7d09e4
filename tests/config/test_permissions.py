"""Law A1: every endpoint for every role, as docs/reference/permissions.md says."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.utils.timezone import now
from knox.models import AuthToken
from rest_framework.test import APIClient

from labeling import import_api
from labeling.models import Conversation, Demonstration, Guidelines, Judgement, Lease, Prompt, Report, Task
from training import artifacts, checkpoints, datasets, people
from training.models import Job, Membership, Project, Schedule, User

pytestmark = pytest.mark.django_db

TABLE = settings.ROOT / "docs" / "reference" / "permissions.md"
ASKERS = ("anonymous", "outsider", "annotator", "reviewer", "researcher", "admin")
REFUSALS = {401, 403, 404}
ROWS = [
    [cell.strip() for cell in line.strip(" |").split("|")]
    for line in TABLE.read_text().splitlines()
    if re.match(r"\| (GET|POST|PUT|PATCH|DELETE) \|", line)
]
EDIT = {"edit": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "replaces": 1, "placements": [], "text": "Once."}
TURNS = [{"role": "user", "content": "Once?"}, {"role": "assistant", "content": "Upon a time."}]
BODIES = {
    "POST session": {"username": "admin", "password": "wrong"},
    "POST projects": {"name": "Another"},
    "PATCH projects/{slug}": {"description": "For the evening."},
    "PATCH projects/{slug}/members/{user_id}": {"active": False},
    "POST projects/{slug}/members/{user_id}/erase": {"username": "holder"},
    "PUT projects/{slug}/members/{user_id}/qualification": {"state": "passed"},
    "POST projects/{slug}/invitations": {"role": "annotator"},
    "PATCH projects/{slug}/labeling": {"overlap": 2},
    "POST projects/{slug}/guidelines/versions": {"text": "Be kind."},
    "POST tasks/{task_id}/settle": {"ranks": {}},
    "POST tasks/{task_id}/known-answer": {"ranks": {}, "purpose": "gold"},
    "POST judgements/{judgement_id}/reviews": {"standing": "accepted"},
    "POST demonstrations/{demonstration_id}/reviews": {"standing": "accepted"},
    "POST projects/{slug}/leases": {"kind": "ranking"},
    "PUT leases/{lease_id}/draft": {"note": "so far"},
    "POST leases/{lease_id}/skip": {"reason": "unclear"},
    "POST leases/{lease_id}/ranking": {"placements": [], "flags": [], "note": "", "seconds_spent": 1},
    "POST leases/{lease_id}/demonstration": {"text": "Once.", "seconds_spent": 1},
    "POST leases/{lease_id}/report": {"reason": "broken"},
    "POST projects/{slug}/guidelines/read": {"version": 1},
    "POST projects/{slug}/conversations/{conversation_id}/submit": {"turns": TURNS},
    "POST projects/{slug}/prompts": {"messages": []},
    "POST projects/{slug}/ranking-tasks": {"messages": []},
    "POST chat/completions": {"model": "stories/first", "messages": []},
    "POST rewards": {"project": "stories", "items": []},
    "PUT submissions/{lease_id}/ranking": EDIT,
    "PUT submissions/{lease_id}/demonstration": EDIT,
    "PUT submissions/{lease_id}/draft": {"replaces": 1, "body": {"note": "so far"}},
    "POST jobs": {"project": "stories", "kind": "policy.pretrain", "config": {"wrong": 1}},
    "PATCH schedules/{schedule_id}": {"name": "another"},
    "POST schedules": {
        "project": "stories",
        "name": "nightly",
        "kind": "policy.pretrain",
        "trigger": {"type": "cron", "cron": "0 3 * * *"},
    },
}
QUERIES = {
    **dict.fromkeys(
        ["GET jobs", "GET schedules", "GET checkpoints", "GET datasets", "GET measures", "GET models"],
        "?project=stories",
    ),
    "GET projects/{slug}/leases": "?kind=ranking",
    "GET projects/{slug}/contests": "?checkpoint={checkpoint_id}",
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """One of everything, in one project; the lease and the token belong to somebody who is never the asker."""
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")
    monkeypatch.setattr(settings, "RUNS_ROOT", tmp_path / "runs")
    monkeypatch.setattr("training.doorbell.ring", lambda *_: None)
    project = Project.objects.create(slug="stories", name="Bedtime stories")
    other = Project.objects.create(slug="other", name="Other")
    for role in Membership.Role.values:
        Membership.objects.create(project=project, role=role, user=User.objects.create(username=role))
    Membership.objects.create(project=other, role="admin", user=User.objects.create(username="outsider"))
    holder = User.objects.create(username="holder")
    Membership.objects.create(project=project, role="annotator", user=holder)
    job = Job.objects.create(project=project, kind="policy.pretrain")
    schedule = Schedule.objects.create(
        project=project, name="nightly", kind="policy.pretrain", trigger="cron", cron="0 3 * * *"
    )
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "data.jsonl").write_text("{}\n")
    digest = artifacts.Store(settings.STORE_ROOT).put(folder)
    prompt = Prompt.objects.create(project=project, messages=[], text_hash="x", group="x", split="train")
    task = Task.objects.create(project=project, kind="ranking", prompt=prompt, seats=1, seats_left=0)
    lease = Lease.objects.create(
        project=project,
        kind="ranking",
        task=task,
        annotator=holder,
        slot=1,
        shown=[],
        expires_at=now() + timedelta(hours=1),
    )
    said = {"project": project, "task": task, "lease": lease, "annotator": holder}
    invitation = people.invite(project=project, role="annotator", by=holder)
    ticket = uuid4()
    cache.set(import_api.key_of(project, ticket), {"share": 0.5, "report": None, "refused": None})
    Guidelines.objects.create(project=project, version=1, text="Be kind.")
    conversation = Conversation.objects.create(pk=uuid4(), project=project, annotator=holder, body={})
    return {
        "conversation_id": conversation.pk,
        "report_id": Report.objects.create(project=project, prompt=prompt, reporter=holder, reason="broken").pk,
        "slug": "stories",
        "user_id": holder.pk,
        "task_id": task.pk,
        "judgement_id": Judgement.objects.create(**said, form="ranking").pk,
        "demonstration_id": Demonstration.objects.create(**said, prompt=prompt, text="Once.").pk,
        "invitation_id": invitation.pk,
        "token": people.token_of(invitation),
        "ticket": ticket,
        "token_id": AuthToken.objects.create(user=holder)[0].token_key,
        "lease_id": lease.pk,
        "prompt_id": prompt.pk,
        "job_id": job.pk,
        "schedule_id": schedule.pk,
        "checkpoint_id": checkpoints.publish(project=project, kind="policy", digest=digest, card={}, name="first").pk,
        "dataset_id": datasets.publish(project=project, kind="text", digest=digest, card={"count": 1}).pk,
        "name": "data.jsonl",
    }


def client_of(asker):
    client = APIClient()
    if asker != "anonymous":
        client.force_login(User.objects.get(username=asker), backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_the_table_names_every_endpoint(tmp_path):
    call_command("spectacular", format="openapi-json", file=str(tmp_path / "schema.json"))
    paths = json.loads((tmp_path / "schema.json").read_text())["paths"]
    real = {(method.upper(), path.removeprefix("/api/v1/")) for path, methods in paths.items() for method in methods}
    assert {(method, address) for method, address, *_ in ROWS} == real


@pytest.mark.law("A1")
@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_each_asker_gets_what_the_table_says(row, asker, world):
    method, address, *cells = row
    promised = dict(zip(ASKERS, cells, strict=True))[asker]
    called = f"{method} {address}"
    url = f"/api/v1/{address}{QUERIES.get(called, '')}".format(**world)
    bodies = BODIES | {"PATCH projects/{slug}/prompts": {"prompts": [world["prompt_id"]], "priority": 2}}
    body = json.dumps(bodies.get(called, {}))
    answer = client_of(asker).generic(method, url, body, content_type="application/json")
    if promised == "yes":
        refused = answer.status_code in REFUSALS and answer.json()["code"] != "wrong_password"
        assert not refused, answer.content
    else:
        assert answer.status_code == (404 if promised == "own" else int(promised)), answer.content
    assert answer.status_code < 500


@pytest.mark.law("A1")
@pytest.mark.parametrize("address", ["jobs/{}", "schedules/{}", "checkpoints/{}", "datasets/{}/download", "leases/{}"])
def test_what_does_not_exist_and_what_is_not_yours_look_the_same(address, world):
    client = client_of("outsider")
    name = address.split("/")[0].removesuffix("s") + "_id"
    nothing = str(uuid4()) if name == "lease_id" else 10**18
    method = client.delete if name == "lease_id" else client.get
    answers = [method(f"/api/v1/{address.format(number)}") for number in (nothing, world[name])]
    assert [each.status_code for each in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()
