"""Who gets which task, and for how long. Each verb is one transaction and counts seats on the row that it locks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, connection, transaction
from django.db.models import BooleanField, CharField, Exists, F, Field, IntegerField, OuterRef, Subquery, Sum
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Mod
from django.utils.timezone import now

from labeling import days, prompts, qualification, shelves
from labeling.batches import batched
from labeling.models import (
    Bookmark,
    Candidate,
    Draft,
    Guidelines,
    Kind,
    KnownAnswer,
    LabelingSettings,
    Lease,
    Prompt,
    Qualification,
    Response,
    Settlement,
    Task,
)
from training import access, bulk
from training.composed import Composed, ComposedChange, deleted, updated
from training.models import Membership, Project
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from django.db.models import QuerySet

    from training.models import Checkpoint, Job, User
    from training.records import SampleLine

FIRST, SECOND, BOTH = 1, 2, 3  # the sum of the slots that someone holds says which one is free
TRIES = 8  # at a hand-out, where requests get into each other's way
SWEEP = 500
SAMPLES_A_BATCH = 500
UNREAD_OF_A_PROJECT = ("project__name", "project__description", "project__base_policy", "project__created_at")
"""What is not fetched of a project at every hand-out and submission."""


class NoSuchLease(Refusal):
    code, status = "not_found", 404
    message = "This task is not in your hands, or no longer. Take the next one."


class TooManyLeases(Refusal):
    code, status = "too_many_leases", 409
    message = "You already hold two tasks. Finish one, skip it or give it back first."


class DailyLimitReached(Refusal):
    code, status = "daily_limit_reached", 409
    message = "You have done what this project asks of one person in a day. It goes on tomorrow."


class LeaseExpired(Refusal):
    code, status = "lease_expired", 409
    message = "This task went to someone else, or was closed, while you were away. Your draft is kept."


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
    samples: bool = False
    """Whether models have written responses that a demonstration may start from."""
    draft: Draft | None = None


def lease_next(*, annotator: User, slug: str, kind: str) -> Handout | None:
    """Hand out one task of the project that still has a free seat, or None when there is none for this annotator.

    A lease of theirs that has expired comes back first while its seat is free, with its draft. Raises NoSuchProject and
    TooManyLeases: an annotator holds two leases of a kind at most, the one in front of them and the one prefetched.
    """
    handout = None
    for tried in range(TRIES):
        try:
            handout = hand_out(annotator=annotator, slug=slug, kind=kind, bookmarked=not tried)
        except IntegrityError:
            continue  # another request of the same annotator was quicker; its lease is seen now
        if handout or not (expire(project_slug=slug) or open_to(annotator, slug=slug, kind=kind).exists()):
            break  # else a seat came free, or others hold the lock of what is open
    return handout


@transaction.atomic(durable=True)
def hand_out(*, annotator: User, slug: str, kind: str, bookmarked: bool) -> Handout | None:
    """One try at handing out a task; where nothing is found behind the bookmarks, another looks everywhere."""
    desk = desk_of(annotator=annotator, slug=slug, kind=kind)
    desk.check(kind)
    if desk.expired is not None:
        lease = locked(annotator=annotator, lease_id=desk.expired)
        if can_be_reopened(lease):
            reopen(lease, desk)
            return papers(lease)
    picked = pick(desk, kind=kind, annotator=annotator, bookmarked=bookmarked)
    if picked is None:
        return None
    task_id, prompt_id = picked
    prompt, responses, samples = sheet(task_id, prompt_id, kind)
    lease = lease_of(desk, task=task_id, kind=kind, annotator=annotator, responses=responses)
    return Handout(lease=lease, prompt=prompt, responses=responses, samples=samples)


def lease_of(desk: Desk, *, task: int, kind: str, annotator: User, responses: list[Response]) -> Lease:
    """Put a task whose seat is taken into an annotator's hands, and its responses into an order of their own.

    Raises IntegrityError where another request of theirs took the slot.
    """
    random.shuffle(responses)
    return bulk.add(
        Lease(
            project=desk.project,
            kind=kind,
            task_id=task,
            annotator=annotator,
            slot=desk.free_slot,
            shown=[str(response.pk) for response in responses],
            guidelines_version=desk.guidelines_version,
            expires_at=now() + timedelta(seconds=desk.settings.lease_seconds),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What one annotator has before them in one project."""

    project: Project
    settings: LabelingSettings
    slots: int
    expired: UUID | None
    guidelines_version: int | None
    done_today: int
    """What they submitted today and hold now; counted where there is a daily limit."""
    first_tasks: FirstTasks | None
    """None for those who may do real work."""
    has_gold: bool
    """Whether there is a gold task that they have not seen; looked for where the project hands any out."""
    has_bookmarks: bool
    """Whether they have left any, so that it is worth looking behind them."""

    @property
    def free_slot(self) -> int:
        """The slot that a new lease takes."""
        return SECOND if self.slots == FIRST else FIRST

    def check(self, kind: str) -> None:
        """Refuse one more task of a kind. Raises TooManyLeases, DailyLimitReached, NotQualified and QualifyFirst."""
        if self.slots == BOTH:
            raise TooManyLeases
        self.check_day()
        self.check_first_tasks(kind)

    def check_day(self) -> None:
        """Refuse more work than the project asks of one person in a day. Raises DailyLimitReached."""
        limit = self.settings.daily_limit
        if limit is not None and self.done_today >= limit:
            raise DailyLimitReached(limit=limit, again_at=days.tomorrow().isoformat())

    def check_first_tasks(self, kind: str) -> None:
        """Refuse work to those whose first tasks are not done. Raises NotQualified and QualifyFirst."""
        if self.first_tasks is not None:
            if self.first_tasks.failed:
                raise qualification.NotQualified
            if kind != Kind.RANKING:
                raise qualification.QualifyFirst

    def check_real_work(self) -> None:
        """Refuse one more task that no queue chose. Raises what `check` raises, and QualifyFirst."""
        self.check(Kind.RANKING)
        if self.first_tasks is not None:
            raise qualification.QualifyFirst


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTasks:
    """How far an annotator is with the tasks that let them do real work."""

    failed: bool
    tried: int
    """Answered, or in their hands."""


def desk_of(*, annotator: User, slug: str, kind: str) -> Desk:
    """Membership, settings, what is held and what may come back: one statement; where there are rules, another."""
    membership: Any = DESK.first(annotator=annotator.pk, slug=slug, kind=kind)
    if membership is None:
        raise access.NoSuchProject
    if membership.role not in access.LABELERS:
        raise access.NotAllowed
    settings = settings_of(membership.project)
    rules = (RULES.first(membership=membership.pk, today=days.today()) if settings.has_rules else None) or {}
    return Desk(
        project=membership.project,
        settings=settings,
        slots=membership.held_slots,
        expired=membership.expired_lease,
        guidelines_version=membership.newest_guidelines,
        done_today=rules.get("done_today") or 0,
        first_tasks=first_tasks_of(membership.role, annotator, rules),
        has_gold=bool(rules.get("has_gold")),
        has_bookmarks=membership.has_bookmarks,
    )


# What rules ask for; written out, each is asked where its rule is in force and nowhere else.
MINE = """
    FROM labeling_lease AS mine JOIN labeling_task AS task ON task.id = mine.task_id
    WHERE mine.annotator_id = training_membership.user_id AND mine.project_id = training_membership.project_id
"""
FIRST_TASKS = f"{MINE} AND task.purpose = 'qualification'"
STATE = """
    SELECT q.{column} FROM labeling_qualification AS q
    WHERE q.annotator_id = training_membership.user_id AND q.project_id = training_membership.project_id
"""
SINCE_THEN = f"{STATE.format(column='id')} AND q.state = 'again' AND q.decided_at > mine.created_at"
UNSEEN = """
    SELECT 1 FROM labeling_task AS task
    WHERE task.project_id = training_membership.project_id AND task.purpose = '{purpose}'
      AND task.state = 'open' AND task.seats_left > 0
      AND NOT EXISTS (
          SELECT 1 FROM labeling_lease AS seen
          WHERE seen.task_id {same}
            AND seen.annotator_id = training_membership.user_id AND seen.state <> 'given_back'
      )
"""
HAS_LIMIT, HAS_FIRST_TASKS, HAS_GOLD = "daily_limit > 0", "qualification_tasks > 0", "gold_percent > 0"
WHAT_RULES_ASK: dict[str, tuple[str, str, Field[Any, Any]]] = {
    "done_today": (
        HAS_LIMIT,
        f"SELECT COUNT(*) {MINE} AND (mine.state = 'live' OR (mine.state = 'submitted' AND mine.ended_at >= %s))",
        IntegerField(),
    ),
    "qualified": (HAS_FIRST_TASKS, STATE.format(column="state"), CharField()),
    "tried": (
        HAS_FIRST_TASKS,
        f"SELECT COUNT(*) {FIRST_TASKS} AND mine.state IN ('live', 'submitted') AND NOT EXISTS ({SINCE_THEN})",
        IntegerField(),
    ),
    "has_seen_first": (
        HAS_FIRST_TASKS,
        f"EXISTS (SELECT 1 {FIRST_TASKS} AND mine.state <> 'given_back')",
        BooleanField(),
    ),
    "has_first": (
        HAS_FIRST_TASKS,
        f"EXISTS ({UNSEEN.format(purpose='qualification', same=shelves.SAME_OR_ITS_ORIGIN)})",
        BooleanField(),
    ),
    "has_worked": (
        HAS_FIRST_TASKS,
        f"EXISTS (SELECT 1 {MINE} AND mine.state = 'submitted' AND task.purpose = 'work')",
        BooleanField(),
    ),
    "has_gold": (
        HAS_GOLD,
        f"EXISTS ({UNSEEN.format(purpose='gold', same=shelves.SAME_OR_ITS_ORIGIN)})",
        BooleanField(),
    ),
}


def what_rules_ask(today: datetime) -> dict[str, RawSQL]:
    """What must be known of an annotator where a project has a daily limit, first tasks or gold; else null."""
    began = connection.ops.adapt_datetimefield_value(today)
    return {
        name: RawSQL(  # noqa: S611 (all of it is written above)
            f"CASE WHEN labeling_labelingsettings.{rule} THEN ({sql}) END",
            [began] * sql.count("%s"),
            output_field=field,
        )
        for name, (rule, sql, field) in WHAT_RULES_ASK.items()
    }


def rules_of(membership: int, today: datetime) -> QuerySet[Membership, Any]:
    """What the rules of a membership's project ask for."""
    ruled = Membership.objects.filter(pk=membership, project__labeling__isnull=False)
    return ruled.values(**what_rules_ask(today))


RULES = Composed(rules_of, membership=Membership.id, today=Lease.ended_at)


def desks(annotator: int, slug: str, kind: str) -> QuerySet[Membership]:
    """The annotator's membership, with everything that a desk holds whatever the rules."""
    mine = Lease.objects.filter(annotator=annotator, project=OuterRef("project"), kind=kind).order_by()
    held = mine.filter(state=Lease.State.LIVE).values("annotator").annotate(slots=Sum("slot")).values("slots")
    expired = mine.filter(state=Lease.State.EXPIRED, task__state=Task.State.OPEN, task__seats_left__gt=0)
    newest = Guidelines.objects.filter(project=OuterRef("project")).order_by("-version").values("version")
    return (
        Membership.objects.active()
        .filter(user=annotator, project__slug=slug)
        .select_related("project__labeling")
        .defer("joined_at", "deactivated_at", "project__labeling__label_set", *UNREAD_OF_A_PROJECT)
        .annotate(
            held_slots=Coalesce(Subquery(held), 0),
            expired_lease=Subquery(expired.order_by("-ended_at").values("pk")[:1]),
            newest_guidelines=Subquery(newest[:1]),
            has_bookmarks=Exists(Bookmark.objects.filter(annotator=annotator, project=OuterRef("project"), kind=kind)),
        )
    )


DESK = Composed(desks, annotator=Lease.annotator, slug=Project.slug, kind=Lease.kind)


def first_tasks_of(role: str, annotator: User, rules: Mapping[str, Any]) -> FirstTasks | None:
    """How far someone is with their first tasks; None for those of whom none is asked."""
    if role != Membership.Role.ANNOTATOR or annotator.is_simulated or rules.get("tried") is None:
        return None
    state = rules["qualified"]
    if state == Qualification.State.PASSED:
        return None
    if not state:
        if rules["has_worked"] or not (rules["has_first"] or rules["has_seen_first"]):
            return None
        return FirstTasks(failed=False, tried=rules["tried"])
    failed = state == Qualification.State.FAILED or not (rules["has_first"] or rules["tried"])
    return FirstTasks(failed=failed, tried=rules["tried"])


def settings_of(project: Project) -> LabelingSettings:
    """How the project labels; the defaults until someone says otherwise."""
    try:
        return project.labeling
    except LabelingSettings.DoesNotExist:
        settings, _ = LabelingSettings.objects.get_or_create(project=project)
        return settings


def pick(desk: Desk, *, kind: str, annotator: User, bookmarked: bool) -> tuple[int, int] | None:
    """Take a seat of the task that comes next for the annotator: its id and its prompt's.

    First tasks come before real work, so many and no more; then, as often as the project says, a gold task.
    """
    purposes = Task.Purpose
    if desk.first_tasks is not None:
        if desk.first_tasks.tried >= desk.settings.qualification_tasks:
            return None  # what they hold decides
        return shelves.take(shelves.statement_of_known(purposes.QUALIFICATION), desk.project, kind, annotator)
    draws_gold = kind == Kind.RANKING and desk.has_gold and 100 * random.random() < desk.settings.gold_percent
    gold = (
        shelves.take(shelves.statement_of_known(purposes.GOLD), desk.project, kind, annotator) if draws_gold else None
    )
    bookmarked = bookmarked and desk.has_bookmarks
    work = shelves.statement_of(desk.settings.order, connection.vendor, bookmarked=bookmarked)
    return gold or shelves.take(work, desk.project, kind, annotator)


def sheet(task_id: int, prompt_id: int, kind: str) -> tuple[Prompt, list[Response], bool]:
    """A task's prompt, its responses, and whether a demonstration may start from samples: one statement."""
    if kind == Kind.DEMONSTRATION:
        (prompt,) = ASKED.all(prompt=prompt_id)
        return prompt, [], prompt.samples
    responses = COMPARED.all(task=task_id)
    return responses[0].prompt, responses, False


ASKED: Composed[Any] = Composed(
    lambda prompt: Prompt.objects.filter(pk=prompt).annotate(samples=Exists(samples_of(OuterRef("pk")))),
    prompt=Prompt.id,
)
COMPARED = Composed(
    lambda task: (
        Response.objects.filter(candidates__task=task).select_related("prompt").only("text", "prompt__messages")
    ),
    task=Candidate.task,
)


def samples_of(prompt: OuterRef | int) -> QuerySet[Response]:
    """What models wrote to a prompt."""
    return Response.objects.filter(prompt=prompt, author=None)


def papers(lease: Lease) -> Handout:
    """What the holder of a lease sees: the responses in the order that was stored."""
    prompt, responses, samples = sheet(lease.task_id, lease.task.prompt_id, lease.kind)
    if lease.kind == Kind.DEMONSTRATION and lease.shown:
        responses = list(Response.objects.filter(pk__in=lease.shown))
    place_of = {response_id: place for place, response_id in enumerate(lease.shown)}
    responses.sort(key=lambda response: place_of.get(str(response.pk), len(place_of)))  # of an import nobody knows it
    draft = Draft.objects.filter(lease=lease).first()
    return Handout(lease=lease, prompt=prompt, responses=responses, samples=samples, draft=draft)


def in_hand(*, annotator: User, slug: str, kind: str) -> list[Handout]:
    """What an annotator holds in a project, oldest first."""
    leases = Lease.objects.filter(
        annotator=annotator, project__slug=slug, kind=kind, state=Lease.State.LIVE
    ).select_related("task")
    return [papers(lease) for lease in leases.order_by("created_at")]


def locked(*, annotator: User, lease_id: UUID, kind: str | None = None) -> Lease:
    """The annotator's lease with its task, both locked until the transaction ends. Raises NoSuchLease."""
    lease = HELD.first(lease=lease_id, annotator=annotator.pk)
    if lease is None or (kind is not None and lease.kind != kind):
        raise NoSuchLease
    return lease


def held(lease: UUID, annotator: int) -> QuerySet[Lease]:
    """A lease of someone who still labels in its project, to be locked with its task."""
    members = Membership.objects.active().filter(user=annotator, project=OuterRef("project"), role__in=access.LABELERS)
    return (
        Lease.objects.select_for_update(of=("self", "task"))
        .select_related("task", "project__labeling")
        .defer("created_at", "task__created_at", "task__imported_as", "task__score", "task__lot", *UNREAD_OF_A_PROJECT)
        .filter(Exists(members), pk=lease, annotator=annotator)
    )


HELD = Composed(held, lease=Lease.id, annotator=Lease.annotator)


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
    NO_DRAFT.run(lease=lease.pk)
    qualification.decide(lease, settings_of(lease.project))


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
    NO_DRAFT.run(lease=lease.pk)


def close(lease: Lease, state: Lease.State) -> None:
    """End a lease that is locked."""
    lease.state, lease.slot, lease.ended_at = state, None, now()
    CLOSED.run(lease=lease.pk, state=state, ended_at=lease.ended_at, skip_reason=lease.skip_reason)


CLOSED = ComposedChange(
    lambda lease, **ending: updated(Lease.objects.filter(pk=lease), slot=None, **ending),
    lease=Lease.id,
    state=Lease.state,
    ended_at=Lease.ended_at,
    skip_reason=Lease.skip_reason,
)


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
    SERVED.run(task=lease.task_id, seats=seats)
    close(lease, Lease.State.SUBMITTED)
    NO_DRAFT.run(lease=lease.pk)
    shelves.move_on(lease, order=settings_of(lease.project).order)


SERVED = ComposedChange(
    lambda task, seats: updated(
        Task.objects.filter(pk=task), served=F("served") + 1, seats_left=F("seats_left") - seats
    ),
    task=Task.id,
    seats=Task.seats_left,
)
NO_DRAFT = ComposedChange(lambda lease: deleted(Draft.objects.filter(lease=lease)), lease=Lease.id)


def expire(*, project_slug: str | None = None) -> int:
    """Return the seats of leases whose time is over, each once; how many there were."""
    due = Lease.objects.filter(state=Lease.State.LIVE, expires_at__lt=now())
    if project_slug is not None:
        due = due.filter(project__slug=project_slug)
    return sum(expire_one(lease_id) for lease_id in due.order_by("expires_at").values_list("pk", flat=True)[:SWEEP])


@transaction.atomic(durable=True)
def expire_one(lease_id: UUID) -> bool:
    """End one overdue lease, unless someone renewed or ended it in the meantime."""
    return end(Lease.objects.filter(pk=lease_id, state=Lease.State.LIVE, expires_at__lt=now()), lease_id)


@transaction.atomic
def take_back(*, project: Project, annotator: User) -> None:
    """Return the seats of everything that an annotator holds; their drafts are kept for when they come back."""
    held = Lease.objects.filter(project=project, annotator=annotator, state=Lease.State.LIVE)
    for lease_id in list(held.values_list("pk", flat=True)):
        end(held.filter(pk=lease_id), lease_id)


def end(lease: QuerySet[Lease], lease_id: UUID) -> bool:
    """End a lease and return its seat, if it is still among those that are meant: a compare-and-set."""
    if not lease.update(state=Lease.State.EXPIRED, slot=None, ended_at=now()):
        return False
    Task.objects.filter(leases=lease_id).update(seats_left=F("seats_left") + 1)
    return True


def seats_of(settings: LabelingSettings) -> int:
    """How many seats a new task gets: the project's overlap, or one, by lot."""
    return settings.overlap if 100 * random.random() < settings.overlap_percent else 1


def open_task(settings: LabelingSettings, kind: str, prompt: Prompt, *, priority: int, job: Job | None = None) -> Task:
    """A new task with all of its seats free, not written yet; that of a retired prompt waits for it to be taken up."""
    seats = seats_of(settings)
    return Task(
        project_id=settings.project_id,
        kind=kind,
        state=state_for(prompt),
        prompt=prompt,
        job=job,
        seats=seats,
        seats_left=seats,
        priority=priority,
    )


def state_for(prompt: Prompt) -> Task.State:
    """The state in which a task of the prompt begins."""
    return Task.State.RETIRED if prompt.retired_at else Task.State.OPEN


@transaction.atomic
def raise_overlap(*, tasks: QuerySet[Task], seats: int) -> int:
    """Let each of the tasks have `seats` seats; those that have as many keep them. How many tasks grew.

    Tasks that had all of their judgements are open again.
    """
    projects = list(tasks.order_by().values_list("project_id", flat=True).distinct())
    grown = add_seats(tasks=tasks, seats=seats)
    for project in sorted(projects):
        shelves.new_edition(project)
    return grown


def add_seats(*, tasks: QuerySet[Task], seats: int) -> int:
    """Let tasks that still wait for a judgement have `seats` seats: part of the transaction in which they get it."""
    return tasks.filter(seats__lt=seats).update(seats_left=F("seats_left") + (seats - F("seats")), seats=seats)


def of_a_hundred(tasks: QuerySet[Task], percent: int) -> QuerySet[Task]:
    """So many of a hundred tasks, evenly over the numbers that they have."""
    return tasks.alias(place=Mod("pk", 100)).filter(place__lt=percent)


@transaction.atomic
def retire(*, prompts: QuerySet[Prompt]) -> None:
    """Hand out no task of these prompts any more; what was said stays."""
    prompts.filter(retired_at=None).update(retired_at=now())
    Task.objects.filter(prompt__in=prompts, state=Task.State.OPEN).update(state=Task.State.RETIRED)


@transaction.atomic
def take_up(*, prompts: QuerySet[Prompt]) -> None:
    """Hand retired prompts out again, but for tasks that were settled or copied into a known answer meanwhile."""
    was_retired = list(prompts.exclude(retired_at=None).values_list("pk", flat=True))
    prompts.update(retired_at=None)
    Task.objects.filter(
        ~Exists(Settlement.objects.filter(task=OuterRef("pk"))),
        ~Exists(KnownAnswer.objects.filter(origin=OuterRef("pk"))),
        prompt__in=was_retired,
        state=Task.State.RETIRED,
    ).update(state=Task.State.OPEN)
    for project in sorted(set(prompts.values_list("project_id", flat=True))):
        shelves.new_edition(project)


@transaction.atomic
def ask_for_demonstrations(*, project: Project, wanted: Iterable[Prompt], priority: int | None = None) -> int:
    """Open one demonstration task for each prompt that has none yet; how many were opened."""
    settings = settings_of(project)
    opened = 0
    for batch in batched(wanted, SAMPLES_A_BATCH):
        asked = set(Task.objects.filter(prompt__in=batch, kind=Kind.DEMONSTRATION).values_list("prompt_id", flat=True))
        tasks = [
            open_task(settings, Kind.DEMONSTRATION, prompt, priority=prompt.priority if priority is None else priority)
            for prompt in batch
            if prompt.pk not in asked
        ]
        opened += len(bulk.write(tasks))
    if opened:
        shelves.new_edition(project.pk)
    return opened


@transaction.atomic
def place(
    *, job: Job, samples: Iterable[SampleLine], authors: Mapping[str, Checkpoint | None], priority: int = 0
) -> int:
    """Put what a job sampled in the queue, one ranking task a prompt; how many tasks are new.

    authors: the checkpoint behind each name that a sample may go by; what they wrote to one prompt is ranked together.
    A task's score is the doubt about its samples. Placing twice changes nothing. Empty responses are left out,
    identical ones become one, and a prompt with fewer than two different responses has nothing to rank.
    """
    placed = sum(
        place_batch(job=job, samples=batch, authors=authors, priority=priority)
        for batch in batched(samples, SAMPLES_A_BATCH)
    )
    shelves.new_edition(job.project_id)
    return placed


def place_batch(*, job: Job, samples: list[SampleLine], authors: Mapping[str, Checkpoint | None], priority: int) -> int:
    """Place some prompts' samples; those that this job has placed already are passed over."""
    project = job.project
    settings = settings_of(project)
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
                checkpoint=authors[sample.by],
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
        task = open_task(settings, Kind.RANKING, prompt, priority=priority + prompt.priority, job=job)
        task.score = line.doubt or 0.0
        tasks.append(task)
    bulk.write([response for several in responses for response in several])
    bulk.write(tasks)
    link(zip(tasks, responses, strict=True))
    return len(tasks)


def readable(text: str) -> str:
    """A sampled text as it is shown and kept: no database keeps the NUL that a model may write."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").strip()


def link(pairs: Iterable[tuple[Task, list[Response]]]) -> None:
    """Lay responses into their tasks."""
    bulk.write([Candidate(task=task, response=response) for task, responses in pairs for response in responses])


def open_to(annotator: User, *, slug: str, kind: str) -> QuerySet[Task]:
    """Tasks of a project that could be handed to the annotator now."""
    seen = Lease.objects.filter(task=OuterRef("pk"), annotator=annotator).exclude(state=Lease.State.GIVEN_BACK)
    return Task.objects.filter(
        ~Exists(seen),
        project__slug=slug,
        kind=kind,
        purpose=Task.Purpose.WORK,
        state=Task.State.OPEN,
        seats_left__gt=0,
    )
