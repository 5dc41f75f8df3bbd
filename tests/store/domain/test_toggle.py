"""Every cell of the toggle's table (product section 4), through the store, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.domain.lock import Actor, Role
from store.errors import PreferenceLocked, RoleRefused, StoreError, ToggleOff, ValueRefused, VersionConflict
from store.preference import Statement
from tests.store.site import ADT, FHIR, LOCAL, SYNCED, Site, at, says

OFF = replace(LOCAL, do_not_contact_toggle=False)
SYNCED_WITH_SETTING = replace(SYNCED, do_not_contact_toggle=True)
MERELY_CONFIGURED = replace(SYNCED, sources=())
LOCKED, CLOSED, REFUSED = PreferenceLocked, ToggleOff, RoleRefused

TABLE: list[tuple[Enterprise, str, type[StoreError] | None, tuple[bool, bool, str]]] = [
    *((OFF, role, CLOSED, (False, False, "setting_off")) for role in Role),
    (LOCAL, Role.ENTERPRISE, None, (True, True, "")),
    *((LOCAL, role, REFUSED, (True, False, "role_may_not")) for role in Role if role != Role.ENTERPRISE),
    *((SYNCED, role, LOCKED, (True, False, "mastered_by_emr")) for role in Role),
    *((SYNCED_WITH_SETTING, role, LOCKED, (True, False, "mastered_by_emr")) for role in Role),
    *((MERELY_CONFIGURED, role, LOCKED, (True, False, "mastered_by_emr")) for role in Role),
]


def _name(value: Any) -> str | None:
    if isinstance(value, Enterprise):
        return f"sync {value.syncs}, setting {value.do_not_contact_toggle}, sources {len(value.sources)}"
    return value.__name__ if isinstance(value, type) else str(value) if isinstance(value, str) else None


@pytest.mark.parametrize(("enterprise", "role", "error", "shown"), TABLE, ids=_name)
@pytest.mark.parametrize("value", ["yes", "no"])
def test_each_cell_of_the_table(
    database: Database, enterprise: Enterprise, role: str, error: type[StoreError] | None, shown: tuple[bool, bool, str], value: str
) -> None:
    site = Site(database, enterprise)
    site.apply(says("1", 0, {"language": "en"}))
    before = site.find("1")
    if error is None:
        assert site.flip("1", value, Actor(role, "pat")).contact.do_not_contact == site.dnc("1") == value
        assert site.find("1").version == before.version + 1
    else:
        with pytest.raises(error):
            site.flip("1", value, Actor(role, "pat"))
        assert site.find("1") == before
        assert len(site.store.history(site.enterprise, before.id)) == 1
    toggle = site.store.toggle(site.enterprise, site.find("1"), role)
    assert (toggle.visible, toggle.enabled, toggle.reason) == shown


def test_the_lock_names_the_source_since_when_and_where_to_change_it(site: Site) -> None:
    site.apply(says("1", 0, {"do_not_contact": "yes"}), source=FHIR)
    since = site.now
    with pytest.raises(PreferenceLocked, match=r"Hospital FHIR since .*update this patient in Hospital FHIR") as caught:
        site.flip("1", "no")
    error = caught.value
    assert (error.attribute, error.source, error.where, error.since) == ("do_not_contact", FHIR, "Hospital FHIR", since)


def test_the_lock_holds_before_any_run_by_configuration(site: Site) -> None:
    local = site.configured(replace(LOCAL, sources=()))
    local.apply(says("1", 0), source="elsewhere")
    with pytest.raises(PreferenceLocked) as caught:
        site.flip("1", "yes")
    assert caught.value.attribute == "do_not_contact"


@pytest.mark.parametrize("role", list(Role))
def test_writing_the_value_that_stands_is_no_error_under_the_lock(site: Site, role: str) -> None:
    site.apply(says("1", 0, {"do_not_contact": "yes"}))
    assert site.flip("1", "yes", Actor(role, "pat")).version == 1


def test_writing_the_value_that_stands_writes_nothing(local: Site) -> None:
    local.apply(says("1", 0))
    version = local.flip("1", "yes").version
    assert local.flip("1", "yes").version == version


def test_the_lock_of_a_source_that_left_the_configuration_still_holds(site: Site) -> None:
    site.apply(says("1", 0, {"do_not_contact": "yes"}))
    without = site.configured(replace(SYNCED, sources=(SYNCED.sources[1],)))
    with pytest.raises(PreferenceLocked) as caught:
        without.flip("1", "no")
    assert caught.value.source == ADT


@pytest.mark.parametrize("value", ["", "YES", "unknown", "true", None])
def test_only_yes_and_no_can_be_set(local: Site, value: Any) -> None:
    local.apply(says("1", 0))
    with pytest.raises(ValueRefused):
        local.flip("1", value)


def test_a_change_made_on_an_older_version_is_refused(local: Site) -> None:
    local.apply(says("1", 0))
    read = local.find("1").version
    local.flip("1", "yes", if_version=read)
    with pytest.raises(VersionConflict):
        local.flip("1", "no", if_version=read)
    assert local.dnc("1") == "yes"


def test_the_person_and_the_reason_are_in_the_history(local: Site) -> None:
    local.apply(says("1", 0))
    patient = local.flip("1", "yes", Actor(Role.ENTERPRISE, "pat"))
    entry = local.store.history(local.enterprise, patient.id)[0]
    assert (entry.attribute, entry.before, entry.after) == ("do_not_contact", None, "yes")
    assert (entry.authority, entry.actor, entry.reason) == ("staff", "enterprise:pat", "asked")


@pytest.mark.parametrize("back", [0, 1, 3600])
def test_the_last_flip_counts_whatever_the_clocks_of_two_machines_say(local: Site, back: float) -> None:
    local.apply(says("1", 0))
    local.flip("1", "yes", now=at(9_000))
    local.flip("1", "no", now=at(9_000))
    local.flip("1", "yes", now=at(9_000 - back))
    assert local.dnc("1") == "yes"


def test_an_emr_without_sync_neither_sets_nor_lifts_the_toggle(local: Site) -> None:
    local.apply(says("1", 0))
    local.flip("1", "yes")
    local.apply(says("1", 50_000, {"do_not_contact": "no"}))
    assert local.dnc("1") == "yes"


def test_a_statement_of_the_source_after_sync_began_counts_and_is_unlocked_again_without_sync(local: Site) -> None:
    local.apply(says("1", 0))
    local.flip("1", "yes")
    synced = local.configured(SYNCED)
    synced.apply(says("1", 50_000, {"do_not_contact": "no"}))
    assert synced.dnc("1") == "no"
    assert local.dnc("1") == "yes"
    assert Statement("no", "x").value == local.flip("1", "no").contact.do_not_contact


@pytest.mark.parametrize(
    ("earliest", "latest", "stands"),
    [(19_000, 19_000, "yes"), (20_000, 20_000, "yes"), (19_000, 20_000, "yes"), (19_000, 90_000, "yes"), (20_001, 90_000, "no")],
    ids=["before", "at that instant", "until then", "that day", "after"],
)
def test_a_local_refusal_ends_by_what_the_source_says_that_is_entirely_later(local: Site, earliest: int, latest: int, stands: str) -> None:
    local.apply(says("1", 0))
    local.flip("1", "yes", now=at(20_000))
    synced = local.configured(SYNCED)
    synced.apply(replace(says("1", 0, {"do_not_contact": "no"}), effective=times.Time(at(earliest), at(latest))))
    assert synced.dnc("1") == stands
