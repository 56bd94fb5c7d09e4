"""Rows written in bulk are what the ORM would have written, numbers, constraints and all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from training import bulk
from training.models import Job, Project, Session, User

pytestmark = pytest.mark.both_databases
HARD = 'a "quote", a \\ backslash, a\ttab,\na line, \\N, NULL, é, \U0001fa81, % and %s'


@pytest.fixture
def project(db):
    return Project.objects.create(slug="stories", name="Stories")


def jobs(project, count, **more):
    return [
        Job(project=project, kind="tiny.train", name=f"{HARD} {n}", config={HARD: [n, None, 1.5]}, **more)
        for n in range(count)
    ]


def test_rows_come_back_as_they_were_written(project):
    rows = jobs(project, 700, started_at=now(), seed=2**40)
    assert bulk.write(rows) == rows
    for row, found in zip(rows, Job.objects.order_by("pk"), strict=True):
        for field in Job._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(row, field.attname), field.name


def test_rows_are_numbered_in_their_order_and_the_orm_goes_on_counting(project):
    before = Job.objects.create(project=project, kind="tiny.train")
    rows = bulk.write(jobs(project, 10))
    after = Job.objects.create(project=project, kind="tiny.train")
    numbers = [before.pk, *(row.pk for row in rows), after.pk]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("count", [1, 4])
def test_a_few_rows_come_back_as_they_were_written_by_one_statement(project, count, django_assert_num_queries):
    rows = jobs(project, count, started_at=now(), seed=2**40)
    with django_assert_num_queries(1):
        assert bulk.add(*rows) is rows[0]
    found = list(Job.objects.order_by("pk"))
    assert [row.pk for row in rows] == [row.pk for row in found]
    for row, there in zip(rows, found, strict=True):
        for field in Job._meta.concrete_fields:
            assert getattr(there, field.attname) == getattr(row, field.attname), field.name
    rows[0].name = "changed"
    rows[0].save()
    assert Job.objects.count() == count


def test_a_row_that_brings_its_key_keeps_it(project):
    row = bulk.add(Session(session_key="a" * 32, session_data="", expire_date=now()))
    assert Session.objects.get().pk == row.pk == "a" * 32


def test_a_few_rows_that_a_constraint_keeps_out_are_not_written(project):
    with pytest.raises(IntegrityError), transaction.atomic():
        bulk.add(Project(slug="others", name="Others"), Project(slug="stories", name="Stories"))
    assert [each.slug for each in Project.objects.all()] == ["stories"]


def test_no_rows_are_no_work(project, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert bulk.write([]) == []


@pytest.mark.django_db(transaction=True)
def test_a_row_that_a_constraint_keeps_out_keeps_all_out():
    User.objects.create(username="ada")
    with pytest.raises(IntegrityError):
        bulk.write([User(username=name) for name in ("ben", "ada", "cleo")])
    assert list(User.objects.values_list("username", flat=True)) == ["ada"]


@pytest.mark.django_db(transaction=True)
def test_what_is_there_already_is_passed_over_where_that_is_asked_for():
    ada = User.objects.create(username="ada", name="first")
    with transaction.atomic():
        for _ in range(2):
            rows = [User(username=name, name="second") for name in ("ben", "ada", "cleo")]
            written = bulk.write(rows, unless_there=True)
    assert written == []
    assert list(User.objects.order_by("username").values_list("username", "name")) == [
        ("ada", "first"),
        ("ben", "second"),
        ("cleo", "second"),
    ]
    ada.refresh_from_db()
    assert ada.name == "first"


@pytest.mark.django_db(transaction=True)
def test_writers_who_bring_the_same_at_once_write_it_once():
    start = Barrier(4)

    def bring(number):
        try:
            start.wait()
            return [row.username for row in bulk.write([User(username=f"u{n}") for n in range(200)], unless_there=True)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        written = [name for names in pool.map(bring, range(4)) for name in names]
    assert (
        sorted(written)
        == sorted(User.objects.values_list("username", flat=True))
        == sorted(f"u{n}" for n in range(200))
    )
