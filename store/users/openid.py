"""Whom an OpenID Connect provider may let in: who they are by its claims, and which role they have in which enterprise. Pure.

Nobody has a role that no rule names, no rule can give the role of a sender, and a claim that is no text fits no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from store.users.roles import LONGEST_NAME


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
