"""A serving process tells of the others: of a listener elsewhere that cannot take messages, and of a process that is gone."""

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


def witness(now: datetime) -> Seen:
    """Somebody who was there all the time."""
    return Seen("here:1", Place("api"), now - timedelta(hours=1), now - timedelta(hours=1), now)


def told(runtime: Runtime, enterprise: str) -> Any:
    answer = ready(runtime).told(enterprise)
    assert isinstance(answer, Readiness)
    return answer


def test_what_a_listener_elsewhere_cannot_take_is_in_the_readiness(runtime: Runtime) -> None:
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
    there, here = IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full"), Processes(runtime.database, "elsewhere:1")
    here.beat([LISTENER], since, [there])
    assert told(runtime, ENTERPRISE).intake == (there,)
    assert ready(runtime).degraded
    assert told(runtime, "another-hospital").intake == ()
    runtime.intake_health.failed(SOURCE, ENTERPRISE, 3, "the database is locked")
    assert told(runtime, ENTERPRISE).intake == (IntakeState(ENTERPRISE, SOURCE, since, 23, "the disk is full"),)
    runtime.intake_health.committed(SOURCE)
    here.beat([LISTENER], since)
    assert told(runtime, ENTERPRISE).intake == ()


def test_a_process_that_is_gone_is_in_the_readiness_and_once_in_the_log(runtime: Runtime) -> None:
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
    assert [(one.role, one.source) for one in told(runtime, ENTERPRISE).processes] == [("listen", SOURCE), ("work", "")]
    assert [(one.role, one.source) for one in told(runtime, "another-hospital").processes] == [("work", "")]
    assert ready(runtime).degraded
    Presence(runtime, [LISTENER, Place("work")])._tend()
    assert ready(runtime).processes == ()


def test_metrics_tell_of_all_processes(runtime: Runtime) -> None:
    since = datetime.now(UTC) - timedelta(minutes=3)
    elsewhere = Processes(runtime.database, "elsewhere:1")
    elsewhere.beat([LISTENER, Place("work")], since, [IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full")])
    text = runtime.metrics.text({}, processes=standing(elsewhere.read(), elsewhere.now())).decode()
    assert 'emr_sync_processes{role="listen",state="alive"} 1.0' in text
    assert f'emr_sync_intake_failing_messages{{source="{SOURCE}"}} 20.0' in text
    text = runtime.metrics.text({}, processes=standing(elsewhere.read(), elsewhere.now() + timedelta(minutes=1))).decode()
    assert 'state="gone"' not in text, "nobody is there to miss them"
    found = [*elsewhere.read(), witness(elsewhere.now() + timedelta(minutes=1))]
    text = runtime.metrics.text({}, processes=standing(found, elsewhere.now() + timedelta(minutes=1))).decode()
    assert 'emr_sync_processes{role="work",state="gone"} 1.0' in text
    assert "emr_sync_intake_failing_messages{" not in text


def test_a_process_shows_its_roles_while_it_serves(runtime: Runtime) -> None:
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


def test_a_readiness_is_json(runtime: Runtime) -> None:
    import msgspec

    Processes(runtime.database, "elsewhere:1").beat([LISTENER], datetime.now(UTC))
    assert json.loads(msgspec.json.encode(ready(runtime)))["processes"] == []
