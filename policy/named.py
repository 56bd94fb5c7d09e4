"""Which checkpoint is meant: a project's slug is its champion, `slug/name` one of its checkpoints, a digest itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training import access, checkpoints
from training.models import Champion, Checkpoint
from training.refusals import Refusal

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from training.models import Membership, Project, User

DIGEST = "sha256:"
TITLES = {Checkpoint.Kind.POLICY: "policy", Checkpoint.Kind.REWARD: "reward model"}


class NoSuchModel(Refusal):
    """It does not exist, or belongs to projects that the asker is no member of: nobody learns which."""

    code, status = "model_not_found", 404
    message = "There is no such model, or you are not a member of a project that published it."


class NothingPublished(Refusal):
    """The project is the asker's, and has nothing to answer with."""

    code, status = "no_checkpoint", 422
    message = "This project has no such checkpoint yet."


def policy(asker: User, name: str) -> Checkpoint:
    """The policy of that name, for anyone who is a member of a project that published it.

    A slug is looked up at each request: after a promotion the next one is answered by the new champion. Raises
    NoSuchModel and NothingPublished.
    """
    return checkpoint(asker, name, Checkpoint.Kind.POLICY)


def reward_model(asker: User, name: str) -> Checkpoint:
    """The reward model of that name, for those who read the project's models.

    A slug is the champion, or the newest where nobody has promoted one. Raises NoSuchModel, NothingPublished and
    NotAllowed.
    """
    return checkpoint(asker, name, Checkpoint.Kind.REWARD, *access.READERS)


def checkpoint(asker: User, name: str, kind: Checkpoint.Kind, *roles: str) -> Checkpoint:
    """The checkpoint of a kind that a name means to a member who has one of the roles."""
    if name.startswith(DIGEST):
        rows = Checkpoint.objects.filter(kind=kind, digest=name, project__in=access.projects_of(asker))
        return allowed(asker, rows, *roles)
    slug, slash, rest = name.partition("/")
    try:
        project = access.membership_of(asker, slug).project
    except access.NoSuchProject as error:
        raise NoSuchModel from error
    if slash:
        return allowed(asker, Checkpoint.objects.filter(kind=kind, project=project, name=rest), *roles)
    access.check(asker, project.pk, *roles)
    return default(project, kind)


def allowed(asker: User, rows: QuerySet[Checkpoint], *roles: str) -> Checkpoint:
    """The newest of rows that the asker may see, from a project in which their role allows it."""
    found = list(rows.order_by("-pk"))
    if not found:
        raise NoSuchModel
    if not roles:
        return found[0]
    open_to = set(access.projects_of(asker, *roles))
    for row in found:
        if row.project_id in open_to:
            return row
    raise access.NotAllowed


def default(project: Project, kind: Checkpoint.Kind) -> Checkpoint:
    """What a project uses where nobody names a checkpoint: its champion; of reward models, else the newest."""
    found = checkpoints.champion(project, kind)
    if found is None and kind == Checkpoint.Kind.REWARD:
        found = Checkpoint.objects.filter(project=project, kind=kind).order_by("-pk").first()
    if found is None:
        how = "promote one, or name one as slug/name" if kind == Checkpoint.Kind.POLICY else "train one first"
        raise NothingPublished(f"The project {project.slug} has no {TITLES[kind]} that speaks for it yet: {how}.")
    return found


def reigning(asker: User, slug: str = "") -> QuerySet[Champion]:
    """The champions among the policies that the asker may talk to."""
    rows = Champion.objects.filter(until=None, kind=Checkpoint.Kind.POLICY, project__in=mine(asker, slug))
    return rows.select_related("project", "checkpoint").order_by("project__slug")


def published(asker: User, slug: str = "") -> QuerySet[Checkpoint]:
    """The policies that the asker may talk to, newest first."""
    rows = Checkpoint.objects.filter(kind=Checkpoint.Kind.POLICY, project__in=mine(asker, slug))
    return rows.select_related("project").order_by("-pk")


def mine(asker: User, slug: str) -> QuerySet[Membership, int]:
    """The projects that are meant: one by its slug, or all that the asker belongs to."""
    if slug:
        access.membership_of(asker, slug)
    mine = access.projects_of(asker)
    return mine.filter(project__slug=slug) if slug else mine
