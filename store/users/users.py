"""Users: people who sign in to the pages, each with a role in one enterprise or in several.

A password is made here and shown once; whoever has it from somebody else chooses their own when they first sign in. Every change of a
user is a line in the audit log of each enterprise that it concerns, written in the same transaction.

Lines of the audit log about users: who came in, who did not, who was changed.

Each stands in the chain of every enterprise that it concerns. A name that nobody here has is written nowhere: people type passwords
and patients' names into the wrong field.
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
"""Who did it, when nobody has shown who they are."""
UNKNOWN_NAME, DISABLED, WRONG_PASSWORD, NO_ROLE = "unknown_name", "disabled", "wrong_password", "no_role"
ELSEWHERE = "signs_in_elsewhere"


class UserLog:
    """Writes the lines, inside the transaction of what they tell about."""

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
        """One line per enterprise, always in the same order, so that no two writers wait for each other. ``user``: an id, or empty."""
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
        """Whether they sign in at a provider, rather than with a password."""
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
        self, name: str, enterprise: str, role: str, now: datetime, *, by: str = "", provisional: bool = False
    ) -> tuple[User, str | None]:
        """A new user with a new password; or another role for one who is there, whose password stays (``None``)."""
        name = _checked(name, role)
        with self.database.write(WRITER) as transaction:
            found, password = self.kept(transaction, name), None
            if found is not None and found.by_openid:
                raise ValueRefused("this user signs in with OpenID Connect; roles come from openid.roles in the configuration")
            if found is None:
                password = passwords.made()
                found = StoredUser(token("user"), name, passwords.hashed(password), now, None, now if provisional else None)
                self.database.insert(transaction, UserRow, COLUMNS, [found])
            self.database.upsert(transaction, UserRoleRow, ("user_id", "enterprise", "role"), [(found.id, enterprise, str(role))])
            self._note(transaction, found, {enterprise: str(role)}, "added", by, now)
        return self.find(name), password

    def find(self, name: str) -> User:
        """One user. Raises :class:`NotFound` when there is none of that name."""
        with self.database.read() as connection:
            found = self.kept(connection, name.strip())
            if found is None:
                raise NotFound("no such user: list them with emr-sync users list")
            return _user(found, self.roles(connection, found.id))

    def list(self, enterprise: str | None = None) -> list[User]:
        """All users, or those with a role in one enterprise, by name."""
        with self.database.read() as connection:
            rows = self.database.select(connection, f"{USERS} ORDER BY name", [])
            roles = self.database.select(connection, "SELECT user_id, enterprise, role FROM user_roles ORDER BY enterprise", [])
        by_user: dict[str, dict[str, str]] = {}
        for user, where, role in roles:
            by_user.setdefault(user, {})[where] = role
        users = [_user(StoredUser(*row), by_user.get(row[0], {})) for row in rows]
        return [user for user in users if enterprise is None or enterprise in user.roles]

    def disable(self, name: str, now: datetime, *, by: str = "") -> User:
        """From now on the user does not get in, nor stays in. Disabling twice changes nothing."""
        user = self.find(name)
        with self.database.write(WRITER) as transaction:
            kept = self.kept(transaction, user.name)
            if kept is not None and kept.disabled is None:
                self.database.update(transaction, UserRow, ("id",), ("disabled",), [(now, user.id)])
                self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
                self._note(transaction, kept, user.roles, "disabled", by, now)
        return self.find(name)

    def reset(self, name: str, now: datetime, *, way: str | None = None, by: str = "") -> tuple[User, str | None]:
        """A new password, to choose another one with; the old one and every session end, and a disabling too.

        ``way``: from now on they sign in so (as before, when ``None``). By OpenID Connect there is no password (``None``), and they are
        whoever the provider next gives their name to.
        """
        user = self.find(name)
        if way not in (None, *Way):
            raise ValueRefused(f"the sign-in method must be one of {', '.join(Way)}")
        password = passwords.made() if (way or user.way) == Way.PASSWORD else None
        row = (passwords.hashed(password) if password else "", None, now if password else None, None, None, user.id)
        with self.database.write(WRITER) as transaction:
            self.database.update(transaction, UserRow, ("id",), RESET, [row])
            self.database.delete(transaction, UserSessionRow, ("user_id",), [(user.id,)])
            self._note(transaction, user, user.roles, "reset", by, now)
        return self.find(name), password

    def kept(self, connection: Connection, name: str) -> StoredUser | None:
        """A user's row by name."""
        rows = self.database.select(connection, f"{USERS} WHERE name = ?", [name])
        return StoredUser(*rows[0]) if rows else None

    def roles(self, connection: Connection, user: str) -> dict[str, str]:
        """Enterprise -> role of a user's id."""
        sql = "SELECT enterprise, role FROM user_roles WHERE user_id = ? ORDER BY enterprise"
        return {row[0]: row[1] for row in self.database.select(connection, sql, [user])}

    def concerned(
        self, connection: Connection, user: StoredUser | None, everywhere: Collection[str]
    ) -> tuple[Collection[str], str, dict[str, str]]:
        """The enterprises whose log tells about a user, with id and name; without a role anywhere it is all of them, without the name."""
        roles = self.roles(connection, user.id) if user else {}
        return roles or everywhere, user.id if user else "", {"name": user.name} if user and roles else {}

    def _note(self, transaction: Connection, user: User | StoredUser, roles: Mapping[str, str], what: str, by: str, now: datetime) -> None:
        for enterprise, role in sorted(roles.items()):
            said = {"what": what, "name": user.name, "role": role}
            self.log.note(transaction, [enterprise], CHANGED_USER, user.id, actor=by, now=now, **said)


def _checked(name: str, role: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueRefused(f"a user name must be 1 to {LONGEST_NAME} printable characters")
    if role not in ROLES:
        raise ValueRefused(f"a user's role must be one of {', '.join(ROLES)}")
    return name


def _user(kept: StoredUser, roles: Mapping[str, str]) -> User:
    way = Way.OPENID if kept.by_openid else Way.PASSWORD
    return User(kept.id, kept.name, roles, instant(kept.created), _optional_time(kept.disabled), way)


def _optional_time(value: Any) -> datetime | None:
    return None if value is None else instant(value)
