"""What a policy sampled goes before the annotators: once, whole, and blind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations

import labeling_factories as factories
import pytest

from labeling import queue
from labeling.models import Candidate, Prompt, Response, Task
from training.models import Checkpoint, Job
from training.records import Message, Sample, SampleLine

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(project):
    return Job.objects.create(project=project, kind="policy.sample", config={"temperature": 0.9})


@pytest.fixture
def checkpoint(project):
    return Checkpoint.objects.create(project=project, kind="policy", name="round 1", digest="sha256:1")


def sampled(text, *responses, prompt_id="1"):
    samples = tuple(
        Sample(k=k, text=each, token_count=9, logprob=-12.5, finished=True, seed=7) for k, each in enumerate(responses)
    )
    return SampleLine(prompt_id=prompt_id, prompt=(Message("user", text),), responses=samples)


FOUR = ("Mina went home.", "Mina slept.", "The kite came back.", "The wind lay down.")


def test_each_response_knows_its_checkpoint_and_how_it_was_sampled(project, job, checkpoint):
    prompt = factories.PromptFactory(project=project, priority=2)
    line = sampled(prompt.messages[0]["content"], *FOUR)
    assert queue.place(job=job, samples=[line], authors={"policy": checkpoint}, priority=1) == 1
    task = Task.objects.get()
    assert (task.prompt, task.job, task.kind, task.priority, task.seats_left) == (prompt, job, "ranking", 3, 1)
    written = Response.objects.get(text="The kite came back.")
    assert (written.checkpoint, written.job, written.sample, written.seed) == (checkpoint, job, 2, 7)
    assert (written.logprob, written.token_count, written.finished) == (-12.5, 9, True)
    assert written.sampling == {"temperature": 0.9}
    assert task.responses.count() == 4


def test_what_the_reward_model_doubts_most_comes_first_where_a_project_asks_for_it(
    settings_of_project, project, job, checkpoint, ada
):
    settings_of_project.order = "score"
    settings_of_project.save()
    doubts = {"Sure?": 0.01, "Not asked?": None, "Torn?": 0.31, "Unsure?": 0.2}
    lines = [replace(sampled(text, *FOUR), doubt=doubt) for text, doubt in doubts.items()]
    queue.place(job=job, samples=lines, authors={"policy": checkpoint})
    seen = []
    for _ in lines:
        lease = queue.lease_next(annotator=ada, slug=project.slug, kind="ranking").lease
        seen.append(lease.task.prompt.messages[0]["content"])
        queue.skip(annotator=ada, lease_id=lease.pk, reason="other")
    assert seen == ["Torn?", "Unsure?", "Sure?", "Not asked?"]


def test_placing_twice_changes_nothing(project, job, checkpoint):
    lines = [sampled(f"Story {n}?", *FOUR) for n in range(3)]
    assert queue.place(job=job, samples=lines[:2], authors={"policy": checkpoint}) == 2
    assert queue.place(job=job, samples=lines, authors={"policy": checkpoint}) == 1
    assert (Task.objects.count(), Response.objects.count(), Prompt.objects.count()) == (3, 12, 3)


def test_another_job_places_the_same_prompt_again(project, job, checkpoint):
    other = Job.objects.create(project=project, kind="policy.sample")
    for each in (job, other):
        queue.place(job=each, samples=[sampled("Story?", *FOUR)], authors={"policy": checkpoint})
    assert (Task.objects.count(), Prompt.objects.count()) == (2, 1)


def test_the_text_finds_the_prompt_whatever_id_it_had_elsewhere(project, job):
    stranger = factories.PromptFactory(project=project)
    prompt = factories.PromptFactory(project=project)
    line = sampled(prompt.messages[0]["content"].upper(), *FOUR, prompt_id=str(stranger.pk))
    queue.place(job=job, samples=[line], authors={"policy": None})
    assert Task.objects.get().prompt == prompt


def test_empty_responses_are_left_out_and_identical_ones_become_one(project, job):
    lines = [
        sampled("One?", "Same.", " Same.", "", "Other."),
        sampled("Two?", "Same.", "Same. ", " "),
        sampled("Three?", "", ""),
    ]
    assert queue.place(job=job, samples=lines, authors={"policy": None}) == 1
    assert set(Task.objects.get().responses.values_list("text", flat=True)) == {"Same.", "Other."}
    assert set(Response.objects.values_list("sample", flat=True)) == {0, 3}


def mixed_task(project, *checkpoints):
    """Two responses of each of two policies."""
    task = factories.TaskFactory(of=project, responses=0)
    for checkpoint in checkpoints:
        for response in factories.ResponseFactory.create_batch(2, prompt=task.prompt, checkpoint=checkpoint):
            Candidate.objects.create(task=task, response=response)
    return task


@pytest.mark.law("Q4")
def test_an_annotator_is_told_nothing_but_ids_and_texts(project, ada, browser, checkpoint):
    other = Checkpoint.objects.create(project=project, kind="policy", name="round 2", digest="sha256:2")
    mixed_task(project, checkpoint, other)
    lease = browser(ada).post("/api/v1/projects/stories/leases", {"kind": "ranking"}).json()
    assert [set(response) for response in lease["task"]["responses"]] == 4 * [{"id", "text"}]
    assert not {"checkpoint", "sha256:1", "round 1", "writer"} & set(str(lease).replace("'", " ").split())


@pytest.mark.law("Q4")
def test_neither_the_shown_order_nor_the_ids_tell_the_policies_apart(project, checkpoint):
    other = Checkpoint.objects.create(project=project, kind="policy", name="round 2", digest="sha256:2")
    places, ids = Counter(), Counter()
    for _ in range(100):
        mixed_task(project, checkpoint, other)
    people = factories.UserFactory.create_batch(4)
    for person in people:
        factories.MembershipFactory(project=project, user=person)
    Task.objects.update(seats=4, seats_left=4)
    factories.SettingsFactory(project=project, skip_limit=9)
    for person in people:
        while handout := queue.lease_next(annotator=person, slug=project.slug, kind="ranking"):
            assert handout.lease.shown == [str(response.pk) for response in handout.responses]
            for place, response in enumerate(handout.responses):
                places[place] += response.checkpoint_id == checkpoint.pk
            for one, two in combinations(sorted(handout.responses, key=lambda response: response.pk), 2):
                ids[one.checkpoint_id == checkpoint.pk, two.checkpoint_id == checkpoint.pk] += 1
            queue.skip(annotator=person, lease_id=handout.lease.pk)
    # 400 leases: each place holds the first policy 200 ± 10 times (one standard deviation)
    assert all(150 < places[place] < 250 for place in range(4)), places
    assert abs(ids[True, False] - ids[False, True]) < 0.35 * (ids[True, False] + ids[False, True]), ids


@pytest.mark.law("Q4")
def test_two_annotators_see_one_task_in_orders_of_their_own(project, ada, ben):
    factories.TaskFactory.create_batch(8, of=project, seats=2, responses=6)
    orders = []
    for person in (ada, ben):
        seen = {}
        for _ in range(2):
            handout = queue.lease_next(annotator=person, slug="stories", kind="ranking")
            seen[handout.lease.task_id] = handout.lease.shown
        orders.append(seen)
    assert set(orders[0]) == set(orders[1])
    assert orders[0] != orders[1]
