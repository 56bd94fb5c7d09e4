"""Simulated annotators at work: they take tasks and submit rankings through the people's own HTTP API."""

from __future__ import annotations

import random
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
from knox.models import AuthToken

from labeling.judges import PERSONAS, Persona
from training.models import Membership, Project, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class ServerRefused(Exception):  # noqa: N818 (it says what happened)
    """The server answered a simulated annotator with an error."""


def people_of(project: Project, count: int) -> list[tuple[User, Persona]]:
    """Make the first `count` personas members of the project; they are marked as simulated and cannot sign in."""
    people = []
    for persona in PERSONAS[:count]:
        user, is_new = User.objects.get_or_create(
            username=f"simulated-{persona.name.lower()}",
            defaults={"name": f"{persona.name} (simulated)", "is_simulated": True},
        )
        if is_new:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        Membership.objects.get_or_create(project=project, user=user, defaults={"role": Membership.Role.ANNOTATOR})
        people.append((user, persona))
    return people


def simulate(
    *,
    project: Project,
    base_url: str,
    annotators: int = len(PERSONAS),
    labels: int | None = None,
    seed: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> int:
    """Let the personas rank what is open, in turn, until `labels` rankings are given or nothing is open. How many.

    What a persona says of a task depends on the seed, the persona and the task's texts only. Raises ServerRefused.
    """
    given = 0
    with desks(people_of(project, annotators), base_url) as at_work:
        waiting = deque(at_work)
        while waiting and (labels is None or given < labels):
            client, persona = waiting.popleft()
            if rank_next(client, persona, project.slug, seed):
                given += 1
                progress(given)
                waiting.append((client, persona))
    return given


@contextmanager
def desks(people: Sequence[tuple[User, Persona]], base_url: str) -> Iterator[list[tuple[httpx.Client, Persona]]]:
    """Give each person a client with a token that lives as long as the work does."""
    clients: list[tuple[httpx.Client, Persona]] = []
    tokens = []
    try:
        for user, persona in people:
            instance, token = AuthToken.objects.create(user=user)
            tokens.append(instance)
            headers = {"Authorization": f"Token {token}"}
            clients.append((httpx.Client(base_url=base_url, headers=headers, timeout=60.0), persona))
        yield clients
    finally:
        for client, _ in clients:
            client.close()
        AuthToken.objects.filter(pk__in=[token.pk for token in tokens]).delete()


def rank_next(client: httpx.Client, persona: Persona, slug: str, seed: int) -> bool:
    """Take one task and rank it; False when nothing is open to this persona, or no more for today."""
    lease = ask(client, f"/api/v1/projects/{slug}/leases", {"kind": "ranking"})
    if lease is None:
        return False
    prompt = lease["task"]["prompt"][-1]["content"] if lease["task"]["prompt"] else ""
    responses = sorted(lease["task"]["responses"], key=lambda response: response["text"])
    texts = [response["text"] for response in responses]
    mood = random.Random("\x1f".join([str(seed), persona.name, prompt, *texts]))
    places = persona.rank(prompt, texts, mood)
    placements = [
        {"response": response["id"], "rank": place.rank, "rating": place.rating, "flags": []}
        for response, place in zip(responses, places, strict=True)
    ]
    ask(client, f"/api/v1/leases/{lease['id']}/ranking", {"placements": placements})
    return True


def ask(client: httpx.Client, address: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Post, and return the answer's body; None for 'no content' and for 'no more today'."""
    answer = client.post(address, json=body)
    if answer.status_code == httpx.codes.CONFLICT and answer.json().get("code") == "daily_limit_reached":
        return None
    if answer.is_error:
        raise ServerRefused(f"{address} answered {answer.status_code}: {answer.text[:300]}")
    return None if answer.status_code == httpx.codes.NO_CONTENT else answer.json()
