"""May this message be sent, on which channel, to which address, in which language, and why? Pure (product section 7).

First the gates: the first that matches refuses. Then the channels in order: the first without an obstacle wins, and each
one skipped is listed with its reason. What an ask leaves open and what nobody has stated is never taken for a yes.

Rules of ours, beyond the table of message types (``tests/spec`` has a case for each):

* A patient who opted out on a line with any number is not texted on that line at any other number.
* An ask without ``line`` may come from any line, so any opt-out counts; one without ``topic`` may be about any topic, so an
  opt-out from one topic counts too. The EMR's topic permissions are asked only for a topic that is named.
* The EMR's consent for one number closes that number only; for the patient it closes the channel.
* ``preferred_method`` ``none`` is a no: the policy ``when_preferred_impossible: next`` does not go around it.
* An appointment's number that is not on file may be called and, as nobody knows whether it is mobile, not texted.
* An appointment's number that cannot be used is named in the reasons, whether or not another one is used instead.
* Where an appointment lifts Do Not Contact, it does so for the method or number it names, and for nothing else.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from store.domain import reasons as why
from store.domain.channels import EMAIL, GOVERNS, ORDER, SMS, VOICE, Governance, Wish, address, lifts, obstacle, order, wish
from store.domain.decision_request import DO_NOT_SEND as DO_NOT_SEND
from store.domain.decision_request import SEND as SEND
from store.domain.decision_request import Appointment as Appointment
from store.domain.decision_request import Ask as Ask
from store.domain.decision_request import Decision as Decision
from store.domain.decision_request import Evidence as Evidence
from store.domain.decision_request import Known as Known
from store.domain.decision_request import Skipped as Skipped
from store.domain.decision_request import no_evidence
from store.domain.policies import Policy
from store.domain.sms_consent import blocks
from store.preference import CONSENT, DECEASED, DENIED, DO_NOT_CONTACT, PHONES, PREFERRED_METHOD, PREFERRED_PHONE, TOPIC, YES, topic

LIST_OF = {SMS: PHONES, VOICE: PHONES, EMAIL: "email"}
ADDRESS_ONLY = {channel: (attribute,) for channel, attribute in LIST_OF.items()}


def decide(ask: Ask, known: Known | None, policy: Policy, now: datetime) -> Decision:
    """The decision for one ask; ``known`` is ``None`` for a patient whom the enterprise does not have. Never raises."""
    if known is None:
        return refused(why.PATIENT_UNKNOWN)
    rule = GOVERNS.get(ask.message_type)
    if rule is None:
        return refused(why.MESSAGE_TYPE_UNKNOWN)
    if known.then is not None:
        known = known.then(ask.at or now)
    for gate in GATES:
        reason = gate(ask, known, policy, rule)
        if reason is not None:
            return _at_gate(reason, ask, known)
    decision = _first_channel(ask, known, wish(ask, known.contact, policy, rule, ask.at or now), rule)
    if known.contact.unreadable and unread(ask, known, rule):
        return replace(decision, reasons=(why.PREFERENCE_UNREADABLE, *decision.reasons))
    return decision


def refused(reason: str) -> Decision:
    """A refusal that is about no known patient."""
    return Decision(DO_NOT_SEND, reasons=(reason,))


def _deceased(ask: Ask, known: Known, policy: Policy, rule: Governance) -> str | None:
    return why.DECEASED if known.contact.deceased else None


def _stale(ask: Ask, known: Known, policy: Policy, rule: Governance) -> str | None:
    return why.SOURCE_STALE if known.stale and policy.when_stale != "flag" else None


def _unreadable(ask: Ask, known: Known, policy: Policy, rule: Governance) -> str | None:
    refuses = known.contact.unreadable and policy.when_unreadable != "flag" and unread(ask, known, rule)
    return why.PREFERENCE_UNREADABLE if refuses else None


def unread(ask: Ask, known: Known, rule: Governance) -> bool:
    """Whether newer evidence about an attribute that governs this message could not be read."""
    return any(_governs(attribute, ask, rule) for attribute in known.contact.unreadable)


def _governs(attribute: str, ask: Ask, rule: Governance) -> bool:
    if attribute.startswith(CONSENT):
        return attribute[len(CONSENT) :] in ask.channels
    if attribute.startswith(TOPIC):
        return rule.topic and ask.topic is not None and attribute.startswith(f"{TOPIC}{ask.topic}.")
    if attribute == PREFERRED_METHOD:  # it may be "none"; the appointment's method replaces it
        return rule.method and not (ask.appointment and ask.appointment.preferred_method)
    return attribute == DECEASED or (attribute == DO_NOT_CONTACT and rule.do_not_contact)


def _do_not_contact(ask: Ask, known: Known, policy: Policy, rule: Governance) -> str | None:
    if not rule.do_not_contact or known.contact.do_not_contact != YES or lifts(ask.appointment, policy):
        return None
    return why.DO_NOT_CONTACT


def _topic(ask: Ask, known: Known, policy: Policy, rule: Governance) -> str | None:
    topics = known.contact.topics
    if not rule.topic or not ask.topic or not topics:
        return None
    return why.TOPIC_DECLINED if all(topics.get(f"{ask.topic}.{channel}") == DENIED for channel in ORDER) else None


GATES = (_deceased, _stale, _unreadable, _do_not_contact, _topic)
"""In order; the first that names a reason refuses."""
OF_GATE: dict[str, tuple[str, ...]] = {why.DECEASED: (DECEASED,), why.DO_NOT_CONTACT: (DO_NOT_CONTACT,)}
"""The attributes whose evidence a refusal names; those of a topic depend on the ask."""


def _at_gate(reason: str, ask: Ask, known: Known) -> Decision:
    attributes = OF_GATE.get(reason, ())
    if reason == why.TOPIC_DECLINED:
        attributes = tuple(topic(ask.topic or "", channel) for channel in ORDER)
    return _answer(known, None, None, (reason,), (), _looked_up(known, attributes))


def _first_channel(ask: Ask, known: Known, wanted: Wish, rule: Governance) -> Decision:
    skipped: tuple[Skipped, ...] = ()
    for channel in order(wanted):
        reason, found = obstacle(channel, ask, known, wanted, rule), ""
        if reason is None:
            found, reason = address(channel, known.contact, wanted)
            if found:
                return _conclude(ask, known, wanted, rule, skipped, channel, found)
        skipped = (*skipped, Skipped(channel, reason))
    return _conclude(ask, known, wanted, rule, skipped, None, None)


def _conclude(
    ask: Ask, known: Known, wanted: Wish, rule: Governance, skipped: tuple[Skipped, ...], channel: str | None, found: str | None
) -> Decision:
    lifted = rule.do_not_contact and known.contact.do_not_contact == YES
    reasons = tuple(dict.fromkeys(one.reason for one in skipped)) if skipped else ()
    if lifted:
        reasons = (why.DO_NOT_CONTACT_LIFTED, *reasons)
    if ask.appointment is not None and _missed_number(ask.appointment, rule, skipped, channel, found):
        reasons = (*reasons, why.APPOINTMENT_NUMBER)
    if known.evidence is no_evidence:
        return _answer(known, channel, found, reasons, skipped, ())
    attributes = _mattered(ask, known, wanted, skipped, channel, found)
    evidence = _looked_up(known, (DO_NOT_CONTACT, *attributes) if lifted else attributes)
    if why.SMS_OPTED_OUT in reasons:
        evidence += _opt_out_evidence(ask, known)
    return _answer(known, channel, found, reasons, skipped, evidence)


def _missed_number(
    appointment: Appointment, rule: Governance, skipped: tuple[Skipped, ...], channel: str | None, found: str | None
) -> bool:
    """Whether the number chosen for the appointment was looked for and could not be used."""
    if not rule.number or not appointment.preferred_phone or found == appointment.preferred_phone:
        return False
    tried = {one.channel for one in skipped if one.reason not in (why.NO_COPY, why.NOT_PREFERRED)} | {channel}
    return SMS in tried or VOICE in tried


def _answer(
    known: Known,
    channel: str | None,
    found: str | None,
    reasons: tuple[str, ...],
    skipped: tuple[Skipped, ...],
    evidence: tuple[Evidence, ...],
) -> Decision:
    decision, language = (SEND, known.contact.language) if channel else (DO_NOT_SEND, None)
    return Decision(decision, channel, found, language, reasons, skipped, evidence, known.as_of, known.stale, known.version)


def _mattered(
    ask: Ask, known: Known, wanted: Wish, skipped: tuple[Skipped, ...], channel: str | None, found: str | None
) -> tuple[str, ...]:
    """The attributes behind the answer, each once: what steered it, what closed a channel, where the address is from."""
    preferred = known.contact.preferred_phone
    if not skipped and channel is not None and wanted.method is None and (preferred is None or found != preferred):
        return ADDRESS_ONLY[channel]  # nothing but the address mattered, as for most asks
    names: list[str] = []
    appointment = ask.appointment
    if wanted.method is not None and not (appointment and appointment.preferred_method):
        names.append(PREFERRED_METHOD)
    for one in skipped:
        names += _behind(one, ask, known)
    if channel is not None:
        names.append(LIST_OF[channel])
        if found == wanted.number and found == preferred:
            names.append(PREFERRED_PHONE)
    return tuple(dict.fromkeys(names))


def _behind(skipped: Skipped, ask: Ask, known: Known) -> tuple[str, ...]:
    channel, reason = skipped.channel, skipped.reason
    if reason in (why.NO_ADDRESS, why.NOT_TEXTABLE):
        return (LIST_OF[channel],)
    if reason == why.TOPIC_DECLINED:
        return (topic(ask.topic or "", channel),)
    if reason not in (why.SMS_OPTED_OUT, why.VOICE_DENIED, why.EMAIL_DENIED):
        return ()
    tails = (tail for tail, value in known.contact.consents.items() if value == DENIED and tail.partition("#")[0] == channel)
    return tuple(CONSENT + tail for tail in tails)


def _opt_out_evidence(ask: Ask, known: Known) -> tuple[Evidence, ...]:
    """The number is left out: the address is an answer only where it may be used."""
    standing = (one for one in known.opt_outs if blocks(one, ask.line, ask.topic))
    return tuple(Evidence("consent.sms", one.authority, path="sms_opt_out", effective=one.at) for one in standing)


def _looked_up(known: Known, attributes: tuple[str, ...]) -> tuple[Evidence, ...]:
    evidence = known.evidence
    return tuple([one for attribute in attributes if (one := evidence(attribute)) is not None])
