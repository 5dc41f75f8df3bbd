"""The schema of the settings of JSON sources. Settings without a value use the adapter's default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from adapters.http.schema import BaseUrl, PageLimits, RequestBudget
from adapters.record.schema import RecordPart
from adapters.schema import Seconds, SettingsGroup, WebAddress


def header_name(value: str) -> str:
    """The name of a header, like ``X-Api-Key``. Raises ``ValueError`` for another text."""
    if not value.isascii() or not value.replace("-", "").isalnum():
        raise ValueError("not the name of a header; write letters, digits and hyphens, like X-Api-Key")
    return value


class RestAuth(SettingsGroup):
    """Authentication at a JSON API. ``oauth2``: RFC 6749 with a client secret. ``header``: a key in a header that the API defines."""

    kind: Literal["none", "bearer", "basic", "header", "oauth2"] = "none"
    header: Annotated[str, AfterValidator(header_name)] | None = None
    token: str | None = None
    username: str | None = None
    password: str | None = None
    token_url: WebAddress | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_in: Literal["header", "form"] | None = None
    scope: str | None = None
    refresh_token: str | None = None


class ListPart(SettingsGroup):
    """How patients are requested."""

    path: str
    items: str | None = None
    next: str | None = None
    offset: str | None = None
    limit: str | None = None
    since: str | None = None
    since_format: Literal["utc", "local", "date"] | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    one: str | None = None
    total: str | None = None
    errors: str | None = None


class RestJsonOptions(SettingsGroup):
    """The options of ``rest.json``. ``record`` and ``list`` usually come from a preset."""

    base_url: BaseUrl
    auth: RestAuth = RestAuth()
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    budget: RequestBudget = RequestBudget()
    download: PageLimits = PageLimits()
    patient_id_from: str | None = None
    record: RecordPart | None = None
    list: ListPart | None = None


class AthenaOptions(RestJsonOptions):
    """The options of ``rest.athena``."""

    practice_id: str
    departments: Sequence[str] = ()
    replay: Seconds | None = None
