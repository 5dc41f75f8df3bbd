"""A patient as JSON: the values in force with their origin and master, the toggle and SMS consent.

``POST /v1/patients/lookup``, ``GET /v1/patients/{id}`` and ``emr-sync patient --json`` all return it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from store.domain.attributes import in_order
from store.domain.contact import ContactPreferences
from store.domain.enterprise import Enterprise
from store.domain.lock import Toggle, master_of
from store.domain.message_class import MessageClass
from store.domain.patient import HistoryEntry, Patient
from store.domain.phone_numbers import numbers_in_force
from store.domain.sms_consent import SMS, OptOut, display, of_texts
from store.preference import BIRTH_DATE, DISPLAY_NAME, EMAIL, PHONES, UNKNOWN, Phone, Preference


class IdentifierOut(Struct, frozen=True):
    """An identifier of the patient."""

    authority: str
    type: str
    value: str


class SyncedOut(Struct, frozen=True):
    """A source that states this patient's preferences."""

    source: str
    since: datetime
    last_heard: datetime


class EvidenceOut(Struct, frozen=True):
    """The message or resource that stated the value, and the path in it."""

    id: str
    path: str


class UnreadableOut(Struct, frozen=True):
    """An attribute whose newer evidence from a source could not be read. ``reason`` is that of the rejection."""

    attribute: str
    source: str
    since: datetime
    reason: str


class PhoneOut(Struct, frozen=True):
    """A number on file."""

    kind: str
    number: str
    raw: str
    rank: int | None
    textable: bool
    start: str | None
    end: str | None


class PreferenceOut(Struct, frozen=True):
    """A value in force. ``value`` is ``unknown`` if nobody stated one; ``all`` lists every e-mail address.

    ``effective_latest``: the end of the effective time if it is an interval. ``undecided``: it is unclear whether other evidence is newer.
    """

    value: Any
    authority: str | None = None
    evidence: EvidenceOut | None = None
    effective: datetime | None = None
    effective_latest: datetime | None = None
    recorded: datetime | None = None
    undecided: bool | UnsetType = UNSET
    locked_by: str | None = None
    all: tuple[str, ...] | UnsetType = UNSET


class OptOutOut(Struct, frozen=True):
    """A number that may not be texted from ``line``; ``null`` means every line except ``except_lines``.

    The patient may not be texted from there at any other number either. ``on_file``: whether they have the number now. ``number`` is
    empty if they had none when the opt-out was recorded. ``in_reply_to``: the message that it answered, as far as its sender told.
    """

    line: str | None
    number: str
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    on_file: bool
    in_reply_to: MessageClass


class ChannelOptOutOut(Struct, frozen=True):
    """An opt-out from calls (``voice``) or e-mail (``email``), about one ``topic`` or about everything. It applies to every address.

    ``address``: the number or e-mail address that it came from; ``on_file``: whether the patient has it now.
    """

    channel: str
    address: str
    topic: str | None
    authority: str
    at: datetime | None
    on_file: bool


class SmsConsentOut(Struct, frozen=True):
    """SMS consent as text, and each opt-out. ``shared``: numbers shared by several patients, with how many."""

    display: str
    opted_out: tuple[OptOutOut, ...]
    shared: dict[str, int]


class PatientOut(Struct, frozen=True):
    """A patient's facesheet. ``birth_date``: an ISO date, or only its year, or year and month."""

    id: str
    version: int
    enterprise: str
    identifiers: tuple[IdentifierOut, ...]
    synced: tuple[SyncedOut, ...]
    preferences: dict[str, PreferenceOut]
    sms_consent: SmsConsentOut
    toggle: Toggle
    updated: datetime
    unreadable: tuple[UnreadableOut, ...] = ()
    opted_out: tuple[ChannelOptOutOut, ...] = ()
    birth_date: str | None = None


class EntryOut(Struct, frozen=True):
    """One entry of an attribute's history."""

    seq: int
    at: datetime
    version: int
    attribute: str
    before: Any
    after: Any
    authority: str
    evidence: EvidenceOut
    effective: datetime
    actor: str
    reason: str
    run: str | None


def facesheet(patient: Patient, toggle: Toggle, enterprise: Enterprise) -> PatientOut:
    """Everything about one patient, for people and machines."""
    names = in_order(patient.preferences)
    return PatientOut(
        patient.id,
        patient.version,
        patient.enterprise,
        tuple(IdentifierOut(*one) for one in patient.identifiers),
        tuple(SyncedOut(mark.source, mark.since, mark.last_heard) for mark in patient.marks),
        {name: preference_out(name, patient.preferences.get(name), _master(name, patient, enterprise)) for name in names},
        SmsConsentOut(
            display(patient.contact, patient.opt_outs),
            opt_outs_out(patient.contact, patient.opt_outs),
            {number: count for number, count in patient.shared_by.items() if count > 1},
        ),
        toggle,
        patient.updated,
        tuple(UnreadableOut(*one) for one in patient.unreadable),
        channel_opt_outs(patient.contact, patient.opt_outs),
        born.value if (born := patient.preferences.get(BIRTH_DATE)) else None,
    )


def opt_outs_out(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> tuple[OptOutOut, ...]:
    """A patient's opt-outs from texts, each with whether its number is on file."""
    on_file = {phone.number for phone in contact.phones}
    return tuple(OptOutOut(*one[:7], one.number in on_file, one.in_reply_to) for one in of_texts(opt_outs))


def channel_opt_outs(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> tuple[ChannelOptOutOut, ...]:
    """A patient's opt-outs from calls and e-mail."""
    on_file = set(numbers_in_force(contact))
    return tuple(
        ChannelOptOutOut(one.channel, one.number, one.topic, one.authority, one.at, one.number in on_file)
        for one in opt_outs
        if one.channel != SMS
    )


def history_line(entry: HistoryEntry) -> EntryOut:
    """One entry of the history, as JSON."""
    evidence = EvidenceOut(entry.evidence_id, entry.path)
    return EntryOut(
        entry.seq, entry.at, entry.version, entry.attribute, entry.before, entry.after, entry.authority, evidence,
        entry.effective, entry.actor, entry.reason, entry.run_id,
    )  # fmt: skip


def as_json(value: Any) -> Any:
    """A response of this package as plain data, for callers that print JSON themselves."""
    return msgspec.to_builtins(value)


def as_value(value: Any) -> Any:
    """An attribute's value as plain data, in the facesheet's form."""
    return as_json([_phone(one) if isinstance(one, Phone) else one for one in value] if isinstance(value, tuple) else value)


def preference_out(name: str, found: Preference | None, source: str | None = None) -> PreferenceOut:
    """One value with its origin. ``source`` is the source that masters it."""
    value, every = _value(name, found)
    if found is None:
        return PreferenceOut(value, locked_by=source, all=every)
    assertion = found.assertion
    evidence, undecided = EvidenceOut(assertion.evidence_id, assertion.path), assertion.undecided or UNSET
    time, recorded = assertion.effective, assertion.recorded
    return PreferenceOut(value, found.authority, evidence, time.earliest, time.end, recorded, undecided, source, every)


def _master(name: str, patient: Patient, enterprise: Enterprise) -> str | None:
    master = master_of(name, patient.marks, enterprise)
    return master.source if master else None


def _value(name: str, found: Preference | None) -> tuple[Any, tuple[str, ...] | UnsetType]:
    value = found.value if found else None
    if name == PHONES:
        return [_phone(phone) for phone in value or ()], UNSET
    if name == EMAIL:
        return (value[0] if value else UNKNOWN), tuple(value or ())
    if value is None and name != DISPLAY_NAME:
        return UNKNOWN, UNSET
    return value, UNSET


def _phone(phone: Phone) -> PhoneOut:
    return PhoneOut(phone.kind, phone.number, phone.raw, phone.rank, phone.textable, phone.start, phone.end)
