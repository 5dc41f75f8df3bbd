"""The toggle table, cell by cell: what is visible, and the result of an attempt to change the value."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from store import errors
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role, SourceMark, master_of, may_set, may_set_do_not_contact, may_switch_toggle_on, toggle
from tests.spec.toggles import TOGGLES, Cell

SINCE = datetime(2026, 10, 1, tzinfo=UTC)
ADT = Source("genhosp-adt", "General Hospital EMR", masters=frozenset({"preferred_phone"}))
CLINIC = Source("clinic", "Clinic EMR")
SYNCING = Enterprise("general", syncs=True, sources=(ADT, CLINIC))
LOCAL = replace(SYNCING, syncs=False)
MARKS = (SourceMark("genhosp-adt", SINCE, SINCE, frozenset({"do_not_contact", "phones#PID-13", "language"})),)
STAFF = Actor("staff", "front desk")
MANAGER_OF_TOGGLES = Actor("enterprise", "practice lead")


@pytest.mark.parametrize("cell", TOGGLES, ids=lambda cell: f"syncs={cell.syncs} setting={cell.setting_on} {cell.role}")
def test_cell_of_the_toggle_table(cell: Cell) -> None:
    source = "genhosp-adt" if cell.syncs else None
    seen = toggle(syncs=cell.syncs, setting_on=cell.setting_on, role=cell.role, value="yes", source=source)
    assert (seen.visible, seen.enabled, seen.reason, seen.value) == (cell.visible, cell.enabled, cell.reason, "yes")
    assert seen.mastered_by == source


@pytest.mark.parametrize("cell", TOGGLES, ids=lambda cell: f"syncs={cell.syncs} setting={cell.setting_on} {cell.role}")
@pytest.mark.parametrize("marks", [MARKS, ()], ids=["synced patient", "before the first run"])
def test_attempt_to_change_the_value(cell: Cell, marks: tuple[SourceMark, ...]) -> None:
    enterprise, actor = replace(SYNCING, syncs=cell.syncs), Actor(cell.role, "somebody")

    def attempt() -> bool:
        return may_set_do_not_contact(enterprise, marks, actor, setting_on=cell.setting_on, current="unknown", value="yes")

    if not cell.refusal:
        assert attempt() is True
        return
    with pytest.raises(getattr(errors, cell.refusal)):
        attempt()


def test_the_table_has_every_setting_with_every_role_once() -> None:
    assert len({cell[:3] for cell in TOGGLES}) == len(TOGGLES) == 4 * len(Role)


def test_writing_the_current_locked_value_is_not_an_error_and_changes_nothing() -> None:
    assert may_set_do_not_contact(SYNCING, MARKS, STAFF, setting_on=False, current="yes", value="yes") is False
    assert may_set("language", SYNCING, MARKS, STAFF, same=True) is False


def test_the_lock_names_the_source_the_time_and_where_to_change_it() -> None:
    with pytest.raises(
        errors.PreferenceLocked, match=r"since 2026-10-01 00:00 UTC: update this patient in General Hospital EMR"
    ) as refusal:
        may_set_do_not_contact(SYNCING, MARKS, MANAGER_OF_TOGGLES, setting_on=False, current="no", value="yes")
    assert (refusal.value.source, refusal.value.since) == ("genhosp-adt", SINCE)


@pytest.mark.parametrize("value", ["unknown", "YES", "", "maybe"])
def test_only_yes_and_no_can_be_written(value: str) -> None:
    with pytest.raises(errors.ValueRefused):
        may_set_do_not_contact(LOCAL, (), MANAGER_OF_TOGGLES, setting_on=True, current="unknown", value=value)


def test_the_setting_cannot_be_switched_on_while_the_enterprise_syncs() -> None:
    with pytest.raises(errors.SettingRefused):
        may_switch_toggle_on(syncs=True)
    may_switch_toggle_on(syncs=False)


@pytest.mark.parametrize(
    ("attribute", "source"),
    [
        ("do_not_contact", "genhosp-adt"),
        ("phones", "genhosp-adt"),  # stated, field by field
        ("language", "genhosp-adt"),
        ("preferred_phone", "genhosp-adt"),  # mastered by configuration, never stated
        ("preferred_method", None),
        ("email", None),
        ("consent.sms", None),
        ("consent.sms#+12175550101", None),
    ],
)
def test_lock_of_each_attribute(attribute: str, source: str | None) -> None:
    master = master_of(attribute, MARKS, SYNCING)
    assert (master.source if master else None) == source


@pytest.mark.parametrize("attribute", ["consent.sms", "consent.sms#+12175550101"])
def test_sms_consent_is_never_locked_even_when_the_source_states_it(attribute: str) -> None:
    mark = MARKS[0]._replace(attributes=frozenset({"consent.sms", "consent.sms#+12175550101"}))
    assert master_of(attribute, (mark,), SYNCING) is None
    assert master_of(attribute.replace("sms", "voice"), (mark._replace(attributes=frozenset({"consent.voice"})),), SYNCING) is not None


def test_nothing_is_locked_in_an_enterprise_that_does_not_sync() -> None:
    assert master_of("do_not_contact", MARKS, LOCAL) is None
    assert master_of("preferred_phone", MARKS, LOCAL) is None


def test_of_two_sources_the_first_in_order_is_named() -> None:
    clinic = SourceMark("clinic", SINCE, SINCE, frozenset({"language", "preferred_method"}))
    assert master_of("language", (clinic, *MARKS), SYNCING) == ("genhosp-adt", "General Hospital EMR", SINCE)
    assert master_of("preferred_method", (clinic, *MARKS), SYNCING) == ("clinic", "Clinic EMR", SINCE)


def test_a_mark_of_a_source_that_left_the_configuration_still_locks() -> None:
    gone = SourceMark("retired", SINCE, SINCE, frozenset({"preferred_method"}))
    assert master_of("preferred_method", (gone,), SYNCING) == ("retired", "retired", SINCE)


def test_staff_may_set_the_preferred_phone_where_nothing_masters_it() -> None:
    assert may_set("preferred_phone", LOCAL, MARKS, STAFF, same=False) is True
    with pytest.raises(errors.PreferenceLocked):
        may_set("preferred_phone", SYNCING, MARKS, STAFF, same=False)


@pytest.mark.parametrize("role", [Role.SENDER, Role.OPERATOR, Role.AUDITOR, Role.MANAGER])
def test_other_roles_may_not_set_the_preferred_phone(role: Role) -> None:
    with pytest.raises(errors.RoleRefused):
        may_set("preferred_phone", LOCAL, (), Actor(role, "somebody"), same=False)
