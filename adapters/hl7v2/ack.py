"""Acknowledgements in original and enhanced mode. Pure.

Source: HL7 v2.9 chapter 2, "Message acknowledgement using MSA" and "Enhanced acknowledgement"; tables 0008 (codes) and 0155
(when to answer); ERR in the shape of the sender's version (2.5 and later name the error in ERR-3 to ERR-8, table 0357; before
that it is ERR-1). AE means that the content is wrong and sending it again will not help; AR that it cannot be handled now.

Enhanced mode is what MSH-15 or MSH-16 ask for. MSH-15 rules the accept acknowledgement (CA, CE, CR), MSH-16 the application
acknowledgement (AA, AE, AR). What we answer is known when it is committed, so both go out at once, on the same connection; a
message that is not accepted gets no second answer. Some senders fill both fields and then read one answer: ``mode`` says so.

Of a message that was used in part each problem is an ERR segment of severity W (table 0516). Before version 2.5 ERR has no severity, so
that it would look like an error: there the acknowledgement only has a text (MSA-3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

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
PARTIAL = "partial"  # not an outcome: some part of a message that was used could not be
MOST_WARNINGS = 20
MODES = ("auto", "original", "enhanced")
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
    """Whether the message answers one of ours: by its type, or because it has an MSA segment, as responses to queries do."""
    mark = b"MSA" + separator.encode("latin-1", "replace")
    return kind in ("ACK", "MCF") or b"\r" + mark in message or b"\n" + mark in message


@dataclass(frozen=True, slots=True)
class Acknowledger:
    """How the messages of one source are acknowledged.

    ``codes`` (outcome -> AA, AE or AR) goes over :data:`CODES`; ``partial`` among them is for messages that would get AA and of which
    some part could not be used. ``mode`` is ``auto`` (what each message asks for), ``original``
    (one answer, whatever MSH-15 and MSH-16 say) or ``enhanced`` (one accept acknowledgement, whatever they say).
    """

    codes: Mapping[str, str] = field(default_factory=dict)
    mode: str = "auto"

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Acknowledger:
        """From the ``ack`` option of a source. Raises ``ValueError`` for a word that is none."""
        codes = {str(outcome): str(code) for outcome, code in options.items() if outcome != "mode"}
        mode = str(options.get("mode", "auto"))
        if mode not in MODES:
            raise ValueError(f"ack.mode must be one of {', '.join(MODES)}")
        for outcome, code in codes.items():
            if outcome not in (*CODES, PARTIAL) or code not in (ACCEPT, ERROR, REJECT):
                raise ValueError(f"ack takes AA, AE or AR for each of {', '.join((*CODES, PARTIAL))}")
        return cls(codes, mode)

    def replies(self, message: bytes, answer: IngestResult, now: datetime, expected: int | None = None) -> list[bytes]:
        """The acknowledgements of a message, in order; also of one whose MSH can hardly be read. Empty when it gets none.

        MSA-2 echoes the sender's control id; MSH-10 is our own, made from the message and the code, so that a message that comes
        twice is answered with the very acknowledgement that it got first. ``expected`` is MSA-4, the sequence number to go on with.
        """
        found = header(message)
        delimiters, fields = found if found else (_PLAIN, _BARE)
        fields = fields + [""] * (19 - len(fields))
        kind = fields[9].split(delimiters.component)
        if is_acknowledgement(kind[0], message, delimiters.field):
            return []
        asked = _Asked(delimiters, fields, kind, answer, now, expected)
        return [_reply(asked, code, message) for code in self._sent(fields[15].strip(), fields[16].strip(), answer)]

    def _sent(self, accept: str, application: str, answer: IngestResult) -> list[str]:
        outcome = answer.outcome
        code = self.codes.get(outcome) or CODES.get(outcome, REJECT)  # an outcome that is not known is AR: the sender keeps the message
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
        if not answers and code == REJECT:  # nothing of it is kept: whoever asked not to be answered is told all the same
            answers.append(accepted if accept else code)
        return answers


@dataclass(frozen=True, slots=True)
class _Asked:
    """A message as its acknowledgement needs it."""

    delimiters: Delimiters
    fields: list[str]
    kind: list[str]
    answer: IngestResult
    now: datetime
    expected: int | None


def _wanted(condition: str, code: str) -> bool:
    """Table 0155: always, never, on error only, on success only. A word that is not in it asks for an answer."""
    return {"": False, "NE": False, "ER": code != ACCEPT, "SU": code == ACCEPT}.get(condition, True)


def _reply(asked: _Asked, code: str, message: bytes) -> bytes:
    control_id = blake2b(message, digest_size=8, person=code.encode()).hexdigest()
    # The header was read byte by byte, so what it echoes goes back as the same bytes.
    return ("\r".join(_segments(asked, code, control_id)) + "\r").encode("latin-1", "replace")


def _segments(asked: _Asked, code: str, control_id: str) -> list[str]:
    delimiters, fields, kind = asked.delimiters, asked.fields, asked.kind
    bar = delimiters.field
    answered = ["ACK", *kind[1:2], *(["ACK"] if len(kind) > 2 else [])]
    reply = ["MSH", fields[2], fields[5], fields[6], fields[3], fields[4], f"{asked.now.astimezone(UTC):%Y%m%d%H%M%S}+0000", ""]
    reply += [delimiters.component.join(answered), control_id, fields[11] or "P", fields[12] or "2.5"]
    if fields[18]:
        reply += ["", "", "", "", "", fields[18]]
    problems = asked.answer.problems if CODES.get(asked.answer.outcome) == ACCEPT else ()
    old = fields[12].split(delimiters.component)[0] < "2.5"  # as text: '2.3.1' < '2.5' <= '2.5.1'
    text = _escaped(PARTLY, delimiters) if problems and old else ""
    expected = [] if asked.expected is None else [str(asked.expected)]
    msa = ["MSA", code, fields[10], *([text, *expected] if text or expected else [])]
    lines = [bar.join(reply), bar.join(msa)]
    if problems and not old:
        lines += [_warning(problem, delimiters) for problem in problems[:MOST_WARNINGS]]
    elif code[1] != "A":
        lines.append(_error(delimiters, asked.answer, old=old))
    return lines


def _warning(problem: Problem, delimiters: Delimiters) -> str:
    number, text = TABLE_0357.get(problem.reason, APPLICATION_ERROR)
    coded = delimiters.component.join([number, text, "HL70357"])
    where = delimiters.component.join(_location(problem.path))
    reason, detail = _escaped(problem.reason, delimiters), _escaped(problem.detail, delimiters)
    return delimiters.field.join(["ERR", "", where, coded, "W", reason, "", "", detail])


def _location(path: str) -> list[str]:
    """ERL, the place of an error: segment, its repetition, field, its repetition, component."""
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
