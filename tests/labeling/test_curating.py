"""Prompts are found, changed together, and brought in from a page; what is in the queue follows them."""

from __future__ import annotations

import json
from uuid import uuid4

import labeling_factories as factories
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling import imports, queue, review
from labeling.models import Prompt, Task
from training.models import Deed

pytestmark = pytest.mark.django_db
PROMPTS = "/api/v1/projects/stories/prompts"
IMPORTS = "/api/v1/projects/stories/imports"


def prompt(project, text, **more):
    return factories.PromptFactory(project=project, messages=[{"role": "user", "content": text}], **more)


def upload(*records, name="some.jsonl"):
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records)
    return SimpleUploadedFile(name, text.encode())


def texts(answer):
    return [each["messages"][-1]["content"] for each in answer.json()["results"]]


@pytest.mark.both_databases
def test_prompts_are_found_by_words_split_source_tag_and_state(project, lea, browser):
    prompt(project, "A story about a LOST kite", tags=["kites", "sad"], split="train", source="a")
    prompt(project, "A story about a lost boat", tags=["boats"], split="valid", source="b")
    prompt(project, "100% kites", tags=["kites and boats"], split="test", source="b")
    client = browser(lea)
    assert texts(client.get(PROMPTS)) == ["100% kites", "A story about a lost boat", "A story about a LOST kite"]
    assert texts(client.get(PROMPTS, {"q": "kite lost"})) == ["A story about a LOST kite"]
    assert texts(client.get(PROMPTS, {"q": "100%"})) == ["100% kites"]
    assert texts(client.get(PROMPTS, {"tag": "kites"})) == ["A story about a LOST kite"]
    assert texts(client.get(PROMPTS, {"split": "valid", "source": "b"})) == ["A story about a lost boat"]
    boat = Prompt.objects.get(split="valid").pk
    client.patch(PROMPTS, {"prompts": [boat], "retired": True})
    assert texts(client.get(PROMPTS, {"retired": "true"})) == ["A story about a lost boat"]
    assert len(texts(client.get(PROMPTS, {"retired": "false"}))) == 2


@pytest.mark.both_databases
def test_a_retired_prompt_is_handed_out_no_more_and_taken_up_again_it_is(
    settings_of_project, project, ada, lea, browser
):
    task = factories.TaskFactory(of=project, responses=2)
    settled = factories.TaskFactory(of=project, responses=2, prompt=task.prompt)
    ranks = dict.fromkeys(map(str, settled.responses.values_list("pk", flat=True)), 1)
    review.settle(task=settled, by=lea, ranks=ranks)
    client = browser(lea)
    client.patch(PROMPTS, {"prompts": [task.prompt_id], "retired": True})
    assert queue.lease_next(annotator=ada, slug="stories", kind="ranking") is None
    client.patch(PROMPTS, {"prompts": [task.prompt_id], "retired": False})
    assert queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease.task_id == task.pk
    assert Task.objects.get(pk=settled.pk).state == "retired"
    assert [each.details["retired"] for each in Deed.objects.filter(did="prompts.changed").order_by("pk")] == [
        True,
        False,
    ]


@pytest.mark.both_databases
def test_a_task_of_a_retired_prompt_waits_until_the_prompt_is_taken_up(settings_of_project, project, ada, lea, browser):
    prompt = factories.PromptFactory(project=project)
    client = browser(lea)
    client.patch(PROMPTS, {"prompts": [prompt.pk], "retired": True})
    client.patch(PROMPTS, {"prompts": [prompt.pk], "demonstrate": True})
    assert queue.lease_next(annotator=ada, slug="stories", kind="demonstration") is None
    client.patch(PROMPTS, {"prompts": [prompt.pk], "retired": False})
    assert queue.lease_next(annotator=ada, slug="stories", kind="demonstration").lease.task.prompt == prompt


@pytest.mark.both_databases
def test_a_priority_moves_the_tasks_with_their_prompt_and_tags_are_added_and_taken_away(
    settings_of_project, project, ada, lea, browser
):
    first, second = factories.TaskFactory.create_batch(2, of=project, responses=2, priority=5)
    Prompt.objects.update(tags=["old", "kept"])
    change = {"prompts": [second.prompt_id], "priority": 3, "add_tags": ["new", "kept"], "remove_tags": ["old"]}
    assert browser(lea).patch(PROMPTS, change).status_code == 200
    second.prompt.refresh_from_db()
    assert (second.prompt.priority, second.prompt.tags) == (3, ["kept", "new"])
    assert list(Task.objects.order_by("pk").values_list("priority", flat=True)) == [5, 8]
    assert queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease.task_id == second.pk
    assert Prompt.objects.get(pk=first.prompt_id).tags == ["old", "kept"]


def test_people_are_asked_to_answer_prompts_once(settings_of_project, project, lea, browser):
    asked = [prompt(project, f"Question {n}?").pk for n in range(3)]
    for opened in (3, 0):
        assert browser(lea).patch(PROMPTS, {"prompts": asked, "demonstrate": True}).json() == {"opened": opened}


def test_prompts_of_another_project_are_not_changed(project, lea, browser):
    other = factories.PromptFactory()
    mine = prompt(project, "Mine?")
    assert browser(lea).patch(PROMPTS, {"prompts": [mine.pk, other.pk], "priority": 3}).status_code == 404
    assert not Prompt.objects.filter(priority=3).exists()


@pytest.mark.law("A3")
def test_more_prompts_take_no_more_statements(project, lea, browser):
    client = browser(lea)

    def count():
        with CaptureQueriesContext(connection) as context:
            client.get(PROMPTS, {"q": "kite"})
        return len(context)

    factories.PromptFactory(project=project)
    few = count()
    factories.PromptFactory.create_batch(60, project=project)
    assert count() == few


# --- From the page -------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_file_comes_in_from_the_page_and_says_what_it_did(project, lea, browser):
    ticket = uuid4()
    answer = browser(lea).post(
        IMPORTS,
        {
            "file": upload({"prompt": "One?"}, {"prompt": "one?"}, {"prompt": "Two?", "tags": ["x"]}),
            "source": "mine",
            "demonstrate": "true",
            "ticket": str(ticket),
        },
        format="multipart",
    )
    assert answer.status_code == 201, answer.content
    counts = {each["what"]: each["count"] for each in answer.json()["counts"]}
    assert (answer.json()["lines"], counts["prompts"], counts["demonstration tasks"]) == (3, 2, 2)
    told = browser(lea).get(f"{IMPORTS}/{ticket}").json()
    assert (told["share"], told["report"], told["refused"]) == (1.0, answer.json(), None)
    deed = Deed.objects.get(did="file.imported")
    assert (deed.by, deed.about, deed.details["counts"]["prompts"]) == (lea, "some.jsonl", 2)


def test_bad_lines_are_named_and_skipped_only_where_the_lead_says_so(project, lea, browser):
    bad = ({"prompt": "Good."}, "{broken", {"prompt": ""})
    refused = browser(lea).post(IMPORTS, {"file": upload(*bad)}, format="multipart")
    assert (refused.status_code, refused.json()["code"]) == (422, "import_refused")
    assert [each["line"] for each in refused.json()["fields"]["bad"]] == [2, 3]
    assert not Prompt.objects.exists()
    skipped = browser(lea).post(IMPORTS, {"file": upload(*bad), "on_error": "skip"}, format="multipart").json()
    assert (skipped["bad_count"], skipped["bad"][1]["line"]) == (2, 3)
    assert "JSON" in skipped["bad"][0]["reason"]
    assert Prompt.objects.count() == 1


def test_a_file_of_another_format_is_refused_by_name(project, lea, ada, browser):
    answer = browser(lea).post(IMPORTS, {"file": upload("PAR1", name="prompts.parquet")}, format="multipart")
    assert answer.json()["code"] == "unknown_format"
    assert browser(ada).post(IMPORTS, {"file": upload("{}")}, format="multipart").status_code == 403


# --- What an import says -------------------------------------------------------------------------


@pytest.mark.law("D1")
def test_an_import_says_how_many_lines_landed_in_another_split_and_why(project, tmp_path):
    held_out = [{"prompt": f"Held out {n}?", "response": "r", "split": "test"} for n in range(3)]
    known = prompt(project, "Known?", split="train")
    long = "Write about the same long thing again and again, please. " * 3
    file = tmp_path / "demonstrations.jsonl"
    records = [
        *held_out,
        {"prompt": "Known?", "response": "r", "split": "valid"},
        {"prompt": f"{long} One.", "response": "r", "split": "train"},
        {"prompt": f"{long} Two.", "response": "r", "split": "test"},
    ]
    file.write_text("".join(json.dumps(each) + "\n" for each in records))
    report = imports.import_demonstrations(project=project, path=file, options=imports.Options(source="s"))
    moved = {what: count for what, count in report.counts.items() if what.startswith(imports.MOVED) and count}
    assert moved == {imports.WHY_MOVED["decided_before"]: 1, imports.WHY_MOVED["group_in_file"]: 1}
    known.refresh_from_db()
    assert known.split == "train"


def test_a_file_that_holds_nothing_out_says_that_the_hash_decided(project, tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"Prompt {n}?", "split": "train"}) + "\n" for n in range(60)))
    report = imports.import_prompts(project=project, path=file, options=imports.Options())
    moved = Prompt.objects.exclude(split="train").count()
    assert moved
    assert report.counts[imports.WHY_MOVED["nothing_held_out"]] == moved


@pytest.mark.law("D1")
def test_prompts_that_share_a_long_beginning_are_left_out_where_the_lead_says_so(project, tmp_path):
    long = "Summarise the following page of the chronicle in three sentences, for a child of eight years: " * 2
    prompt(project, f"{long} the flood")
    file = tmp_path / "prompts.jsonl"
    records = [{"prompt": f"{long} {what}"} for what in ("the flood", "the fire", "the feast")] + [{"prompt": "Other?"}]
    file.write_text("".join(json.dumps(each) + "\n" for each in records))
    options = imports.Options(near="leave_out")
    report = imports.import_prompts(project=project, path=file, options=options)
    assert report.counts["prompts"] == 1
    assert report.counts["prompts known already"] == 1
    assert report.counts["prompts that share a long beginning with one before them, left out"] == 2
    assert imports.import_prompts(project=project, path=file, options=imports.Options()).counts["prompts"] == 2
