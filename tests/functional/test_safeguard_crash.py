"""The process dies at every commit of settling, approving and rejecting; a restart loses, doubles or permits nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from store.db.database import Database
from store.domain.patient import PatientRef
from store.errors import NothingHeld
from store.holds.review import HeldReview
from store.runs.runs import Run
from tests.factories import CLINIC, statements
from tests.sync.test_safeguard import PERSON, Clinic

NAMES = tuple("ABCDEFGH")
CHUNK = 3
pytestmark = pytest.mark.crash
DIED, DONE = 9, 0


def dying_at_each_commit(url: str, work: Callable[[Clinic], None]) -> Iterator[int]:
    """Does the work in child processes: the first dies at its first commit, the next at its second, until one survives."""
    for place in itertools.count(1):
        child = os.fork()
        if not child:
            _die_at(url, place, work)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert died in (DIED, DONE)
        if died == DONE:
            return
        yield place


def _die_at(url: str, place: int, work: Callable[[Clinic], None]) -> None:
    """Runs in the child and never returns. The commit at which it dies does not happen."""
    try:
        database = Database.open(url)
        commits = itertools.count(1)
        event.listen(database.engine, "commit", lambda _connection: os._exit(DIED) if next(commits) == place else None)
        work(small(database))
        os._exit(DONE)
    finally:
        os._exit(1)


def small(database: Database) -> Clinic:
    site = Clinic(database)
    site.verdicts = HeldReview(site.store, site.journal, chunk=CHUNK)
    return site


def permitted(site: Clinic) -> int:
    return sum(site.value(name) == "no" for name in NAMES)


@pytest.fixture
def site(database: Database) -> Clinic:
    """Eight patients who refused contact."""
    found = small(database)
    found.run(*(statements(name) for name in NAMES))
    return found


def permissions(site: Clinic, count: int = len(NAMES)) -> Run:
    return site.run(*(statements(name, {"do_not_contact": "no"}, minutes=1) for name in NAMES[:count]))


def once(site: Clinic) -> bool:
    """Whether every patient's toggle changed at most once after its first statement."""
    found = [site.store.history(CLINIC, site.store.find(CLINIC, PatientRef(value=name)).id) for name in NAMES]
    return all(len([entry for entry in entries if entry.after == "no"]) <= 1 for entries in found)


def test_an_interrupted_approval_is_finished_by_the_next_without_duplicates(site: Clinic, database_url: str) -> None:
    run = permissions(site).id

    def approve(again: Clinic) -> None:
        try:
            again.verdicts.approve(run, PERSON, again.clock())
        except NothingHeld:
            again.verdicts._close(again.journal.run(run), again.clock())

    places = []
    for place in dying_at_each_commit(database_url, approve):
        places.append(place)
        assert permitted(site) + site.verdicts.show(run).impact.patients == len(NAMES), "each patient must be either held or applied"
        assert once(site)
    assert len(places) >= 2
    assert (permitted(site), site.journal.run(run).status, site.verdicts.show(run).impact.patients) == (len(NAMES), "done", 0)
    assert once(site)


def test_an_interrupted_rejection_permits_no_contact(site: Clinic, database_url: str) -> None:
    run = permissions(site).id

    def reject(again: Clinic) -> None:
        if again.verdicts.show(run).impact.patients:
            again.verdicts.reject(run, PERSON, again.clock())

    for _ in dying_at_each_commit(database_url, reject):
        assert permitted(site) == 0
    assert (permitted(site), site.verdicts.show(run).impact.patients) == (0, 0)


def test_a_run_over_the_limit_that_crashes_at_any_commit_permits_no_contact(site: Clinic, database_url: str) -> None:
    def work(again: Clinic) -> None:
        permissions(again)

    for _ in dying_at_each_commit(database_url, work):
        assert permitted(site) == 0
    last = site.journal.runs(limit=1)[0]
    assert (last.status, permitted(site), site.verdicts.show(last.id).impact.patients) == ("held", 0, len(NAMES))


def test_a_crashed_run_within_the_limit_is_finished_by_the_next(site: Clinic, database_url: str) -> None:
    def work(again: Clinic) -> None:
        permissions(again, 2)

    for _ in dying_at_each_commit(database_url, work):
        assert once(site)
    assert (site.journal.runs(limit=1)[0].status, permitted(site)) == ("done", 2)
    assert once(site)
