"""What kind of message it is, what happened, and whether it is meant: MSH-9, MSH-11 and EVN-1 in the spellings that come. Pure.

Source: HL7 v2.9 chapters 2 (MSH) and 3 (trigger events), tables 0076 (message type), 0003 (event) and 0103 (processing id).
"""

from __future__ import annotations

import re
from functools import lru_cache

from adapters.hl7v2.reader import DELETE, NO_TEXT, Message
from adapters.hl7v2.unusable import Unusable
from adapters.site_mapping import UNDECODABLE

UPDATES = frozenset({"A01", "A02", "A03", "A04", "A05", "A08", "A14", "A28", "A31"})  # these must have a PID
MERGES = frozenset({"A18", "A30", "A34", "A36", "A39", "A40"})
RENAMED = "A47"  # a change of identifier: one record before and after
MOVED = "A43"  # the record hangs on another one of a higher level; the patient stays who it is
DELETED = frozenset({"A23", "A29"})  # the EMR forgets the record; what was said against contacting the person is not taken back by that
ADDED = "A28"
SWAPPED = "A17"  # two patients exchange their beds: each PID is a patient
ACCOUNT_MERGE = "A35"  # account numbers only: both sides are one patient
QUIET = {
    "A35": "account_merge",
    "A41": "account_merge",
    "A42": "visit_merge",
    "A44": "account_move",
    "A45": "visit_move",  # a visit goes to another patient; both patients stay who they are
    "A24": "records_linked",  # reversible: both records keep what was said of each
    "A37": "records_unlinked",
}
"""Events about something else: filtered with this reason, unless the message says something about contacting its patients."""
ACKNOWLEDGEMENTS = ("ACK", "MCF")
PROCESSING = ("P", "T", "D")
NOT_PRODUCTION = {"T": "processing_training", "D": "processing_debugging"}

_TYPE = re.compile(r"[A-Z]{3}")
_EVENT = re.compile(r"([A-Z])(\d{1,2})")


def kind(message: Message) -> tuple[str, str]:
    """Message type and event, MSH-9 and in old messages EVN-1."""
    field = message.field("MSH", 9)
    kind, event, is_structure = _spelled(field, message.delimiters.component)
    if not _TYPE.fullmatch(kind):
        if _is_lost(message, field):
            raise Unusable(UNDECODABLE, NO_TEXT, "MSH-9")
        raise Unusable("message_type_missing", "MSH-9 does not say what kind of message this is", "MSH-9")
    if kind == "ADT" and (not event or is_structure):
        event = _event(message.field("EVN", 1).partition(message.delimiters.component)[0]) or event
        if not event:
            raise Unusable("event_missing", "neither MSH-9.2 nor EVN-1 says what happened", "MSH-9.2")
    return kind, event


def _is_lost(message: Message, text: str) -> bool:
    try:
        message.unescape(text)
    except Unusable:
        return True
    return False


def processing(message: Message) -> str:
    """P (production, also when MSH-11 is empty or holds another code), T (training) or D (debugging)."""
    code = message.field("MSH", 11)
    if code in ("P", ""):
        return "P"
    code = code.partition(message.delimiters.component)[0].strip().upper()
    return code if code in NOT_PRODUCTION else "P"


@lru_cache(maxsize=1024)
def _spelled(field: str, component: str) -> tuple[str, str, bool]:
    """Type and event of ``ADT^A08``, ``adt^a8``, ``ADT_A08`` and the like; whether the event may be the name of a structure only."""
    parts = [part.strip().upper() for part in field.split(component)]
    joined = re.fullmatch(r"([A-Z]{3})[_ -]([A-Z]?\d{1,2})", parts[0])
    event = parts[1] if len(parts) > 1 and parts[1] != DELETE else ""
    if joined:
        return joined[1], _event(event) or _event(joined[2]), not event
    return parts[0], _event(event.removeprefix(f"{parts[0]}_")), False


@lru_cache(maxsize=1024)
def _event(text: str) -> str:
    text = text.strip().upper()
    if text == DELETE:
        return ""
    match = _EVENT.fullmatch(f"A{text}" if text.isascii() and text.isdigit() else text)
    return f"{match[1]}{match[2]:0>2}" if match else text
