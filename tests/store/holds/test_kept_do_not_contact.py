"""A local Do Not Contact that a merge keeps, before the safeguard, a retired source, and what is undone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import times
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.holds.gate import HoldAll
from store.holds.retire_source import Release
from store.runs.runs import Journal
from tests.store.site import ADT, FHIR, LOCAL, SYNCED, Site, at, merges, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}
OPERATOR = Actor(Role.OPERATOR, "robin")


@pytest.fixture
def kept(site: Site) -> Site:
    """Staff said yes of record 1 before sync; record 2, of which the EMR had said no, became one with it."""
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1, NO))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    with site.database.write(site.enterprise) as transaction:
        Journal(site.database).mark_received(transaction, ADT, site.enterprise, now=synced.now)
    synced.apply(merges("1", "2", 20_000))
    assert synced.dnc("1") == "yes"
    return synced


def releases(site: Site) -> Release:
    return Release(site.store, Journal(site.database))


@pytest.mark.parametrize("said", [YES, NO])
def test_the_safeguard_holds_the_statement_that_would_lift_it(kept: Site, said: dict[str, str]) -> None:
    kept.apply(says("2", 2, said))
    kept.now = at(30_000)
    with kept.database.write(kept.enterprise) as transaction:
        outcomes = kept.store.apply_many(
            transaction, kept.enterprise, ADT, [says("1", 30_000, NO)], now=kept.tick(), run_id="run", guard=HoldAll("run")
        )
    assert [one.outcome for one in outcomes] == ["held"]
    assert kept.dnc("1") == "yes"


@pytest.mark.parametrize(("earliest", "latest", "stands"), [(19_000, 40_000, "yes"), (20_000, 20_000, "yes"), (20_001, 40_000, "no")])
def test_it_ends_by_what_is_entirely_later_than_the_merge(kept: Site, earliest: int, latest: int, stands: str) -> None:
    kept.apply(replace(says("1", 0, NO), effective=times.Time(at(earliest), at(latest))))
    assert kept.dnc("1") == stands


def test_what_the_other_record_had_said_before_a_merge_that_is_told_late_does_not_end_it(site: Site) -> None:
    """The merge is dated before the other record's no: that was about the other record all the same."""
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.apply(says("2", 15_000, NO))
    synced.apply(merges("1", "2", 12_000))
    assert synced.dnc("1") == "yes"
    synced.apply(says("1", 16_000, NO))
    assert synced.dnc("1") == "no"


def test_it_stands_when_the_source_that_had_said_no_is_retired_and_another_one_is_late(kept: Site) -> None:
    releases(kept).release(ADT, OPERATOR, kept.tick())
    kept.apply(says("1", 5, NO), source=FHIR)
    assert kept.dnc("1") == "yes"
    kept.apply(says("1", 30_000, NO), source=FHIR)
    assert kept.dnc("1") == "no"


def test_it_stands_when_retiring_is_undone(kept: Site) -> None:
    releases(kept).release(ADT, OPERATOR, kept.tick())
    releases(kept).undo(ADT, OPERATOR, kept.tick())
    assert kept.dnc("1") == "yes"
    kept.apply(says("1", 30_000, NO))
    assert kept.dnc("1") == "no"


def test_one_that_came_from_a_retired_source_survives_a_merge_and_its_undoing(site: Site) -> None:
    site.apply(says("1", 1, YES), says("2", 1))
    site.apply(says("2", 2, NO), source=FHIR)
    with site.database.write(site.enterprise) as transaction:
        Journal(site.database).mark_received(transaction, ADT, site.enterprise, now=site.now)
    releases(site).release(ADT, OPERATOR, site.tick())
    site.apply(merges("2", "1", 100), source=FHIR)
    assert site.dnc("1") == "yes"
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="1"), actor=OPERATOR, reason="", now=site.tick())
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")
    releases(site).undo(ADT, OPERATOR, site.tick())
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")
    assert [mark.source for mark in site.find("1").marks] == [ADT]


def test_what_a_source_said_since_a_merge_holds_for_both_though_it_was_retired(kept: Site) -> None:
    kept.apply(says("2", 21_000, YES))
    releases(kept).release(ADT, OPERATOR, kept.tick())
    kept.store.unmerge(kept.enterprise, PatientRef(authority="GENHOSP", value="2"), actor=OPERATOR, reason="", now=kept.tick())
    assert (kept.dnc("1"), kept.dnc("2")) == ("yes", "yes")
    assert [kept.find(value).marks for value in "12"] == [(), ()]


@pytest.mark.parametrize("name", ["1", "2"])
@pytest.mark.parametrize("said", [YES, NO])
def test_what_the_source_repeats_since_the_merge_lifts_it_as_something_new_does(kept: Site, name: str, said: dict[str, str]) -> None:
    kept.apply(says("2", 2, said))
    assert kept.dnc("1") == "yes"
    kept.apply(says(name, 30_000, said))
    assert (kept.dnc("1"), kept.find("1").preferences["do_not_contact"].authority) == (said["do_not_contact"], f"emr:{ADT}")
    assert kept.store.history(kept.enterprise, kept.find("1").id)[0].attribute == "do_not_contact"
    kept.apply(says(name, 30_001, NO))
    assert kept.dnc("1") == "no"


@pytest.mark.parametrize("seconds", [1, 2, 15_000, 20_000])
def test_what_the_source_repeats_from_before_the_merge_does_not_lift_it(kept: Site, seconds: int) -> None:
    for name in "12":
        kept.apply(says(name, seconds, NO, evidence=f"again {name}"))
        assert kept.dnc("1") == "yes"


@pytest.mark.parametrize("said", [{}, {"language": "es"}, {"do_not_contact": None}])
def test_what_does_not_state_it_does_not_lift_it(kept: Site, said: dict[str, str | None]) -> None:
    kept.apply(says("2", 30_000, said))
    assert kept.dnc("1") == "yes"


def test_a_merge_that_is_dated_before_staff_said_it_does_not_make_it_older(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1), says("2", 1, NO))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.apply(merges("1", "2", 100))
    synced.apply(says("1", 5_000, NO), says("2", 9_000, NO))
    assert synced.dnc("1") == "yes"
    synced.apply(says("1", 20_000, NO))
    assert synced.dnc("1") == "no"


def test_a_local_do_not_contact_without_a_merge_yields_to_what_the_source_repeats_since(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 1))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.apply(says("1", 2, NO))
    synced.apply(says("1", 3, NO))
    assert synced.dnc("1") == "yes", "both are from before"
    synced.apply(says("1", 30_000, NO))
    assert (synced.dnc("1"), synced.find("1").preferences["do_not_contact"].authority) == ("no", f"emr:{ADT}")
