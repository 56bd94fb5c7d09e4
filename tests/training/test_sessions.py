"""Who asks: a session lets its person in until it ends, and no longer than they have an account."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils.timezone import now

from training.models import User

ME = "/api/v1/session"
PROJECTS = "/api/v1/projects"

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def rhea():
    return User.objects.create_user("rhea", password="a long password of hers")


@pytest.fixture
def browser(rhea):
    client = Client()
    client.get(ME)
    said = {"username": "rhea", "password": "a long password of hers"}
    assert client.post(ME, said, content_type="application/json").status_code == 200
    return client


def test_who_has_signed_in_is_known_at_every_request(browser):
    for _ in range(3):
        assert browser.get(PROJECTS).status_code == 200


def test_a_session_that_has_ended_lets_nobody_in(browser):
    Session.objects.update(expire_date=now() - timedelta(seconds=1))
    assert browser.get(PROJECTS).status_code == 401


def test_a_session_that_was_thrown_away_or_made_up_lets_nobody_in(browser):
    Session.objects.all().delete()
    assert browser.get(PROJECTS).status_code == 401
    browser.cookies["sessionid"] = "a" * 32
    assert browser.get(PROJECTS).status_code == 401


def test_who_was_deactivated_or_has_a_new_password_is_let_in_no_more(browser, rhea):
    rhea.set_password("another password of hers")
    rhea.save()
    assert browser.get(PROJECTS).status_code == 401
    client = Client()
    client.force_login(rhea)
    assert client.get(PROJECTS).status_code == 200
    User.objects.filter(pk=rhea.pk).update(is_active=False)
    assert client.get(PROJECTS).status_code == 401
