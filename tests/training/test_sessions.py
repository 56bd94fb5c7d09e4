"""Who asks: a session lets its person in until it ends, and no longer than they have an account."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import SESSION_KEY
from django.core.management import call_command
from django.test import AsyncClient, Client
from django.utils.timezone import now

from training.models import Session, User

ME = "/api/v1/session"
PROJECTS = "/api/v1/projects"

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def rhea():
    return User.objects.create_user("rhea", password="a long password of hers")


def sign_in(password):
    client = Client()
    client.get(ME)
    answer = client.post(ME, {"username": "rhea", "password": password}, content_type="application/json")
    assert answer.status_code == 200
    return client


@pytest.fixture
def browser(rhea):
    return sign_in("a long password of hers")


def test_who_has_signed_in_is_known_at_every_request_by_one_statement(browser, rhea, django_assert_num_queries):
    for _ in range(3):
        assert browser.get(PROJECTS).status_code == 200
    with django_assert_num_queries(1):
        assert browser.put(PROJECTS).status_code == 405, "that is known once it is known who asks"
    assert Session.objects.get().user == rhea


def test_a_session_holds_who_signed_in_and_how_and_nothing_else(browser, rhea):
    session = Session.objects.get()
    assert session.get_decoded().pop(SESSION_KEY) == str(session.user_id) == str(rhea.pk)
    assert len(session.session_data) < 300


def test_who_signs_out_is_not_let_in_with_the_session_that_they_had(browser):
    ended = Session.objects.get().pk
    assert browser.delete(ME).status_code == 204
    assert not Session.objects.exists()
    browser.cookies["sessionid"] = ended
    assert browser.get(PROJECTS).status_code == 401


def test_who_signs_in_where_someone_else_had_gets_a_session_of_their_own(browser, rhea):
    before = Session.objects.get().pk
    ada = User.objects.create_user("ada", password="a long password of Ada")
    said = {"username": "ada", "password": "a long password of Ada"}
    assert browser.post(ME, said, content_type="application/json").json()["user"]["id"] == ada.pk
    after = Session.objects.get()
    assert (after.user, after.pk == before) == (ada, False)


def test_a_session_of_nobody_stays_nobodys_until_someone_signs_in(rhea):
    client = Client()
    session = client.session
    session["remembered"] = "yes"
    session.save()
    assert client.get(PROJECTS).status_code == 401
    assert Session.objects.get().user is None
    client.force_login(rhea)
    assert client.get(PROJECTS).status_code == 200
    after = Session.objects.get()
    assert (after.user, after.pk == session.session_key) == (rhea, False)
    assert client.session["remembered"] == "yes"


def test_a_session_that_has_ended_lets_nobody_in(browser):
    Session.objects.update(expire_date=now() - timedelta(seconds=1))
    assert browser.get(PROJECTS).status_code == 401
    call_command("clearsessions")
    assert not Session.objects.exists()


def test_a_session_that_was_thrown_away_or_made_up_lets_nobody_in(browser):
    Session.objects.all().delete()
    assert browser.get(PROJECTS).status_code == 401
    browser.cookies["sessionid"] = "a" * 32
    assert browser.get(PROJECTS).status_code == 401


def test_a_session_whose_data_were_tampered_with_lets_nobody_in(browser):
    session = Session.objects.get()
    Session.objects.update(session_data=session.session_data[::-1])
    assert browser.get(PROJECTS).status_code == 401


def test_who_was_deactivated_is_let_in_no_more_and_again_once_they_are_back(browser, rhea):
    User.objects.filter(pk=rhea.pk).update(is_active=False)
    assert browser.get(PROJECTS).status_code == 401
    User.objects.filter(pk=rhea.pk).update(is_active=True)
    assert browser.get(PROJECTS).status_code == 200


def test_a_new_password_ends_every_session_but_the_one_that_it_was_chosen_in(browser):
    elsewhere = sign_in("a long password of hers")
    said = {"current": "a long password of hers", "new": "another password of hers"}
    assert browser.patch(ME, said, content_type="application/json").status_code == 204
    assert browser.get(PROJECTS).status_code == 200
    assert Session.objects.count() == 2
    assert elsewhere.get(PROJECTS).status_code == 401
    assert Session.objects.count() == 1, "it was thrown away"
    assert sign_in("another password of hers").get(PROJECTS).status_code == 200


def test_who_signs_in_without_waiting_is_known_too(rhea):
    client = AsyncClient()
    async_to_sync(client.aforce_login)(rhea)
    assert Session.objects.get().user == rhea
    assert async_to_sync(client.get)(PROJECTS).status_code == 200
