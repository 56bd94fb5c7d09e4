"""Law Q6: an edit supersedes, never overwrites; and what was submitted can be found, read and changed again."""

from __future__ import annotations

from uuid import uuid4

import labeling_factories as factories
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from together import at_once

from labeling import days, demonstrations, progress, queue, rankings, submissions
from labeling.models import Demonstration, Draft, Judgement, Lease, Placement
from training.models import Membership
from training.records import Placement as Place

pytestmark = pytest.mark.django_db
HISTORY = "/api/v1/projects/stories/history"
SEVENS = st.lists(st.integers(1, 7), min_size=4, max_size=4)


def places(lease, ratings):
    """A ranking by rating, equals tied."""
    best_first = sorted(set(ratings), reverse=True)
    return [
        Place(response=response, rank=best_first.index(rating) + 1, rating=rating)
        for response, rating in zip(lease.shown, ratings, strict=True)
    ]


def body_of(lease, ratings, **more):
    placements = [
        {"response": each.response, "rank": each.rank, "rating": each.rating, "flags": []}
        for each in places(lease, ratings)
    ]
    return {"placements": placements, "flags": [], "note": "", "seconds_spent": 20.0} | more


def ranked_by(person, project, ratings=(6, 5, 4, 3), **task):
    factories.TaskFactory(of=project, **task)
    lease = queue.lease_next(annotator=person, slug=project.slug, kind="ranking").lease
    said, _ = rankings.submit(annotator=person, lease_id=lease.pk, placements=places(lease, ratings), seconds_spent=40)
    return lease, said


def written_by(person, project, text="Mina found her kite."):
    factories.TaskFactory(of=project, kind="demonstration")
    lease = queue.lease_next(annotator=person, slug=project.slug, kind="demonstration").lease
    return lease, demonstrations.submit(annotator=person, lease_id=lease.pk, text=text)[0]


def ratings_of(word):
    given = {str(each.response_id): each.rating for each in Placement.objects.filter(judgement=word)}
    return [given[response] for response in word.shown]


@pytest.mark.law("Q6")
@pytest.mark.both_databases
@given(edits=st.lists(st.tuples(SEVENS, st.text("ab ", max_size=5), st.integers(1, 3)), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_changed_each_past_word_can_still_be_read_and_one_stands(edits):
    project = factories.ProjectFactory()
    ada = factories.UserFactory()
    factories.MembershipFactory(project=project, user=ada)
    lease, first = ranked_by(ada, project)
    said = [([6, 5, 4, 3], "")]
    standing = first.pk
    for ratings, note, times in edits:
        edit = uuid4()
        answers = [
            submissions.change_ranking(
                annotator=ada,
                lease_id=lease.pk,
                edit=edit,
                replaces=standing,
                placements=places(lease, ratings),
                note=note,
            )
            for _ in range(times)
        ]
        assert [is_new for _, is_new in answers] == [True] + [False] * (times - 1)
        assert len({word.pk for word, _ in answers}) == 1
        said.append((ratings, note))
        standing = answers[0][0].pk
    words = list(Judgement.objects.filter(lease=lease).order_by("pk"))
    assert [(ratings_of(word), word.note) for word in words] == said
    assert [word.supersedes_id for word in words] == [None, *(word.pk for word in words[:-1])]
    assert [word.is_current for word in words] == [False] * len(edits) + [True]
    task = words[0].task
    assert (task.served, task.seats_left, Lease.objects.filter(task=task).count()) == (1, 0, 1)


@pytest.mark.law("Q6")
@pytest.mark.both_databases
def test_every_word_of_a_demonstration_is_read_over_the_api_newest_first(project, ada, browser):
    lease, first = written_by(ada, project, "One.")
    client = browser(ada)
    change = {"edit": str(uuid4()), "replaces": first.pk, "text": "Two.", "seconds_spent": 5}
    address = f"/api/v1/submissions/{lease.pk}"
    answers = [client.put(f"{address}/demonstration", change) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 200]
    words = client.get(f"{address}/history").json()["results"]
    assert [(word["text"], word["is_current"]) for word in words] == [("Two.", True), ("One.", False)]
    now = client.get(address).json()
    assert (now["word"]["text"], now["changes"], now["word"]["supersedes"]) == ("Two.", 1, first.pk)


@pytest.mark.both_databases
def test_ada_reads_what_she_said_with_the_task_as_she_saw_it(project, ada, browser):
    lease, said = ranked_by(ada, project, (1, 7, 7, 3))
    read = browser(ada).get(f"/api/v1/submissions/{lease.pk}").json()
    assert [each["id"] for each in read["task"]["responses"]] == lease.shown
    assert all(set(each) == {"id", "text"} for each in read["task"]["responses"])
    assert read["word"]["id"] == said.pk
    rating_of = {each["response"]: each["rating"] for each in read["word"]["placements"]}
    assert [rating_of[response] for response in lease.shown] == [1, 7, 7, 3]
    assert (read["draft"], read["before"], read["changes"]) == (None, None, 0)


def test_back_and_back_again_leads_through_what_was_submitted(project, ada, browser):
    leases = [ranked_by(ada, project)[0] for _ in range(3)]
    client = browser(ada)
    before = [client.get(f"/api/v1/submissions/{lease.pk}").json()["before"] for lease in reversed(leases)]
    assert before == [str(leases[1].pk), str(leases[0].pk), None]


def test_a_change_is_said_under_the_guidelines_of_its_day_and_the_order_of_its_lease(project, ada):
    factories.GuidelinesFactory(project=project, version=1)
    lease, said = ranked_by(ada, project)
    factories.GuidelinesFactory(project=project, version=2)
    changed, _ = submissions.change_ranking(
        annotator=ada, lease_id=lease.pk, edit=uuid4(), replaces=said.pk, placements=places(lease, (1, 2, 3, 4))
    )
    assert (said.guidelines_version, changed.guidelines_version) == (1, 2)
    assert changed.shown == said.shown


@pytest.mark.both_databases
def test_a_change_made_from_a_stale_word_is_refused_by_name_and_changes_nothing(project, ada, browser):
    lease, said = ranked_by(ada, project)
    client = browser(ada)
    address = f"/api/v1/submissions/{lease.pk}/ranking"
    body = body_of(lease, (7, 6, 5, 4), replaces=said.pk)
    assert client.put(address, body | {"edit": str(uuid4())}).status_code == 201
    refused = client.put(address, body | {"edit": str(uuid4())})
    assert (refused.status_code, refused.json()["code"]) == (409, "changed_meanwhile")
    assert Judgement.objects.count() == 2


def test_a_change_is_held_to_the_rules_of_a_ranking(project, ada, browser):
    lease, said = ranked_by(ada, project)
    client = browser(ada)
    address = f"/api/v1/submissions/{lease.pk}/ranking"
    body = body_of(lease, (7, 6, 5, 4), replaces=said.pk, edit=str(uuid4()))
    missing = body["placements"].pop()
    assert client.put(address, body).json()["code"] == "incomplete_ranking"
    body["placements"].append(missing | {"rank": 1})
    assert client.put(address, body).json()["code"] == "contradictory_ranking"
    body["placements"][-1] = missing
    assert client.put(address, body | {"flags": ["nonsense"]}).json()["code"] == "unknown_flag"
    assert client.get(f"/api/v1/submissions/{lease.pk}").json()["changes"] == 0


def test_a_flag_that_was_taken_away_stays_where_it_was_raised_and_is_raised_nowhere_else(
    settings_of_project, project, ada, browser
):
    factories.TaskFactory(of=project)
    lease = queue.lease_next(annotator=ada, slug=project.slug, kind="ranking").lease
    said = body_of(lease, (6, 5, 4, 3), flags=["sensitive"])
    said["placements"][0]["flags"] = ["violent"]
    client = browser(ada)
    client.post(f"/api/v1/leases/{lease.pk}/ranking", said)
    settings_of_project.label_set = {"response_flags": [], "task_flags": []}
    settings_of_project.save()
    address = f"/api/v1/submissions/{lease.pk}/ranking"

    def change(flagged, more=()):
        body = body_of(lease, (7, 5, 4, 3), flags=["sensitive", *more])
        body["placements"][flagged]["flags"] = ["violent"]
        return client.put(address, body | {"edit": str(uuid4()), "replaces": Judgement.objects.latest("pk").pk})

    assert change(1).json()["code"] == "unknown_flag"
    assert change(0, ["unclear"]).json()["code"] == "unknown_flag"
    assert change(0).status_code == 201
    word = Judgement.objects.get(is_current=True)
    raised = {str(each.response_id): each.flags for each in word.placements.all()}
    assert (word.flags, raised[lease.shown[0]]) == (["sensitive"], ["violent"])


def test_nobody_else_reads_or_changes_what_ada_said(project, ada, ben, charlie, lea, browser):
    lease, said = ranked_by(ada, project)
    address = f"/api/v1/submissions/{lease.pk}"
    for person in (ben, charlie, lea):
        client = browser(person)
        change = body_of(lease, (7, 6, 5, 4), replaces=said.pk, edit=str(uuid4()))
        answers = [
            client.get(address),
            client.get(f"{address}/history"),
            client.put(f"{address}/ranking", change),
            client.put(f"{address}/draft", {"replaces": said.pk, "body": {}}),
            client.delete(f"{address}/draft"),
        ]
        assert [each.status_code for each in answers] == [404] * 5
    assert Judgement.objects.count() == 1


def test_who_left_the_project_changes_nothing_there(project, ada, browser):
    lease, said = ranked_by(ada, project)
    Membership.objects.filter(user=ada).delete()
    change = body_of(lease, (7, 6, 5, 4), replaces=said.pk, edit=str(uuid4()))
    assert browser(ada).put(f"/api/v1/submissions/{lease.pk}/ranking", change).status_code == 404


def test_what_is_still_in_hand_is_no_submission(project, ada, browser):
    factories.TaskFactory(of=project)
    lease = queue.lease_next(annotator=ada, slug="stories", kind="ranking").lease
    assert browser(ada).get(f"/api/v1/submissions/{lease.pk}").status_code == 404
    change = body_of(lease, (7, 6, 5, 4), replaces=1, edit=str(uuid4()))
    assert browser(ada).put(f"/api/v1/submissions/{lease.pk}/ranking", change).status_code == 404


def test_the_draft_of_a_change_comes_back_on_another_machine_until_it_is_submitted(project, ada, browser):
    lease, said = ranked_by(ada, project)
    address = f"/api/v1/submissions/{lease.pk}"
    draft = {"replaces": said.pk, "body": {"note": "on second thought"}}
    assert browser(ada).put(f"{address}/draft", draft).status_code == 200
    assert browser(ada).get(address).json()["draft"] == draft["body"]
    change = body_of(lease, (7, 6, 5, 4), replaces=said.pk, edit=str(uuid4()))
    browser(ada).put(f"{address}/ranking", change)
    assert browser(ada).get(address).json()["draft"] is None
    late = browser(ada).put(f"{address}/draft", draft)
    assert (late.status_code, late.json()["code"]) == (409, "changed_meanwhile")


def test_a_change_that_is_given_up_leaves_no_draft(project, ada, browser):
    lease, said = ranked_by(ada, project)
    address = f"/api/v1/submissions/{lease.pk}"
    browser(ada).put(f"{address}/draft", {"replaces": said.pk, "body": {"note": "hm"}})
    assert browser(ada).delete(f"{address}/draft").status_code == 204
    assert browser(ada).get(address).json()["draft"] is None
    assert not Draft.objects.exists()


def test_a_change_is_no_new_work_in_ones_progress(project, ada):
    lease, said = ranked_by(ada, project)
    submissions.change_ranking(
        annotator=ada,
        lease_id=lease.pk,
        edit=uuid4(),
        replaces=said.pk,
        placements=places(lease, (1, 2, 3, 4)),
        seconds_spent=50,
    )
    done = progress.done_since(ada, project, days.today())
    assert (done.rankings, done.seconds_each) == (1, 40)


# --- The history ----------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_the_history_is_searched_by_words_of_the_prompt_and_of_what_was_written(project, ada, browser):
    balloons = factories.PromptFactory(
        project=project, messages=[{"role": "user", "content": "A *balloon*\nin “Łódź”?"}]
    )
    boats = factories.PromptFactory(
        project=project,
        messages=[
            {"role": "user", "content": "A boat?"},
            {"role": "assistant", "content": "Yes, a boat."},
            {"role": "user", "content": "Of paper."},
        ],
    )
    first = ranked_by(ada, project, prompt=balloons)[0]
    second = ranked_by(ada, project, prompt=boats)[0]
    third = written_by(ada, project, "The lighthouse blinked 100 % twice.")[0]

    def found(**query):
        return [row["lease"] for row in browser(ada).get(HISTORY, query).json()["results"]]

    one, two, three = str(first.pk), str(second.pk), str(third.pk)
    assert found() == [three, two, one]
    assert found(q="BALLOON") == [one]
    assert found(q="Łódź") == [one]
    assert found(q="paper boat") == [two]
    assert found(q="100 %") == [three]
    assert found(q="paper balloon") == []
    assert found(kind="ranking") == [two, one]
    assert found(kind="demonstration", q="lighthouse") == [three]


def test_what_was_superseded_is_found_by_what_stands_now_only(project, ada, browser):
    lease, first = written_by(ada, project, "A whale.")
    submissions.change_demonstration(
        annotator=ada, lease_id=lease.pk, edit=uuid4(), replaces=first.pk, text="A dolphin."
    )
    assert browser(ada).get(HISTORY, {"q": "whale"}).json()["results"] == []
    [row] = browser(ada).get(HISTORY, {"q": "dolphin"}).json()["results"]
    assert row["changed_at"] is not None


@pytest.mark.law("A3")
def test_pages_of_the_history_hold_everything_once_also_where_times_are_equal(project, ada, browser):
    tasks = factories.TaskFactory.create_batch(120, of=project, responses=2)
    moment = factories.GuidelinesFactory(project=project).created_at
    Lease.objects.bulk_create(
        Lease(
            project=project,
            kind="ranking",
            task=task,
            annotator=ada,
            state="submitted",
            expires_at=moment,
            ended_at=moment,
        )
        for task in tasks
    )
    client, cursor, seen = browser(ada), None, []
    while cursor != "":
        page = client.get(HISTORY, {"cursor": cursor} if cursor else {}).json()
        seen += [row["lease"] for row in page["results"]]
        cursor = page["next"] or ""
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize("cursor", ["nonsense", "2026-01-01~x", "2026-01-01T00:00:00~" + "0" * 32])
def test_a_cursor_of_ones_own_making_is_refused(project, ada, browser, cursor):
    assert browser(ada).get(HISTORY, {"cursor": cursor}).status_code == 400


@pytest.mark.law("A3")
def test_a_longer_history_takes_no_more_statements(project, ada, browser, django_assert_max_num_queries):
    for _ in range(12):
        ranked_by(ada, project, responses=4)
    client = browser(ada)
    client.get(HISTORY)
    with django_assert_max_num_queries(8):
        assert len(client.get(HISTORY, {"q": "kite"}).json()["results"]) == 12


# --- Under real concurrency -----------------------------------------------------------------------


@pytest.mark.law("Q6")
@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_one_edit_sent_by_many_requests_at_once_is_one_word(settings_of_project, ada):
    lease, said = ranked_by(ada, settings_of_project.project)
    edit = uuid4()

    def change(_):
        return submissions.change_ranking(
            annotator=ada, lease_id=lease.pk, edit=edit, replaces=said.pk, placements=places(lease, (1, 2, 3, 4))
        )

    answers = at_once(6, change)
    assert len({word.pk for word, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    assert Judgement.objects.filter(is_current=True).count() == 1


@pytest.mark.law("Q6")
@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_of_edits_that_race_each_other_one_stands_and_the_others_are_told(settings_of_project, ada):
    lease, said = written_by(ada, settings_of_project.project)

    def change(number):
        try:
            word, _ = submissions.change_demonstration(
                annotator=ada, lease_id=lease.pk, edit=uuid4(), replaces=said.pk, text=f"Version {number}."
            )
        except submissions.ChangedMeanwhile:
            return None
        return word.pk

    written = [each for each in at_once(6, change) if each]
    assert written == list(Demonstration.objects.filter(is_current=True).values_list("pk", flat=True))
    assert Demonstration.objects.count() == 2
