"""A lock never outlives its master in silence, and never opens by accident: whatever somebody renames or leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Role
from store.domain.patient import PatientRef
from store.errors import PatientUnknown, PreferenceLocked
from store.holds.configuration_change import Proposal
from store.holds.retire_source import Release
from store.runs.runs import Journal
from store.runs.source_notes import SourceNotes
from store.users.api_keys import ApiKeys
from store.web.api.health import Health
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails
from tests.store.site import ADT, ENTERPRISE_USER, FHIR, HOSPITAL, SYNCED, Site, says

NO = {"do_not_contact": "yes", "preferred_phone": None}
GONE = replace(SYNCED, sources=SYNCED.sources[1:])
ALL_GONE = replace(SYNCED, sources=())
RENAMED = replace(SYNCED, sources=(Source("adt-new", "Hospital ADT"), *SYNCED.sources[1:]))
RETITLED = replace(SYNCED, sources=(Source(ADT, "The new EMR"), *SYNCED.sources[1:]))
ELSEWHERE = replace(SYNCED, name="hospital-group")


def locked_by(site: Site, patient: str = "1") -> str:
    """Where the refusal to flip the toggle says that it is to be changed."""
    with pytest.raises(PreferenceLocked) as refusal:
        site.flip(patient, "no")
    return refusal.value.where


def hears(site: Site, source: str = ADT) -> None:
    with site.database.write(site.enterprise) as transaction:
        Journal(site.database).mark_received(transaction, source, site.enterprise, now=site.tick())


def orphans(site: Site) -> list[str]:
    return Release(site.store, Journal(site.database)).orphans()


def states(site: Site) -> dict[str, str]:
    """What /readyz says of each source."""
    return {one.source: one.state for one in Health(site.store, None, site.tick).readiness().sources}


@pytest.fixture
def site(site: Site) -> Site:
    """A patient whom the first source masters."""
    site.apply(says("1", 0, NO))
    hears(site)
    return site


@pytest.mark.parametrize("changed", [GONE, ALL_GONE], ids=["this source", "every source"])
def test_a_source_that_left_the_configuration_still_locks_and_is_reported(site: Site, changed: Enterprise) -> None:
    later = site.configured(changed)
    assert (later.dnc("1"), locked_by(later)) == ("yes", ADT)
    assert orphans(later) == [ADT]
    assert states(later)[ADT] == "orphan"
    assert Health(later.store, None, later.tick).readiness().degraded


def test_what_left_is_stale_for_senders(site: Site) -> None:
    assert site.configured(GONE).known("1").stale


def test_a_source_under_another_name_is_another_source_and_the_former_still_locks(site: Site) -> None:
    later = site.configured(RENAMED)
    assert (locked_by(later), orphans(later)) == (ADT, [ADT])
    later.apply(says("1", 5, {"do_not_contact": "no"}), source="adt-new")
    hears(later, "adt-new")
    assert later.dnc("1") == "yes", "the former's refusal stands until it is released, and after"
    Release(later.store, Journal(later.database)).release(ADT, ENTERPRISE_USER, later.tick())
    assert (later.dnc("1"), orphans(later)) == ("yes", [])
    assert locked_by(later) == "Hospital ADT"
    later.apply(says("1", 20_000, {"do_not_contact": "no"}), source="adt-new")
    assert later.dnc("1") == "no", "what the new one states after the release counts, also what it only repeats"


def test_another_display_name_changes_what_people_read_and_nothing_else(site: Site) -> None:
    later = site.configured(RETITLED)
    assert (locked_by(later), later.dnc("1"), orphans(later)) == ("The new EMR", "yes", [])
    assert later.enterprises[HOSPITAL].basis == site.enterprises[HOSPITAL].basis
    for configured in (SYNCED, RETITLED):
        assert Proposal(site.database, configured).propose(lambda synced, patients: False, site.tick()) is None


def test_under_another_enterprise_name_nobody_is_known_and_no_key_opens(site: Site) -> None:
    later = Site(site.database, ELSEWHERE)
    with pytest.raises(PatientUnknown):
        later.store.find("hospital-group", PatientRef(authority="GENHOSP", value="1"))
    keys = ApiKeys(site.database)
    _, secret = keys.create("sender", HOSPITAL, Role.SENDER, site.now)
    with pytest.raises(ProblemDetails) as refusal:
        Callers(keys, later.store.enterprises, Lanes.create(), later.tick).verify({"authorization": f"Bearer {secret}"})
    assert (refusal.value.status, refusal.value.code) == (403, "enterprise_unknown")


def test_a_renamed_enterprise_is_read_from_the_beginning(site: Site) -> None:
    """Its cursor stands behind refusals that the new name never heard."""
    journal = Journal(site.database)
    run = journal.start(ADT, HOSPITAL, "incremental", now=site.tick())
    with site.database.write(HOSPITAL) as transaction:
        journal.progress(transaction, run, {}, "page 7", now=site.tick())
    SourceNotes(site.database, ADT, HOSPITAL).change("members", lambda _: "known")
    journal.forget_other_enterprise(ADT, HOSPITAL)
    assert journal.cursor(ADT) == "page 7"
    journal.forget_other_enterprise(ADT, "hospital-group")
    assert (journal.cursor(ADT), SourceNotes(site.database, ADT, "hospital-group").read("members")) == (None, None)


def test_the_former_name_finds_everything_as_it_was(site: Site) -> None:
    Site(site.database, ELSEWHERE).apply(says("1", 5, {"do_not_contact": "no"}), source=FHIR)
    assert (site.dnc("1"), locked_by(site)) == ("yes", "Hospital ADT")
