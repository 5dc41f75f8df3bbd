"""The serving process over real sockets, on both databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from adapters.address import Address
from adapters.rehearsal.emr import RehearsalEmr
from store.db import schema
from store.db.database import Database
from store.domain.patient import PatientRef
from store.runs.encryption import new_key
from store.runs.runs import Run
from sync.config import Settings, load
from sync.demo import ADT, ENTERPRISE, FHIR, configuration
from sync.housekeeping import database_watch
from sync.measured import Measured
from sync.queue import Job
from sync.run import Progress, no_progress
from sync.runtime import Runtime, UsageError
from sync.service import Service, serving


class Waiting:
    """Observes runs, so that a test can wait for one to end."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.ended_one = threading.Semaphore(0)

    def progress(self, source: str) -> Progress:
        return no_progress

    def ended(self, run: Run) -> None:
        self.runs.append(run)
        self.ended_one.release()

    def wait(self) -> Run:
        assert self.ended_one.acquire(timeout=60), "no run ended"
        return self.runs[-1]


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=60, seed=3) as running:
        yield running


@pytest.fixture
def settings(emr: RehearsalEmr, tmp_path: Path, database_url: str) -> Settings:
    file = configuration(emr, tmp_path)
    keys = {"current": "k1", "keys": {"k1": new_key()}}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"database": database_url, "payload_keys": keys}))
    return load(file, {})


def call(service: Service, method: str, path: str, key: str, body: Any = None) -> tuple[int, Any]:
    assert service.address is not None
    connection = HTTPConnection(*service.address, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def key(service: Service, role: str) -> str:
    return service.runtime.keys.create(role, ENTERPRISE, role, service.runtime.clock())[1]


def test_the_scheduler_reads_the_source_and_a_sender_gets_a_decision(settings: Settings, emr: RehearsalEmr) -> None:
    watch = Waiting()
    with serving(settings, watch=watch) as service:
        assert watch.wait().counts == {"applied": 60}
        patient = {"authority": "GENHOSP", "value": emr.entry(0).person.mrn}
        ask = {"patient": patient, "message_type": "automation", "channels": ["sms", "voice"]}
        status, decision = call(service, "POST", "/v1/decisions", key(service, "sender"), ask)
    assert status == 200
    assert decision["decision"] in ("send", "do_not_send")
    assert decision["patient_version"] == 1


def test_an_operator_starts_a_resync_and_follows_it(settings: Settings) -> None:
    watch = Waiting()
    with serving(settings, ["api", "work"], watch) as service:
        operator = key(service, "operator")
        status, begun = call(service, "POST", f"/v1/sources/{FHIR}/resync", operator)
        assert (status, begun["status"]) == (202, "queued")
        watch.wait()
        status, run = call(service, "GET", f"/v1/runs/{begun['run']}", operator)
        assert (run["status"], run["counts"]) == ("done", {"applied": 60})
        assert call(service, "POST", f"/v1/sources/{ADT}/resync", operator)[0] == 422


def test_emr_messages_are_acknowledged_after_commit(settings: Settings, emr: RehearsalEmr) -> None:
    with serving(settings, ["listen"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        report = emr.send(*listener.address)
        assert report.codes == {"AA": 60}
        mrn = emr.entry(7).person.mrn
        assert service.runtime.preferences.find(ENTERPRISE, PatientRef(value=mrn)).marks[0].source == ADT


def test_an_unusable_database_is_logged(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    runtime = Runtime.open(settings)
    check_database = database_watch(runtime)["database checked"]
    check_database()
    assert capsys.readouterr().out == ""
    with runtime.database.write("schema") as transaction:
        transaction.exec_driver_sql("UPDATE alembic_version SET version_num = '9001'")
    check_database()
    assert "the database cannot be used" in capsys.readouterr().out
    if not runtime.database.is_sqlite:
        with runtime.database.write("schema") as transaction:
            transaction.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{schema.head()}'")
        runtime.database.clock = lambda: datetime.now(UTC) - timedelta(seconds=40)
        check_database()
        assert "clock differs" in capsys.readouterr().out
    runtime.close()


def test_messages_are_not_acknowledged_after_the_database_file_is_deleted(settings: Settings, emr: RehearsalEmr) -> None:
    if not settings.database.startswith("sqlite"):
        pytest.skip("PostgreSQL keeps its files itself")
    with serving(settings, ["listen", "api"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        Path(settings.database.removeprefix("sqlite:///")).unlink()
        assert set(emr.send(*listener.address, [next(iter(emr.messages()))]).codes) == {"AR"}
        status, ready = call(service, "GET", "/readyz", "none")
        assert (status, ready) == (503, {"ready": False})
    with pytest.raises(UsageError, match="the database file is gone or empty: restore it"):
        Runtime.open(settings)


def test_bytes_without_a_message_become_a_rejection(settings: Settings) -> None:
    import socket

    with serving(settings, ["listen"]) as service:
        listener: Any = service.listeners[0].listener
        assert listener.bound.wait(30)
        with socket.create_connection(listener.address, timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.recv(100) == b""  # that connection is closed
    runtime = Runtime.open(settings)
    (rejection,) = runtime.journal.rejections(source=ADT)
    assert runtime.journal.rejection(rejection.id).payload.startswith(b"GET / HTTP")
    runtime.close()


def test_a_rejection_is_replayed_over_http(settings: Settings, tmp_path: Path) -> None:
    with serving(settings, ["api"]) as service:
        runtime = service.runtime
        from adapters.base import Payload
        from sync.runtime import adapter, lane

        feed = runtime.feed(ADT)
        runtime.engine.ingest(lane(feed), adapter(feed).mapper, [Payload(b"not hl7 at all", "test:1", runtime.clock())])
        (rejection,) = runtime.journal.rejections(source=ADT)
        status, answer = call(service, "POST", f"/v1/rejections/{rejection.id}/replay", key(service, "operator"))
    assert (status, answer["outcome"]) == (200, "rejected")


def test_metrics_count_completed_work(settings: Settings) -> None:
    watch = Waiting()
    with serving(settings, ["api", "work"], watch) as service:
        service.queue.put(Job(FHIR))
        watch.wait()
        text = service.runtime.metrics.text(Measured(heard=service.runtime.journal.last_heard())).decode()
    assert f'emr_sync_records_total{{outcome="applied",source="{FHIR}"}} 60.0' in text
    assert f'emr_sync_runs_total{{kind="incremental",source="{FHIR}",status="done"}} 1.0' in text
    assert f'emr_sync_last_heard_timestamp_seconds{{source="{FHIR}"}}' in text


class BarrierRole:
    """A role whose stop returns only together with the other's."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Raises ``BrokenBarrierError`` if no other role is being stopped."""
        self.barrier.wait()


def test_roles_stop_in_parallel(settings: Settings) -> None:
    runtime = Runtime.open(settings)
    try:
        service, barrier = Service(runtime, ["api"]), threading.Barrier(2, timeout=20)
        service._started += [BarrierRole(barrier), BarrierRole(barrier)]
        service.stop()
        assert not barrier.broken
    finally:
        runtime.close()


def test_a_port_in_use_is_reported_before_anything_starts(settings: Settings) -> None:
    with serving(settings, ["api"]) as service:
        assert service.address is not None
        taken = Address(*service.address)
        from dataclasses import replace

        with pytest.raises(UsageError, match="cannot use"), serving(replace(settings, listen=taken), ["api"]):
            pass


def test_a_listener_that_cannot_bind_ends_the_process_with_the_reason(settings: Settings, database: Database) -> None:
    from dataclasses import replace

    with serving(settings, ["listen"]) as first:
        listener: Any = first.listeners[0].listener
        assert listener.bound.wait(30)
        feed = settings.feeds[ADT]
        options = dict(feed.settings.options) | {"listen": f"127.0.0.1:{listener.address[1]}"}
        feeds = {ADT: replace(feed, settings=replace(feed.settings, options=options))}
        with serving(replace(settings, feeds=feeds), ["listen"]) as second:
            second.wait()
            assert second.failure is not None
            assert "cannot listen" in second.failure
