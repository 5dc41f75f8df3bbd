"""Preferences of HL7 v2 messages in all their shapes: lists of allowed channels, the preferred phone by place."""

from __future__ import annotations

import pytest

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.site_mapping import MappingError
from store.preference import Statement
from tests.adapters.hl7v2.messages import RECEIVED, adt, settings, statements

FIRST = {"preferred_phone": {"by": "first"}}
MEDIA = {"E": "email", "T": "sms", "P": "voice", "M": "other", "X": "none"}


def test_a_list_of_approved_media_in_a_z_segment_is_a_permission_for_each_channel() -> None:
    rule = {"topic.appointments.*": {"from": "ZCM-2", "values": MEDIA, "others": "denied"}}
    said = statements(adt("A08", "ZCM|1|E~M"), mapping=rule)
    assert said["topic.appointments.email"] == Statement("granted", "ZCM-2[1]")
    assert said["topic.appointments.sms"] == Statement("denied", "ZCM-2[1]")
    assert said["topic.appointments.voice"] == Statement("denied", "ZCM-2[1]")
    assert not [name for name in statements(adt("A08", "ZCM|1|"), mapping=rule) if name.startswith("topic")]


def test_the_first_repetition_of_pid_13_is_preferred_where_the_site_says_so() -> None:
    body = adt(f13="(217)555-0123^PRN^PH~(217)555-0124^PRS^CP^^^^^^^^^^^^^^^1")
    assert statements(body, mapping=FIRST)["preferred_phone"] == Statement("+12175550123", "PID-13[1]")


@pytest.mark.parametrize("field", ["~(217)555-0124^PRS^CP", "^NET^Internet^pat@example.org~(217)555-0124^PRS^CP", ""])
def test_where_the_first_repetition_holds_no_phone_none_is_preferred(field: str) -> None:
    assert "preferred_phone" not in statements(adt(f13=field, f14="(217)555-0125"), mapping=FIRST)


def test_consent_for_each_number_is_not_read_from_messages() -> None:
    with pytest.raises(MappingError, match="number by number"):
        Hl7Mapper(settings(mapping={"consent.sms#*": {"from": "PID-13", "values": {"Y": "granted"}}}))


def test_a_code_that_no_rule_knows_is_shown_once_though_several_rules_read_it() -> None:
    mapper = Hl7Mapper(settings(mapping={"consent.*": {"from": "ZCM-2", "values": MEDIA}}))
    assert mapper.explain(Payload(adt("A08", "ZCM|1|E~FAX"), "test#1", RECEIVED)).unmapped == [("ZCM-2[2]", "FAX")]
