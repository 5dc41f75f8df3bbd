"""Users who sign in with OpenID Connect. The provider's subject identifies them, and its claims determine their roles.

The provider alone grants nothing: roles come from rules in the configuration. They are set at each sign-in, so a role that was removed at
the provider is removed here too. A sign-in never takes over another user's name, and a user who is disabled here cannot sign in.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import CHANGED_USER, REFUSED_SIGN_IN
from store.db.database import Database
from store.db.tables_operations import OpenIdSignInRow, UserRoleRow, UserRow, UserSessionRow
from store.domain.ids import token
from store.users.credentials import refusal_reason
from store.users.openid import ProviderIdentity
from store.users.refused_sign_ins import Refusals
from store.users.users import COLUMNS, NO_ROLE, STRANGER, USERS, WRITER, StoredUser, User, UserLog, Users, Way

REPLAYED, NO_NAME, NAME_TAKEN = "replayed", "no_name", "name_taken"
REMEMBERED = timedelta(days=1)
"""How long a used sign-in is remembered; longer than a sign-in may take (``store.web.pages.openid``)."""
BY = "openid"


class FederatedSignIn(NamedTuple):
    """The user who signed in, or the reason of the refusal."""

    user: User | None
    why: str = ""


class Federation:
    """Signs in users whose identity the provider confirmed."""

    def __init__(self, database: Database, enterprises: Collection[str], refusals: Refusals | None = None) -> None:
        self.database, self.enterprises = database, enterprises
        self.users, self.log = Users(database), UserLog(database)
        self.refusals = refusals or Refusals(database, enterprises)

    def admit(self, identity: ProviderIdentity, sign_in: str, now: datetime) -> FederatedSignIn:
        """Signs the user in with their current roles. ``sign_in`` is the digest of this sign-in, which works only once."""
        with self.database.write(WRITER) as transaction:
            used = self._is_used(transaction, sign_in, now)
            stored, why = self._user_and_refusal(transaction, identity, now)
            why = REPLAYED if used else why
            if why:
                self._refuse(transaction, stored, why, now)
            if why == NO_ROLE and stored is not None:
                self._set_roles(transaction, stored, identity, now)
            if why:
                return FederatedSignIn(None, why)
            self._set_roles(transaction, self._stored_user(transaction, stored, identity, now), identity, now)
        return FederatedSignIn(self.users.find(identity.name))

    def refuse(self, why: str, now: datetime) -> None:
        """Counts a sign-in that the provider did not confirm."""
        self.refusals.count(why, Way.OPENID, now)

    def _user_and_refusal(self, transaction: Connection, identity: ProviderIdentity, now: datetime) -> tuple[StoredUser | None, str]:
        """The user, if known, and why they may not sign in (empty if they may)."""
        rows = self.database.select(transaction, f"{USERS} WHERE issuer = ? AND subject = ?", [identity.issuer, identity.subject])
        known, named = (StoredUser(*rows[0]) if rows else None), self.users.stored(transaction, identity.name)
        if known is None and named is not None and named.by_openid and named.subject is None:
            known = named
        if not identity.name:
            return known, NO_NAME
        if named is not None and (known is None or named.id != known.id):
            return known, NAME_TAKEN
        return known, (refusal_reason(known) if known else "") or ("" if identity.roles else NO_ROLE)

    def _stored_user(self, transaction: Connection, stored: StoredUser | None, identity: ProviderIdentity, now: datetime) -> StoredUser:
        """The user's row, created or updated from the provider's claims."""
        if stored is None:
            stored = StoredUser(token("user"), identity.name, "", now, None, None, identity.issuer, identity.subject)
            self.database.insert(transaction, UserRow, COLUMNS, [stored])
        row = (identity.name, identity.issuer, identity.subject, stored.id)
        self.database.update(transaction, UserRow, ("id",), ("name", "issuer", "subject"), [row])
        return stored._replace(name=identity.name)

    def _set_roles(self, transaction: Connection, stored: StoredUser, identity: ProviderIdentity, now: datetime) -> None:
        """Replaces the user's roles. Sessions end in enterprises where they have no role any more."""
        before = self.users.roles(transaction, stored.id)
        lost = [(stored.id, enterprise) for enterprise in before if enterprise not in identity.roles]
        for table in (UserSessionRow, UserRoleRow):
            self.database.delete(transaction, table, ("user_id", "enterprise"), lost)
        rows = [(stored.id, enterprise, role) for enterprise, role in identity.roles.items()]
        self.database.upsert(transaction, UserRoleRow, ("user_id", "enterprise", "role"), rows)
        for enterprise in sorted({*before, *identity.roles}):
            role = identity.roles.get(enterprise)
            if role != before.get(enterprise):
                detail = {"what": "roles", "name": stored.name, "role": role}
                self.log.note(transaction, [enterprise], CHANGED_USER, stored.id, actor=BY, now=now, **detail)

    def _refuse(self, transaction: Connection, stored: StoredUser | None, why: str, now: datetime) -> None:
        enterprises, number, detail = self.users.audit_scope(transaction, stored, self.enterprises)
        self.log.note(transaction, enterprises, REFUSED_SIGN_IN, number, actor=STRANGER, now=now, why=why, way=BY, **detail)

    def _is_used(self, transaction: Connection, sign_in: str, now: datetime) -> bool:
        if self.database.select(transaction, "SELECT digest FROM openid_sign_ins WHERE digest = ?", [sign_in]):
            return True
        before = self.database.bound(now - REMEMBERED)
        old = self.database.select(transaction, "SELECT digest FROM openid_sign_ins WHERE at < ?", [before])
        self.database.delete(transaction, OpenIdSignInRow, ("digest",), [tuple(row) for row in old])
        self.database.insert(transaction, OpenIdSignInRow, ("digest", "at"), [(sign_in, now)])
        return False
