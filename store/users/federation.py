"""Users who sign in at an OpenID Connect provider: known by their subject there, with the roles that the provider's claims map to now.

The provider gives nobody power by itself: roles come from rules of the configuration, anew at each sign-in, so that what was taken away
there is gone here. A name that somebody else has here is never taken over, and a user who was disabled here stays out.
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
from store.users.openid import Vouched
from store.users.refused_sign_ins import Refusals
from store.users.users import COLUMNS, NO_ROLE, STRANGER, USERS, WRITER, StoredUser, User, UserLog, Users, Way

REPLAYED, NO_NAME, NAME_TAKEN = "replayed", "no_name", "name_taken"
REMEMBERED = timedelta(days=1)
"""How long a sign-in is known to have been used; longer than one may take (``store.web.pages.openid``)."""
BY = "openid"


class FederatedSignIn(NamedTuple):
    """Who comes in; or, where nobody does, why."""

    user: User | None
    why: str = ""


class Federation:
    """Lets in whom the provider vouches for."""

    def __init__(self, database: Database, enterprises: Collection[str], refusals: Refusals | None = None) -> None:
        self.database, self.enterprises = database, enterprises
        self.users, self.log = Users(database), UserLog(database)
        self.refusals = refusals or Refusals(database, enterprises)

    def admit(self, who: Vouched, sign_in: str, now: datetime) -> FederatedSignIn:
        """The user, with the roles they have now. ``sign_in`` is the digest of this sign-in, which is good once."""
        with self.database.write(WRITER) as transaction:
            used = self._used(transaction, sign_in, now)
            kept, why = self._whose(transaction, who, now)
            why = REPLAYED if used else why
            if why:
                self._refuse(transaction, kept, why, now)
            if why == NO_ROLE and kept is not None:
                self._give(transaction, kept, who, now)
            if why:
                return FederatedSignIn(None, why)
            self._give(transaction, self._known(transaction, kept, who, now), who, now)
        return FederatedSignIn(self.users.find(who.name))

    def refuse(self, why: str, now: datetime) -> None:
        """Counts that somebody came whom the provider did not confirm."""
        self.refusals.count(why, Way.OPENID, now)

    def _whose(self, transaction: Connection, who: Vouched, now: datetime) -> tuple[StoredUser | None, str]:
        """The user, if there is one already, and why they may not come in; empty where they may."""
        rows = self.database.select(transaction, f"{USERS} WHERE issuer = ? AND subject = ?", [who.issuer, who.subject])
        known, named = (StoredUser(*rows[0]) if rows else None), self.users.kept(transaction, who.name)
        if known is None and named is not None and named.by_openid and named.subject is None:
            known = named
        if not who.name:
            return known, NO_NAME
        if named is not None and (known is None or named.id != known.id):
            return known, NAME_TAKEN
        return known, (refusal_reason(known) if known else "") or ("" if who.roles else NO_ROLE)

    def _known(self, transaction: Connection, kept: StoredUser | None, who: Vouched, now: datetime) -> StoredUser:
        """The user's row as the provider describes them now."""
        if kept is None:
            kept = StoredUser(token("user"), who.name, "", now, None, None, who.issuer, who.subject)
            self.database.insert(transaction, UserRow, COLUMNS, [kept])
        row = (who.name, who.issuer, who.subject, kept.id)
        self.database.update(transaction, UserRow, ("id",), ("name", "issuer", "subject"), [row])
        return kept._replace(name=who.name)

    def _give(self, transaction: Connection, kept: StoredUser, who: Vouched, now: datetime) -> None:
        """The roles of now instead of those from before; sessions where there is none any more end."""
        before = self.users.roles(transaction, kept.id)
        lost = [(kept.id, enterprise) for enterprise in before if enterprise not in who.roles]
        for table in (UserSessionRow, UserRoleRow):
            self.database.delete(transaction, table, ("user_id", "enterprise"), lost)
        rows = [(kept.id, enterprise, role) for enterprise, role in who.roles.items()]
        self.database.upsert(transaction, UserRoleRow, ("user_id", "enterprise", "role"), rows)
        for enterprise in sorted({*before, *who.roles}):
            role = who.roles.get(enterprise)
            if role != before.get(enterprise):
                said = {"what": "roles", "name": kept.name, "role": role}
                self.log.note(transaction, [enterprise], CHANGED_USER, kept.id, actor=BY, now=now, **said)

    def _refuse(self, transaction: Connection, kept: StoredUser | None, why: str, now: datetime) -> None:
        where, number, said = self.users.concerned(transaction, kept, self.enterprises)
        self.log.note(transaction, where, REFUSED_SIGN_IN, number, actor=STRANGER, now=now, why=why, way=BY, **said)

    def _used(self, transaction: Connection, sign_in: str, now: datetime) -> bool:
        if self.database.select(transaction, "SELECT digest FROM openid_sign_ins WHERE digest = ?", [sign_in]):
            return True
        before = self.database.bound(now - REMEMBERED)
        old = self.database.select(transaction, "SELECT digest FROM openid_sign_ins WHERE at < ?", [before])
        self.database.delete(transaction, OpenIdSignInRow, ("digest",), [tuple(row) for row in old])
        self.database.insert(transaction, OpenIdSignInRow, ("digest", "at"), [(sign_in, now)])
        return False
