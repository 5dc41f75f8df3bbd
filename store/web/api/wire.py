"""The JSON of requests and responses: structs for strict decoding, and the parsing of query parameters."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from store.domain.decision_request import Appointment, Decision, DecisionRequest
from store.domain.message_class import UNKNOWN, Category, MessageClass
from store.domain.patient import PatientRef
from store.domain.policies import SETTINGS
from store.web.http.border import check_nul, check_time, is_utf8
from store.web.http.problem import ProblemDetails

T = TypeVar("T")
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Reason = Annotated[str, Meta(max_length=500)]
Line = Annotated[str, Meta(min_length=1, max_length=40)]
Number = Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}\Z")]
Moment = Annotated[datetime, Meta(tz=True)]
MessageKind = Literal["automation", "broadcast", "campaign", "manual"]
ChannelName = Literal["sms", "voice", "email"]
MethodName = Literal["sms", "voice", "email", "mail", "portal", "none"]
LINE = re.compile(r"\s*(?:tel:)?[+(]?(?:[0-9][\s().\-\u2010-\u2013]*){3,}", re.ASCII)
QUOTED = re.compile(r"'[^']*'")


def check_line(line: str) -> None:
    """Raises ``ValueError`` for text that cannot be a phone number or short code. Numbering plans are checked later."""
    if LINE.fullmatch(line) is None:
        raise ValueError("line must be a phone number in E.164 or a short code")


class PatientIn(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A patient: the store's own ``id``, or an identifier's ``value`` with its ``authority`` and ``type`` if known."""

    id: Text | None = None
    authority: Text | None = None
    type: Text | None = None
    value: Text | None = None

    def __post_init__(self) -> None:
        if self.id is None and self.value is None:
            raise ValueError("does not identify a patient: give id, or authority and value")

    def ref(self) -> PatientRef:
        """The reference for the store."""
        return PatientRef(self.id, self.authority, self.type, self.value)


class LookupIn(PatientIn, frozen=True, gc=False, forbid_unknown_fields=True):
    """A patient, as ``{"patient": {…}}`` or as the members of that alone."""

    patient: PatientIn | None = None

    def __post_init__(self) -> None:
        if self.patient is None:
            PatientIn.__post_init__(self)
        elif (self.id, self.authority, self.type, self.value) != (None,) * 4:
            raise ValueError("identifies a patient twice: give patient alone")

    def ref(self) -> PatientRef:
        """The reference for the store."""
        return PatientIn.ref(self if self.patient is None else self.patient)


class AppointmentIn(Appointment, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the patient chose for one appointment."""

    preferred_method: MethodName | None = None
    preferred_phone: Number | None = None


class AskedMessage(DecisionRequest, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A request without its patient. ``channels`` are those that the message has text for; ``at`` has a UTC offset."""

    message_type: MessageKind
    channels: Annotated[tuple[ChannelName, ...], Meta(max_length=10)]
    line: Line | None = None
    topic: Text | None = None
    category: Category | None = None
    appointment: AppointmentIn | None = None
    at: Moment | None = None

    def __post_init__(self) -> None:
        if self.line is not None and not self.line.removeprefix("+").isdecimal():
            check_line(self.line)
        if self.at is not None:
            check_time(self.at)


class AskIn(AskedMessage, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """A sender's request."""

    patient: PatientIn


class BareAskIn(AskedMessage, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The same with the members of ``patient`` in the request itself."""

    id: Text | None = None
    authority: Text | None = None
    type: Text | None = None
    value: Text | None = None

    def whole(self) -> AskIn:
        """The request in its usual shape. Raises ``ValueError`` if it names no patient."""
        message = {name: getattr(self, name) for name in AskedMessage.__struct_fields__}
        return AskIn(patient=PatientIn(self.id, self.authority, self.type, self.value), **message)


class InvalidAsk(Decision, frozen=True, gc=False):
    """The answer to an invalid item of a batch."""

    detail: str = ""


class DoNotContactIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The new value of the toggle, and the reason."""

    value: Literal["yes", "no"]
    reason: Reason = ""


class PreferredPhoneIn(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the patient's phones, in E.164."""

    value: Number


class SmsConsentIn(Struct, frozen=True, forbid_unknown_fields=True):
    """An opt-out recorded by hand, from one ``line`` or from ``all_lines``, about one ``topic`` or about everything.

    ``opt_in`` is for one ``number`` of the patient; its ``reason`` tells how the patient requested it. The policy must allow it.
    """

    kind: Literal["opt_out", "opt_in"] = "opt_out"
    line: Line | None = None
    all_lines: bool = False
    topic: Text | None = None
    reason: Reason = ""
    number: Number | None = None

    def __post_init__(self) -> None:
        if self.kind == "opt_in" and not (self.number and self.reason.strip()):
            raise ValueError("an opt-in needs the number, and how the patient asked for it as the reason")
        if self.kind == "opt_out" and self.number is not None:
            raise ValueError("an opt-out applies to all numbers of the patient: omit number")
        if (self.line is not None) == self.all_lines:
            raise ValueError("give either line, or all_lines: true")
        if self.line is not None:
            check_line(self.line)


class AnsweredIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The message that a reply answered: its type, its topic, and whether it was marketing."""

    message_type: MessageKind | None = None
    topic: Text | None = None
    category: Category | None = None


ANSWERED = {"$ref": "#/components/schemas/AnsweredIn"}
InReplyTo = Annotated[Any, Meta(extra_json_schema=ANSWERED)]
"""An :class:`AnsweredIn`, or anything else, which counts as unknown."""


def answered(value: Any) -> MessageClass:
    """The message that an opt-out answered. Unknown if it cannot be used: an opt-out must not be lost because of it."""
    try:
        found = msgspec.convert(value, AnsweredIn | None)
    except msgspec.ValidationError:
        return UNKNOWN
    if found is None or "\0" in (found.topic or ""):
        return UNKNOWN
    return MessageClass(found.message_type, found.topic, found.category)


class SmsReplyIn(Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """A text that a patient sent to a line. ``in_reply_to``: the message that it answered; an unusable one counts as unknown."""

    line: Line
    sender: Line
    body: Annotated[str, Meta(max_length=10_000)]
    received_at: Annotated[Any, Meta(extra_json_schema={"type": "string", "format": "date-time"})] = None
    in_reply_to: InReplyTo = None
    may_hold_nul: ClassVar[tuple[str, ...]] = ("body", "received_at", "in_reply_to")

    def __post_init__(self) -> None:
        check_line(self.line)

    def received(self) -> datetime | None:
        """When it was received; ``None`` if the time is missing or unusable."""
        return usable_time(self.received_at)


class SmsReplyOut(Struct, frozen=True, omit_defaults=True):
    """What was recognised (``opt_out``, ``opt_in``, ``review`` or nothing), and which confirmation to send.

    ``also_maybe``: ``appointment_cancel`` if an opt-out may also cancel an appointment; staff see it on the page "Replies".
    """

    recognised: str | None
    scope: str | None
    confirmation: str
    patients: int
    also_maybe: tuple[str, ...] = ()


class ReplyDecisionIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A person's decision about an unclear reply; ``handled`` for one that may cancel an appointment."""

    decision: Literal["opt_out", "dismiss", "handled"]
    reason: Reason = ""


SettingsIn = msgspec.defstruct(
    "SettingsIn",
    [(one.name, one.type | msgspec.UnsetType, msgspec.UNSET) for one in SETTINGS.values()],
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    module=__name__,
    namespace={"__doc__": "Settings to change; omitted ones stay as they are."},
)


def read(body: bytes, kind: type[T]) -> T:
    """The body as a value. Raises :class:`ProblemDetails` 400 if it is not JSON, 422 if the JSON does not fit.

    ``may_hold_nul`` of a kind: its fields that may contain NUL, so that it never hides an opt-out.
    """
    try:
        found = msgspec.json.decode(body, type=kind)
        if isinstance(found, Struct):
            check_nul(body, found, getattr(kind, "may_hold_nul", ()))
        return found
    except msgspec.ValidationError as error:
        if not is_utf8(body):
            raise ProblemDetails(400, "malformed_json", "the body is not valid JSON in UTF-8") from None
        raise ProblemDetails(422, "invalid_request", explanation(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProblemDetails(400, "malformed_json", "the body is not valid JSON in UTF-8") from None
    except ValueError as error:
        raise ProblemDetails(422, "invalid_request", str(error)) from None


def explanation(error: msgspec.ValidationError) -> str:
    """What is wrong and where, without quoting the value."""
    return QUOTED.sub("…", str(error))


def usable_time(value: Any) -> datetime | None:
    """A time of a request that must not be lost because of it; ``None`` if it is missing or unusable."""
    try:
        at: datetime | None = msgspec.convert(value, Moment | None)
        if at is not None:
            check_time(at)
    except (msgspec.ValidationError, ValueError):
        return None
    return at


def whole_number(query: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A numeric query parameter. Raises :class:`ProblemDetails` unless it is from 0 to ``most``."""
    text = query.get(name)
    if text is None:
        return default
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise ProblemDetails(422, "invalid_request", f"{name} must be a whole number from 0 to {most}")
    return int(text)


def time_parameter(query: Mapping[str, Any], name: str) -> datetime | None:
    """A query parameter that is a time. Raises :class:`ProblemDetails` unless it is a time with an offset."""
    text = query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))  # an unencoded plus sign arrives as a space
        check_time(at)
    except (AttributeError, ValueError):
        at = None
    if at is None or at.tzinfo is None:
        raise ProblemDetails(422, "invalid_request", f"{name} must be a time with UTC offset, like 2026-11-02T10:42:00Z")
    return at


def one_of(query: Mapping[str, Any], name: str, choices: Collection[str]) -> str | None:
    """A query parameter with fixed choices. Raises :class:`ProblemDetails` for any other value."""
    text = query.get(name)
    if text is not None and text not in choices:
        raise ProblemDetails(422, "invalid_request", f"{name} must be one of {', '.join(choices)}")
    return text
