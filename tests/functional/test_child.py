"""Runs in a process of their own: real processes that are killed, stopped and told to reload, on both databases."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from store.runs.processes import Processes
from sync.demo import ADT, ENTERPRISE, FHIR
from tests.functional.forked import with_impatient_parent
from tests.functional.real_service import WITHIN, Site, is_alive, until

PATIENTS = 60


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    with RehearsalEmr(patients=PATIENTS, seed=3) as emr:
        found = Site(emr, tmp_path, database_url)
        yield found
        found.runtime.close()


def in_the_middle(site: Site) -> None:
    """A requested run that has applied some patients and waits for the EMR."""
    site.emr.faults.delay = 0.2
    site.resync()
    until(lambda: 0 < site.applied() < PATIENTS, site)


def test_a_decision_is_answered_while_another_process_does_the_run(site: Site) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        assert child != site.process.pid
        with site.runtime.database.write(ENTERPRISE):  # so that it does not stand still while it writes, which would stop all who write
            os.kill(child, signal.SIGSTOP)  # whatever a run does to its process
        run = site.resync()
        assert site.decision() == 200
        assert site.runtime.journal.run(run).status == "queued"
        os.kill(child, signal.SIGCONT)
        until(lambda: site.statuses() == ["done"], site)
        assert site.patients() == PATIENTS


def test_killing_the_process_of_a_run_loses_and_doubles_nothing(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGKILL)
        assert site.decision() == 200
        until(lambda: "done" in site.statuses(), site)
        assert sorted(site.statuses()) == ["done", "failed"]
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)
        assert site.child() not in (None, child)
        assert 'emr_sync_failures_total{kind="process"} 1.0' in site.asked("GET", "/metrics")[1]
        _, ready = site.asked("GET", "/readyz", key=site.operator)
        assert [one["kind"] for one in json.loads(ready)["failures"]] == ["process"]
        assert "a process ended and is started again" in site.log


def test_killing_the_process_of_the_api_ends_its_child_and_the_next_start_goes_on(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        child = site.child()
        assert child is not None
        site.kill()
        until(lambda: not is_alive(child), site)
    with site.served():
        until(lambda: "done" in site.statuses(), site)
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)


def test_a_reload_reaches_the_child(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.log.count("configuration reloaded") == 2, site)
        assert site.asked("POST", "/v1/sources/second/resync", key=site.operator)[0] == 202
        until(lambda: [one.status for one in site.runtime.journal.runs(source="second")] == ["done"], site)


def test_a_reload_that_is_refused_changes_neither_process_and_both_say_why(site: Site) -> None:
    with site.served():
        site.document["work"] |= {"parallel": "7"}
        site.write()
        site.process.send_signal(signal.SIGHUP)
        until(lambda: len(site.refusals()) == 2, site)
        assert {why for _, why in site.refusals()} == {f"{site.file}: restart the service to change work.parallel"}
        site.resync()
        until(lambda: site.statuses() == ["done"], site)


def test_a_child_that_is_started_again_uses_what_is_in_force_and_not_a_file_that_was_changed_meanwhile(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.kill_child()
        assert [one["sources"] for one in site.started()] == [[FHIR, ADT]] * 3
        site.file.write_text("no configuration")
        site.kill_child()
        site.resync()
        until(lambda: site.statuses() == ["done"], site)


def test_a_child_that_is_started_again_after_a_reload_uses_the_reloaded_settings(site: Site) -> None:
    with site.served():
        site.add_source("second")
        site.process.send_signal(signal.SIGHUP)
        until(lambda: site.log.count("configuration reloaded") == 2, site)
        site.kill_child()
        assert [one["sources"] for one in site.started()] == [[FHIR, ADT]] * 2 + [[FHIR, ADT, "second"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_processes_stop_cleanly(site: Site, number: signal.Signals) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        site.process.send_signal(number)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert Processes(site.runtime.database).read() == []
    assert "started again" not in site.log
    assert site.log.count('"stopped"') == 2


def test_stopping_in_a_run_ends_it_between_two_batches_and_the_next_start_goes_on(site: Site) -> None:
    with site.served():
        in_the_middle(site)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
    assert site.statuses() == ["stopped"]
    assert site.changes() == site.patients() == site.applied() < PATIENTS
    with site.served():
        until(lambda: "done" in site.statuses(), site)
        assert (site.patients(), site.changes()) == (PATIENTS, PATIENTS)


def test_a_service_stops_in_time_although_its_child_is_frozen(site: Site) -> None:
    with site.served(prepare=with_impatient_parent):
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert "a process did not stop in time and was killed" in site.log


def test_a_child_that_is_told_to_stop_by_itself_is_started_again_and_not_counted_as_a_failure(site: Site) -> None:
    with site.served():
        child = site.child()
        assert child is not None
        os.kill(child, signal.SIGTERM)
        until(lambda: site.child() not in (None, child), site)
        assert "a process was stopped and is started again" in site.log
        assert 'emr_sync_failures_total{kind="process"} 0.0' in site.asked("GET", "/metrics")[1]


def test_a_signal_to_all_processes_at_once_stops_them(site: Site) -> None:
    """As a service manager and a terminal send it."""
    with site.served():
        child = site.child()
        assert child is not None
        for process in (child, site.process.pid):
            os.kill(process, signal.SIGTERM)
        assert site.process.wait(WITHIN) == 0
        assert not is_alive(child)
    assert "failure" not in site.log


def test_the_metrics_of_both_processes_are_added_up_and_do_not_go_back(site: Site) -> None:
    applied = f'emr_sync_records_total{{outcome="applied",source="{FHIR}"}} {PATIENTS}.0'
    with site.served():
        site.resync()
        until(lambda: site.statuses() == ["done"], site)
        until(lambda: applied in site.asked("GET", "/metrics")[1], site)
        site.kill_child()
        assert applied in site.asked("GET", "/metrics")[1]
