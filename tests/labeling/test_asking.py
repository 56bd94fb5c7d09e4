"""A conversation that someone had becomes a task: asked once, in the split of how it began."""

from __future__ import annotations

import pytest

from labeling import asking
from labeling.models import Prompt, Task

pytestmark = pytest.mark.django_db
PROMPTS = "/api/v1/projects/stories/prompts"


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def test_a_conversation_is_asked_once_and_the_next_annotator_gets_it(project, ada, ben, browser):
    messages = [user("Tell me of a kite."), assistant("It flew."), user("And then?")]
    first, second = (browser(ada).post(PROMPTS, {"messages": messages}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() | {"opened": False} == second.json()
    assert Prompt.objects.get().source == "chat"
    lease = browser(ben).post("/api/v1/projects/stories/leases", {"kind": "demonstration"}).json()
    assert lease["task"]["prompt"] == messages


def test_all_turns_of_a_conversation_stand_in_one_split(project, ada, browser):
    line = [user("Tell me of a kite.")]
    for number in range(6):
        browser(ada).post(PROMPTS, {"messages": line})
        line = [*line, assistant(f"It flew {number}."), user(f"And then, {number}?")]
    assert Task.objects.count() == 6
    assert len({(prompt.group, prompt.split) for prompt in Prompt.objects.all()}) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": []}, 400),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400),
        ({"messages": [user("a\x00b")]}, 400),
        ({"messages": [user("x")], "ask": "dance"}, 400),
        ({"messages": [user("x"), assistant("y")]}, 422),
        ({"messages": [user("  ")]}, 422),
    ],
)
def test_what_is_no_conversation_is_refused_and_leaves_nothing(project, ada, browser, body, status):
    assert browser(ada).post(PROMPTS, body).status_code == status
    assert not Prompt.objects.exists()


def test_a_stranger_learns_nothing(project, charlie, browser):
    assert browser(charlie).post(PROMPTS, {"messages": [user("x")]}).status_code == 404


def test_replies_that_say_the_same_are_one_and_the_first_is_kept():
    texts = ("a kite", " a kite ", "", "an owl", "a kite")
    replies = [asking.Reply(text=text, seed=1, sample=k, finished=True) for k, text in enumerate(texts)]
    assert [reply.sample for reply in asking.different(replies)] == [0, 3]
