"""What can happen to a patient, as values, and what a message says by the mapping of its site (product sections 5 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.properties.plain_times import When

DNC, METHOD, SMS, VOICE, DECEASED = "do_not_contact", "preferred_method", "consent.sms", "consent.voice", "deceased"
REFUSAL = {DNC: "yes", METHOD: "none", SMS: "denied", VOICE: "denied", DECEASED: "yes"}
MARKED = (DNC, SMS, VOICE, DECEASED)
"""Attributes that are marked when they cannot be read (product section 9), and that govern an automation (product section 7)."""
DELETE = '""'
CLEAR, NOTHING, UNREADABLE = "clear", "no_statement", "unreadable"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Table:
    """How one field is read: the site's codes, and what to make of one that is not among them, or of an empty field."""

    values: Mapping[str, str]
    on_unknown: str = "reject"
    on_absent: str = NOTHING

    def read(self, attribute: str, text: str) -> str:
        if text == DELETE:
            return CLEAR
        found = self.values.get(text) if text else None
        if found is None:
            found = self.on_unknown if text else self.on_absent
        meant = {"reject": UNREADABLE, "most_restrictive": REFUSAL[attribute], "unknown": CLEAR}
        return meant.get(found, found)


FLAG = Table({"Y": "yes", "N": "no", "U": NOTHING})
"""PID-30 and PD1-12, which no site's mapping reads here."""


@dataclass(frozen=True)
class Payload:
    """What one ADT message carries. ``phones``: ``None`` is an empty field, ``()`` a deleted one. ``linked`` is a national number."""

    source: str
    record: str
    event: str
    sent: str
    control: str
    codes: Mapping[str, str] = field(default_factory=dict)
    phones: tuple[int, ...] | None = None
    restricted: str = ""
    linked: str = ""


@dataclass(frozen=True)
class Merge:
    """One source says that two records are one."""

    source: str
    survivor: str
    merged: str
    event: str
    sent: str
    control: str


@dataclass(frozen=True)
class Reply:
    """What somebody texts to a line. ``ago`` is seconds before it was received; ``None``: the sender does not know when."""

    number: int
    line: int
    word: str
    ago: int | None = 0


Event = Payload | Merge | Reply


class Step(NamedTuple):
    """An event, and the wave in which it is received."""

    wave: int
    event: Event


class Said(NamedTuple):
    """One statement: who made it about whose record, when, and what; ``order`` is that of receipt.

    ``tied``: something was received before it, of a time that may not be earlier.
    """

    source: str
    record: str
    when: When
    order: int
    value: str
    tied: bool = False


class Bounds(NamedTuple):
    """What must be refused, and what may be: between them the rules leave it open."""

    must: bool
    may: bool

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(self.must or other.must, self.may or other.may)


class Join(NamedTuple):
    """Since when two records are one, and the order in which that was heard."""

    when: When
    order: int


def read(attribute: str, payload: Payload, table: Table) -> str:
    """A restricted record, or one of which that cannot be told, takes nothing back (product rule 5.6)."""
    value = table.read(attribute, payload.codes.get(attribute, ""))
    return NOTHING if value == CLEAR and is_protected(payload) else value


def is_protected(payload: Payload) -> bool:
    return payload.restricted not in ("", DELETE, "N", "U")
