"""What a child process reports to its parent, and how several reports become one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from store.db.recent_failures import FailureState
from sync import child_process, process_report
from sync.config.loading import load
from sync.measured import Measured
from sync.measuring import report
from sync.metrics import Metrics
from sync.process_report import ProcessReport
from sync.queue import Depth, Job
from sync.queue_requested import WorkerQueue
from sync.runtime import Runtime
from sync.worker import Worker
from tests.functional.program import free_port, hospital, written

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_report_is_read_as_it_was_written(tmp_path: Path, sqlite_url: str) -> None:
    runtime = Runtime.open(load(written(tmp_path, hospital(sqlite_url, free_port())), {}))
    queue = WorkerQueue(Worker(runtime), 1)
    queue._waiting[Job("a")] = 0.0
    runtime.metrics.records.add("a", "applied", number=3)
    runtime.undelivered.add("nobody answers")
    found = process_report.read(process_report.written(report(runtime, queue)))
    assert found is not None
    runtime.close()
    assert list(found.counts["records"]) == [(("a", "applied"), 3)]
    assert (found.totals["alerts"], [one.reason for one in found.failures]) == (1, ["nobody answers"])
    assert found.depth()[0] == Depth(1, 0)
    assert found.oldest > 0


def test_a_report_that_was_cut_off_is_left_out() -> None:
    line = b'[{"records":[[["a","applied"],3]]},{},[],0,0,0.0]\n'
    assert process_report.read(line) == ProcessReport({"records": [(("a", "applied"), 3)]}, {})
    assert [process_report.read(one) for one in (line[:20], line[:20] + line)] == [None, None]


def test_counters_of_two_processes_are_added_and_keep_what_one_that_ended_had_counted() -> None:
    one = ProcessReport({"records": [(("a", "applied"), 3)]}, {"memory": 1}, waiting=2, running=1, oldest=5.0)
    other = ProcessReport({"records": [(("a", "applied"), 4), (("b", "applied"), 1)]}, {"alerts": 2}, waiting=1, oldest=7.0)
    assert process_report.added(process_report.without_state(one), other) == ProcessReport(
        {"records": [(("a", "applied"), 7), (("b", "applied"), 1)]}, {"memory": 1, "alerts": 2}, (), 1, 0, 7.0
    )


def test_the_counters_of_a_child_are_in_the_metrics_of_its_parent() -> None:
    metrics = Metrics()
    metrics.records.add("a", "applied", number=2)
    text = metrics.text(Measured(beside={"records": [(("a", "applied"), 5), (("b", "held"), 1)]})).decode()
    assert 'emr_sync_records_total{outcome="applied",source="a"} 7.0' in text
    assert 'emr_sync_records_total{outcome="held",source="b"} 1.0' in text


def test_failures_of_one_kind_are_one_state_since_the_first_with_the_last_reason() -> None:
    first = FailureState("database", NOW, NOW + timedelta(seconds=9), 2, "disk full")
    second = FailureState("database", NOW + timedelta(seconds=1), NOW + timedelta(seconds=5), 1, "busy")
    other = FailureState("memory", NOW, NOW, 1, "short")
    joined = FailureState("database", NOW, NOW + timedelta(seconds=9), 3, "disk full")
    assert process_report.joined((second, other, first)) == (joined, other)


def test_a_child_has_the_environment_but_for_what_is_told_to_one_process_only() -> None:
    ours = {"PATH": "/bin", "NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "9", "EMR_SYNC_METRICS": "127.0.0.1:9464", "EMR_SYNC_WORKERS": "4"}
    assert child_process.environment(ours) == {"PATH": "/bin"}
