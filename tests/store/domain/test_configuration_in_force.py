"""A new order of sources and the sync switch take effect at once, before any source says anything again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.store.site import ADT, FHIR, LOCAL, SYNCED, Site, cell, says

REORDERED = replace(SYNCED, sources=SYNCED.sources[::-1])


@pytest.fixture
def two(site: Site) -> Site:
    site.apply(says("1", 0, {"do_not_contact": "yes", "consent.sms": "denied", "language": "es", "phones": (cell(),)}))
    site.apply(says("1", 0, {"do_not_contact": "no", "language": "en"}), source=FHIR)
    return site


def test_the_order_of_sources_takes_effect_at_once(two: Site) -> None:
    assert two.value("1", "language") == "es"
    changed = two.configured(REORDERED)
    assert changed.value("1", "language") == changed.known("1").contact.language == "en"
    assert changed.dnc("1") == "yes"


def test_switching_sync_off_and_on_takes_effect_at_once(two: Site) -> None:
    off = two.configured(LOCAL)
    assert (off.dnc("1"), off.value("1", "consent.sms"), off.value("1", "language")) == ("unknown", None, "es")
    assert off.may_text("1")
    on = off.configured(SYNCED)
    assert (on.dnc("1"), on.value("1", "consent.sms")) == ("yes", "denied")
    assert not on.may_text("1")


def test_what_is_stored_anew_after_a_switch_is_what_was_read_before(two: Site) -> None:
    two.configured(LOCAL).apply(says("1", 1, {"language": "fr"}))
    assert (two.dnc("1"), two.value("1", "language")) == ("yes", "fr")
    two.apply(says("1", 2, {"language": "fr"}))
    assert (two.dnc("1"), two.value("1", "consent.sms")) == ("yes", "denied")


def test_the_evidence_of_another_configuration_is_not_shown_for_a_value_of_this_one(two: Site) -> None:
    changed = two.configured(REORDERED)
    assert changed.known("1").evidence("language") is None
    changed.apply(says("1", 0, {"do_not_contact": "no", "language": "en"}), source=FHIR)
    found = changed.known("1").evidence("language")
    assert found is not None
    assert found.authority == "emr:fhir"


@pytest.mark.parametrize("source", [ADT, FHIR])
def test_a_patient_heard_again_under_a_new_configuration_is_in_the_feed(two: Site, source: str) -> None:
    """Replicas of senders read the feed: a value in force must not change behind their backs."""
    changed = two.configured(REORDERED)
    before = changed.store.changes(changed.enterprise, 0, 100)[-1].seq
    repeat = says("1", 0, {"do_not_contact": "no", "language": "en"})
    if source == ADT:
        repeat = says("1", 0, {"do_not_contact": "yes", "consent.sms": "denied", "language": "es", "phones": (cell(),)})
    assert changed.apply(repeat, source=source) == ["unchanged"]
    fed = changed.store.changes(changed.enterprise, before, 100)
    assert [(one.patient_id, one.version) for one in fed] == [(changed.find("1").id, changed.find("1").version)]


def test_a_local_do_not_contact_from_before_sync_stays_until_the_emr_states_its_own(site: Site) -> None:
    local = site.configured(LOCAL)
    local.apply(says("1", 0, {"language": "es"}))
    local.flip("1", "yes")
    assert site.dnc("1") == "yes"
    site.apply(says("1", 1, {"language": "en"}))
    assert site.dnc("1") == "yes"
    site.apply(says("1", 2, {"do_not_contact": "no"}))
    assert site.dnc("1") == "yes", "that is older than the local entry"
    site.apply(says("1", 20_000, {"do_not_contact": "no"}))
    assert site.dnc("1") == "no"
