"""Acknowledgements in original and enhanced mode. Pure.

Source: HL7 v2.9 chapter 2, "Message acknowledgement using MSA" and "Enhanced acknowledgement"; tables 0008 (codes) and 0155 (when to
answer). ERR has the form of the sender's version: from 2.5 on the error is in ERR-3 to ERR-8 (table 0357), before 2.5 in ERR-1. AE
means that the content is wrong and that sending it again will not help. AR means that the message cannot be handled now.

MSH-15 or MSH-16 request enhanced mode. MSH-15 controls the accept acknowledgement (CA, CE, CR), MSH-16 the application acknowledgement
(AA, AE, AR). The result is known at the commit, so both are sent together on the same connection. A message that is not accepted
gets no application acknowledgement. Some senders fill both fields but read only one answer; ``mode`` is for them.

If a message was used in part, each problem becomes an ERR segment of severity W (table 0516). Before version 2.5 ERR has no severity, so
a warning would look like an error. For those versions the acknowledgement only has a text (MSA-3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from adapters.base import IngestResult
from adapters.hl7v2.delimiters import NOWHERE, Delimiters
from adapters.hl7v2.reader import header
from store.preference import Problem, RecordOutcome

ACCEPT, ERROR, REJECT = "AA", "AE", "AR"
CODES: dict[str, str] = {
    **dict.fromkeys((one for one in RecordOutcome if one != RecordOutcome.REJECTED), ACCEPT),
    RecordOutcome.REJECTED: ERROR,
    "unavailable": REJECT,
}
PARTIAL = "partial"  # not an outcome: the message was used, but a part of it could not be
MOST_WARNINGS = 20
MODES = ("auto", "original", "enhanced")
# Reason codes -> errors of table 0357. Every other reason is an application error.
TABLE_0357 = {
    "patient_segment_missing": ("100", "Segment sequence error"),
    "merge_incomplete": ("100", "Segment sequence error"),
    "patient_id_missing": ("101", "Required field missing"),
    "identifier_without_authority": ("101", "Required field missing"),
    "message_type_missing": ("101", "Required field missing"),
    "event_missing": ("101", "Required field missing"),
    "value_absent": ("101", "Required field missing"),
    "code_unmapped": ("103", "Table value not found"),
    "flag_unusable": ("103", "Table value not found"),
    "language_unusable": ("103", "Table value not found"),
    "phone_unusable": ("102", "Data type error"),
    "email_unusable": ("102", "Data type error"),
    "undecodable": ("102", "Data type error"),
    "line_not_a_segment": ("100", "Segment sequence error"),
}
APPLICATION_ERROR = ("207", "Application internal error")
PARTLY = "applied in part"
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?)?")
_PLAIN = Delimiters("|", "^", "~", "\\", "&", NOWHERE)
_BARE = ["MSH", "|", "^~\\&"]


def is_acknowledgement(kind: str, message: bytes, separator: str) -> bool:
    """Whether the message is a response: by its type, or because it has an MSA segment, like responses to queries."""
    mark = b"MSA" + separator.encode("latin-1", "replace")
    return kind in ("ACK", "MCF") or (mark in message and (b"\r" + mark in message or b"\n" + mark in message))


@dataclass(frozen=True, slots=True)
class Acknowledger:
    """Acknowledges the messages of one source.

    ``codes`` (outcome -> AA, AE or AR) overrides :data:`CODES`. Its entry ``partial`` applies to messages that would get AA but could only
    be used in part. ``mode`` is ``auto`` (as each message requests), ``original`` (one application acknowledgement) or ``enhanced`` (one
    accept acknowledgement). The last two ignore MSH-15 and MSH-16.
    """

    codes: Mapping[str, str] = field(default_factory=dict)
    mode: str = "auto"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Acknowledger:
        """From the ``ack`` option of a source. Raises ``ValueError`` for an invalid value."""
        codes = {str(outcome): str(code) for outcome, code in options.items() if outcome != "mode"}
        mode = str(options.get("mode", "auto"))
        if mode not in MODES:
            raise ValueError(f"ack.mode must be one of {', '.join(MODES)}")
        for outcome, code in codes.items():
            if outcome not in (*CODES, PARTIAL) or code not in (ACCEPT, ERROR, REJECT):
                raise ValueError(f"ack takes AA, AE or AR for each of {', '.join((*CODES, PARTIAL))}")
        return cls(codes, mode)

    def replies(self, message: bytes, answer: IngestResult, now: datetime, expected: int | None = None) -> list[bytes]:
        """The acknowledgements of a message, in order; empty if it gets none. Also works for a message whose MSH is barely readable.

        MSA-2 echoes the sender's control ID. MSH-10 is derived from the message and the code, so a duplicate message gets the same
        acknowledgement as the first one. ``expected`` is MSA-4, the next expected sequence number.
        """
        found = header(message)
        delimiters, fields = found if found else (_PLAIN, _BARE)
        fields = fields + [""] * (19 - len(fields))
        kind = fields[9].split(delimiters.component)
        if is_acknowledgement(kind[0], message, delimiters.field):
            return []
        request = _AckRequest(delimiters, fields, kind, answer, now, expected)
        return [_reply(request, code, message) for code in self._codes_to_send(fields[15].strip(), fields[16].strip(), answer)]

    def _codes_to_send(self, accept: str, application: str, answer: IngestResult) -> list[str]:
        outcome = answer.outcome
        code = self.codes.get(outcome) or CODES.get(outcome, REJECT)  # an unknown outcome gives AR: the sender keeps the message
        if code == ACCEPT and answer.problems:
            code = self.codes.get(PARTIAL, ACCEPT)
        accepted = "C" + code[1]
        if self.mode == "original" or (self.mode == "auto" and not (accept or application)):
            return [code]
        if self.mode == "enhanced":
            return [accepted]
        answers = [accepted] if _wanted(accept, code) else []
        if _wanted(application, code) and (code == ACCEPT or not answers):
            answers.append(code)
        if not answers and code == REJECT:  # nothing was stored, so even a sender that wants no answer gets one
            answers.append(accepted if accept else code)
        return answers


class _AckRequest(NamedTuple):
    """The parts of a message that its acknowledgement needs."""

    delimiters: Delimiters
    fields: list[str]
    kind: list[str]
    answer: IngestResult
    now: datetime
    expected: int | None


def _wanted(condition: str, code: str) -> bool:
    """Whether an acknowledgement is wanted (table 0155: always, never, on error, on success). Unknown conditions count as always."""
    return {"": False, "NE": False, "ER": code != ACCEPT, "SU": code == ACCEPT}.get(condition, True)


def _reply(request: _AckRequest, code: str, message: bytes) -> bytes:
    control_id = blake2b(message, digest_size=8, person=code.encode()).hexdigest()
    # The header was decoded as Latin-1, so the echoed fields are the same bytes.
    return ("\r".join(_segments(request, code, control_id)) + "\r").encode("latin-1", "replace")


def _segments(request: _AckRequest, code: str, control_id: str) -> list[str]:
    delimiters, fields, kind = request.delimiters, request.fields, request.kind
    bar = delimiters.field
    answered = delimiters.component.join(["ACK", *kind[1:2], *(["ACK"] if len(kind) > 2 else [])])
    reply = ["MSH", fields[2], fields[5], fields[6], fields[3], fields[4], _written(request.now), ""]
    reply += [answered, control_id, fields[11] or "P", fields[12] or "2.5"]
    if fields[18]:
        reply += ["", "", "", "", "", fields[18]]
    problems = request.answer.problems if CODES.get(request.answer.outcome) == ACCEPT else ()
    old = fields[12].split(delimiters.component, 1)[0] < "2.5"  # as text: '2.3.1' < '2.5' <= '2.5.1'
    text = _escaped(PARTLY, delimiters) if problems and old else ""
    expected = [] if request.expected is None else [str(request.expected)]
    msa = ["MSA", code, fields[10], *([text, *expected] if text or expected else [])]
    lines = [bar.join(reply), bar.join(msa)]
    if problems and not old:
        lines += [_warning(problem, delimiters) for problem in problems[:MOST_WARNINGS]]
    elif code[1] != "A":
        lines.append(_error(delimiters, request.answer, old=old))
    return lines


@lru_cache(maxsize=1)
def _written(now: datetime) -> str:
    """The time of an answer. Those of a group have the same."""
    return f"{now.astimezone(UTC):%Y%m%d%H%M%S}+0000"


def _warning(problem: Problem, delimiters: Delimiters) -> str:
    number, text = TABLE_0357.get(problem.reason, APPLICATION_ERROR)
    coded = delimiters.component.join([number, text, "HL70357"])
    where = delimiters.component.join(_location(problem.path))
    reason, detail = _escaped(problem.reason, delimiters), _escaped(problem.detail, delimiters)
    return delimiters.field.join(["ERR", "", where, coded, "W", reason, "", "", detail])


def _location(path: str) -> list[str]:
    """The location of an error as ERL: segment, its repetition, field, its repetition, component."""
    match = _PLACE.match(path)
    parts = list(match.groups(default="")) if match else []
    if parts:
        parts[1] = parts[1] or "1"
        parts[3] = parts[3] or ("1" if parts[4] else "")
    return parts[: max((at for at, part in enumerate(parts, 1) if part), default=0)]


def _error(delimiters: Delimiters, answer: IngestResult, *, old: bool) -> str:
    number, text = TABLE_0357.get(answer.reason, APPLICATION_ERROR)
    if answer.problems and answer.outcome != RecordOutcome.REJECTED:
        answer = IngestResult(PARTIAL, answer.problems[0].reason, answer.problems[0].detail)
    reason = _escaped(answer.reason or "not_handled", delimiters)
    if old:
        parts = [number, text, "HL70357", reason]
        return delimiters.field.join(["ERR", delimiters.component * 3 + delimiters.subcomponent.replace(NOWHERE, " ").join(parts)])
    coded = delimiters.component.join([number, text, "HL70357"])
    return delimiters.field.join(["ERR", "", "", coded, "E", reason, "", "", _escaped(answer.detail, delimiters)])


def _escaped(text: str, delimiters: Delimiters) -> str:
    """The text with the delimiters of the message escaped, or replaced by spaces if the message has no escape character."""
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
