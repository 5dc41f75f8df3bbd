"""Checks for one patient after every step of a history, against the evidence."""

from __future__ import annotations

from store.domain.decision import decide
from store.domain.decision_request import DecisionRequest, KnownPatient
from store.domain.patient import Patient
from store.domain.policies import Policy
from tests.properties.evidence import Evidence
from tests.properties.history import DNC, MAY_BE_UNREADABLE, METHOD, OPT_OUTS
from tests.properties.owing import Owing
from tests.properties.post import LINES
from tests.store.site import at

NOW = at(10_000)
EXACT = ("language", "phones")


def check_values(evidence: Evidence, name: str, patient: Patient) -> None:
    """Checks the values in force: equal to the evidence if exact, and never more permissive."""
    found = {attribute: one.value for attribute, one in patient.preferences.items()}
    exact = evidence.is_exact(name)
    for attribute, opt_out in OPT_OUTS.items():
        value = found.get(attribute)
        if exact:
            assert value == evidence.expected(name, attribute), f"{attribute} of {name}"
        elif evidence.forbids(name, attribute):
            assert value == opt_out, f"{attribute} of {name} is permitted against the evidence"
        elif value == opt_out and not (attribute == "consent.sms" and evidence.consent_events):
            assert evidence.ever_forbade(name, attribute), f"nobody ever forbade {attribute} of {name}"
    for attribute in MAY_BE_UNREADABLE:
        is_marked = attribute in patient.contact.unreadable
        if exact or not (is_marked or found.get(attribute) == OPT_OUTS[attribute]):
            assert is_marked == evidence.is_unreadable(name, attribute), f"{attribute} of {name} could not be read: {not is_marked}"
    is_known = not evidence.ever_retired and evidence.held.isdisjoint(evidence.ever_merged_with(name)) and evidence.is_ordered(name)
    for attribute in EXACT if is_known else ():
        assert found.get(attribute) == evidence.value(name, attribute), f"{attribute} of {name}"


def check_texts(evidence: Evidence, name: str, known: KnownPatient, owing: Owing) -> None:
    """Checks that texts go only to numbers without an opt-out, and never to a patient whom an opt-out binds for the line."""
    numbers, denied = {phone.number for phone in known.contact.phones}, known.contact.consents.get("sms") == "denied"
    listed = numbers | owing.listed(name)
    for line in LINES:
        stopped = any(evidence.stopped(number, line) for number in listed) or owing.stopped(name, line)
        decision = decide(DecisionRequest(message_type="broadcast", channels=("sms",), line=line), known, Policy(), NOW)
        if decision.channel == "sms":
            assert not stopped, f"texts to {name} against an opt-out"
        elif numbers and not denied and not known.contact.unreadable:
            assert stopped or owing.may_be_stopped(name, line), f"nobody ever stopped texts to {name}"


def check_calls(evidence: Evidence, name: str, known: KnownPatient) -> None:
    """Checks that senders may not call a patient if the evidence forbids it."""
    automation, broadcast = (
        decide(DecisionRequest(message_type=kind, channels=("voice",)), known, Policy(), NOW) for kind in ("automation", "broadcast")
    )
    if evidence.forbids(name, DNC) or evidence.forbids(name, METHOD):
        assert automation.channel is None, f"an automation may reach {name}"
    if evidence.forbids(name, "consent.voice"):
        assert broadcast.channel is None, f"calls to {name}"
