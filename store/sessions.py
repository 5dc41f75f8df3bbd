"""Sessions of users: who is at a browser now. One ends by signing out, by inactivity, and after its longest time in any case."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from store.apply import instant
from store.database import Database
from store.errors import RoleRefused
from store.user_tables import UserSessionRow
from store.users import WRITER, User

COLUMNS = ("digest", "user_id", "enterprise", "csrf", "created", "seen")
FOUND = """SELECT u.name, s.enterprise, r.role, s.csrf, s.created, s.seen, u.id FROM user_sessions s
 JOIN users u ON u.id = s.user_id AND u.disabled IS NULL
 JOIN user_roles r ON r.user_id = s.user_id AND r.enterprise = s.enterprise WHERE s.digest = ?"""
ELSEWHERE = "SELECT enterprise FROM user_roles WHERE user_id = ? ORDER BY enterprise"
NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in: in which enterprise, in which role, and where else they could be. ``csrf`` is what their forms carry."""

    name: str
    enterprise: str
    role: str
    csrf: str
    enterprises: tuple[str, ...]


class Sessions:
    """Begins, reads and ends sessions. ``idle``: without a request for so long it ends; ``longest``: in any case."""

    def __init__(self, database: Database, *, idle: timedelta, longest: timedelta) -> None:
        self.database, self.idle, self.longest = database, idle, longest

    def begin(self, user: User, enterprise: str, now: datetime) -> str:
        """The secret of a new session, for its cookie. Raises :class:`RoleRefused` without a role in that enterprise."""
        if enterprise not in user.roles:
            raise RoleRefused("this user has no role in that enterprise")
        secret = secrets.token_urlsafe(32)
        row = (_digest(secret), user.id, enterprise, secrets.token_urlsafe(32), now, now)
        with self.database.write(WRITER) as transaction:
            rows = self.database.select(transaction, "SELECT digest, created, seen FROM user_sessions", [])
            over = [(digest,) for digest, created, seen in rows if self._over(instant(created), instant(seen), now)]
            self.database.delete(transaction, UserSessionRow, ("digest",), over)
            self.database.insert(transaction, UserSessionRow, COLUMNS, [row])
        return secret

    def visitor(self, secret: str, now: datetime, *, active: bool = True) -> Visitor | None:
        """Who it is, or ``None`` when the session is over. A page that only refreshes itself is not ``active``."""
        digest = _digest(secret)
        with self.database.read() as connection:
            found = self.database.select(connection, FOUND, [digest])
            if not found or self._over(instant(found[0][4]), instant(found[0][5]), now):
                return None
            name, enterprise, role, csrf, _, seen, user = found[0]
            others = tuple(row[0] for row in self.database.select(connection, ELSEWHERE, [user]))
        if active and now - instant(seen) > min(NOTED_EVERY, self.idle / 4):
            with self.database.write(WRITER) as transaction:
                self.database.update(transaction, UserSessionRow, ("digest",), ("seen",), [(now, digest)])
        return Visitor(name, enterprise, role, csrf, others)

    def move(self, secret: str, visitor: Visitor, enterprise: str) -> None:
        """The visitor goes to another of their enterprises. Raises :class:`RoleRefused` when it is none of them."""
        if enterprise not in visitor.enterprises:
            raise RoleRefused("this user has no role in that enterprise")
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserSessionRow, ("digest",), ("enterprise",), [(enterprise, _digest(secret))])

    def end(self, secret: str) -> None:
        """Signs out."""
        with self.database.write(WRITER) as transaction:
            self.database.delete(transaction, UserSessionRow, ("digest",), [(_digest(secret),)])

    def _over(self, created: datetime, seen: datetime, now: datetime) -> bool:
        return now - seen > self.idle or now - created > self.longest


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
