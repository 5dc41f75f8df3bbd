"""For any input from a JSON API, the mapping succeeds, permits nothing that was not stated, and quotes nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Unmappable
from store.preference import PatientMerge, PatientStatements
from tests.adapters.rest.made import mapper, payload

TEXTS = st.sampled_from(["", "true", "false", "Y", "0000-00-00", "217-555-0101", "pat@example.org", "es", "declined", "\u0000", "é"])
SIMPLE = st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("phone"), inner, max_size=3))
ENTRY = st.fixed_dictionaries({}, optional=dict.fromkeys(("phone", "type", "order", "deleted", "may_text", "email"), VALUES))
RECORD = st.fixed_dictionaries(
    {"id": SIMPLE},
    optional=dict.fromkeys(("chart", "cell", "email", "vip", "texting", "spoken", "best", "updated_at", "merged_into", "first"), VALUES)
    | {"phones": st.lists(ENTRY, max_size=3) | VALUES, "emails": st.lists(ENTRY, max_size=2)},
)
YES_NO = {"true": "granted", "false": "denied"}
MAPPER = mapper(
    {
        "consent.sms": {"from": "texting", "values": YES_NO, "on_unknown": "most_restrictive"},
        "consent.sms#*": {"from": "phones.may_text", "values": YES_NO, "on_unknown": "no_statement"},
        "restricted": {"from": "vip", "values": {"true": "true", "false": "false"}, "on_unknown": "no_statement"},
        "language": {"from": "spoken"},
        "preferred_phone": {"from": "best"},
    }
)


@given(RECORD)
def test_every_record_is_mapped_or_rejected_with_a_reason(record: dict[str, Any]) -> None:
    for item in MAPPER.read(payload(record)):
        assert isinstance(item, (PatientStatements, PatientMerge, Unmappable))
        if isinstance(item, Unmappable):
            assert item.reason
            assert "217-555" not in item.detail
            assert "pat@" not in item.detail
    assert MAPPER.explain(payload(record)).items is not None


@given(RECORD)
def test_nothing_is_permitted_that_the_record_does_not_state(record: dict[str, Any]) -> None:
    said = json.dumps(record).lower()
    for item in MAPPER.read(payload(record)):
        if isinstance(item, PatientStatements):
            granted = [name for name, one in item.statements.items() if one.value == "granted"]
            assert not granted or "true" in said


@given(RECORD)
def test_a_restricted_record_withdraws_no_refusal(record: dict[str, Any]) -> None:
    for item in MAPPER.read(payload(record | {"vip": True})):
        if isinstance(item, PatientStatements):
            assert all(one.value is not None for one in item.statements.values())


@given(st.binary(max_size=60))
def test_bytes_without_a_record_are_rejected(body: bytes) -> None:
    for item in MAPPER.read(payload(body)):
        assert isinstance(item, (PatientStatements, PatientMerge, Unmappable))
