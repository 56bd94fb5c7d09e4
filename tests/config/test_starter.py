"""The starter project: who may sign in, what lies ready, and that loading it again changes nothing."""

from __future__ import annotations

import json
import stat

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from config import starter
from labeling.models import Demonstration, Guidelines, Prompt, Task
from training import artifacts, checkpoints, records
from training.models import Checkpoint, Dataset, Job, Membership, Project, Schedule, User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "LAUREL_HOME", tmp_path)
    monkeypatch.setattr(settings, "STORE_ROOT", tmp_path / "store")
    monkeypatch.setattr(settings, "RUNS_ROOT", tmp_path / "runs")
    monkeypatch.setattr("training.doorbell.ring", lambda *_: None)
    return tmp_path


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def everything():
    models = (Project, User, Membership, Prompt, Task, Demonstration, Guidelines, Checkpoint, Job, Schedule)
    return {model.__name__: model.objects.count() for model in models}


def test_loading_the_starter_twice_is_loading_it_once(model):
    call_command("load_starter", policy=str(model), verbosity=0)
    before, passwords = everything(), list(starter.passwords_in_force())
    call_command("load_starter", policy=str(model), verbosity=0)
    assert everything() == before
    assert list(starter.passwords_in_force()) == passwords


def test_the_starter_has_people_of_every_role_words_to_learn_from_and_work_to_do(model, home):
    call_command("load_starter", policy=str(model), verbosity=0)
    roles = {role for _, role, _ in starter.passwords_in_force()}
    assert roles == set(Membership.Role.values)
    assert stat.S_IMODE((home / "people.json").stat().st_mode) == 0o600
    assert Prompt.objects.filter(source="starter").count() >= 300
    assert Demonstration.objects.count() >= 600
    assert Task.objects.filter(kind="demonstration").exists()
    project = Project.objects.get()
    champion = checkpoints.champion(project, "policy")
    assert champion.name == "my-model"
    assert project.base_policy == champion.digest
    sample = Job.objects.get(kind="policy.sample")
    assert list(sample.waits_for.values_list("kind", flat=True)) == ["labeling.snapshot"]
    schedule = Schedule.objects.get()
    assert (schedule.after_kind, schedule.kind) == ("policy.ppo", "policy.sample")
    assert schedule.inputs == {"policy": {"trigger": True}}


def test_a_password_that_was_changed_is_not_shown_any_more(model):
    call_command("load_starter", policy=str(model), verbosity=0)
    ada = User.objects.get(username="ada")
    ada.set_password("something of her own")
    ada.save()
    assert "ada" not in [username for username, _, _ in starter.passwords_in_force()]


def test_in_production_the_passwords_are_told_once_and_kept_nowhere(model, home, monkeypatch, capsys):
    monkeypatch.setattr(settings, "PRODUCTION", True)
    call_command("load_starter", policy=str(model))
    said = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    assert set(said) == set(starter.PEOPLE)
    assert User.objects.get(username="ada").check_password(said["ada"])
    assert not (home / "people.json").exists()
    call_command("load_starter", policy=str(model))
    assert said["ada"] not in capsys.readouterr().out


def test_publishing_a_model_writes_nothing_into_its_folder(model):
    project, _ = starter.create_project()
    checkpoint = starter.publish_policy(project, str(model))
    assert [file.name for file in model.iterdir()] == ["config.json"]
    assert (artifacts.Store(settings.STORE_ROOT).fetch(checkpoint.digest) / "config.json").exists()


def test_books_become_a_dataset_whatever_else_their_lines_say(home):
    project = Project.objects.create(slug="stories", name="Stories")
    lines = [{"text": f"Once {number}.", "author": "Anon", "split": "train"} for number in range(3)]
    (home / "books.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"text": "No split."}]))
    call_command("publish_dataset", "text", str(home / "books.jsonl"))
    dataset = Dataset.objects.get(project=project)
    assert (dataset.kind, dataset.name, dataset.count) == ("text", "books", 4)
    read = list(records.read_lines(records.TextLine, artifacts.Store(settings.STORE_ROOT).fetch(dataset.digest)))
    assert [line.text for line in read][:3] == [line["text"] for line in lines]


@pytest.mark.parametrize("bad", ['{"author": "Anon"}', '"text"', "{", '{"text": ""}'])
def test_a_bad_line_is_refused_by_its_number_and_nothing_is_published(home, bad):
    Project.objects.create(slug="stories", name="Stories")
    (home / "books.jsonl").write_text(f'{{"text": "Once.", "split": "train"}}\n{bad}\n')
    with pytest.raises(CommandError, match="line 2"):
        call_command("publish_dataset", "text", str(home / "books.jsonl"))
    assert not Dataset.objects.exists()


def test_a_job_is_started_from_the_shell(capsys):
    project = Project.objects.create(slug="stories", name="Stories")
    call_command("start_job", "labeling.snapshot", "--set", "what=prompts", "--seed", "5")
    job = Job.objects.get(project=project)
    assert (job.kind, job.config["what"], job.seed) == ("labeling.snapshot", "prompts", 5)
    assert f"job {job.pk}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["policy.nothing"], "no kind of job called 'policy.nothing'"),
        (["policy.ppo", "--set", "stepz=1"], "stepz"),
        (["policy.ppo", "--input", "policy=champion"], "no champion policy checkpoint"),
        (["policy.ppo", "--set", "steps"], "KEY=VALUE"),
        (["policy.ppo", "--project", "elsewhere"], "no project 'elsewhere'"),
    ],
)
def test_what_cannot_be_started_is_refused_in_a_sentence(words, said):
    Project.objects.create(slug="stories", name="Stories")
    with pytest.raises(CommandError, match=said):
        call_command("start_job", *words)


def test_the_project_begins_with_prompts_to_answer_and_stories_on_other_topics():
    project, _ = starter.create_project()
    starter.bring_in_words(project)
    prompts = (starter.STARTER / "prompts.jsonl").read_text().splitlines()
    assert Task.objects.filter(project=project, kind="demonstration").count() == len(prompts)
    written = Demonstration.objects.filter(project=project)
    assert written.count() == starter.DEMONSTRATIONS
    asked = {json.loads(line)["prompt"] for line in prompts}
    assert not asked & {row.prompt.messages[0]["content"] for row in written.select_related("prompt")}
