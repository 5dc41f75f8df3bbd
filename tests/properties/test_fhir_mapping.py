"""The mapping handles any input, and permits nothing that the resource did not state."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.base import Filtered, Payload, Unmappable
from store.preference import PatientMerge, PatientStatements, Phone
from tests.adapters.fhir.made import RECEIVED, mapper, patient, payload

TEXTS = st.sampled_from(
    [
        "phone",
        "sms",
        "email",
        "217-555-0123",
        "+44 7911 123456",
        "a@example.org",
        "home",
        "old",
        "2026-01-01",
        "R",
        "Patient/p2",
        "replaced-by",
        "",
    ]
)
NAMES = st.sampled_from(
    [
        "resourceType", "id", "meta", "identifier", "telecom", "system", "value", "use", "rank", "period", "start", "end", "name",
        "given", "family", "text", "communication", "language", "preferred", "coding", "code", "deceasedBoolean",
        "deceasedDateTime", "active", "link", "other", "type", "reference", "extension", "url", "valueBoolean", "valueCode",
        "security", "lastUpdated", "versionId", "status", "subject", "patient", "provision", "decision", "category", "entry",
        "resource", "search", "mode",
    ]
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS, st.text(max_size=5))
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=25)
KINDS = st.sampled_from(["Patient", "Consent", "Flag", "Bundle", "Person"])
RESOURCE = st.builds(lambda kind, elements: {**elements, "resourceType": kind}, KINDS, st.dictionaries(NAMES, JSON, max_size=6))
MAPPING = {
    "consent.sms": {
        "from": "Patient.extension('u').value | Consent.provision.type",
        "values": {"true": "granted", "permit": "granted", "false": "denied"},
    },
    "do_not_contact": {
        "from": "Flag.code.coding.code | Patient.telecom.where(use = 'old').value",
        "values": {"R": "yes"},
        "on_unknown": "clear",
    },
}
MAPPER = mapper(mapping=MAPPING)
POINT = st.fixed_dictionaries({}, optional={"system": TEXTS, "value": TEXTS, "use": TEXTS, "rank": st.integers(-1, 3)})


@given(st.one_of(RESOURCE, JSON))
@example({"resourceType": "Patient", "identifier": 1})
def test_any_json_is_mapped_and_explained(resource: Any) -> None:
    items = MAPPER.read(payload(resource))
    assert all(isinstance(item, PatientStatements | PatientMerge | Filtered | Unmappable) for item in items)
    assert list(MAPPER.explain(payload(resource)).items) == items
    for item in items:
        if isinstance(item, PatientStatements):
            assert item.identifiers
            assert item.effective.earliest.tzinfo is not None
            assert item.effective.earliest <= item.effective.latest
            assert (
                "granted" not in [statement.value for statement in item.statements.values()]
                or b"true" in payload(resource).body
                or b"permit" in payload(resource).body
            )


@given(st.binary(max_size=60))
def test_any_bytes_are_rejected_or_mapped(body: bytes) -> None:
    (item,) = MAPPER.read(Payload(body, "x", RECEIVED)) or [None]
    assert item is None or isinstance(item, Unmappable | PatientStatements | Filtered)


@given(st.lists(POINT, max_size=5))
def test_phones_are_e164_and_preferred_is_one_of_them(entries: list[dict[str, Any]]) -> None:
    (item,) = MAPPER.read(payload(patient(telecom=entries)))
    if isinstance(item, Unmappable):
        return
    assert isinstance(item, PatientStatements)
    phones: tuple[Phone, ...] = item.statements["phones"].value or () if "phones" in item.statements else ()
    assert all(phone.number.startswith("+") and phone.number[1:].isdigit() for phone in phones)
    preferred = item.statements.get("preferred_phone")
    assert preferred is None or preferred.value in [phone.number for phone in phones]
    assert len({phone.number for phone in phones}) == len(phones)


@given(RESOURCE)
def test_mapping_twice_gives_the_same_result(resource: dict[str, Any]) -> None:
    body = json.dumps(resource).encode()
    assert MAPPER.read(Payload(body, "x", RECEIVED)) == MAPPER.read(Payload(body, "x", RECEIVED))


@given(RESOURCE)
def test_details_and_reasons_never_contain_a_value(resource: dict[str, Any]) -> None:
    marked = json.loads(json.dumps(resource).replace("217-555-0123", "SECRET-555").replace("a@example.org", "SECRET@x"))
    for item in MAPPER.read(payload(marked)):
        told = [item.detail, item.reason, item.path] if isinstance(item, Unmappable) else list(getattr(item, "problems", ()))
        assert "SECRET" not in repr(told)
