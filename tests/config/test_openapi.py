"""Law A2: requests made up from the OpenAPI document never break the server, and answers are as it says."""

from __future__ import annotations

import pytest
import schemathesis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from knox.models import AuthToken
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from training import jobs
from training.models import Membership, Project, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token(tmp_path, monkeypatch):
    """An admin's token, in a project with a job."""
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")
    monkeypatch.setattr(settings, "RUNS_ROOT", tmp_path / "runs")
    monkeypatch.setattr("training.doorbell.ring", lambda *_: None)
    project = Project.objects.create(slug="stories", name="Bedtime stories")
    adam = User.objects.create_user("adam", password="a long password")
    Membership.objects.create(project=project, user=adam, role="admin")
    jobs.start(project=project, kind="labeling.snapshot", config={"what": "prompts"})
    return AuthToken.objects.create(user=adam)[1]


def operations():
    """Every operation of the document, with a loader that calls the application itself."""
    loaded = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    loaded.app = get_wsgi_application()
    return [found.ok() for found in loaded.get_all_operations()]


@pytest.mark.law("A2")
@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.label)
def test_no_request_breaks_the_server_and_answers_are_as_documented(operation, token):
    @hypothesis_settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def ask(case):
        case.headers["Authorization"] = f"Token {token}"
        case.call_and_validate(checks=[not_a_server_error, response_schema_conformance])

    ask()
