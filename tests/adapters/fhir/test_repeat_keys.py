"""A record that came before is recognized by its bytes, unless it would be read otherwise now."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.base import Payload
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.options import MapperOptions
from adapters.fhir.repeat_keys import RepeatKeys
from store.preference import PatientStatements
from tests.adapters.fhir.made import RECEIVED, identifier, mapper, patient, payload, settings

DNC = {"from": "Patient.extension('dnc').valueCode", "values": {"Y": "yes", "N": "no"}}
LATER = "2026-11-01T12:20:00Z"


def repeat_key(by: FhirMapper, resource: Any, **received: Any) -> str:
    """The repeat key of the only item that a record is read as."""
    (item,) = by.read(payload(resource)._replace(**received))
    assert isinstance(item, PatientStatements)
    return item.repeat_key


def glanced(by: FhirMapper, resource: Any, **received: Any) -> str:
    found = by.glance(payload(resource)._replace(**received))
    return "" if found is None else found.repeat_key


def test_a_glance_tells_whom_a_record_is_about_and_when_it_changed_but_not_what_it_states() -> None:
    resource = patient(active=True, birthDate="1980-02-03")
    (item,), glance = mapper().read(payload(resource)), mapper().glance(payload(resource))
    assert isinstance(item, PatientStatements)
    assert glance is not None
    of_both = ("identifiers", "effective", "evidence_id", "version", "locator", "repeat_key")
    assert [getattr(glance, name) for name in of_both] == [getattr(item, name) for name in of_both]
    assert (glance.repeat_key != "", glance.is_read, dict(glance.statements)) == (True, False, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"mapping": {"do_not_contact": DNC | {"values": {"Y": "no", "N": "yes"}}}},
        {"default_region": "GB"},
        {"time_zone": "America/Chicago"},
        {"authorities": {"https://hospital.example/mrn": "ANOTHER"}},
        {"identifier_type": "PI"},
        {"keep_names": False},
        {"keep_birth_dates": False},
        {"linking": frozenset({"MPI"})},
        {"placeholders": frozenset({"m9"})},
        {"contact": {"use": {"x": "mobile"}}},
        {"languages": {"x": "de"}},
        {"options": {"trust_last_updated": False}},
        {"options": {"understood": ["https://hospital.example/modifier"]}},
        {"options": {"base_url": "https://other.example/fhir"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_is_another_line_to_a_source_that_reads_in_another_way(changes: dict[str, Any]) -> None:
    usual = {"mapping": {"do_not_contact": DNC}}
    before, after = (glanced(mapper(**(usual | more)), patient()) for more in ({}, changes))
    assert before != after


def test_a_record_is_another_line_to_another_release_of_the_program() -> None:
    keys = [RepeatKeys(settings(), MapperOptions(), *release).of(b"{}", "2026-11-01") for release in ((), (), (lambda: "another",))]
    assert keys[0] == keys[1] != keys[2]


def test_how_a_server_is_reached_is_no_part_of_a_line() -> None:
    options = {"auth": {"kind": "basic", "password": "x"}, "timeout": 30, "page_size": 10}
    assert glanced(mapper(options=options), patient()) == glanced(mapper(), patient()) != ""


@pytest.mark.parametrize(
    "resource",
    [
        patient(telecom=[{"system": "phone", "value": "+12175550101", "period": {"end": "2026-11-01"}}]),
        patient(identifier=[identifier(period={"end": "2026-11-01"})]),
        json.dumps(patient(name=[{"text": "Ann", "period": {}}])).replace("period", "p\\u0065riod").encode(),
        json.dumps(patient(name=[{"text": "Ann", "period": {}}])).replace("period", "\\u0070eriod").encode(),
    ],
    ids=["phone", "identifier", "an escaped e", "an escaped p"],
)
def test_a_record_with_a_period_is_recognized_on_the_same_day_only(resource: Any) -> None:
    today = repeat_key(mapper(), resource)
    assert today
    assert glanced(mapper(), resource, received=RECEIVED + timedelta(hours=1)) == today
    assert glanced(mapper(), resource, received=RECEIVED + timedelta(days=1)) != today


def test_a_record_without_a_period_is_recognized_on_any_day() -> None:
    assert repeat_key(mapper(), patient()) == glanced(mapper(), patient(), received=RECEIVED + timedelta(days=400)) != ""


@pytest.mark.parametrize(
    "resource",
    [
        patient(telecom=[{"system": "phone", "value": "call me"}]),
        patient(deceasedBoolean="perhaps"),
        patient(meta={"lastUpdated": "yesterday"}),
        patient(meta={"lastUpdated": LATER}),
        patient(modifierExtension=[{"url": "https://hospital.example/not"}]),
        patient(link=[{"type": "seealso", "other": {"reference": "Patient/p2"}}]),
        patient(identifier=[identifier("M1"), identifier("M2")]),
        json.dumps(patient(name=[{"text": "Jos\xe9"}]), ensure_ascii=False).encode("latin-1"),
    ],
    ids=["phone", "deceased", "time", "future", "modifier", "link", "two own identifiers", "invalid bytes"],
)
def test_a_record_of_which_something_could_not_be_used_is_read_each_time(resource: Any) -> None:
    assert all(not item.repeat_key for item in mapper().read(payload(resource)) if isinstance(item, PatientStatements))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'{"resourceType":"Patient"',
        b'{"resourceType":7}',
        b'{"resourceType":"Consent","id":"c1"}',
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Patient","id":{"x":1},"meta":[],"identifier":"M1"}',
        b'{"resourceType":"Patient","id":"p1","meta":{"lastUpdated":"soon"}}',
        b'{"resourceType":"Bundle","entry":[]}',
        b'{"id":"p1"}',
        b"\xff\xfe\x00",
        b'{"resourceType":"Patient","id":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    ],
)
def test_anything_but_a_patient_that_can_be_told_is_left_to_be_read(body: bytes) -> None:
    assert mapper().glance(Payload(body, "file:1", RECEIVED)) is None


def test_a_byte_order_mark_is_no_obstacle() -> None:
    body = b"\xef\xbb\xbf" + json.dumps(patient()).encode()
    assert repeat_key(mapper(), body) == glanced(mapper(), body) != ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType":"Consent","id":"c1","patient":{"reference":"Patient/p1"}}',
        b'{"resourceType":"Patient","id":"p1","resourceType":"Consent"}',
        b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"p1"}}]}',
        b'{"resourceType":"Patient"',
        b'{"resourceType":7}',
        b'["Patient"]',
        b"",
    ],
    ids=["consent", "two types", "bundle", "cut", "no text", "list", "empty"],
)
def test_an_adapter_hands_over_what_is_no_patient_as_it_reads_it(body: bytes) -> None:
    received = Payload(body, "Patient/page-1#0", RECEIVED)
    assert mapper().unread(received) == mapper().read_unconfirmed(received) != []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(patient()).encode(),
        b"\xef\xbb\xbf" + json.dumps(patient()).encode(),
        json.dumps(patient(name=[{"text": "Jos\xe9"}]), ensure_ascii=False).encode("latin-1"),
    ],
    ids=["usual", "byte order mark", "invalid bytes"],
)
def test_an_adapter_hands_a_patient_over_unread(body: bytes) -> None:
    received = Payload(body, "Patient/page-1#0", RECEIVED)
    assert mapper().unread(received) == [received]
