"""Names and passwords, as people give them: whether they let somebody in, and which one somebody chooses next.

After too many wrong ones in a row the user is locked out for a while. Every try is counted before it is checked, so that many at the
same time gain nothing, and every one that lets nobody in is a line in the audit log.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from store.apply import instant
from store.database import Database
from store.errors import ValueRefused, VersionConflict
from store.people import passwords
from store.people.password_rules import refusal
from store.people.sessions import digest
from store.people.user_log import DISABLED, ELSEWHERE, LOCKED, NO_ROLE, STRANGER, UNKNOWN_NAME, WRONG_PASSWORD, UserLog
from store.people.user_tables import UserRow, UserSessionRow
from store.people.users import WRITER, Kept, User, Users
from store.proof.audit import CHANGED_PASSWORD, LOCKED_OUT, REFUSED_PASSWORD, REFUSED_SIGN_IN

TRIES = 5
LOCKED_FOR = timedelta(minutes=15)
OTHERS = "SELECT digest FROM user_sessions WHERE user_id = ? AND digest <> ?"
SAID = {
    WRONG_PASSWORD: "The current password is not right.",
    LOCKED: f"Too many wrong tries. Wait {int(LOCKED_FOR.total_seconds() // 60)} minutes, then try again.",
    ELSEWHERE: "There is no password here: you sign in with another service. Change it there.",
}


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
        if tried.user is None or not fits or not self._still(tried.user):
            self._refused(REFUSED_SIGN_IN, tried, tried.refused or WRONG_PASSWORD, now)
            return None
        user = self.users.find(tried.user.name)
        if user.disabled is not None or not user.roles.keys() & set(self.enterprises):
            self._refused(REFUSED_SIGN_IN, tried, DISABLED if user.disabled else NO_ROLE, now)
            return None
        return user

    def _still(self, user: Kept) -> bool:
        """Whether the password that was checked is the user's still; the wrong ones before it are forgotten then."""
        with self.database.write(WRITER) as transaction:
            kept = self.users.kept(transaction, user.name)
            if kept is None or kept.password != user.password:
                return False
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(0, None, user.id)])
            return True

    def change(self, name: str, current: str, new: str, *, session: str, now: datetime) -> None:
        """Another password of a user's own, who is in ``session``: all others of theirs end.

        Raises :class:`ValueRefused` for a new one that may not be chosen, and for a wrong current one, which counts as a try;
        :class:`VersionConflict` when somebody else changed it meanwhile.
        """
        if why := refusal(passwords.normal(new), [name, *self.enterprises]):
            raise ValueRefused(why)
        if new == current:
            raise ValueRefused("That is the password you have. Choose another one.")
        tried = self._tried(name, now)
        fits = passwords.fits(current, tried.user.password if tried.user and not tried.refused else None)
        if tried.user is None or not fits:
            self._refused(REFUSED_PASSWORD, tried, tried.refused or WRONG_PASSWORD, now)
            raise ValueRefused(SAID.get(tried.refused or (LOCKED if tried.last else WRONG_PASSWORD), "You may not change it now."))
        self._replace(tried.user, passwords.hashed(new), session, now)

    def _replace(self, user: Kept, hashed: str, session: str, now: datetime) -> None:
        with self.database.write(WRITER) as transaction:
            kept = self.users.kept(transaction, user.name)
            if kept is None or kept.password != user.password or kept.disabled is not None:
                raise VersionConflict("the password was changed by somebody else meanwhile: sign in again")
            row = (hashed, 0, None, None, user.id)
            self.database.update(transaction, UserRow, ("id",), ("password", "failures", "locked_until", "provisional"), [row])
            rows = self.database.select(transaction, OTHERS, [user.id, digest(session)])
            self.database.delete(transaction, UserSessionRow, ("digest",), [tuple(one) for one in rows])
            for enterprise, role in self.users.roles(transaction, user.id).items():
                said = {"name": user.name, "sessions_ended": len(rows)}
                self.log.note(transaction, [enterprise], CHANGED_PASSWORD, user.id, actor=f"{role}:{user.name}", now=now, **said)

    def _tried(self, name: str, now: datetime) -> Try:
        with self.database.write(WRITER) as transaction:
            user = self.users.kept(transaction, name)
            refused = why_not(user, now) or (ELSEWHERE if user and user.by_openid else "")
            if user is None or refused:
                return Try(user, refused)
            last = user.failures + 1 >= TRIES
            counted = (0, now + LOCKED_FOR) if last else (user.failures + 1, None)
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(*counted, user.id)])
            return Try(user, last=last)

    def _refused(self, action: str, tried: Try, why: str, now: datetime) -> None:
        with self.database.write(WRITER) as transaction:
            where, number, said = self.users.concerned(transaction, tried.user, self.enterprises)
            self.log.note(transaction, where, action, number, actor=STRANGER, now=now, why=why, **said)
            if tried.last and why == WRONG_PASSWORD:
                until = (now + LOCKED_FOR).isoformat()
                self.log.note(transaction, where, LOCKED_OUT, number, actor=STRANGER, now=now, until=until, **said)


def why_not(user: Kept | None, now: datetime) -> str:
    """Why this user may not come in now, whoever vouches for them; empty where they may."""
    if user is None:
        return UNKNOWN_NAME
    if user.disabled is not None:
        return DISABLED
    return LOCKED if user.locked_until is not None and instant(user.locked_until) > now else ""
