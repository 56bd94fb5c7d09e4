"""What stands in Laurel's database before a measurement, written by Laurel's own models: `python laurel_state.py SPEC`.

SPEC is a JSON object: `people` (how many annotators, and one lead), or a `project` with its `tasks`, and perhaps
`seats`, the `order` of the hand-out, `judged` (by all in turn) or `judged_by_first` (the annotator 0 has done so many
of them); or `reset`, a project in which everything that was said and held is forgotten. Runs in a process of its own,
on `DATABASE_URL`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402 (Django is set up first)
from django.db import connection, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from load import TEXTS  # noqa: E402

from labeling import imports, prompts  # noqa: E402
from labeling.batches import batched  # noqa: E402
from labeling.models import (  # noqa: E402
    Candidate,
    Judgement,
    Kind,
    LabelingSettings,
    Lease,
    Placement,
    Prompt,
    Response,
    Task,
)
from training import bulk  # noqa: E402
from training.models import Membership, Project, User  # noqa: E402

BATCH = 2000
PROMPTS_AT_MOST = 20_000
"""Larger queues hold several tasks a prompt: what a task costs is in its own row, its candidates and its leases."""
LEAD = "lead"
SAID = (Task, Lease, Judgement, Placement)
WRITTEN = {"people": (), "project": (Prompt, Response, Candidate, *SAID), "reset": SAID}
"""What each kind of SPEC changes: it is cleaned and counted anew, as the database does by itself before long."""


def add_people(count: int, password: str) -> None:
    """Annotators `annotator0` … and a lead, all with one password."""
    hashed = make_password(password)
    names = [LEAD, *(f"annotator{number}" for number in range(count))]
    User.objects.bulk_create([User(username=name, password=hashed) for name in names])


def annotators() -> list[User]:
    """In their order."""
    return list(User.objects.exclude(username=LEAD).order_by("pk"))


@transaction.atomic
def add_project(
    slug: str, tasks: int, *, seats: int = 1, order: str = "served", judged: int = 0, judged_by_first: int = 0
) -> None:
    """A project in which all are members, with ranking tasks of four responses; the first ones are judged.

    Which the first ones are is the same in every order of the hand-out.
    """
    project = Project.objects.create(slug=slug, name=slug)
    LabelingSettings.objects.create(project=project, overlap=seats, order=order)
    roles = dict.fromkeys(annotators(), Membership.Role.ANNOTATOR)
    roles |= {User.objects.get(username=LEAD): Membership.Role.ADMIN}
    Membership.objects.bulk_create([Membership(project=project, user=user, role=role) for user, role in roles.items()])
    sheets = add_sheets(project, min(tasks, PROMPTS_AT_MOST))
    people = annotators()[:1] if judged_by_first else annotators()
    judged = judged or judged_by_first
    for numbers in batched(range(tasks), BATCH):
        chosen = [sheets[number % len(sheets)] for number in numbers] if sheets else []
        made = [
            Task(
                project=project,
                kind=Kind.RANKING,
                prompt_id=prompt,
                seats=seats,
                seats_left=seats - (number < judged),
                served=int(number < judged),
                lot=number / tasks,
                score=-number,
            )
            for number, (prompt, _) in zip(numbers, chosen, strict=True)
        ]
        bulk.write(made)
        bulk.write(
            [
                Candidate(task=task, response_id=response)
                for task, (_, responses) in zip(made, chosen, strict=True)
                for response in responses
            ]
        )
        said = [
            (task, people[number % len(people)], responses)
            for number, task, (_, responses) in zip(numbers, made, chosen, strict=True)
            if number < judged
        ]
        judge(project, said)


def add_sheets(project: Project, count: int) -> list[tuple[int, list[Any]]]:
    """Prompts with four responses each, by their keys."""
    sheets = []
    for numbers in batched(range(count), BATCH):
        wanted = [prompts.NewPrompt(messages=[{"role": "user", "content": TEXTS.prompt(number)}]) for number in numbers]
        found = prompts.add_all(project=project, wanted=wanted)
        responses = [
            Response(prompt=prompt, text=text)
            for number, prompt in zip(numbers, found, strict=True)
            for text in TEXTS.responses(number)
        ]
        bulk.write(responses)
        by_prompt: dict[int, list[Any]] = {}
        for response in responses:
            by_prompt.setdefault(response.prompt_id, []).append(response.pk)
        sheets += by_prompt.items()
    return sheets


def judge(project: Project, said: list[tuple[Task, User, list[Any]]]) -> None:
    """A ranking of each of these tasks by its annotator, with the lease that it came with."""
    leases = [imports.closed_lease(project, task, annotator) for task, annotator, _ in said]
    judgements = [
        Judgement(
            project=project,
            task=lease.task,
            lease=lease,
            annotator=lease.annotator,
            form=Judgement.Form.RANKING,
            shown=[str(response) for response in responses],
            seconds_spent=30.0,
        )
        for lease, (_, _, responses) in zip(leases, said, strict=True)
    ]
    bulk.write(leases)
    bulk.write(judgements)
    bulk.write(
        [
            Placement(judgement=judgement, response_id=response, rank=rank, rating=8 - rank)
            for judgement, (_, _, responses) in zip(judgements, said, strict=True)
            for rank, response in enumerate(responses, start=1)
        ]
    )


@transaction.atomic
def reset(slug: str) -> None:
    """Forget all that was said and held in a project, so that another round finds what the one before it found."""
    Judgement.objects.filter(project__slug=slug).delete()
    Lease.objects.filter(project__slug=slug).delete()
    Task.objects.filter(project__slug=slug).exclude(seats_left=F("seats")).update(seats_left=F("seats"), served=0)


def main() -> None:
    spec = json.loads(sys.argv[1])
    if "people" in spec:
        add_people(**spec["people"])
    if "project" in spec:
        add_project(**spec["project"])
    if "reset" in spec:
        reset(spec["reset"])
    with connection.cursor() as cursor:
        for model in WRITTEN[next(iter(spec))]:
            vacuum = "VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE"
            cursor.execute(f"{vacuum} {connection.ops.quote_name(model._meta.db_table)}")


if __name__ == "__main__":
    main()
