"""Users: people who sign in to the pages, with a role in one or more enterprises, and the audit log entries about them.

A new password is generated and shown once. A user who received it from somebody else must choose their own at the first sign-in.

Sign-ins, refused sign-ins and changes of users are entries in the audit log of each enterprise concerned, written in the same transaction.
Names that no user has are never written: people type passwords and patients' names into the wrong field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import CHANGED_USER, Audit
from store.db.database import Database
from store.db.tables_operations import UserRoleRow, UserRow, UserSessionRow
from store.domain.documents import instant
from store.domain.ids import token
from store.errors import NotFound, ValueRefused
from store.users import passwords
from store.users.roles import LONGEST_NAME, ROLES

STRANGER = "stranger"
"""The actor when nobody has signed in."""
UNKNOWN_NAME, DISABLED, WRONG_PASSWORD, NO_ROLE = "unknown_name", "disabled", "wrong_password", "no_role"
ELSEWHERE = "signs_in_elsewhere"


class UserLog:
    """Writes audit log entries in the transaction that they describe."""

    def __init__(self, database: Database) -> None:
        self.audit = Audit(database)

    def note(
        self,
        transaction: Connection,
        enterprises: Iterable[str],
        action: str,
        user: str,
        *,
        actor: str,
        now: datetime,
        **detail: Any,
    ) -> None:
        """Writes one entry per enterprise, always in the same order, which avoids deadlocks. ``user``: an id, or empty."""
        for enterprise in sorted(set(enterprises)):
            self.audit.changed(transaction, enterprise, action, user, actor=actor, now=now, **detail)


WRITER = "users"


class Way(StrEnum):
    """How a user signs in."""

    PASSWORD = "password"
    OPENID = "openid"


class StoredUser(NamedTuple):
    """A user's row (``store.db.tables_operations.UserRow``)."""

    id: str
    name: str
    password: str
    created: Any
    disabled: Any
    provisional: Any
    issuer: str | None = None
    subject: str | None = None

    @property
    def by_openid(self) -> bool:
        """Whether they sign in with OpenID Connect rather than with a password."""
        return not self.password


COLUMNS = StoredUser._fields
RESET = ("password", "disabled", "provisional", "issuer", "subject")
USERS = f"SELECT {', '.join(COLUMNS)} FROM users"


@dataclass(frozen=True, slots=True)
class User:
    """A user without the password. ``roles``: enterprise -> role. ``way``: how they sign in."""

    id: str
    name: str
    roles: Mapping[str, str]
    created: datetime
    disabled: datetime | None = None
    way: str = Way.PASSWORD


class Users:
    """Adds, finds and disables users. ``by`` is who does it, for the audit log."""

    def __init__(self, database: Database) -> None:
        self.database, self.log = database, UserLog(database)

    def add(
        self, name: str, enterprise: str, role: str, now: datetime, *, by: str = "", provisional: bool = False, is_new: bool = False
    ) -> tuple[User, str | None]:
        """Adds a user with a new password, or another role to an existing user, whose password does not change (``None``).

        ``is_new``: raises ``ValueRefused`` if somebody has the name.
        """
        name = _valid_name(name, role)
        with self.database.write(WRITER) as transaction:
            found, password = self.stored(transaction, name), None
            if found is not None and is_new:
                raise ValueRefused("this name is taken: choose another one")
            if found is not None and found.by_openid:
                raise ValueRefused("this user signs in with OpenID Connect; roles come from openid.roles in the configuration")
            if found is None:
                password = passwords.generate()
                found = StoredUser(token("user"), name, passwords.hashed(password), now, None, now if provisional else None)
                self.database.insert(transaction, UserRow, COLUMNS, [found])
            self.database.upsert(transaction, UserRoleRow, ("user_id", "enterprise", "role"), [(found.id, enterprise, str(role))])
            self._note(transaction, found, {enterprise: str(role)}, "added", by, now)
        return self.find(name), password

    def find(self, name: str) -> User:
        """One user. Raises :class:`NotFound` if there is none with that name."""
        with self.database.read() as connection:
            found = self.stored(connection, name.strip())
            if found is None:
                raise NotFound("no such user: list them with emr-sync users list")
            return _user(found, self.roles(connection, found.id))

    def list(self, enterprise: str | None = None) -> list[User]:
        """All users, or those with a role in one enterprise, by name."""
        with self.database.read() as connection:
            rows = self.database.select(connection, f"{USERS} ORDER BY name", [])
            roles = self.database.select(connection, "SELECT user_id, enterprise, role FROM user_roles ORDER BY enterprise", [])
        by_user: dict[str, dict[str, str]] = {}
        for user, role_enterprise, role in roles:
            by_user.setdefault(user, {})[role_enterprise] = role
        users = [_user(StoredUser(*row), by_user.get(row[0], {})) for row in rows]
        return [user for user in users if enterprise is None or enterprise in user.roles]

    def disable(self, name: str, now: datetime, *, by: str = "") -> User:
        """Disables a user and ends their sessions. Disabling twice changes nothing."""
        user = self.find(name)
        with self.database.write(WRITER) as transaction:
            stored = self.stored(transaction, user.name)
            if stored is not None and stored.disabled is None:
                self.database.update(transaction, UserRow, ("id",), ("disabled",), [(now, user.id)])
                self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
                self._note(transaction, stored, user.roles, "disabled", by, now)
        return self.find(name)

    def reset(self, name: str, now: datetime, *, way: str | None = None, by: str = "") -> tuple[User, str | None]:
        """Sets a new password, with which the user must choose another. Ends all their sessions and enables a disabled user.

        ``way``: how they sign in from now on (``None``: as before). With OpenID Connect there is no password (``None``); at the next
        sign-in the user is linked to the provider's identity with their name.
        """
        user = self.find(name)
        if way not in (None, *Way):
            raise ValueRefused(f"the sign-in method must be one of {', '.join(Way)}")
        password = passwords.generate() if (way or user.way) == Way.PASSWORD else None
        row = (passwords.hashed(password) if password else "", None, now if password else None, None, None, user.id)
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserRow, ("id",), RESET, [row])
            self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
            self._note(transaction, user, user.roles, "reset", by, now)
        return self.find(name), password

    def stored(self, connection: Connection, name: str) -> StoredUser | None:
        """A user's row by name."""
        rows = self.database.select(connection, f"{USERS} WHERE name = ?", [name])
        return StoredUser(*rows[0]) if rows else None

    def roles(self, connection: Connection, user: str) -> dict[str, str]:
        """Enterprise -> role of a user's id."""
        sql = "SELECT enterprise, role FROM user_roles WHERE user_id = ? ORDER BY enterprise"
        return {row[0]: row[1] for row in self.database.select(connection, sql, [user])}

    def audit_scope(
        self, connection: Connection, user: StoredUser | None, everywhere: Collection[str]
    ) -> tuple[Collection[str], str, dict[str, str]]:
        """For an entry about a user: enterprises, id and name. For a user without a role: all enterprises, without the name."""
        roles = self.roles(connection, user.id) if user else {}
        return roles or everywhere, user.id if user else "", {"name": user.name} if user and roles else {}

    def _note(self, transaction: Connection, user: User | StoredUser, roles: Mapping[str, str], act: str, by: str, now: datetime) -> None:
        for enterprise, role in sorted(roles.items()):
            detail = {"what": act, "name": user.name, "role": role}
            self.log.note(transaction, [enterprise], CHANGED_USER, user.id, actor=by, now=now, **detail)


def _valid_name(name: str, role: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueRefused(f"a user name must be 1 to {LONGEST_NAME} printable characters")
    if role not in ROLES:
        raise ValueRefused(f"a user's role must be one of {', '.join(ROLES)}")
    return name


def _user(stored: StoredUser, roles: Mapping[str, str]) -> User:
    way = Way.OPENID if stored.by_openid else Way.PASSWORD
    return User(stored.id, stored.name, roles, instant(stored.created), _optional_time(stored.disabled), way)


def _optional_time(value: Any) -> datetime | None:
    return None if value is None else instant(value)
