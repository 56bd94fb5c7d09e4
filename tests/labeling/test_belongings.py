"""What is held of one person: given back when they leave, exported whole, and forgotten but for their labels."""

from __future__ import annotations

import json
from io import StringIO
from uuid import uuid4

import labeling_factories as factories
import pytest
from django.conf import settings
from django.core.management import call_command
from knox.models import AuthToken
from rest_framework.test import APIClient

from labeling import acknowledgements, conversing, drafts, imports, queue, rankings, reports, submissions
from labeling.models import Conversation, Draft, Judgement, Task
from training.models import Deed, Membership, User
from training.records import Placement, RankingLine, read_lines

pytestmark = pytest.mark.django_db(transaction=True)  # a snapshot is taken in a thread of its own
MEMBERS = "/api/v1/projects/stories/members"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")


def say(person, note=""):
    lease = queue.lease_next(annotator=person, slug="stories", kind="ranking").lease
    tied = [Placement(response=each, rank=1, rating=4) for each in lease.shown]
    return rankings.submit(annotator=person, lease_id=lease.pk, placements=tied, note=note)[0]


@pytest.fixture
def said(settings_of_project, project, ada, ben):
    """Ada and Ben judged a task, Ada changed her mind, and holds another task with a draft."""
    factories.TaskFactory(of=project, seats=2, responses=2, priority=1)
    factories.TaskFactory(of=project, responses=2)
    word = say(ada, note="I know this road.")
    say(ben)
    placed = [Placement(response=each, rank=1, rating=5) for each in word.shown]
    submissions.change_ranking(
        annotator=ada, lease_id=word.lease_id, edit=word.lease_id, replaces=word.pk, placements=placed
    )
    lease = queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease
    drafts.save(annotator=ada, lease_id=lease.pk, body={"half": "done"})
    return lease


def snapshot():
    call_command("snapshot", "--project", "stories", stdout=StringIO())


@pytest.mark.both_databases
@pytest.mark.law("Q1")
def test_what_a_deactivated_person_held_goes_back_once_and_their_draft_is_kept(said, project, ada, ben, lea, browser):
    for _ in range(2):
        browser(lea).patch(f"{MEMBERS}/{ada.pk}", {"active": False})
    task = Task.objects.get(pk=said.task_id)
    assert (task.seats, task.seats_left, task.served) == (1, 1, 0)
    assert Draft.objects.get(lease=said).body == {"half": "done"}
    assert browser(ada).put(f"/api/v1/leases/{said.pk}/draft", {"more": 1}).status_code == 404
    browser(lea).patch(f"{MEMBERS}/{ada.pk}", {"active": True})
    assert queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease.pk == said.pk


def test_an_export_holds_every_word_past_ones_too_and_what_was_begun_read_and_reported(
    said, project, ada, lea, browser
):
    conversing.save(annotator=ada, project=project, conversation_id=uuid4(), body={"turns": ["half"]})
    reports.report(annotator=ada, lease_id=said.pk, reason="broken", note="I cannot read it.")
    factories.GuidelinesFactory(project=project, version=1)
    acknowledgements.acknowledge(annotator=ada, project=project, version=1)
    snapshot()
    answer = browser(lea).post(f"{MEMBERS}/{ada.pk}/export")
    data = json.loads(answer.content)
    assert "attachment" in answer.headers["Content-Disposition"]
    assert (data["person"]["username"], data["membership"]["role"]) == ("ada", "annotator")
    first, second = data["labeling"]["judgements"]
    assert (first["note"], first["is_current"], second["is_current"]) == ("I know this road.", False, True)
    assert [each["rating"] for each in second["placements"]] == [5, 5]
    assert data["labeling"]["drafts"][0]["body"] == {"half": "done"}
    assert [each["words"] for each in data["datasets"]] == [1]
    [begun] = data["labeling"]["unfinished_conversations"]
    assert begun["body"] == {"turns": ["half"]}
    [reported] = data["labeling"]["reports"]
    assert (reported["reason"], reported["note"]) == ("broken", "I cannot read it.")
    assert [each["guidelines__version"] for each in data["labeling"]["guidelines_read"]] == [1]
    assert "ben" not in answer.content.decode().lower()
    assert Deed.objects.get(did="person.exported").to == ada


@pytest.mark.both_databases
def test_an_erased_person_is_nobody_any_more_their_labels_stay_and_their_datasets_are_listed(
    said, project, ada, lea, browser, tmp_path
):
    ada.set_password("a long password")
    ada.email = "ada@stories.example"
    ada.save()
    _, token = AuthToken.objects.create(user=ada)
    client = browser(ada)
    conversing.save(annotator=ada, project=project, conversation_id=uuid4(), body={"turns": ["half"]})
    snapshot()
    listed = browser(lea).get(f"{MEMBERS}/{ada.pk}/datasets").json()["datasets"]
    assert browser(lea).post(f"{MEMBERS}/{ada.pk}/erase", {"username": "Ada"}).json()["code"] == "not_the_name"
    erased = browser(lea).post(f"{MEMBERS}/{ada.pk}/erase", {"username": "ada"})
    assert erased.json()["datasets"] == listed
    assert [(each["kind"], each["words"]) for each in listed] == [("rankings", 1)]
    person = User.objects.get(pk=ada.pk)
    assert (person.username, person.name, person.email, person.is_active) == (
        f"erased-{ada.pk}",
        f"annotator-{ada.pk}",
        "",
        False,
    )
    assert client.get("/api/v1/session").status_code == 401
    assert APIClient().get("/api/v1/projects", headers={"Authorization": f"Token {token}"}).status_code == 401
    assert Judgement.objects.filter(annotator=ada).count() == 2
    assert not Draft.objects.exists()
    assert not Conversation.objects.exists()
    for page in (MEMBERS, "/api/v1/projects/stories/deeds", "/api/v1/projects/stories/quality"):
        assert '"ada"' not in browser(lea).get(page).content.decode().lower()
    snapshot()
    [line] = read_lines(RankingLine, newest_folder(project))
    assert {word.annotator for word in line.judgements} > {f"annotator-{ada.pk}"}


def newest_folder(project):
    digest = project.datasets.order_by("-pk").first().digest
    return settings.STORE_ROOT / digest.removeprefix("sha256:")


def test_nobody_is_erased_by_those_who_lead_only_some_of_their_projects(said, ada, lea, browser):
    elsewhere = factories.ProjectFactory()
    factories.MembershipFactory(project=elsewhere, user=ada)
    refused = browser(lea).post(f"{MEMBERS}/{ada.pk}/erase", {"username": "ada"})
    assert (refused.status_code, refused.json()["code"]) == (409, "belongs_elsewhere")
    assert elsewhere.slug not in refused.content.decode()
    Membership.objects.create(project=elsewhere, user=lea, role="admin")
    assert browser(lea).post(f"{MEMBERS}/{ada.pk}/erase", {"username": "ada"}).status_code == 200


def test_an_annotator_whom_a_file_named_is_exported_and_erased_too(
    settings_of_project, project, lea, browser, tmp_path
):
    file = tmp_path / "rankings.jsonl"
    record = {
        "id": "x",
        "source": "s",
        "prompt": "Rank these?",
        "responses": {"m1": "First.", "m2": "Second."},
        "annotations": [{"annotator": "zoe@crowd", "type": "ranking", "data": ["m2", "m1"]}],
    }
    file.write_text(json.dumps(record) + "\n")
    imports.import_judgements(project=project, path=file, options=imports.Options())
    [row] = browser(lea).get(MEMBERS, {"q": "zoe"}).json()["results"]
    assert (row["has_account"], bool(row["deactivated_at"])) == (False, True)
    zoe = row["user"]
    assert b"zoe@crowd" in browser(lea).post(f"{MEMBERS}/{zoe['id']}/export").content
    assert browser(lea).post(f"{MEMBERS}/{zoe['id']}/erase", {"username": zoe["username"]}).status_code == 200
    assert "zoe" not in json.dumps(Judgement.objects.get().said)
    snapshot()
    assert "zoe" not in (newest_folder(project) / "data.jsonl").read_text()
