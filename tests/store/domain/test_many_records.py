"""More Consents and Flags of one patient than are kept to be read again: none that refuses is lost (product rules 5.1 and 5.8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.domain import source_codes
from store.preference import Codes
from tests.store.domain.test_periods import DNC, SMS, dated, fall_due, phones, stored
from tests.store.site import FHIR, Site, at, merges, says

MANY = source_codes.MOST + 4
DAY = 86_400


def record(number: int) -> str:
    return f"Consent/c{number:02d}"


@pytest.fixture
def crowded(site: Site) -> Site:
    """Each of many Consents refuses texts, the first one longest ago."""
    phones(site)
    site.apply(*(dated(number, said={SMS: "denied"}, record=record(number)) for number in range(MANY)), source=FHIR)
    return site


@pytest.mark.parametrize("stays", [0, 1, MANY // 2, MANY - 1])
def test_the_refusal_of_one_counts_after_all_others_ended(crowded: Site, stays: int) -> None:
    for number in range(MANY):
        if number != stays:
            crowded.apply(dated(100 + number, said={SMS: None}, record=record(number), version=2), source=FHIR)
            assert stored(crowded) == "denied"
    crowded.apply(dated(200, said={SMS: None}, record=record(stays), version=2), source=FHIR)
    assert stored(crowded) == "unknown"


@pytest.mark.parametrize("turned", [False, True])
def test_so_it_does_behind_many_that_permit_and_end(site: Site, turned: bool) -> None:
    phones(site)
    site.apply(dated(0, said={SMS: "denied"}, record="Consent/first"), source=FHIR)
    permits = [
        dated(1 + number, (SMS, at((40 + number) * DAY), None), said={SMS: "granted"}, record=record(number)) for number in range(MANY)
    ]
    site.apply(*(permits[::-1] if turned else permits), source=FHIR)
    assert stored(site) == "granted"
    fall_due(site, at(100 * DAY))
    assert stored(site) == "denied"


def test_beside_many_codes_of_a_message_a_record_still_refuses(site: Site) -> None:
    phones(site)
    site.apply(dated(0, said={DNC: "yes"}, record="Flag/f"), source=FHIR)
    for number in range(MANY):
        said = says("1", 1 + number, {DNC: "no"}, evidence=f"M{number}")
        site.apply(replace(said, codes={DNC: Codes("ZCP-2", ((f"C{number}", "ZCP-2"),))}), source=FHIR)
    assert site.dnc("1") == "no"
    site.apply(says("1", 500, {DNC: None}, evidence="END"), source=FHIR)
    assert site.dnc("1") == "yes"


def test_a_merge_of_two_patients_with_many_loses_none(crowded: Site) -> None:
    phones(crowded, "2")
    permits = [dated(50 + number, said={SMS: "granted"}, record=record(100 + number), patient="2") for number in range(MANY)]
    crowded.apply(*permits, source=FHIR)
    crowded.apply(merges("2", "1", 150), source=FHIR)
    for number in range(1, MANY):
        crowded.apply(dated(200 + number, said={SMS: None}, record=record(number), version=2, patient="2"), source=FHIR)
    assert stored(crowded, "2") == "denied"
