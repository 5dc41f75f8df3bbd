"""Which channel and which number a message may use, after it passed the checks of the whole message. Pure (product section 7)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from store.domain import reasons as why
from store.domain.contact import ContactPreferences
from store.domain.decision_request import Appointment, DecisionRequest, KnownPatient
from store.domain.policies import Policy
from store.domain.sms_consent import blocks
from store.preference import DENIED, YES, Method, Phone

SMS, VOICE, EMAIL = "sms", "voice", "email"
ORDER = (SMS, VOICE, EMAIL)
ORDER_BY_METHOD = {SMS: ORDER, VOICE: (VOICE, SMS, EMAIL), EMAIL: (EMAIL, SMS, VOICE)}
CLOSED_BY_CONSENT = {SMS: why.SMS_OPTED_OUT, VOICE: why.VOICE_DENIED, EMAIL: why.EMAIL_DENIED}
CALL_KINDS = {"cell": 0, "home": 1, "work": 2}
UNRANKED = 1_000


class Governance(NamedTuple):
    """Which preferences govern a message type. SMS, voice and e-mail consent govern every type."""

    do_not_contact: bool
    method: bool
    number: bool
    topic: bool


GOVERNS = {
    "automation": Governance(do_not_contact=True, method=True, number=True, topic=True),
    "broadcast": Governance(do_not_contact=False, method=False, number=False, topic=False),
    "campaign": Governance(do_not_contact=False, method=False, number=False, topic=False),
    "manual": Governance(do_not_contact=False, method=False, number=True, topic=False),
}


class Route(Struct, frozen=True, gc=False):
    """How this message should reach the patient. The appointment's choice has already replaced the patient's.

    ``phones``: those that may be used at all. ``strict``: only the channel ``method``. ``pinned``: only the address ``number``.
    ``call_first``: no method is preferred, and the preferred number cannot be texted.
    """

    phones: tuple[Phone, ...]
    method: str | None = None
    number: str | None = None
    strict: bool = False
    pinned: bool = False
    call_first: bool = False


def lifts_do_not_contact(appointment: Appointment | None, policy: Policy) -> bool:
    """Whether an appointment lifts Do Not Contact: the policy allows it, and it names a channel or number that we can use."""
    if appointment is None or policy.appointment_may_lift_dnc is not True:
        return False
    method = appointment.preferred_method
    return method in ORDER_BY_METHOD if method else bool(appointment.preferred_phone)


def preferred_route(request: DecisionRequest, contact: ContactPreferences, policy: Policy, rule: Governance, at: datetime) -> Route:
    """Which method and number the patient, the appointment and the policy leave open for this message type.

    ``strict``: only ``method`` may be used; :func:`obstacle` then closes the other channels as ``not_preferred``.
    """
    phones = _in_period(contact.phones, at)
    if not rule.number:
        return Route(phones)
    appointment = request.appointment
    # Not refused as a whole, so the appointment lifts Do Not Contact: only for the method or number it names.
    lifted = rule.do_not_contact and contact.do_not_contact == YES
    method, number = contact.preferred_method if rule.method else None, contact.preferred_phone
    pinned = False
    if appointment is not None:
        method = (appointment.preferred_method or method) if rule.method else None
        if appointment.preferred_phone:
            number, pinned = appointment.preferred_phone, lifted and appointment.preferred_method != EMAIL
            phones = _with_number(phones, contact.phones, number, pinned)
    if not rule.method:
        return Route(phones, None, number)
    if method is None:
        return Route(phones, None, number, False, pinned, number is not None and _only_callable(number, phones, contact.consents))
    strict = lifted or method == Method.NONE or policy.when_preferred_impossible != "next"
    return Route(phones, method, number, strict, pinned)


def channel_order(route: Route) -> tuple[str, ...]:
    """The channels in the order in which they are tried: text, call, e-mail, unless the patient prefers another order."""
    if route.call_first:
        return ORDER_BY_METHOD[VOICE]
    return ORDER if route.strict or route.method is None else ORDER_BY_METHOD.get(route.method, ORDER)


def obstacle(channel: str, request: DecisionRequest, known: KnownPatient, route: Route, rule: Governance) -> str | None:
    """The reason why the channel is closed before any address is looked up, or ``None``. :func:`preferred_route` decides ``route``."""
    if channel not in request.channels:
        return why.NO_COPY
    if (route.strict and channel != route.method) or (route.pinned and channel == EMAIL):
        return why.NOT_PREFERRED
    contact = known.contact
    if rule.topic and request.topic and contact.topics and contact.topics.get(f"{request.topic}.{channel}") == DENIED:
        return why.TOPIC_DECLINED
    if contact.consents and contact.consents.get(channel) == DENIED:
        return CLOSED_BY_CONSENT[channel]
    if known.opt_outs and any(blocks(one, request.line, request.topic, channel, request.category) for one in known.opt_outs):
        return CLOSED_BY_CONSENT[channel]
    return None


def address(channel: str, contact: ContactPreferences, route: Route) -> tuple[str, str]:
    """The address to use and an empty reason; or an empty address and the reason why none can be used."""
    if channel == EMAIL:
        return (contact.emails[0], "") if contact.emails else ("", why.NO_ADDRESS)
    return _text_number(route, contact.consents) if channel == SMS else _call_number(route, contact.consents)


def _text_number(route: Route, consents: dict[str, str]) -> tuple[str, str]:
    """The preferred number if it is textable, else the textable one with the best rank."""
    best, best_rank, textable = "", 0, False
    for phone in route.phones:
        if not phone.textable:
            continue
        textable = True
        if consents and consents.get(f"sms#{phone.number}") == DENIED:
            continue
        rank = -1 if phone.number == route.number else phone.rank or UNRANKED
        if not best or rank < best_rank:
            best, best_rank = phone.number, rank
    if best:
        return best, ""
    return "", why.SMS_OPTED_OUT if textable else why.NOT_TEXTABLE if route.phones else why.NO_ADDRESS


def _call_number(route: Route, consents: dict[str, str]) -> tuple[str, str]:
    """The preferred number, else cell, home, work, others; within a kind, the best rank."""
    best, best_place = "", (0, 0)
    for phone in route.phones:
        if consents and consents.get(f"voice#{phone.number}") == DENIED:
            continue
        place = (-1, 0) if phone.number == route.number else (CALL_KINDS.get(phone.kind, 3), phone.rank or UNRANKED)
        if not best or place < best_place:
            best, best_place = phone.number, place
    if best:
        return best, ""
    return "", why.VOICE_DENIED if route.phones else why.NO_ADDRESS


def _in_period(phones: tuple[Phone, ...], at: datetime) -> tuple[Phone, ...]:
    for phone in phones:
        if phone.start or phone.end:
            day = at.date().isoformat()
            return tuple(one for one in phones if _is_valid_on(one, day))
    return phones


def _is_valid_on(phone: Phone, day: str) -> bool:
    """Whether a phone is valid on a day. A date may be only a year or a month: an end of ``2026-03`` includes that month."""
    start, end = phone.start or "", phone.end or "9"
    return day[: len(start)] >= start and day[: len(end)] <= end


def _with_number(phones: tuple[Phone, ...], on_file: tuple[Phone, ...], number: str, pinned: object) -> tuple[Phone, ...]:
    """Adds an appointment's number that is not on file, as one to call. A number whose period is over is not added again."""
    if all(phone.number != number for phone in on_file):
        phones = (*phones, Phone(number))
    return tuple(phone for phone in phones if phone.number == number) if pinned else phones


def _only_callable(number: str, phones: tuple[Phone, ...], consents: dict[str, str]) -> bool:
    found = False
    for phone in phones:
        if phone.number == number:
            if phone.textable and consents.get(f"sms#{number}") != DENIED:
                return False
            found = True
    return found and consents.get(f"voice#{number}") != DENIED
