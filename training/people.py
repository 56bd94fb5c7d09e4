"""Projects and the people in them: create, invite, accept, change a role, deactivate, export, erase.

Rooms say what they hold of a person (`offer`), so that an export is whole and an erasure reaches everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from axes.models import AccessAttempt
from django.contrib.auth.password_validation import validate_password
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.timezone import now
from knox.models import AuthToken

from training import access, audit
from training.models import Deed, Invitation, Membership, Project, User
from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from training.models import Dataset

SALT = "training.invitation"
DAYS = 7
ERASED = "erased-"
"""How the user names begin of those who were erased."""
Role = Membership.Role


class SlugTaken(Refusal):
    code, status = "slug_taken", 409
    message = "Another project has this short name."


class NoSlug(Refusal):
    code, status = "no_slug", 422
    message = "A short name holds letters, digits, - and _ alone, 60 at most."


class NoSuchInvitation(Refusal):
    code, status = "not_found", 404
    message = "This link is not one of ours. Ask for a new one."


class InvitationOver(Refusal):
    code, status = "invitation_over", 410
    message = "This invitation is over. Ask for a new one."


class BadAccount(Refusal):
    code, status = "bad_account", 422
    message = "This name or password cannot be used."


class AlreadyMember(Refusal):
    code, status = "already_member", 409
    message = "This person belongs to the project already."


class LastAdmin(Refusal):
    code, status = "last_admin", 409
    message = "A project keeps one admin. Make someone else an admin first."


class NoSuchMember(Refusal):
    code, status = "not_found", 404
    message = "There is no such person in this project."


class BelongsElsewhere(Refusal):
    code, status = "belongs_elsewhere", 409
    message = (
        "This person belongs to projects that you do not lead. Erasing reaches all of them: ask someone who leads "
        "them all."
    )


class NotTheName(Refusal):
    code, status = "not_the_name", 422
    message = "Erasing cannot be undone: write the person's user name to confirm it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What a room holds of a person."""

    name: str
    export: Callable[[Project, User], dict[str, Any]]
    """What they said and did in a project, ready for JSON."""
    datasets: Callable[[Project, User], Iterable[tuple[Dataset, int]]]
    """The project's datasets that hold words of theirs, with how many."""
    leave: Callable[[Project, User], None]
    """What they had in their hands goes back to the others; part of the transaction that deactivates them."""
    erase: Callable[[User], None]
    """What is theirs alone and no label is deleted; part of the transaction that erases them."""


_offered: list[Belongings] = []


def offer(belongings: Belongings) -> None:
    """Let a room's part of a person be exported and erased; called in `AppConfig.ready`."""
    _offered.append(belongings)


# --- Projects --------------------------------------------------------------------------------------


def may_create(user: User) -> bool:
    """Whether someone may create projects: those who lead one, and the server's staff."""
    return user.is_staff or Membership.objects.active().filter(user=user, role=Role.ADMIN).exists()


@transaction.atomic
def create_project(*, name: str, by: User | None, slug: str = "", description: str = "") -> Project:
    """A project led by who made it. The short name is made of the name where none is given. Raises SlugTaken."""
    wanted = slug or slugify(name)[:60]
    try:
        validate_slug(wanted)
    except ValidationError as error:
        raise NoSlug(slug=[NoSlug.message]) from error
    try:
        with transaction.atomic():
            project = Project.objects.create(slug=wanted, name=name, description=description)
    except IntegrityError as error:
        raise SlugTaken(slug=[f"Another project is called {wanted!r}."]) from error
    if by:
        Membership.objects.create(project=project, user=by, role=Role.ADMIN)
    audit.record(project=project, by=by, did="project.created", about=name)
    return project


@transaction.atomic
def change_project(*, project: Project, by: User, **changes: str) -> Project:
    """Give a project another name or description; what stays the same is no deed."""
    news = {name: value for name, value in changes.items() if getattr(project, name) != value}
    if news:
        before = {name: getattr(project, name) for name in news}
        for name, value in news.items():
            setattr(project, name, value)
        project.save(update_fields=[*news])
        audit.record(project=project, by=by, did="project.changed", before=before, after=news)
    return project


# --- Invitations -----------------------------------------------------------------------------------


@transaction.atomic
def invite(*, project: Project, role: str, by: User | None, meant_for: str = "", days: int = DAYS) -> Invitation:
    """Keep a place for whoever brings the link of this invitation, once, for so many days."""
    made = Invitation.objects.create(
        project=project,
        role=role,
        meant_for=meant_for,
        created_by=by,
        expires_at=now() + timedelta(days=days),
    )
    audit.record(project=project, by=by, did="person.invited", about=f"as {role}", invitation=made.pk)
    return made


def token_of(invitation: Invitation) -> str:
    """What its link carries: which invitation, and as what, signed."""
    return signing.dumps({"invitation": invitation.pk, "role": invitation.role}, salt=SALT)


def invited_by(token: str) -> Invitation:
    """The invitation of a link that still opens. Raises NoSuchInvitation and InvitationOver."""
    try:
        said = signing.loads(token, salt=SALT)
    except signing.BadSignature as error:
        raise NoSuchInvitation from error
    found = Invitation.objects.select_related("project", "created_by").filter(pk=said["invitation"]).first()
    if found is None or found.role != said["role"]:
        raise NoSuchInvitation
    if found.revoked_at:
        raise InvitationOver("This invitation was taken back. Ask for a new one.")
    if found.accepted_at:
        raise InvitationOver("This invitation was used already. Sign in, or ask for a new one.")
    if found.expires_at <= now():
        raise InvitationOver(f"This invitation was good until {found.expires_at:%d %B %Y}. Ask for a new one.")
    return found


@transaction.atomic
def revoke(*, invitation: Invitation, by: User) -> None:
    """Let a link open nothing any more; one that was used or taken back stays as it is."""
    open_still = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if open_still.update(revoked_at=now()):
        about = f"as {invitation.role}"
        audit.record(project=invitation.project, by=by, did="invitation.revoked", about=about, invitation=invitation.pk)


@transaction.atomic
def accept(*, token: str, username: str, name: str, password: str) -> User:
    """Make the account of someone who brings an invitation, and a member of them. Raises BadAccount."""
    invitation = invited_by(token)
    user = User(username=User.normalize_username(username.strip()), name=name.strip())
    wrong: dict[str, list[str]] = {}
    if user.username.startswith(ERASED):
        wrong["username"] = [f"No user name begins with {ERASED}."]
    try:
        user.clean_fields(exclude=["password"])
        user.validate_unique()
    except ValidationError as error:
        wrong |= error.message_dict
    try:
        validate_password(password, user)
    except ValidationError as error:
        wrong["password"] = error.messages
    if wrong:
        raise BadAccount(None, **wrong)
    user.set_password(password)
    user.save()
    take_place(invitation, user)
    return user


@transaction.atomic
def change_password(*, user: User, new: str) -> None:
    """Give someone a new password. Raises BadAccount."""
    try:
        validate_password(new, user)
    except ValidationError as error:
        raise BadAccount(None, new=error.messages) from error
    user.set_password(new)
    user.save(update_fields=["password"])


@transaction.atomic
def accept_as(*, token: str, user: User) -> Membership:
    """Let someone who is signed in take the place that an invitation keeps. Raises AlreadyMember."""
    invitation = invited_by(token)
    if Membership.objects.active().filter(project=invitation.project_id, user=user).exists():
        raise AlreadyMember("You belong to this project already.")
    return take_place(invitation, user)


def take_place(invitation: Invitation, user: User) -> Membership:
    """Use an invitation up, and make its person a member; whoever is second is refused."""
    free = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
    if not free.update(accepted_at=now(), accepted_by=user):
        raise InvitationOver("This invitation was used already. Sign in, or ask for a new one.")
    membership, _ = Membership.objects.update_or_create(
        project=invitation.project, user=user, defaults={"role": invitation.role, "deactivated_at": None}
    )
    audit.record(project=invitation.project, by=user, did="person.joined", about=f"as {invitation.role}")
    return membership


# --- Members ---------------------------------------------------------------------------------------


def member(project: Project, user_id: int) -> Membership:
    """Someone's membership, deactivated or not, locked until the transaction ends. Raises NoSuchMember."""
    Project.objects.select_for_update().get(pk=project.pk)  # so that no two admins step down past each other
    found = Membership.objects.select_related("user").filter(project=project, user=user_id).first()
    if found is None:
        raise NoSuchMember
    return found


def keep_an_admin(membership: Membership) -> None:
    """Refuse to take away the project's last admin."""
    admins = Membership.objects.active().filter(project=membership.project_id, role=Role.ADMIN, user__is_active=True)
    if membership.role == Role.ADMIN and not admins.exclude(pk=membership.pk).exists():
        raise LastAdmin


@transaction.atomic
def change_role(*, project: Project, user_id: int, role: str, by: User) -> Membership:
    """Let a member do other things. Raises NoSuchMember and LastAdmin."""
    found = member(project, user_id)
    if found.role == role:
        return found
    keep_an_admin(found)
    before, found.role = found.role, role
    found.save(update_fields=["role"])
    if role not in access.LABELERS:
        leave(found)
    audit.record(project=project, by=by, did="person.role_changed", to=found.user, before=before, after=role)
    return found


@transaction.atomic
def deactivate(*, project: Project, user_id: int, by: User) -> Membership:
    """Close a project to a member; what they said stays, what they held goes back. Raises LastAdmin."""
    found = member(project, user_id)
    if found.deactivated_at is None:
        keep_an_admin(found)
        close(found)
        audit.record(project=project, by=by, did="person.deactivated", to=found.user)
    return found


def close(membership: Membership) -> None:
    """End a membership that is locked, and give back what its person held."""
    membership.deactivated_at = now()
    membership.save(update_fields=["deactivated_at"])
    leave(membership)


def leave(membership: Membership) -> None:
    """Give back what a person held."""
    for room in _offered:
        room.leave(membership.project, membership.user)


@transaction.atomic
def reactivate(*, project: Project, user_id: int, by: User) -> Membership:
    """Let a member back in, in the role that they had."""
    found = member(project, user_id)
    if not found.user.is_active:
        raise NoSuchMember("This person has no account any more. Invite them anew.")
    if found.deactivated_at is not None:
        found.deactivated_at = None
        found.save(update_fields=["deactivated_at"])
        audit.record(project=project, by=by, did="person.reactivated", to=found.user)
    return found


# --- One person's data -------------------------------------------------------------------------------


@transaction.atomic
def export(*, project: Project, user_id: int, by: User) -> dict[str, Any]:
    """Everything that a project holds of one person, ready for JSON."""
    found = member(project, user_id)
    person = found.user
    audit.record(project=project, by=by, did="person.exported", to=person)
    return {
        "person": {
            "username": person.username,
            "name": person.name,
            "email": person.email,
            "joined_at": person.date_joined,
            "last_signed_in_at": person.last_login,
        },
        "membership": {
            "project": project.slug,
            "role": found.role,
            "joined_at": found.joined_at,
            "deactivated_at": found.deactivated_at,
        },
        "datasets": [
            {"name": str(dataset), "kind": dataset.kind, "digest": dataset.digest, "words": count}
            for dataset, count in datasets_with(project, person)
        ],
        "deeds": list(Deed.objects.filter(project=project, by=person).order_by("pk").values("did", "about", "at")),
        **{room.name: room.export(project, person) for room in _offered},
    }


def datasets_with(project: Project, person: User) -> list[tuple[Dataset, int]]:
    """The project's datasets that hold a person's words, newest first, with how many."""
    found = [each for room in _offered for each in room.datasets(project, person)]
    return sorted(found, key=lambda each: -each[0].pk)


@transaction.atomic
def erase(*, project: Project, user_id: int, by: User, username: str) -> list[tuple[Dataset, int]]:
    """Make a person unknown for good; their labels stay under a pseudonym. Gives the datasets that hold them.

    Datasets never change: they hold a pseudonym too, so that a new one without this person's words can be made, and
    what was trained on the old ones found. Raises NotTheName, BelongsElsewhere and LastAdmin.
    """
    person = member(project, user_id).user
    if username != person.username:
        raise NotTheName(username=[NotTheName.message])
    memberships = list(Membership.objects.select_related("project", "user").filter(user=person))
    led = Membership.objects.active().filter(user=by, role=Role.ADMIN).values_list("project_id", flat=True)
    if {each.project_id for each in memberships} - set(led):
        raise BelongsElsewhere
    holding = []
    for membership in memberships:
        keep_an_admin(membership)
        holding += datasets_with(membership.project, person)
        close(membership)
    for room in _offered:
        room.erase(person)
    forget(person)
    for membership in memberships:
        audit.record(project=membership.project, by=by, did="person.erased", to=person)
    return holding


def forget(person: User) -> None:
    """Take from a person's row whatever says who they are, and shut every door that it opens."""
    AuthToken.objects.filter(user=person).delete()
    AccessAttempt.objects.filter(username=person.username).delete()
    Invitation.objects.filter(accepted_by=person).update(meant_for="")
    person.username, person.name = f"{ERASED}{person.pk}", f"annotator-{person.pk}"
    person.first_name = person.last_name = person.email = ""
    person.is_active = person.is_staff = person.is_superuser = False
    person.last_login = None
    person.set_unusable_password()  # whoever is signed in with the old one is signed out
    person.save()
