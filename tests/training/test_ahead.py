"""What is asked ahead is answered as if it had been asked when it is wanted."""

from __future__ import annotations

import pytest

from training import ahead
from training.composed import Composed
from training.models import Project

pytestmark = [pytest.mark.both_databases, pytest.mark.django_db]

BETWEEN = Composed(
    lambda first, last: Project.objects.filter(pk__gte=first, pk__lte=last).order_by("pk").values_list("pk", "slug"),
    first=Project.id,
    last=Project.id,
)


@pytest.fixture
def keys():
    """The keys of seven projects."""
    return [Project.objects.create(slug=f"p{number}", name="P").pk for number in range(7)]


def sets_of(keys, drawn):
    for key in keys:
        drawn.append(key)
        yield [BETWEEN.ask(first=key, last=key), BETWEEN.ask(first=keys[0], last=key)]


def test_each_set_of_questions_gets_its_own_answers(keys):
    found = list(ahead.answers(sets_of(keys, [])))
    assert found == [[BETWEEN.all(first=key, last=key), BETWEEN.all(first=keys[0], last=key)] for key in keys]
    assert found[-1][1] == list(Project.objects.order_by("pk").values_list("pk", "slug"))


def test_the_next_set_has_been_asked_when_answers_are_given(keys):
    drawn = []
    answers = ahead.answers(sets_of(keys, drawn))
    for number, _ in enumerate(answers, start=1):
        assert drawn == keys[: number + 1]


def test_other_things_can_be_asked_meanwhile_and_whoever_stops_early_leaves_the_connection_usable(keys):
    answers = ahead.answers(sets_of(keys, []))
    for [[(key, _)], _] in answers:
        assert Project.objects.get(pk=key).slug == f"p{keys.index(key)}"
        Project.objects.filter(pk=key).update(name="Read")
        if key == keys[3]:
            break
    answers.close()
    assert Project.objects.filter(name="Read").count() == 4


def test_nothing_to_ask_is_nothing_found():
    assert list(ahead.answers(iter([]))) == []
