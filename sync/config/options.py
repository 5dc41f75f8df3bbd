"""Each adapter's own settings: names and kinds. What is not written is left to the adapter's own default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from sync.config.model import OneOrMore, SettingsGroup
from sync.config.scalars import Duration, DurationOrForever, DurationOrNever, HostName, ListenText, Peer, WebAddress, web_address

Seconds = Annotated[Duration, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]
SecondsOrNever = Annotated[DurationOrNever, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]


SecondsOrForever = Annotated[
    DurationOrForever, PlainSerializer(lambda value: None if value is None else value.total_seconds(), return_type=float | None)
]


def _base_url(value: str) -> str:
    if "?" in value:
        raise ValueError("must not have a query; write https://host/path")
    return web_address(value).rstrip("/")


class PageLimits(SettingsGroup):
    """How large an answer may be, decompressed, and how long one may take in all."""

    max_page_bytes: OneOrMore | None = None
    page_deadline: Seconds | None = None


class ExportDownload(PageLimits):
    """The same, and of the files of an export."""

    max_file_bytes: OneOrMore | None = None
    max_line_bytes: OneOrMore | None = None
    file_deadline: Seconds | None = None


class FhirAuth(SettingsGroup):
    """How we prove who we are. ``smart_backend`` is SMART App Launch 2.2, Backend Services."""

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


class BudgetPart(SettingsGroup):
    """How much of the EMR's time a source may take; kept over restarts. ``quiet_hours`` are ``07:00-19:00``, in the source's time zone."""

    requests_per_minute: Annotated[float, Field(gt=0, le=60_000)] | None = None
    parallel: Annotated[int, Field(ge=1, le=32)] | None = None
    quiet_hours: list[str] = Field(default_factory=list)
    bulk_every: Seconds | None = None


class ExportPart(SettingsGroup):
    """What a bulk export brings, and how its files are fetched."""

    level: Literal["patient", "group", "system"] | None = None
    group: str | None = None
    since: bool = True
    parameters: dict[str, str] = Field(default_factory=dict)
    file_origins: list[WebAddress] = Field(default_factory=list)
    give_up_after: Seconds | None = None


class FhirOptions(SettingsGroup):
    """``fhir.rest``."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    auth: FhirAuth = FhirAuth()
    read: Literal["auto", "incremental", "full", "crawl"] = "auto"
    group: str | None = None
    other_base_urls: list[WebAddress] = Field(default_factory=list)
    understood: list[str] = Field(default_factory=list)
    trust_last_updated: bool = True
    trust_total: bool = True
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    search: dict[str, str] = Field(default_factory=dict)
    consent: dict[str, Any] = Field(default_factory=dict)
    flag: dict[str, Any] = Field(default_factory=dict)
    ca: str | None = None
    budget: BudgetPart = BudgetPart()
    download: PageLimits = PageLimits()


class BulkOptions(FhirOptions):
    """``fhir.bulk``: what it reads one by one, it reads as ``fhir.rest`` does."""

    export: ExportPart = ExportPart()
    download: ExportDownload = ExportDownload()


class Hl7Options(SettingsGroup):
    """What every HL7 v2 source has."""

    charset: str | None = None
    charset_fallback: str | None = None
    messages: list[Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]] | None = None
    processing: list[Literal["P", "T", "D", "N", "V"]] | None = None
    time_from: Annotated[list[Literal["EVN-2", "MSH-7", "PID-33"]], Field(min_length=1)] | None = None


AckCode = Literal["AA", "AE", "AR"]


class AckPart(SettingsGroup):
    """How messages are acknowledged: the code of each outcome, and the mode whatever MSH-15 and MSH-16 ask for."""

    mode: Literal["auto", "original", "enhanced"] | None = None
    applied: AckCode | None = None
    partial: AckCode | None = None
    unchanged: AckCode | None = None
    stale: AckCode | None = None
    merged: AckCode | None = None
    filtered: AckCode | None = None
    held: AckCode | None = None
    rejected: AckCode | None = None
    unavailable: AckCode | None = None


class TlsPart(SettingsGroup):
    """TLS of an MLLP connection: PEM, as ``file:PATH``. Listeners have ``client_ca``; those that connect ``ca`` and ``server_name``."""

    certificate: str | None = None
    key: str | None = None
    password: str | None = None
    client_ca: str | None = None
    ca: str | None = None
    server_name: str | None = None


class MllpOptions(Hl7Options):
    """``hl7v2.mllp``."""

    listen: ListenText | None = None
    connect: ListenText | None = None
    tls: TlsPart | None = None
    ack: AckPart | None = None
    sequence: bool | None = None
    max_message_bytes: OneOrMore | None = None
    max_connections: OneOrMore | None = None
    max_connections_per_address: OneOrMore | None = None
    peers: list[Peer] | None = None
    idle_timeout: SecondsOrNever | None = None
    frame_timeout: SecondsOrNever | None = None
    answer_within: Seconds | None = None
    group_size: OneOrMore | None = None


class FilesOptions(Hl7Options):
    """``hl7v2.files``."""

    path: str
    settle: Seconds | None = None
    after: Literal["move", "keep"] | None = None
    keep_done: SecondsOrForever | None = None


class SftpOptions(Hl7Options):
    """``hl7v2.sftp``."""

    host: HostName
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str
    password: str | None = None
    private_key: str | None = None
    host_key: str | list[str]
    path: str | None = None
    settle: Seconds | None = None
    timeout: Seconds | None = None
    after: Literal["move", "keep"] | None = None
    keep_done: SecondsOrForever | None = None


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


class RestBudget(SettingsGroup):
    """As :class:`BudgetPart`, for APIs that are read one request after the other."""

    requests_per_minute: Annotated[float, Field(gt=0, le=60_000)] | None = None
    quiet_hours: Sequence[str] = ()


class RestJsonOptions(SettingsGroup):
    """``rest.json``. ``record`` and ``list`` are usually a preset's."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    auth: RestAuth = RestAuth()
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    budget: RestBudget = RestBudget()
    download: PageLimits = PageLimits()
    patient_id_from: str | None = None
    record: dict[str, Any] = Field(default_factory=dict)
    list: dict[str, Any] = Field(default_factory=dict)


class AthenaOptions(RestJsonOptions):
    """``rest.athena``."""

    practice_id: str
    departments: Sequence[str] = ()
    replay: Seconds | None = None


OPTIONS: dict[str, type[SettingsGroup]] = {
    "fhir.bulk": BulkOptions,
    "fhir.rest": FhirOptions,
    "hl7v2.mllp": MllpOptions,
    "hl7v2.files": FilesOptions,
    "hl7v2.sftp": SftpOptions,
    "rest.athena": AthenaOptions,
    "rest.json": RestJsonOptions,
}
LISTENERS = frozenset({"hl7v2.mllp"})
"""Adapters whose EMR calls us: they are not read on a schedule."""
