"""Each adapter's own settings: names and kinds. What is not written is left to the adapter's own default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from sync.config.model import OneOrMore, Part
from sync.config.words import Duration, DurationOrNever, ListenText

Seconds = Annotated[Duration, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]
SecondsOrNever = Annotated[DurationOrNever, PlainSerializer(lambda value: value.total_seconds(), return_type=float)]


def _base_url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("is no address of a FHIR server: write https://host/path")
    return value.rstrip("/")


class FhirAuth(Part):
    """How we prove who we are. ``smart_backend`` is SMART App Launch 2.2, Backend Services."""

    kind: Literal["none", "smart_backend", "basic", "bearer"] = "none"
    client_id: str | None = None
    private_key: str | None = None
    alg: Literal["RS384", "ES384"] | None = None
    kid: str | None = None
    jku: str | None = None
    token_url: str | None = None
    scope: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None


class FhirOptions(Part):
    """``fhir.rest``."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    auth: FhirAuth = FhirAuth()
    read: Literal["auto", "incremental", "full"] = "auto"
    trust_last_updated: bool = True
    page_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    overlap: Seconds | None = None
    timeout: Seconds | None = None
    search: dict[str, str] = Field(default_factory=dict)
    consent: dict[str, Any] = Field(default_factory=dict)
    flag: dict[str, Any] = Field(default_factory=dict)


class Hl7Options(Part):
    """What every HL7 v2 source has."""

    charset: str | None = None
    charset_fallback: str | None = None


class MllpOptions(Hl7Options):
    """``hl7v2.mllp``."""

    listen: ListenText
    max_message_bytes: OneOrMore | None = None
    max_connections: OneOrMore | None = None
    idle_timeout: SecondsOrNever | None = None
    group_size: OneOrMore | None = None


class FilesOptions(Hl7Options):
    """``hl7v2.files``."""

    path: str
    settle: Seconds | None = None


OPTIONS: dict[str, type[Part]] = {
    "fhir.rest": FhirOptions,
    "hl7v2.mllp": MllpOptions,
    "hl7v2.files": FilesOptions,
}
LISTENERS = frozenset({"hl7v2.mllp"})
"""Adapters whose EMR calls us: they are not read on a schedule."""
