"""Changed settings that would permit contact to many: held for another person; what stops contact takes effect at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from store.audit.audit_log import CHANGED_SETTINGS
from store.domain.enterprise import Source
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.errors import NothingHeld, RoleRefused, ValueRefused
from store.holds.held_settings import HELD_SETTINGS, NO_SOURCE, WITHDREW, HeldSettings, SettingsChanges
from store.holds.review import HeldReview
from store.runs.runs import Journal, RunKind, RunStatus
from tests.store.site import ADT, ENTERPRISE_USER, HOSPITAL, SYNCED, Site, cell, says

OPERATOR, SAME_PERSON = Actor("operator", "sam"), Actor("operator", ENTERPRISE_USER.name)
TEXTS = {"phones": (cell(),), "do_not_contact": "no"}


class Office:
    """The people of an enterprise with three patients; the safeguard lets one of them become contactable."""

    def __init__(self, site: Site) -> None:
        self.site, self.database, self.settings = site, site.database, site.store.settings
        self.changes = SettingsChanges(site.store, lambda enterprise, patients, more: more <= 1)
        self.review = HeldReview(site.store, Journal(site.database))
        site.apply(*(says(patient, 0, TEXTS) for patient in "123"))

    def put(self, actor: Actor = ENTERPRISE_USER, /, **changes: object) -> None:
        self.changes.put(HOSPITAL, changes, actor=actor, now=self.site.tick())

    @property
    def held(self) -> HeldSettings:
        found = self.changes.held(HOSPITAL)
        assert found is not None
        return found

    def policy(self, name: str) -> object:
        return getattr(self.settings.get(HOSPITAL).policy, name)

    def actions(self) -> list[tuple[str, str]]:
        return [(one.line.action, one.line.actor) for one in self.review.audit.newest(HOSPITAL, limit=9)][::-1]


@pytest.fixture
def office(site: Site) -> Office:
    return Office(site)


def test_a_policy_that_permits_contact_to_too_many_is_held_and_the_one_in_force_stays(office: Office) -> None:
    office.put(when_preferred_impossible="next")
    assert office.policy("when_preferred_impossible") == "refuse"
    (waits,) = office.review.awaiting_review(HOSPITAL)
    assert (waits.source, waits.kind, waits.patients) == (NO_SOURCE, RunKind.SETTINGS, 3)
    found = office.review.show(waits.run)
    assert (found.run.status, found.run.source) == (RunStatus.HELD, NO_SOURCE)
    assert [tuple(one) for one in found.impact.counts] == [("when_preferred_impossible", "refuse->next", 3)]
    assert office.actions() == [(HELD_SETTINGS, str(ENTERPRISE_USER))]


def test_another_person_approves_it_and_the_one_who_asked_cannot_under_any_role(office: Office) -> None:
    office.put(when_preferred_impossible="next")
    run = office.held.run_id
    for actor in (ENTERPRISE_USER, SAME_PERSON):
        with pytest.raises(RoleRefused, match="another person"):
            office.review.approve(run, actor, office.site.tick())
    assert office.policy("when_preferred_impossible") == "refuse"
    assert office.review.show(run).verdicts == ()
    office.review.approve(run, OPERATOR, office.site.tick())
    assert office.policy("when_preferred_impossible") == "next"
    assert office.changes.held(HOSPITAL) is None
    assert office.review.awaiting_review(HOSPITAL) == []
    assert office.review.show(run).run.status == RunStatus.DONE
    assert set(office.actions()[1:]) == {("approved_held_changes", str(OPERATOR)), (CHANGED_SETTINGS, str(OPERATOR))}


def test_a_rejected_change_stays_out_of_force_and_can_be_decided_once(office: Office) -> None:
    office.put(when_preferred_impossible="next")
    run = office.held.run_id
    office.review.reject(run, OPERATOR, office.site.tick())
    assert (office.policy("when_preferred_impossible"), office.changes.held(HOSPITAL)) == ("refuse", None)
    assert office.review.show(run).run.status == RunStatus.DONE
    for decide in (office.review.approve, office.review.reject):
        with pytest.raises(NothingHeld):
            decide(run, OPERATOR, office.site.tick())
    assert office.policy("when_preferred_impossible") == "refuse"


def test_what_stops_contact_takes_effect_at_once_beside_what_is_held(office: Office) -> None:
    office.put(when_stale="refuse", when_preferred_impossible="next", search="identifiers")
    assert [office.policy(name) for name in ("when_stale", "search", "when_preferred_impossible")] == ["refuse", "identifiers", "refuse"]
    assert office.held.changes == {"when_preferred_impossible": "next"}


def test_a_change_within_the_limit_takes_effect_at_once(office: Office) -> None:
    office.put(when_unreadable="flag", staff_may_record_opt_in=True)
    assert (office.policy("when_unreadable"), office.policy("staff_may_record_opt_in")) == ("flag", True)
    assert office.changes.held(HOSPITAL) is None


def test_a_further_change_joins_the_held_one_and_none_of_those_who_asked_approves_it(office: Office) -> None:
    kim = Actor("enterprise", "kim")
    office.put(when_preferred_impossible="next")
    first = office.held.run_id
    office.put(kim, when_unreadable="flag")
    assert office.held.changes == {"when_preferred_impossible": "next", "when_unreadable": "flag"}
    assert office.policy("when_unreadable") == "refuse"
    assert (office.review.show(first).run.status, office.review.show(first).run.note) == (RunStatus.DONE, "the settings were changed again")
    for actor in (ENTERPRISE_USER, kim):
        with pytest.raises(RoleRefused):
            office.review.approve(office.held.run_id, actor, office.site.tick())
    office.review.approve(office.held.run_id, OPERATOR, office.site.tick())
    assert (office.policy("when_preferred_impossible"), office.policy("when_unreadable")) == ("next", "flag")


def test_choosing_the_safe_value_takes_the_held_one_back(office: Office) -> None:
    office.put(when_preferred_impossible="next", appointment_may_lift_dnc=True)
    office.put(when_preferred_impossible="refuse")
    assert office.held.changes == {"appointment_may_lift_dnc": True}
    office.put(appointment_may_lift_dnc=False)
    assert office.changes.held(HOSPITAL) is None
    assert [action for action, _ in office.actions()].count(WITHDREW) == 2
    assert office.review.awaiting_review(HOSPITAL) == []


def test_asking_for_the_same_again_keeps_the_held_change(office: Office) -> None:
    office.put(when_preferred_impossible="next")
    run = office.held.run_id
    office.put(OPERATOR, when_preferred_impossible="next")
    assert office.held.run_id == run
    assert office.held.actors == (str(ENTERPRISE_USER),)


def test_other_settings_change_while_one_is_held(office: Office) -> None:
    office.put(when_preferred_impossible="next")
    run = office.held.run_id
    office.put(OPERATOR, when_stale="refuse")
    assert (office.policy("when_stale"), office.held.run_id) == ("refuse", run)


def test_no_more_patients_are_held_than_the_enterprise_has(office: Office) -> None:
    office.put(when_preferred_impossible="next", appointment_may_lift_dnc=True)
    assert office.held.patients == 3
    assert [one.patients for one in office.review.show(office.held.run_id).impact.counts] == [3, 3]


def test_an_invalid_value_changes_and_holds_nothing(office: Office) -> None:
    with pytest.raises(ValueRefused):
        office.put(when_preferred_impossible="next", when_stale="guess")
    assert office.changes.held(HOSPITAL) is None


def test_the_patients_of_stale_sources_count(site: Site) -> None:
    office = Office(site.configured(replace(SYNCED, sources=(Source(ADT, "ADT", timedelta(hours=1)),))))
    office.put(when_stale="refuse")
    office.put(when_stale="flag")
    assert office.policy("when_stale") == "refuse"
    assert office.held.patients == 3


def test_patients_of_sources_that_deliver_do_not_count(office: Office) -> None:
    office.put(when_stale="refuse")
    office.put(when_stale="flag")
    assert office.policy("when_stale") == "flag"


def test_held_settings_change_nothing_in_what_was_known_earlier(office: Office) -> None:
    who, moment = PatientRef(value="1"), office.site.tick()
    before = office.site.store.as_of(HOSPITAL, who, moment)
    office.put(when_preferred_impossible="next")
    assert office.site.store.as_of(HOSPITAL, who, office.site.tick())._replace(at=before.at) == before
