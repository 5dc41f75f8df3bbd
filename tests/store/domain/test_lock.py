"""Preferred phone: chosen here, unless an EMR masters it for this patient; locked attribute by attribute."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.domain.lock import Actor, Role
from store.domain.patient import Patient
from store.errors import PreferenceLocked, RoleRefused, ValueRefused
from tests.store.site import CELL, HOME, SYNCED, WORK, Site, cell, says

PHONES = {"phones": (cell(CELL), cell(HOME))}


def choose(site: Site, number: str, role: str = Role.STAFF) -> Patient:
    patient = site.find("1").id
    return site.store.set_preferred_phone(site.enterprise, patient, number, actor=Actor(role, "pat"), now=site.tick())


@pytest.mark.parametrize("role", [Role.ENTERPRISE, Role.STAFF])
def test_people_choose_the_preferred_phone_where_nothing_is_synced(local: Site, role: str) -> None:
    local.apply(says("1", 0, PHONES))
    assert choose(local, HOME, role).contact.preferred_phone == local.known("1").contact.preferred_phone == HOME


@pytest.mark.parametrize("role", [Role.MANAGER, Role.SENDER, Role.OPERATOR, Role.AUDITOR])
def test_other_roles_do_not(local: Site, role: str) -> None:
    local.apply(says("1", 0, PHONES))
    with pytest.raises(RoleRefused):
        choose(local, HOME, role)
    assert local.find("1").contact.preferred_phone is None


def test_it_must_be_one_of_the_patients_phones(local: Site) -> None:
    local.apply(says("1", 0, PHONES))
    with pytest.raises(ValueRefused) as caught:
        choose(local, WORK)
    assert WORK not in str(caught.value)


def test_a_source_that_never_spoke_of_it_does_not_lock_it(site: Site) -> None:
    site.apply(says("1", 0, {**PHONES, "do_not_contact": "no"}))
    assert choose(site, HOME).contact.preferred_phone == HOME


@pytest.mark.parametrize("role", list(Role))
def test_a_source_that_stated_it_locks_it_for_everybody(site: Site, role: str) -> None:
    site.apply(says("1", 0, {**PHONES, "preferred_phone": CELL}))
    with pytest.raises(PreferenceLocked, match="preferred_phone is controlled by Hospital ADT"):
        choose(site, HOME, role)
    assert choose(site, CELL, role).version == 1


def test_a_source_that_took_its_statement_back_still_locks_it(site: Site) -> None:
    site.apply(says("1", 0, {**PHONES, "preferred_phone": CELL}), says("1", 1, {"preferred_phone": None}))
    with pytest.raises(PreferenceLocked):
        choose(site, HOME)


def test_a_source_that_is_configured_to_master_it_locks_it_before_it_speaks(site: Site) -> None:
    mastering = replace(SYNCED.sources[1], masters=frozenset({"preferred_phone"}))
    mastered = site.configured(replace(SYNCED, sources=(SYNCED.sources[0], mastering)))
    mastered.apply(says("1", 0, PHONES))
    with pytest.raises(PreferenceLocked, match="Hospital FHIR"):
        choose(mastered, HOME)


def test_without_sync_nothing_is_locked(local: Site) -> None:
    local.apply(says("1", 0, {**PHONES, "preferred_phone": CELL}))
    assert choose(local, HOME).contact.preferred_phone == HOME


def test_sms_consent_is_never_locked(site: Site) -> None:
    site.apply(says("1", 0, {**PHONES, "consent.sms": "granted", "do_not_contact": "no"}))
    patient = site.find("1").id
    actor = Actor(Role.STAFF, "pat")
    site.store.record_sms_opt_out(site.enterprise, patient, line=None, actor=actor, now=site.tick())
    assert not site.may_text("1")


@pytest.mark.parametrize(
    ("actor", "printed"), [(Actor(Role.STAFF, "pat"), "staff:pat"), (Actor("cli", "kim"), "cli:kim"), (Actor("", ""), "")]
)
def test_an_actor_prints_as_the_history_names_them(actor: Actor, printed: str) -> None:
    assert str(actor) == f"{actor}" == printed
