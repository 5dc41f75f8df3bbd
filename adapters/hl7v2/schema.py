"""The settings of HL7 v2 sources: names and kinds. What is not written is left to the adapter's own default."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from adapters.folders import schema as folders
from adapters.folders.schema import LocalOptions
from adapters.schema import ListenText, OneOrMore, Peer, Seconds, SecondsOrNever, SettingsGroup

AckCode = Literal["AA", "AE", "AR"]
FIELD = re.compile(r"(?!MSH|EVN|PID|PV1|MRG)([A-Z][A-Z0-9]{2})-([1-9]\d{0,2})(?:\.([1-9]\d?))?", re.ASCII)
"""Where a denial may be written. PID and MRG say who the patient is."""
CODE = re.compile(r"[^|^~\\&\"\x00-\x1f\x7f]{1,60}")


class Hl7Options(SettingsGroup):
    """What every HL7 v2 source has."""

    charset: str | None = None
    charset_fallback: str | None = None
    messages: list[Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]] | None = None
    processing: list[Literal["P", "T", "D", "N", "V"]] | None = None
    time_from: Annotated[list[Literal["EVN-2", "MSH-7", "PID-33"]], Field(min_length=1)] | None = None


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


class FilesOptions(Hl7Options, LocalOptions):
    """``hl7v2.files``."""


class Hl7SftpOptions(Hl7Options, folders.SftpOptions):
    """``hl7v2.sftp``."""
