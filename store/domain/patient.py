"""A patient as read: identifiers, what is in force and why, and who masters it. Frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from store.domain.contact import ContactPreferences
from store.domain.lock import SourceMark
from store.domain.sms_consent import OptOut
from store.preference import Identifier, Preference


class PatientRef(NamedTuple):
    """How a caller names a patient: the store's own id, or an identifier, whose issuer and type may be omitted."""

    id: str | None = None
    authority: str | None = None
    type: str | None = None
    value: str | None = None


class UnreadAttribute(NamedTuple):
    """An attribute with unreadable newer evidence of a source, since when, and why (a stable code)."""

    attribute: str
    source: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient. ``preferences``: what is in force, by attribute (slots joined). ``shared_by``: number -> how many patients have it."""

    id: str
    version: int
    enterprise: str
    identifiers: tuple[Identifier, ...]
    marks: tuple[SourceMark, ...]
    preferences: Mapping[str, Preference]
    contact: ContactPreferences
    opt_outs: tuple[OptOut, ...]
    updated: datetime
    shared_by: Mapping[str, int]
    unreadable: tuple[UnreadAttribute, ...] = ()


class HistoryEntry(NamedTuple):
    """One line of a patient's history: an authority's new statement about one attribute, and the one before."""

    seq: int
    at: datetime
    version: int
    attribute: str
    before: Any
    after: Any
    authority: str
    evidence_id: str
    path: str
    effective: datetime
    actor: str
    reason: str
    run_id: str | None


class ChangedPatient(NamedTuple):
    """One line of the change feed. ``seq``: where to continue."""

    seq: int
    patient_id: str
    version: int
    at: datetime
    attributes: tuple[str, ...]
