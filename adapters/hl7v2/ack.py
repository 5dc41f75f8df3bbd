"""Acknowledgements in the original mode: AA, AE, AR. Pure.

Source: HL7 v2.9 chapter 2, "Message acknowledgement using MSA"; ERR in the shape of the sender's version (2.5 and later name
the error in ERR-3 to ERR-8, table 0357; before that it is ERR-1). AE means that the content is wrong and sending it again
will not help; AR that it cannot be handled now.
"""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.base import Answer
from adapters.hl7v2.reader import NOWHERE, Delimiters, header

ACCEPT, ERROR, REJECT = "AA", "AE", "AR"
CODES = {
    **dict.fromkeys(("applied", "unchanged", "stale", "merged", "filtered", "held"), ACCEPT),
    "rejected": ERROR,
}
# Our reasons in the words of table 0357; every other one is an application error.
TABLE_0357 = {
    "patient_segment_missing": ("100", "Segment sequence error"),
    "merge_incomplete": ("100", "Segment sequence error"),
    "patient_id_missing": ("101", "Required field missing"),
    "identifier_without_authority": ("101", "Required field missing"),
    "message_type_missing": ("101", "Required field missing"),
    "event_missing": ("101", "Required field missing"),
    "value_absent": ("101", "Required field missing"),
    "code_unmapped": ("103", "Table value not found"),
}
APPLICATION_ERROR = ("207", "Application internal error")
_PLAIN = Delimiters("|", "^", "~", "\\", "&", NOWHERE)
_BARE = ["MSH", "|", "^~\\&"]


def code(answer: Answer) -> str:
    """The acknowledgement code of an outcome. One that is not known is AR: the sender keeps the message."""
    return CODES.get(answer.outcome, REJECT)


def acknowledge(message: bytes, answer: Answer, control_id: str, now: datetime) -> bytes | None:
    """The acknowledgement of a message, also of one whose MSH can hardly be read.

    ``control_id`` is that of the acknowledgement itself; MSA-2 echoes the sender's. ``None`` when the message is itself an
    acknowledgement, which is never acknowledged.
    """
    found = header(message)
    delimiters, fields = found if found else (_PLAIN, _BARE)
    fields = fields + [""] * (19 - len(fields))
    kind = fields[9].split(delimiters.component)
    if kind[0] in ("ACK", "MCF"):
        return None
    text = "\r".join(_segments(fields, kind, delimiters, answer, control_id, now)) + "\r"
    # The header was read byte by byte, so what it echoes goes back as the same bytes.
    return text.encode("latin-1", "replace")


def _segments(fields: list[str], kind: list[str], delimiters: Delimiters, answer: Answer, control_id: str, now: datetime) -> list[str]:
    bar, outcome = delimiters.field, code(answer)
    answered = ["ACK", *kind[1:2], *(["ACK"] if len(kind) > 2 else [])]
    reply = ["MSH", fields[2], fields[5], fields[6], fields[3], fields[4], f"{now.astimezone(UTC):%Y%m%d%H%M%S}+0000", ""]
    reply += [delimiters.component.join(answered), control_id, fields[11] or "P", fields[12] or "2.5"]
    if fields[18]:
        reply += ["", "", "", "", "", fields[18]]
    lines = [bar.join(reply), bar.join(["MSA", outcome, fields[10]])]
    if outcome != ACCEPT:
        lines.append(_error(fields[12], delimiters, answer))
    return lines


def _error(version: str, delimiters: Delimiters, answer: Answer) -> str:
    number, text = TABLE_0357.get(answer.reason, APPLICATION_ERROR)
    reason = _escaped(answer.reason or "not_handled", delimiters)
    if version.split(delimiters.component)[0] < "2.5":  # as text: '2.3.1' < '2.5' <= '2.5.1'
        parts = [number, text, "HL70357", reason]
        return delimiters.field.join(["ERR", delimiters.component * 3 + delimiters.subcomponent.replace(NOWHERE, " ").join(parts)])
    coded = delimiters.component.join([number, text, "HL70357"])
    return delimiters.field.join(["ERR", "", "", coded, "E", reason, "", "", _escaped(answer.detail, delimiters)])


def _escaped(text: str, delimiters: Delimiters) -> str:
    """Text with the delimiters of the message taken out of it."""
    if delimiters.escape == NOWHERE:
        return "".join(" " if char in delimiters else char for char in text)
    names = {
        delimiters.escape: "E",
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
    }
    escape = delimiters.escape
    return "".join(f"{escape}{names[char]}{escape}" if char in names else " " if char < " " else char for char in text)
