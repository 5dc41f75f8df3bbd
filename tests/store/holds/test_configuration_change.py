"""A changed configuration on its way into force: at once, or by a person's word; what it refuses counts meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from store.domain.enterprise import Enterprise
from store.domain.lock import Actor
from store.errors import NothingHeld, PreferenceLocked, ValueRefused
from store.holds.configuration import Configurations, HeldConfiguration
from store.holds.configuration_change import Proposal
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from tests.store.site import ADT, BEGIN, CELL, FHIR, HOME, HOSPITAL, LOCAL, SYNCED, Site, cell, merges, says

PERSON = Actor("cli", "kim")
SOURCES = SYNCED.sources
REORDERED = replace(SYNCED, sources=SOURCES[::-1])
WITHOUT_ADT = replace(SYNCED, sources=SOURCES[1:])
NO = {"do_not_contact": "yes", "consent.sms": "denied", "preferred_method": "none", "phones": (cell(),)}
FREE = {"do_not_contact": "no", "consent.sms": "granted", "preferred_method": "sms", "phones": (cell(HOME),)}


def one_patient(synced: int, patients: int) -> bool:
    """A safeguard that lets one patient through."""
    return patients <= 1


class Running(Site):
    """A process that serves with one configuration; another one is another process over the same database."""

    def __init__(self, site: Site, configured: Enterprise) -> None:
        super().__init__(site.database, configured)
        self.now = site.tick()
        self.held = Proposal(site.database, configured).propose(one_patient, self.tick())
        self.configurations = Configurations(site.database, {HOSPITAL: configured})
        self.store = Preferences(site.database, self.configurations)
        self.verdicts = HeldReview(self.store, Journal(site.database))

    def restarted(self, configured: Enterprise) -> Running:
        return Running(self, configured)

    def approve(self) -> None:
        assert self.held is not None
        self.verdicts.approve(self.held.run_id, PERSON, self.tick())
        self.configurations.refresh()

    def methods(self) -> list[Any]:
        return [self.value(patient, "preferred_method") for patient in "123"]

    def silent(self) -> list[bool]:
        return [self.known(patient).contact.do_not_contact == "yes" for patient in "123"]


@pytest.fixture
def running(site: Site) -> Running:
    """Three patients who said no to the first source, and yes to the second."""
    found = Running(site, SYNCED)
    found.apply(*(says(patient, 0, NO) for patient in "123"))
    found.apply(*(says(patient, 0, FREE) for patient in "123"), source=FHIR)
    return found


def directions(running: Running, held: HeldConfiguration | None) -> Mapping[str, int]:
    assert held is not None
    return {f"{one.attribute} {one.direction}": one.patients for one in running.verdicts.show(held.run_id).impact.counts}


def test_the_first_configuration_is_in_force_at_once(running: Running) -> None:
    assert running.held is None
    assert running.configurations[HOSPITAL] == SYNCED


def test_switching_sync_off_for_many_waits_and_nobody_is_loosened(running: Running) -> None:
    before = running.known("1").contact
    off = running.restarted(LOCAL)
    assert off.held is not None
    assert (off.held.patients, off.known("1").contact, off.silent()) == (3, before, [True] * 3)
    assert directions(off, off.held) == {
        "do_not_contact yes->unknown": 3,
        "consent.sms denied->unknown": 3,
        "preferred_method none->unknown": 3,
    }
    assert off.find("1").contact == before


def test_while_it_waits_the_lock_holds_and_the_toggle_is_not_offered(running: Running) -> None:
    off = running.restarted(LOCAL)
    with pytest.raises(PreferenceLocked):
        off.flip("1", "no")
    assert off.store.settings.get(HOSPITAL).do_not_contact_toggle is False
    assert off.store.toggle(HOSPITAL, off.find("1"), "enterprise").enabled is False


def test_what_emrs_say_while_it_waits_counts_by_the_former_configuration(running: Running) -> None:
    off = running.restarted(LOCAL)
    off.apply(says("1", 5, {"do_not_contact": "no"}), says("4", 5, NO))
    assert (off.dnc("1"), off.dnc("4")) == ("no", "yes")


@pytest.mark.parametrize("changed", [REORDERED, WITHOUT_ADT], ids=["reordered", "a source left"])
def test_another_order_of_sources_waits_where_it_would_loosen_many(running: Running, changed: Enterprise) -> None:
    later = running.restarted(changed)
    assert directions(later, later.held) == {"preferred_method none->sms": 3, "phones replaced": 3}
    assert later.methods() == ["none"] * 3
    assert [phone.number for phone in later.known("1").contact.phones] == [CELL]
    later.approve()
    assert later.methods() == ["sms"] * 3
    assert [phone.number for phone in later.known("1").contact.phones] == [HOME]


def test_a_change_that_loosens_few_is_in_force_at_once_and_is_in_the_audit_log(site: Site) -> None:
    before = Running(site, SYNCED)
    before.apply(says("1", 0, NO))
    off = before.restarted(LOCAL)
    assert (off.held, off.dnc("1")) == (None, "unknown")
    (line,) = off.verdicts.audit.newest(HOSPITAL)
    assert (line.line.action, line.line.actor) == ("changed_configuration", "configuration")


def test_an_approved_configuration_is_in_force_in_every_process(running: Running) -> None:
    off = running.restarted(LOCAL)
    other = running.restarted(LOCAL)
    assert other.held == off.held, "it is asked for once"
    off.approve()
    other.configurations.refresh()
    assert (off.silent(), other.silent()) == ([False] * 3, [False] * 3)
    assert off.verdicts.show(off.held.run_id).run.status == "done"  # type: ignore[union-attr]
    (verdict,) = off.verdicts.show(off.held.run_id).verdicts  # type: ignore[union-attr]
    assert (verdict.verdict, verdict.actor, verdict.patients) == ("approved", "cli:kim", 3)
    assert off.restarted(LOCAL).held is None
    with pytest.raises(NothingHeld):
        off.approve()


def test_a_process_with_the_former_file_follows_an_approval(running: Running) -> None:
    running.restarted(LOCAL).approve()
    running.configurations.refresh()
    assert running.silent() == [False] * 3


def test_a_held_configuration_is_refused_by_putting_it_back(running: Running) -> None:
    off = running.restarted(LOCAL)
    assert off.held is not None
    with pytest.raises(ValueRefused, match="restore the file"):
        off.verdicts.reject(off.held.run_id, PERSON, off.tick())
    back = off.restarted(SYNCED)
    run = back.verdicts.show(off.held.run_id)
    assert (back.held, run.run.status, run.run.error, run.impact.patients) == (None, "done", "the previous configuration was restored", 0)
    assert back.configurations[HOSPITAL] == SYNCED
    with pytest.raises(NothingHeld):
        back.verdicts.approve(off.held.run_id, PERSON, back.tick())


def test_a_configuration_that_is_changed_again_takes_the_place_of_the_one_that_waits(running: Running) -> None:
    off = running.restarted(LOCAL)
    later = off.restarted(REORDERED)
    assert off.held is not None
    assert later.held is not None
    assert later.held.run_id != off.held.run_id
    assert later.verdicts.show(off.held.run_id).run.error == "the configuration was changed again"
    assert later.methods() == ["none"] * 3


def test_what_a_waiting_configuration_refuses_counts_at_once(site: Site) -> None:
    """Sync is switched on where many have a local Do Not Contact that the EMR would lift, and others said no to the EMR only."""
    local = Running(site, LOCAL)
    local.apply(*(says(patient, 0, {"language": "en"}) for patient in "1234"))
    for patient in "123":
        local.flip(patient, "yes")
    local.apply(*(says(patient, 20_000, {"do_not_contact": "no"}) for patient in "123"), says("4", 1, NO))
    assert (local.silent(), local.dnc("4")) == ([True] * 3, "unknown")
    on = local.restarted(SYNCED)
    assert directions(on, on.held) == {"do_not_contact yes->no": 3}
    assert (on.silent(), on.dnc("4"), on.value("4", "consent.sms")) == ([True] * 3, "yes", "denied")
    with pytest.raises(PreferenceLocked):
        on.flip("4", "no")
    on.approve()
    assert (on.silent(), on.dnc("4")) == ([False] * 3, "yes")


def test_a_database_that_never_wrote_it_down_knows_by_its_values(site: Site) -> None:
    site.apply(*(says(patient, 0, NO) for patient in "123"))
    off = Running(site, LOCAL)
    assert off.held is not None
    assert off.silent() == [True] * 3


def test_the_examples_name_nobody_and_say_where_the_refusal_was_read(running: Running) -> None:
    off = running.restarted(LOCAL)
    assert off.held is not None
    found = off.verdicts.show(off.held.run_id)
    assert len(found.impact.sample) == 3
    one = found.impact.sample[0]
    assert (one.patient[:3], one.attribute, one.path, one.effective) == ("pt_", "consent.sms", "at/consent.sms", BEGIN)
    assert found.run.kind == "configuration"


def test_a_merged_record_counts_once(running: Running) -> None:
    running.apply(merges("1", "2"))
    off = running.restarted(LOCAL)
    assert off.held is not None
    assert off.held.patients == 2


def test_what_is_in_force_is_looked_at_anew_every_second(running: Running) -> None:
    seconds = [0.0]
    other = Configurations(running.database, {HOSPITAL: SYNCED}, lambda: seconds[-1])
    assert other[HOSPITAL].syncs
    running.restarted(LOCAL).approve()
    seconds.append(0.9)
    assert other[HOSPITAL].syncs
    seconds.append(1.0)
    assert not other[HOSPITAL].syncs
    assert (list(other), len(other), HOSPITAL in other, "elsewhere" in other) == ([HOSPITAL], 1, True, False)
    with pytest.raises(KeyError):
        other["elsewhere"]


def test_two_processes_that_start_at_once_ask_once(running: Running) -> None:
    proposals = [Proposal(running.database, LOCAL) for _ in range(4)]
    found: list[HeldConfiguration | None] = []
    threads = [threading.Thread(target=lambda one=one: found.append(one.propose(one_patient, running.now))) for one in proposals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({one.run_id for one in found if one is not None}) == 1
    assert ADT in running.configurations[HOSPITAL].source_order
