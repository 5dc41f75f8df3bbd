"""Documents of the rows: frozen values <-> JSON text. The shapes are part of the schema; a migration changes them.

msgspec writes and reads them in C, straight into the vocabulary's own tuples; the digest says whether two payloads
state the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from store.ask import Evidence
from store.preference import EMAIL, PHONES, Assertion, ContactPreferences, Identifier, Phone, Preference, Statement, base
from store.texting.word import Word
from store.unreadable import Marks, Unreadable

Payload = tuple[datetime, datetime, str, int]
"""What the statements of one payload share: effective, recorded, evidence id, version. Written once per document."""


_encode = msgspec.json.Encoder().encode
_assertions = msgspec.json.Decoder(tuple[list[Payload], dict[str, tuple[Any, str, int]]]).decode
_provenance = msgspec.json.Decoder(tuple[list[tuple[str, Payload]], dict[str, tuple[str, int]]]).decode
_words = msgspec.json.Decoder(tuple[Word, ...]).decode
_marks = msgspec.json.Decoder(dict[str, Unreadable]).decode
_plain = msgspec.json.Decoder().decode
_LISTS = (PHONES, EMAIL)
_new = tuple.__new__  # every message reads some ten assertions; this takes half as long as their own way


def write(value: Any) -> str:
    """Any of the values below as JSON text."""
    return _encode(value).decode()


def read(text: str) -> Any:
    """Plain JSON."""
    return _plain(text)


def write_assertions(assertions: Mapping[str, Assertion]) -> str:
    """All that one authority asserts about a patient, by attribute."""
    payloads: dict[Payload, int] = {}
    said = {}
    for attribute, (value, effective, recorded, evidence_id, path, version) in assertions.items():
        said[attribute] = (value, path, payloads.setdefault((effective, recorded, evidence_id, version), len(payloads)))
    return write((list(payloads), said))


def read_assertions(text: str) -> dict[str, Assertion]:
    """The same back."""
    payloads, said = _assertions(text)
    read = {}
    for attribute, (value, path, index) in said.items():
        effective, recorded, evidence_id, version = payloads[index]
        if attribute.startswith(_LISTS):
            value = listed(attribute, value)
        read[attribute] = _new(Assertion, (value, effective, recorded, evidence_id, path, version))
    return read


def write_marks(marks: Marks) -> str | None:
    """What of an authority could not be read; ``None`` where all could."""
    return write(marks) if marks else None


def read_marks(text: str | None) -> Marks:
    """The same back."""
    return _marks(text) if text else {}


def listed(attribute: str, value: Any) -> Any:
    """Lists of phones and addresses come back from JSON as lists of lists: as tuples of values again."""
    if value is None:
        return None
    name = base(attribute)
    if name == PHONES:
        return tuple(Phone(*phone) for phone in value)
    return tuple(value) if name == EMAIL else value


read_contact = msgspec.json.Decoder(ContactPreferences).decode
"""What is in force, as a decision looks at it."""


def write_provenance(in_force: Mapping[str, Preference]) -> str:
    """Where each value in force comes from."""
    payloads: dict[tuple[str, Payload], int] = {}
    paths = {}
    for attribute, (_, authority, assertion) in in_force.items():
        _, effective, recorded, evidence_id, path, version = assertion
        paths[attribute] = (path, payloads.setdefault((authority, (effective, recorded, evidence_id, version)), len(payloads)))
    return write((list(payloads), paths))


class Provenance:
    """Where each value in force comes from, read when the first question is asked."""

    __slots__ = ("_read", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._read: tuple[list[tuple[str, Payload]], dict[str, tuple[str, int]]] | None = None

    def __call__(self, attribute: str) -> Evidence | None:
        """The evidence for one attribute, ``None`` when nothing about it is in force."""
        if self._read is None:
            self._read = _provenance(self._text)
        payloads, paths = self._read
        found = paths.get(attribute)
        if found is None:
            return None
        authority, (effective, _, evidence_id, _) = payloads[found[1]]
        return Evidence(attribute, authority, evidence_id, found[0], effective)


def read_words(text: str) -> tuple[Word, ...]:
    """What was said about texting one number."""
    return _words(text)


def digest(identifiers: Sequence[Identifier], statements: Mapping[str, Statement], version: int = 0, unread: tuple[str, ...] = ()) -> str:
    """Equal for two payloads that state the same about the same identifiers, in the same version of their record.

    Another version of the same content is looked at whole, so that the version it reached is kept: a lower one that arrives later
    with the same time is late. Says nothing about the patient by itself.
    """
    content = (identifiers, statements, version, unread) if unread else (identifiers, statements, version)
    return hashlib.blake2b(_encode(content), digest_size=12).hexdigest()
