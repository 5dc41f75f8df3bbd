"""Bytes of another character set, halves of characters, NUL, odd escapes: what is illegible takes nothing with it that can be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import Unmappable
from adapters.fhir import bundle
from adapters.mapping.legible import MARK, repaired
from store.preference import PatientStatements
from tests.adapters.fhir.made import mapper, patient, payload, read
from tests.adapters.fhir.test_records import DNC, SMS, consent, flag

ODD = [b"\xff", b"M\xfcller", b"\\ud800", b"a\\u0000", b"\\q", b"\x00"]
RULE = {"do_not_contact": {"from": "Patient.extension('https://e.example/dnc').valueCode", "values": {"Y": "yes", "N": "no"}}}
BOM = b"\xef\xbb\xbf"


def spoiled(resource: dict[str, Any], odd: bytes) -> bytes:
    """The resource, with odd bytes in the place of ``~``."""
    return json.dumps(resource).encode().replace(b"~", odd)


def dnc(code: str, **elements: Any) -> dict[str, Any]:
    return patient(extension=[{"url": "https://e.example/dnc", "valueCode": code}], **elements)


def only(resource: dict[str, Any], odd: bytes, **changes: Any) -> PatientStatements:
    (item,) = read(spoiled(resource, odd), **changes)
    assert isinstance(item, PatientStatements), item
    return item


@pytest.mark.parametrize("odd", ODD)
def test_a_refusal_counts_beside_an_illegible_name(odd: bytes) -> None:
    found = only(dnc("Y", name=[{"family": "~", "given": ["Ann"]}]), odd, mapping=RULE)
    assert {name: one.value for name, one in found.statements.items()} == {"do_not_contact": "yes", "display_name": "Ann"}
    assert [(one.reason, one.path, one.attribute) for one in found.problems] == [
        ("text_unreadable", "Patient.name[0].family", "display_name")
    ]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("unknown", ["reject", "no_statement", "clear"])
def test_an_illegible_code_is_a_problem_of_its_attribute_and_takes_nothing_back(odd: bytes, unknown: str) -> None:
    found = only(dnc("~", active=True), odd, mapping={"do_not_contact": RULE["do_not_contact"] | {"on_unknown": unknown}})
    assert set(found.statements) == {"active"}
    assert {one.attribute for one in found.problems} == {"do_not_contact"}


@pytest.mark.parametrize("odd", ODD)
def test_illegible_identifiers_name_nobody(odd: bytes) -> None:
    found = only(patient(identifier=[{"system": "https://hospital.example/mrn", "value": "~"}]), odd)
    assert [one.value for one in found.identifiers] == ["p1"]
    (item,) = read(spoiled({"resourceType": "Patient", "id": "~", "active": True}, odd))
    assert isinstance(item, Unmappable)
    assert item.reason in ("not_json", "nul_character")


def test_illegible_phone_takes_no_phone_back_and_no_other_with_it() -> None:
    assert "phones" not in only(patient(telecom=[{"system": "phone", "value": "~"}]), b"\xff").statements
    entries = [{"system": "phone", "value": "~"}, {"system": "phone", "value": "217-555-0101"}]
    assert [one.number for one in only(patient(telecom=entries), b"\xff").statements["phones"].value] == ["+12175550101"]


@pytest.mark.parametrize("odd", ODD)
def test_consent_and_flag_are_read_beside_what_is_illegible(odd: bytes) -> None:
    note = [{"url": "https://e.example/note", "valueString": "~"}]
    assert only(consent(decision="deny", extension=note), odd, options=SMS).statements["consent.sms"].value == "denied"
    assert only(flag(extension=note), odd, mapping=DNC).statements["do_not_contact"].value == "yes"
    found = only(consent(decision="~"), odd, options=SMS)
    assert (found.statements, {one.attribute for one in found.problems}) == ({}, {"consent.sms"})
    found = only(flag(status="~"), odd, mapping=DNC)
    assert (found.statements, [one.reason for one in found.problems]) == ({}, ["status_unknown"])


@pytest.mark.parametrize("odd", ODD)
def test_an_illegible_entry_of_a_bundle_takes_no_other_with_it(odd: bytes) -> None:
    entries = [{"resource": {"resourceType": "Patient", "id": "~"}}, {"resource": dnc("Y")}]
    first, second = read(spoiled({"resourceType": "Bundle", "entry": entries}, odd), mapping=RULE)
    assert isinstance(first, Unmappable)
    assert isinstance(second, PatientStatements)
    assert second.statements["do_not_contact"].value == "yes"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("mark", [b"", BOM])
def test_a_page_of_a_search_is_read_with_a_byte_order_mark_and_beside_an_illegible_entry(odd: bytes, mark: bytes) -> None:
    entries = [{"resource": dnc("Y", name=[{"text": "~"}])}, {"resource": {"resourceType": "Patient", "id": "p2"}}]
    found = bundle.read(mark + spoiled({"resourceType": "Bundle", "entry": entries}, odd), "https://ehr.example/Patient")
    items = [item for body in found.resources for item in mapper(mapping=RULE).read(payload(body))]
    assert [type(item) for item in items] == [PatientStatements, PatientStatements]
    assert isinstance(items[0], PatientStatements)
    assert items[0].statements["do_not_contact"].value == "yes"
    assert [one.path for one in items[0].problems] == ["Patient.name[0].text"]


def test_bundle_with_a_byte_order_mark_is_read() -> None:
    (item,) = read(BOM + json.dumps({"resourceType": "Bundle", "entry": [{"resource": dnc("Y")}]}).encode(), mapping=RULE)
    assert isinstance(item, PatientStatements)


def test_bundles_within_bundles_without_end_are_rejected() -> None:
    body = b'{"resourceType":"Bundle","entry":[{"resource":' * 300 + b"{}" + b"}]}" * 300
    (item,) = read(body)
    assert isinstance(item, Unmappable)


@pytest.mark.parametrize(
    ("body", "legible"),
    [
        (b'{"a": "x\xff", "b": "\xc3\xa9"}', {"a": MARK, "b": "é"}),
        (b'{"a": "\\ud83d\\ude00", "b": ["\\ud83d", 1.5, null, true]}', {"a": "😀", "b": [MARK, 1.5, None, True]}),
        (b'{"a": "\\\\ud800 \\" \\q"}', {"a": MARK}),
        (b'{"a": "\\\\u0000", "b": "line\nbreak"}', {"a": "\\u0000", "b": "line\nbreak"}),
        (BOM + b'{"a\x00": 1}', {MARK: 1}),
    ],
)
def test_only_what_is_illegible_is_exchanged(body: bytes, legible: Any) -> None:
    assert json.loads(repaired(body)) == legible


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"MSH|^~", b"{'a': 1}"])
def test_what_is_no_json_stays_so(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own, of several kinds
        repaired(body)
