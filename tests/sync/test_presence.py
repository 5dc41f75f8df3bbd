"""A serving process reports the others: a failing listener of another process, and a lost process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from store.runs.intake_state import IntakeState
from store.runs.processes import Place, Processes, Seen, standing
from store.web.api.health import Health, Readiness
from sync.config.loading import load
from sync.measured import Measured
from sync.measuring import measured
from sync.presence import Presence
from sync.runtime import Runtime
from sync.service import Service
from tests.functional.program import hospital, written

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"
LISTENER = Place("listen", SOURCE, ENTERPRISE)


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    found = Runtime.open(load(written(tmp_path, hospital(database_url, 0)), {}))
    yield found
    found.close()


def ready(runtime: Runtime) -> Readiness:
    return Health(runtime.preferences, None, runtime.clock, intake=runtime.intake_health.failing).readiness()


def long_running(now: datetime) -> Seen:
    """A process that ran all the time."""
    return Seen("here:1", Place("api"), now - timedelta(hours=1), now - timedelta(hours=1), now)


def readiness(runtime: Runtime, enterprise: str) -> Any:
    answer = ready(runtime).told(enterprise)
    assert isinstance(answer, Readiness)
    return answer


def test_readiness_reports_a_failing_listener_of_another_process(runtime: Runtime) -> None:
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
    there, here = IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full"), Processes(runtime.database, "elsewhere:1")
    here.beat([LISTENER], since, [there])
    assert readiness(runtime, ENTERPRISE).intake == (there,)
    assert ready(runtime).degraded
    assert readiness(runtime, "another-hospital").intake == ()
    runtime.intake_health.failed(SOURCE, ENTERPRISE, 3, "the database is locked")
    assert readiness(runtime, ENTERPRISE).intake == (IntakeState(ENTERPRISE, SOURCE, since, 23, "the disk is full"),)
    runtime.intake_health.committed(SOURCE)
    here.beat([LISTENER], since)
    assert readiness(runtime, ENTERPRISE).intake == ()


def test_a_lost_process_is_in_the_readiness_and_logged_once(runtime: Runtime) -> None:
    runtime.database.clock = lambda: datetime.now(UTC) - timedelta(minutes=1)
    Processes(runtime.database, "elsewhere:1").beat([LISTENER, Place("work")], datetime.now(UTC) - timedelta(hours=1))
    runtime.database.clock = lambda: datetime.now(UTC)
    runtime.database.skew = timedelta(0)
    presence = Presence(runtime, [Place("api")])
    Processes(runtime.database, "here:1").beat([Place("schedule")], datetime.now(UTC) - timedelta(minutes=2))
    with capture_logs() as log:
        presence._tend()
        presence._tend()
    assert [(one["role"], one["source"]) for one in log if one["event"] == "a process is gone"] == [("listen", SOURCE), ("work", None)]
    assert [(one.role, one.source) for one in readiness(runtime, ENTERPRISE).processes] == [("listen", SOURCE), ("work", "")]
    assert [(one.role, one.source) for one in readiness(runtime, "another-hospital").processes] == [("work", "")]
    assert ready(runtime).degraded
    Presence(runtime, [LISTENER, Place("work")])._tend()
    assert ready(runtime).processes == ()


def test_a_killed_process_is_reported_after_another_has_started_in_its_place(runtime: Runtime) -> None:
    runtime.database.clock = lambda: datetime.now(UTC) - timedelta(minutes=1)
    Processes(runtime.database, "elsewhere:1").beat([Place("api"), Place("work")], runtime.database.clock())
    runtime.database.clock = lambda: datetime.now(UTC)
    with capture_logs() as log:
        restarted = Presence(runtime, [Place("api"), Place("work")])
        restarted._tend()
        restarted._tend()
    assert [one["process"] for one in log if one["event"] == "a process ended without a clean stop"] == ["elsewhere:1"]
    assert reported(runtime) == [("process", 1)]


def test_a_process_that_was_killed_and_has_its_name_again_is_reported(runtime: Runtime) -> None:
    """A container that is restarted keeps its host name, and its process number is always 1."""
    Processes(runtime.database).beat([Place("api"), Place("work")], datetime.now(UTC) - timedelta(minutes=1))
    Presence(runtime, [Place("api")])._tend()
    assert reported(runtime) == [("process", 1)]
    assert [one.place.role for one in Processes(runtime.database).read()] == ["api"]


def test_a_process_that_stopped_cleanly_is_not_reported_later(runtime: Runtime) -> None:
    former = Presence(runtime, [Place("api")])
    former._tend()
    former.stop()
    Presence(runtime, [Place("api")])._tend()
    assert reported(runtime) == []


def reported(runtime: Runtime) -> list[tuple[str, int]]:
    """The failures in readiness, which stays ready, and in the metrics."""
    found = Health(runtime.preferences, None, runtime.clock, failures=runtime.failures).readiness()
    assert (found.ready, found.degraded) == (True, bool(found.failures))
    text = runtime.metrics.text(measured(runtime)).decode()
    assert f'emr_sync_failures_total{{kind="process"}} {sum(one.count for one in found.failures)}.0' in text
    return [(one.kind, one.count) for one in found.failures]


def test_metrics_cover_all_processes(runtime: Runtime) -> None:
    since = datetime.now(UTC) - timedelta(minutes=3)
    elsewhere = Processes(runtime.database, "elsewhere:1")
    elsewhere.beat([LISTENER, Place("work")], since, [IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full")])
    text = runtime.metrics.text(Measured(processes=standing(elsewhere.read(), elsewhere.now()))).decode()
    assert 'emr_sync_processes{role="listen",state="alive"} 1.0' in text
    assert f'emr_sync_intake_failing_messages{{source="{SOURCE}"}} 20.0' in text
    text = runtime.metrics.text(Measured(processes=standing(elsewhere.read(), elsewhere.now() + timedelta(minutes=1)))).decode()
    assert 'state="gone"' not in text, "no process is running that could report them"
    found = [*elsewhere.read(), long_running(elsewhere.now() + timedelta(minutes=1))]
    text = runtime.metrics.text(Measured(processes=standing(found, elsewhere.now() + timedelta(minutes=1)))).decode()
    assert 'emr_sync_processes{role="work",state="gone"} 1.0' in text
    assert "emr_sync_intake_failing_messages{" not in text


def test_a_process_reports_its_roles_while_serving(runtime: Runtime) -> None:
    service = Service(runtime, ["api", "schedule", "listen"])
    service.start()
    try:
        found = Processes(runtime.database)
        for _ in range(400):
            if len(found.read()) == 3:
                break
            service.ended.wait(0.05)
        assert sorted(one.place for one in found.read()) == [Place("api"), LISTENER, Place("schedule")]
    finally:
        service.stop()
    assert Processes(runtime.database).read() == []


def test_the_readiness_is_json(runtime: Runtime) -> None:
    import msgspec

    Processes(runtime.database, "elsewhere:1").beat([LISTENER], datetime.now(UTC))
    assert json.loads(msgspec.json.encode(ready(runtime)))["processes"] == []
