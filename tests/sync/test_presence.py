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
from sync.presence import Presence
from sync.runtime import Parts
from sync.service import Service
from tests.functional.program import hospital, written

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"
LISTENER = Place("listen", SOURCE, ENTERPRISE)


@pytest.fixture
def parts(tmp_path: Path, database_url: str) -> Iterator[Parts]:
    found = Parts.open(load(written(tmp_path, hospital(database_url, 0)), {}))
    yield found
    found.close()


def ready(parts: Parts) -> Readiness:
    return Health(parts.preferences, None, parts.clock, intake=parts.intake_health.failing).readiness()


def long_running(now: datetime) -> Seen:
    """A process that ran all the time."""
    return Seen("here:1", Place("api"), now - timedelta(hours=1), now - timedelta(hours=1), now)


def readiness(parts: Parts, enterprise: str) -> Any:
    answer = ready(parts).told(enterprise)
    assert isinstance(answer, Readiness)
    return answer


def test_readiness_reports_a_failing_listener_of_another_process(parts: Parts) -> None:
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=3)
    there, here = IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full"), Processes(parts.database, "elsewhere:1")
    here.beat([LISTENER], since, [there])
    assert readiness(parts, ENTERPRISE).intake == (there,)
    assert ready(parts).degraded
    assert readiness(parts, "another-hospital").intake == ()
    parts.intake_health.failed(SOURCE, ENTERPRISE, 3, "the database is locked")
    assert readiness(parts, ENTERPRISE).intake == (IntakeState(ENTERPRISE, SOURCE, since, 23, "the disk is full"),)
    parts.intake_health.committed(SOURCE)
    here.beat([LISTENER], since)
    assert readiness(parts, ENTERPRISE).intake == ()


def test_a_lost_process_is_in_the_readiness_and_logged_once(parts: Parts) -> None:
    parts.database.clock = lambda: datetime.now(UTC) - timedelta(minutes=1)
    Processes(parts.database, "elsewhere:1").beat([LISTENER, Place("work")], datetime.now(UTC) - timedelta(hours=1))
    parts.database.clock = lambda: datetime.now(UTC)
    parts.database.skew = timedelta(0)
    presence = Presence(parts, [Place("api")])
    Processes(parts.database, "here:1").beat([Place("schedule")], datetime.now(UTC) - timedelta(minutes=2))
    with capture_logs() as log:
        presence._tend()
        presence._tend()
    assert [(one["role"], one["source"]) for one in log if one["event"] == "a process is gone"] == [("listen", SOURCE), ("work", None)]
    assert [(one.role, one.source) for one in readiness(parts, ENTERPRISE).processes] == [("listen", SOURCE), ("work", "")]
    assert [(one.role, one.source) for one in readiness(parts, "another-hospital").processes] == [("work", "")]
    assert ready(parts).degraded
    Presence(parts, [LISTENER, Place("work")])._tend()
    assert ready(parts).processes == ()


def test_metrics_cover_all_processes(parts: Parts) -> None:
    since = datetime.now(UTC) - timedelta(minutes=3)
    elsewhere = Processes(parts.database, "elsewhere:1")
    elsewhere.beat([LISTENER, Place("work")], since, [IntakeState(ENTERPRISE, SOURCE, since, 20, "the disk is full")])
    text = parts.metrics.text({}, processes=standing(elsewhere.read(), elsewhere.now())).decode()
    assert 'emr_sync_processes{role="listen",state="alive"} 1.0' in text
    assert f'emr_sync_intake_failing_messages{{source="{SOURCE}"}} 20.0' in text
    text = parts.metrics.text({}, processes=standing(elsewhere.read(), elsewhere.now() + timedelta(minutes=1))).decode()
    assert 'state="gone"' not in text, "no process is running that could report them"
    found = [*elsewhere.read(), long_running(elsewhere.now() + timedelta(minutes=1))]
    text = parts.metrics.text({}, processes=standing(found, elsewhere.now() + timedelta(minutes=1))).decode()
    assert 'emr_sync_processes{role="work",state="gone"} 1.0' in text
    assert "emr_sync_intake_failing_messages{" not in text


def test_a_process_reports_its_roles_while_serving(parts: Parts) -> None:
    service = Service(parts, ["api", "schedule", "listen"])
    service.start()
    try:
        found = Processes(parts.database)
        for _ in range(400):
            if len(found.read()) == 3:
                break
            service.ended.wait(0.05)
        assert sorted(one.place for one in found.read()) == [Place("api"), LISTENER, Place("schedule")]
    finally:
        service.stop()
    assert Processes(parts.database).read() == []


def test_the_readiness_is_json(parts: Parts) -> None:
    import msgspec

    Processes(parts.database, "elsewhere:1").beat([LISTENER], datetime.now(UTC))
    assert json.loads(msgspec.json.encode(ready(parts)))["processes"] == []
