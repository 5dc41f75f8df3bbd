"""A decision names where the values that mattered come from, and no others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from store import times
from store.domain import documents
from store.domain.decision import Appointment, DecisionRequest, Evidence, KnownPatient, decide
from store.domain.documents import USUAL
from store.domain.policies import Policy
from store.domain.sms_consent import TOPIC, OptOut
from store.preference import Assertion, Preference
from tests.spec.situation import CELL, HOME, LINE, NOW, OTHER_LINE, ask, patient

DEFAULT = Policy()
EARLIER = NOW - timedelta(days=1)


def stated(attribute: str) -> Evidence:
    """The EMR has stated every attribute."""
    return Evidence(attribute, "emr:adt", "MSG1", "PID", NOW)


def attributes(asked: DecisionRequest, known: KnownPatient, policy: Policy = DEFAULT) -> list[str]:
    """The attributes of the evidence."""
    return [one.attribute for one in decide(asked, replace(known, evidence=stated), policy, NOW).evidence]


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        (ask("broadcast"), patient(), ["phones"]),
        (ask("manual", "email"), patient(), ["email"]),
        (ask(), patient(deceased=True), ["deceased"]),
        (ask(), patient(do_not_contact="yes"), ["do_not_contact"]),
        (ask(), patient(preferred_method="voice"), ["preferred_method", "phones"]),
        (ask(), patient(preferred_phone=HOME), ["phones", "preferred_phone"]),
        (ask("broadcast"), patient(consents={"sms": "denied"}), ["consent.sms", "phones"]),
        (ask("broadcast"), patient(consents={f"sms#{CELL}": "denied"}), [f"consent.sms#{CELL}", "phones"]),
        (ask("broadcast"), patient(consents={"voice": "denied"}, phones=()), ["phones", "consent.voice", "email"]),
        (ask(topic="recall"), patient(topics={"recall.sms": "denied"}), ["topic.recall.sms", "phones"]),
        (ask(topic="recall"), patient(topics={f"recall.{channel}": "denied" for channel in ("sms", "voice", "email")}),
         ["topic.recall.sms", "topic.recall.voice", "topic.recall.email"]),
        (ask(appointment=Appointment("voice")), patient(preferred_method="sms"), ["phones"]),
    ],
)  # fmt: skip
def test_evidence_of_what_mattered(asked: DecisionRequest, known: KnownPatient, expected: list[str]) -> None:
    assert attributes(asked, known) == expected


def test_a_lifted_do_not_contact_is_part_of_the_evidence() -> None:
    lifting = Policy(appointment_may_lift_dnc=True)
    assert attributes(ask(appointment=Appointment("sms")), patient(do_not_contact="yes"), lifting) == ["do_not_contact", "phones"]


def test_an_opt_out_is_evidence_by_its_authority_and_time_without_the_number() -> None:
    decision = decide(
        ask("broadcast"), replace(patient(OptOut(LINE, CELL, authority="staff", at=NOW)), evidence=lambda _: None), Policy(), NOW
    )
    assert decision.evidence == (Evidence("consent.sms", "staff", path="sms_opt_out", effective=NOW),)


def test_only_the_opt_outs_that_mattered_are_evidence() -> None:
    """Not those of another line or topic."""
    others = (OptOut(OTHER_LINE, CELL, authority="patient", at=EARLIER), OptOut(LINE, CELL, scope=TOPIC, topic="billing", at=EARLIER))
    known = replace(patient(*others, OptOut(LINE, CELL, authority="staff", at=NOW)), evidence=lambda _: None)
    assert decide(ask("broadcast", topic="recall"), known, Policy(), NOW).evidence == (
        Evidence("consent.sms", "staff", path="sms_opt_out", effective=NOW),
    )
    assert decide(ask("broadcast", topic="recall"), replace(patient(*others), evidence=lambda _: None), Policy(), NOW).evidence == ()


def test_nothing_is_looked_up_for_a_patient_that_nobody_knows() -> None:
    decision: Any = decide(ask(), None, Policy(), NOW)
    assert (decision.reasons, decision.evidence, decision.patient_version) == (("patient_unknown",), (), None)


def test_every_attribute_has_the_evidence_that_was_stored() -> None:
    """Usual attributes are read without the rest of the document, the others with all of it; in any order."""
    moment, interval = times.at(EARLIER), times.between(EARLIER, NOW)
    first, second = (
        Assertion("x", moment, NOW, "MSG1", "PID", mapping="m", content="c"), Assertion("x", interval, NOW, "MSG2", "PD1", 7)
    )  # fmt: skip
    names = (*USUAL, "language", "consent.sms#+12175550101", "topic.recall.sms")
    in_force = {
        name: Preference("x", "emr:adt" if place % 2 else "staff", second if place % 3 else first) for place, name in enumerate(names)
    }
    document = documents.write_provenance(in_force)
    for order in (names, names[::-1]):
        evidence = documents.Provenance(document)
        for name in order:
            authority, one = in_force[name].authority, in_force[name].assertion
            assert evidence(name) == Evidence(name, authority, one.evidence_id, one.path, one.effective.earliest, one.effective.end)
    assert [documents.Provenance(documents.write_provenance({}))(name) for name in names] == [None] * len(names)
