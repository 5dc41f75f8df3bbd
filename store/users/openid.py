"""Who signs in with OpenID Connect, from the provider's claims: subject, name, and the role in each enterprise. Pure.

Roles come only from rules, no rule can grant the role of a sender, and a claim that is not text matches no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from store.users.roles import LONGEST_NAME


class RoleRule(NamedTuple):
    """A user with ``value`` in ``claim`` (a claim's name or dotted path) has ``role`` in ``enterprise``."""

    claim: str
    value: str
    enterprise: str
    role: str


@dataclass(frozen=True, slots=True)
class OpenId:
    """A provider, and this service as its client. ``public_url`` is our URL for browsers; ``title`` is the provider's display name."""

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


class ProviderIdentity(NamedTuple):
    """An identity that a provider confirmed. ``subject`` is its permanent id there; ``roles``: enterprise -> role."""

    issuer: str
    subject: str
    name: str
    roles: Mapping[str, str]


def provider_identity(claims: Mapping[str, Any], settings: OpenId) -> ProviderIdentity:
    """The identity in the claims of a verified ID token. ``name`` is empty if they have no usable name."""
    return ProviderIdentity(str(claims["iss"]), str(claims["sub"]), name_of(claims, settings.name_claim), roles_of(claims, settings.roles))


def name_of(claims: Mapping[str, Any], path: str) -> str:
    """The user's name; empty if there is none, if there are several, or if it is not a valid name."""
    texts = claimed(claims, path)
    name = texts[0].strip() if len(texts) == 1 else ""
    return name if len(name) <= LONGEST_NAME and name.isprintable() else ""


def roles_of(claims: Mapping[str, Any], rules: tuple[RoleRule, ...]) -> dict[str, str]:
    """Enterprise -> role. For each enterprise the first matching rule counts, in the order of the configuration."""
    found: dict[str, str] = {}
    for rule in rules:
        if rule.value in claimed(claims, rule.claim):
            found.setdefault(rule.enterprise, rule.role)
    return found


def claimed(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The texts of a claim. A name with dots of its own (``https://clinic.example/roles``) precedes a path (``realm_access.roles``)."""
    value: Any = claims
    for part in [path] if path in claims else path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str))
