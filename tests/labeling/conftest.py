"""The reading room's cast: Ada and Ben label bedtime stories; Charlie is a stranger."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from rest_framework.test import APIClient

from training.models import Membership


@pytest.fixture
def project(db):
    return factories.ProjectFactory(slug="stories")


@pytest.fixture
def settings_of_project(project):
    return factories.SettingsFactory(project=project)


def member(project, username, role=Membership.Role.ANNOTATOR):
    user = factories.UserFactory(username=username)
    factories.MembershipFactory(project=project, user=user, role=role)
    return user


@pytest.fixture
def ada(project):
    return member(project, "ada")


@pytest.fixture
def ben(project):
    return member(project, "ben")


@pytest.fixture
def charlie(db):
    return factories.UserFactory(username="charlie")


@pytest.fixture
def lea(project):
    """The lead of the project."""
    return member(project, "lea", Membership.Role.ADMIN)


@pytest.fixture
def browser():
    """A client for one person: `browser(ada).post(…)`."""

    def sign_in(user):
        client = APIClient()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in
