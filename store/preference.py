"""The vocabulary: what payloads state, what authorities assert, what is in force.

Values only, frozen, standard library only. This and ``store.times`` are what adapters may import of ``store``.

An *attribute* is a plain string. ``store.domain.attributes`` lists the fixed ones and the open families, whose names are built by
:func:`consent`, :func:`topic` and :func:`slot`. :data:`REFUSALS` are the values that refuse.

*Unknown* is never a member of these values: a statement whose value is ``None`` is a **clear** (the authority
took its statement back), and an attribute that a payload does not mention is **no statement**.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from store.times import Time


class Channel(StrEnum):
    """A way to send a message."""

    SMS = "sms"
    VOICE = "voice"
    EMAIL = "email"


class Method(StrEnum):
    """How a patient prefers to be contacted. ``NONE`` is an explicit "in no way"."""

    SMS = "sms"
    VOICE = "voice"
    EMAIL = "email"
    MAIL = "mail"
    PORTAL = "portal"
    NONE = "none"


class MessageType(StrEnum):
    """Why a message is sent; decides which settings govern it (product section 7)."""

    AUTOMATION = "automation"
    BROADCAST = "broadcast"
    CAMPAIGN = "campaign"
    MANUAL = "manual"


class PhoneKind(StrEnum):
    """What a number is for. ``OTHER`` when its source did not say."""

    CELL = "cell"
    HOME = "home"
    WORK = "work"
    OTHER = "other"


class RecordOutcome(StrEnum):
    """What became of a received record."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    STALE = "stale"
    """Older than what is known."""
    FILTERED = "filtered"
    """Nothing to read in it, by configuration or by its kind."""
    REJECTED = "rejected"
    HELD = "held"
    """By the safeguard, for a person."""
    MERGED = "merged"


FAX = "fax"
"""The kind of a patient's number that nobody is contacted on (a fax, a pager). A STOP from it binds the patient all the same."""

YES = "yes"
NO = "no"
GRANTED = "granted"
DENIED = "denied"
UNKNOWN = "unknown"

DO_NOT_CONTACT = "do_not_contact"
PREFERRED_METHOD = "preferred_method"
PREFERRED_PHONE = "preferred_phone"
PHONES = "phones"
EMAIL = "email"
LANGUAGE = "language"
DECEASED = "deceased"
RESTRICTED = "restricted"
ACTIVE = "active"
DISPLAY_NAME = "display_name"
BIRTH_DATE = "birth_date"
"""As precisely as it was written: ``1980-02-03``, ``1980-02`` or ``1980``."""
CONSENT = "consent."
TOPIC = "topic."

LISTS = (PHONES, EMAIL)
"""Attributes whose value is a list. A payload states the whole list, or the whole slot (:func:`slot`)."""

REFUSALS: dict[str, Any] = {
    DO_NOT_CONTACT: YES,
    PREFERRED_METHOD: Method.NONE.value,
    CONSENT: DENIED,
    TOPIC: DENIED,
    DECEASED: True,
    RESTRICTED: True,
}
"""The value of an attribute, or of a family, that refuses contact. That of ``restricted`` protects the record and does not stop contact."""

FACTS = (DECEASED, RESTRICTED)
"""Refusals that are facts, not the patient's choice."""

OID = "urn:oid:"
STAFF = "staff"
PATIENT = "patient"
EMR = "emr:"


def consent(channel: str, number: str | None = None) -> str:
    """The attribute that holds consent for a channel, or for one phone number (E.164) on that channel."""
    return f"{CONSENT}{channel}#{number}" if number else f"{CONSENT}{channel}"


def topic(name: str, channel: str) -> str:
    """The attribute that holds permission for one topic on one channel."""
    return f"{TOPIC}{name}.{channel}"


def slot(attribute: str, name: str) -> str:
    """A part of a list that its source states separately.

    HL7 v2 states phones field by field: an unvalued PID-13 beside a valued PID-14 keeps the old PID-13. So each
    field fills a slot of its own (``phones#PID-13``), and the list in force joins the slots.
    """
    return f"{attribute}#{name}"


def base(attribute: str) -> str:
    """The attribute without its slot or number: ``phones#PID-13`` -> ``phones``."""
    return attribute.partition("#")[0]


def family(attribute: str) -> str:
    """The entry of a table that an attribute belongs to: ``consent.sms#+12175550100`` -> ``consent.``, ``phones#PID-13`` -> ``phones``."""
    if attribute.startswith((CONSENT, TOPIC)):
        return CONSENT if attribute.startswith(CONSENT) else TOPIC
    return base(attribute)


@lru_cache(maxsize=1_024)
def refusal(attribute: str) -> Any:
    """The value of the attribute that refuses, or ``None``."""
    return REFUSALS.get(family(attribute))


def refuses(attribute: str, value: Any) -> bool:
    """Whether the value refuses. A clear does not."""
    return value is not None and bool(value == refusal(attribute))


def stops_contact(attribute: str, value: Any) -> bool:
    """Whether the value stops contact: every refusal does, except that of a restricted record."""
    return attribute != RESTRICTED and refuses(attribute, value)


def opt_out(attribute: str) -> Any:
    """The value by which the patient refuses, or ``None``: a death is not a choice."""
    return None if attribute in FACTS else refusal(attribute)


def is_opt_out(attribute: str, value: Any) -> bool:
    """Whether the patient refuses by this value."""
    return value is not None and bool(value == opt_out(attribute))


def emr(source: str) -> str:
    """The asserting authority of a source."""
    return EMR + source


class Identifier(NamedTuple):
    """Who a patient is to one issuer. ``type`` may be empty when its source did not say."""

    authority: str
    type: str
    value: str


def issuers(names: Mapping[str, str]) -> dict[str, str]:
    """Other names of issuers -> their canonical name, folded to be asked by :func:`issuer`."""
    return {alias.casefold(): canonical for alias, canonical in names.items()}


def issuer(names: Mapping[str, str], name: str) -> str:
    """The canonical name of an issuer of identifiers; case does not matter, an OID may have its ``urn:oid:`` or not."""
    folded = name.casefold()
    bare = folded.removeprefix(OID)
    found = names.get(folded) or names.get(bare) or names.get(OID + bare)
    return found or next((canonical for canonical in names.values() if canonical.casefold() == folded), name)


class Phone(NamedTuple):
    """A number as its source gave it.

    ``number`` is E.164; ``rank`` 1 is the most preferred, ``None`` is no preference stated; ``textable`` is true only
    when the number is known to be mobile; ``start`` and ``end`` are ISO dates (inclusive) or ``None``.
    """

    number: str
    kind: str = PhoneKind.OTHER
    raw: str = ""
    rank: int | None = None
    textable: bool = False
    start: str | None = None
    end: str | None = None


class Statement(NamedTuple):
    """What one payload says about one attribute: a value, or ``None`` for *clear*. ``path`` is where it was read."""

    value: Any
    path: str


class Codes(NamedTuple):
    """The source's own codes that a rule of the mapping read for one attribute, each with where it stood, as the rule names its place.

    None stand for a value that is absent where the rule makes something of that. ``silent``: the mapping makes nothing of them.
    """

    place: str
    found: tuple[tuple[str | None, str], ...]
    silent: bool = False


class Later(NamedTuple):
    """What an attribute will be from a moment on, by the period of a record: a refusal that begins, a permission that ends.

    ``due`` is aware UTC. A value of ``None`` takes back what the same record stated before, and nothing that another one did.
    """

    attribute: str
    due: datetime
    value: Any
    path: str


class Problem(NamedTuple):
    """A part of a payload that could not be used, while the rest could. ``detail`` never holds the value itself.

    ``attribute`` is the attribute that could not be read, where it is known which.
    """

    reason: str
    path: str
    detail: str = ""
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class PatientStatements:
    """What one payload says about one patient.

    ``identifiers[0]`` is the one the source is configured to know the patient by. ``effective``: when the EMR stated it, as precisely
    as that was written. ``version`` orders copies of one record (higher is newer). ``evidence_id`` is the message control id, or the
    resource id and version. ``locator`` finds the payload again (file and number, connection and
    control id) and holds nothing about the patient. ``codes``: what rules with a table read, by attribute. ``mapping`` tells the mapping
    that read it from others. ``later``: what changes by itself, when a period in the payload begins or ends. ``received``: when it came
    first, where it is a payload that could not be used then and is read again on request. ``content`` tells the payload itself from
    others, however it is read; empty where nothing does. ``repeat_key``: two payloads with the same one are read the same; empty
    where that is not known. If ``is_read`` is false it states nothing here: it can only repeat what is known of its patient, by that key.
    ``may_be_echo``: its denials may be those that were written to the EMR; false for a record of the EMR's own.
    """

    identifiers: tuple[Identifier, ...]
    statements: Mapping[str, Statement]
    effective: Time
    evidence_id: str
    version: int = 0
    restricted: bool = False
    problems: tuple[Problem, ...] = ()
    locator: str = ""
    codes: Mapping[str, Codes] = field(default_factory=dict)
    mapping: str = ""
    later: tuple[Later, ...] = ()
    received: datetime | None = None
    content: str = ""
    repeat_key: str = ""
    is_read: bool = True
    may_be_echo: bool = True


@dataclass(frozen=True, slots=True)
class PatientMerge:
    """Two records of one person: everything known under ``merged`` now belongs to ``survivor``.

    ``renamed``: it is one record, whose identifier changed from ``merged`` to ``survivor``; two records are never joined by that.
    """

    survivor: tuple[Identifier, ...]
    merged: tuple[Identifier, ...]
    effective: Time
    evidence_id: str
    locator: str = ""
    renamed: bool = False


class Assertion(NamedTuple):
    """The current statement of one authority about one attribute of one patient.

    ``undecided``: another statement may have been newer, and this one counts because it refuses, or because it was received later.
    ``mapping`` is the one that read it. ``content`` is that of its payload (:class:`PatientStatements`).
    """

    value: Any
    effective: Time
    recorded: datetime
    evidence_id: str
    path: str
    version: int = 0
    undecided: bool = False
    mapping: str = ""
    content: str = ""


class Preference(NamedTuple):
    """The value in force for one attribute, and where it comes from."""

    value: Any
    authority: str
    assertion: Assertion
