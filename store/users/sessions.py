"""Users' sessions in browsers. A session ends with sign-out, after inactivity, or at its maximum age.

Each start and end is an entry in the audit log. The end of an expired session is recorded at the next request or within an hour, with the
time at which it expired.
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
ENTERPRISES = "SELECT enterprise FROM user_roles WHERE user_id = ? ORDER BY enterprise"
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in user: enterprise, role, and all their enterprises. ``csrf`` is the token in their forms.

    ``provisional``: they must first choose a password of their own. ``by_openid``: they have no password here.
    """

    name: str
    enterprise: str
    role: str
    csrf: str
    enterprises: tuple[str, ...]
    provisional: bool = False
    by_openid: bool = False


class Session(NamedTuple):
    """A session's row with its user."""

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
    """Starts, reads and ends sessions. They end ``idle`` after the last request, and ``longest`` after their start."""

    def __init__(self, database: Database, *, idle: timedelta, longest: timedelta) -> None:
        self.database, self.idle, self.longest, self.log = database, idle, longest, UserLog(database)

    def begin(self, user: User, enterprise: str, now: datetime) -> str:
        """Starts a session and returns its secret, for the cookie. Raises :class:`RoleRefused` without a role in that enterprise."""
        if enterprise not in user.roles:
            raise RoleRefused("this user has no role in that enterprise")
        secret = secrets.token_urlsafe(32)
        row = (digest(secret), user.id, enterprise, secrets.token_urlsafe(32), now, now)
        with self.database.write(WRITER) as transaction:
            expired = self._expired(transaction, now)
            self.database.insert(transaction, UserSessionRow, COLUMNS, [row])
            self._end(transaction, expired, TIMED_OUT, now)
            actor = f"{user.roles[enterprise]}:{user.name}"
            self.log.note(transaction, [enterprise], SIGNED_IN, user.id, actor=actor, now=now, way=user.way)
        return secret

    def visitor(self, secret: str, now: datetime, *, active: bool = True) -> Visitor | None:
        """The session's user, or ``None`` if it has ended. A page that only refreshes itself is not ``active``."""
        with self.database.read() as connection:
            found = self._session(connection, secret)
            rows = self.database.select(connection, ENTERPRISES, [found.user]) if found else []
        if found is None:
            return None
        if self._is_expired(found, now):
            self.end(secret, now)
            return None
        if active and now - found.seen > min(NOTED_EVERY, self.idle / 4):
            with self.database.write(WRITER) as transaction:
                self.database.update(transaction, UserSessionRow, ("digest",), ("seen",), [(now, found.digest)])
        enterprises = tuple(row[0] for row in rows)
        provisional, by_openid = found.provisional is not None, bool(found.by_openid)
        return Visitor(found.name, found.enterprise, found.role, found.csrf, enterprises, provisional, by_openid)

    def move(self, secret: str, visitor: Visitor, enterprise: str, now: datetime) -> None:
        """Switches the visitor to another of their enterprises. Raises :class:`RoleRefused` if it is not one of them."""
        if enterprise not in visitor.enterprises:
            raise RoleRefused("this user has no role in that enterprise")
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserSessionRow, ("digest",), ("enterprise",), [(enterprise, digest(secret))])
            moved = self._session(transaction, secret)
            if moved is not None:
                self.log.note(
                    transaction, [enterprise], SIGNED_IN, moved.user, actor=str(moved.actor), now=now, came_from=visitor.enterprise
                )

    def end(self, secret: str, now: datetime) -> None:
        """Ends a session: signed out, or timed out if it had expired."""
        with self.database.write(WRITER) as transaction:
            found = self._session(transaction, secret)
            if found is not None:
                self._end(transaction, [found], TIMED_OUT if self._is_expired(found, now) else SIGNED_OUT, now)

    def sweep(self, now: datetime) -> int:
        """Ends the sessions that have expired and returns their number."""
        with self.database.write(WRITER) as transaction:
            expired = self._expired(transaction, now)
            self._end(transaction, expired, TIMED_OUT, now)
        return len(expired)

    def _expired(self, connection: Connection, now: datetime) -> list[Session]:
        times = [self.database.bound(now - self.idle), self.database.bound(now - self.longest)]
        return self._sessions(connection, " WHERE s.seen < ? OR s.created < ?", times)

    def _end(self, transaction: Connection, ended: list[Session], action: str, now: datetime) -> None:
        self.database.delete(transaction, UserSessionRow, ("digest",), [(one.digest,) for one in ended])
        for one in sorted(ended, key=lambda session: session.enterprise):
            detail = {"over": self._expiry(one).isoformat()} if action == TIMED_OUT else {}
            self.log.note(transaction, [one.enterprise], action, one.user, actor=str(one.actor), now=now, **detail)

    def _session(self, connection: Connection, secret: str) -> Session | None:
        return next(iter(self._sessions(connection, " WHERE s.digest = ?", [digest(secret)])), None)

    def _sessions(self, connection: Connection, condition: str, parameters: list[Any]) -> list[Session]:
        rows = self.database.select(connection, SESSIONS + condition, parameters)
        return [Session._make((*row[:8], instant(row[8]), instant(row[9]))) for row in rows]

    def _is_expired(self, session: Session, now: datetime) -> bool:
        return now > self._expiry(session)

    def _expiry(self, session: Session) -> datetime:
        return min(session.seen + self.idle, session.created + self.longest)


def digest(secret: str) -> str:
    """The digest to store for a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
