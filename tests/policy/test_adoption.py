"""A policy from elsewhere is published whole, and of its folder nothing that is no model's."""

from __future__ import annotations

import json

import pytest
from django.conf import settings

from training import artifacts, checkpoints, jobs, launcher
from training.models import Job, Project

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project():
    return Project.objects.create(slug="stories", name="Stories")


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model, with something beside it that is nobody's business."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "secrets.json").write_text("{}")
    return folder


def adopted(project, model):
    job = jobs.start(project=project, kind="policy.adopt", config={"model": str(model)})
    launcher.answer_for(job.pk)
    return Job.objects.get(pk=job.pk)


def test_a_first_policy_becomes_base_and_champion_and_a_second_neither(project, model):
    first = adopted(project, model)
    (model / "model.safetensors").write_bytes(b"other weights")
    second = adopted(project, model)
    assert (first.state, second.state) == ("succeeded", "succeeded")
    project.refresh_from_db()
    assert project.base_policy == first.output_digest
    assert checkpoints.champion(project, "policy").digest == first.output_digest
    assert second.output_digest != first.output_digest


def test_only_the_files_of_a_model_are_taken(project, model):
    job = adopted(project, model)
    folder = artifacts.Store(settings.STORE_ROOT).fetch(job.output_digest)
    assert {file.name for file in folder.iterdir()} == {
        "card.json",
        "config.json",
        "manifest.json",
        "model.safetensors",
    }
    assert json.loads((folder / "card.json").read_text())["source"] == str(model)


def test_what_is_no_model_is_refused_by_name(project, model):
    (model / "model.safetensors").unlink()
    job = adopted(project, model)
    assert (job.state, job.error_code) == ("failed", "no_such_policy")
    assert "safetensors" in job.error_message
