"""API keys: who calls, for which enterprise, in which role. A key is shown once; what is kept cannot be turned back into it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from store.apply import instant
from store.database import Database
from store.errors import NotFound, ValueRefused
from store.ids import token
from store.lock import Role
from store.proof.audit import CREATED_KEY, REVOKED_KEY, Audit
from store.tables import ApiKeyRow

PREFIX = "esk"
COLUMNS = ("id", "name", "enterprise", "role", "digest", "created")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret."""

    id: str
    name: str
    enterprise: str
    role: str
    created: datetime
    revoked: datetime | None = None


class ApiKeys:
    """Creates, checks and revokes keys."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(self, name: str, enterprise: str, role: str, now: datetime, *, by: str = "") -> tuple[str, str]:
        """A new key: its id, and the key itself (256 random bits), which is not kept. ``by`` is who makes it."""
        if role not in set(Role):
            raise ValueRefused(f"role is one of {', '.join(Role)}")
        number, secret = token("key"), secrets.token_urlsafe(32)
        row = (number, name, enterprise, str(role), _digest(secret), now)
        with self.database.write(enterprise) as transaction:
            self.database.insert(transaction, ApiKeyRow, COLUMNS, [row])
            Audit(self.database).changed(transaction, enterprise, CREATED_KEY, number, actor=by, now=now, name=name, role=str(role))
        return number, f"{PREFIX}.{number}.{secret}"

    def verify(self, key: str) -> ApiKey | None:
        """Whose key it is, or ``None`` when it is malformed, unknown or revoked."""
        prefix, _, rest = key.partition(".")
        number, _, secret = rest.partition(".")
        if prefix != PREFIX or not secret or not (number.isascii() and number.isidentifier()):
            return None
        with self.database.read() as connection:
            sql = "SELECT id, name, enterprise, role, created, revoked, digest FROM api_keys WHERE id = ?"
            rows = self.database.select(connection, sql, [number])
        if not rows or rows[0][5] is not None or not hmac.compare_digest(rows[0][6], _digest(secret)):
            return None
        return _key(rows[0])

    def list(self, enterprise: str | None = None) -> list[ApiKey]:
        """All keys, or those of one enterprise, the newest first."""
        sql = "SELECT id, name, enterprise, role, created, revoked FROM api_keys ORDER BY created DESC, id"
        with self.database.read() as connection:
            keys = [_key(row) for row in self.database.select(connection, sql, [])]
        return [key for key in keys if enterprise in (None, key.enterprise)]

    def revoke(self, number: str, now: datetime, *, by: str = "") -> ApiKey:
        """From now on nobody gets in with it. Revoking twice changes nothing."""
        found = next((key for key in self.list() if key.id == number), None)
        if found is None:
            raise NotFound("no such key: emr-sync keys list shows them")
        if found.revoked is None:
            with self.database.write(found.enterprise) as transaction:
                self.database.update(transaction, ApiKeyRow, ("id",), ("revoked",), [(now, number)])
                Audit(self.database).changed(transaction, found.enterprise, REVOKED_KEY, number, actor=by, now=now, name=found.name)
        return next(key for key in self.list() if key.id == number)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: tuple[object, ...]) -> ApiKey:
    number, name, enterprise, role, created, revoked = row[:6]
    return ApiKey(str(number), str(name), str(enterprise), str(role), instant(created), None if revoked is None else instant(revoked))
