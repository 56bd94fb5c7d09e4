"""Reviewers see everyone's words side by side; what they decide is kept beside what was said, never over it."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from labeling import demonstrations, queue, rankings, review, snapshots, submissions
from labeling.config import SnapshotConfig
from labeling.models import Demonstration, Judgement, Review, Settlement, Task
from labeling.words import placements_of
from training.models import Deed, Membership
from training.records import DemonstrationLine, Placement, RankingLine, read_lines

pytestmark = pytest.mark.django_db
TASKS = "/api/v1/projects/stories/tasks"


@pytest.fixture
def vera(project):
    """The reviewer of the project."""
    person = factories.UserFactory(username="vera")
    factories.MembershipFactory(project=project, user=person, role=Membership.Role.REVIEWER)
    return person


def placed(best_first):
    return [
        Placement(response=str(each), rank=rank, rating=max(1, 8 - rank))
        for rank, each in enumerate(best_first, start=1)
    ]


def say(person, best_first=None):
    lease = queue.lease_next(annotator=person, slug="stories", kind="ranking").lease
    order = best_first or sorted(lease.shown)
    return rankings.submit(annotator=person, lease_id=lease.pk, placements=placed(order))[0]


def ids_of(task):
    return sorted(str(each) for each in task.responses.values_list("pk", flat=True))


def in_rank(order):
    return {response: rank for rank, response in enumerate(order, start=1)}


@pytest.fixture
def disputed(settings_of_project, project, ada, ben):
    """A task of three responses on which Ada and Ben say the opposite of each other."""
    task = factories.TaskFactory(of=project, seats=2, responses=3)
    say(ada, ids_of(task))
    say(ben, ids_of(task)[::-1])
    return task


def lines(project, folder, shape=RankingLine, **config):
    snapshots.write(project, SnapshotConfig(**config), folder)
    return list(read_lines(shape, folder))


# --- Looking -------------------------------------------------------------------------------------


def test_a_task_is_shown_with_every_word_what_they_agree_on_and_what_they_say_together(disputed, vera, browser):
    shown = browser(vera).get(f"/api/v1/tasks/{disputed.pk}").json()
    assert [each["annotator"]["name"] for each in shown["answers"]] == ["Ada", "Ben"]
    assert [each["word"]["placements"][0]["rank"] for each in shown["answers"]] == [1, 1]
    assert shown["agreement"] == 0.0
    assert set(shown["merged"]["ranks"].values()) == {1}  # opposite words cancel out
    assert [each["id"] for each in shown["responses"]] == ids_of(disputed)
    assert "checkpoint" not in str(shown)
    row = browser(vera).get(TASKS, {"show": "shared"}).json()["results"][0]
    assert (row["id"], row["words"], row["agreement"], row["settled"]) == (disputed.pk, 2, 0.0, False)


def test_why_people_passed_a_task_over_is_told_and_the_task_can_be_put_back(
    settings_of_project, project, ada, ben, vera, browser
):
    settings_of_project.skip_limit = 1
    settings_of_project.save()
    task = factories.TaskFactory(of=project, seats=2)
    lease = queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease
    queue.skip(annotator=ada, lease_id=lease.pk, reason="not my field")
    client = browser(vera)
    assert [each["id"] for each in client.get(TASKS, {"show": "set_aside"}).json()["results"]] == [task.pk]
    [skipped] = client.get(f"/api/v1/tasks/{task.pk}").json()["skipped"]
    assert (skipped["annotator"]["name"], skipped["reason"]) == ("Ada", "not my field")
    assert client.post(f"/api/v1/tasks/{task.pk}/put-back").json()["state"] == "open"
    assert queue.lease_next(annotator=ada, slug="stories", kind="ranking") is None
    assert queue.lease_next(annotator=ben, slug="stories", kind="ranking").lease.task_id == task.pk
    assert Deed.objects.filter(by=vera, did="task.put_back", about=f"task {task.pk}").count() == 1


@pytest.mark.law("A3")
def test_more_tasks_and_more_words_take_no_more_statements(disputed, project, ada, ben, vera, browser):
    client = browser(vera)

    def count(address, **query):
        with CaptureQueriesContext(connection) as context:
            assert client.get(address, query).status_code == 200
        return len(context)

    before = [count(TASKS, show="shared"), count(f"/api/v1/tasks/{disputed.pk}")]
    for _ in range(6):
        factories.TaskFactory(of=project, seats=2, responses=3)
        word = say(ada)
        say(ben)
        review.accept(word=word, by=vera)
    third = factories.UserFactory()
    factories.MembershipFactory(project=project, user=third)
    review.ask_one_more(task=disputed, by=vera)
    review.accept(word=say(third), by=vera)
    assert [count(TASKS, show="shared"), count(f"/api/v1/tasks/{disputed.pk}")] == before


def test_pages_of_tasks_hold_each_once(settings_of_project, project, vera, browser):
    tasks = factories.TaskFactory.create_batch(35, of=project, responses=2)
    first = browser(vera).get(TASKS).json()
    second = browser(vera).get(TASKS, {"cursor": first["next"]}).json()
    found = [each["id"] for page in (first, second) for each in page["results"]]
    assert found == sorted((task.pk for task in tasks), reverse=True)
    assert second["next"] is None


# --- One word ------------------------------------------------------------------------------------


@pytest.mark.both_databases
@pytest.mark.law("Q1")
def test_a_returned_word_comes_back_to_its_annotator_and_enters_no_dataset_until_it_is_changed(
    disputed, project, ada, vera, browser, tmp_path
):
    word = Judgement.objects.get(annotator=ada)
    made = browser(vera).post(
        f"/api/v1/judgements/{word.pk}/reviews", {"standing": "returned", "comment": "Read the second one again."}
    )
    assert made.status_code == 201
    [back] = browser(ada).get("/api/v1/projects/stories/returned").json()["results"]
    assert (back["comment"], back["by"], back["lease"]) == ("Read the second one again.", "Vera", str(word.lease_id))
    [told] = browser(ada).get(f"/api/v1/submissions/{word.lease_id}/reviews").json()["results"]
    assert told["comment"] == "Read the second one again."
    [line] = lines(project, tmp_path / "meanwhile")
    assert len(line.judgements) == 1

    better = ids_of(disputed)[::-1]
    submissions.change_ranking(
        annotator=ada, lease_id=word.lease_id, edit=word.lease_id, replaces=word.pk, placements=placed(better)
    )
    assert browser(ada).get("/api/v1/projects/stories/returned").json()["results"] == []
    [line] = lines(project, tmp_path / "after")
    assert len(line.judgements) == 2
    disputed.refresh_from_db()
    assert (disputed.seats, disputed.served, disputed.seats_left) == (2, 2, 0)  # her seat was hers all the time
    assert Judgement.objects.get(annotator=ada, is_current=True).standing == ""
    assert Review.objects.get().judgement == word


def test_a_demonstration_is_returned_and_accepted_too(settings_of_project, project, ada, vera, browser, tmp_path):
    queue.ask_for_demonstrations(project=project, wanted=[factories.PromptFactory(project=project)])
    lease = queue.lease_next(annotator=ada, slug="stories", kind="demonstration").lease
    demonstrations.submit(annotator=ada, lease_id=lease.pk, text="Once upon a time.")
    word = Demonstration.objects.get()
    address = f"/api/v1/demonstrations/{word.pk}/reviews"
    assert browser(vera).post(address, {"standing": "returned", "comment": "It has no end."}).status_code == 201
    assert lines(project, tmp_path / "returned", DemonstrationLine, what="demonstrations") == []
    assert browser(ada).get("/api/v1/projects/stories/returned").json()["results"][0]["kind"] == "demonstration"
    assert browser(vera).post(address, {"standing": "accepted"}).status_code == 201
    assert len(lines(project, tmp_path / "accepted", DemonstrationLine, what="demonstrations")) == 1
    shown = browser(vera).get(f"/api/v1/tasks/{lease.task_id}").json()
    assert [each["standing"] for each in shown["answers"][0]["reviews"]] == ["accepted", "returned"]
    assert shown["answers"][0]["word"]["text"] == "Once upon a time."


def test_a_word_is_returned_with_reasons_only_and_reviewed_by_someone_else(disputed, project, ada, vera, browser):
    word = Judgement.objects.get(annotator=ada)
    address = f"/api/v1/judgements/{word.pk}/reviews"
    assert browser(vera).post(address, {"standing": "returned", "comment": " "}).json()["code"] == "no_comment"
    Membership.objects.filter(user=ada).update(role="reviewer")
    assert browser(ada).post(address, {"standing": "accepted"}).json()["code"] == "your_own_word"
    Judgement.objects.filter(pk=word.pk).update(is_current=False)
    assert browser(vera).post(address, {"standing": "accepted"}).json()["code"] == "changed_meanwhile"
    assert not Review.objects.exists()
    assert not Deed.objects.exists()


# --- The last word -------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_settled_word_stands_in_datasets_instead_of_the_others_which_are_kept(
    disputed, project, vera, browser, tmp_path
):
    best, middle, worst = ids_of(disputed)
    said = list(Judgement.objects.order_by("pk"))
    kept = [placements_of(word) for word in said]
    client, address = browser(vera), f"/api/v1/tasks/{disputed.pk}/settle"
    assert client.post(address, {"ranks": {best: 1, middle: 2, worst: 2}, "comment": "The first ends well."}).json()[
        "settled"
    ]
    [line] = lines(project, tmp_path / "settled")
    [word] = line.judgements
    assert (word.annotator, {each.response: each.rank for each in word.placements}) == (
        "settled",
        {best: 1, middle: 2, worst: 2},
    )
    [line] = lines(project, tmp_path / "all", words="all")
    assert line.judgements[0].annotator == "settled"
    assert len(line.judgements) == 3
    assert [placements_of(word) for word in Judgement.objects.order_by("pk")] == kept
    again = client.post(address, {"ranks": in_rank([worst, middle, best])}).json()
    assert again["settlement"]["ranks"][worst] == 1
    assert Settlement.objects.filter(task=disputed).count() == 2
    assert Task.objects.get(pk=disputed.pk).state == "retired"


@pytest.mark.parametrize("ranks", [(1, 2), (1, 3, 3), (2, 2, 2)])
def test_a_task_is_settled_on_all_of_its_responses_with_dense_ranks(disputed, vera, browser, ranks):
    wrong = dict(zip(ids_of(disputed), ranks, strict=False))
    answer = browser(vera).post(f"/api/v1/tasks/{disputed.pk}/settle", {"ranks": wrong})
    assert answer.status_code == 422
    assert not Settlement.objects.exists()


@pytest.mark.law("D2")
def test_a_dataset_may_hold_one_merged_ranking_a_task(disputed, project, ada, ben, vera, tmp_path):
    order = ids_of(disputed)
    for number in range(2):
        person = factories.UserFactory(username=f"third{number}")
        factories.MembershipFactory(project=project, user=person)
        review.ask_one_more(task=disputed, by=vera)
        say(person, order)
    settled = factories.TaskFactory(of=project, responses=2)
    say(ada, ids_of(settled))
    review.settle(task=settled, by=vera, ranks=in_rank(ids_of(settled)[::-1]))
    first, second = lines(project, tmp_path / "merged", words="merged")
    assert [each.annotator for each in first.judgements] == ["merged"]
    assert {each.response: each.rank for each in first.judgements[0].placements} == in_rank(order)
    assert second.judgements[0].placements[0].response == ids_of(settled)[1]


def test_asking_one_more_wants_a_task_in_the_queue(disputed, vera, browser):
    client = browser(vera)
    assert client.post(f"/api/v1/tasks/{disputed.pk}/one-more").json()["seats"] == 3
    assert client.post(f"/api/v1/tasks/{disputed.pk}/retire").json()["state"] == "retired"
    for verb in ("one-more", "retire"):
        assert client.post(f"/api/v1/tasks/{disputed.pk}/{verb}").json()["code"] == "not_open"


def test_annotators_are_measured_by_known_answers(disputed, project, ada, vera, lea, browser):
    ranks = in_rank(ids_of(disputed))
    made = browser(vera).post(f"/api/v1/tasks/{disputed.pk}/known-answer", {"ranks": ranks, "purpose": "gold"})
    task = Task.objects.get(pk=made.json()["task"])
    person = factories.UserFactory(username="carl")
    factories.MembershipFactory(project=project, user=person)
    Task.objects.filter(pk=task.pk).update(purpose="work")  # so that the queue hands it out for certain
    say(person, ids_of(disputed)[::-1])
    Task.objects.filter(pk=task.pk).update(purpose="gold")
    people = {each["name"]: each for each in browser(lea).get("/api/v1/projects/stories/quality").json()["people"]}
    assert people["Carl"]["known"]["share"]["value"] == 0.0
    assert (people["Carl"]["judgements"], people["Ada"]["known"]["share"]) == (0, None)
    assert [each["id"] for each in browser(vera).get(TASKS, {"show": "known"}).json()["results"]] == [task.pk]
    assert browser(vera).get(f"/api/v1/tasks/{disputed.pk}").json()["known_copy"] == task.pk
