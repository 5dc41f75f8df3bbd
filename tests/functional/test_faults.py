"""Each fault of the rehearsal EMR in a complete run: skipped, retried or stopped as in product section 9, without loss."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Fetch
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.extract import EXTRACT_FAULTS
from adapters.rehearsal.faults import Faults
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.preference import NO, UNKNOWN, YES
from store.runs.runs import Run
from sync.commands.practice import FAULTS, planned_faults
from sync.config import load
from sync.runtime import Runtime, lane
from sync.service import Service, serving

PATIENTS = 40
REST, BULK, ADT = "rehearsal-fhir", "rehearsal-bulk", "rehearsal-adt"
VALUES = {True: YES, False: NO, None: UNKNOWN}
Plan = Callable[[Faults], object]


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=9) as running:
        running.exports.file_size = 10
        yield running


def configuration(emr: RehearsalEmr, folder: Path, url: str, **retry: Any) -> Path:
    sources: dict[str, Any] = {
        REST: emr.fhir_source(enterprise="clinic") | {"page_size": 10, "timeout": "2s"},
        BULK: emr.bulk_source(enterprise="clinic") | {"timeout": "2s"},
        ADT: emr.hl7_source(enterprise="clinic", listen="127.0.0.1:0"),
    }
    (folder / "key.pem").write_text(emr.private_key)
    for name in (REST, BULK):
        sources[name]["auth"] |= {"private_key": "file:key.pem"}
    document = {
        "database": url,
        "api": {"listen": "127.0.0.1:0"},
        "logs": {"level": "error"},
        "retry": {"first_wait": "0.01s", "longest_wait": "5s", "attempts": 3} | retry,
        "enterprises": {"clinic": {"sync_contact_preferences": True, "default_region": "US", "authorities": emr.authorities}},
        "sources": sources,
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def runtime(emr: RehearsalEmr, tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    opened = Runtime.open(load(configuration(emr, tmp_path, database_url), {}))
    yield opened
    opened.close()


class NeverWaits(threading.Event):
    """Whether the engine should stop, for an engine that has no time to wait for it."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def run(runtime: Runtime, source: str, request: Fetch = Fetch()) -> Run:  # noqa: B008 - frozen
    """Runs a source. Neither its adapter nor the engine waits between attempts."""
    feed, runtime.engine.stop = runtime.feed(source), NeverWaits()
    adapter: Any = runtime.polled(feed)
    getattr(adapter, "rest", adapter).sleep = lambda seconds: None
    return runtime.engine.run(lane(feed), adapter, request, "incremental")


def known(runtime: Runtime, emr: RehearsalEmr, index: int) -> str | None:
    """Do Not Contact of a patient in the store; ``None`` for an unknown patient."""
    try:
        ref = PatientRef(authority=next(iter(emr.authorities)), value=emr.entry(index).person.mrn)
        return runtime.preferences.find("clinic", ref).contact.do_not_contact
    except PatientUnknown:
        return None


def missing(runtime: Runtime, emr: RehearsalEmr) -> list[int]:
    """Patients whose value in the store differs from the EMR."""
    return [index for index in range(PATIENTS) if known(runtime, emr, index) != VALUES[emr.entry(index).person.do_not_contact]]


def in_the_middle(fault: Plan) -> Plan:
    """The fault, after some successful requests."""

    def plan(faults: Faults) -> None:
        faults.succeed(2)
        fault(faults)

    return plan


RETRIED: dict[str, Plan] = {
    "a token that is refused once": lambda faults: faults.unauthorized(),
    "throttled": lambda faults: faults.throttle(retry_after="0"),
    "an error of the server": lambda faults: faults.fail(),
    "a server that is away": lambda faults: faults.fail(status=503),
    "a connection that is cut": lambda faults: faults.cut(),
    "a server that is slow": lambda faults: faults.stall(seconds=0.3),
    "a server that is slower than the timeout": lambda faults: faults.stall(seconds=2.5),
    "more errors than one attempt survives": lambda faults: faults.fail(6, status=503, retry_after="0"),
}


@pytest.mark.parametrize("source", [REST, BULK])
@pytest.mark.parametrize("fault", RETRIED)
def test_transient_faults_are_retried_without_loss(emr: RehearsalEmr, runtime: Runtime, source: str, fault: str) -> None:
    in_the_middle(RETRIED[fault])(emr.faults)
    ended = run(runtime, source)
    assert (ended.status, ended.counts.get("rejected", 0)) == ("done", 0), ended.error
    assert emr.faults.taken > 2
    assert missing(runtime, emr) == []


@pytest.mark.parametrize("source", [REST, BULK])
def test_a_permanently_refused_token_stops_the_source_and_keeps_the_cursor(emr: RehearsalEmr, runtime: Runtime, source: str) -> None:
    emr.faults.unauthorized(2)
    ended = run(runtime, source)
    assert ended.status == "failed"
    assert (ended.error or "").startswith("action needed: ")
    assert runtime.journal.cursor(source) is None
    assert run(runtime, source).status == "done"
    assert missing(runtime, emr) == []


def test_a_broken_next_link_fails_the_run_and_keeps_the_cursor(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.break_next_links = True
    assert run(runtime, REST).status == "failed"
    assert runtime.journal.cursor(REST) is None
    emr.faults.break_next_links = False
    assert run(runtime, REST).status == "done"
    assert missing(runtime, emr) == []


def test_expired_files_are_exported_again(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.expire()
    assert run(runtime, BULK).status == "done"
    assert emr.exports.asked == 2
    assert missing(runtime, emr) == []


def test_files_that_keep_expiring_end_the_run(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.expire(1000)
    ended = run(runtime, BULK)
    assert (ended.status, emr.exports.asked) == ("failed", 3)
    assert "requested again" in (ended.error or "")
    emr.faults = Faults()
    emr.exports.faults = emr.faults
    assert run(runtime, BULK).status == "done"
    assert missing(runtime, emr) == []


def test_patients_missing_from_an_export_are_reported_and_read_by_the_next(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.leave_out(7)
    ended = run(runtime, BULK)
    assert (ended.status, ended.counts["rejected"]) == ("done", 1)
    (rejection,) = runtime.journal.rejections(source=BULK)
    assert rejection.reason == "export_error"
    assert known(runtime, emr, 7) is None
    assert run(runtime, BULK).counts["applied"] == 1
    assert missing(runtime, emr) == []


def test_files_shorter_than_their_count_are_reported_and_exported_again(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.miscount()
    ended = run(runtime, BULK)
    assert (ended.status, runtime.journal.cursor(BULK) is None) == ("failed", False), "the cursor keeps the export to delete at the server"
    assert "lines fewer" in (ended.error or "")
    assert {one.reason for one in runtime.journal.rejections(source=BULK)} == {"export_file_short"}
    again = run(runtime, BULK)
    assert again.counts == {"unchanged": PATIENTS}
    assert missing(runtime, emr) == []


BROKEN: dict[str, tuple[str, str, str]] = {
    # the plans of --faults: the source, the status of its run, the error of the run
    "slipped": (REST, "done", "read again"),
    "announced": (REST, "failed", "announced 45 Patient records but sent 40"),
    "error-entry": (REST, "done", "read again"),
    "endless-next": (REST, "failed", "50 consecutive pages"),
    "byte-order-mark": (REST, "done", ""),
    "no-metadata": (REST, "done", ""),
    "html-file": (BULK, "done", ""),
    "cut-file": (BULK, "done", ""),
    "pretty-file": (BULK, "done", ""),
    "late-time": (BULK, "done", ""),
    "redirected": (BULK, "done", ""),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_incomplete_response_loses_no_patient(emr: RehearsalEmr, runtime: Runtime, fault: str) -> None:
    source, status, error = BROKEN[fault]
    FAULTS[fault](emr.faults)
    ended = run(runtime, source)
    assert (ended.status, ended.counts.get("rejected", 0)) == (status, 0), ended.error
    assert error in (ended.error or "")
    assert (runtime.journal.cursor(source) is None) == (status == "failed")
    assert missing(runtime, emr) == []


def test_duplicate_lines_are_applied_once(emr: RehearsalEmr, runtime: Runtime) -> None:
    emr.faults.repeat_lines = True
    assert run(runtime, BULK).counts == {"applied": PATIENTS, "filtered": 4}
    assert missing(runtime, emr) == []


def test_a_deleted_patient_keeps_the_last_known_preferences(emr: RehearsalEmr, runtime: Runtime) -> None:
    run(runtime, BULK)
    refuses = next(index for index in range(PATIENTS) if emr.entry(index).person.do_not_contact)
    emr.remove(refuses)
    assert run(runtime, BULK).counts == {"filtered": 1}
    assert known(runtime, emr, refuses) == YES


# The ADT feed


@pytest.fixture
def service(emr: RehearsalEmr, tmp_path: Path, database_url: str) -> Iterator[Service]:
    with serving(load(configuration(emr, tmp_path, database_url), {}), roles=("listen",)) as running:
        yield running


def send(emr: RehearsalEmr, service: Service) -> Any:
    listener: Any = service.listeners[0].listener
    assert listener.bound.wait(30)
    return emr.send(*listener.address, connections=1, pause=0)


def changes_of(runtime: Runtime) -> int:
    with runtime.database.read() as connection:
        return int(runtime.database.select(connection, "SELECT count(*) FROM changes", [])[0][0])


@pytest.mark.parametrize("fault", ["duplicates", "lost_acks"])
def test_duplicate_messages_are_applied_once(emr: RehearsalEmr, service: Service, fault: str) -> None:
    setattr(emr.faults, fault, 3)
    report = send(emr, service)
    assert (report.failed, report.given_up) == (0, 0)
    assert report.lost + (report.sent - PATIENTS) >= PATIENTS // 3
    assert missing(service.runtime, emr) == []
    assert changes_of(service.runtime) == PATIENTS


def test_messages_out_of_order_end_as_in_order(emr: RehearsalEmr, service: Service) -> None:
    stale = list(emr.messages())
    for _ in range(25):  # every patient changes once
        emr.tick()
    emr.faults.reordered = 2 * PATIENTS
    listener: Any = service.listeners[0].listener
    assert listener.bound.wait(30)
    report = emr.send(*listener.address, [*stale, *emr.messages()], connections=1)
    assert report.accepted == 2 * PATIENTS
    assert missing(service.runtime, emr) == []


def test_bytes_in_the_wrong_character_set_affect_only_their_field_until_resent(emr: RehearsalEmr, service: Service) -> None:
    emr.faults.wrong_charsets = 4
    report = send(emr, service)
    assert (report.failed, report.given_up) == (0, 0)
    rejections = service.runtime.journal.rejections(source=ADT)
    assert sum(one.times for one in rejections) == PATIENTS // 4
    assert {one.scope for one in rejections} == {"field"}
    assert all("charact" in one.detail or "byte" in one.detail for one in rejections)
    emr.faults.wrong_charsets = 0
    send(emr, service)
    assert missing(service.runtime, emr) == []


def test_every_fault_can_be_requested_by_name() -> None:
    planned = planned_faults(", ".join(FAULTS))
    assert planned.break_next_links
    assert planned.repeat_lines
    assert (planned.duplicates, planned.reordered, planned.wrong_charsets, planned.lost_acks) == (5, 5, 7, 9)
    assert [planned.take(name) for name in ("expired", "partial", "miscount", "expired")] == [True, True, True, False]
    assert [planned.next_extract() for _ in range(9)] == ["", *EXTRACT_FAULTS, ""]
    assert [one.status for one in iter(planned.next, None)] == [401, 429, 500, 503, 0, 200, 200]
