"""Which channel and which number a message may use, once the gates let it through. Pure (product section 7)."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store.domain import reasons as why
from store.domain.decision_request import Appointment, Ask, Known
from store.domain.policies import Policy
from store.domain.sms_consent import blocks
from store.preference import DENIED, YES, ContactPreferences, Method, Phone

SMS, VOICE, EMAIL = "sms", "voice", "email"
ORDER = (SMS, VOICE, EMAIL)
FIRST = {SMS: ORDER, VOICE: (VOICE, SMS, EMAIL), EMAIL: (EMAIL, SMS, VOICE)}
CLOSED_BY_CONSENT = {SMS: why.SMS_OPTED_OUT, VOICE: why.VOICE_DENIED, EMAIL: why.EMAIL_DENIED}
CALL_KINDS = {"cell": 0, "home": 1, "work": 2}
UNRANKED = 1_000


class Governance(NamedTuple):
    """Which settings govern a message type; SMS, voice and e-mail consent govern every one."""

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


class Wish(NamedTuple):
    """How this message should reach the patient, the appointment's word already put over the patient's.

    ``phones`` are those that may be used at all. ``strict``: no other channel than ``method``. ``pinned``: no other
    address than ``number``. ``call_first``: the preferred number is no mobile or closed to texts, and no method is preferred.
    """

    phones: tuple[Phone, ...]
    method: str | None = None
    number: str | None = None
    strict: bool = False
    pinned: bool = False
    call_first: bool = False


def lifts(appointment: Appointment | None, policy: Policy) -> bool:
    """Whether an appointment lifts Do Not Contact: the policy allows it and it names a way of ours to reach the patient."""
    if appointment is None or policy.appointment_may_lift_dnc is not True:
        return False
    method = appointment.preferred_method
    return method in FIRST if method else bool(appointment.preferred_phone)


def wish(ask: Ask, contact: ContactPreferences, policy: Policy, rule: Governance, at: datetime) -> Wish:
    """Which method and number the patient, the appointment and the policy leave open for this message type.

    ``strict``: only ``method`` may be used; :func:`obstacle` then closes the other channels as ``not_preferred``.
    """
    phones = _in_period(contact.phones, at)
    if not rule.number:
        return Wish(phones)
    appointment = ask.appointment
    # Past the gate, so the appointment lifts it: for the method or number it names, and for nothing else.
    lifted = rule.do_not_contact and contact.do_not_contact == YES
    method, number = contact.preferred_method if rule.method else None, contact.preferred_phone
    pinned = False
    if appointment is not None:
        method = (appointment.preferred_method or method) if rule.method else None
        if appointment.preferred_phone:
            number, pinned = appointment.preferred_phone, lifted and appointment.preferred_method != EMAIL
            phones = _with_number(phones, contact.phones, number, pinned)
    if not rule.method:
        return Wish(phones, None, number)
    if method is None:
        return Wish(phones, None, number, False, pinned, number is not None and _only_callable(number, phones, contact.consents))
    strict = lifted or method == Method.NONE or policy.when_preferred_impossible != "next"
    return Wish(phones, method, number, strict, pinned)


def order(wanted: Wish) -> tuple[str, ...]:
    """The channels in the order they are tried: text, call, e-mail, unless the patient's preference says otherwise."""
    if wanted.call_first:
        return FIRST[VOICE]
    return ORDER if wanted.strict or wanted.method is None else FIRST.get(wanted.method, ORDER)


def obstacle(channel: str, ask: Ask, known: Known, wanted: Wish, rule: Governance) -> str | None:
    """Why the channel is closed before any address is looked for, or ``None``."""
    if channel not in ask.channels:
        return why.NO_COPY
    if (wanted.strict and channel != wanted.method) or (wanted.pinned and channel == EMAIL):
        return why.NOT_PREFERRED
    contact = known.contact
    if rule.topic and ask.topic and contact.topics and contact.topics.get(f"{ask.topic}.{channel}") == DENIED:
        return why.TOPIC_DECLINED
    if contact.consents and contact.consents.get(channel) == DENIED:
        return CLOSED_BY_CONSENT[channel]
    if channel == SMS and known.opt_outs and any(blocks(one, ask.line, ask.topic) for one in known.opt_outs):
        return why.SMS_OPTED_OUT
    return None


def address(channel: str, contact: ContactPreferences, wanted: Wish) -> tuple[str, str]:
    """The address to use and an empty reason, or an empty address and the reason why there is none."""
    if channel == EMAIL:
        return (contact.emails[0], "") if contact.emails else ("", why.NO_ADDRESS)
    return _text_number(wanted, contact.consents) if channel == SMS else _call_number(wanted, contact.consents)


def _text_number(wanted: Wish, consents: dict[str, str]) -> tuple[str, str]:
    """The preferred number if it is textable, else the textable one of the best rank."""
    best, best_rank, textable = "", 0, False
    for phone in wanted.phones:
        if not phone.textable:
            continue
        textable = True
        if consents and consents.get(f"sms#{phone.number}") == DENIED:
            continue
        rank = -1 if phone.number == wanted.number else phone.rank or UNRANKED
        if not best or rank < best_rank:
            best, best_rank = phone.number, rank
    if best:
        return best, ""
    return "", why.SMS_OPTED_OUT if textable else why.NOT_TEXTABLE if wanted.phones else why.NO_ADDRESS


def _call_number(wanted: Wish, consents: dict[str, str]) -> tuple[str, str]:
    """The preferred number, else cell, home, work, others; of one kind the best rank."""
    best, best_place = "", (0, 0)
    for phone in wanted.phones:
        if consents and consents.get(f"voice#{phone.number}") == DENIED:
            continue
        place = (-1, 0) if phone.number == wanted.number else (CALL_KINDS.get(phone.kind, 3), phone.rank or UNRANKED)
        if not best or place < best_place:
            best, best_place = phone.number, place
    if best:
        return best, ""
    return "", why.VOICE_DENIED if wanted.phones else why.NO_ADDRESS


def _in_period(phones: tuple[Phone, ...], at: datetime) -> tuple[Phone, ...]:
    for phone in phones:
        if phone.start or phone.end:
            day = at.date().isoformat()
            return tuple(one for one in phones if _valid(one, day))
    return phones


def _valid(phone: Phone, day: str) -> bool:
    """A date may be a year or a month only: it is compared as far as it goes, so an end of ``2026-03`` includes that month."""
    start, end = phone.start or "", phone.end or "9"
    return day[: len(start)] >= start and day[: len(end)] <= end


def _with_number(phones: tuple[Phone, ...], on_file: tuple[Phone, ...], number: str, pinned: object) -> tuple[Phone, ...]:
    """An appointment's number joins those on file as one to call. A number whose period is over does not come back by it."""
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
