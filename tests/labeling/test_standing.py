"""What an annotator may know of themselves: first tasks, what is left of the day, and how far they agree."""

from __future__ import annotations

import labeling_factories as factories
import pytest

from labeling import leading, queue, rankings, review
from training.records import Placement

pytestmark = pytest.mark.django_db
STANDING = "/api/v1/projects/stories/standing"


def say(person, *, upside_down=False):
    """Take the next task and rank it in the order of its responses' ids, or in the other."""
    lease = queue.lease_next(annotator=person, slug="stories", kind="ranking").lease
    best_first = sorted(lease.shown, reverse=upside_down)
    placements = [Placement(response=each, rank=rank, rating=8 - rank) for rank, each in enumerate(best_first, start=1)]
    return rankings.submit(annotator=person, lease_id=lease.pk, placements=placements)[0]


def known(project, lea, judged_by, purpose):
    """A task whose answer is the order of its responses' ids."""
    factories.TaskFactory(of=project, responses=3, priority=100)
    word = say(judged_by)
    ranks = {response: rank for rank, response in enumerate(sorted(word.shown), start=1)}
    return review.make_known(task=word.task, by=lea, ranks=ranks, purpose=purpose)


def test_how_far_one_agrees_is_shown_where_the_project_shows_it(project, lea, ada, ben, browser):
    factories.TaskFactory.create_batch(2, of=project, seats=2, responses=3)
    for person, upside_down in ((ada, False), (ada, False), (ben, False), (ben, True)):
        say(person, upside_down=upside_down)
    assert browser(ada).get(STANDING).json()["agreement"] is None
    leading.change_settings(project=project, by=lea, shows_agreement=True)
    shown = browser(ada).get(STANDING).json()["agreement"]
    assert (shown["others"]["share"]["value"], shown["others"]["share"]["count"]) == (0.5, 6)
    assert shown["known"] is None


def test_agreement_with_known_answers_counts_them_and_does_not_tell_which_they_are(project, lea, ada, ben, browser):
    gold = known(project, lea, ben, "gold")
    leading.change_settings(project=project, by=lea, shows_agreement=True, gold_percent=50)
    while gold.leases.filter(annotator=ada).count() == 0:
        factories.TaskFactory(of=project, responses=3)
        say(ada, upside_down=True)
    body = browser(ada).get(STANDING).json()
    assert body["agreement"]["known"]["share"]["value"] == 0
    assert body["agreement"]["known"]["share"]["tasks"] == 1
    assert str(gold.pk) not in str({**body, "agreement": None})
    assert browser(ben).get(STANDING).json()["agreement"]["known"] is None


def test_first_tasks_count_up_until_they_are_done(project, lea, ada, ben, browser):
    for _ in range(2):
        known(project, lea, ben, "qualification")
    leading.change_settings(project=project, by=lea, qualification_tasks=2)
    factories.TaskFactory(of=project)
    told = []
    for _ in range(2):
        told.append(browser(ada).get(STANDING).json()["first_tasks"])
        say(ada)
    assert told == [{"failed": False, "done": done, "needed": 2} for done in (0, 1)]
    assert browser(ada).get(STANDING).json()["first_tasks"] is None
    assert browser(ben).get(STANDING).json()["first_tasks"] is None  # they worked here before there was a rule


def test_what_is_left_of_the_day_goes_down_with_what_was_taken(project, lea, ada, browser):
    factories.TaskFactory.create_batch(4, of=project)
    assert browser(ada).get(STANDING).json()["left_today"] is None
    leading.change_settings(project=project, by=lea, daily_limit=2)
    told = [browser(ada).get(STANDING).json()["left_today"]]
    for _ in range(2):
        say(ada)
        told.append(browser(ada).get(STANDING).json()["left_today"])
    assert told == [2, 1, 0]
