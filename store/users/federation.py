"""Users who sign in at an OpenID Connect provider: known by their subject there, with the roles that the provider's claims map to now.

The provider gives nobody power by itself: roles come from rules of the configuration, anew at each sign-in, so that what was taken away
there is gone here. A name that somebody else has here is never taken over, and a user who was disabled here stays out.

Whom an OpenID Connect provider may let in: who they are by its claims, and which role they have in which enterprise. Pure.

Nobody has a role that no rule names, no rule can give the role of a sender, and a claim that is no text fits no rule.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import CHANGED_USER, REFUSED_SIGN_IN
from store.db.database import Database
from store.db.tables_operations import OpenIdSignInRow, UserRoleRow, UserRow, UserSessionRow
from store.domain.ids import token
from store.users.credentials import why_not
from store.users.refused_sign_ins import Refusals
from store.users.roles import LONGEST_NAME
from store.users.users import COLUMNS, NO_ROLE, STRANGER, USERS, WRITER, StoredUser, User, UserLog, Users, Way


class RoleRule(NamedTuple):
    """Whoever has ``value`` in ``claim`` (a claim's name, or the way to it with dots) has ``role`` in ``enterprise``."""

    claim: str
    value: str
    enterprise: str
    role: str


@dataclass(frozen=True, slots=True)
class OpenId:
    """One provider, and us as its client. ``public_url`` is where browsers reach us; ``title`` is what people call the provider."""

    issuer: str
    client_id: str
    public_url: str
    roles: tuple[RoleRule, ...]
    client_secret: str = field(default="", repr=False)
    title: str = "OpenID Connect"
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.public_url}/sign-in/openid/done"


class Vouched(NamedTuple):
    """Somebody whom a provider vouches for. ``subject`` is who they are there, for ever; ``roles``: enterprise -> role."""

    issuer: str
    subject: str
    name: str
    roles: Mapping[str, str]


def vouched(claims: Mapping[str, Any], settings: OpenId) -> Vouched:
    """Who it is by the claims of a checked ID token. ``name`` is empty where they hold none that can be used."""
    return Vouched(str(claims["iss"]), str(claims["sub"]), name_of(claims, settings.name_claim), roles_of(claims, settings.roles))


def name_of(claims: Mapping[str, Any], path: str) -> str:
    """What the user is called; empty for none, for several, and for what cannot be a user's name."""
    texts = claimed(claims, path)
    name = texts[0].strip() if len(texts) == 1 else ""
    return name if len(name) <= LONGEST_NAME and name.isprintable() else ""


def roles_of(claims: Mapping[str, Any], rules: tuple[RoleRule, ...]) -> dict[str, str]:
    """Enterprise -> role: of each enterprise the first rule that fits, in the order written."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.value in claimed(claims, rule.claim):
            found.setdefault(rule.enterprise, rule.role)
    return found


def claimed(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The texts of a claim. Names with dots of their own (``https://clinic.example/roles``) come before ways (``realm_access.roles``)."""
    value: Any = claims
    for part in [path] if path in claims else path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str))


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
        return known, (why_not(known) if known else "") or ("" if who.roles else NO_ROLE)

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
