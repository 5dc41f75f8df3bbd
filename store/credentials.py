"""Names and passwords, as people give them: whether they let somebody in.

After too many wrong ones in a row the user is locked out for a while. Every try is counted before it is checked, so that many at the
same time gain nothing, and every one that lets nobody in is a line in the audit log.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from store import passwords
from store.apply import instant
from store.audit import LOCKED_OUT, REFUSED_SIGN_IN
from store.database import Database
from store.user_log import DISABLED, LOCKED, NO_ROLE, STRANGER, UNKNOWN_NAME, WRONG_PASSWORD, UserLog
from store.user_tables import UserRow
from store.users import WRITER, Kept, User, Users

TRIES = 5
LOCKED_FOR = timedelta(minutes=15)


class Try(NamedTuple):
    """One try, counted. ``refused`` is why no password is right, where none is; ``last``: a wrong one now locks the user out."""

    user: Kept | None
    refused: str = ""
    last: bool = False


class Credentials:
    """Checks them, for those who have a role in one of the service's enterprises."""

    def __init__(self, database: Database, enterprises: Collection[str]) -> None:
        self.database, self.enterprises = database, enterprises
        self.users, self.log = Users(database), UserLog(database)

    def check(self, name: str, password: str, now: datetime) -> User | None:
        """Whose name and password these are. ``None`` for a wrong one, and for a user who is disabled, locked out or without a role."""
        tried = self._tried(name.strip(), now)
        fits = passwords.fits(password, tried.user.password if tried.user and not tried.refused else None)
        if tried.user is None or not fits:
            self._refused(tried, tried.refused or WRONG_PASSWORD, now)
            return None
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(0, None, tried.user.id)])
        user = self.users.find(tried.user.name)
        if user.disabled is not None or not user.roles.keys() & set(self.enterprises):
            self._refused(tried, DISABLED if user.disabled else NO_ROLE, now)
            return None
        return user

    def _tried(self, name: str, now: datetime) -> Try:
        with self.database.write(WRITER) as transaction:
            user = self.users.kept(transaction, name)
            refused = why_not(user, now)
            if user is None or refused:
                return Try(user, refused)
            last = user.failures + 1 >= TRIES
            counted = (0, now + LOCKED_FOR) if last else (user.failures + 1, None)
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(*counted, user.id)])
            return Try(user, last=last)

    def _refused(self, tried: Try, why: str, now: datetime) -> None:
        with self.database.write(WRITER) as transaction:
            where, number, said = self._concerned(transaction, tried.user)
            self.log.note(transaction, where, REFUSED_SIGN_IN, number, actor=STRANGER, now=now, why=why, **said)
            if tried.last and why == WRONG_PASSWORD:
                until = (now + LOCKED_FOR).isoformat()
                self.log.note(transaction, where, LOCKED_OUT, number, actor=STRANGER, now=now, until=until, **said)

    def _concerned(self, transaction: Connection, user: Kept | None) -> tuple[Collection[str], str, dict[str, str]]:
        """The enterprises whose log it belongs to: the user's own, or all where it is nobody's."""
        if user is None:
            return self.enterprises, "", {}
        return self.users.roles(transaction, user.id) or self.enterprises, user.id, {"name": user.name}


def why_not(user: Kept | None, now: datetime) -> str:
    """Why no password lets this user in now; empty where one may."""
    if user is None:
        return UNKNOWN_NAME
    if user.disabled is not None:
        return DISABLED
    return LOCKED if user.locked_until is not None and instant(user.locked_until) > now else ""
