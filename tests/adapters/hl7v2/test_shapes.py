"""Forms of preferences in HL7 v2 messages: lists of allowed channels, consent per number, the preferred phone by position."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.mapping.rules import MappingError
from store.preference import Statement
from tests.adapters.hl7v2.messages import RECEIVED, adt, settings, stated, statements

FIRST = {"preferred_phone": {"by": "first"}}
MEDIA = {"E": "email", "T": "sms", "P": "voice", "M": "other", "X": "none"}


def test_a_list_of_approved_media_in_a_z_segment_sets_each_channel() -> None:
    rule = {"topic.appointments.*": {"from": "ZCM-2", "values": MEDIA, "others": "denied"}}
    found = statements(adt("A08", "ZCM|1|E~M"), mapping=rule)
    assert found["topic.appointments.email"] == Statement("granted", "ZCM-2[1]")
    assert found["topic.appointments.sms"] == Statement("denied", "ZCM-2[1]")
    assert found["topic.appointments.voice"] == Statement("denied", "ZCM-2[1]")
    assert not [name for name in statements(adt("A08", "ZCM|1|"), mapping=rule) if name.startswith("topic")]


def test_the_first_repetition_of_pid_13_is_preferred_if_configured() -> None:
    body = adt(f13="(217)555-0123^PRN^PH~(217)555-0124^PRS^CP^^^^^^^^^^^^^^^1")
    assert statements(body, mapping=FIRST)["preferred_phone"] == Statement("+12175550123", "PID-13[1]")


@pytest.mark.parametrize("field", ["~(217)555-0124^PRS^CP", "^NET^Internet^pat@example.org~(217)555-0124^PRS^CP", ""])
def test_no_phone_is_preferred_if_the_first_repetition_has_none(field: str) -> None:
    assert "preferred_phone" not in statements(adt(f13=field, f14="(217)555-0125"), mapping=FIRST)


ANSWERS = {"Y": "granted", "N": "denied"}
MAY_TEXT = {"consent.sms#*": {"from": ["PID-13.9", "PID-14.9"], "values": ANSWERS}}


def consents(body: bytes, **changes: Any) -> dict[str, Statement]:
    found = statements(body, mapping=MAY_TEXT, **changes)
    return {name: one for name, one in found.items() if name.startswith("consent.")}


def test_consent_at_a_number_is_stated_for_that_number() -> None:
    body = adt(f13="(217)555-0123^PRN^PH^^^^^^N~(217)555-0124^PRS^CP^^^^^^Y~(217)555-0125", f14="^WPN^PH^^^217^5550126^^Y")
    assert consents(body) == {
        "consent.sms#+12175550123": Statement("denied", "PID-13[1].9"),
        "consent.sms#+12175550124": Statement("granted", "PID-13[2].9"),
        "consent.sms#+12175550126": Statement("granted", "PID-14.9"),
    }
    assert consents(adt(f13="(217)555-0123^PRN^PH^^^^^^N"))["consent.sms#+12175550123"] == Statement("denied", "PID-13.9")


def test_if_a_number_is_listed_twice_the_refusal_counts() -> None:
    body = adt(f13="(217)555-0123^PRN^PH^^^^^^Y~+1 217 555 0123^PRS^CP^^^^^^N")
    assert {name: one.value for name, one in consents(body).items()} == {"consent.sms#+12175550123": "denied"}


def test_a_consent_without_a_usable_number_states_nothing() -> None:
    assert consents(adt(f13="^NET^Internet^pat@example.org^^^^^N~ask^PRN^PH^^^^^^N~(217)555-0124^WPN^FX^^^^^^N~~")) == {}


def test_a_deleted_consent_is_cleared_for_its_number() -> None:
    assert consents(adt(f13='(217)555-0123^PRN^PH^^^^^^""')) == {"consent.sms#+12175550123": Statement(None, "PID-13.9")}


def test_an_unmapped_consent_is_a_problem() -> None:
    (problem,) = stated(adt(f13="(217)555-0123^PRN^PH^^^^^^MAYBE"), mapping=MAY_TEXT).problems
    assert (problem.reason, problem.path, problem.attribute) == ("code_unmapped", "PID-13.9", "consent.sms")
    assert "MAYBE" not in problem.detail


@pytest.mark.parametrize("path", ["PID-13", "PID-11.9", "ZCP-2.1"])
def test_consent_per_number_needs_a_component_of_a_number(path: str) -> None:
    with pytest.raises(MappingError, match="has no number"):
        Hl7Mapper(settings(mapping={"consent.sms#*": {"from": path, "values": ANSWERS}}))


def test_an_unmapped_code_is_shown_once_even_if_several_rules_read_it() -> None:
    mapper = Hl7Mapper(settings(mapping={"consent.*": {"from": "ZCM-2", "values": MEDIA}}))
    assert mapper.explain(Payload(adt("A08", "ZCM|1|E~FAX"), "test#1", RECEIVED)).unmapped == [("ZCM-2[2]", "FAX")]
