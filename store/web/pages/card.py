"""The facesheet's card: its rows by lock, the toggle, the phones, where values come from, and a preview of decisions. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store import preference as p
from store.domain.attributes import REGISTRY, Kind, in_order
from store.domain.contact import ContactPreferences
from store.domain.decision_request import Decision
from store.domain.enterprise import Enterprise
from store.domain.lock import MASTERED_BY_EMR, TOGGLE_REASONS, Toggle, master_of
from store.domain.patient import Patient
from store.preference import MessageType, Phone, Preference
from store.web.pages import consents, labels

CHANNELS = ("sms", "voice", "email")
TYPES = tuple(str(kind) for kind in MessageType)
KINDS = {"cell": "cell", "home": "home", "work": "work"}
APART = (p.DO_NOT_CONTACT, p.PREFERRED_METHOD, p.PREFERRED_PHONE, p.PHONES, p.DISPLAY_NAME)
"""Attributes that the page shows in a way of their own."""
BY_NUMBER = (f"{p.consent('voice')}#", f"{p.consent('email')}#")
HINTS = {
    (p.DECEASED, True): "Nothing is sent on any channel.",
    (p.RESTRICTED, True): "The EMR protects this record. Missing data may be withheld, not removed.",
    (p.ACTIVE, False): "The EMR marks this record as inactive.",
}


class Origin(NamedTuple):
    """Where a value comes from. ``until``: the end of the effective time if it is an interval."""

    title: str
    value: str
    who: str
    evidence: str
    path: str
    effective: datetime
    until: datetime | None
    recorded: datetime
    undecided: bool


class CardRow(NamedTuple):
    """A row of the card. ``locked_by``: the source that masters it. ``hint``: its consequence. ``gone``: its number is not on file now."""

    name: str
    title: str
    value: str
    locked_by: str | None
    hint: str = ""
    gone: bool = False


class Group(NamedTuple):
    """Rows with one lock. ``locked_by``: the display name of the source that masters them, empty without a lock. ``change``: how to
    change them.
    """

    locked_by: str
    change: str
    rows: tuple[CardRow, ...]


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
    change: str


class DecisionPreview(NamedTuple):
    """The decision that a sender would get for one type of message."""

    kind: str
    send: bool
    answer: str
    address: str
    notes: tuple[tuple[str, str], ...]
    stale: bool


def switch(patient: Patient, toggle: Toggle, enterprise: Enterprise) -> Switch | None:
    """The toggle, or ``None`` if it is not shown."""
    if not toggle.visible:
        return None
    master, found = master_of(p.DO_NOT_CONTACT, patient.marks, enterprise), patient.preferences.get(p.DO_NOT_CONTACT)
    state, is_locked = {p.YES: "on", p.NO: "off"}.get(toggle.value, "unknown"), toggle.reason == MASTERED_BY_EMR
    kept = is_locked and found is not None and found.authority == p.STAFF
    why, where = TOGGLE_REASONS.get(toggle.reason, ""), master.where if master else ""
    change = labels.change_in(master.source, enterprise) if master and master.source else f"To change it, update this patient in {where}."
    return Switch(state, toggle.enabled, is_locked, kept, why, where, master.since if master else None, change)


def badge(contact: ContactPreferences) -> str:
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
    """A preference whose newer evidence from a source could not be read. ``check``: where to check it, and whom to contact."""

    title: str
    source: str
    since: datetime
    check: str


def unread(patient: Patient, enterprise: Enterprise) -> list[Unread]:
    """The patient's preferences whose newer evidence could not be read."""
    return [
        Unread(labels.title(one.attribute), labels.source(one.source, enterprise), one.since, labels.check_in(one.source, enterprise))
        for one in patient.unreadable
    ]


def row(attribute: str, patient: Patient, enterprise: Enterprise) -> CardRow:
    """The row of an attribute."""
    found, master = patient.preferences.get(attribute), master_of(attribute, patient.marks, enterprise)
    value = labels.value(attribute, found.value if found else None)
    hint = HINTS.get((attribute, found.value), "") if found and isinstance(found.value, bool) else ""
    number = attribute.partition("#")[2]
    gone = bool(number) and all(number != phone.number for phone in patient.contact.phones)
    return CardRow(attribute, labels.title(attribute), value, master.source if master else None, hint, gone)


def groups(patient: Patient, enterprise: Enterprise) -> list[Group]:
    """Every attribute that has a row, by the source that masters it, so that each lock is shown once. What is not locked comes last."""
    rows = [row(name, patient, enterprise) for name in _names(patient)]
    rows += [] if patient.contact.topics else [CardRow("", "Topics", "none", None)]
    method = rows[0]
    if method.locked_by is None and method.value == labels.VALUES[None]:  # the number alone tells how to reach the patient
        rows[0] = method._replace(locked_by=rows[1].locked_by)
    sources = dict.fromkeys(one.locked_by for one in rows if one.locked_by is not None)
    found = [
        Group(labels.source(name, enterprise), labels.change_in(name, enterprise), tuple(one for one in rows if one.locked_by == name))
        for name in sources
    ]
    free = tuple(one for one in rows if one.locked_by is None)
    return [*found, Group("", "", free)] if free else found


def _names(patient: Patient) -> list[str]:
    """The attributes with a row, in the order of display. Consent to texts is beside SMS consent."""
    stated, channels = patient.preferences, [p.consent(channel) for channel in CHANNELS]
    flags = [one.name for one in REGISTRY if one.kind is Kind.FLAG]
    plain = [one.name for one in REGISTRY if one.name not in (*APART, *flags) and not one.name.startswith(p.CONSENT)]
    permissions = [*channels[1:], *sorted(name for name in stated if name.startswith(BY_NUMBER))]
    topics = sorted(name for name in stated if name.startswith(p.TOPIC))
    return [p.PREFERRED_METHOD, p.PREFERRED_PHONE, p.PHONES, *plain, *permissions, *topics, *(name for name in flags if name in stated)]


def provenance(patient: Patient, enterprise: Enterprise) -> list[Origin]:
    """Where every value in force comes from, in the order of display."""
    names = [name for name in in_order(patient.preferences) if name in patient.preferences]
    return [_origin(name, patient.preferences[name], enterprise) for name in names]


class TextConsent(NamedTuple):
    """A row of consent to texts that an EMR stated, and whose word it is; empty if nobody stated it."""

    row: CardRow
    by: str


def text_consents(patient: Patient, enterprise: Enterprise) -> list[TextConsent]:
    """Consent to texts as stated by an EMR: in general, and by number."""
    names = [consents.SMS, *sorted(name for name in patient.preferences if name.startswith(f"{consents.SMS}#"))]
    stated = [patient.preferences.get(name) for name in names]
    return [
        TextConsent(row(name, patient, enterprise), labels.authority(found.authority, enterprise) if found is not None else "")
        for name, found in zip(names, stated, strict=True)
    ]


def preview(kind: str, decision: Decision) -> DecisionPreview:
    """A decision as text."""
    skipped = [(labels.CHANNELS.get(one.channel, one.channel), labels.reason(one.reason, refuses=False)) for one in decision.skipped]
    shown, refuses = {one.reason for one in decision.skipped}, not skipped and decision.channel is None
    notes = (*(("", labels.reason(code, refuses=refuses)) for code in decision.reasons if code not in shown), *skipped)
    if decision.channel is None:
        return DecisionPreview(kind, False, "Do not send", "", notes, decision.stale)
    address = labels.number(decision.address or "")
    return DecisionPreview(kind, True, f"Send by {labels.CHANNELS[decision.channel]}", address, notes, decision.stale)


def _card_phone(phone: Phone, patient: Patient) -> CardPhone:
    until = " ".join(part for part in (f"from {phone.start}" if phone.start else "", f"until {phone.end}" if phone.end else "") if part)
    refused = tuple(channel for channel in CHANNELS if patient.contact.consents.get(f"{channel}#{phone.number}") == p.DENIED)
    preferred, sharing = phone.number == patient.contact.preferred_phone, patient.shared_by.get(phone.number, 1)
    kind = KINDS.get(phone.kind, "kind unknown")
    return CardPhone(phone.number, kind, phone.textable, preferred, sharing, until, tuple(labels.CHANNELS[one] for one in refused))


def _origin(name: str, found: Preference, enterprise: Enterprise) -> Origin:
    one, value = found.assertion, labels.value(name, found.value)
    who, time = labels.authority(found.authority, enterprise), one.effective
    return Origin(labels.title(name), value, who, one.evidence_id, one.path, time.earliest, time.end, one.recorded, one.undecided)
