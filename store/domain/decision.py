"""May this message be sent, on which channel, to which address, in which language, and why? Pure (product section 7).

First the checks of the whole message: the first that matches refuses. Then the channels in order: the first without an obstacle
is used, and each skipped one is listed with its reason. What a request leaves open, and what nobody has stated, never counts as a yes.

Further rules, beyond the table of message types (``tests/spec`` has a case for each):

* A patient who opted out on a line with any number is not texted on that line at any other number.
* A request without ``line`` may come from any line, so any opt-out counts. One without ``topic`` may be about any topic, so an
  opt-out from one topic counts too. The EMR's topic permissions count only for a topic that the request names.
* The EMR's consent for one number closes that number only; for the patient it closes the channel.
* ``preferred_method`` ``none`` is a refusal: the policy ``when_preferred_impossible: next`` does not override it.
* An appointment's number that is not on file may be called, but not texted: it may not be a mobile number.
* An appointment's number that cannot be used is reported in the reasons, whether or not another one is used instead.
* An appointment lifts Do Not Contact only for the method or number it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from store.domain import reasons as why
from store.domain.channels import (
    EMAIL,
    GOVERNS,
    ORDER,
    SMS,
    VOICE,
    Governance,
    Route,
    address,
    channel_order,
    lifts_do_not_contact,
    obstacle,
    preferred_route,
)
from store.domain.decision_request import DO_NOT_SEND as DO_NOT_SEND
from store.domain.decision_request import SEND as SEND
from store.domain.decision_request import Appointment as Appointment
from store.domain.decision_request import Decision as Decision
from store.domain.decision_request import DecisionRequest as DecisionRequest
from store.domain.decision_request import Evidence as Evidence
from store.domain.decision_request import KnownPatient as KnownPatient
from store.domain.decision_request import Skipped as Skipped
from store.domain.decision_request import no_evidence
from store.domain.policies import Policy
from store.domain.sms_consent import blocks
from store.preference import CONSENT, DECEASED, DENIED, DO_NOT_CONTACT, PHONES, PREFERRED_METHOD, PREFERRED_PHONE, TOPIC, YES, topic

ADDRESS_ATTRIBUTE = {SMS: PHONES, VOICE: PHONES, EMAIL: "email"}
OPT_OUT_PATHS = {channel: f"{channel}_opt_out" for channel in (SMS, VOICE, EMAIL)}
"""The path in the evidence of an opt-out by reply or by staff."""
ADDRESS_ONLY = {channel: (attribute,) for channel, attribute in ADDRESS_ATTRIBUTE.items()}


def decide(request: DecisionRequest, known: KnownPatient | None, policy: Policy, now: datetime) -> Decision:
    """The decision for one request. ``known`` is ``None`` if the enterprise does not have the patient. Never raises."""
    if known is None:
        return refused(why.PATIENT_UNKNOWN)
    rule = GOVERNS.get(request.message_type)
    if rule is None:
        return refused(why.MESSAGE_TYPE_UNKNOWN)
    if known.at_later is not None:
        known = known.at_later(request.at or now)
    reason = _reason_to_refuse(request, known, policy, rule)
    if reason is not None:
        return _refusal_of_message(reason, request, known)
    decision = _first_channel(request, known, preferred_route(request, known.contact, policy, rule, request.at or now), rule)
    if known.contact.unreadable and is_unreadable(request, known, rule):
        return replace(decision, reasons=(why.PREFERENCE_UNREADABLE, *decision.reasons))
    return decision


def refused(reason: str) -> Decision:
    """A refusal without a known patient."""
    return Decision(DO_NOT_SEND, reasons=(reason,))


def _reason_to_refuse(request: DecisionRequest, known: KnownPatient, policy: Policy, rule: Governance) -> str | None:
    """Why the whole message is refused, by the first check that matches; ``None`` if none does."""
    contact = known.contact
    if contact.deceased:
        return why.DECEASED
    if known.stale and policy.when_stale != "flag":
        return why.SOURCE_STALE
    if contact.unreadable and policy.when_unreadable != "flag" and is_unreadable(request, known, rule):
        return why.PREFERENCE_UNREADABLE
    if rule.do_not_contact and contact.do_not_contact == YES and not lifts_do_not_contact(request.appointment, policy):
        return why.DO_NOT_CONTACT
    if contact.topics and rule.topic and request.topic and _is_declined(request.topic, contact.topics):
        return why.TOPIC_DECLINED
    return None


def is_unreadable(request: DecisionRequest, known: KnownPatient, rule: Governance) -> bool:
    """Whether there is unreadable newer evidence about an attribute that governs this message."""
    return any(_governs(attribute, request, rule) for attribute in known.contact.unreadable)


def _governs(attribute: str, request: DecisionRequest, rule: Governance) -> bool:
    if attribute.startswith(CONSENT):
        return attribute[len(CONSENT) :] in request.channels
    if attribute.startswith(TOPIC):
        return rule.topic and request.topic is not None and attribute.startswith(f"{TOPIC}{request.topic}.")
    if attribute == PREFERRED_METHOD:  # may be "none"; the appointment's method replaces it
        return rule.method and not (request.appointment and request.appointment.preferred_method)
    return attribute == DECEASED or (attribute == DO_NOT_CONTACT and rule.do_not_contact)


def _is_declined(name: str, topics: Mapping[str, str]) -> bool:
    return all(topics.get(f"{name}.{channel}") == DENIED for channel in ORDER)


CHECKED_ATTRIBUTES: dict[str, tuple[str, ...]] = {why.DECEASED: (DECEASED,), why.DO_NOT_CONTACT: (DO_NOT_CONTACT,)}
"""The attributes whose evidence a refusal lists. Those of a topic depend on the request."""


def _refusal_of_message(reason: str, request: DecisionRequest, known: KnownPatient) -> Decision:
    attributes = CHECKED_ATTRIBUTES.get(reason, ())
    if reason == why.TOPIC_DECLINED:
        attributes = tuple(topic(request.topic or "", channel) for channel in ORDER)
    return _decision(known, None, None, (reason,), (), _evidence_of(known, attributes))


def _first_channel(request: DecisionRequest, known: KnownPatient, route: Route, rule: Governance) -> Decision:
    skipped: tuple[Skipped, ...] = ()
    for channel in channel_order(route):
        reason, found = obstacle(channel, request, known, route, rule), ""
        if reason is None:
            found, reason = address(channel, known.contact, route)
            if found:
                return _conclude(request, known, route, rule, skipped, channel, found)
        skipped = (*skipped, Skipped(channel, reason))
    return _conclude(request, known, route, rule, skipped, None, None)


def _conclude(
    request: DecisionRequest,
    known: KnownPatient,
    route: Route,
    rule: Governance,
    skipped: tuple[Skipped, ...],
    channel: str | None,
    found: str | None,
) -> Decision:
    lifted = rule.do_not_contact and known.contact.do_not_contact == YES
    reasons = tuple(dict.fromkeys([one.reason for one in skipped])) if skipped else ()
    if lifted:
        reasons = (why.DO_NOT_CONTACT_LIFTED, *reasons)
    if request.appointment is not None and _is_number_unused(request.appointment, rule, skipped, channel, found):
        reasons = (*reasons, why.APPOINTMENT_NUMBER)
    if known.evidence is no_evidence:
        return _decision(known, channel, found, reasons, skipped, ())
    attributes = _relevant_attributes(request, known, route, skipped, channel, found)
    evidence = _evidence_of(known, (DO_NOT_CONTACT, *attributes) if lifted else attributes)
    for one in skipped if known.opt_outs else ():
        if one.reason in why.BY_CONSENT:
            evidence += _opt_out_evidence(one.channel, request, known)
    return _decision(known, channel, found, reasons, skipped, evidence)


def _is_number_unused(
    appointment: Appointment, rule: Governance, skipped: tuple[Skipped, ...], channel: str | None, found: str | None
) -> bool:
    """Whether the number chosen for the appointment was tried and could not be used."""
    if not rule.number or not appointment.preferred_phone or found == appointment.preferred_phone:
        return False
    tried = {one.channel for one in skipped if one.reason not in (why.NO_COPY, why.NOT_PREFERRED)} | {channel}
    return SMS in tried or VOICE in tried


def _decision(
    known: KnownPatient,
    channel: str | None,
    found: str | None,
    reasons: tuple[str, ...],
    skipped: tuple[Skipped, ...],
    evidence: tuple[Evidence, ...],
) -> Decision:
    decision, language = (SEND, known.contact.language) if channel else (DO_NOT_SEND, None)
    return Decision(decision, channel, found, language, reasons, skipped, evidence, known.as_of, known.stale, known.version)


def _relevant_attributes(
    request: DecisionRequest, known: KnownPatient, route: Route, skipped: tuple[Skipped, ...], channel: str | None, found: str | None
) -> tuple[str, ...]:
    """The attributes behind the decision, each once: those that set the order, closed a channel or provided the address."""
    preferred = known.contact.preferred_phone
    if not skipped and channel is not None and route.method is None and (preferred is None or found != preferred):
        return ADDRESS_ONLY[channel]  # only the address mattered, as for most requests
    names: list[str] = []
    appointment = request.appointment
    if route.method is not None and not (appointment and appointment.preferred_method):
        names.append(PREFERRED_METHOD)
    for one in skipped:
        names += _attributes_behind(one, request, known)
    if channel is not None:
        names.append(ADDRESS_ATTRIBUTE[channel])
        if found == route.number and found == preferred:
            names.append(PREFERRED_PHONE)
    return tuple(dict.fromkeys(names))


def _attributes_behind(skipped: Skipped, request: DecisionRequest, known: KnownPatient) -> tuple[str, ...]:
    channel, reason = skipped.channel, skipped.reason
    if reason in why.UNREACHABLE:
        return (ADDRESS_ATTRIBUTE[channel],)
    if reason == why.TOPIC_DECLINED:
        return (topic(request.topic or "", channel),)
    if reason not in why.BY_CONSENT:
        return ()
    consents = known.contact.consents.items()
    return tuple([CONSENT + tail for tail, value in consents if value == DENIED and tail.partition("#")[0] == channel])


def _opt_out_evidence(channel: str, request: DecisionRequest, known: KnownPatient) -> tuple[Evidence, ...]:
    """The evidence of the opt-outs that block this request. Leaves out the number: an address is returned only if it may be used."""
    opt_outs = (one for one in known.opt_outs if blocks(one, request.line, request.topic, channel, request.category))
    return tuple(Evidence(CONSENT + channel, one.authority, path=OPT_OUT_PATHS[channel], effective=one.at) for one in opt_outs)


def _evidence_of(known: KnownPatient, attributes: tuple[str, ...]) -> tuple[Evidence, ...]:
    evidence = known.evidence
    if len(attributes) == 1:  # as for most requests
        one = evidence(attributes[0])
        return () if one is None else (one,)
    return tuple([one for attribute in attributes if (one := evidence(attribute)) is not None])
