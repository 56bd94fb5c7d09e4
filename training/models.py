"""The rows that every room stands on: people, machine work, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import F, Q
from django.utils.timezone import now

if TYPE_CHECKING:
    from training.sessions import SessionStore


def a_digest(field: str) -> Q:
    """The condition that a column holds an artefact's digest, or nothing yet."""
    return Q(**{field: ""}) | Q(**{f"{field}__startswith": "sha256:"})


class User(AbstractUser):
    """Someone who signs in, or a simulated annotator."""

    name = models.CharField(max_length=150, blank=True)
    is_simulated = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name or self.username


class Session(AbstractBaseSession):
    """A browser that is known again, and who has signed in with it."""

    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sessions")

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        """What reads and writes these rows."""
        from training.sessions import SessionStore  # noqa: PLC0415 (it needs this class)

        return SessionStore


class Project(models.Model):
    """One thing that is being taught: its prompts, people, datasets and checkpoints."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    base_policy = models.CharField(max_length=300, blank=True)  # a digest, a folder, or a name on a model hub
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", related_name="projects"
    )
    created_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    def active(self) -> Self:
        """Those that open the project to their person."""
        return self.filter(deactivated_at=None)


class Membership(models.Model):
    """What one person may do in one project."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator"
        REVIEWER = "reviewer"
        RESEARCHER = "researcher"
        ADMIN = "admin"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    joined_at = models.DateTimeField(default=now)
    deactivated_at = models.DateTimeField(null=True, blank=True)  # since then the project does not exist for them

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_a_person_and_project"),
            models.CheckConstraint(
                condition=Q(role__in=["annotator", "reviewer", "researcher", "admin"]), name="membership_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} of {self.project_id}"


class Invitation(models.Model):
    """A place in a project that is kept for whoever brings its link: once, until a time."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=12, choices=Membership.Role)
    meant_for = models.CharField(max_length=150, blank=True)  # whom the inviter had in mind, in their own words
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["annotator", "reviewer", "researcher", "admin"]), name="invitation_role_is_known"
            ),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True),
                name="what_is_revoked_is_not_accepted",
            ),
        ]
        indexes = [models.Index(fields=["project", "-id"], name="invitation_newest")]

    def __str__(self) -> str:
        return f"a place as {self.role} of project {self.project_id}"


class WrittenOnce(TypeError):  # noqa: N818 (it says what the row is)
    """Someone tried to change or delete what stands for good."""


class DeedQuerySet(models.QuerySet["Deed"]):
    def update(self, **_: Any) -> int:
        """Nobody changes one."""
        raise WrittenOnce("a deed is written once: it is not changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Nobody deletes one."""
        raise WrittenOnce("a deed is written once: it is not deleted")


class Deed(models.Model):
    """Who did what: one row a deed, written in the deed's own transaction, never changed."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="deeds")
    by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="deeds")
    did = models.CharField(max_length=64)  # which verb; `training.audit` has its words
    to = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )  # whom it concerned
    about = models.CharField(max_length=200, blank=True)  # what it was done to, in words: "task 31"
    details = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(default=now)

    objects = DeedQuerySet.as_manager()

    class Meta:
        indexes = [  # the page of deeds: all, one person's, one verb's
            models.Index(fields=["project", "-id"], name="deed_newest"),
            models.Index(fields=["project", "by", "-id"], name="deed_newest_of_a_person"),
            models.Index(fields=["project", "did", "-id"], name="deed_newest_of_a_verb"),
        ]

    def __str__(self) -> str:
        return f"{self.did} {self.about}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write it down, the first time."""
        if not self._state.adding:
            raise WrittenOnce("a deed is written once: it is not changed")
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> tuple[int, dict[str, int]]:
        """Nobody deletes one."""
        raise WrittenOnce("a deed is written once: it is not deleted")


class Schedule(models.Model):
    """When a job starts by itself: at a time, by cron, after another kind, or once a measure has grown."""

    class Trigger(models.TextChoices):
        AT = "at"
        CRON = "cron"
        AFTER = "after"
        MEASURE = "measure"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=150)
    kind = models.CharField(max_length=64)
    config = models.JSONField(default=dict)
    inputs = models.JSONField(default=dict)
    trigger = models.CharField(max_length=8, choices=Trigger)
    at = models.DateTimeField(null=True, blank=True)
    cron = models.CharField(max_length=100, blank=True)
    timezone = models.CharField(max_length=64, blank=True, default="UTC")
    after_kind = models.CharField(max_length=64, blank=True)
    measure = models.CharField(max_length=100, blank=True)
    at_least = models.FloatField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    armed = models.BooleanField(default=True)  # a measure fires once, and again only after it has fallen back
    next_at = models.DateTimeField(null=True, blank=True)
    last_fired_at = models.DateTimeField(null=True, blank=True)
    enabled_at = models.DateTimeField(default=now)  # what finished before does not fire it
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="schedules")
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(trigger="at", at__isnull=False)
                | (Q(trigger="cron") & ~Q(cron=""))
                | (Q(trigger="after") & ~Q(after_kind=""))
                | (Q(trigger="measure", at_least__isnull=False) & ~Q(measure="")),
                name="schedule_says_when",
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(enabled=True, next_at__isnull=False), name="schedule_due"),
        ]

    def __str__(self) -> str:
        return self.name


class JobQuerySet(models.QuerySet["Job"]):
    def live(self) -> Self:
        """Jobs that are not over."""
        return self.exclude(state__in=Job.OVER)


class Job(models.Model):
    """One piece of machine work: what is to be done, and what became of it."""

    class State(models.TextChoices):
        WAITING = "waiting"  # for the jobs in waits_for
        QUEUED = "queued"
        RUNNING = "running"
        INTERRUPTED = "interrupted"  # stopped after a savepoint; goes on by itself
        PAUSED = "paused"  # stopped itself after a savepoint; goes on when a person says so
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OVER: ClassVar[tuple[str, ...]] = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True)
    config = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(default=1)
    requested_inputs = models.JSONField(default=dict)  # input name -> reference, as asked for
    inputs = models.JSONField(default=dict)  # input name -> digest, resolved when the job was claimed
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    attempt_number = models.PositiveIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    rung_at = models.DateTimeField(null=True, blank=True)
    progress_done = models.FloatField(null=True, blank=True)
    progress_total = models.FloatField(null=True, blank=True)
    progress_unit = models.CharField(max_length=40, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    output_digest = models.CharField(max_length=71, blank=True)
    waits_for: models.ManyToManyField[Job, models.Model] = models.ManyToManyField(
        "self", symmetrical=False, blank=True, related_name="awaited_by"
    )
    schedule = models.ForeignKey(Schedule, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    occurrence = models.CharField(max_length=64, blank=True)  # which firing of the schedule this is
    triggered_by = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="triggered")
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs")
    created_at = models.DateTimeField(default=now)
    queued_at = models.DateTimeField(default=now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        "waiting",
                        "queued",
                        "running",
                        "interrupted",
                        "paused",
                        "succeeded",
                        "failed",
                        "cancelled",
                    ]
                ),
                name="job_state_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False)
                | (~Q(state__in=["succeeded", "failed", "cancelled"]) & Q(finished_at__isnull=True)),
                name="job_is_over_when_it_has_finished",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(attempt_number__gt=0, heartbeat_at__isnull=False),
                name="running_job_has_an_attempt",
            ),
            models.CheckConstraint(condition=a_digest("output_digest"), name="job_output_is_a_digest"),
            models.UniqueConstraint(
                fields=["schedule", "occurrence"], condition=~Q(occurrence=""), name="schedule_fires_once_an_occurrence"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "-id"], name="job_newest_in_project"),  # the jobs page
            models.Index(  # the sweeper
                fields=["state"],
                condition=Q(state__in=["waiting", "queued", "running", "interrupted"]),
                name="job_live",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_over(self) -> bool:
        """Nothing will happen to this job any more, unless someone retries it."""
        return self.state in self.OVER


class Attempt(models.Model):
    """One try at a job, by one worker; its number fences every write."""

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        INTERRUPTED = "interrupted"
        PAUSED = "paused"
        LOST = "lost"  # its worker fell silent

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker = models.CharField(max_length=200)
    host = models.CharField(max_length=200)
    boot_id = models.CharField(max_length=64)
    pid = models.PositiveIntegerField(null=True, blank=True)
    pgid = models.PositiveIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="one_attempt_a_number"),
            models.UniqueConstraint(fields=["job"], condition=Q(outcome=""), name="one_live_attempt_a_job"),
            models.CheckConstraint(
                condition=Q(outcome="", ended_at__isnull=True) | (~Q(outcome="") & Q(ended_at__isnull=False)),
                name="attempt_ends_with_an_outcome",
            ),
        ]
        indexes = [models.Index(fields=["host", "boot_id"], name="attempt_of_this_boot")]  # reaping at start

    def __str__(self) -> str:
        return f"attempt {self.number} of job {self.job_id}"


class Metric(models.Model):
    """One number that a trainer said at one step."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=100)
    step = models.BigIntegerField()
    value = models.FloatField(null=True)  # null: the trainer said something that is not a finite number

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name", "step"], name="one_value_a_step")]
        indexes = [models.Index(fields=["job", "id"], name="metrics_since")]  # the live curves

    def __str__(self) -> str:
        return f"{self.name} at {self.step}: {self.value}"


class Dataset(models.Model):
    """A frozen set of lines that trainers read, by digest."""

    class Kind(models.TextChoices):
        PROMPTS = "prompts"
        DEMONSTRATIONS = "demonstrations"
        RANKINGS = "rankings"
        TEXT = "text"
        SAMPLES = "samples"
        REWARDS = "rewards"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    kind = models.CharField(max_length=16, choices=Kind)
    name = models.CharField(max_length=150)
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=71, db_index=True)
    count = models.PositiveBigIntegerField()
    card = models.JSONField(default=dict)
    job = models.OneToOneField(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="dataset")
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "name", "version"], name="one_dataset_a_version"),
            models.CheckConstraint(condition=Q(digest__startswith="sha256:"), name="dataset_has_a_digest"),
        ]
        indexes = [models.Index(fields=["project", "kind", "-id"], name="dataset_newest")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Checkpoint(models.Model):
    """A published model: immutable, found by digest, with its parents."""

    class Kind(models.TextChoices):
        POLICY = "policy"
        REWARD = "reward"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="checkpoints")
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=150)
    digest = models.CharField(max_length=71, db_index=True)
    card = models.JSONField(default=dict)
    job = models.OneToOneField(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="checkpoint")
    parents: models.ManyToManyField[Checkpoint, models.Model] = models.ManyToManyField(
        "self", symmetrical=False, blank=True, related_name="children"
    )
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "name"], name="one_checkpoint_a_name"),
            models.CheckConstraint(condition=Q(kind__in=["policy", "reward"]), name="checkpoint_kind_is_known"),
            models.CheckConstraint(condition=Q(digest__startswith="sha256:"), name="checkpoint_has_a_digest"),
        ]
        indexes = [models.Index(fields=["project", "kind", "-id"], name="checkpoint_newest")]

    def __str__(self) -> str:
        return self.name


class Champion(models.Model):
    """Which checkpoint a project uses when nobody names one, since when, and by whose word."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="champions")
    kind = models.CharField(max_length=8, choices=Checkpoint.Kind)
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="reigns")
    since = models.DateTimeField(default=now)
    until = models.DateTimeField(null=True, blank=True)
    by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"], condition=Q(until__isnull=True), name="one_champion_a_kind"
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gte=F("since")), name="reign_ends_after_it_began"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.checkpoint_id} since {self.since:%Y-%m-%d %H:%M}"
