"""Reads message type, event and processing ID (MSH-9, EVN-1, MSH-11) in the spellings that senders use. Pure.

Source: HL7 v2.9 chapters 2 (MSH) and 3 (trigger events), tables 0076 (message type), 0003 (event) and 0103 (processing id).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import NamedTuple

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import NO_TEXT, Message
from adapters.mapping.rules import UNDECODABLE
from adapters.mapping.tables import table

UPDATES = frozenset({"A01", "A02", "A03", "A04", "A05", "A08", "A14", "A28", "A31"})  # these must have a PID
MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40"})
RENAMED = "A47"  # a change of identifier: the record stays the same
MOVED = "A43"  # the record moves to another superior record; the patient stays the same
DELETED = frozenset({"A23", "A29"})  # the EMR deletes the record; this does not clear the person's refusals
ADDED = "A28"
SWAPPED = "A17"  # two patients swap beds: each PID segment is one patient
ACCOUNT_MERGE = "A35"  # account numbers only: both sides are one patient
QUIET = {
    "A35": "account_merge",
    "A41": "account_merge",
    "A42": "visit_merge",
    "A44": "account_move",
    "A45": "visit_move",  # a visit moves to another patient; both patients stay the same
    "A24": "records_linked",  # reversible: each record keeps its own statements
    "A37": "records_unlinked",
}
"""Events that do not concern patients: filtered with this reason, unless the message states contact preferences."""
ACKNOWLEDGEMENTS = ("ACK", "MCF")
PRODUCTION = "P"
NOT_PRODUCTION = {
    "P": "processing_production",  # for a source that accepts only training messages
    "T": "processing_training",
    "D": "processing_debugging",
    "N": "processing_testing",
    "V": "processing_validation",
}

_TYPE = re.compile(r"[A-Z]{3}")
_CODE = r"[A-Z]?\d{1,2}"
_JOINED = re.compile(rf"([A-Z]{{3}})[\W_]*({_CODE})(?:[\W_].*)?")  # ADT_A08, ADT&A08, ADT~A08, ADTA08
_EVENT = re.compile(rf"(?:[A-Z]{{3}})?[\W_]*({_CODE})(?:[\W_].*)?")  # A08, 08, ADT_A08, A08 - update
_KNOWN = re.compile(r"A(?:0[1-9]|[1-5]\d|6[0-2])|[B-Z]\d\d")


def kind(message: Message) -> tuple[str, str]:
    """Message type and event from MSH-9, or the event from EVN-1 in old messages.

    Raises :class:`UnusableMessage` if either is missing: nothing is guessed. The event may be non-standard, see :func:`is_known`.
    """
    field = message.header[9]
    kind, event, is_structure, is_settled = _spelled(field, message.delimiters.component)
    if is_settled:
        return kind, event
    if not _TYPE.fullmatch(kind):
        kind, event, is_structure, _ = _spelled(_legible(message, field, "MSH-9"), message.delimiters.component)
    if not _TYPE.fullmatch(kind):
        raise UnusableMessage("message_type_missing", "MSH-9 does not contain the message type", "MSH-9")
    if kind == "ADT" and (not event or is_structure or not is_known(event)):
        recorded = _event(message.field("EVN", 1).partition(message.delimiters.component)[0])
        event = recorded if is_known(recorded) else event or recorded
        if not event:
            raise UnusableMessage("event_missing", "neither MSH-9.2 nor EVN-1 contains the event", "MSH-9.2")
    return kind, event


def is_known(event: str) -> bool:
    """Whether the event is in the standard, or has the form of a local one."""
    return _KNOWN.fullmatch(event) is not None


def is_type(kind: str) -> bool:
    """Whether the message type is in the standard, or is local to a site (begins with Z)."""
    return kind.startswith("Z") or kind in _types()


def processing(message: Message) -> str:
    """The processing ID (table 0103); P (production) if MSH-11 is empty. Raises :class:`UnusableMessage` for unknown or several IDs.

    MSH-11.2 (processing mode: archive, restore, interval) is ignored.
    """
    field = message.header[11]
    if field in (PRODUCTION, ""):
        return PRODUCTION
    component, repetition = message.delimiters.component, message.delimiters.repetition
    codes = {_cleaned(one.partition(component)[0]) for one in _legible(message, field, "MSH-11").split(repetition)} - {""}
    found = {_processing().get(code, "") for code in codes} or {PRODUCTION}
    if len(found) > 1 or "" in found:
        detail = "MSH-11 is not a processing ID of table 0103, so this may not be a production message: correct it at the sender"
        raise UnusableMessage("processing_unknown", detail, "MSH-11")
    return found.pop()


def _legible(message: Message, field: str, path: str) -> str:
    try:
        return message.unescape(field)
    except UnusableMessage:
        raise UnusableMessage(UNDECODABLE, NO_TEXT, path) from None


class _Spelled(NamedTuple):
    """Type and event of MSH-9. ``is_structure``: the event may only be that of a structure name. ``is_settled``: EVN-1 is not needed."""

    kind: str
    event: str
    is_structure: bool
    is_settled: bool


@lru_cache(maxsize=1024)
def _spelled(field: str, component: str) -> _Spelled:
    """Type and event from ``ADT^A08``, ``adt^a8``, ``ADT_A08`` and similar."""
    parts = [_cleaned(part) for part in field.split(component)]
    joined = _JOINED.fullmatch(parts[0])
    kind, second = joined[1] if joined else parts[0], parts[1] if len(parts) > 1 else ""
    event, is_structure = _event(second) or (_event(joined[2]) if joined else ""), joined is not None and not second
    is_settled = _TYPE.fullmatch(kind) is not None and (kind != "ADT" or (not is_structure and is_known(event)))
    return _Spelled(kind, event, is_structure, is_settled)


@lru_cache(maxsize=1024)
def _event(text: str) -> str:
    text = "".join(_cleaned(text).split())
    match = _EVENT.fullmatch(text)
    code = match[1] if match else text
    code = f"A{code}" if code.isdigit() else code
    return f"{code[0]}{code[1:]:0>2}" if match else code


def _cleaned(text: str) -> str:
    """The text in capitals, without quotes (``""`` is also HL7's delete) and without invisible characters around it."""
    return "".join([letter if letter.isprintable() else " " for letter in text]).replace('"', "").strip().upper()


@cache
def _processing() -> dict[str, str]:
    return {spelled: code for code, listed in table("messages")["processing"].items() for spelled in listed}


@cache
def _types() -> frozenset[str]:
    return frozenset(table("messages")["types"].split())
