"""What is composed once says the same as the ORM, for whatever values, in every thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q
from django.db.transaction import TransactionManagementError, atomic
from django.utils.timezone import now

from training.composed import Composed, ComposedChange, deleted, here, updated
from training.models import Attempt, Job, Membership, Project, User

pytestmark = pytest.mark.both_databases
USER, SLUG = Membership.user, Project.slug


def rows_of(project):
    """Jobs that began before a moment, with what belongs to them."""
    moment = now()
    for number in range(3):
        job = Job.objects.create(project=project, kind=f"kind{number}", config={"n": number}, created_at=moment)
        Attempt.objects.create(job=job, number=1)
    return moment


def jobs_before(slug, kind, moment):
    again = Attempt.objects.filter(job=OuterRef("pk"), number=2)
    return (
        Job.objects.filter(~Exists(again), Q(kind=kind) | Q(state="nowhere"), project__slug=slug, created_at__lt=moment)
        .select_related("project")
        .annotate(tries=Count("attempts"))
        .order_by("-pk")
    )


BEFORE = Composed(jobs_before, slug=SLUG, kind=Job.kind, moment=Job.created_at)


@pytest.mark.django_db
def test_the_rows_are_those_of_the_orm_for_any_values(django_assert_num_queries):
    project = Project.objects.create(slug="stories", name="Stories")
    moment = rows_of(project)
    for slug in ("stories", "others"):
        for kind in ("kind0", "kind2", "none' OR 1=1 --", "50%"):
            for before in (moment, moment + timedelta(seconds=1)):
                with django_assert_num_queries(1):
                    found = BEFORE.all(slug=slug, kind=kind, moment=before)
                    seen = [(job, job.project.name, job.config, job.tries) for job in found]
                asked = jobs_before(slug, kind, before)
                assert seen == [(job, job.project.name, job.config, job.tries) for job in asked]
    assert BEFORE.first(slug="stories", kind="kind1", moment=now()).config == {"n": 1}
    assert BEFORE.first(slug="stories", kind="none", moment=now()) is None


@pytest.mark.django_db
def test_plain_values_are_given_too():
    rows_of(Project.objects.create(slug="stories", name="Stories"))
    job = Attempt.job
    tries = Composed(lambda job: Attempt.objects.filter(job=job).values_list("number", "job__kind"), job=job)
    for attempt in Attempt.objects.select_related("job"):
        assert tries.all(job=attempt.job_id) == [(1, attempt.job.kind)]
    assert tries.all(job=0) == []


@pytest.mark.django_db
def test_updates_and_deletions_touch_the_rows_that_are_meant_and_say_how_many():
    users = [User.objects.create(username=f"u{number}", name="old") for number in range(4)]
    named = ComposedChange(
        lambda user, name: updated(User.objects.filter(pk=user), name=name, last_name=F("username")),
        user=User.id,
        name=User.name,
    )
    gone = ComposedChange(lambda user: deleted(User.objects.filter(pk=user)), user=User.id)
    assert named.run(user=users[0].pk, name="new") == 1
    assert named.run(user=users[1].pk, name="newer") == 1
    assert named.run(user=-1, name="nobody") == 0
    assert gone.run(user=users[2].pk) == 1
    assert gone.run(user=users[2].pk) == 0
    assert list(User.objects.order_by("pk").values_list("name", "last_name")) == [
        ("new", "u0"),
        ("newer", "u1"),
        ("old", ""),
    ]


@pytest.mark.django_db
def test_a_statement_without_a_place_for_a_blank_is_refused_by_name():
    forgetful = Composed(lambda user, slug: Membership.objects.filter(user=user), user=USER, slug=SLUG)  # noqa: ARG005 (that is the defect)
    with pytest.raises(LookupError, match="slug"):
        forgetful.all(user=1, slug="stories")


@pytest.mark.django_db(transaction=True)
def test_a_lock_outside_of_a_transaction_is_refused_also_the_second_time():
    locked = Composed(lambda user: User.objects.select_for_update().filter(pk=user), user=User.id)
    with atomic():
        assert locked.first(user=1) is None
    with pytest.raises(TransactionManagementError):
        locked.first(user=1)


@pytest.mark.django_db(transaction=True)
def test_threads_do_not_mix_their_values_up():
    users = [User.objects.create(username=f"u{number}") for number in range(8)]
    found = Composed(lambda user: User.objects.filter(pk=user), user=User.id)

    def look(user):
        try:
            return {found.first(user=user.pk) for _ in range(50)}
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, users)) == [{user} for user in users]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["o'clock", "100 % of %s and %%", 'a \\ and a "b"', "", "\N{BLACK STAR}"])
def test_what_is_always_the_same_is_part_of_the_statement(name):
    there = Project.objects.create(slug="stories", name=name)
    Project.objects.create(slug="others", name="Others")
    named = Composed(lambda slug: Project.objects.filter(name=name, slug=slug, pk__gt=0), slug=Project.slug)
    assert named.all(slug="stories") == [there]
    assert named.all(slug="others") == []
    statement = named.once.ready(here())
    assert len(statement.params) == (2 if "\\" in name else 1)
    assert "> 0" in statement.text
