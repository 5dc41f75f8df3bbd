"""The ``providers`` part: messaging providers whose webhooks are received, each with its preset, its secrets and its lines."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from adapters.providers.format import LINE_GROUP, ProviderFormat
from adapters.providers.signatures import ProviderCredentials
from adapters.providers.sns import ARN
from adapters.schema import Duration, OneOrSeveral, SettingsGroup
from sync.config import provider_format
from sync.config.check import checked
from sync.config.document import Document
from sync.config.openid import web_address
from sync.config.problems import Path, one_of
from sync.config.provider_format import FormatPart, VerifyPart
from sync.config.scalars import Network
from sync.config.settings import ConfiguredProvider

KEY_BYTES = 32  # of an Ed25519 public key
NEEDS = {
    "hmac": "secret",
    "jwt": "secret",
    "sorted_parameters": "secret",
    "ed25519": "public_key",
    "basic": "password",
    "sns": "topics",
    "addresses": "allow_from",
}
SIGNED_URL = frozenset({"url", "plivo_url"})


def line(value: object) -> str:
    """A line as a sender names it."""
    if not re.fullmatch(r"\+[1-9]\d{6,14}|\d{3,8}", str(value), re.ASCII):
        raise ValueError("not a line; write a phone number in E.164, like +12175550190, or a short code")
    return str(value)


Line = Annotated[str, BeforeValidator(line)]
WebAddress = Annotated[str, BeforeValidator(web_address)]


class ProviderPart(SettingsGroup):
    """One account at a messaging provider."""

    enterprise: str
    preset: str | None = None
    format: FormatPart | None = None
    verify: VerifyPart | None = None
    public_url: WebAddress | None = None
    secret: OneOrSeveral = ()
    shared_secret: OneOrSeveral = ()
    public_key: OneOrSeveral = ()
    user: str = ""
    password: OneOrSeveral = ()
    topics: OneOrSeveral = ()
    allow_from: list[Network] = Field(default_factory=list)
    signature_method: Literal["", "md5hash", "md5", "sha1", "sha256", "sha512"] = ""
    tolerance: Duration | None = None
    scope: Literal["line", "line_group"] | None = None
    lines: list[Line] = Field(default_factory=list)
    line_of: dict[str, Line] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_usable(self) -> ProviderPart:
        if (self.preset is None) == (self.format is None):
            raise ValueError("give either 'preset', or a 'format' of your own")
        for one in self.topics:
            if not ARN.fullmatch(one):
                raise ValueError("topics must be ARNs of SNS topics, like arn:aws:sns:us-east-1:123456789012:replies")
        for one in self.public_key:
            if not _is_key(one):
                raise ValueError("public_key must be the provider's Ed25519 key: 32 bytes in base64")
        return self


def providers(
    document: Document, data: Any, enterprises: Collection[str], sources: Collection[str], public_url: str | None
) -> dict[str, ConfiguredProvider]:
    """Every valid provider; each error is reported."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        document.mistake(
            ("providers",), "must be a group of providers; indent each below it, as 'name:' with its settings indented further"
        )
        return {}
    found = {name: _provider(document, name, part, enterprises, public_url) for name, part in data.items()}
    for name in set(data) & set(sources):
        document.mistake(("providers", name), "a source has this name; choose another, because rejections are listed by it")
    return {name: one for name, one in found.items() if one is not None}


def _provider(document: Document, name: str, data: Any, enterprises: Collection[str], public_url: str | None) -> ConfiguredProvider | None:
    path: Path = ("providers", name)
    if not isinstance(data, dict):
        document.mistake(path, "must be a group of settings; indent them below it, as 'name: value'")
        return None
    part = checked(document, path, ProviderPart, data)
    if part is None or (found := _format(document, path, name, part)) is None:
        return None
    if part.enterprise not in enterprises:
        document.mistake((*path, "enterprise"), f"unknown enterprise {part.enterprise!r}. {one_of(part.enterprise, enterprises)}")
    url = part.public_url or public_url
    _check_secrets(document, path, part, found)
    if _signs_url(found) and url is None:
        document.mistake(path, f"{found.title} signs the URL that it calls; write it as public_url here, or as api.public_url")
    if (part.scope or found.scope) == LINE_GROUP and not part.lines:
        document.warn(path, "a STOP counts for one line only; list the lines that the provider treats as one in 'lines'")
    is_group = (part.scope or found.scope) == LINE_GROUP
    return ConfiguredProvider(
        name, part.enterprise, found, _credentials(part), (url or "").rstrip("/"), tuple(part.lines) if is_group else (), part.line_of
    )


def _format(document: Document, path: Path, name: str, part: ProviderPart) -> ProviderFormat | None:
    """The preset or the site's own format, with the site's own way to verify and its tolerance."""
    if part.preset is not None and part.preset not in provider_format.names():
        document.mistake((*path, "preset"), f"unknown preset {part.preset!r}. {one_of(part.preset, provider_format.names())}")
        return None
    if part.preset is not None:
        preset = provider_format.preset(part.preset)
        found = preset.built(preset.name, preset.title)
    elif part.format is not None:
        found = part.format.built(name, name)
    else:
        return None
    recipe = part.verify.recipe() if part.verify is not None else found.verify
    return replace(found, verify=replace(recipe, tolerance=part.tolerance or recipe.tolerance))


def _check_secrets(document: Document, path: Path, part: ProviderPart, found: ProviderFormat) -> None:
    needed = NEEDS[found.verify.scheme]
    value = getattr(part, needed)
    if not value or not all(value):
        why = " (it signs nothing, so only its addresses may call)" if needed == "allow_from" else ""
        document.mistake((*path, needed), f"missing; {found.title} cannot be verified without it{why}")
    if needed == "password" and not part.user:
        document.mistake((*path, "user"), "missing; add the user name that the provider sends with its password")


def _credentials(part: ProviderPart) -> ProviderCredentials:
    secrets = tuple(part.secret or part.public_key or part.password)
    return ProviderCredentials(
        secrets, tuple(part.shared_secret), part.user, tuple(part.topics), tuple(part.allow_from), part.signature_method
    )


def _signs_url(found: ProviderFormat) -> bool:
    return bool(SIGNED_URL & set(found.verify.signed) or found.verify.url_hash)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False
