"""The JSON documents in rows: frozen values <-> text. Their shapes are part of the schema, so a change of them needs a migration.

msgspec writes and reads them in C, straight into the vocabulary's own tuples. :func:`digest` tells whether two payloads state the same.
:func:`instant` and :func:`interval` read the times of hand-written SQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgspec

from store import times
from store.domain.contact import ContactPreferences
from store.domain.decision_request import Evidence
from store.domain.message_class import UNKNOWN, MessageClass
from store.domain.sms_consent import ConsentEvent, Events
from store.domain.source_codes import Reading, Readings
from store.domain.unreadable import Marks, Unreadable
from store.errors import DocumentDamaged
from store.preference import CONSENT, EMAIL, LISTS, PHONES, Assertion, Codes, Identifier, Later, Phone, Preference, Statement, base
from store.times import Time


def instant(value: object) -> datetime:
    """The time of a column. SQLite returns ISO text, PostgreSQL a datetime."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


def interval(earliest: object, latest: object) -> Time:
    """The time of two columns. The second is empty if the time is a moment."""
    return times.between(instant(earliest), None if latest is None else instant(latest))


class StoredPayload(NamedTuple):
    """What the statements of one payload share; written once per document. ``latest``: the end of a time that is an interval."""

    earliest: datetime
    recorded: datetime
    evidence_id: str
    version: int
    latest: datetime | None = None
    mapping: str = ""
    content: str = ""

    @property
    def effective(self) -> Time:
        """When the authority stated it."""
        return times.between(self.earliest, self.latest)


class StoredOrigin(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What evidence tells of a stored payload. What follows in the document is not read."""

    earliest: datetime
    recorded: str
    evidence_id: str
    version: int
    latest: datetime | None = None


class StoredPaths(msgspec.Struct, frozen=True, gc=False, rename=lambda field: field.replace("consent_", CONSENT)):
    """The attributes behind most decisions, each with its path and the index of its payload. Reading only these takes half the time."""

    phones: tuple[str, int] | None = None
    email: tuple[str, int] | None = None
    preferred_method: tuple[str, int] | None = None
    preferred_phone: tuple[str, int] | None = None
    do_not_contact: tuple[str, int] | None = None
    deceased: tuple[str, int] | None = None
    consent_sms: tuple[str, int] | None = None
    consent_voice: tuple[str, int] | None = None
    consent_email: tuple[str, int] | None = None


class StoredAssertion(NamedTuple):
    """A value, where it was read, and the index of its payload in the document."""

    value: Any
    path: str
    payload: int
    undecided: bool = False


T = TypeVar("T")


def _reading(decode: Callable[[str], T]) -> Callable[[str], T]:
    """A decoder that raises :class:`DocumentDamaged` for a document that was damaged."""

    def read(text: str) -> T:
        try:
            return decode(text)
        except (msgspec.MsgspecError, ValueError):
            raise DocumentDamaged("a stored document cannot be read") from None

    return read


_encode = msgspec.json.Encoder().encode
_assertions = _reading(msgspec.json.Decoder(tuple[list[StoredPayload], dict[str, StoredAssertion]]).decode)
_provenance = _reading(msgspec.json.Decoder(tuple[list[tuple[str, StoredOrigin]], dict[str, tuple[str, int]]]).decode)
_usual_provenance = _reading(msgspec.json.Decoder(tuple[list[tuple[str, StoredOrigin]], StoredPaths]).decode)
_consent_events = _reading(msgspec.json.Decoder(tuple[ConsentEvent, ...]).decode)
_message_class = _reading(msgspec.json.Decoder(MessageClass).decode)
_marks = _reading(msgspec.json.Decoder(dict[str, Unreadable]).decode)
_readings = _reading(msgspec.json.Decoder(dict[str, tuple[Reading, ...]]).decode)
_code = _reading(msgspec.json.Decoder(Codes).decode)
_plain = _reading(msgspec.json.Decoder().decode)
USUAL = dict(zip(StoredPaths.__struct_encode_fields__, StoredPaths.__struct_fields__, strict=True))
"""Attribute -> the field of :class:`StoredPaths`."""
_new = tuple.__new__  # each message reads about ten assertions; this takes half as long as calling the class


def write(value: Any) -> str:
    """The JSON text of any value below."""
    return _encode(value).decode()


def read(text: str) -> Any:
    """Plain JSON."""
    return _plain(text)


def write_assertions(assertions: Mapping[str, Assertion]) -> str:
    """The document of all that one authority asserts about a patient, by attribute."""
    payloads: dict[tuple[Any, ...], int] = {}
    stored, last, place = {}, None, 0
    for attribute, (value, effective, recorded, evidence_id, path, version, undecided, mapping, content) in assertions.items():
        evidence = effective, recorded, evidence_id, version, mapping, content
        if evidence != last:  # most assertions of a patient come from one payload
            place, last = payloads.setdefault(_payload(*evidence), len(payloads)), evidence
        stored[attribute] = (value, path, place, True) if undecided else (value, path, place)
    return write((list(payloads), stored))


def _payload(effective: Time, recorded: datetime, evidence_id: str, version: int, mapping: str, content: str = "") -> tuple[Any, ...]:
    written = effective.earliest, recorded, evidence_id, version
    if content:
        return (*written, effective.end, mapping, content)
    if mapping:
        return (*written, effective.end, mapping)
    return written if effective.end is None else (*written, effective.end)


def read_assertions(text: str) -> dict[str, Assertion]:
    """The assertions from their document."""
    payloads, stored = _assertions(text)
    effective = [one.effective for one in payloads]
    read = {}
    for attribute, (value, path, place, undecided) in stored.items():
        _, recorded, evidence_id, version, _, mapping, content = payloads[place]
        if attribute.startswith(LISTS):
            value = as_tuples(attribute, value)
        read[attribute] = _new(Assertion, (value, effective[place], recorded, evidence_id, path, version, undecided, mapping, content))
    return read


def write_codes(mapping: str, readings: Readings) -> str:
    """The document of the codes of one authority about a patient. It begins with the name of the mapping that read them."""
    return f"{mapping} {write(readings)}"


def read_codes(text: str) -> tuple[str, Readings]:
    """The mapping and the codes from their document."""
    mapping, _, kept = text.partition(" ")
    return mapping, _readings(kept)


def write_code(codes: Codes | None) -> str | None:
    """The document of the codes of one statement, if they are kept."""
    return write(codes) if codes is not None else None


def read_code(text: str | None) -> Codes | None:
    """The codes of one statement from their document."""
    return _code(text) if text is not None else None


def write_time(time: Time) -> Any:
    """A time inside a plain document: a moment, or both ends of an interval."""
    return time.earliest if time.end is None else (time.earliest, time.latest)


def read_time(value: Any) -> Time:
    """The time from plain JSON."""
    earliest, latest = (value, None) if isinstance(value, str) else value
    return interval(earliest, latest)


def write_marks(marks: Marks) -> str | None:
    """The document of what could not be read of an authority; ``None`` if all could."""
    return write(marks) if marks else None


def read_marks(text: str | None) -> Marks:
    """The unreadable marks from their document."""
    return _marks(text) if text else {}


def as_tuples(attribute: str, value: Any) -> Any:
    """A value from JSON with its lists as tuples again: phones and addresses are decoded as lists of lists."""
    if value is None:
        return None
    name = base(attribute)
    if name == PHONES:
        return tuple([Phone(*phone) for phone in value])
    return tuple(value) if name == EMAIL else value


read_contact = _reading(msgspec.json.Decoder(ContactPreferences).decode)
"""The preferences in force, as a decision uses them."""


def write_provenance(in_force: Mapping[str, Preference]) -> str:
    """The document of where each value in force comes from."""
    payloads: dict[tuple[str, tuple[Any, ...]], int] = {}
    paths, last, place = {}, None, 0
    for attribute, (_, authority, assertion) in in_force.items():
        _, effective, recorded, evidence_id, path, version, _, mapping, _ = assertion
        evidence = authority, effective, recorded, evidence_id, version, mapping
        if evidence != last:
            place, last = payloads.setdefault((authority, _payload(*evidence[1:])), len(payloads)), evidence
        paths[attribute] = (path, place)
    return write((list(payloads), paths))


class Provenance(msgspec.Struct, gc=False):
    """Where each value in force comes from. The document is read at the first call; as a whole only for a topic or a number's consent."""

    text: str
    usual: tuple[list[tuple[str, StoredOrigin]], StoredPaths] | None = None
    whole: tuple[list[tuple[str, StoredOrigin]], dict[str, tuple[str, int]]] | None = None

    def __call__(self, attribute: str) -> Evidence | None:
        """The evidence for one attribute, ``None`` if no value of it is in force."""
        field = USUAL.get(attribute)
        if field is not None:
            if self.usual is None:
                self.usual = _usual_provenance(self.text)
            payloads, usual = self.usual
            found = getattr(usual, field)
        else:
            if self.whole is None:
                self.whole = _provenance(self.text)
            payloads, paths = self.whole
            found = paths.get(attribute)
        if found is None:
            return None
        path, place = found
        authority, origin = payloads[place]
        return Evidence(attribute, authority, origin.evidence_id, path, origin.earliest, origin.latest)


def read_consent_events(text: str) -> Events:
    """The consent events of one number, or of a binding."""
    return _consent_events(text)


def write_message_class(answered: MessageClass) -> str | None:
    """The class of an answered message; ``None`` if nothing is known of it."""
    return None if answered == UNKNOWN else write(answered)


def read_message_class(text: str | None) -> MessageClass:
    """The class of an answered message."""
    return UNKNOWN if text is None else _message_class(text)


def digest(
    identifiers: Sequence[Identifier],
    statements: Mapping[str, Statement],
    version: int = 0,
    unread: tuple[str, ...] = (),
    codes: Mapping[str, Codes] = MappingProxyType({}),
    mapping: str = "",
    later: tuple[Later, ...] = (),
    record: str = "",
) -> str:
    """A digest that is equal for two payloads that state the same about the same identifiers, in the same version of their record.

    The version is part of it, so that a new version of the same content is stored: a lower version that arrives later with the same time
    is then known to be late. The mapping that read the payload and the Consent or Flag (``record``) are part of it too. The digest alone
    reveals nothing about the patient.
    """
    content: tuple[Any, ...] = (identifiers, statements, version, unread) if unread else (identifiers, statements, version)
    if codes or mapping:
        content = (*content, dict(codes), mapping)
    content = (*content, later) if later else content
    content = (*content, record) if record else content
    return hashlib.blake2b(_encode(content), digest_size=12).hexdigest()
