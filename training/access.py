"""Look a project up and check what the asker may do there, in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.models import Membership
from training.refusals import Refusal

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from training.models import User

READERS = (Membership.Role.REVIEWER, Membership.Role.RESEARCHER, Membership.Role.ADMIN)
REVIEWERS = (Membership.Role.REVIEWER, Membership.Role.ADMIN)
RESEARCHERS = (Membership.Role.RESEARCHER, Membership.Role.ADMIN)
ADMINS = (Membership.Role.ADMIN,)
LABELERS = (Membership.Role.ANNOTATOR, Membership.Role.REVIEWER, Membership.Role.ADMIN)


class NoSuchProject(Refusal):
    """Outsiders learn nothing: a project that is not theirs does not exist for them."""

    code, status = "not_found", 404
    message = "There is no such project, or you are not a member of it."


class NotThere(Refusal):
    """What hangs on a project that is not theirs does not exist for outsiders either."""

    code, status = "not_found", 404
    message = "There is nothing here, or it is not yours to see."


class NotAllowed(Refusal):
    """A member whose role is another."""

    code, status = "permission_denied", 403
    message = "Your role in this project does not allow this."


def membership_of(user: User, slug: str, *roles: str) -> Membership:
    """The user's membership, with its project; any role will do where none is named."""
    membership = Membership.objects.active().select_related("project").filter(user=user, project__slug=slug).first()
    if membership is None:
        raise NoSuchProject
    if roles and membership.role not in roles:
        raise NotAllowed
    return membership


def check(user: User, project_id: int, *roles: str) -> None:
    """Refuse what hangs on a project to those who are no members, or have none of the roles."""
    mine = Membership.objects.active().filter(user=user, project=project_id)
    role = mine.values_list("role", flat=True).first()
    if role is None:
        raise NotThere
    if roles and role not in roles:
        raise NotAllowed


def projects_of(user: User, *roles: str) -> QuerySet[Membership, int]:
    """The ids of the projects in which the user has one of the roles, for use in a filter."""
    memberships = Membership.objects.active().filter(user=user)
    return (memberships.filter(role__in=roles) if roles else memberships).values_list("project_id", flat=True)
