"""The reading room's pages in Django's admin."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from django.contrib import admin
from django.urls import reverse

from labeling.models import Guidelines, Judgement, Prompt

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", [model for model in admin.site._registry if model._meta.app_label == "labeling"])
def test_every_list_opens(admin_client, project, model):
    factories.TaskFactory(of=project)
    assert admin_client.get(reverse(f"admin:labeling_{model._meta.model_name}_changelist")).status_code == 200


def test_the_lead_writes_the_next_guidelines_and_changes_no_old_ones(admin_client, project):
    body = {
        "project": project.pk,
        "version": 1,
        "text": "Kind first.",
        "created_at_0": "2026-01-01",
        "created_at_1": "0:0",
    }
    assert admin_client.post(reverse("admin:labeling_guidelines_add"), body).status_code == 302
    first = Guidelines.objects.get()
    assert admin_client.post(reverse("admin:labeling_guidelines_change", args=[first.pk]), body).status_code == 403


def test_what_people_said_is_not_changed_by_hand(admin_client):
    for model in (Judgement, Prompt):
        assert admin_client.get(reverse(f"admin:labeling_{model._meta.model_name}_add")).status_code == 403
