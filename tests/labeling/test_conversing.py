"""Converse: both sides of a conversation by one annotator, kept while it grows, recorded once, learned from whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import labeling_factories as factories
import pytest
from django.db import connection

from labeling import conversing, snapshots, splits, submissions
from labeling.config import SnapshotConfig
from labeling.models import Conversation, Demonstration, Lease, Prompt, Task
from training.records import DemonstrationLine, read_lines

pytestmark = pytest.mark.django_db
HERE = "/api/v1/projects/stories/conversations"
TURNS = [
    {"role": "user", "content": " Tell me of a kite. "},
    {"role": "assistant", "content": "It flew."},
    {"role": "user", "content": "And then?"},
    {"role": "assistant", "content": "It came home."},
]


def submitted(client, turns=TURNS, key=None):
    return client.post(f"{HERE}/{key or uuid4()}/submit", {"turns": turns, "seconds_spent": 75.5})


def test_a_conversation_becomes_a_prompt_of_the_project_and_its_demonstration(project, ada, browser):
    factories.GuidelinesFactory(project=project, version=3)
    key = uuid4()
    assert submitted(browser(ada), key=key).status_code == 201
    said = Demonstration.objects.get()
    assert (said.text, said.is_conversation, said.guidelines_version) == ("It came home.", True, 3)
    assert (said.annotator, said.seconds_spent) == (ada, 75.5)
    assert [turn["content"] for turn in said.prompt.messages] == ["Tell me of a kite.", "It flew.", "And then?"]
    assert said.prompt.split == splits.split_of(splits.group_of(TURNS[:1]))
    assert said.task.seats == said.task.served + said.task.seats_left == 1
    history = browser(ada).get("/api/v1/projects/stories/history").json()["results"]
    assert [(row["lease"], row["prompt"]) for row in history] == [(str(key), "And then?")]


def test_it_stands_in_the_split_of_whatever_began_the_same_way(project, ada, browser):
    factories.PromptFactory(
        project=project, messages=[{"role": "user", "content": "tell me of a  KITE."}], split="test"
    )
    submitted(browser(ada))
    assert Demonstration.objects.get().prompt.split == "test"


def test_sent_twice_it_is_recorded_once(project, ada, browser):
    client, key = browser(ada), uuid4()
    first, second = submitted(client, key=key), submitted(client, key=key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert (Demonstration.objects.count(), Task.objects.count(), Prompt.objects.count()) == (1, 1, 1)


@pytest.mark.both_databases
@pytest.mark.django_db(transaction=True)
def test_sent_many_times_at_once_it_is_recorded_once(project, ada):
    key = uuid4()

    def send(_):
        try:
            return conversing.submit(annotator=ada, project=project, conversation_id=key, turns=TURNS)[0].pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert set(answers) == {Demonstration.objects.get().pk}
    assert Task.objects.count() == 1


@pytest.mark.parametrize(
    ("turns", "wrong"),
    [
        ([], 0),
        (TURNS[:3], 3),
        (TURNS[1:], 0),
        ([TURNS[0], TURNS[0], TURNS[1]], 1),
        ([TURNS[0], {"role": "assistant", "content": " \n"}], 1),
    ],
)
def test_an_unfinished_conversation_is_refused_and_the_turn_is_named(project, ada, browser, turns, wrong):
    refused = submitted(browser(ada), turns)
    assert (refused.status_code, refused.json()["code"]) == (422, "not_a_conversation")
    assert refused.json()["fields"]["turns"] == [wrong]
    assert not Prompt.objects.exists()


def test_half_a_conversation_is_there_on_another_machine_and_is_over_once_submitted(project, ada, browser):
    key, half = str(uuid4()), {"turns": TURNS[:1], "seconds": 12}
    assert browser(ada).get(HERE).json() == []
    assert browser(ada).put(f"{HERE}/{key}", half).status_code == 200
    [kept] = browser(ada).get(HERE).json()
    assert (kept["id"], kept["body"]) == (key, half)
    submitted(browser(ada), key=key)
    assert browser(ada).get(HERE).json() == []
    late = browser(ada).put(f"{HERE}/{key}", half)
    assert (late.status_code, late.json()["code"]) == (409, "conversation_submitted")
    assert not Conversation.objects.exists()


def test_nobody_touches_the_conversation_of_another(project, ada, ben, browser):
    open_key, over = uuid4(), uuid4()
    browser(ada).put(f"{HERE}/{open_key}", {"turns": TURNS[:1]})
    submitted(browser(ada), key=over)
    client = browser(ben)
    assert client.get(HERE).json() == []
    tries = [
        client.put(f"{HERE}/{open_key}", {}), client.delete(f"{HERE}/{open_key}"),
        client.put(f"{HERE}/{over}", {}), submitted(client, key=over),
    ]  # fmt: skip
    assert [answer.status_code for answer in tries] == [404] * 4
    assert Conversation.objects.get().body == {"turns": TURNS[:1]}
    assert browser(ada).delete(f"{HERE}/{open_key}").status_code == 204


def test_every_ideal_turn_is_a_line_to_learn_from_and_the_last_one_can_be_changed(project, ada, browser, tmp_path):
    submitted(browser(ada))
    said = Demonstration.objects.get()
    lease = Lease.objects.get()
    changed = {"edit": uuid4(), "replaces": said.pk, "text": "It came home late."}
    submissions.change_demonstration(annotator=ada, lease_id=lease.pk, **changed)
    snapshots.write(project, SnapshotConfig(what="demonstrations"), tmp_path)
    lines = list(read_lines(DemonstrationLine, tmp_path))
    assert [([turn.content for turn in line.prompt], line.response) for line in lines] == [
        (["Tell me of a kite."], "It flew."),
        (["Tell me of a kite.", "It flew.", "And then?"], "It came home late."),
    ]
    assert len({line.id for line in lines}) == 2
    assert len({(line.group, line.split) for line in lines}) == 1
