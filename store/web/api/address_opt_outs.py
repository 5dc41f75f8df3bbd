"""``POST /v1/opt-outs`` for any channel and address, and ``POST /v1/opt-outs/links`` for e-mail senders (RFC 8058)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from store.domain.lock import Role
from store.domain.phone_numbers import Numbering
from store.domain.sms_consent import ALL_LINES, LINE, TOPIC
from store.patients.address_opt_outs import AskedOptOut, addresses_of, record_opt_in, record_opt_out, takes_line
from store.patients.preferences import Preferences
from store.patients.unsubscribe import UnsubscribeLink, UnsubscribeLinks
from store.preference import PATIENT, STAFF
from store.web.api.endpoint import ApiResponse, Call, Endpoint, etag
from store.web.api.facesheet import PatientOut, facesheet
from store.web.api.wire import ChannelName, InReplyTo, Line, Text, answered, check_line, usable_time

Address = Annotated[str, Meta(min_length=1, max_length=320)]
How = Literal["key_press", "spoken", "unsubscribe", "web_form", "complaint", "provider_refusal", "other"]
CALLERS = frozenset({Role.SENDER, Role.ENTERPRISE, Role.STAFF})
RECORDERS = frozenset({Role.ENTERPRISE, Role.STAFF})
SENDERS = frozenset({Role.SENDER})


class OptOutIn(Struct, frozen=True, forbid_unknown_fields=True):
    """An opt-out from one channel at one ``address``: a phone number, or an e-mail address.

    Texts need a ``line`` or ``all_lines``; calls and e-mail have no line. ``topic``: only from that topic. ``how``: the means.
    ``at``: when the patient opted out, with a UTC offset; now, if it is missing or unusable. ``in_reply_to``: the message that it answered;
    an unusable one counts as unknown. It is kept with the opt-out and does not narrow it.
    """

    channel: ChannelName
    address: Address
    how: How
    line: Line | None = None
    all_lines: bool = False
    topic: Text | None = None
    at: Annotated[Any, Meta(extra_json_schema={"type": "string", "format": "date-time"})] = None
    in_reply_to: InReplyTo = None
    may_hold_nul: ClassVar[tuple[str, ...]] = ("in_reply_to",)

    def __post_init__(self) -> None:
        if not takes_line(self.channel) and (self.line is not None or self.all_lines):
            raise ValueError("line and all_lines are for the channel sms: an opt-out from calls or e-mail has no line")
        if takes_line(self.channel) and (self.line is not None) == self.all_lines:
            raise ValueError("give either line, or all_lines: true")
        if self.line is not None:
            check_line(self.line)


class OptOutRecorded(Struct, frozen=True):
    """An opt-out that is in force: its scope, the number of patients that it applies to, and whether it was new."""

    channel: str
    scope: str
    patients: int
    new: bool


class OptInIn(Struct, frozen=True, forbid_unknown_fields=True):
    """A patient wants calls, or e-mail, again; ``reason`` tells how they asked for it. The policy must allow it."""

    channel: Literal["voice", "email"]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class LinkIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The address that an e-mail is sent to, and its topic: the link unsubscribes from that topic, without one from all e-mail."""

    address: Address
    topic: Text | None = None


class LinkOut(Struct, frozen=True):
    """The link for people, and the two headers of the e-mail. Both headers must be covered by its DKIM signature (RFC 8058 section 4)."""

    url: str
    headers: dict[str, str]


class AddressOptOutCalls:
    """The endpoints."""

    def __init__(self, store: Preferences, links: UnsubscribeLinks) -> None:
        self.store, self.links = store, links

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints."""
        yield Endpoint("POST", "/v1/opt-outs", CALLERS, "Report an opt-out by any means", self.record, OptOutIn, OptOutRecorded)
        opt_ins = "/v1/patients/{patient_id:str}/opt-ins"
        yield Endpoint("POST", opt_ins, RECORDERS, "Lift opt-outs from calls or e-mail", self.lift, OptInIn, PatientOut)
        yield Endpoint("POST", "/v1/opt-outs/links", SENDERS, "Create an unsubscribe link", self.link, LinkIn, LinkOut)

    def record(self, call: Call) -> ApiResponse:
        """Records an opt-out: the patient's own if a sender reports it, staff's if a person does."""
        body: OptOutIn = call.body
        authority = PATIENT if call.key.role == Role.SENDER else STAFF
        asked = AskedOptOut(
            body.channel, body.address, body.how, body.line, body.topic, usable_time(body.at), authority, answered(body.in_reply_to)
        )
        done = record_opt_out(self.store, call.enterprise, asked, call.who, call.now)
        scope = TOPIC if body.topic is not None else ALL_LINES if body.line is None else LINE
        return ApiResponse(OptOutRecorded(body.channel, scope, done.patients, done.is_new))

    def lift(self, call: Call) -> ApiResponse:
        """Lifts a patient's opt-outs from one channel."""
        body: OptInIn = call.body
        who, store = call.path["patient_id"], self.store
        patient = record_opt_in(store, call.enterprise, who, body.channel, actor=call.actor, reason=body.reason, now=call.now)
        toggle = store.toggle(call.enterprise, patient, call.key.role)
        return ApiResponse(facesheet(patient, toggle, store.enterprises[call.enterprise]), etag(patient.version))

    def link(self, call: Call) -> ApiResponse:
        """A link for one address. Nothing is stored."""
        (address,) = addresses_of("email", call.body.address, Numbering(None))
        url = self.links.url(UnsubscribeLink(call.enterprise, address, call.body.topic))
        headers = {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        return ApiResponse(LinkOut(url, headers))
