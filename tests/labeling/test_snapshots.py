"""Snapshots: one view, the exact words, and nothing unasked. Law D2: what was said comes back as it was said."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import labeling_factories as factories
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from labeling import imports, queue, rankings, snapshots
from labeling.config import SnapshotConfig
from labeling.models import Demonstration, Judgement, Placement, Prompt, Settlement, Task
from labeling.words import as_record, placements_of, places_of, plain, read, rows_of
from training import measures, records
from training.models import Dataset, Project
from training.records import DemonstrationLine, PromptLine, RankingLine, read_lines


def frozen(project, folder, shape=RankingLine, **config):
    """The lines of a snapshot, and its card."""
    card = snapshots.write(project, SnapshotConfig(**config), folder)
    return list(read_lines(shape, folder)), card


def rank(annotator, ranks, ratings=None, **more):
    """Take the next task and rank it: the ranks are of the responses as shown."""
    lease = queue.lease_next(annotator=annotator, slug="stories", kind="ranking").lease
    placements = [
        records.Placement(response=each, rank=place, rating=(ratings or [8 - place for place in ranks])[number])
        for number, (each, place) in enumerate(zip(lease.shown, ranks, strict=True))
    ]
    return rankings.submit(annotator=annotator, lease_id=lease.pk, placements=placements, **more)[0]


@pytest.mark.django_db
def test_a_line_holds_the_prompt_its_responses_and_everybodys_word(project, ada, ben, tmp_path):
    factories.GuidelinesFactory(project=project, version=2)
    task = factories.TaskFactory(of=project, seats=2)
    first = rank(ada, [1, 2, 2, 3], flags=["all_bad"], note="hm", seconds_spent=30.5)
    rank(ben, [2, 1, 4, 3])
    [line], card = frozen(project, tmp_path)
    assert (line.split, line.group) == (task.prompt.split, task.prompt.group)
    assert [(turn.role, turn.content) for turn in line.prompt] == [("user", task.prompt.messages[0]["content"])]
    assert {(each.id, each.text) for each in line.responses} == {(str(r.pk), r.text) for r in task.responses.all()}
    said = line.judgements[0]
    assert said.placements == placements_of(first)
    assert (said.flags, said.note, said.seconds, said.guidelines) == (("all_bad",), "hm", 30.5, 2)
    assert list(said.shown) == first.shown
    assert card["count"] == 1
    assert json.loads((tmp_path / "revisions.json").read_text()) == {
        "judgements": list(Judgement.objects.order_by("pk").values_list("pk", flat=True)),
        "settlements": [],
    }


@pytest.mark.django_db
def test_people_stand_in_a_dataset_under_a_number(project, tmp_path):
    rosalind = factories.UserFactory(username="rosalind")
    factories.MembershipFactory(project=project, user=rosalind)
    factories.TaskFactory(of=project)
    rank(rosalind, [1, 1, 1, 1])
    [line], _ = frozen(project, tmp_path)
    assert line.judgements[0].annotator == f"annotator-{rosalind.pk}"
    assert "rosalind" not in (tmp_path / "data.jsonl").read_text().lower()


@pytest.mark.django_db
def test_simulated_and_gold_words_enter_only_when_asked_for(project, ada, ben, tmp_path):
    ben.is_simulated = True
    ben.save()
    factories.TaskFactory(of=project, seats=2)
    gold = factories.TaskFactory(of=project)
    rank(ada, [1, 2, 3, 4])
    rank(ben, [4, 3, 2, 1])
    rank(ada, [1, 1, 1, 1])
    Task.objects.filter(pk=gold.pk).update(purpose="gold")
    [line], _ = frozen(project, tmp_path / "plain")
    assert [word.simulated for word in line.judgements] == [False]
    [line], _ = frozen(project, tmp_path / "simulated", include_simulated=True)
    assert [word.simulated for word in line.judgements] == [False, True]
    lines, _ = frozen(project, tmp_path / "gold", include_gold=True)
    assert len(lines) == 2


@pytest.mark.django_db
def test_only_the_word_in_force_enters(project, ada, tmp_path):
    factories.TaskFactory(of=project)
    said = rank(ada, [1, 2, 3, 4])
    Judgement.objects.filter(pk=said.pk).update(is_current=False)
    assert frozen(project, tmp_path)[0] == []


@pytest.mark.django_db
def test_demonstrations_and_prompts_are_frozen_too(project, ada, tmp_path):
    prompt = factories.PromptFactory(project=project, source="mine")
    retired = factories.PromptFactory(project=project)
    queue.retire(prompts=Prompt.objects.filter(pk=retired.pk))
    Demonstration.objects.create(project=project, prompt=prompt, annotator=ada, text="Home.", source="elsewhere")
    Demonstration.objects.create(project=project, prompt=prompt, annotator=ada, text="Bed.")
    lines, _ = frozen(project, tmp_path / "d", DemonstrationLine, what="demonstrations")
    assert [(line.response, line.source) for line in lines] == [("Home.", "elsewhere"), ("Bed.", "here")]
    lines, _ = frozen(project, tmp_path / "h", DemonstrationLine, what="demonstrations", sources=("here",))
    assert [line.response for line in lines] == ["Bed."]
    [line], _ = frozen(project, tmp_path / "p", PromptLine, what="prompts")
    assert (line.id, line.source) == (str(prompt.pk), "mine")


@pytest.mark.django_db
def test_the_same_words_are_the_same_bytes(project, ada, tmp_path):
    factories.TaskFactory.create_batch(5, of=project)
    for _ in range(5):
        rank(ada, [2, 1, 3, 3])
    frozen(project, tmp_path / "one")
    frozen(project, tmp_path / "two")
    assert (tmp_path / "one" / "data.jsonl").read_bytes() == (tmp_path / "two" / "data.jsonl").read_bytes()


@pytest.mark.django_db
@pytest.mark.both_databases
@pytest.mark.parametrize("words", ["settled", "all", "merged"])
def test_a_snapshot_asks_no_more_of_the_database_for_more_tasks(project, ada, tmp_path, words):
    def count_of_statements(name):
        with CaptureQueriesContext(connection) as asked:
            frozen(project, tmp_path / name, words=words)
        return len(asked)

    factories.TaskFactory.create_batch(12, of=project)
    for _ in range(2):
        rank(ada, [1, 2, 3, 4])
    few = count_of_statements("few")
    for _ in range(10):
        rank(ada, [1, 2, 2, 3])
    assert count_of_statements("many") == few


@pytest.mark.django_db
@pytest.mark.both_databases
def test_words_that_are_read_together_are_the_records_that_each_is_alone(project, ada, ben, tmp_path):
    for _ in range(3):
        factories.TaskFactory(of=project, seats=2)
        factories.TaskFactory(seats=2)  # of another project
    for person in (ada, ben):
        rank(person, [2, 1, 2, 3], flags=["unclear"], note="“so” \\ so", seconds_spent=0.1)
        rank(person, [1, 1, 1, 1])
    Placement.objects.filter(rank=3).update(flags=["sexual", "naïve"], rating=None)
    data = [{"a": "m2", "b": "m1", "verdict": "tie"}, {"a": "m1", "b": "m2", "verdict": "a"}]
    annotations = [{"annotator": "zoe", "type": "pairwise", "data": data}]
    record = {"id": "x", "prompt": "P?", "responses": {"m1": "One", "m2": "Two"}, "annotations": annotations}
    (tmp_path / "in.jsonl").write_text(json.dumps(record))
    imports.import_judgements(project=project, path=tmp_path / "in.jsonl", options=imports.Options())
    said, names = Judgement.objects.all(), defaultdict(lambda: "someone")
    alone = [(word.pk, word.task_id, as_record(word, annotator="someone")) for word in said.order_by("pk")]
    assert len(alone) == 5
    whole = Task.objects.order_by("pk").first().pk, Task.objects.order_by("pk").last().pk
    assert list(read(said, *whole, names)) == alone
    written = [(pk, task, json.loads(json.dumps(record.plain()))) for pk, task, record in alone]
    found = plain(rows_of(said, *whole), places_of(*whole), names)
    assert [(pk, task, json.loads(json.dumps(said))) for pk, task, said in found] == written
    second = alone[1][1]
    assert list(read(said, second, second, names)) == [word for word in alone if word[1] == second]


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_responses_and_prompts_of_other_projects_tasks_stay_out(project, ada, tmp_path):
    mine = []
    for _ in range(3):
        mine.append(factories.TaskFactory(of=project))
        factories.TaskFactory()
    for _ in mine:
        rank(ada, [4, 1, 2, 3])
    lines, _ = frozen(project, tmp_path)
    assert [line.id for line in lines] == [str(task.pk) for task in mine]
    for line, task in zip(lines, mine, strict=True):
        theirs = sorted((str(response.pk), response.text) for response in task.responses.all())
        assert [(response.id, response.text) for response in line.responses] == theirs


@pytest.mark.django_db
@pytest.mark.both_databases
@pytest.mark.parametrize("asked", ["settled", "all", "merged"])
def test_a_dataset_is_the_same_in_pieces_of_any_size(project, ada, ben, lea, tmp_path, monkeypatch, asked):
    tasks = [factories.TaskFactory(of=project, seats=2) for _ in range(7)]
    factories.TaskFactory(of=project)  # of which nobody says anything
    for person in (ada, ben):
        for ranks in ([1, 2, 2, 3], [4, 3, 2, 1], [1, 1, 1, 1], [2, 1, 3, 3], [1, 2, 3, 4], [3, 1, 2, 4]):
            rank(person, ranks, seconds_spent=0.1)
    settled = {str(each.pk): place for place, each in enumerate(tasks[2].responses.order_by("pk"), start=1)}
    Settlement.objects.create(task=tasks[2], ranks=settled, by=lea)
    whole, card = frozen(project, tmp_path / "whole", words=asked)
    assert len(whole) == card["count"] > 5
    for size in (1, 2, 5):
        monkeypatch.setattr(snapshots, "BATCH", size)
        assert frozen(project, tmp_path / str(size), words=asked) == (whole, card)
        for name in ("data.jsonl", "revisions.json"):
            assert (tmp_path / str(size) / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.django_db
@pytest.mark.both_databases
def test_a_snapshot_that_breaks_off_leaves_nothing_asked(project, ada, tmp_path, monkeypatch):
    factories.TaskFactory.create_batch(5, of=project)
    for _ in range(5):
        rank(ada, [1, 2, 3, 4])
    lines = iter([b"{}\n"])
    monkeypatch.setattr(snapshots, "BATCH", 1)
    monkeypatch.setattr(records, "ranking_line", lambda *_: next(lines))
    with pytest.raises(RuntimeError) as broke:
        frozen(project, tmp_path)
    assert isinstance(broke.value.__cause__, StopIteration)
    assert Judgement.objects.count() == 5
    if connection.vendor == "postgresql":
        assert connection.connection.info.pipeline_status == 0


@st.composite
def words(draw):
    """Ranks and ratings of up to nine responses, with ties, in any order."""
    count = draw(st.integers(2, 9))
    ranks, last = [], 1
    for place in range(count):
        last += place > 0 and draw(st.booleans())
        ranks.append(last)
    ratings = sorted(draw(st.lists(st.integers(1, 7), min_size=last, max_size=last)), reverse=True)
    order = draw(st.permutations(range(count)))
    return [ranks[i] for i in order], [ratings[ranks[i] - 1] for i in order]


class RoundTrip(TestCase):
    """Law D2."""

    @pytest.mark.law("D2")
    @given(words())
    @settings(max_examples=25, deadline=None)
    def test_a_ranking_with_ties_comes_back_from_a_dataset_as_it_was_said(self, said):
        ranks, ratings = said
        project = factories.ProjectFactory(slug="stories")
        ada = factories.UserFactory()
        factories.MembershipFactory(project=project, user=ada)
        factories.TaskFactory(of=project, responses=len(ranks))
        judgement = rank(ada, ranks, ratings)
        [(line, _)] = snapshots.freeze_rankings(project, SnapshotConfig())
        there = factories.ProjectFactory(slug="elsewhere")
        assert Project.objects.count() == 2
        assert self.texts(self.brought_in(line.line.decode(), there)) == self.texts(judgement)

    def brought_in(self, text, project):
        import tempfile  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.jsonl"
            path.write_text(text)
            imports.import_judgements(project=project, path=path, options=imports.Options())
        return Judgement.objects.get(project=project)

    def texts(self, judgement):
        places = judgement.placements.select_related("response")
        return sorted((place.response.text, place.rank, place.rating) for place in places)


@pytest.mark.django_db
def test_verdicts_come_back_from_a_dataset_as_they_were_said(project, tmp_path):
    data = [{"a": "m1", "b": "m2", "verdict": "b_slight"}, {"a": "m3", "b": "m1", "verdict": "tie"}]
    record = {
        "id": "x",
        "source": "s",
        "prompt": "P?",
        "responses": {"m1": "One", "m2": "Two", "m3": "Three"},
        "annotations": [{"annotator": "zoe", "type": "pairwise", "data": data}],
    }
    (tmp_path / "in.jsonl").write_text(json.dumps(record))
    imports.import_judgements(project=project, path=tmp_path / "in.jsonl", options=imports.Options())
    [line], _ = frozen(project, tmp_path / "out", sources=("s",))
    text_of = {each.id: each.text for each in line.responses}
    [word] = line.judgements
    assert word.annotator == "zoe"
    assert [(text_of[v.a], text_of[v.b], v.verdict) for v in word.verdicts] == [
        ("One", "Two", "b_slight"),
        ("Three", "One", "tie"),
    ]
    assert frozen(project, tmp_path / "none", sources=("other",))[0] == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_a_snapshot_sees_one_moment_and_keeps_nobody_from_writing(project):
    factories.PromptFactory.create_batch(3, project=project)

    def write():
        try:
            return factories.PromptFactory(project=project).pk
        finally:
            connection.close()

    with snapshots.one_view():
        before = Prompt.objects.count()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(write).result(timeout=10)
        assert Prompt.objects.count() == before == 3
    assert Prompt.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_the_command_publishes_the_next_version(project):
    factories.PromptFactory.create_batch(2, project=project)
    for version in (1, 2):
        out = StringIO()
        call_command("snapshot", "prompts", name="tales", stdout=out)
        dataset = Dataset.objects.get(kind="prompts", version=version)
        assert f"tales v{version}: 2 lines" in out.getvalue()
        assert dataset.digest in out.getvalue()
        assert dataset.card["config"]["what"] == "prompts"
    with pytest.raises(CommandError, match="no project 'nowhere'"):
        call_command("snapshot", project="nowhere")


@pytest.mark.django_db
def test_the_reading_room_offers_its_measures(project, ada):
    factories.TaskFactory.create_batch(2, of=project)
    rank(ada, [1, 2, 3, 4])
    read = {
        each.name: each.read(project, None) for each in measures.all_measures() if each.name.startswith("labeling.")
    }
    assert read == {
        "labeling.rankings": 1,
        "labeling.demonstrations": 0,
        "labeling.prompts": 2,
        "labeling.rankings_since_snapshot": 1,
        "labeling.open_rankings": 1,
    }
    Dataset.objects.create(project=project, kind="rankings", name="r", version=1, digest="sha256:0", count=1)
    assert measures.measure_named("labeling.rankings_since_snapshot").read(project, None) == 0
