"""The settings of JSON sources: names and kinds. What is not written is left to the adapter's own default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from adapters.http.schema import BaseUrl, PageLimits, RequestBudget
from adapters.schema import Seconds, SettingsGroup, WebAddress


class RestAuth(SettingsGroup):
    """How we prove who we are to a JSON API. ``oauth2`` is RFC 6749 with a client secret, with or without a refresh token."""

    kind: Literal["none", "bearer", "basic", "oauth2"] = "none"
    token: str | None = None
    username: str | None = None
    password: str | None = None
    token_url: WebAddress | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_in: Literal["header", "form"] | None = None
    scope: str | None = None
    refresh_token: str | None = None


class RestJsonOptions(SettingsGroup):
    """``rest.json``. ``record`` and ``list`` are usually a preset's."""

    base_url: BaseUrl
    auth: RestAuth = RestAuth()
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    budget: RequestBudget = RequestBudget()
    download: PageLimits = PageLimits()
    patient_id_from: str | None = None
    record: dict[str, Any] = Field(default_factory=dict)
    list: dict[str, Any] = Field(default_factory=dict)


class AthenaOptions(RestJsonOptions):
    """``rest.athena``."""

    practice_id: str
    departments: Sequence[str] = ()
    replay: Seconds | None = None
