"""What the next task and a submission cost the database, the whole request with its session counted."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

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


def test_the_next_task_takes_at_most_six_statements(room, ada, browser, statements):
    client = browser(ada)
    said, answer = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    assert answer.status_code == 201
    assert len(said) <= 6, "\n".join(said)


def test_a_submission_takes_at_most_ten_statements(room, ada, browser, statements):
    client = browser(ada)
    lease = client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}).json()
    client.put(f"/api/v1/leases/{lease['id']}/draft", {"half": "done"})
    said, answer = statements(lambda: client.post(f"/api/v1/leases/{lease['id']}/ranking", ranking_of(lease)))
    assert answer.status_code == 201
    assert len(said) <= 10, "\n".join(said)


def test_the_next_task_costs_the_same_however_long_the_queue(room, ada, browser, statements):
    client = browser(ada)
    short, _ = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    factories.TaskFactory.create_batch(50, of=room, responses=2)
    long, _ = statements(lambda: client.post(f"/api/v1/projects/{room.slug}/leases", {"kind": "ranking"}))
    assert len(long) == len(short)


@pytest.mark.both_databases
@pytest.mark.parametrize("order", ["served", "uniform", "score"])
def test_picking_a_task_reads_the_index_in_the_order_of_the_hand_out(settings_of_project, ada, order):
    from labeling import queue  # noqa: PLC0415

    project = settings_of_project.project
    settings_of_project.order = order
    settings_of_project.save()
    prompts = factories.PromptFactory.create_batch(20, project=project)
    tasks = [queue.Task(project=project, kind="ranking", prompt=prompts[n % 20], priority=n % 3) for n in range(3000)]
    queue.Task.objects.bulk_create(tasks)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE labeling_task")
        inner = queue.statement_of(order).split("WHERE id = (")[1].split("RETURNING")[0].rstrip().rstrip(")")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {inner}", [project.pk, "ranking", ada.pk])
        plan = "\n".join(" ".join(map(str, row)) for row in cursor.fetchall())
    assert {"served": "hand_out_most_served", "uniform": "hand_out_uniformly", "score": "hand_out_by_score"}[
        order
    ] in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
