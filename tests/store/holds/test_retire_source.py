"""Retiring a source: its locks go in one step, its values stay, nothing refused becomes allowed; and back again."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event

from store.db.database import Database
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.errors import PreferenceLocked, RunActive, ValueRefused
from store.holds.gate import HoldAll
from store.holds.retire_source import Release
from store.runs.runs import Journal
from tests.store.site import ADT, CELL, FHIR, HOME, LOCAL, SYNCED, Site, at, cell, merges, says

PERSON = Actor("cli", "kim")
ALL = {"do_not_contact": "yes", "consent.sms": "denied", "language": "es", "phones": (cell(), cell(HOME)), "preferred_phone": CELL}
WITHOUT_ADT = replace(SYNCED, sources=SYNCED.sources[1:])


class Retiring:
    """A site, its journal, and the means to retire its sources."""

    def __init__(self, site: Site) -> None:
        self.site, self.journal = site, Journal(site.database)
        self.work = Release(site.store, self.journal)

    def hears(self, *items: object, source: str = ADT) -> None:
        self.site.apply(*items, source=source)  # type: ignore[arg-type]
        with self.site.database.write(self.site.enterprise) as transaction:
            self.journal.mark_received(transaction, source, self.site.enterprise, now=self.site.now)

    def release(self, source: str = ADT) -> str:
        return self.work.release(source, PERSON, self.site.tick()).id

    def undo(self, source: str | None = None) -> None:
        self.work.undo(source, PERSON, self.site.tick())

    def contact(self, patient: str = "1") -> object:
        known, found = self.site.known(patient).contact, self.site.find(patient).contact
        assert known == found, "what is stored for senders is what the assertions say"
        return known

    def marks(self, patient: str = "1") -> list[str]:
        return [mark.source for mark in self.site.find(patient).marks]


@pytest.fixture
def retiring(site: Site) -> Retiring:
    found = Retiring(site)
    found.hears(says("1", 0, ALL), says("2", 0, {"do_not_contact": "no"}))
    return found


def test_a_preview_counts_what_would_be_unlocked_and_changes_nothing(retiring: Retiring) -> None:
    found = retiring.work.preview(ADT, retiring.site.now)
    assert (found.patients, found.held) == (2, 0)
    assert found.attributes == {"consent.sms": 1, "do_not_contact": 2, "language": 1, "phones": 1, "preferred_phone": 1}
    assert retiring.marks() == [ADT]


@pytest.mark.parametrize(("attribute", "refused", "permitted"), [("consent.sms", "denied", "granted"), ("deceased", True, False)])
def test_a_kept_refusal_of_any_kind_ends_by_what_another_source_states_after_the_release(
    retiring: Retiring, attribute: str, refused: object, permitted: object
) -> None:
    retiring.hears(says("3", 0, {attribute: refused}))
    retiring.hears(says("3", 5, {attribute: permitted}), source=FHIR)
    retiring.release()
    assert retiring.site.value("3", attribute) == refused
    retiring.hears(says("3", 6, {attribute: permitted}, evidence="late"), source=FHIR)
    assert retiring.site.value("3", attribute) == refused, "stated before the release"
    later = (retiring.site.tick() - at(0)).total_seconds()
    retiring.hears(says("3", later, {attribute: permitted}, evidence="again"), source=FHIR)
    assert retiring.site.value("3", attribute) == permitted
    assert retiring.site.known("3").contact == retiring.site.find("3").contact


def test_values_stay_and_are_owned_by_staff(retiring: Retiring) -> None:
    before = retiring.contact()
    retiring.release()
    assert retiring.contact() == before
    assert retiring.marks() == []
    assert {one.authority for one in retiring.site.find("1").preferences.values()} == {"staff"}


def test_a_released_attribute_may_be_changed_here(retiring: Retiring) -> None:
    store, patient, staff = retiring.site.store, retiring.site.find("1").id, Actor("staff", "kim")
    with pytest.raises(PreferenceLocked):
        store.set_preferred_phone("general-hospital", patient, HOME, actor=staff, now=retiring.site.tick())
    retiring.release()
    changed = store.set_preferred_phone("general-hospital", patient, HOME, actor=staff, now=retiring.site.tick())
    assert changed.contact.preferred_phone == HOME


def test_once_sync_is_off_an_enterprise_user_flips_what_the_source_left(retiring: Retiring) -> None:
    retiring.release()
    local = retiring.site.configured(LOCAL)
    assert local.dnc("1") == "yes"
    local.now = retiring.site.tick()
    assert local.flip("1", "no").contact.do_not_contact == "no"


def test_a_source_without_effect_leaves_only_what_was_in_force(database: Database) -> None:
    local = Retiring(Site(database, LOCAL))
    local.hears(says("1", 0, ALL))
    before = local.contact()
    local.release()
    assert local.contact() == before
    assert local.site.dnc("1") == "unknown"


def test_a_refusal_stands_against_what_another_source_had_said(retiring: Retiring) -> None:
    retiring.hears(says("1", 0, {"do_not_contact": "no", "consent.sms": "granted"}), source=FHIR)
    retiring.release()
    assert (retiring.site.dnc("1"), retiring.site.value("1", "consent.sms")) == ("yes", "denied")
    retiring.hears(says("1", 1, {"do_not_contact": "no", "consent.sms": "granted"}), source=FHIR)
    assert retiring.site.dnc("1") == "yes", "it was stated before the release"


def test_a_kept_refusal_ends_when_another_source_repeats_its_own_after_the_release(retiring: Retiring) -> None:
    said = {"do_not_contact": "no"}
    retiring.hears(says("1", 0, said), source=FHIR)
    retiring.hears(says("1", 1, said), source=FHIR)
    retiring.release()
    assert retiring.site.dnc("1") == "yes"
    retiring.hears(says("1", 20_000, said), source=FHIR)
    assert retiring.contact() == retiring.site.known("1").contact
    assert retiring.site.dnc("1") == "no"


def test_two_released_sources_lose_no_refusal(retiring: Retiring) -> None:
    retiring.hears(says("1", 0, {"do_not_contact": "no"}), says("2", 0, {"do_not_contact": "yes"}), source=FHIR)
    retiring.release()
    retiring.release(FHIR)
    assert (retiring.site.dnc("1"), retiring.site.dnc("2")) == ("yes", "yes")


def test_undoing_restores_marks_values_and_owners(retiring: Retiring) -> None:
    before, preferences = retiring.contact(), retiring.site.find("1").preferences
    retiring.release()
    retiring.undo()
    assert (retiring.contact(), retiring.marks()) == (before, [ADT])
    assert retiring.site.find("1").preferences == preferences
    assert ADT in retiring.journal.last_heard()
    with pytest.raises(ValueRefused):
        retiring.undo()


def test_undoing_keeps_an_opt_out_that_was_recorded_here_since(retiring: Retiring) -> None:
    retiring.release()
    local = retiring.site.configured(LOCAL)
    local.now = retiring.site.tick()
    local.flip("2", "yes")
    retiring.site.now = local.now
    retiring.undo()
    assert retiring.site.dnc("2") == "yes"
    assert retiring.marks("2") == [ADT]


def test_undoing_after_a_merge_gives_the_marks_to_the_survivor(retiring: Retiring) -> None:
    retiring.hears(says("2", 0, {"language": "en"}), source=FHIR)
    retiring.release()
    retiring.hears(merges("2", "1"), source=FHIR)
    retiring.undo()
    assert set(retiring.marks("1")) == {ADT, FHIR}
    assert retiring.site.dnc("1") == "yes"


def test_the_history_and_the_feed_say_who_released(retiring: Retiring) -> None:
    seq = retiring.site.store.changes("general-hospital", 0, 100)[-1].seq
    retiring.release()
    entry = retiring.site.store.history("general-hospital", retiring.site.find("1").id)[0]
    assert (entry.attribute, entry.before, entry.after, entry.actor) == ("mastered_by", ADT, None, "cli:kim")
    fed = retiring.site.store.changes("general-hospital", seq, 100)
    assert [one.attributes for one in fed].count(("mastered_by",)) == len({(one.patient_id, one.version) for one in fed}) == 2
    handed = {
        (one.authority, str(one.before), str(one.after))
        for one in retiring.site.store.history("general-hospital", retiring.site.find("1").id)
    }
    assert {("staff", "None", "yes"), ("emr:adt", "yes", "None")} <= handed
    (line,) = retiring.work.audit.newest("general-hospital", ADT)
    assert (line.line.action, line.line.actor) == ("released_source", "cli:kim")


def test_what_the_safeguard_holds_of_the_source_is_rejected(retiring: Retiring) -> None:
    run = retiring.journal.start(ADT, "general-hospital", "full", now=retiring.site.tick())
    with retiring.site.database.write("general-hospital") as transaction:
        said = [says("1", 5, {"do_not_contact": "no"})]
        guard = HoldAll(run.id)
        retiring.site.store.apply_many(transaction, "general-hospital", ADT, said, now=retiring.site.now, run_id=run.id, guard=guard)
    retiring.journal.finish(run, "held", None, retiring.site.now)
    assert retiring.work.preview(ADT, retiring.site.now).held == 1
    retiring.release()
    assert retiring.work.verdicts.show(run.id).impact.patients == 0
    assert retiring.site.dnc("1") == "yes"


def test_a_source_with_a_run_under_way_is_not_released(retiring: Retiring) -> None:
    retiring.journal.start(ADT, "general-hospital", "full", now=retiring.site.tick())
    with pytest.raises(RunActive):
        retiring.release()
    assert retiring.marks() == [ADT]


def test_a_source_that_left_the_configuration_still_locks_and_is_an_orphan_until_released(retiring: Retiring) -> None:
    later = Retiring(retiring.site.configured(WITHOUT_ADT))
    later.site.now = retiring.site.now + timedelta(seconds=1)
    assert later.work.orphans() == [ADT]
    assert later.site.dnc("1") == "yes"
    later.release()
    assert (later.work.orphans(), later.site.dnc("1")) == ([], "yes")
    with pytest.raises(ValueRefused):
        later.release()


@pytest.mark.crash
@pytest.mark.parametrize("step", ["release", "undo"])
def test_dying_at_any_commit_leaves_all_or_nothing(retiring: Retiring, database_url: str, step: str) -> None:
    if step == "undo":
        retiring.release()
    before = retiring.marks(), retiring.contact()
    places = 0
    while (code := _dies(database_url, step, places + 1)) != 0:
        assert code == 9
        places += 1
        assert (retiring.marks(), retiring.contact()) == before
    assert places == 1
    assert retiring.marks() == ([] if step == "release" else [ADT])
    assert retiring.contact() == before[1]


def _dies(url: str, step: str, place: int) -> int:
    """The step in a process of its own, which dies at its ``place``-th commit; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        database = Database.open(url)
        commits = iter(range(1, 1_000))
        event.listen(database.engine, "commit", lambda _connection: os._exit(9) if next(commits) == place else None)
        site = Site(database)
        site.now += timedelta(minutes=5)
        retiring = Retiring(site)
        retiring.release() if step == "release" else retiring.undo()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("named", [{"do_not_contact": "no"}, {"preferred_method": "sms"}])
def test_a_late_word_of_a_retired_source_lifts_no_refusal_that_it_left(retiring: Retiring, named: dict[str, str]) -> None:
    retiring.hears(says("1", 20, {"do_not_contact": "yes", "preferred_method": "none"}))
    retiring.release()
    before = retiring.contact()
    assert retiring.site.apply(says("1", 10, named)) in (["stale"], ["unchanged"], ["applied"])
    assert retiring.contact() == before
    retiring.hears(says("1", 30, named))
    assert retiring.contact() != before


@pytest.mark.parametrize("attribute", ["consent.sms", "topic.recall.sms"])
@pytest.mark.parametrize("survivor", ["1", "2"])
@pytest.mark.parametrize(("again", "value"), [(15, "denied"), (200, "granted")])
def test_a_refusal_kept_from_a_retired_source_outlasts_a_merge_that_is_undone(
    retiring: Retiring, survivor: str, attribute: str, again: int, value: str
) -> None:
    """Also where the source speaks again while the two records are one: only its newer word ends what staff has of it."""
    merged = "2" if survivor == "1" else "1"
    retiring.hears(says("1", 20, {attribute: "denied"}))
    retiring.hears(merges(survivor, merged), source=FHIR)
    retiring.release()
    retiring.hears(says("1", again, {attribute: "granted"}))
    _unmerge(retiring, merged)
    assert retiring.site.value("1", attribute) == value
    assert retiring.site.value("2", attribute) is None


def test_a_source_clears_its_method_though_another_retired_one_left_a_later_refusal(retiring: Retiring) -> None:
    retiring.hears(says("3", 20, {"preferred_method": "sms"}))
    retiring.hears(says("3", 40, {"preferred_method": "none"}), source=FHIR)
    retiring.release(FHIR)
    assert retiring.site.value("3", "preferred_method") == "sms"
    retiring.hears(says("3", 30, {"preferred_method": None}))
    assert retiring.site.value("3", "preferred_method") == "none"


def test_so_it_does_for_one_of_two_records_that_were_one(retiring: Retiring) -> None:
    retiring.hears(says("1", 20, {"preferred_method": "sms"}))
    retiring.hears(says("2", 40, {"preferred_method": "none"}), source=FHIR)
    retiring.hears(merges("2", "1", 60), source=FHIR)
    retiring.hears(says("2", 80, {"preferred_method": "none"}), source=FHIR)
    retiring.release(FHIR)
    retiring.hears(says("1", 30, {"preferred_method": None}))
    _unmerge(retiring, "1")
    assert retiring.site.value("1", "preferred_method") == "none"


def _unmerge(retiring: Retiring, merged: str) -> None:
    ref = PatientRef(authority="GENHOSP", value=merged)
    retiring.site.store.unmerge(retiring.site.enterprise, ref, actor=PERSON, reason="", now=retiring.site.tick())


@pytest.mark.parametrize("patients", [1, 2, 3, 4, 5])
def test_every_patient_is_reached_whatever_their_number(site: Site, patients: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two, so that they end before, at and behind a whole page."""
    monkeypatch.setattr("store.holds.retire_source.CHUNK", 2)
    retiring, names = Retiring(site), [str(number) for number in range(patients)]
    retiring.hears(says("other", 0, {"do_not_contact": "no"}), source=FHIR)
    retiring.hears(*(says(name, 0, ALL) for name in names))
    preview = retiring.work.preview(ADT, site.now)
    released = retiring.work.release(ADT, PERSON, site.tick())
    assert (preview.patients, released.patients) == (patients, patients)
    assert [retiring.marks(name) for name in names] == [[]] * patients
    assert {site.find(name).preferences["do_not_contact"].authority for name in names} == {"staff"}
    undone = retiring.work.undo(ADT, PERSON, site.tick())
    assert (undone.patients, [retiring.marks(name) for name in names]) == (patients, [[ADT]] * patients)
    assert retiring.marks("other") == [FHIR]


@pytest.mark.parametrize("said", ["yes", "no"])
def test_a_local_refusal_is_not_lost_to_what_a_retired_source_had_stated_before_it(site: Site, said: str) -> None:
    local = Retiring(site.configured(LOCAL))
    local.hears(says("1", 10, {"do_not_contact": "yes"}), source=FHIR)
    local.hears(says("1", 20, {"do_not_contact": said}))
    store, patient = local.site.store, local.site.find("1").id
    store.set_do_not_contact(local.site.enterprise, patient, "yes", actor=Actor("enterprise", "kim"), reason="", now=local.site.tick())
    retiring = Retiring(site.configured(SYNCED))
    retiring.site.now = local.site.now
    retiring.release()
    retiring.hears(says("1", 30, {"do_not_contact": "no"}), source=FHIR)
    retiring.hears(says("1", 40, {"do_not_contact": "no"}))
    assert retiring.site.dnc("1") == "yes"
