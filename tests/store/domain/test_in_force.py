"""Which assertion is in force, as tables (product sections 4 and 5). Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from store import times
from store.domain import effective
from store.domain.enterprise import Enterprise
from store.preference import Assertion, Phone
from tests.store.site import CELL, HOME, LOCAL, SYNCED, WORK, at, cell

ADT, FHIR, GONE, STAFF, PATIENT = "emr:adt", "emr:fhir", "emr:retired", "staff", "patient"
YES, NO, CLEAR = "yes", "no", None
DNC = "do_not_contact"


def in_force(said: dict[str, dict[str, Any]], enterprise: Enterprise = SYNCED) -> dict[str, tuple[Any, str]]:
    """Attribute -> value in force and its authority. What staff stated is a second older than what the sources did."""
    asserted = {
        authority: {name: Assertion(value, times.at(at(authority != STAFF)), at(0), "E", "path") for name, value in statements.items()}
        for authority, statements in said.items()
    }
    return {name: (one.value, one.authority) for name, one in effective.in_force(asserted, enterprise).items()}


class Row(NamedTuple):
    """What the two sources and staff say about Do Not Contact, and what is in force with sync on and off."""

    adt: str | None = "silent"
    fhir: str | None = "silent"
    staff: str | None = "silent"
    synced: tuple[str, str] | None = None
    local: tuple[str, str] | None = None


DO_NOT_CONTACT = [
    Row(),
    Row(adt=YES, synced=(YES, ADT)),
    Row(adt=NO, synced=(NO, ADT)),
    Row(adt=CLEAR),
    Row(adt=YES, fhir=NO, synced=(YES, ADT)),
    Row(adt=NO, fhir=YES, synced=(YES, FHIR)),
    Row(adt=NO, fhir=NO, synced=(NO, ADT)),
    Row(adt=CLEAR, fhir=YES, synced=(YES, FHIR)),
    Row(adt=CLEAR, fhir=NO, synced=(NO, FHIR)),
    Row(staff=YES, synced=(YES, STAFF), local=(YES, STAFF)),
    Row(staff=NO, synced=(NO, STAFF), local=(NO, STAFF)),
    Row(adt=NO, staff=YES, synced=(NO, ADT), local=(YES, STAFF)),
    Row(adt=YES, staff=NO, synced=(YES, ADT), local=(NO, STAFF)),
    Row(fhir=NO, staff=YES, synced=(NO, FHIR), local=(YES, STAFF)),
    Row(adt=CLEAR, staff=YES, synced=(YES, STAFF), local=(YES, STAFF)),
    Row(adt=CLEAR, fhir=NO, staff=YES, synced=(NO, FHIR), local=(YES, STAFF)),
    Row(adt=NO, fhir=YES, staff=YES, synced=(YES, FHIR), local=(YES, STAFF)),
]


@pytest.mark.parametrize("row", DO_NOT_CONTACT, ids=lambda row: f"adt {row.adt}, fhir {row.fhir}, staff {row.staff}")
def test_do_not_contact_is_yes_if_any_source_says_so_and_staff_yield_to_a_source_only(row: Row) -> None:
    said = {name: {DNC: value} for name, value in ((ADT, row.adt), (FHIR, row.fhir), (STAFF, row.staff)) if value != "silent"}
    assert in_force(said).get(DNC) == row.synced
    assert in_force(said, LOCAL).get(DNC) == row.local


def test_a_source_that_says_other_things_does_not_lift_a_local_do_not_contact() -> None:
    said = {ADT: {"language": "en", "preferred_method": "sms"}, STAFF: {DNC: YES}}
    assert in_force(said)[DNC] == (YES, STAFF)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [(DNC, YES), ("preferred_method", "sms"), ("preferred_phone", CELL), ("consent.sms", "denied"), ("topic.billing.sms", "denied")],
)
def test_without_sync_what_an_emr_says_about_it_is_kept_without_effect(attribute: str, value: str) -> None:
    said = {ADT: {attribute: value, "phones": (cell(),)}}
    assert attribute not in in_force(said, LOCAL)
    assert in_force(said)[attribute] == (value, ADT)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("phones", (cell(),)), ("email", ("pat@example.test",)), ("language", "es"), ("deceased", True), ("display_name", "Pat Example")],
)
def test_without_sync_a_source_still_brings_it(attribute: str, value: Any) -> None:
    assert in_force({ADT: {attribute: value}}, LOCAL) == {attribute: (value, ADT)}


@pytest.mark.parametrize("attribute", ["preferred_method", "preferred_phone", "phones", "email", "language", "active"])
def test_the_first_source_in_order_that_states_it_counts(attribute: str) -> None:
    values = {"phones": ((cell(CELL),), (cell(HOME),)), "email": (("a@example.test",), ("b@example.test",))}.get(attribute, ("x", "y"))
    said = {FHIR: {attribute: values[1]}, ADT: {attribute: values[0]}}
    assert in_force(said)[attribute] == (values[0], ADT)
    assert in_force(said, replace(SYNCED, sources=SYNCED.sources[::-1]))[attribute] == (values[1], FHIR)
    assert in_force({FHIR: {attribute: values[1]}, ADT: {attribute: None}})[attribute] == (values[1], FHIR)


def test_a_source_that_left_the_configuration_comes_after_those_that_are_in_it_and_before_people() -> None:
    said = {GONE: {"language": "fr"}, STAFF: {"language": "de"}}
    assert in_force(said)["language"] == ("fr", GONE)
    assert in_force({**said, FHIR: {"language": "es"}})["language"] == ("es", FHIR)


def test_a_source_that_left_the_configuration_still_forbids() -> None:
    assert in_force({GONE: {DNC: YES}, ADT: {DNC: NO}})[DNC] == (YES, GONE)


@pytest.mark.parametrize("attribute", ["consent.sms", "consent.voice", "consent.email", f"consent.sms#{CELL}", "topic.recall.sms"])
@pytest.mark.parametrize("denier", [ADT, FHIR, PATIENT])
def test_consent_is_denied_if_anybody_denies_it(attribute: str, denier: str) -> None:
    said = {name: {attribute: "denied" if name == denier else "granted"} for name in (ADT, FHIR, PATIENT)}
    assert in_force(said)[attribute] == ("denied", denier)


def test_a_clear_denies_nothing_and_grants_nothing() -> None:
    assert in_force({ADT: {"consent.sms": None}, FHIR: {"consent.sms": "denied"}})["consent.sms"] == ("denied", FHIR)
    assert "consent.sms" not in in_force({ADT: {"consent.sms": None}})


@pytest.mark.parametrize(("adt", "fhir", "expected"), [(True, False, ADT), (False, True, FHIR), (None, True, FHIR)])
@pytest.mark.parametrize("attribute", ["deceased", "restricted"])
def test_one_source_is_enough(attribute: str, adt: bool | None, fhir: bool, expected: str) -> None:
    assert in_force({ADT: {attribute: adt}, FHIR: {attribute: fhir}})[attribute] == (True, expected)


def test_phone_fields_of_one_source_are_one_list_and_no_number_comes_twice() -> None:
    said = {ADT: {"phones#PID-14": (cell(WORK), Phone(CELL, "work")), "phones#PID-13": (cell(CELL), cell(HOME))}}
    phones, authority = in_force(said)["phones"]
    assert [(phone.number, phone.kind) for phone in phones] == [(CELL, "cell"), (HOME, "cell"), (WORK, "cell")]
    assert authority == ADT


def test_phone_lists_of_two_sources_are_not_mixed() -> None:
    phones, _ = in_force({ADT: {"phones#PID-13": (cell(CELL),)}, FHIR: {"phones": (cell(HOME),)}})["phones"]
    assert [phone.number for phone in phones] == [CELL]


def test_a_preferred_number_that_is_not_on_file_is_no_preference() -> None:
    asserted = {
        ADT: {
            name: Assertion(value, times.at(at(0)), at(0), "E", "")
            for name, value in {"preferred_phone": HOME, "phones": (cell(),)}.items()
        }
    }
    assert effective.contact(effective.in_force(asserted, SYNCED)).preferred_phone is None
