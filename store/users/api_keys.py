"""API keys: who calls, for which enterprise, in which role. A key is shown once; it cannot be recovered from what is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from store.audit.audit_log import CREATED_KEY, GRANTED_KEY, REVOKED_KEY, Audit
from store.db.database import Database
from store.db.tables import ApiKeyRow
from store.domain.documents import instant
from store.domain.ids import token
from store.domain.lock import Actor, Grant, Role
from store.errors import KeyExists, NotFound, ValueRefused

PREFIX = "esk"
COLUMNS = ("id", "name", "enterprise", "role", "digest", "created", "expires", "grants")
KEYS = "SELECT id, name, enterprise, role, created, revoked, expires, last_used, grants, digest FROM api_keys"
EXPIRING = "SELECT id, expires FROM api_keys WHERE revoked IS NULL AND expires > ?"
NOTED_EVERY = timedelta(hours=1)
STILL_SHOWN = timedelta(days=7)
"""After this long an expired key is not mentioned any more."""
KEY_ROLES = tuple(role for role in Role if role is not Role.ADMINISTRATOR)
"""The roles of keys. People administer on the pages, where each has a name and a password."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. ``expires``: when it stops working.

    ``last_used``: it was last used within the hour from this time, the start of an hour of the clock, or of the key if that is later.
    ``grants``: what a sender may do besides decisions, changes and replies.
    """

    id: str
    name: str
    enterprise: str
    role: str
    created: datetime
    revoked: datetime | None = None
    expires: datetime | None = None
    last_used: datetime | None = None
    grants: frozenset[str] = frozenset()

    @property
    def actor(self) -> Actor:
        """Who calls with it."""
        return Actor(self.role, self.name)

    def use_is_noted(self, now: datetime) -> bool:
        """Whether its use within the last hour is already recorded."""
        return self.last_used is not None and now - self.last_used < NOTED_EVERY


class ApiKeys:
    """Creates, checks and revokes keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(
        self, name: str, enterprise: str, role: str, now: datetime, *,
        expires: datetime | None = None, grants: Collection[str] = (), by: str = "", number: str = "",
    ) -> tuple[str, str]:  # fmt: skip
        """Creates a key. Returns its id and the key itself (256 random bits), which is not kept. ``by`` is who creates it.

        ``number``: its id, for a caller who may repeat the request. Raises ``KeyExists`` if a key has it, ``ValueRefused`` for an unknown
        role or grant, and for a grant to a role other than sender.
        """
        if role not in KEY_ROLES:
            raise ValueRefused(f"role must be one of {', '.join(KEY_ROLES)}")
        _check_grants(role, grants)
        number, secret = number or token("key"), secrets.token_urlsafe(32)
        row = (number, name, enterprise, str(role), _digest(secret), now, expires, _grants_text(grants))
        detail = {"name": name, "role": str(role), **({"expires": expires.isoformat()} if expires else {})}
        detail |= {"grants": _grants_text(grants)} if grants else {}
        with self.database.write(enterprise) as transaction:
            if self.database.select(transaction, f"{KEYS} WHERE id = ?", [number]):
                raise KeyExists
            self.database.insert(transaction, ApiKeyRow, COLUMNS, [row])
            Audit(self.database).changed(transaction, enterprise, CREATED_KEY, number, actor=by, now=now, **detail)
        return number, f"{PREFIX}.{number}.{secret}"

    def verify(self, key: str, now: datetime) -> ApiKey | None:
        """The key's record, or ``None`` if it is malformed, unknown, revoked or expired."""
        prefix, _, rest = key.partition(".")
        number, _, secret = rest.partition(".")
        if prefix != PREFIX or not secret or not (number.isascii() and number.isidentifier()):
            return None
        with self.database.read() as connection:
            rows = self.database.select(connection, f"{KEYS} WHERE id = ?", [number])
        if not rows or not hmac.compare_digest(rows[0][-1], _digest(secret)):
            return None
        found = _key(rows[0])
        ended = found.revoked is not None or (found.expires is not None and found.expires <= now)
        return None if ended else found

    def note_use(self, number: str, now: datetime) -> None:
        """Records the hour in which the key was used. On PostgreSQL it does not wait for other writers of the enterprise."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        with self.database.write(f"key {number}") as transaction:
            self.database.update(transaction, ApiKeyRow, ("id",), ("last_used",), [(hour, number)])

    def list(self, enterprise: str | None = None) -> list[ApiKey]:
        """All keys, or those of one enterprise, the newest first."""
        with self.database.read() as connection:
            keys = [_key(row) for row in self.database.select(connection, f"{KEYS} ORDER BY created DESC, id", [])]
        return [key for key in keys if enterprise in (None, key.enterprise)]

    def expiring(self, now: datetime) -> dict[str, datetime]:
        """Id -> when the key expires or, within the last week, expired. Without revoked keys."""
        with self.database.read() as connection:
            rows = self.database.select(connection, EXPIRING, [now - STILL_SHOWN])
        return {number: instant(at) for number, at in rows}

    def grant(self, number: str, grants: Collection[str], now: datetime, *, by: str = "") -> ApiKey:
        """Sets the grants of a sender's key. Raises ``NotFound`` and ``ValueRefused``."""
        found = self._one(number)
        _check_grants(found.role, grants)
        if found.grants != set(grants):
            with self.database.write(found.enterprise) as transaction:
                self.database.update(transaction, ApiKeyRow, ("id",), ("grants",), [(_grants_text(grants), number)])
                detail = {"name": found.name, "grants": _grants_text(grants)}
                Audit(self.database).changed(transaction, found.enterprise, GRANTED_KEY, number, actor=by, now=now, **detail)
        return self._one(number)

    def revoke(self, number: str, now: datetime, *, by: str = "") -> ApiKey:
        """Revokes a key at once. Revoking twice changes nothing."""
        found = self._one(number)
        if found.revoked is None:
            with self.database.write(found.enterprise) as transaction:
                self.database.update(transaction, ApiKeyRow, ("id",), ("revoked",), [(now, number)])
                Audit(self.database).changed(transaction, found.enterprise, REVOKED_KEY, number, actor=by, now=now, name=found.name)
        return self._one(number)

    def _one(self, number: str) -> ApiKey:
        found = next((key for key in self.list() if key.id == number), None)
        if found is None:
            raise NotFound("no such key: list them with emr-sync keys list")
        return found


def _check_grants(role: str, grants: Collection[str]) -> None:
    if not set(grants) <= set(Grant):
        raise ValueRefused(f"the grant must be one of {', '.join(Grant)}")
    if grants and role != Role.SENDER:
        raise ValueRefused("only sender keys can have grants: the permissions of other roles are fixed")


def _grants_text(grants: Collection[str]) -> str:
    return " ".join(sorted(set(grants)))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: tuple[Any, ...]) -> ApiKey:
    number, name, enterprise, role, created, revoked, expires, used, grants = row[:9]
    begins, hour = instant(created), _optional_time(used)
    last_used = hour and max(hour, begins)
    return ApiKey(
        number, name, enterprise, role, begins, _optional_time(revoked), _optional_time(expires), last_used, frozenset(grants.split())
    )


def _optional_time(value: Any) -> datetime | None:
    return None if value is None else instant(value)
