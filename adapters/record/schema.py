"""The schema of ``record``: where a record has a patient's standard parts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adapters.schema import SettingsGroup

PhoneUse = Literal["cell", "home", "work", "other"]


class PhonePart(SettingsGroup):
    """Paths of phones (``adapters.record.options.PhonePaths``)."""

    number: str
    kind: PhoneUse | None = None
    each: str | None = None
    kind_from: str | None = None
    kinds: dict[str, PhoneUse] = Field(default_factory=dict)
    rank: str | None = None
    unless: str | None = None


class EmailPart(SettingsGroup):
    """Paths of e-mail addresses."""

    address: str
    each: str | None = None
    unless: str | None = None


class RecordPart(SettingsGroup):
    """Paths of the standard parts of a record."""

    id: str
    patient_id: str | None = None
    name: list[str] = Field(default_factory=list)
    phones: list[PhonePart] = Field(default_factory=list)
    emails: list[EmailPart] = Field(default_factory=list)
    birth_date: str | None = None
    birth_date_format: Literal["YYYY-MM-DD", "MM/DD/YYYY", "DD/MM/YYYY"] | None = None
    updated: str | None = None
    merged_into: str | None = None
