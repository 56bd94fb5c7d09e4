"""What no database keeps is refused by name, and breaks nothing."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from labeling.models import Prompt, Task
from training.models import Membership, Project, User

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def adam():
    project = Project.objects.create(slug="stories", name="Bedtime stories")
    adam = User.objects.create_user("adam", password="a long password")
    Membership.objects.create(project=project, user=adam, role="admin")
    prompt = Prompt.objects.create(
        project=project, messages=[{"role": "user", "content": "A kite?"}], text_hash="1", split="train"
    )
    Task.objects.create(project=project, kind="demonstration", prompt=prompt)
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(adam)
    return client


@pytest.mark.parametrize("body", [r'{"text": "a\u0000b"}', r'{"a\u0000b": 1}', r'{"text": [{"deep": "\ud800"}]}'])
def test_a_draft_with_a_character_that_cannot_be_kept_is_refused(adam, body):
    lease = adam.post("/api/v1/projects/stories/leases", {"kind": "demonstration"}).json()["id"]
    refused = adam.put(f"/api/v1/leases/{lease}/draft", body, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (400, "parse_error")
    assert "cannot be kept" in refused.json()["message"]


def test_whole_characters_beyond_the_first_plane_are_kept(adam):
    lease = adam.post("/api/v1/projects/stories/leases", {"kind": "demonstration"}).json()["id"]
    body = r'{"text": "\ud83e\ude81 and \u00e9"}'
    assert adam.put(f"/api/v1/leases/{lease}/draft", body, content_type="application/json").status_code == 200
    (held,) = adam.get("/api/v1/projects/stories/leases?kind=demonstration").json()
    assert held["draft"] == {"text": "\U0001fa81 and \u00e9"}


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "labeling.snapshot", "config": {"sources": ["\x00"]}},
        {"kind": "policy.sample", "inputs": {"policy": "\x00"}},
        {"kind": "policy.sample", "name": "a\x00b"},
    ],
)
def test_no_job_or_schedule_is_made_of_it(adam, order):
    trigger = {"type": "after", "kind": "policy.ppo"}
    assert adam.post("/api/v1/jobs", {"project": "stories", **order}).status_code == 400
    assert (
        adam.post("/api/v1/schedules", {"project": "stories", "name": "it", "trigger": trigger} | order).status_code
        == 400
    )


@pytest.mark.parametrize(
    "address", ["jobs?project=%00", "jobs?kind=%00", "checkpoints?kind=a%00", "measures?project=%00"]
)
def test_a_query_with_it_is_refused(adam, address):
    refused = adam.get(f"/api/v1/{address}")
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
