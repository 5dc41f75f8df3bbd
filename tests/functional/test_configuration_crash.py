"""The process dies at every commit of holding, approving and recomputing a changed configuration; no restart permits contact."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import event

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.domain.lock import Actor
from store.holds.configuration import Configurations
from store.holds.configuration_change import Proposal
from store.holds.recompute import Recomputation
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from tests.store.site import HOSPITAL, SYNCED, Site, cell, says

pytestmark = pytest.mark.crash
PATIENTS = "12345"
OFF = replace(SYNCED, syncs=False)
DIED = 9
PERSON = Actor("operator", "kim")


class Process(Site):
    """One process that serves with sync switched off."""

    def __init__(self, database: Database, configured: Enterprise = OFF) -> None:
        super().__init__(database, configured)
        self.configurations = Configurations(database, {HOSPITAL: configured})
        self.store = Preferences(database, self.configurations)
        self.verdicts = HeldReview(self.store, Journal(database))

    def propose(self) -> None:
        Proposal(self.database, self.enterprises[HOSPITAL]).propose(lambda synced, patients: patients < 1, self.tick())
        self.configurations.refresh()

    def approve(self) -> None:
        for one in self.verdicts.awaiting_review():
            self.verdicts.approve(one.run, PERSON, self.tick())

    def restate(self) -> None:
        Recomputation(self.store, chunk=2).run(HOSPITAL, self.tick())

    def all_refuse(self) -> int:
        self.configurations.refresh()
        return sum(self.known(patient).contact.do_not_contact == "yes" for patient in PATIENTS)


@pytest.fixture
def process(database: Database) -> Process:
    """Five patients who refused contact; sync was switched off later."""
    on = Process(database, SYNCED)
    on.propose()
    on.apply(*(says(patient, 0, {"do_not_contact": "yes", "phones": (cell(),)}) for patient in PATIENTS))
    return Process(database)


def dying_at_each_commit(url: str, work: Callable[[Process], None]) -> Iterator[None]:
    """Does the work in child processes: the first dies at its first commit, the next at its second, until one survives."""
    for place in itertools.count(1):
        child = os.fork()
        if not child:
            _die_at(url, place, work)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, DIED)
        if code == 0:
            return
        yield


def _die_at(url: str, place: int, work: Callable[[Process], None]) -> None:
    """Runs in the child and never returns. The commit at which it dies does not happen."""
    try:
        database = Database.open(url)
        commits = itertools.count(1)
        event.listen(database.engine, "commit", lambda _connection: os._exit(DIED) if next(commits) == place else None)
        work(Process(database))
        os._exit(0)
    finally:
        os._exit(1)


def test_holding_a_configuration_through_crashes_permits_no_contact(process: Process, database_url: str) -> None:
    for _ in dying_at_each_commit(database_url, Process.propose):
        assert process.all_refuse() == len(PATIENTS)
    assert (process.all_refuse(), len(process.verdicts.awaiting_review())) == (len(PATIENTS), 1)


def test_an_approval_is_atomic_through_crashes(process: Process, database_url: str) -> None:
    process.propose()
    for _ in dying_at_each_commit(database_url, Process.approve):
        assert (process.all_refuse(), len(process.verdicts.awaiting_review())) == (len(PATIENTS), 1)
    assert (process.all_refuse(), process.verdicts.awaiting_review()) == (0, [])


def test_recomputing_continues_after_a_crash(process: Process, database_url: str) -> None:
    process.propose()
    process.approve()
    last = process.store.changes(HOSPITAL, 0, 100)[-1].seq
    for _ in dying_at_each_commit(database_url, Process.restate):
        assert process.all_refuse() == 0
    assert len(process.store.changes(HOSPITAL, last, 100)) == len(PATIENTS), "each patient must be in the feed once"
