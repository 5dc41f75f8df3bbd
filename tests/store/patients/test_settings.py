"""Default settings of an enterprise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.errors import SettingRefused, ValueRefused
from store.patients.settings import EnterpriseSettings
from tests.store.site import ENTERPRISE_USER, LOCAL, SYNCED, Site, says

OFF = replace(LOCAL, do_not_contact_toggle=False)


def put(site: Site, **changes: object) -> EnterpriseSettings:
    return site.store.settings.put(site.enterprise, changes, actor=ENTERPRISE_USER, now=site.tick())


def test_the_configuration_counts_until_somebody_changes_a_setting(site: Site) -> None:
    off = site.configured(OFF)
    assert off.store.settings.get(off.enterprise) == EnterpriseSettings(policy=OFF.policy)
    assert put(off, do_not_contact_toggle=True).do_not_contact_toggle
    assert off.store.settings.get(off.enterprise).do_not_contact_toggle


def test_the_toggle_cannot_be_switched_on_while_syncing(site: Site) -> None:
    with pytest.raises(SettingRefused, match="while contact preferences are synced"):
        put(site, do_not_contact_toggle=True)
    assert not site.store.settings.get(site.enterprise).do_not_contact_toggle
    assert not put(site, do_not_contact_toggle=False).do_not_contact_toggle


def test_a_toggle_that_was_on_before_sync_is_off_while_syncing_and_back_afterwards(site: Site) -> None:
    off = site.configured(OFF)
    put(off, do_not_contact_toggle=True)
    assert not site.configured(SYNCED).store.settings.get(site.enterprise).do_not_contact_toggle
    assert off.store.settings.get(off.enterprise).do_not_contact_toggle


def test_a_setting_takes_effect_on_the_next_flip(site: Site) -> None:
    off = site.configured(OFF)
    off.apply(says("1", 0))
    put(off, do_not_contact_toggle=True)
    off.flip("1", "yes")
    assert off.dnc("1") == "yes"


def test_other_settings_stay_when_one_changes(local: Site) -> None:
    put(local, when_stale="refuse")
    changed = put(local, appointment_may_lift_dnc=True)
    assert (changed.policy.when_stale, changed.policy.appointment_may_lift_dnc, changed.do_not_contact_toggle) == ("refuse", True, True)


@pytest.mark.parametrize("changes", [{"when_stale": "never"}, {"appointment_may_lift_dnc": "yes"}, {"do_not_contact_toggle": 1}])
def test_a_value_that_is_not_a_choice_is_refused_and_changes_nothing(local: Site, changes: dict[str, object]) -> None:
    with pytest.raises(ValueRefused):
        put(local, when_preferred_impossible="next", **changes)
    assert local.store.settings.get(local.enterprise).policy.when_preferred_impossible == "refuse"


def test_an_unknown_setting_is_refused(local: Site) -> None:
    with pytest.raises(SettingRefused, match="unknown setting"):
        put(local, syncs=False)
