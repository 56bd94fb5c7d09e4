"""Files from elsewhere: whole or not at all, bad lines by number, and everything stored as it was said."""

from __future__ import annotations

import csv
import gzip
import json
import os
from io import StringIO
from pathlib import Path

import labeling_factories as factories
import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count

from labeling import imports, splits
from labeling.imports import ImportRefused, Options
from labeling.models import Demonstration, Judgement, Lease, Prompt, Response, Task
from training.models import User

pytestmark = pytest.mark.django_db
DATA = Path(os.environ.get("LAUREL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data is not here: no {DATA} (set LAUREL_DATA)")
SKIP = Options(on_error="skip")


@pytest.fixture
def file(tmp_path):
    """Write records as JSON lines; text goes in as it is."""

    def write(*records, name="some.jsonl"):
        path = tmp_path / name
        text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def counts_of_everything():
    return [model.objects.count() for model in (Prompt, Response, Task, Lease, Judgement, Demonstration)]


# --- Prompts -------------------------------------------------------------------------------------


def test_each_text_comes_in_once(project, file):
    path = file({"prompt": "Tell me a story."}, {"prompt": " tell  me a STORY. "}, {"prompt": "Another one."})
    report = imports.import_prompts(project=project, path=path, options=Options(source="mine"))
    again = imports.import_prompts(project=project, path=path, options=Options(source="mine"))
    assert report.counts["prompts"] == 2
    assert again.counts["prompts"] == 0
    assert set(Prompt.objects.values_list("source", flat=True)) == {"mine"}


@pytest.mark.law("D1")
def test_a_source_user_brings_two_hundred_prompts_at_most(project, file):
    """Law D1."""
    many = [{"prompt": f"Story {n}?", "source": "chat", "user": "u1"} for n in range(205)]
    other = [{"prompt": f"Tale {n}?", "source": "chat", "user": "u2"} for n in range(5)]
    path = file(*many, *other)
    for _ in range(2):
        imports.import_prompts(project=project, path=path, options=Options())
    assert Prompt.objects.filter(source_user="u1").count() == 200
    assert Prompt.objects.filter(source_user="u2").count() == 5
    assert Prompt.objects.filter(source_user="u1").values("split").distinct().count() == 1


def test_a_bad_line_refuses_the_whole_file_and_is_named(project, file):
    path = file({"prompt": "Good."}, {"prompt": ""}, "{broken", {"no": "prompt"}, {"prompt": "Good too."})
    with pytest.raises(ImportRefused) as refusal:
        imports.import_prompts(project=project, path=path, options=Options())
    assert refusal.value.fields["lines"] == [2, 3, 4]
    assert "line 3: this is not JSON" in refusal.value.message
    assert counts_of_everything() == [0] * 6


def test_bad_lines_are_skipped_where_the_user_says_so(project, file):
    path = file({"prompt": "Good."}, {"prompt": ""}, "[]", {"prompt": "Good too."})
    report = imports.import_prompts(project=project, path=path, options=SKIP)
    assert [line.number for line in report.bad] == [2, 3]
    assert Prompt.objects.count() == 2


def test_csv_and_gzip_are_read_too(project, tmp_path, file):
    table = tmp_path / "prompts.csv"
    with table.open("w", newline="") as opened:
        csv.writer(opened).writerows(
            [["prompt", "source", "tags"], ["A kite,\nlost?", "mine", "kites, sad"], ["", "x", ""]]
        )
    report = imports.import_prompts(project=project, path=table, options=SKIP)
    assert [line.number for line in report.bad] == [4]
    assert Prompt.objects.get().messages[0]["content"] == "A kite,\nlost?"
    assert Prompt.objects.get().tags == ["kites", "sad"]
    imports.import_prompts(project=project, path=file({"prompt": "Zipped."}, name="p.jsonl.gz"), options=Options())
    assert Prompt.objects.count() == 2


def test_a_byte_order_mark_before_the_first_line_is_passed_over(project, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "One?"}\n{"prompt": "Two?"}\n')
    assert imports.import_prompts(project=project, path=path, options=Options()).counts["prompts"] == 2


@pytest.mark.parametrize(
    "broken", [b'{"prompt": "One?"}', gzip.compress(b'{"prompt": "One?"}')[:-4]], ids=["plain", "cut off"]
)
def test_a_file_that_is_called_gzipped_and_is_not_is_refused(project, tmp_path, broken):
    path = tmp_path / "prompts.jsonl.gz"
    path.write_bytes(broken)
    with pytest.raises(imports.lines.UnknownFormat, match="cannot be unpacked"):
        imports.import_prompts(project=project, path=path, options=Options())
    assert not Prompt.objects.exists()


def test_an_unknown_format_is_refused(project, file):
    with pytest.raises(imports.lines.UnknownFormat):
        imports.import_prompts(project=project, path=file(name="prompts.parquet"), options=Options())


def test_people_may_be_asked_to_answer_the_prompts(project, file):
    path = file({"prompt": "One?", "priority": 3}, {"prompt": "Two?"})
    report = imports.import_prompts(project=project, path=path, options=Options(), demonstrate=True)
    assert report.counts["demonstration tasks"] == 2
    assert list(Task.objects.order_by("-priority").values_list("kind", "priority")) == [
        ("demonstration", 3),
        ("demonstration", 0),
    ]


def test_only_some_sources_and_so_many_of_each(project, file):
    path = file(*({"prompt": f"{source} {n}", "source": source} for n in range(5) for source in ("a", "b", "c")))
    imports.import_prompts(project=project, path=path, options=Options(only=frozenset({"a", "c"}), at_most=2))
    assert sorted(prompt.messages[0]["content"] for prompt in Prompt.objects.all()) == ["a 0", "a 1", "c 0", "c 1"]


def test_a_source_that_the_file_has_not_is_refused_and_those_it_has_are_named(project, file):
    path = file({"prompt": "One?", "source": "a"}, {"prompt": "Two?", "source": "b"})
    with pytest.raises(CommandError, match=r"no line of the source c, d; its sources are: a, b\."):
        call_command("import_prompts", str(path), project=project.slug, only=["c", "a", "d"])
    assert not Prompt.objects.exists()


# --- Demonstrations ------------------------------------------------------------------------------


@pytest.mark.law("D1")
def test_the_files_own_split_is_kept_by_group(project, file):
    """Law D1: what the file holds out stays held out, with everything of its group."""
    long = "Write about the same long thing. " * 5
    path = file(
        {"id": 1, "prompt": f"{long} One.", "response": "r", "split": "train"},
        {"id": 2, "prompt": f"{long} Two.", "response": "r", "split": "test"},
        {"id": 3, "prompt": "Short.", "response": "r", "split": "valid"},
    )
    imports.import_demonstrations(project=project, path=path, options=Options(source="s"))
    assert list(Prompt.objects.order_by("pk").values_list("split", flat=True)) == ["test", "test", "valid"]


def test_a_file_that_calls_everything_train_has_held_nothing_out(project, file):
    path = file(*({"id": n, "prompt": f"Prompt {n}", "response": "r", "split": "train"} for n in range(60)))
    imports.import_demonstrations(project=project, path=path, options=Options(source="s"))
    for prompt in Prompt.objects.all():
        assert prompt.split == splits.split_of(prompt.group)
    assert Prompt.objects.values("split").distinct().count() == 3


def test_a_split_that_was_decided_stays(project, file):
    prompt = factories.PromptFactory(project=project, split="valid")
    path = file(
        {"prompt": prompt.messages, "response": "r", "split": "test"},
        {"prompt": "Other.", "response": "r", "split": "train"},
    )
    imports.import_demonstrations(project=project, path=path, options=Options())
    prompt.refresh_from_db()
    assert prompt.split == "valid"


def test_an_empty_demonstration_is_refused_by_line(project, file):
    path = file({"prompt": "One?", "response": "Yes."}, {"prompt": "Two?", "response": "  "})
    with pytest.raises(ImportRefused, match="line 2: response is empty"):
        imports.import_demonstrations(project=project, path=path, options=Options())


def test_bringing_demonstrations_in_twice_changes_nothing(project, file):
    path = file(
        {"id": "d1", "prompt": "One?", "response": "Yes."}, {"prompt": "Two?", "response": "No.", "annotator": "zoe"}
    )
    for _ in range(2):
        imports.import_demonstrations(project=project, path=path, options=Options(source="s"))
    assert Demonstration.objects.count() == 2
    assert set(Demonstration.objects.values_list("annotator__name", flat=True)) == {"anonymous of s", "zoe"}
    assert not any(user.is_active or user.has_usable_password() for user in User.objects.all())


# --- Judgements ----------------------------------------------------------------------------------

RESPONSES = {"m1": "First.", "m2": "Second.", "m3": "Third."}


def judged(*annotations, responses=RESPONSES, prompt="Rank these?", **more):
    return {"id": "x", "source": "s", "prompt": prompt, "responses": responses, "annotations": list(annotations)} | more


def by_text(judgement):
    return {place.response.text: place.rank for place in judgement.placements.select_related("response")}


def test_a_ranking_is_stored_as_a_ranking(project, file):
    path = file(judged({"annotator": "zoe", "type": "ranking", "data": ["m2", "m1", "m3"]}))
    imports.import_judgements(project=project, path=path, options=Options())
    judgement = Judgement.objects.get()
    assert by_text(judgement) == {"Second.": 1, "First.": 2, "Third.": 3}
    assert (judgement.form, judgement.annotator.name, judgement.source) == ("ranking", "zoe", "s")
    assert set(judgement.placements.values_list("rating", flat=True)) == {None}


def test_verdicts_are_stored_as_verdicts_even_where_they_fit_no_order(project, file):
    circle = [
        {"a": "m1", "b": "m2", "verdict": "a"},
        {"a": "m2", "b": "m3", "verdict": "a_slight"},
        {"a": "m1", "b": "m3", "verdict": "b"},
    ]
    annotation = {"annotator": "zoe", "type": "pairwise", "data": circle}
    imports.import_judgements(project=project, path=file(judged(annotation)), options=Options())
    judgement = Judgement.objects.get()
    assert judgement.form == "verdicts"
    assert judgement.said == annotation
    assert [(v.a.text, v.b.text, v.word) for v in judgement.verdicts.order_by("pk")] == [
        ("First.", "Second.", "a"),
        ("Second.", "Third.", "a_slight"),
        ("First.", "Third.", "b"),
    ]


def test_a_judged_task_has_a_closed_seat_for_each_annotator(project, file):
    """Law Q1 holds for what was brought in: its annotators have seen the task."""
    path = file(
        judged(
            {"annotator": "zoe", "type": "ranking", "data": ["m2", "m1", "m3"]},
            {"annotator": "yan", "type": "ranking", "data": ["m1", "m2", "m3"]},
        )
    )
    imports.import_judgements(project=project, path=path, options=Options())
    task = Task.objects.get()
    assert (task.seats, task.seats_left, task.served) == (2, 0, 2)
    assert set(task.leases.values_list("state", flat=True)) == {"submitted"}


def test_people_whose_names_look_alike_stay_two(project, file):
    names = ["Ada B", "Ada-B", "Ada " + "B" * 146]
    words = [{"annotator": name, "type": "ranking", "data": ["m2", "m1", "m3"]} for name in names]
    for _ in range(2):
        imports.import_judgements(project=project, path=file(judged(*words)), options=Options())
    assert sorted(Judgement.objects.values_list("annotator__name", flat=True)) == sorted(names)
    assert User.objects.filter(username__startswith="imported-").count() == 3


def test_chosen_and_rejected_are_one_verdict_of_an_anonymous_annotator(project, file):
    path = file(
        {
            "id": 1,
            "source": "hh",
            "prompt": "Human: Hi\n\nAssistant:",
            "chosen": "Hello.",
            "rejected": "No.",
            "strength": 2,
        },
        {"id": 2, "source": "ethics", "prompt": "", "chosen": "I helped.", "rejected": "I hid."},
    )
    imports.import_judgements(project=project, path=path, options=Options())
    first, second = Judgement.objects.order_by("pk")
    assert [(v.a.text, v.b.text, v.word) for v in first.verdicts.all()] == [("Hello.", "No.", "a")]
    assert first.said == {"verdict": "a", "strength": 2}
    assert [first.annotator.name, second.annotator.name] == ["anonymous of hh", "anonymous of ethics"]
    assert (second.task.prompt.messages, second.task.prompt.group[:7]) == ([], "record:")


def test_candidates_become_a_task_to_rank_of_k_responses(project, file):
    responses = {f"m{n}": f"Response {n}." for n in range(8)}
    path = file({"id": "c", "prompt": "Rewrite.", "human_reference": "Better.", "responses": responses})
    imports.import_judgements(project=project, path=path, options=Options(source="candidates"))
    task = Task.objects.get()
    assert (task.responses.count(), task.seats_left, Response.objects.count()) == (4, 1, 8)


def test_an_empty_response_is_refused_by_line(project, file):
    with pytest.raises(ImportRefused, match="line 1: response 'm2' is empty"):
        imports.import_judgements(
            project=project, path=file(judged(responses={"m1": "A", "m2": " "})), options=Options()
        )
    assert counts_of_everything() == [0] * 6


def test_identical_responses_become_one(project, file):
    twins = {"m1": "Same.", "m2": " Same.", "m3": "Other."}
    path = file(
        judged(
            {"annotator": "zoe", "type": "ranking", "data": ["m1", "m3", "m2"]},
            {
                "annotator": "yan",
                "type": "pairwise",
                "data": [{"a": "m1", "b": "m2", "verdict": "tie"}, {"a": "m2", "b": "m3", "verdict": "b"}],
            },
            {"annotator": "xia", "type": "pairwise", "data": [{"a": "m1", "b": "m2", "verdict": "a"}]},
            responses=twins,
        )
    )
    report = imports.import_judgements(project=project, path=path, options=Options())
    ranking, verdicts = Judgement.objects.order_by("form")
    assert Response.objects.count() == 2
    assert by_text(ranking) == {"Same.": 1, "Other.": 2}
    assert [(v.a.text, v.b.text, v.word) for v in verdicts.verdicts.all()] == [("Same.", "Other.", "b")]
    assert report.counts["verdicts between identical responses left out"] == 2
    assert report.counts["annotations that compare only identical responses left out"] == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (judged({"annotator": "z", "data": ["m1", "m2"]}), "no place yet"),
        (judged({"annotator": "z", "data": [{"a": "m1", "b": "m9", "verdict": "a"}]}), "two responses of its line"),
        (judged({"annotator": "z", "data": [{"a": "m1", "b": "m2", "verdict": "better"}]}), "a verdict is one of"),
        (judged(*2 * [{"annotator": "z", "data": ["m1", "m2", "m3"]}]), "two words"),
        (judged(responses={"m1": "A", "m2": "A"}), "identical"),
        (judged(responses={"m1": "A"}), "at least two"),
        ({"prompt": "P", "chosen": "A"}, "rejected is missing"),
        (judged(prompt="Human: Hi\n\nAssistant: Ho"), "ends with the assistant"),
        (judged(split="dev"), "split must be one of"),
        (judged(prompt="A kite\x00?"), "no database keeps"),
        (judged(responses={"m1": "A", "m2": "\ud83e"}), "no database keeps"),
        (judged(source="s" * 101), "source is longer than 100"),
        (judged(source_user="u" * 151), "source_user is longer than 150"),
        (judged({"annotator": "z" * 151, "data": ["m1", "m2", "m3"]}), "annotator is longer than 150"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(project, file, record, reason):
    with pytest.raises(ImportRefused, match=f"line 1: .*{reason}"):
        imports.import_judgements(project=project, path=file(record), options=Options())


# --- Commands ------------------------------------------------------------------------------------


def test_the_command_names_what_came_in_and_what_did_not(project, file):
    out, err = StringIO(), StringIO()
    path = file({"prompt": "One?"}, {"prompt": ""})
    call_command("import_prompts", path, project=project.slug, on_error="skip", stdout=out, stderr=err)
    assert "1 prompts" in out.getvalue()
    assert "line 2: The prompt is empty." in err.getvalue()


def test_the_command_refuses_by_line_and_names_an_unknown_project(project, file):
    path = file({"prompt": ""})
    with pytest.raises(CommandError, match="line 1"):
        call_command("import_prompts", path)
    with pytest.raises(CommandError, match=f"there are: {project.slug}"):
        call_command("import_prompts", path, project="nowhere")


# --- Real files ----------------------------------------------------------------------------------


@real
def test_the_real_rankings_come_in_as_they_were_said(project):
    report = imports.import_judgements(project=project, path=DATA / "rankings.jsonl.gz", options=SKIP)
    assert report.lines == 847
    assert Judgement.objects.filter(form="ranking").count() == 120
    forms = dict(Judgement.objects.order_by().values_list("form").annotate(Count("pk")))
    refused = {line.number for line in report.bad}
    assert all("is empty" in line.reason or "identical" in line.reason for line in report.bad)
    left_out = report.counts["annotations that compare only identical responses left out"]
    with gzip.open(DATA / "rankings.jsonl.gz", "rt") as lines:
        taken = sum(len(json.loads(line)["annotations"]) for n, line in enumerate(lines, 1) if n not in refused)
    assert sum(forms.values()) == taken - left_out
    assert User.objects.filter(judgements__isnull=False).distinct().count() == 21


@real
def test_the_real_candidates_become_tasks_of_four(project):
    report = imports.import_judgements(project=project, path=DATA / "candidates.jsonl.gz", options=SKIP)
    assert len(report.bad) == 41
    assert Task.objects.filter(seats_left=1).count() == 143
    assert set(Task.objects.annotate(k=Count("responses")).values_list("k", flat=True)) <= {2, 3, 4}
