"""Retiring a source of records with periods: what one of them refuses is not lost behind another one that permits for a time."""

from __future__ import annotations

import pytest

from store.domain.lock import Actor
from store.holds.retire_source import Release
from store.runs.runs import Journal
from tests.store.domain.test_periods import DNC, FIRST, LAST, ask, dated, deny, fall_due, permit, phones, second, stored
from tests.store.site import FHIR, Site

PERSON = Actor("cli", "kim")
A, B = "Consent/a", "Consent/b"


def release(site: Site) -> Release:
    work = Release(site.store, Journal(site.database))
    work.release(FHIR, PERSON, site.tick())
    return work


@pytest.fixture
def fed(site: Site) -> Site:
    phones(site)
    with site.database.write(site.enterprise) as transaction:
        Journal(site.database).mark_received(transaction, FHIR, site.enterprise, now=site.now)
    return site


def test_what_a_record_refuses_behind_a_permission_with_an_end_counts_from_the_release_on(fed: Site) -> None:
    fed.apply(deny(0, None, record=A), permit(5, None, LAST, record=B), source=FHIR)
    assert stored(fed) == "granted"
    work = release(fed)
    assert (stored(fed), ask(fed).decision) == ("denied", "do_not_send")
    fall_due(fed, second(LAST))
    assert (stored(fed), ask(fed).decision) == ("denied", "do_not_send")
    work.undo(FHIR, PERSON, fed.tick())
    assert (stored(fed), ask(fed).decision) == ("denied", "do_not_send")


def test_behind_a_permission_that_begins_later_it_never_stopped_counting(fed: Site) -> None:
    fed.apply(deny(0, None, record=A), permit(5, FIRST, LAST, record=B), source=FHIR)
    release(fed)
    for moment in (fed.now, second(FIRST), second(LAST)):
        fall_due(fed, moment)
        assert stored(fed) == "denied"


def test_behind_a_permission_without_an_end_it_stays_what_it_was(fed: Site) -> None:
    fed.apply(deny(0, None, record=A), permit(5, None, None, record=B), source=FHIR)
    release(fed)
    assert stored(fed) == "granted"


def test_of_several_permissions_the_one_that_ends_last_does_not_hide_it_for_ever(fed: Site) -> None:
    fed.apply(deny(0, None, record=A), permit(5, None, FIRST, record=B), permit(6, None, LAST, record="Consent/c"), source=FHIR)
    release(fed)
    assert stored(fed) == "denied"


def test_so_is_it_of_do_not_contact_stated_by_the_patients_record(fed: Site) -> None:
    fed.apply(dated(0, said={DNC: "yes"}, record="Patient/p"), source=FHIR)
    fed.apply(dated(5, (DNC, LAST, None), said={DNC: "no"}, record=B), source=FHIR)
    was = fed.dnc("1")
    release(fed)
    fall_due(fed, second(LAST))
    assert (was, fed.dnc("1")) == ("no", "yes")


def test_a_refusal_that_begins_later_still_begins_then(fed: Site) -> None:
    fed.apply(permit(0, None, LAST, record=A), deny(5, FIRST, None, record=B), source=FHIR)
    release(fed)
    assert stored(fed) == "granted"
    fall_due(fed, second(FIRST))
    assert stored(fed) == "denied"
    fall_due(fed, second(LAST))
    assert stored(fed) == "denied"


def test_undone_before_that_the_permission_counts_until_its_end(fed: Site) -> None:
    fed.apply(deny(0, None, record=A), permit(5, None, LAST, record=B), source=FHIR)
    release(fed).undo(FHIR, PERSON, fed.tick())
    assert stored(fed) == "granted"
    fall_due(fed, second(LAST))
    assert stored(fed) == "denied"
