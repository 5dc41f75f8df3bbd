"""deploy/scale/three-machines under load: each process is killed, then the primary database, and the standby is promoted.

Real processes, two PostgreSQL servers, HAProxy. Nothing acknowledged is lost, no refusal is forgotten, callers wait ten seconds or less.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from tests.functional.callers import Callers
from tests.functional.machines import SharedJournal, until
from tests.functional.postgres_pair import Server, folder_of_servers
from tests.functional.three_machines import ROLES, Machines, Running, servers, wait_for_standby

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.crash,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
]
WAIT = 10.0
"""Seconds that a caller waits for its next answer, at most: what docs/scaling.md promises."""
POLLED = "genhosp-fhir"
TWICE = "SELECT 1 FROM changes GROUP BY patient_id, evidence_id HAVING count(*) > 1"


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    with folder_of_servers() as folder:
        both = servers(folder)
        try:
            yield both
        finally:
            for one in both:
                one.stop()


def test_nothing_acknowledged_is_lost_while_each_process_and_then_the_primary_is_killed(
    pair: tuple[Server, Server], tmp_path: Path
) -> None:
    primary, standby = pair
    with RehearsalEmr(patients=20, seed=11) as emr:
        (tmp_path / "emr.pem").write_text(emr.private_key)
        source = emr.fhir_source(enterprise="general-hospital", private_key=f"file:{tmp_path / 'emr.pem'}")
        machines = Machines(tmp_path, pair, {POLLED: {**source, "schedule": {"every": "2s"}, "freshness": "1h"}})
        running = Running(machines)
        with running.stack, machines.balancer():
            callers = Callers(machines.mllp, machines.api, key(machines), machines.made.client())
            until(lambda: callers.call("GET", "/readyz")[0] == 200)
            with callers.running():
                callers.go_on()
                assert callers.decide(patient_who_is_open_to_contact(callers))[1]["decision"] == "send", (
                    "refusals are what the others rest on"
                )
                _, before = callers.call("GET", "/v1/changes?after=0&limit=10")
                for name, role in [("a", role) for role in ROLES] + [("b", "api"), ("b", "listen")]:
                    running.kill(name, role)
                    callers.go_on()
                    running.restart(name, role)
                standby.kill()
                standby.start()
                callers.go_on()
                primary.kill()
                standby.run("ALTER SYSTEM RESET synchronous_standby_names")
                standby.promote()
                callers.go_on()
                until_another_run_is_done(machines)
                primary.follow(standby)
                wait_for_standby(standby)
                callers.go_on()
            assert (callers.permitted, callers.unknown) == ([], [])
            assert not callers.accepted.keys() - evidence(standby), "acknowledged and lost"
            assert not callers.accepted.keys() - evidence(primary), "the former primary follows as a standby"
            assert not standby.run(TWICE, database="emr_sync")
            status, after = callers.call("GET", f"/v1/changes?after={before['next']}&epoch={before['epoch']}&limit=10")
            assert (status, len(after["changes"])) == (200, 10), "a copy of the feed goes on after the promotion"
            assert callers.call("GET", "/readyz")[0] == 200
            assert max(callers.longest().values()) <= WAIT, callers.longest()


def patient_who_is_open_to_contact(callers: Callers) -> str:
    callers.deliver_one("OPEN", "OK")
    return "MRNOPEN"


def key(machines: Machines) -> str:
    with closing(SharedJournal(machines.url)) as journal:
        return journal.key("sender")


def until_another_run_is_done(machines: Machines) -> None:
    """The schedule still requests runs, and a worker does them."""
    with closing(SharedJournal(machines.url)) as journal:
        known = {one.id for one in journal.runs("done")}
        until(lambda: {one.id for one in journal.runs("done")} - known)


def evidence(server: Server) -> set[str]:
    return {name for (name,) in server.run("SELECT evidence_id FROM changes", database="emr_sync")}
