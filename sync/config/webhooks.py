"""The ``webhooks`` part: endpoints of senders that are told about changes, each with its URL and its secrets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from adapters.schema import OneOrSeveral, SettingsGroup
from store.domain.webhook import read_secret
from sync.config.check import checked
from sync.config.document import Document
from sync.config.problems import Path, one_of
from sync.config.settings import ConfiguredWebhook


class WebhookPart(SettingsGroup):
    """One endpoint."""

    enterprise: str
    url: str
    secret: Annotated[OneOrSeveral, Field(min_length=1)]
    ca: str = ""
    private: bool = False
    plain: bool = False

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
            raise ValueError("must be a web address like https://sender.example/hooks/emr-sync, without user and fragment")
        return url

    @field_validator("secret")
    @classmethod
    def _are_secrets(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for one in secrets:
            read_secret(one)
        return secrets


def webhooks(document: Document, data: Any, enterprises: Collection[str]) -> dict[str, ConfiguredWebhook]:
    """Every valid endpoint; each error is reported."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        document.mistake(("webhooks",), "must be a group of endpoints; indent each below it, as 'name:' with its settings indented further")
        return {}
    found = {name: _webhook(document, name, part, enterprises) for name, part in data.items()}
    return {name: one for name, one in found.items() if one is not None}


def _webhook(document: Document, name: str, data: Any, enterprises: Collection[str]) -> ConfiguredWebhook | None:
    path: Path = ("webhooks", name)
    if not isinstance(data, dict):
        document.mistake(path, "must be a group of settings; indent them below it, as 'name: value'")
        return None
    part = checked(document, path, WebhookPart, data)
    if part is None:
        return None
    if part.enterprise not in enterprises:
        document.mistake((*path, "enterprise"), f"unknown enterprise {part.enterprise!r}. {one_of(part.enterprise, enterprises)}")
    if urlsplit(part.url).scheme == "http" and not part.plain:
        document.mistake((*path, "url"), "messages would cross the network unencrypted; use https, or set 'plain: true' here to allow it")
    secrets = tuple(read_secret(one) for one in part.secret)
    return ConfiguredWebhook(name, part.enterprise, part.url, secrets, part.ca, part.private)
