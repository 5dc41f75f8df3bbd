"""Checks names and passwords at sign-in, and changes passwords.

Wrong attempts are slowed down (``store.users.throttle``), and each one on a user's name is an entry in the audit log. Names and passwords
that are too long are refused before any costly work.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from store.audit.audit_log import CHANGED_PASSWORD, REFUSED_PASSWORD, REFUSED_SIGN_IN
from store.db.database import Database
from store.db.tables_operations import UserRow, UserSessionRow
from store.errors import TooManyTries, ValueRefused, VersionConflict
from store.users import passwords
from store.users.passwords import LONGEST, refusal
from store.users.refused_sign_ins import Refusals
from store.users.roles import LONGEST_NAME
from store.users.sessions import digest
from store.users.throttle import AdmitsAttempts, Throttle
from store.users.users import (
    DISABLED,
    ELSEWHERE,
    NO_ROLE,
    STRANGER,
    UNKNOWN_NAME,
    WRITER,
    WRONG_PASSWORD,
    StoredUser,
    User,
    UserLog,
    Users,
    Way,
)

OTHER_SESSIONS = "SELECT digest FROM user_sessions WHERE user_id = ? AND digest <> ?"
MESSAGES = {
    WRONG_PASSWORD: "The current password is wrong.",
    ELSEWHERE: "You sign in with an identity provider. Change your password there.",
}


class Try(NamedTuple):
    """One attempt. ``refused`` is why no password would be accepted; otherwise empty."""

    user: StoredUser | None
    refused: str = ""


class Credentials:
    """Checks credentials of users who have a role in one of the service's enterprises. ``address`` is where an attempt comes from."""

    def __init__(
        self, database: Database, enterprises: Collection[str], refusals: Refusals | None = None, throttle: AdmitsAttempts | None = None
    ) -> None:
        self.database, self.enterprises = database, enterprises
        self.users, self.log, self.throttle = Users(database), UserLog(database), throttle or Throttle()
        self.refusals = refusals or Refusals(database, enterprises)

    def check(self, name: str, password: str, now: datetime, address: str = "") -> User | None:
        """The user with that name and password. ``None`` if they are wrong, or the user is disabled or has no role.

        Raises :class:`TooManyTries`, whether or not the name exists.
        """
        name = name.strip()
        if len(name) > LONGEST_NAME or len(password) > LONGEST:
            return None
        tried = self._tried(name, address, now)
        fits = passwords.matches(password, tried.user.password if tried.user and not tried.refused else None)
        if tried.user is None or not fits or not self._is_current(tried.user):
            self._refused(REFUSED_SIGN_IN, tried, tried.refused or WRONG_PASSWORD, now)
            return None
        user = self.users.find(tried.user.name)
        if user.disabled is not None or not user.roles.keys() & set(self.enterprises):
            self._refused(REFUSED_SIGN_IN, tried, DISABLED if user.disabled else NO_ROLE, now)
            return None
        self.throttle.accept(name, address, now)
        return user

    def _is_current(self, user: StoredUser) -> bool:
        """Whether the password has not changed since it was checked."""
        with self.database.read() as connection:
            stored = self.users.stored(connection, user.name)
        return stored is not None and stored.password == user.password

    def change(self, name: str, current: str, new: str, *, session: str, now: datetime, address: str = "") -> None:
        """Changes a user's own password. All their sessions except ``session`` end.

        Raises :class:`ValueRefused` for a new password that is not allowed, and for a wrong current one, which counts as an attempt;
        :class:`TooManyTries`; :class:`VersionConflict` if somebody else changed it meanwhile.
        """
        if why := refusal(passwords.normal(new[: LONGEST + 1]), [name, *self.enterprises]):
            raise ValueRefused(why)
        if new == current:
            raise ValueRefused("The new password is the same as the current one. Choose another.")
        if len(current) > LONGEST:
            raise ValueRefused(MESSAGES[WRONG_PASSWORD])
        tried = self._tried(name, address, now)
        fits = passwords.matches(current, tried.user.password if tried.user and not tried.refused else None)
        if tried.user is None or not fits:
            self._refused(REFUSED_PASSWORD, tried, tried.refused or WRONG_PASSWORD, now)
            raise ValueRefused(MESSAGES.get(tried.refused or WRONG_PASSWORD, "You cannot change the password now."))
        self.throttle.accept(name, address, now)
        self._replace(tried.user, passwords.hashed(new), session, now)

    def _replace(self, user: StoredUser, hashed: str, session: str, now: datetime) -> None:
        with self.database.write(WRITER) as transaction:
            stored = self.users.stored(transaction, user.name)
            if stored is None or stored.password != user.password or stored.disabled is not None:
                raise VersionConflict("the password was changed by someone else in the meantime: sign in again")
            self.database.update(transaction, UserRow, ("id",), ("password", "provisional"), [(hashed, None, user.id)])
            rows = self.database.select(transaction, OTHER_SESSIONS, [user.id, digest(session)])
            self.database.delete(transaction, UserSessionRow, ("digest",), [tuple(one) for one in rows])
            for enterprise, role in self.users.roles(transaction, user.id).items():
                detail = {"name": user.name, "sessions_ended": len(rows)}
                self.log.note(transaction, [enterprise], CHANGED_PASSWORD, user.id, actor=f"{role}:{user.name}", now=now, **detail)

    def _tried(self, name: str, address: str, now: datetime) -> Try:
        if wait := self.throttle.admit(name, address, now):
            raise TooManyTries(wait.total_seconds())
        with self.database.read() as connection:
            user = self.users.stored(connection, name)
        return Try(user, refusal_reason(user) or (ELSEWHERE if user and user.by_openid else ""))

    def _refused(self, action: str, tried: Try, why: str, now: datetime) -> None:
        if tried.user is None:
            self.refusals.count(why, Way.PASSWORD, now)
            return
        with self.database.write(WRITER) as transaction:
            enterprises, number, detail = self.users.audit_scope(transaction, tried.user, self.enterprises)
            self.log.note(transaction, enterprises, action, number, actor=STRANGER, now=now, why=why, **detail)


def refusal_reason(user: StoredUser | None) -> str:
    """Why this user may not sign in, by whatever method; empty if they may."""
    if user is None:
        return UNKNOWN_NAME
    return DISABLED if user.disabled is not None else ""
