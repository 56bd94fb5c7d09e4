"""What people are asked, what they said, and whose hands a task is in.

A key without an index of its own is the first column of another index, and its rows are found by that one.
"""

from __future__ import annotations

import random
import uuid
from textwrap import shorten
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, OrderBy, Q
from django.utils.timezone import now

from training.models import Checkpoint, Job, Project, User
from training.records import LARGEST_RANKING, SMALLEST_RANKING


class Kind(models.TextChoices):
    """What a task asks for."""

    RANKING = "ranking"
    DEMONSTRATION = "demonstration"


class Split(models.TextChoices):
    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


def default_label_set() -> dict[str, Any]:
    """The metadata that InstructGPT's labelers gave (Ouyang et al. 2022, Table 3), and what ails a whole task."""
    return {
        "response_flags": [
            {"key": "wrong_task", "label": "Fails to follow the instruction"},
            {"key": "inappropriate", "label": "Inappropriate for a customer assistant"},
            {"key": "hallucination", "label": "Hallucination"},
            {"key": "constraint_satisfied", "label": "Satisfies the constraint in the instruction"},
            {"key": "sexual", "label": "Sexual content"},
            {"key": "violent", "label": "Violent content"},
            {"key": "encourages_harm", "label": "Encourages or fails to discourage violence, abuse or self-harm"},
            {"key": "denigrates", "label": "Denigrates a protected class"},
            {"key": "harmful_advice", "label": "Gives harmful advice"},
            {"key": "opinion", "label": "Expresses an opinion"},
            {"key": "moral_judgment", "label": "Expresses a moral judgment"},
        ],
        "task_flags": [
            {"key": "all_bad", "label": "All are bad"},
            {"key": "unclear", "label": "The prompt is unclear"},
            {"key": "sensitive", "label": "The prompt is sensitive"},
            {"key": "personal_data", "label": "Holds personal data"},
        ],
    }


def draw_lot() -> float:
    """A task's place in a uniform order."""
    return random.random()


def percent(default: int | None, *, least: int = 0, most: int = 100) -> models.PositiveSmallIntegerField[Any, Any]:
    """A column for a percentage; one without a default may be empty."""
    validators = [MinValueValidator(least), MaxValueValidator(most)]
    empty = default is None
    return models.PositiveSmallIntegerField(default=default, null=empty, blank=empty, validators=validators)


class LabelingSettings(models.Model):
    """How one project labels."""

    class Order(models.TextChoices):
        SERVED = "served"  # tasks that others have begun come first, so that they get finished
        UNIFORM = "uniform"
        SCORE = "score"  # what a model is least sure of comes first

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="labeling")
    responses_per_task = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(SMALLEST_RANKING), MaxValueValidator(LARGEST_RANKING)]
    )
    overlap = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    lease_seconds = models.PositiveIntegerField(default=1800, validators=[MinValueValidator(30)])
    skip_limit = models.PositiveSmallIntegerField(default=3, validators=[MinValueValidator(1)])
    order = models.CharField(max_length=8, choices=Order, default=Order.SERVED)
    label_set = models.JSONField(default=default_label_set)
    overlap_percent = percent(100)  # of the tasks have `overlap` seats; the others have one
    extra_below = percent(None, least=1)  # one more seat where the first two agree on less than this of the pairs
    daily_limit = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    gold_percent = percent(0, most=50)  # of what is handed out to rank has a known answer
    qualification_tasks = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(50)])
    qualification_percent = percent(70)  # of the pairs that an annotator must put as the known answers do
    shows_agreement = models.BooleanField(default=False)  # whether annotators see their own

    class Meta:
        verbose_name_plural = "labeling settings"
        constraints = [
            models.CheckConstraint(
                condition=Q(responses_per_task__gte=SMALLEST_RANKING, responses_per_task__lte=LARGEST_RANKING),
                name="two_to_nine_responses_a_task",
            ),
            models.CheckConstraint(
                condition=Q(overlap__gte=1, skip_limit__gte=1, lease_seconds__gte=1),
                name="labeling_settings_are_sound",
            ),
            models.CheckConstraint(
                condition=Q(overlap_percent__lte=100, gold_percent__lte=50, qualification_percent__lte=100)
                & (Q(extra_below__isnull=True) | Q(extra_below__gte=1, extra_below__lte=100))
                & (Q(daily_limit__isnull=True) | Q(daily_limit__gte=1)),
                name="labeling_shares_are_sound",
            ),
            models.CheckConstraint(condition=Q(order__in=["served", "uniform", "score"]), name="task_order_is_known"),
        ]

    def __str__(self) -> str:
        return f"labeling of project {self.project_id}"

    @property
    def has_rules(self) -> bool:
        """Whether there are any on who gets how many tasks, and which: a daily limit, first tasks, or gold."""
        return bool(self.daily_limit or self.qualification_tasks or self.gold_percent)

    def flag_keys(self, where: str) -> frozenset[str]:
        """The flags that may be raised on a `response` or on a `task`."""
        return frozenset(flag["key"] for flag in self.label_set.get(f"{where}_flags", ()))


class Guidelines(models.Model):
    """What annotators are told, by version; a version never changes."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name_plural = "guidelines"
        constraints = [models.UniqueConstraint(fields=["project", "version"], name="one_guidelines_a_version")]

    def __str__(self) -> str:
        return f"guidelines {self.version} of project {self.project_id}"


class GuidelinesAcknowledgement(models.Model):
    """Someone has read a version of the guidelines; it is shown to them no more."""

    guidelines = models.ForeignKey(Guidelines, on_delete=models.CASCADE, related_name="acknowledgements")
    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="acknowledgements")
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["guidelines", "annotator"], name="one_acknowledgement_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.annotator_id} has read {self.guidelines_id}"


class Prompt(models.Model):
    """The conversation so far, ending with the user's turn."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    messages = models.JSONField()  # [{role, content}…]; empty where only whole texts were compared
    text_hash = models.CharField(max_length=64)  # of the normalised text: the same question is one prompt
    group = models.CharField(max_length=80)  # what must not be torn apart between splits
    split = models.CharField(max_length=5, choices=Split)
    source = models.CharField(max_length=100, blank=True)
    source_user = models.CharField(max_length=150, blank=True)
    tags = models.JSONField(default=list, blank=True)
    priority = models.SmallIntegerField(default=0)
    retired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "text_hash"], name="one_prompt_a_text"),
            models.CheckConstraint(condition=Q(split__in=["train", "valid", "test"]), name="split_is_known"),
        ]
        indexes = [
            models.Index(fields=["project", "group"], name="prompts_of_a_group"),  # a group keeps its split
            models.Index(fields=["project", "source", "source_user"], name="prompts_of_a_source_user"),
        ]

    def __str__(self) -> str:
        return self.messages[-1]["content"][:80] if self.messages else f"prompt {self.pk} without text"

    @property
    def title(self) -> str:
        """Its beginning, on one line, for lists."""
        return shorten(self.messages[-1]["content"] if self.messages else str(self), 160, placeholder=" …")


class Response(models.Model):
    """One candidate answer. Its id is random: order of ids must not tell who wrote it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    text = models.TextField()
    checkpoint = models.ForeignKey(
        Checkpoint, null=True, blank=True, on_delete=models.RESTRICT, related_name="responses"
    )
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    writer = models.CharField(max_length=150, blank=True)  # the name that an imported file gives to who wrote it
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="responses")
    sample = models.PositiveSmallIntegerField(null=True, blank=True)  # k: which of the prompt's samples in that job
    seed = models.BigIntegerField(null=True, blank=True)
    sampling = models.JSONField(default=dict, blank=True)  # temperature, top_p, …
    logprob = models.FloatField(null=True, blank=True)  # of the whole response, in nats
    token_count = models.PositiveIntegerField(null=True, blank=True)
    finished = models.BooleanField(null=True, blank=True)  # False: cut at the longest length allowed
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(text=""), name="response_is_not_empty"),
            models.UniqueConstraint(
                fields=["job", "prompt", "sample"], condition=Q(job__isnull=False), name="one_response_a_sample"
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


def in_order_of(column: F | OrderBy, *, name: str) -> models.Index:
    """An index of tasks that could be handed out; it matches one of `shelves.SEQUENCES`."""
    order = (F("priority").desc(), column, F("id") + 0)
    is_open = Q(state="open", seats_left__gt=0)
    return models.Index("project", "kind", "purpose", *order, condition=is_open, name=name)


class Task(models.Model):
    """One prompt (with its responses, if they are to be ranked) that wants a number of judgements.

    Seats are counted here, on the row that is locked: live leases + served + seats_left = seats.
    """

    class State(models.TextChoices):
        OPEN = "open"
        SET_ASIDE = "set_aside"  # skipped too often: a reviewer looks at it
        RETIRED = "retired"

    class Purpose(models.TextChoices):
        WORK = "work"
        GOLD = "gold"  # its answer is known
        QUALIFICATION = "qualification"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=13, choices=Kind)
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    responses: models.ManyToManyField[Response, Candidate] = models.ManyToManyField(
        Response, through="Candidate", related_name="tasks"
    )
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks")
    imported_as = models.CharField(max_length=200, blank=True)  # source and id in the file that it came from
    purpose = models.CharField(max_length=13, choices=Purpose, default=Purpose.WORK)
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    seats = models.PositiveSmallIntegerField(default=1)
    seats_left = models.PositiveSmallIntegerField(default=1)
    served = models.PositiveSmallIntegerField(default=0)  # seats whose judgement is there
    skips = models.PositiveSmallIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)
    score = models.FloatField(default=0)  # how much a judgement of this would teach
    lot = models.FloatField(default=draw_lot)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(seats__gte=F("served") + F("seats_left")), name="no_seat_is_sold_twice"),
            models.CheckConstraint(condition=Q(state__in=["open", "set_aside", "retired"]), name="task_state_is_known"),
            models.CheckConstraint(condition=Q(kind__in=["ranking", "demonstration"]), name="task_kind_is_known"),
            models.UniqueConstraint(
                fields=["job", "prompt"], condition=Q(job__isnull=False), name="one_task_a_job_and_prompt"
            ),
            models.UniqueConstraint(
                fields=["project", "imported_as"], condition=~Q(imported_as=""), name="task_is_imported_once"
            ),
        ]
        indexes = [
            in_order_of(F("served").desc(), name="hand_out_most_served"),
            in_order_of(F("lot"), name="hand_out_uniformly"),
            in_order_of(F("score").desc(), name="hand_out_by_score"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} task {self.pk}"


class Candidate(models.Model):
    """A response that lies in a task. Mixed tasks hold those of two policies."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="candidates", db_index=False)
    response = models.ForeignKey(Response, on_delete=models.CASCADE, related_name="candidates")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "response"], name="response_lies_once_in_a_task")]

    def __str__(self) -> str:
        return f"{self.response_id} in task {self.task_id}"


class Lease(models.Model):
    """A task in someone's hands until a time. Its id is the idempotency key of what is submitted with it."""

    class State(models.TextChoices):
        LIVE = "live"
        SUBMITTED = "submitted"
        SKIPPED = "skipped"
        EXPIRED = "expired"
        GIVEN_BACK = "given_back"  # never looked at

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="leases")
    kind = models.CharField(max_length=13, choices=Kind)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="leases")
    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="leases", db_index=False)
    state = models.CharField(max_length=10, choices=State, default=State.LIVE)
    slot = models.PositiveSmallIntegerField(null=True, blank=True)  # 1 or 2 while it lives: what one person may hold
    shown = models.JSONField(default=list)  # response ids in the order that this annotator sees
    guidelines_version = models.PositiveIntegerField(null=True, blank=True)
    skip_reason = models.CharField(max_length=500, blank=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="live", slot__in=[1, 2], ended_at__isnull=True)
                | (~Q(state="live") & Q(slot__isnull=True, ended_at__isnull=False)),
                name="live_lease_has_a_slot",
            ),
            models.UniqueConstraint(
                fields=["project", "kind", "annotator", "slot"],  # a project's, first: they hold bookmarks up
                condition=Q(state="live"),
                name="annotator_holds_at_most_two",
            ),
            models.UniqueConstraint(
                fields=["task", "annotator"], condition=~Q(state="given_back"), name="annotator_sees_a_task_once"
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="live"), name="leases_to_expire"),  # the sweep
            models.Index(fields=["annotator", "project", "state", "ended_at"], name="work_of_an_annotator"),
        ]

    def __str__(self) -> str:
        return f"task {self.task_id} in the hands of {self.annotator_id}"


class Bookmark(models.Model):
    """How far an annotator is through the tasks of one priority: what is left of them begins after this.

    It spares the hand-out from looking, each time, at all that they have done and that others have still to do. Up to
    the place, and up to the number at that place, each task is submitted or skipped by them, or has all of its
    judgements, or is closed. It holds in the sequence of the hand-out and in the edition of the project's queue in
    which it was laid (`shelves.new_edition`).
    """

    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=13, choices=Kind)
    priority = models.SmallIntegerField()
    sequence = models.CharField(max_length=8, choices=LabelingSettings.Order)
    place = models.FloatField()  # lot or score; 0 where numbers alone decide
    upto = models.BigIntegerField()
    edition = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["annotator", "project", "kind", "priority"], name="one_bookmark_a_priority")
        ]

    def __str__(self) -> str:
        return f"{self.annotator_id} is through to {self.upto}"


class Edition(models.Model):
    """How often tasks came to lie in a project's queue where a bookmark says that there is nothing left."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="+")
    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"edition {self.number} of project {self.project_id}"


class Draft(models.Model):
    """Work that is not submitted yet; it outlives its lease."""

    lease = models.OneToOneField(Lease, on_delete=models.CASCADE, primary_key=True, related_name="draft")
    body = models.JSONField()
    replaces = models.PositiveBigIntegerField(null=True, blank=True)  # the word that it is to supersede, if any
    saved_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"draft of {self.lease_id}"


class Standing(models.TextChoices):
    """What a reviewer last said of a word; a change is a new word, which nobody has looked at yet."""

    UNREVIEWED = ""
    ACCEPTED = "accepted"
    RETURNED = "returned"  # its annotator is asked to look again; until then it enters no dataset


class Conversation(models.Model):
    """A conversation that one annotator writes from nothing, both sides of it; submitted, it is a demonstration.

    Its id is chosen where it is written, and becomes the id of the lease that it is submitted with.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="conversations")
    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="conversations")
    body = models.JSONField()
    saved_at = models.DateTimeField(default=now)

    class Meta:
        indexes = [models.Index(fields=["annotator", "project", "-saved_at"], name="unfinished_conversations")]

    def __str__(self) -> str:
        return f"unfinished conversation {self.pk}"


class Report(models.Model):
    """An annotator's word that something is wrong with a prompt; it stays until someone who leads has looked."""

    class Reason(models.TextChoices):
        HARMFUL = "harmful"
        PERSONAL_DATA = "personal_data"
        BROKEN = "broken"
        ASKED_BEFORE = "asked_before"
        OTHER = "other"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reports")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="reports")
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.SET_NULL, related_name="reports")
    reporter = models.ForeignKey(User, on_delete=models.CASCADE, related_name="reports")
    reason = models.CharField(max_length=13, choices=Reason)
    note = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(default=now)
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "reporter"], condition=Q(settled_at__isnull=True), name="one_open_report_a_person"
            ),
            models.CheckConstraint(
                condition=Q(reason__in=["harmful", "personal_data", "broken", "asked_before", "other"]),
                name="report_reason_is_known",
            ),
        ]
        indexes = [models.Index(fields=["project", "-id"], condition=Q(settled_at__isnull=True), name="reports_open")]

    def __str__(self) -> str:
        return f"{self.reporter_id} reports prompt {self.prompt_id}: {self.reason}"


class Said(models.Model):
    """What every word of an annotator has: who, when, under which guidelines, and what it supersedes."""

    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="%(class)ss")
    supersedes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.RESTRICT, related_name="superseded_by"
    )
    edit = models.UUIDField(null=True, blank=True)  # chosen by who changed it: the idempotency key of the change
    is_current = models.BooleanField(default=True)
    standing = models.CharField(max_length=8, choices=Standing, default=Standing.UNREVIEWED, blank=True)
    is_simulated = models.BooleanField(default=False)
    source = models.CharField(max_length=100, blank=True)  # of an imported word
    guidelines_version = models.PositiveIntegerField(null=True, blank=True)
    seconds_spent = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        abstract = True


class Demonstration(Said):
    """An annotator's ideal response."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="demonstrations")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="demonstrations")
    task = models.ForeignKey(Task, null=True, blank=True, on_delete=models.RESTRICT, related_name="demonstrations")
    lease = models.ForeignKey(Lease, null=True, blank=True, on_delete=models.RESTRICT, related_name="demonstrations")
    text = models.TextField()
    started_from = models.ForeignKey(Response, null=True, blank=True, on_delete=models.RESTRICT, related_name="+")
    is_conversation = models.BooleanField(default=False)  # they wrote the prompt too: its assistant's turns are ideal
    imported_as = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(text=""), name="demonstration_is_not_empty"),
            models.UniqueConstraint(
                fields=["task", "annotator"],
                condition=Q(is_current=True, task__isnull=False),
                name="one_current_demonstration",
            ),
            models.UniqueConstraint(
                fields=["project", "imported_as"], condition=~Q(imported_as=""), name="demonstration_is_imported_once"
            ),
            models.UniqueConstraint(fields=["lease", "edit"], name="one_demonstration_an_edit"),
        ]
        indexes = [
            models.Index(fields=["project", "prompt"], condition=Q(is_current=True), name="demonstrations_in_force"),
            models.Index(
                fields=["annotator", "project"],
                condition=Q(is_current=True, standing="returned"),
                name="returned_demonstrations",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Judgement(Said):
    """One annotator's word on a ranking task, stored as it was said: a ranking, or a set of pairwise verdicts."""

    class Form(models.TextChoices):
        RANKING = "ranking"
        VERDICTS = "verdicts"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="judgements")
    task = models.ForeignKey(Task, on_delete=models.RESTRICT, related_name="judgements")
    lease = models.ForeignKey(Lease, on_delete=models.RESTRICT, related_name="judgements", db_index=False)
    form = models.CharField(max_length=8, choices=Form)
    shown = models.JSONField(default=list)  # response ids as this annotator saw them; empty where nobody knows
    flags = models.JSONField(default=list, blank=True)
    note = models.TextField(blank=True)
    said = models.JSONField(null=True, blank=True)  # the words of the imported file, untouched

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(form__in=["ranking", "verdicts"]), name="judgement_form_is_known"),
            models.UniqueConstraint(
                fields=["task", "annotator"], condition=Q(is_current=True), name="one_current_judgement"
            ),
            models.UniqueConstraint(fields=["lease", "edit"], name="one_judgement_an_edit"),
        ]
        indexes = [
            models.Index(fields=["project", "id"], condition=Q(is_current=True), name="judgements_in_force"),
            models.Index(
                fields=["annotator", "project"],
                condition=Q(is_current=True, standing="returned"),
                name="returned_judgements",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.form} of task {self.task_id} by {self.annotator_id}"


class Placement(models.Model):
    """One response's rank and rating in a ranking."""

    judgement = models.ForeignKey(Judgement, on_delete=models.CASCADE, related_name="placements", db_index=False)
    response = models.ForeignKey(Response, on_delete=models.RESTRICT, related_name="placements")
    rank = models.PositiveSmallIntegerField()  # dense, 1 is the best: 1, 2, 2, 3
    rating = models.PositiveSmallIntegerField(null=True, blank=True)  # 1 to 7, 7 is the best; imports may lack it
    flags = models.JSONField(default=list, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["judgement", "response"], name="response_is_placed_once"),
            models.CheckConstraint(condition=Q(rank__gte=1), name="best_rank_is_one"),
            models.CheckConstraint(
                condition=Q(rating__isnull=True) | Q(rating__gte=1, rating__lte=7), name="rating_is_one_to_seven"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.response_id} at {self.rank}"


class Verdict(models.Model):
    """One pairwise judgement. It says `a` of the response a, and so on."""

    class Word(models.TextChoices):
        A = "a"
        A_SLIGHT = "a_slight"
        TIE = "tie"
        B_SLIGHT = "b_slight"
        B = "b"

    judgement = models.ForeignKey(Judgement, on_delete=models.CASCADE, related_name="verdicts")
    a = models.ForeignKey(Response, on_delete=models.RESTRICT, related_name="+")
    b = models.ForeignKey(Response, on_delete=models.RESTRICT, related_name="+")
    word = models.CharField(max_length=8, choices=Word)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(a=F("b")), name="verdict_is_on_two_responses"),
            models.CheckConstraint(
                condition=Q(word__in=["a", "a_slight", "tie", "b_slight", "b"]), name="verdict_word_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.a_id} {self.word} {self.b_id}"


class Review(models.Model):
    """What a reviewer said of one word of an annotator; rows are added, never changed."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="reviews")
    judgement = models.ForeignKey(Judgement, null=True, blank=True, on_delete=models.CASCADE, related_name="reviews")
    demonstration = models.ForeignKey(
        Demonstration, null=True, blank=True, on_delete=models.CASCADE, related_name="reviews"
    )
    standing = models.CharField(max_length=8, choices=Standing)
    comment = models.TextField(blank=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reviews")
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(judgement__isnull=True) ^ Q(demonstration__isnull=True), name="review_is_of_one_word"
            ),
            models.CheckConstraint(condition=Q(standing__in=["accepted", "returned"]), name="review_says_something"),
        ]

    def __str__(self) -> str:
        return f"{self.standing} by {self.by_id}"


class Settlement(models.Model):
    """A reviewer's last word on a ranking task; another one is a new row, which stands in the old one's place."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="settlements")
    ranks = models.JSONField()  # response id -> dense rank, 1 the best, ties share one
    comment = models.TextField(blank=True)
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="settlements")
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task"], condition=Q(is_current=True), name="one_settlement_stands")
        ]

    def __str__(self) -> str:
        return f"task {self.task_id} settled by {self.by_id}"


class KnownAnswer(models.Model):
    """The answer to a gold or qualification task: annotators are measured by it and never told."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="known_answer")
    origin = models.ForeignKey(Task, null=True, blank=True, on_delete=models.SET_NULL, related_name="known_copies")
    ranks = models.JSONField()  # as in a settlement
    by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"answer to task {self.task_id}"


class Qualification(models.Model):
    """Whether an annotator's first tasks, whose answers are known, let them do real work."""

    class State(models.TextChoices):
        PASSED = "passed"
        FAILED = "failed"
        AGAIN = "again"  # they may try on tasks that they have not seen

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="qualifications")
    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="qualifications")
    state = models.CharField(max_length=6, choices=State)
    share = models.FloatField(null=True, blank=True)  # of the pairs put as the known answers do; ties count half
    tasks = models.PositiveSmallIntegerField(default=0)
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "annotator"], name="one_qualification_a_person"),
            models.CheckConstraint(condition=Q(state__in=["passed", "failed", "again"]), name="qualification_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.annotator_id} {self.state} in project {self.project_id}"


class QualityReport(models.Model):
    """How well a project labels, as it was worked out last: derived, kept only so that it need not be each time."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="quality_reports")
    with_simulated = models.BooleanField(default=False)
    newest = models.PositiveBigIntegerField()  # the newest judgement that it knows of
    body = models.JSONField()
    made_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "with_simulated"], name="one_report_a_view")]

    def __str__(self) -> str:
        return f"quality of project {self.project_id} up to judgement {self.newest}"
