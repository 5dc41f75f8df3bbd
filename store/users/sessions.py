"""Sessions of users: who is at a browser now. One ends by signing out, by inactivity, and after its longest time in any case.

Each beginning and each end is a line in the audit log. A session that ran out is noted when somebody next comes by or within an
hour, with the moment at which it was over.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import SIGNED_IN, SIGNED_OUT, TIMED_OUT
from store.db.database import Database
from store.db.tables_operations import UserSessionRow
from store.domain.documents import instant
from store.domain.lock import Actor
from store.errors import RoleRefused
from store.users.users import WRITER, User, UserLog

COLUMNS = ("digest", "user_id", "enterprise", "csrf", "created", "seen")
SESSIONS = """SELECT s.digest, u.id, u.name, s.enterprise, r.role, u.provisional, u.password = '' AS by_openid, s.csrf, s.created, s.seen
 FROM user_sessions s
 JOIN users u ON u.id = s.user_id AND u.disabled IS NULL
 JOIN user_roles r ON r.user_id = s.user_id AND r.enterprise = s.enterprise"""
ELSEWHERE = "SELECT enterprise FROM user_roles WHERE user_id = ? ORDER BY enterprise"
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in: in which enterprise, in which role, and where else they could be. ``csrf`` is what their forms carry.

    ``provisional``: they must choose a password of their own before anything else. ``by_openid``: they have none here.
    """

    name: str
    enterprise: str
    role: str
    csrf: str
    enterprises: tuple[str, ...]
    provisional: bool = False
    by_openid: bool = False


class Session(NamedTuple):
    """A session's row, with its user."""

    digest: str
    user: str
    name: str
    enterprise: str
    role: str
    provisional: Any
    by_openid: bool
    csrf: str
    created: datetime
    seen: datetime

    @property
    def actor(self) -> Actor:
        """Whose it is."""
        return Actor(self.role, self.name)


class Sessions:
    """Begins, reads and ends sessions. ``idle``: without a request for so long it ends; ``longest``: in any case."""

    def __init__(self, database: Database, *, idle: timedelta, longest: timedelta) -> None:
        self.database, self.idle, self.longest, self.log = database, idle, longest, UserLog(database)

    def begin(self, user: User, enterprise: str, now: datetime) -> str:
        """The secret of a new session, for its cookie. Raises :class:`RoleRefused` without a role in that enterprise."""
        if enterprise not in user.roles:
            raise RoleRefused("this user has no role in that enterprise")
        secret = secrets.token_urlsafe(32)
        row = (digest(secret), user.id, enterprise, secrets.token_urlsafe(32), now, now)
        with self.database.write(WRITER) as transaction:
            over = self._ran_out(transaction, now)
            self.database.insert(transaction, UserSessionRow, COLUMNS, [row])
            self._end(transaction, over, TIMED_OUT, now)
            actor = f"{user.roles[enterprise]}:{user.name}"
            self.log.note(transaction, [enterprise], SIGNED_IN, user.id, actor=actor, now=now, way=user.way)
        return secret

    def visitor(self, secret: str, now: datetime, *, active: bool = True) -> Visitor | None:
        """Who it is, or ``None`` when the session is over. A page that only refreshes itself is not ``active``."""
        with self.database.read() as connection:
            found = self._one(connection, secret)
            others = self.database.select(connection, ELSEWHERE, [found.user]) if found else []
        if found is None:
            return None
        if self._over(found, now):
            self.end(secret, now)
            return None
        if active and now - found.seen > min(NOTED_EVERY, self.idle / 4):
            with self.database.write(WRITER) as transaction:
                self.database.update(transaction, UserSessionRow, ("digest",), ("seen",), [(now, found.digest)])
        where = tuple(row[0] for row in others)
        return Visitor(found.name, found.enterprise, found.role, found.csrf, where, found.provisional is not None, bool(found.by_openid))

    def move(self, secret: str, visitor: Visitor, enterprise: str, now: datetime) -> None:
        """The visitor goes to another of their enterprises. Raises :class:`RoleRefused` when it is none of them."""
        if enterprise not in visitor.enterprises:
            raise RoleRefused("this user has no role in that enterprise")
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserSessionRow, ("digest",), ("enterprise",), [(enterprise, digest(secret))])
            moved = self._one(transaction, secret)
            if moved is not None:
                self.log.note(
                    transaction, [enterprise], SIGNED_IN, moved.user, actor=str(moved.actor), now=now, came_from=visitor.enterprise
                )

    def end(self, secret: str, now: datetime) -> None:
        """Signs out, or notes that time has."""
        with self.database.write(WRITER) as transaction:
            found = self._one(transaction, secret)
            if found is not None:
                self._end(transaction, [found], TIMED_OUT if self._over(found, now) else SIGNED_OUT, now)

    def sweep(self, now: datetime) -> int:
        """Notes the sessions that ran out and that nobody came back to; how many."""
        with self.database.write(WRITER) as transaction:
            over = self._ran_out(transaction, now)
            self._end(transaction, over, TIMED_OUT, now)
        return len(over)

    def _ran_out(self, connection: Connection, now: datetime) -> list[Session]:
        times = [self.database.bound(now - self.idle), self.database.bound(now - self.longest)]
        return self._found(connection, " WHERE s.seen < ? OR s.created < ?", times)

    def _end(self, transaction: Connection, ended: list[Session], action: str, now: datetime) -> None:
        self.database.delete(transaction, UserSessionRow, ("digest",), [(one.digest,) for one in ended])
        for one in sorted(ended, key=lambda session: session.enterprise):
            said = {"over": self._until(one).isoformat()} if action == TIMED_OUT else {}
            self.log.note(transaction, [one.enterprise], action, one.user, actor=str(one.actor), now=now, **said)

    def _one(self, connection: Connection, secret: str) -> Session | None:
        return next(iter(self._found(connection, " WHERE s.digest = ?", [digest(secret)])), None)

    def _found(self, connection: Connection, which: str, parameters: list[Any]) -> list[Session]:
        rows = self.database.select(connection, SESSIONS + which, parameters)
        return [Session._make((*row[:8], instant(row[8]), instant(row[9]))) for row in rows]

    def _over(self, one: Session, now: datetime) -> bool:
        return now > self._until(one)

    def _until(self, one: Session) -> datetime:
        return min(one.seen + self.idle, one.created + self.longest)


def digest(secret: str) -> str:
    """What is kept of a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
