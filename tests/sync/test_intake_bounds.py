"""Limits of a listener's messages: space for rejections, memory, time. And how unhandled messages are reported."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import event

from adapters.base import Batch, Fetch, Item, Payload, Unmappable
from adapters.hl7v2.client import MllpClient
from store.db.database import Database
from store.domain.patient import PatientRef
from store.patients.preferences import Preferences
from store.preference import Problem
from store.runs.rejection_room import TRUNCATED, Room
from store.runs.runs import Journal
from sync.config import Backoff, Settings, load
from sync.engine import Engine
from sync.intake import Piece, grouped
from sync.intake_health import LOG_EVERY, IntakeHealth
from sync.metrics import Metrics
from sync.run import Lane
from sync.service import Service, serving
from tests.factories import CLINIC, FEED, NOW, clinic, payload, sealing, statements
from tests.fakes import FakeAdapter, FakeClock, FakeMapper, batch
from tests.sync.clinic import CONFIG, KEYS, adt

LANE = Lane(FEED, CLINIC)


class PartlyReadable(FakeMapper):
    """Maps everything but the phone of a patient; keeps payloads at full size."""

    def read(self, payload: Payload) -> list[Item]:
        found = FakeMapper.read(self, payload._replace(body=payload.body.split(b"|")[0]))
        problem = Problem("phone_unusable", "PID-13")
        return [statements(one.identifiers[0].value, problems=(problem,)) if not isinstance(one, Unmappable) else one for one in found]  # type: ignore[union-attr]  # only these two


@pytest.fixture
def engine(database: Database) -> Engine:
    store, journal = Preferences(database, {CLINIC: clinic()}), Journal(database, sealing(), room=Room(rows=2, size=100))
    return Engine(database, store, journal, FakeClock(), Metrics(), Backoff())


def metric(engine: Engine, name: str) -> list[str]:
    return [line for line in engine.metrics.text().decode().splitlines() if line.startswith(name)]


def test_a_patient_message_over_the_rejection_limit_is_applied_and_its_sender_told_to_keep_it(engine: Engine) -> None:
    messages = [payload(f"P{number}=yes|{'x' * 40}") for number in range(4)]
    found = engine.ingest(LANE, PartlyReadable(), messages)
    assert [one.outcome for one in found] == ["applied", "applied", "rejected", "rejected"]
    assert "keep the message and send it again" in found[3].detail
    for number in range(4):
        assert engine.preferences.find(CLINIC, PatientRef(value=f"P{number}")).contact.do_not_contact == "yes"
    rows = engine.journal.rejections(source=FEED)
    assert [one.reason for one in rows].count("phone_unusable") == 4
    assert [one.times for one in rows if one.reason == TRUNCATED] == [2]
    assert metric(engine, "emr_sync_rejections_left_out_total") == [f'emr_sync_rejections_left_out_total{{source="{FEED}"}} 2.0']


def test_unusable_messages_over_the_rejection_limit_are_refused_and_counted(engine: Engine) -> None:
    found = engine.ingest(LANE, FakeMapper(), [payload(f"junk {number}") for number in range(50)])
    assert {one.outcome for one in found} == {"rejected"}
    rows = engine.journal.rejections(source=FEED)
    assert len(rows) == 3
    assert [one.times for one in rows if one.reason == TRUNCATED] == [48]


def test_a_run_keeps_every_rejection_that_names_a_patient(engine: Engine) -> None:
    """A run has no sender to answer, so its rejections are kept without their payloads."""
    items = [Unmappable("record_deleted", "look there", f"Consent/{number}") for number in range(5)]
    engine.run(LANE, FakeAdapter(Batch(items, "1", [b"x" * 40 + bytes([number]) for number in range(5)])), Fetch(), "full")
    rows = [one for one in engine.journal.rejections(source=FEED) if one.reason != TRUNCATED]
    assert sorted(one.locator for one in rows) == [f"Consent/{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([1, 1, 1, 1], [[1, 1, 1], [1]]),
        ([6, 5], [[6], [5]]),
        ([6, 4, 1], [[6, 4], [1]]),
        ([99, 1, 99, 99], [[99], [1], [99], [99]]),
        ([0, 0, 0, 0], [[0, 0, 0], [0]]),
    ],
)
def test_groups_are_limited_by_count_and_by_bytes(sizes: list[int], groups: list[list[int]]) -> None:
    pieces = [Piece(Unmappable("odd", "", ""), b"x" * size) for size in sizes]
    assert [[len(one.payload) for one in group] for group in grouped(pieces, 3, 10)] == groups


def test_large_records_of_runs_and_files_are_committed_in_small_groups(engine: Engine) -> None:
    engine.batch_bytes = 100
    seen: list[int] = []
    fat = batch(*[statements(f"P{number}") for number in range(6)], cursor="end")._replace(payloads=[b"x" * 60] * 6)
    engine.run(LANE, FakeAdapter(fat), Fetch(), "full", lambda done, total: seen.append(done))
    engine.feed(
        LANE, PartlyReadable(), [payload(f"Q{number}=yes|{'x' * 60}") for number in range(4)], lambda done, total: seen.append(done)
    )
    assert seen == [6, 1, 2, 3, 4]
    assert engine.journal.cursor(FEED) == "end"


def test_a_source_counts_as_failing_until_its_next_commit_and_is_logged_once_a_minute() -> None:
    clock = FakeClock()
    with structlog.testing.capture_logs() as lines:
        health = IntakeHealth(structlog.get_logger(), clock)
        for _ in range(30):
            health.failed("adt", CLINIC, 2, "the disk is full")
        (state,) = health.failing()
        assert (state.source, state.messages, state.reason) == ("adt", 60, "the disk is full")
        assert (state.since - NOW).total_seconds() == 1
        assert len(lines) == 1
        clock.now += LOG_EVERY
        health.failed("adt", CLINIC, 1, "the disk is full")
        health.failed("other", CLINIC, 1, "the disk is full")
        health.committed("adt")
        health.committed("adt")
    assert [(line["event"], line["source"], line["messages"]) for line in lines] == [
        ("messages cannot be handled", "adt", 2),
        ("messages cannot be handled", "adt", 61),
        ("messages cannot be handled", "other", 1),
        ("messages are handled again", "adt", 61),
    ]
    assert [one.source for one in health.failing()] == ["other"]


# The running service with a hanging database.


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    file = tmp_path / "config.yaml"
    source = CONFIG.replace("    listen: 127.0.0.1:0\n", "    listen: 127.0.0.1:0\n    answer_within: 0.3s\n")
    file.write_text(f"database: {sqlite_url}\napi: {{listen: '127.0.0.1:0'}}\n{KEYS}{source}")
    return load(file, {})


def get(service: Service, path: str, key: str) -> Any:
    assert service.address is not None
    connection = HTTPConnection(*service.address, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    with closing(connection):
        return connection.getresponse().read()


def until(condition: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(200):
        if condition():
            return
        ended.wait(0.05)
    raise AssertionError("the condition was never met")


def test_a_hanging_store_is_answered_and_reported_until_it_commits_again(settings: Settings, sqlite_url: str) -> None:
    with serving(settings, ["api", "listen"]) as service:
        listener: Any = service.listeners[0].listener
        key = service.runtime.keys.create("kim", "clinic", "operator", service.runtime.clock())[1]
        assert listener.bound.wait(30)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with MllpClient(*listener.address) as emr:
                for number in range(3):
                    assert b"MSA|AR|" in emr.send(adt(control=f"C{number}").encode())
            ready = json.loads(get(service, "/readyz", key))
            assert (ready["ready"], ready["degraded"]) == (True, True)
            assert [(one["source"], one["messages"]) for one in ready["intake"]] == [("adt", 3)]
            assert "did not answer in time" in ready["intake"][0]["reason"]
            assert b'emr_sync_unavailable_total{source="adt"} 3.0' in get(service, "/metrics", key)
            other.execute("ROLLBACK")
        until(lambda: json.loads(get(service, "/readyz", key))["intake"] == [])
        with MllpClient(*listener.address) as emr:
            assert b"MSA|AA|" in emr.send(adt(control="C0").encode())
        assert json.loads(get(service, "/readyz", key))["intake"] == []


@contextmanager
def closed_to_writing(engine: Any) -> Iterator[None]:
    """Makes pooled connections read-only for the duration of the block."""
    ways = {way: (lambda connection, *_, way=way: connection.execute(f"PRAGMA query_only={way}")) for way in ("ON", "OFF")}
    event.listen(engine, "checkout", ways["ON"])
    try:
        yield
    finally:
        event.remove(engine, "checkout", ways["ON"])
        event.listen(engine, "checkout", ways["OFF"])


def test_a_full_database_is_reported_with_its_reason(settings: Settings, sqlite_url: str) -> None:
    with serving(settings, ["api", "listen"]) as service:
        listener: Any = service.listeners[0].listener
        key = service.runtime.keys.create("kim", "clinic", "operator", service.runtime.clock())[1]
        assert listener.bound.wait(30)
        engine = service.runtime.database.engine
        with closed_to_writing(engine), MllpClient(*listener.address) as emr:
            assert b"MSA|AR|" in emr.send(adt(control="C1").encode())
            (state,) = json.loads(get(service, "/readyz", key))["intake"]
            assert "read-only" in state["reason"]
        with MllpClient(*listener.address) as emr:
            assert b"MSA|AA|" in emr.send(adt(control="C2").encode())
        until(lambda: json.loads(get(service, "/readyz", key))["intake"] == [])
