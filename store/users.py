"""Users: people who sign in to the pages, each with a role in one enterprise or in several.

A password is made here and shown once. After too many wrong ones in a row the user is locked out for a while; every try is counted
before it is checked, so that many at the same time gain nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from store import passwords
from store.apply import instant
from store.database import Database
from store.errors import StoreError, ValueRefused
from store.ids import token
from store.lock import Role
from store.user_tables import UserRoleRow, UserRow, UserSessionRow

TRIES = 5
LOCKED_FOR = timedelta(minutes=15)
ROLES = tuple(role for role in Role if role is not Role.SENDER)
LONGEST_NAME = 100
COLUMNS = ("id", "name", "password", "created", "disabled", "failures", "locked_until")
USERS = f"SELECT {', '.join(COLUMNS)} FROM users"
WRITER = "users"


@dataclass(frozen=True, slots=True)
class User:
    """A user without the password. ``roles``: enterprise -> role."""

    id: str
    name: str
    roles: Mapping[str, str]
    created: datetime
    disabled: datetime | None = None
    locked_until: datetime | None = None


class Users:
    """Adds, checks and disables users."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, name: str, enterprise: str, role: str, now: datetime) -> tuple[User, str | None]:
        """A new user with a new password; or another role for one who is there, whose password stays (``None``)."""
        name = _checked(name, role)
        with self.database.write(WRITER) as transaction:
            found, password = self._row(transaction, name), None
            if found is None:
                password = passwords.made()
                found = (token("user"), name, passwords.hashed(password), now, None, 0, None)
                self.database.insert(transaction, UserRow, COLUMNS, [found])
            self.database.upsert(transaction, UserRoleRow, ("user_id", "enterprise", "role"), [(found[0], enterprise, str(role))])
        return self.find(name), password

    def find(self, name: str) -> User:
        """One user. Raises :class:`StoreError` when there is none of that name."""
        found = next((user for user in self.list() if user.name == name.strip()), None)
        if found is None:
            raise StoreError("no such user: emr-sync users list shows them")
        return found

    def list(self, enterprise: str | None = None) -> list[User]:
        """All users, or those with a role in one enterprise, by name."""
        with self.database.read() as connection:
            rows = self.database.select(connection, f"{USERS} ORDER BY name", [])
            roles = self.database.select(connection, "SELECT user_id, enterprise, role FROM user_roles ORDER BY enterprise", [])
        by_user: dict[str, dict[str, str]] = {}
        for user, where, role in roles:
            by_user.setdefault(user, {})[where] = role
        users = [_user(row, by_user.get(row[0], {})) for row in rows]
        return [user for user in users if enterprise is None or enterprise in user.roles]

    def disable(self, name: str, now: datetime) -> User:
        """From now on the user does not get in, nor stays in. Disabling twice changes nothing."""
        user = self.find(name)
        with self.database.write(WRITER) as transaction:
            if user.disabled is None:
                self.database.update(transaction, UserRow, ("id",), ("disabled",), [(now, user.id)])
            self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
        return self.find(name)

    def reset(self, name: str) -> tuple[User, str]:
        """A new password; the old one and every session end, a lock-out and a disabling too."""
        user, password = self.find(name), passwords.made()
        kept = passwords.hashed(password)
        with self.database.write(WRITER) as transaction:
            row = (kept, None, 0, None, user.id)
            self.database.update(transaction, UserRow, ("id",), ("password", "disabled", "failures", "locked_until"), [row])
            self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
        return self.find(name), password

    def check(self, name: str, password: str, now: datetime) -> User | None:
        """Whose name and password these are. ``None`` for a wrong one, and for a user who is disabled, locked out or without a role."""
        row = self._admitted(name.strip(), now)
        if not passwords.fits(password, row[2] if row else None) or row is None:
            return None
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(0, None, row[0])])
        user = self.find(row[1])
        return user if user.roles and user.disabled is None else None

    def _admitted(self, name: str, now: datetime) -> Any:
        """The user's row, the try counted; ``None`` where no password is right."""
        with self.database.write(WRITER) as transaction:
            row = self._row(transaction, name)
            if row is None or row[4] is not None or (row[6] is not None and instant(row[6]) > now):
                return None
            failures = row[5] + 1
            counted = (0, now + LOCKED_FOR) if failures >= TRIES else (failures, None)
            self.database.update(transaction, UserRow, ("id",), ("failures", "locked_until"), [(*counted, row[0])])
            return row

    def _row(self, connection: Connection, name: str) -> Any:
        return next(iter(self.database.select(connection, f"{USERS} WHERE name = ?", [name])), None)


def _checked(name: str, role: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueRefused(f"a user's name is 1 to {LONGEST_NAME} printable characters")
    if role not in ROLES:
        raise ValueRefused(f"a user's role is one of {', '.join(ROLES)}")
    return name


def _user(row: Any, roles: Mapping[str, str]) -> User:
    number, name, _, created, disabled, _, locked = row
    return User(number, name, roles, instant(created), _moment(disabled), _moment(locked))


def _moment(value: Any) -> datetime | None:
    return None if value is None else instant(value)
