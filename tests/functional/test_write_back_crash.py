"""The program is killed again and again while it writes opt-outs to an EMR that fails: each arrives, and none changes the EMR twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from store.db.database import Database
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBacks
from tests.functional.forked import start
from tests.sync.test_write_back import IN_PATIENT, Site, serving

PEOPLE, KILLS, ENOUGH = 8, 3, 60.0


def eventually(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + ENOUGH
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


def has_asked(site: Site, before: int) -> bool:
    """Whether the EMR was asked again."""
    return site.emr.written.requests > before


def end_leases(database: Database) -> None:
    """As if the time had passed for which the killed process had its rows."""
    with database.write("general") as transaction:
        transaction.exec_driver_sql("UPDATE write_backs SET due = stated WHERE state = 'waiting'")


@pytest.mark.timeout(300)
def test_a_killed_sender_loses_no_opt_out_and_repeats_no_change(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, IN_PATIENT) as site:
        people = [site.patient() for _ in range(PEOPLE)]
        versions = {index: site.emr.entry(index).version for index, _ in people}
        for _, number in people:
            site.reply(number)
        database, outbox = site.runtime.database, WriteBacks(site.runtime.database)
        for number in range(KILLS + 1):
            last = number == KILLS
            site.emr.written.refusals[:] = [] if last else [0, 412, 412, 412, 0, 503]
            seen = site.emr.written.requests
            program = start(["-c", str(site.file), "serve", "--only", "schedule,work"], tmp_path / "out", tmp_path / "err")
            if last:
                eventually(lambda: not outbox.listed(["emr"], WriteBackState.WAITING))
                program.send_signal(signal.SIGTERM)
            else:
                eventually(partial(has_asked, site, seen))
                program.send_signal(signal.SIGKILL)
            program.wait(60)
            end_leases(database)
        done = [one for state in (WriteBackState.SENT, WriteBackState.OWN) for one in outbox.listed(["emr"], state)]
        assert len(done) == PEOPLE, "one that was written without an answer is found there, as if the EMR had denied itself"
        assert all(site.emr_permits(index) is False for index, _ in people)
        assert {index: site.emr.entry(index).version - 1 for index, _ in people} == versions
