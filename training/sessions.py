"""Who asks: the session and the person behind it are looked up at every request, by statements composed once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils.timezone import now

from training.composed import Composed
from training.models import User

KEPT = Composed(
    lambda key, at: Session.objects.filter(session_key=key, expire_date__gt=at),
    key=Session.session_key,
    at=Session.expire_date,
)
PERSON = Composed(lambda user: User.objects.filter(pk=user), user=User.id)


class SessionStore(db.SessionStore):
    """Django's sessions in the database."""

    def _get_session_from_db(self) -> Session | None:
        found = KEPT.first(key=self.session_key, at=now())
        if found is None:
            self._session_key = None
        return found


class Passwords(ModelBackend):
    """Django's accounts with passwords."""

    def get_user(self, user_id: Any) -> User | None:
        """The account of this number, unless it was deactivated."""
        found = PERSON.first(user=user_id)
        return found if found is not None and self.user_can_authenticate(found) else None
