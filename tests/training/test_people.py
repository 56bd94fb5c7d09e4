"""Projects, invitations by link, roles, and a record of who did what that nobody can change."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core import signing
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from rest_framework.test import APIClient

from training import audit, checkpoints, people
from training.models import Deed, Invitation, Membership, Project, User, WrittenOnce

pytestmark = pytest.mark.django_db
HERE = "/api/v1/projects/stories"
NEW = {"username": "nora", "name": "Nora", "password": "seven kites over the hill"}


@pytest.fixture
def lea(project):
    """The project's one admin."""
    person = User.objects.create_user("lea", password="a long password", name="Lea")
    Membership.objects.create(project=project, user=person, role="admin")
    return person


def signed_in(user):
    client = APIClient()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def member(project, username, role="annotator"):
    person = User.objects.create_user(username, password="a long password", name=username.title())
    Membership.objects.create(project=project, user=person, role=role)
    return person


# --- Projects ------------------------------------------------------------------------------------


def test_who_leads_a_project_may_create_another_and_leads_it(project, lea):
    made = signed_in(lea).post("/api/v1/projects", {"name": "Näh-Anleitungen & more"})
    assert (made.status_code, made.json()["slug"], made.json()["role"]) == (201, "nah-anleitungen-more", "admin")
    assert made.json()["settings"]["overlap"] == 1
    again = signed_in(lea).post("/api/v1/projects", {"name": "Other", "slug": "stories"})
    assert (again.status_code, again.json()["code"]) == (409, "slug_taken")
    assert signed_in(lea).post("/api/v1/projects", {"name": "日本"}).json()["code"] == "no_slug"
    assert Deed.objects.get(did="project.created", project__slug="nah-anleitungen-more").by == lea


def test_others_may_not_and_the_page_knows(project, lea):
    ada = signed_in(member(project, "ada"))
    assert ada.post("/api/v1/projects", {"name": "Mine"}).status_code == 403
    assert ada.get("/api/v1/session").json()["may_create_projects"] is False
    assert signed_in(lea).get("/api/v1/session").json()["may_create_projects"] is True


def test_a_project_gets_another_name_and_keeps_its_address(project, lea):
    signed_in(lea).patch(HERE, {"name": "Evening stories"})
    project.refresh_from_db()
    assert (project.name, project.slug) == ("Evening stories", "stories")
    assert Deed.objects.get().details == {"before": {"name": "Bedtime stories"}, "after": {"name": "Evening stories"}}


def test_the_shell_creates_a_project_and_a_link_for_its_first_admin():
    told = StringIO()
    call_command("create_project", "First of all", stdout=told)
    link = told.getvalue().split("/join/")[1].strip()
    assert APIClient().post(f"/api/v1/invitations/{link}", NEW).status_code == 201
    assert Membership.objects.get(user__username="nora").role == "admin"
    call_command("create_project", "Second", admin="nora", stdout=StringIO())
    assert Membership.objects.filter(user__username="nora", role="admin").count() == 2
    with pytest.raises(CommandError, match="Nobody here is called"):
        call_command("create_project", "Third", admin="nobody")
    assert not Project.objects.filter(name="Third").exists()


# --- Invitations ---------------------------------------------------------------------------------


@pytest.fixture
def link(project, lea):
    made = signed_in(lea).post(f"{HERE}/invitations", {"role": "reviewer", "meant_for": "Nora from the library"})
    assert made.status_code == 201
    return f"/api/v1/invitations/{made.json()['token']}"


@pytest.mark.both_databases
def test_a_link_makes_an_account_in_the_role_that_it_carries_and_signs_in_at_once(project, link):
    nora = APIClient()
    shown = nora.get(link).json()
    assert (shown["project"], shown["role"], shown["invited_by"]) == ("Bedtime stories", "reviewer", "Lea")
    joined = nora.post(link, NEW)
    assert joined.status_code == 201, joined.content
    assert nora.get("/api/v1/session").json()["memberships"][0]["role"] == "reviewer"
    assert User.objects.get(username="nora").check_password(NEW["password"])
    assert Invitation.objects.get().accepted_by.username == "nora"


@pytest.mark.both_databases
def test_a_link_is_good_once(project, link):
    assert APIClient().post(link, NEW).status_code == 201
    second = APIClient().post(link, NEW | {"username": "olga"})
    assert (second.status_code, second.json()["code"]) == (410, "invitation_over")
    assert not User.objects.filter(username="olga").exists()


def test_nobody_takes_the_name_that_is_kept_for_who_was_erased(project, link):
    refused = APIClient().post(link, NEW | {"username": "erased-7"})
    assert (refused.status_code, set(refused.json()["fields"])) == (422, {"username"})
    assert APIClient().post(link, NEW).status_code == 201


def test_someone_with_an_account_joins_as_who_they_are(project, link):
    elsewhere = User.objects.create_user("otto", password="a long password")
    assert signed_in(elsewhere).post(link, {}).status_code == 201
    assert Membership.objects.get(user=elsewhere).role == "reviewer"
    assert User.objects.filter(username="otto").count() == 1


def test_a_link_that_is_over_forged_or_taken_back_opens_nothing(project, lea, link):
    invitation = Invitation.objects.get()
    forged = signing.dumps({"invitation": invitation.pk, "role": "admin"}, salt="another salt")
    assert APIClient().get(f"/api/v1/invitations/{forged}").status_code == 404
    invitation.role = "admin"
    assert APIClient().get(f"/api/v1/invitations/{people.token_of(invitation)}").status_code == 404
    Invitation.objects.update(expires_at=now() - timedelta(seconds=1))
    assert APIClient().post(link, NEW).json()["code"] == "invitation_over"
    Invitation.objects.update(expires_at=now() + timedelta(days=1))
    assert signed_in(lea).delete(f"{HERE}/invitations/{invitation.pk}").status_code == 204
    assert "taken back" in APIClient().get(link).json()["message"]
    assert signed_in(lea).get(f"{HERE}/invitations").json()["results"][0]["token"] is None


@pytest.mark.parametrize(
    ("account", "field"),
    [
        ({"username": "lea"}, "username"),
        ({"username": "with spaces"}, "username"),
        ({"password": "12345678"}, "password"),
        ({"password": "nora"}, "password"),
        ({"password": ""}, "password"),
    ],
)
def test_an_account_that_cannot_be_is_refused_at_its_field_and_the_link_stays_good(link, account, field):
    refused = APIClient().post(link, NEW | account)
    assert refused.status_code in {400, 422}
    assert field in refused.json()["fields"]
    assert APIClient().post(link, NEW).status_code == 201


def test_joining_from_another_site_is_refused(link):
    assert APIClient(enforce_csrf_checks=True).post(link, NEW).status_code == 403


# --- Members -------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_member_gets_another_role_and_may_do_what_it_allows(project, lea):
    ada = member(project, "ada")
    assert signed_in(ada).get(f"{HERE}/members").status_code == 403
    assert signed_in(lea).patch(f"{HERE}/members/{ada.pk}", {"role": "reviewer"}).json()["role"] == "reviewer"
    assert signed_in(ada).get(f"{HERE}/members").status_code == 200
    deed = Deed.objects.get(did="person.role_changed")
    assert (deed.by, deed.to, deed.details) == (lea, ada, {"before": "annotator", "after": "reviewer"})


@pytest.mark.both_databases
def test_a_project_is_closed_to_who_is_deactivated_and_opened_again(project, lea):
    ada = member(project, "ada")
    client, address = signed_in(ada), f"{HERE}/members/{ada.pk}"
    assert signed_in(lea).patch(address, {"active": False}).json()["deactivated_at"]
    assert client.get(HERE).status_code == 404
    assert client.get("/api/v1/session").json()["memberships"] == []
    assert client.get("/api/v1/projects").json()["results"] == []
    signed_in(lea).patch(address, {"active": True})
    assert client.get(HERE).json()["role"] == "annotator"
    assert [deed.did for deed in Deed.objects.order_by("pk")] == ["person.deactivated", "person.reactivated"]


@pytest.mark.both_databases
@pytest.mark.parametrize("change", [{"role": "annotator"}, {"active": False}])
def test_a_project_keeps_one_admin(project, lea, change):
    address = f"{HERE}/members/{lea.pk}"
    assert signed_in(lea).patch(address, change).json()["code"] == "last_admin"
    member(project, "lou", role="admin")
    assert signed_in(lea).patch(address, change).status_code == 200


@pytest.mark.law("A3")
def test_more_members_and_deeds_take_no_more_statements(project, lea):
    client = signed_in(lea)

    def count(address):
        with CaptureQueriesContext(connection) as context:
            assert client.get(f"{HERE}/{address}").status_code == 200
        return len(context)

    def fill(first, last):
        for number in range(first, last):
            person = member(project, f"person{number}")
            audit.record(project=project, by=lea, did="person.role_changed", to=person)
            people.invite(project=project, role="annotator", by=lea)

    fill(0, 2)
    few = [count(each) for each in ("members", "deeds", "invitations")]
    fill(2, 60)
    assert [count(each) for each in ("members", "deeds", "invitations")] == few


# --- Who did what --------------------------------------------------------------------------------


def test_a_deed_is_written_once(project, lea):
    deed = audit.record(project=project, by=lea, did="project.changed")
    for change in (deed.save, deed.delete, Deed.objects.all().delete, lambda: Deed.objects.update(about="nothing")):
        with pytest.raises(WrittenOnce):
            change()
    with pytest.raises(KeyError):
        audit.record(project=project, by=lea, did="nothing.known")


def test_deeds_are_found_by_person_and_by_kind_and_name_people_by_their_rows(project, lea):
    ada = member(project, "ada")
    client = signed_in(lea)
    client.patch(HERE, {"description": "For the evening."})
    client.patch(f"{HERE}/members/{ada.pk}", {"role": "researcher"})
    policy = checkpoints.publish(project=project, kind="policy", digest="sha256:0", card={}, name="first")
    checkpoints.promote(policy, by=ada)
    all_of_them = client.get(f"{HERE}/deeds").json()
    assert [each["did"] for each in all_of_them["results"]] == [
        "checkpoint.promoted",
        "person.role_changed",
        "project.changed",
    ]
    assert {"did": "person.role_changed", "words": "changed the role of"} in all_of_them["kinds"]
    [by_ada] = client.get(f"{HERE}/deeds", {"by": ada.pk}).json()["results"]
    assert (by_ada["by"]["name"], by_ada["words"], by_ada["about"]) == ("Ada", "made the champion", "first")
    assert len(client.get(f"{HERE}/deeds", {"did": "person.role_changed"}).json()["results"]) == 1
