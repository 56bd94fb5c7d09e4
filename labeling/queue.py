"""Who gets which task, and for how long. Each verb is one transaction and counts seats on the row that it locks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from labeling import prompts
from labeling.batches import batched
from labeling.models import Candidate, Draft, Guidelines, Kind, LabelingSettings, Lease, Prompt, Response, Task
from training import access
from training.models import Membership
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from training.models import Checkpoint, Job, Project, User
    from training.records import SampleLine

HELD_AT_MOST = 2
FIRST, SECOND, BOTH = 1, 2, 3  # the sum of the slots that someone holds says which one is free
TRIES = 8  # at a hand-out, where requests get into each other's way
SWEEP = 500
SAMPLES_A_BATCH = 500


class NoSuchLease(Refusal):
    code, status = "not_found", 404
    message = "There is no such lease, or it is not yours."


class TooManyLeases(Refusal):
    code, status = "too_many_leases", 409
    message = "You already hold two tasks. Finish one, skip it or give it back first."


class LeaseExpired(Refusal):
    code, status = "lease_expired", 409
    message = "This task was handed to someone else while you were away. Your draft is kept."


class LeaseClosed(Refusal):
    code, status = "lease_closed", 409
    message = "This task is no longer in your hands."


@dataclass(frozen=True, slots=True, kw_only=True)
class Handout:
    """What lies in front of an annotator."""

    lease: Lease
    prompt: Prompt
    responses: list[Response] = field(default_factory=list)
    """In the order that this annotator is shown."""
    draft: Draft | None = None


# One statement picks the next task, locks it and takes a seat: what is locked is what is counted.
PICK = """
    UPDATE labeling_task SET seats_left = seats_left - 1
    WHERE id = (
        SELECT task.id FROM labeling_task AS task
        WHERE task.project_id = %s AND task.kind = %s AND task.state = 'open' AND task.seats_left > 0
          AND NOT EXISTS (
              SELECT 1 FROM labeling_lease AS seen
              WHERE seen.task_id = task.id AND seen.annotator_id = %s AND seen.state <> 'given_back'
          )
        ORDER BY task.priority DESC, {order}
        LIMIT 1 {lock}
    )
    RETURNING id, prompt_id
"""
ORDERS = {
    LabelingSettings.Order.SERVED: "task.served DESC, task.id",
    LabelingSettings.Order.UNIFORM: "task.lot, task.id",
    LabelingSettings.Order.SCORE: "task.score DESC, task.id",
}
LOCKS = {"postgresql": "FOR UPDATE OF task SKIP LOCKED", "sqlite": ""}  # SQLite has one writer at a time


def lease_next(*, annotator: User, slug: str, kind: str) -> Handout | None:
    """Hand out one task of the project that still has a free seat, or None when there is none for this annotator.

    A lease of theirs that has expired comes back first while its seat is free, with its draft. Raises NoSuchProject and
    TooManyLeases: an annotator holds two leases of a kind at most, the one in front of them and the one prefetched.
    """
    handout = None
    for _ in range(TRIES):
        try:
            handout = hand_out(annotator=annotator, slug=slug, kind=kind)
        except IntegrityError:
            continue  # another request of the same annotator was quicker; its lease is seen now
        if handout or not (expire(project_slug=slug) or open_to(annotator, slug=slug, kind=kind).exists()):
            break  # else a seat came free, or others hold the lock of what is open
    return handout


@transaction.atomic(durable=True)
def hand_out(*, annotator: User, slug: str, kind: str) -> Handout | None:
    """One try at handing out a task."""
    desk = desk_of(annotator=annotator, slug=slug, kind=kind)
    if desk.slots == BOTH:
        raise TooManyLeases
    if desk.expired is not None:
        lease = locked(annotator=annotator, lease_id=desk.expired)
        if can_be_reopened(lease):
            reopen(lease, desk)
            return papers(lease)
    picked = pick(desk.project, kind=kind, annotator=annotator)
    if picked is None:
        return None
    task_id, prompt_id = picked
    prompt, responses = sheet(task_id, prompt_id, kind)
    random.shuffle(responses)
    lease = Lease.objects.create(
        project=desk.project,
        kind=kind,
        task_id=task_id,
        annotator=annotator,
        slot=desk.free_slot,
        shown=[str(response.pk) for response in responses],
        guidelines_version=desk.guidelines_version,
        expires_at=now() + timedelta(seconds=desk.settings.lease_seconds),
    )
    return Handout(lease=lease, prompt=prompt, responses=responses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What one annotator has before them in one project."""

    project: Project
    settings: LabelingSettings
    slots: int
    expired: UUID | None
    guidelines_version: int | None

    @property
    def free_slot(self) -> int:
        """The slot that a new lease takes."""
        return SECOND if self.slots == FIRST else FIRST


def desk_of(*, annotator: User, slug: str, kind: str) -> Desk:
    """Membership, settings, what is held and what may come back: one statement."""
    mine = Lease.objects.filter(annotator=annotator, project=OuterRef("project"), kind=kind).order_by()
    held = mine.filter(state=Lease.State.LIVE).values("annotator").annotate(slots=Sum("slot")).values("slots")
    expired = mine.filter(state=Lease.State.EXPIRED, task__state=Task.State.OPEN, task__seats_left__gt=0)
    membership = (
        Membership.objects.filter(user=annotator, project__slug=slug)
        .select_related("project__labeling")
        .annotate(
            held_slots=Coalesce(Subquery(held), 0),
            expired_lease=Subquery(expired.order_by("-ended_at").values("pk")[:1]),
            newest_guidelines=Subquery(
                Guidelines.objects.filter(project=OuterRef("project")).order_by("-version").values("version")[:1]
            ),
        )
        .first()
    )
    if membership is None:
        raise access.NoSuchProject
    if membership.role not in access.LABELERS:
        raise access.NotAllowed
    return Desk(
        project=membership.project,
        settings=settings_of(membership.project),
        slots=membership.held_slots,
        expired=membership.expired_lease,
        guidelines_version=membership.newest_guidelines,
    )


def settings_of(project: Project) -> LabelingSettings:
    """How the project labels; the defaults until someone says otherwise."""
    try:
        return project.labeling
    except LabelingSettings.DoesNotExist:
        settings, _ = LabelingSettings.objects.get_or_create(project=project)
        return settings


def pick(project: Project, *, kind: str, annotator: User) -> tuple[int, int] | None:
    """Take a seat of the task that comes next for the annotator: its id and its prompt's."""
    statement = statement_of(settings_of(project).order)
    with connection.cursor() as cursor:
        cursor.execute(statement, [project.pk, kind, annotator.pk])
        row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def statement_of(order: str) -> str:
    """The statement that picks, for this database."""
    return PICK.format(order=ORDERS[LabelingSettings.Order(order)], lock=LOCKS[connection.vendor])


def sheet(task_id: int, prompt_id: int, kind: str) -> tuple[Prompt, list[Response]]:
    """A task's prompt and responses: one statement."""
    if kind == Kind.DEMONSTRATION:
        return Prompt.objects.get(pk=prompt_id), []
    candidates = list(Candidate.objects.filter(task=task_id).select_related("response", "task__prompt"))
    return candidates[0].task.prompt, [candidate.response for candidate in candidates]


def papers(lease: Lease) -> Handout:
    """What the holder of a lease sees: the responses in the order that was stored."""
    prompt, responses = sheet(lease.task_id, lease.task.prompt_id, lease.kind)
    place_of = {response_id: place for place, response_id in enumerate(lease.shown)}
    responses.sort(key=lambda response: place_of.get(str(response.pk), len(place_of)))  # of an import nobody knows it
    return Handout(lease=lease, prompt=prompt, responses=responses, draft=Draft.objects.filter(lease=lease).first())


def in_hand(*, annotator: User, slug: str, kind: str) -> list[Handout]:
    """What an annotator holds in a project, oldest first."""
    leases = Lease.objects.filter(
        annotator=annotator, project__slug=slug, kind=kind, state=Lease.State.LIVE
    ).select_related("task")
    return [papers(lease) for lease in leases.order_by("created_at")]


def locked(*, annotator: User, lease_id: UUID, kind: str | None = None) -> Lease:
    """The annotator's lease with its task, both locked until the transaction ends. Raises NoSuchLease."""
    lease = (
        Lease.objects.select_for_update(of=("self", "task"))
        .select_related("task", "project__labeling")
        .filter(
            Exists(Membership.objects.filter(user=annotator, project=OuterRef("project"), role__in=access.LABELERS)),
            pk=lease_id,
            annotator=annotator,
        )
        .first()
    )
    if lease is None or (kind is not None and lease.kind != kind):
        raise NoSuchLease
    return lease


def can_be_reopened(lease: Lease) -> bool:
    """An expired lease whose seat nobody took."""
    return lease.state == Lease.State.EXPIRED and lease.task.state == Task.State.OPEN and lease.task.seats_left > 0


def reopen(lease: Lease, desk: Desk) -> None:
    """Put an expired lease back into its annotator's hands, with its seat."""
    Task.objects.filter(pk=lease.task_id).update(seats_left=F("seats_left") - 1)
    lease.state, lease.slot, lease.ended_at = Lease.State.LIVE, desk.free_slot, None
    lease.expires_at = now() + timedelta(seconds=desk.settings.lease_seconds)
    lease.save(update_fields=["state", "slot", "ended_at", "expires_at"])


@transaction.atomic(durable=True)
def renew(*, annotator: User, lease_id: UUID) -> Lease:
    """Hold a task longer; one that expired is taken up again while its seat is free."""
    lease = locked(annotator=annotator, lease_id=lease_id)
    if lease.state == Lease.State.LIVE:
        lease.expires_at = now() + timedelta(seconds=settings_of(lease.project).lease_seconds)
        lease.save(update_fields=["expires_at"])
    elif lease.state == Lease.State.EXPIRED:
        desk = desk_of(annotator=annotator, slug=lease.project.slug, kind=lease.kind)
        if not can_be_reopened(lease):
            raise LeaseExpired
        if desk.slots == BOTH:
            raise TooManyLeases
        reopen(lease, desk)
    else:
        raise LeaseClosed
    return lease


@transaction.atomic(durable=True)
def skip(*, annotator: User, lease_id: UUID, reason: str = "") -> None:
    """Return the seat and keep this annotator away; a task that was skipped too often is set aside for review.

    Skipping twice is skipping once.
    """
    lease = locked(annotator=annotator, lease_id=lease_id)
    if lease.state == Lease.State.SKIPPED:
        return
    if lease.state not in (Lease.State.LIVE, Lease.State.EXPIRED):
        raise LeaseClosed
    task = lease.task
    task.skips += 1
    task.seats_left += lease.state == Lease.State.LIVE  # an expired lease has returned its seat already
    if task.state == Task.State.OPEN and task.skips >= settings_of(lease.project).skip_limit:
        task.state = Task.State.SET_ASIDE
    task.save(update_fields=["skips", "seats_left", "state"])
    lease.skip_reason = reason
    close(lease, Lease.State.SKIPPED)
    Draft.objects.filter(lease=lease).delete()


@transaction.atomic(durable=True)
def give_back(*, annotator: User, lease_id: UUID) -> None:
    """Return a task unseen: its seat is free again and the annotator may get it another time."""
    lease = locked(annotator=annotator, lease_id=lease_id)
    if lease.state == Lease.State.GIVEN_BACK:
        return
    if lease.state not in (Lease.State.LIVE, Lease.State.EXPIRED):
        raise LeaseClosed
    if lease.state == Lease.State.LIVE:
        Task.objects.filter(pk=lease.task_id).update(seats_left=F("seats_left") + 1)
    close(lease, Lease.State.GIVEN_BACK)
    Draft.objects.filter(lease=lease).delete()


def close(lease: Lease, state: Lease.State) -> None:
    """End a lease that is locked."""
    lease.state, lease.slot, lease.ended_at = state, None, now()
    lease.save(update_fields=["state", "slot", "ended_at", "skip_reason"])


def settle(lease: Lease) -> None:
    """Count a locked lease's judgement as served, close it and drop its draft; part of each submission's transaction.

    What was written in an expired lease is kept if its seat is still free, else refused as LeaseExpired.
    """
    if lease.state not in (Lease.State.LIVE, Lease.State.EXPIRED):
        raise LeaseClosed
    seats = 0
    if lease.state == Lease.State.EXPIRED:
        if not can_be_reopened(lease):
            raise LeaseExpired
        seats = 1
    Task.objects.filter(pk=lease.task_id).update(served=F("served") + 1, seats_left=F("seats_left") - seats)
    close(lease, Lease.State.SUBMITTED)
    Draft.objects.filter(lease=lease).delete()


def expire(*, project_slug: str | None = None) -> int:
    """Return the seats of leases whose time is over, each once; how many there were."""
    due = Lease.objects.filter(state=Lease.State.LIVE, expires_at__lt=now())
    if project_slug is not None:
        due = due.filter(project__slug=project_slug)
    return sum(expire_one(lease_id) for lease_id in due.order_by("expires_at").values_list("pk", flat=True)[:SWEEP])


@transaction.atomic(durable=True)
def expire_one(lease_id: UUID) -> bool:
    """End one overdue lease, unless someone renewed or ended it in the meantime."""
    moment = now()
    overdue = Lease.objects.filter(pk=lease_id, state=Lease.State.LIVE, expires_at__lt=moment)
    if not overdue.update(state=Lease.State.EXPIRED, slot=None, ended_at=moment):
        return False
    Task.objects.filter(leases=lease_id).update(seats_left=F("seats_left") + 1)
    return True


@transaction.atomic
def raise_overlap(*, tasks: Iterable[int], seats: int) -> int:
    """Let each of the tasks have `seats` seats; those that have as many keep them. How many tasks grew."""
    return Task.objects.filter(pk__in=list(tasks), seats__lt=seats).update(
        seats_left=F("seats_left") + (seats - F("seats")), seats=seats
    )


@transaction.atomic
def retire(*, prompt: Prompt) -> None:
    """Hand out no task of this prompt any more; what was said stays."""
    Prompt.objects.filter(pk=prompt.pk, retired_at=None).update(retired_at=now())
    Task.objects.filter(prompt=prompt, state=Task.State.OPEN).update(state=Task.State.RETIRED)


@transaction.atomic
def ask_for_demonstrations(*, project: Project, wanted: Iterable[Prompt], priority: int | None = None) -> int:
    """Open one demonstration task for each prompt that has none yet; how many were opened."""
    seats = settings_of(project).overlap
    opened = 0
    for batch in batched(wanted, SAMPLES_A_BATCH):
        asked = set(Task.objects.filter(prompt__in=batch, kind=Kind.DEMONSTRATION).values_list("prompt_id", flat=True))
        tasks = [
            Task(
                project=project,
                kind=Kind.DEMONSTRATION,
                prompt=prompt,
                seats=seats,
                seats_left=seats,
                priority=prompt.priority if priority is None else priority,
            )
            for prompt in batch
            if prompt.pk not in asked
        ]
        opened += len(Task.objects.bulk_create(tasks))
    return opened


@transaction.atomic
def place(*, job: Job, samples: Iterable[SampleLine], checkpoint: Checkpoint | None, priority: int = 0) -> int:
    """Put what a job sampled in the queue, one ranking task a prompt; how many tasks are new.

    Placing twice changes nothing. Empty responses are left out, identical ones become one, and a prompt with fewer
    than two different responses has nothing to rank.
    """
    return sum(
        place_batch(job=job, samples=batch, checkpoint=checkpoint, priority=priority)
        for batch in batched(samples, SAMPLES_A_BATCH)
    )


def place_batch(*, job: Job, samples: list[SampleLine], checkpoint: Checkpoint | None, priority: int) -> int:
    """Place some prompts' samples; those that this job has placed already are passed over."""
    project = job.project
    seats = settings_of(project).overlap
    placed = set(Task.objects.filter(job=job).values_list("prompt_id", flat=True))
    tasks: list[Task] = []
    responses: list[list[Response]] = []
    asked = [
        prompts.NewPrompt(messages=[{"role": turn.role, "content": turn.content} for turn in line.prompt])
        for line in samples
    ]
    for line, prompt in zip(samples, prompts.add_all(project=project, wanted=asked), strict=True):
        written = {
            text: Response(
                prompt=prompt,
                text=text,
                checkpoint=checkpoint,
                job=job,
                sample=sample.k,
                seed=sample.seed,
                sampling=job.config,
                logprob=sample.logprob,
                token_count=sample.token_count,
                finished=sample.finished,
            )
            for sample in reversed(line.responses)
            if (text := readable(sample.text))
        }
        if prompt.pk in placed or len(written) < 2:
            continue
        placed.add(prompt.pk)
        responses.append(list(written.values()))
        tasks.append(
            Task(
                project=project,
                kind=Kind.RANKING,
                prompt=prompt,
                job=job,
                seats=seats,
                seats_left=seats,
                priority=priority + prompt.priority,
            )
        )
    Response.objects.bulk_create([response for several in responses for response in several])
    Task.objects.bulk_create(tasks)
    link(zip(tasks, responses, strict=True))
    return len(tasks)


def readable(text: str) -> str:
    """A sampled text as it is shown and kept: no database keeps the NUL that a model may write."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").strip()


def link(pairs: Iterable[tuple[Task, list[Response]]]) -> None:
    """Lay responses into their tasks."""
    Candidate.objects.bulk_create(
        [Candidate(task=task, response=response) for task, responses in pairs for response in responses]
    )


def open_to(annotator: User, *, slug: str, kind: str) -> QuerySet[Task]:
    """Tasks of a project that could be handed to the annotator now."""
    seen = Lease.objects.filter(task=OuterRef("pk"), annotator=annotator).exclude(state=Lease.State.GIVEN_BACK)
    return Task.objects.filter(~Exists(seen), project__slug=slug, kind=kind, state=Task.State.OPEN, seats_left__gt=0)
