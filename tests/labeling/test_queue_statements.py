"""What the next task and a submission cost the database, the whole request with its session counted."""

from __future__ import annotations

import itertools
import random

import labeling_factories as factories
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling import imports, queue, rankings, shelves
from labeling.models import Bookmark, LabelingSettings
from training import bulk
from training.records import Placement

pytestmark = pytest.mark.django_db
INDEXES = {"served": "hand_out_most_served", "uniform": "hand_out_uniformly", "score": "hand_out_by_score"}
BOUNDARIES = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


@pytest.fixture
def statements():
    """Run something and return the statements that it took; where a transaction begins and ends is none."""

    def run(work):
        with CaptureQueriesContext(connection) as context:
            result = work()
        return [each["sql"] for each in context if not each["sql"].startswith(BOUNDARIES)], result

    return run


def ranking_of(lease):
    placements = [
        {"response": each["id"], "rank": place + 1, "rating": 7 - place}
        for place, each in enumerate(lease["task"]["responses"])
    ]
    return {"placements": placements, "seconds_spent": 9.5}


@pytest.fixture
def room(settings_of_project):
    project = settings_of_project.project
    factories.GuidelinesFactory(project=project)
    factories.TaskFactory.create_batch(3, of=project, seats=2)
    return project


def test_the_next_task_takes_at_most_five_statements(room, ada, browser, statements):
    client = browser(ada)
    said, answer = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    assert answer.status_code == 201
    assert len(said) <= 5, "\n".join(said)


def test_the_next_demonstration_takes_no_more(room, ada, browser, statements):
    task = factories.TaskFactory(of=room, kind="demonstration")
    factories.ResponseFactory(prompt=task.prompt)
    client = browser(ada)
    said, answer = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "demonstration"}))
    assert answer.json()["samples"] is True
    assert len(said) <= 5, "\n".join(said)


def test_who_has_left_no_bookmark_gets_the_next_task_without_a_look_behind_any(room, ada, browser, statements):
    client, address = browser(ada), f"/api/v1/projects/{room.slug}/leases"

    def taken():
        said, answer = statements(lambda: client.post(address, {"kind": "ranking"}))
        (picking,) = [each for each in said if "seats_left = seats_left - 1" in each]
        return picking, answer.json()

    picking, lease = taken()
    assert "labeling_bookmark" not in picking
    assert client.post(f"/api/v1/leases/{lease['id']}/ranking", ranking_of(lease)).status_code == 201
    assert Bookmark.objects.filter(annotator=ada).exists(), "two are wanted for each task"
    picking, _ = taken()
    assert "labeling_bookmark" in picking


def test_where_a_project_has_rules_what_they_ask_for_takes_one_statement_more(room, ada, browser, statements):
    client, address = browser(ada), f"/api/v1/projects/{room.slug}/leases"
    without, _ = statements(lambda: client.post(address, {"kind": "ranking"}))
    LabelingSettings.objects.update(daily_limit=9, gold_percent=50, qualification_tasks=3)
    ruled, answer = statements(lambda: client.post(address, {"kind": "ranking"}))
    assert answer.status_code == 201
    assert len(ruled) == len(without) + 1, "\n".join(ruled)


def test_a_submission_takes_at_most_nine_statements(room, ada, browser, statements):
    client = browser(ada)
    lease = client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}).json()
    client.put(f"/api/v1/leases/{lease['id']}/draft", {"half": "done"})
    said, answer = statements(lambda: client.post(f"/api/v1/leases/{lease['id']}/ranking", ranking_of(lease)))
    assert answer.status_code == 201
    assert len(said) <= 9, "\n".join(said)


def test_the_next_task_costs_the_same_however_long_the_queue(room, ada, browser, statements):
    client = browser(ada)
    short, _ = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    factories.TaskFactory.create_batch(50, of=room, responses=2)
    long, _ = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    assert len(long) == len(short)


def share_of_looking_at(rows, work):
    """How much of what it costs to look at so many rows a piece of work costs the database; with its result."""
    if connection.vendor == "postgresql":
        before, result = rows_read(), work()
        return (rows_read() - before) / rows, result
    steps = itertools.count()
    connection.connection.set_progress_handler(lambda: next(steps) and 0, 10)
    try:
        result = work()
    finally:
        connection.connection.set_progress_handler(None, 0)
    return next(steps) / rows, result  # SQLite takes more than ten instructions to pass over a row


def rows_read():
    """Rows that this transaction has read so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT SUM(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
        return cursor.fetchone()[0]


def plan_of(statement, project, annotator):
    """How this database goes about a statement that picks, once it knows its tables."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        said = {"project": project.pk, "kind": "ranking", "annotator": annotator.pk}
        cursor.execute(f"{explain} {statement}", said)
        return "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())


@pytest.mark.both_databases
@pytest.mark.parametrize("bookmarked", [True, False])
@pytest.mark.parametrize("order", ["served", "uniform", "score"])
def test_picking_a_task_reads_the_index_in_the_order_of_the_hand_out(settings_of_project, ada, order, bookmarked):
    project = settings_of_project.project
    prompts = factories.PromptFactory.create_batch(20, project=project)
    tasks = [queue.Task(project=project, kind="ranking", prompt=prompts[n % 20], priority=n % 3) for n in range(3000)]
    queue.Task.objects.bulk_create(tasks)
    plan = plan_of(shelves.statement_of(order, connection.vendor, bookmarked=bookmarked), project, ada)
    assert INDEXES[order] in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("order", "places"), [("served", []), ("uniform", ["lot"]), ("score", ["score"]), ("score", [])]
)
def test_what_an_annotator_has_done_is_passed_over_and_not_looked_at(settings_of_project, ada, order, places):
    """Older projects and the annotator's own work lie before what comes next; neither may be walked through."""
    settings_of_project.order = order
    settings_of_project.save()
    project = settings_of_project.project
    for each in (factories.ProjectFactory(), project):
        prompt = factories.PromptFactory(project=each)
        done = [task_of(prompt, seats_left=2, served=1) for _ in range(3000)]
        still = [task_of(prompt, seats_left=3) for _ in range(3000)]
        in_order = [*done, *still]
        for column in places:
            for place, task in enumerate(in_order):
                setattr(task, column, place / 6000 if order == "uniform" else -place)
        numbered = random.Random(1).sample(in_order, len(in_order)) if places else in_order
        bulk.write(numbered)
    bulk.write([imports.closed_lease(project, task, ada) for task in done])
    responses = factories.ResponseFactory.create_batch(2, prompt=prompt)
    queue.link([(each, responses) for each in still[:3]])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    def next_lease():
        return queue.lease_next(annotator=ada, slug=project.slug, kind="ranking").lease

    def submit(lease):
        placements = [Placement(response=each, rank=1, rating=4) for each in lease.shown]
        rankings.submit(annotator=ada, lease_id=lease.pk, placements=placements)

    share, first = share_of_looking_at(3000, next_lease)
    assert share > 1
    submit(first)
    assert first.task_id == still[0].pk
    assert is_through_to(ada, still[0], still[1])
    share, second = share_of_looking_at(3000, next_lease)
    assert share < 0.05
    assert second.task_id == still[1].pk
    share, _ = share_of_looking_at(3000, lambda: submit(second))
    assert share < 0.05
    assert is_through_to(ada, still[1], still[2])


def is_through_to(annotator, task, following):
    """Whether their bookmark lies behind a task and before the one that follows it."""
    mark = Bookmark.objects.get(annotator=annotator)
    if mark.sequence == "served":
        return mark.place == 0 and task.pk <= mark.upto < following.pk
    place_of, lies = {
        "uniform": (lambda each: each.lot, mark.place),
        "score": (lambda each: -each.score, -mark.place),
    }[mark.sequence]
    return (place_of(task), task.pk) <= (lies, mark.upto) < (place_of(following), following.pk)


def task_of(prompt, **seats):
    return queue.Task(project=prompt.project, kind="ranking", prompt=prompt, seats=3, **seats)
