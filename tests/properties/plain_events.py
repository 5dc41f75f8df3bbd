"""Events of a patient, as values, and the meaning of a message by its site's mapping (product sections 5 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.properties.plain_times import When

DNC, METHOD, SMS, VOICE, DECEASED = "do_not_contact", "preferred_method", "consent.sms", "consent.voice", "deceased"
REFUSAL = {DNC: "yes", METHOD: "none", SMS: "denied", VOICE: "denied", DECEASED: "yes"}
MARKED = (DNC, SMS, VOICE, DECEASED)
"""Attributes that are marked if unreadable (product section 9) and that govern automations (product section 7)."""
DELETE = '""'
CLEAR, NOTHING, UNREADABLE = "clear", "no_statement", "unreadable"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Table:
    """The mapping table of one field: the site's codes, and the meaning of unknown codes and of an empty field."""

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
"""PID-30 and PD1-12, which have a fixed mapping here."""


@dataclass(frozen=True)
class Payload:
    """The content of one ADT message. ``phones``: ``None`` is an empty field, ``()`` a deleted one. ``linked`` is a national number."""

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
    """A merge message of one source."""

    source: str
    survivor: str
    merged: str
    event: str
    sent: str
    control: str


@dataclass(frozen=True)
class Reply:
    """A text to a line. ``ago`` is the seconds before receipt; ``None``: the sender does not know the time."""

    number: int
    line: int
    word: str
    ago: int | None = 0


Event = Payload | Merge | Reply


class Step(NamedTuple):
    """An event, and the wave in which it is received."""

    wave: int
    event: Event


class Assertion(NamedTuple):
    """One statement: source, record, time and value. ``order`` is the order of receipt.

    ``tied``: an earlier received statement has a time that may not be earlier.
    """

    source: str
    record: str
    when: When
    order: int
    value: str
    tied: bool = False


class Bounds(NamedTuple):
    """Whether the store must refuse, and whether it may. In between, the rules leave it open."""

    must: bool
    may: bool

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(self.must or other.must, self.may or other.may)


class Join(NamedTuple):
    """The time of a merge, and its order of receipt."""

    when: When
    order: int


def read(attribute: str, payload: Payload, table: Table) -> str:
    """The meaning of an attribute. A restricted, or possibly restricted, record withdraws nothing (product rule 5.6)."""
    value = table.read(attribute, payload.codes.get(attribute, ""))
    return NOTHING if value == CLEAR and is_protected(payload) else value


def is_protected(payload: Payload) -> bool:
    return payload.restricted not in ("", DELETE, "N", "U")
