"""The schema of the settings of FHIR sources. Settings without a value use the adapter's default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from adapters.http.schema import BaseUrl, PageLimits, RequestBudget
from adapters.schema import OneOrMore, Seconds, SettingsGroup, WebAddress

Codes = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class FhirAuth(SettingsGroup):
    """Authentication. ``smart_backend``: SMART App Launch 2.2, Backend Services."""

    kind: Literal["none", "smart_backend", "basic", "bearer"] = "none"
    client_id: str | None = None
    private_key: str | None = None
    alg: Literal["RS384", "ES384"] | None = None
    kid: str | None = None
    jku: WebAddress | None = None
    token_url: WebAddress | None = None
    scope: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None


class FhirBudget(RequestBudget):
    """The request budget, with the number of parallel downloads and how often an export may be requested."""

    parallel: Annotated[int, Field(ge=1, le=32)] | None = None
    bulk_every: Seconds | None = None


class ExportDownload(PageLimits):
    """The limits of a response, and of the files of an export."""

    max_file_bytes: OneOrMore | None = None
    max_line_bytes: OneOrMore | None = None
    file_deadline: Seconds | None = None


class ExportPart(SettingsGroup):
    """What a bulk export contains, and how its files are downloaded."""

    level: Literal["patient", "group", "system"] | None = None
    group: str | None = None
    since: bool = True
    parameters: dict[str, str] = Field(default_factory=dict)
    file_origins: list[WebAddress] = Field(default_factory=list)
    give_up_after: Seconds | None = None


class ConsentPart(SettingsGroup):
    """Which Consents are about messages, and what they decide (``adapters.fhir.options.ConsentOptions``)."""

    attribute: str | None = None
    statuses: Codes = Field(default_factory=list)
    category: Codes = Field(default_factory=list)
    scope: Codes = Field(default_factory=list)
    choose: Literal["latest", "most_restrictive"] | None = None


class FlagPart(SettingsGroup):
    """Which Flags refuse what."""

    codes: Codes = Field(default_factory=list)
    attribute: str | None = None


class FhirOptions(SettingsGroup):
    """The options of ``fhir.rest``."""

    base_url: BaseUrl
    auth: FhirAuth = FhirAuth()
    read: Literal["auto", "incremental", "full", "crawl"] = "auto"
    group: str | None = None
    other_base_urls: list[WebAddress] = Field(default_factory=list)
    telecom: Codes = Field(default_factory=list)
    understood: list[str] = Field(default_factory=list)
    trust_last_updated: bool = True
    trust_total: bool = True
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    search: dict[str, str] = Field(default_factory=dict)
    consent: ConsentPart = ConsentPart()
    flag: FlagPart = FlagPart()
    ca: str | None = None
    budget: FhirBudget = FhirBudget()
    download: PageLimits = PageLimits()


class BulkOptions(FhirOptions):
    """The options of ``fhir.bulk``. Single resources are read as by ``fhir.rest``."""

    export: ExportPart = ExportPart()
    download: ExportDownload = ExportDownload()
