"""Opt-outs by other means than a reply: a key pressed on a call, an e-mail unsubscribe, a web form, a provider's refusal to send.

They are held by channel and address, bind patients like a STOP, and apply to whoever gets the address later (product section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from store.domain.channels import EMAIL
from store.domain.lock import Actor
from store.domain.message_class import UNKNOWN, MessageClass
from store.domain.patient import Patient, PatientRef
from store.domain.phone_numbers import Numbering, mailbox
from store.domain.sms_consent import ALL_LINES, LINE, SMS, TOPIC, ConsentEvent
from store.errors import OptInOff, ValueRefused
from store.patients.preferences import Preferences
from store.patients.reader import PatientReader
from store.patients.sms import PatientOptOut, opted_out_at
from store.preference import PATIENT

UNSUBSCRIBE, PROVIDER_REFUSAL = "unsubscribe", "provider_refusal"
MAILBOX = re.compile(r"[^@\s<>,;:\"()\x00-\x1f]+@[^@\s<>,;:\"()\x00-\x1f]+")
LONGEST_MAILBOX = 254  # RFC 5321 4.5.3.1.3


class AskedOptOut(NamedTuple):
    """An opt-out as somebody reported it. ``line``: for texts only; ``None`` is every line. ``topic`` ``None``: about everything.

    ``how`` names the means; ``at`` is when the patient did it, if known. ``authority``: the patient, or staff on the patient's behalf.
    ``in_reply_to``: the message that it answered.
    """

    channel: str
    address: str
    how: str
    line: str | None = None
    topic: str | None = None
    at: datetime | None = None
    authority: str = PATIENT
    in_reply_to: MessageClass = UNKNOWN


def record_opt_out(store: Preferences, enterprise: str, asked: AskedOptOut, actor: str, now: datetime) -> PatientOptOut:
    """Records an opt-out for every number that the address may mean. Raises :class:`ValueRefused` if it means none."""
    numbering = store.numbering(enterprise)
    addresses = addresses_of(asked.channel, asked.address, numbering)
    line = numbering.line(asked.line) if asked.line is not None else None
    with store.database.write(enterprise) as transaction:
        consent = store.consent(transaction, enterprise)
        done = []
        for address in addresses:
            at = opted_out_at(asked.at, now, consent.events_of(address))
            done.append(consent.opt_out(event_of(asked, address, line, at), asked.how, actor, now))
    return PatientOptOut(sum(one.patients for one in done), any(one.is_new for one in done))


def record_opt_in(
    store: Preferences, enterprise: str, patient_id: str, channel: str, *, actor: Actor, reason: str, now: datetime
) -> Patient:
    """Lifts a patient's opt-outs from calls or e-mail, on the patient's behalf. Raises :class:`OptInOff` unless the policy allows it."""
    with store.database.write(enterprise) as transaction:
        if not store.settings.within(transaction, enterprise).policy.staff_may_record_opt_in:
            raise OptInOff("staff_may_record_opt_in is off: nobody may opt a patient in here")
        reader = PatientReader(store.database, transaction, store.enterprises[enterprise])
        patient = reader.patient(PatientRef(id=patient_id))
        store.consent(transaction, enterprise).opt_in_to_channel(patient, channel, actor=actor, reason=reason, now=now)
        return reader.patient(PatientRef(id=patient_id))


def event_of(asked: AskedOptOut, address: str, line: str | None, at: datetime) -> ConsentEvent:
    """The consent event of an opt-out."""
    scope = TOPIC if asked.topic is not None else ALL_LINES if line is None else LINE
    return ConsentEvent(address, line, asked.authority, True, at, scope, asked.topic, asked.channel, asked.in_reply_to)


def addresses_of(channel: str, text: str, numbering: Numbering) -> Iterable[str]:
    """Each number or e-mail address that a text may mean. Raises :class:`ValueRefused` if there is none."""
    if channel != EMAIL:
        if found := numbering.candidates(text):
            return found
        raise ValueRefused("address must be a phone number in E.164, like +12175550100")
    address = mailbox(text)
    if len(address) > LONGEST_MAILBOX or MAILBOX.fullmatch(address) is None:
        raise ValueRefused("address must be one e-mail address, without a name")
    return (address,)


def takes_line(channel: str) -> bool:
    """Whether opt-outs of a channel are held by line."""
    return channel == SMS
