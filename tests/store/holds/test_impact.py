"""The preview of a release counts whose values would become another source's, and whom that makes more contactable; then it is so."""

from __future__ import annotations

from typing import Any

import pytest

from store.holds.retire_source import Preview
from tests.store.holds.test_retire_source import Retiring
from tests.store.site import ADT, CELL, FHIR, HOME, Site, cell, says

NONE = {"do_not_contact": "yes", "consent.sms": "denied", "preferred_method": "none", "phones": (cell(),), "language": "es"}
OTHER = {"preferred_method": "sms", "phones": (cell(HOME),), "language": "es"}


@pytest.fixture
def retiring(site: Site) -> Retiring:
    """Of three patients the second source knows two; it agrees about the language only."""
    found = Retiring(site)
    found.hears(*(says(patient, 0, NONE) for patient in "123"))
    found.hears(*(says(patient, 0, OTHER) for patient in "12"), source=FHIR)
    return found


def preview(retiring: Retiring) -> Preview:
    return retiring.work.preview(ADT, retiring.site.now)


def values(retiring: Retiring, patient: str) -> list[Any]:
    found = retiring.site.find(patient).contact
    return [found.do_not_contact, found.consents.get("sms"), found.preferred_method, [phone.number for phone in found.phones]]


def test_it_counts_what_another_source_would_put_in_force_even_against_a_none(retiring: Retiring) -> None:
    found = preview(retiring)
    assert (found.patients, found.changes) == (3, {"phones": 2, "preferred_method": 2})
    assert found.more_contactable == {"phones replaced": 2, "preferred_method none->sms": 2}


def test_and_so_it_becomes_while_every_opt_out_stays(retiring: Retiring) -> None:
    retiring.release()
    for patient in "12":
        assert values(retiring, patient) == ["yes", "denied", "sms", [HOME]]
    assert values(retiring, "3") == ["yes", "denied", "none", [CELL]]


def test_undoing_brings_the_none_back(retiring: Retiring) -> None:
    retiring.release()
    retiring.undo()
    assert [values(retiring, patient) for patient in "123"] == [["yes", "denied", "none", [CELL]]] * 3


def test_where_no_other_source_speaks_nothing_changes(site: Site) -> None:
    retiring = Retiring(site)
    retiring.hears(says("1", 0, NONE))
    assert (preview(retiring).changes, preview(retiring).more_contactable) == ({}, {})


def test_a_source_of_lower_precedence_that_goes_changes_nothing_of_the_first(retiring: Retiring) -> None:
    found = retiring.work.preview(FHIR, retiring.site.now)
    assert (found.patients, found.changes, found.more_contactable) == (2, {}, {})
