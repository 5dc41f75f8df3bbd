"""The facesheet as its page shows it: the rows of the card, the history, and a preview of decisions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from store import preference as p
from store.domain.attributes import REGISTRY, Kind
from store.domain.decision_request import Decision
from store.domain.enterprise import Enterprise
from store.domain.lock import MASTERED_BY_EMR, TOGGLE_REASONS, Toggle, master_of
from store.domain.patient import HistoryEntry, Patient
from store.domain.sms_consent import display
from store.preference import MessageType, Phone, Preference
from store.web.pages import labels

CHANNELS = ("sms", "voice", "email")
TYPES = tuple(str(kind) for kind in MessageType)
KINDS = {"cell": "cell", "home": "home", "work": "work"}
RECENT = 40
APART = (p.DO_NOT_CONTACT, p.PREFERRED_METHOD, p.PREFERRED_PHONE, p.PHONES, p.DISPLAY_NAME)
"""Attributes that the card shows in a way of their own."""
HINTS = {
    (p.DECEASED, True): "Nothing is sent on any channel.",
    (p.RESTRICTED, True): "The EMR protects this record. Missing data may be withheld, not removed.",
    (p.ACTIVE, False): "The EMR marks this record as inactive.",
}


class Origin(NamedTuple):
    """Where a value comes from. ``until``: the end of the effective time if it is an interval."""

    who: str
    evidence: str
    path: str
    effective: datetime
    until: datetime | None
    recorded: datetime
    undecided: bool


class CardRow(NamedTuple):
    """A row of the card. ``locked_by``: the display name of the source that masters it. ``hint``: its consequence."""

    title: str
    value: str
    origin: Origin | None
    locked_by: str | None
    hint: str = ""


class CardPhone(NamedTuple):
    """A phone on the card. ``sharing`` is the number of patients who have it, including this one."""

    e164: str
    kind: str
    textable: bool
    preferred: bool
    sharing: int
    period: str
    refused: tuple[str, ...]


class Switch(NamedTuple):
    """The toggle: its state (on, off, unknown), and where to change it if not here.

    ``kept``: it is locked, but staff's earlier value is in force, since no EMR has stated one yet.
    """

    state: str
    enabled: bool
    locked: bool
    kept: bool
    why: str
    where: str
    since: datetime | None
    origin: Origin | None


class DecisionPreview(NamedTuple):
    """The decision that a sender would get for one type of message."""

    kind: str
    send: bool
    answer: str
    address: str
    notes: tuple[tuple[str, str], ...]
    stale: bool


class Event(NamedTuple):
    """The changes of one payload or one action."""

    at: datetime
    who: str
    reason: str
    evidence: str
    run: str | None
    changes: tuple[tuple[str, str, str, str], ...]


def switch(patient: Patient, toggle: Toggle, enterprise: Enterprise) -> Switch | None:
    """The toggle, or ``None`` if it is not shown."""
    if not toggle.visible:
        return None
    master, found = master_of(p.DO_NOT_CONTACT, patient.marks, enterprise), patient.preferences.get(p.DO_NOT_CONTACT)
    state, is_locked = {p.YES: "on", p.NO: "off"}.get(toggle.value, "unknown"), toggle.reason == MASTERED_BY_EMR
    kept = is_locked and found is not None and found.authority == p.STAFF
    why, where = TOGGLE_REASONS.get(toggle.reason, ""), master.where if master else ""
    return Switch(state, toggle.enabled, is_locked, kept, why, where, master.since if master else None, _origin(found, enterprise))


def badge(contact: p.ContactPreferences) -> str:
    """The preferred way to reach the patient, in one word; empty if unknown."""
    if contact.preferred_method:
        return labels.BADGES.get(contact.preferred_method, contact.preferred_method.upper())
    if not contact.preferred_phone:
        return ""
    textable = any(phone.number == contact.preferred_phone and phone.textable for phone in contact.phones)
    return labels.BADGES["sms" if textable else "voice"]


def numbers(patient: Patient) -> list[CardPhone]:
    """The phones, without duplicates."""
    seen = {phone.number: phone for phone in reversed(patient.contact.phones)}
    return [_card_phone(phone, patient) for phone in reversed(seen.values())]


class Unread(NamedTuple):
    """A preference whose newer evidence from a source could not be read."""

    title: str
    source: str
    since: datetime


def unread(patient: Patient) -> list[Unread]:
    """The patient's preferences whose newer evidence could not be read."""
    return [Unread(labels.title(one.attribute), one.source, one.since) for one in patient.unreadable]


def row(attribute: str, patient: Patient, enterprise: Enterprise) -> CardRow:
    """The row of an attribute."""
    found, master = patient.preferences.get(attribute), master_of(attribute, patient.marks, enterprise)
    value = labels.value(attribute, found.value if found else None)
    return CardRow(labels.title(attribute), value, _origin(found, enterprise), master.where if master else None)


def details(patient: Patient, enterprise: Enterprise) -> list[CardRow]:
    """Every attribute that needs no more than a line, whether anybody stated it or not."""
    apart = (*APART, *(one.name for one in REGISTRY if one.kind is Kind.FLAG or one.name.startswith(p.CONSENT)))
    return [row(one.name, patient, enterprise) for one in REGISTRY if one.name not in apart]


def consents(patient: Patient, enterprise: Enterprise) -> list[CardRow]:
    """Consents by channel, and by number where stated. Channels are always shown."""
    fixed = [p.consent(channel) for channel in CHANNELS]
    more = sorted(name for name in patient.preferences if name.startswith(p.CONSENT) and name not in fixed)
    return [row(name, patient, enterprise) for name in (*fixed, *more)]


def topics(patient: Patient, enterprise: Enterprise) -> list[CardRow]:
    """Permissions by topic."""
    return [row(name, patient, enterprise) for name in sorted(patient.preferences) if name.startswith(p.TOPIC)]


def record(patient: Patient, enterprise: Enterprise) -> list[CardRow]:
    """Statements about the record itself, such as deceased. Attributes never stated are left out."""
    stated = [one.name for one in REGISTRY if one.kind is Kind.FLAG and one.name in patient.preferences]
    hints = {name: HINTS.get((name, patient.preferences[name].value), "") for name in stated}
    return [row(name, patient, enterprise)._replace(hint=hints[name]) for name in stated]


def sms_consent(patient: Patient) -> str:
    """Product section 6: "Opted In" or "Opted Out of N numbers"."""
    return display(patient.contact, patient.opt_outs)


def preview(kind: str, decision: Decision) -> DecisionPreview:
    """A decision as text."""
    skipped = [(labels.CHANNELS.get(one.channel, one.channel), labels.reason(one.reason)) for one in decision.skipped]
    shown = {one.reason for one in decision.skipped}
    notes = (*(("", labels.reason(code)) for code in decision.reasons if code not in shown), *skipped)
    if decision.channel is None:
        return DecisionPreview(kind, False, "Do not send", "", notes, decision.stale)
    address = labels.number(decision.address or "")
    return DecisionPreview(kind, True, f"Send by {labels.CHANNELS[decision.channel]}", address, notes, decision.stale)


def timeline(entries: Sequence[HistoryEntry], enterprise: Enterprise) -> list[Event]:
    """The history, newest first. Changes of one payload are one event."""
    return [_event(list(lines), enterprise) for _, lines in groupby(entries, key=lambda one: one.seq)]


def _event(lines: list[HistoryEntry], enterprise: Enterprise) -> Event:
    first = lines[0]
    changes = tuple(
        (labels.title(one.attribute), labels.value(one.attribute, one.before), labels.value(one.attribute, one.after), one.path)
        for one in lines
    )
    who = labels.authority(first.authority, enterprise)
    by = first.actor.partition(":")[2] if first.actor.partition(":")[0] in ("enterprise", "manager", "staff") else ""
    return Event(first.at, f"{who} ({by})" if by else who, _reason(first.reason), first.evidence_id, first.run_id, changes)


def _reason(text: str) -> str:
    return text if text and not text.startswith("sms:") else ""


def _card_phone(phone: Phone, patient: Patient) -> CardPhone:
    until = " ".join(part for part in (f"from {phone.start}" if phone.start else "", f"until {phone.end}" if phone.end else "") if part)
    refused = tuple(channel for channel in CHANNELS if patient.contact.consents.get(f"{channel}#{phone.number}") == p.DENIED)
    preferred, sharing = phone.number == patient.contact.preferred_phone, patient.shared_by.get(phone.number, 1)
    kind = KINDS.get(phone.kind, "kind unknown")
    return CardPhone(phone.number, kind, phone.textable, preferred, sharing, until, tuple(labels.CHANNELS[one] for one in refused))


def _origin(found: Preference | None, enterprise: Enterprise) -> Origin | None:
    if found is None:
        return None
    one = found.assertion
    who, time = labels.authority(found.authority, enterprise), one.effective
    return Origin(who, one.evidence_id, one.path, time.earliest, time.end, one.recorded, one.undecided)
