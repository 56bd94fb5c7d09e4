"""Who asks: the session and the person behind it are looked up at every request, by one statement composed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends import db
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject
from django.utils.timezone import now

from training.composed import Composed
from training.models import Session, User

if TYPE_CHECKING:
    from django.http import HttpRequest

KEPT = Composed(
    lambda key, at: (
        Session.objects.select_related("user")
        .defer("expire_date", "user__last_login", "user__date_joined")
        .filter(session_key=key, expire_date__gt=at)
    ),
    key=Session.session_key,
    at=Session.expire_date,
)


class SessionStore(db.SessionStore):
    """Django's sessions in the database, in rows that point to who has signed in."""

    person: User | None = None
    """Who had signed in when the session was read."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        """Our own rows."""
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """The row that keeps these data."""
        return pointing_to_its_person(super().create_model_instance(data), data)

    async def acreate_model_instance(self, data: dict[str, Any]) -> Session:
        """The same, for those who do not wait."""
        return pointing_to_its_person(await super().acreate_model_instance(data), data)

    def _get_session_from_db(self) -> Session | None:
        found = KEPT.first(key=self.session_key, at=now())
        if found is None:
            self._session_key = None
            return None
        self.person = found.user
        return found


def pointing_to_its_person(row: Any, data: dict[str, Any]) -> Session:
    """A session's row that names the person whom its data name, if anybody has signed in."""
    row.user_id = data.get(SESSION_KEY)
    return row  # type: ignore[no-any-return]


class WhoAsks(AuthenticationMiddleware):
    """Django's `request.user`, who was found together with the session."""

    def process_request(self, request: HttpRequest) -> None:
        """Look only when somebody wants to know."""
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: signed_in(request) or AnonymousUser())  # type: ignore[assignment]


def signed_in(request: HttpRequest) -> User | None:
    """Who has signed in, unless their account was deactivated; a session from before a new password is thrown away."""
    session: Any = request.session
    signed_in_with = session.get(HASH_SESSION_KEY, "")
    person: User | None = session.person
    if person is None or not person.is_active:
        return None
    if not constant_time_compare(signed_in_with, person.get_session_auth_hash()):
        session.flush()
        return None
    return person
