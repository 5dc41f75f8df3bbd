"""The ``openid`` part: the provider that people sign in with, and which of its claims give which role."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from adapters.schema import SettingsGroup
from store.users.openid import OpenId, RoleRule
from store.users.roles import ROLES
from sync.config.document import Document
from sync.config.problems import one_of

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def web_address(value: object) -> str:
    """An https URL without query; http only on this machine."""
    parts = urlsplit(str(value))
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not safe or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("not a valid URL; write it like https://login.example/realms/staff (http only on this machine)")
    return str(value)


def origin(value: object) -> str:
    """Such an address without a path: pages are served at the root."""
    if urlsplit(web_address(value)).path not in ("", "/"):
        raise ValueError("must not have a path; write it like https://emr-sync.example")
    return str(value).rstrip("/")


WebAddress = Annotated[str, BeforeValidator(web_address)]
Origin = Annotated[str, BeforeValidator(origin)]
Text = Annotated[str, Field(min_length=1)]


class RolePart(SettingsGroup):
    """Whoever has this value in this claim has this role."""

    claim: Text
    value: Text
    enterprise: str
    role: str


class OpenIdPart(SettingsGroup):
    """One provider, for all enterprises."""

    issuer: WebAddress
    client_id: Text
    client_secret: Text
    public_url: Origin
    title: Text = "OpenID Connect"
    scopes: list[str] = Field(default_factory=lambda: ["openid", "profile"])
    name_claim: Text = "preferred_username"
    roles: list[RolePart]


def openid(document: Document, part: OpenIdPart | None, enterprises: Collection[str]) -> OpenId | None:
    """The provider as the store needs to know it; every rule without effect is reported as an error."""
    if part is None:
        return None
    for index, rule in enumerate(part.roles):
        if rule.enterprise not in enterprises:
            document.mistake(("openid", "roles", index, "enterprise"), f"unknown enterprise. {one_of(rule.enterprise, enterprises)}")
        if rule.role not in ROLES:
            document.mistake(("openid", "roles", index, "role"), f"not a role for people. {one_of(rule.role, map(str, ROLES))}")
    if not part.roles:
        document.mistake(("openid", "roles"), "no rules, so nobody could sign in; add one with claim, value, enterprise and role")
    return OpenId(
        issuer=part.issuer,
        client_id=part.client_id,
        client_secret=part.client_secret,
        public_url=part.public_url,
        roles=tuple(RoleRule(rule.claim, rule.value, rule.enterprise, rule.role) for rule in part.roles),
        title=part.title,
        scopes=tuple(dict.fromkeys(["openid", *part.scopes])),
        name_claim=part.name_claim,
    )
