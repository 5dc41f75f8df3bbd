"""What every polling adapter must do with an incomplete response: apply the received records, keep the cursor, report the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sync.engine import Engine
from tests.contract.runs import ANNOUNCING, cursor, everybody, known, read
from tests.contract.small_emr import WAYS, SmallEmr, outcome
from tests.factories import FEED

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("crawl", "fhir.bulk")])
def test_a_row_removed_between_two_pages_hides_no_patient(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.during = lambda: emr.patients.pop("p1")
    run = read(engine, emr, way)
    assert run.status == "done"
    assert "read again" in (run.note or "")
    assert "announced 8" in (run.note or "")
    assert known(engine) == everybody(), "p4 moved to a page that was already read, and was found by the second read"
    assert cursor(engine, way) is not None


@pytest.mark.parametrize("way", ANNOUNCING)
@pytest.mark.parametrize("fault", ["announced", "error"])
def test_a_repeatedly_short_response_is_applied_and_the_cursor_stays(engine: Engine, emr: SmallEmr, way: str, fault: str) -> None:
    setattr(emr, fault, 1)
    run = read(engine, emr, way)
    assert "was incomplete" in (run.error or "")
    assert "cursor did not move" in (run.error or "")
    assert "p1" not in (run.error or "")
    assert known(engine) == everybody()
    assert cursor(engine, way) is None
    emr.clear_faults()
    assert read(engine, emr, way).counts == {"unchanged": 8}, "the same records are read again"
    assert cursor(engine, way) is not None


@pytest.mark.parametrize("way", ANNOUNCING)
def test_a_repeatedly_short_response_is_not_retried_forever_and_delays_no_patient(engine: Engine, emr: SmallEmr, way: str) -> None:
    read(engine, emr, way)
    before = cursor(engine, way)
    emr.announced = 3
    emr.now += 60 * MINUTE
    emr.change("p2", refuses=False)
    read(engine, emr, way)
    lists = [place for place in emr.requests if place in ("fhir/Patient", "file", "patients")]
    assert len(lists) <= 4, "the source is read twice"
    assert known(engine)["p2"] == "no", "its permissions count for the safeguard"
    assert cursor(engine, way) == before


@pytest.mark.parametrize("way", [way for way in ANNOUNCING if way != "fhir.bulk"])
@pytest.mark.parametrize("fault", ["announced", "error"])
def test_a_response_that_is_complete_on_retry_moves_the_cursor(engine: Engine, emr: SmallEmr, way: str, fault: str) -> None:
    setattr(emr, fault, 1)
    emr.times = 1
    run = read(engine, emr, way)
    assert (run.status, run.failure) == ("done", None)
    assert (run.note or "").startswith("read again after an incomplete response")
    assert cursor(engine, way) is not None


def test_an_unreadable_member_is_skipped_reported_and_read_by_the_next_run(engine: Engine, emr: SmallEmr) -> None:
    emr.unreadable = "p3"
    run = read(engine, emr, "crawl")
    assert (run.status, run.counts) == ("done", {"applied": 7, "rejected": 1})
    assert "1 of 8 group members could not be read" in (run.note or "")
    (rejection,) = engine.journal.rejections(source=FEED)
    assert (rejection.reason, rejection.locator) == ("patient_not_read", "Patient/member-3")
    assert "500 (an HTML page)" in rejection.detail
    assert engine.journal.rejection(rejection.id).payload == b"Patient/p3"
    assert cursor(engine, "crawl") is None
    emr.clear_faults()
    assert read(engine, emr, "crawl").counts == {"unchanged": 7, "applied": 1}
    assert known(engine) == everybody()
    assert cursor(engine, "crawl") is not None


def html(body: bytes) -> bytes:
    return b"<!DOCTYPE html>\n<html><body>p1: the gateway is being maintained</body></html>\n"


def cut(body: bytes) -> bytes:
    return body[: len(body) - len(body.splitlines()[-1]) // 2]


def pretty(body: bytes) -> bytes:
    return json.dumps(json.loads(body.splitlines()[0]), indent=2).encode()


def one_array(body: bytes) -> bytes:
    return json.dumps([json.loads(line) for line in body.splitlines()], indent=1).encode()


def xml(body: bytes) -> bytes:
    return b"<?xml version='1.0'?><Error>\n<Code>SlowDown</Code></Error>"


def sentence(body: bytes) -> bytes:
    return b"upstream connect error or disconnect before headers"


@pytest.mark.parametrize(
    ("spoiled", "applied", "error"),
    [
        (html, 0, "an HTML page"),
        (cut, 7, "ends in the middle of a line"),
        (pretty, 0, "several lines"),
        (one_array, 0, "several lines"),
        (xml, 0, "XML"),
        (sentence, 0, "text that is not JSON"),
    ],
)
@pytest.mark.parametrize("times", [2, 1])
def test_an_invalid_ndjson_file_is_fetched_again_and_moves_the_cursor_only_when_valid(
    engine: Engine, emr: SmallEmr, spoiled: Callable[[bytes], bytes], applied: int, error: str, times: int
) -> None:
    emr.spoiled, emr.times, emr.counted = spoiled, times, False
    run = read(engine, emr, "fhir.bulk")
    assert emr.requests.count("file") == 2
    if times == 1:
        assert (run.status, known(engine), run.error) == ("done", everybody(), None)
        assert cursor(engine, "fhir.bulk") is not None
        return
    assert (run.status, len(known(engine))) == ("failed", applied)
    assert error in (run.error or "")
    assert "p1" not in (run.error or "")
    assert cursor(engine, "fhir.bulk") is None
    emr.clear_faults()
    assert read(engine, emr, "fhir.bulk").status == "done"
    assert known(engine) == everybody()
    assert cursor(engine, "fhir.bulk") is not None


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_complete(engine: Engine, emr: SmallEmr, body: bytes) -> None:
    emr.spoiled, emr.counted = lambda _: body, False
    assert read(engine, emr, "fhir.bulk").status == "done"
    assert cursor(engine, "fhir.bulk") is not None


@pytest.mark.parametrize("stated", ["2099-01-01T00:00:00Z", "2026-11-01T23:59:59Z", "soon", "2026-13-45T00:00:00Z"])
def test_the_transaction_time_of_a_server_never_exceeds_our_request_time(engine: Engine, emr: SmallEmr, stated: str) -> None:
    emr.stated, requested_at = stated, emr.now
    assert read(engine, emr, "fhir.bulk").status == "done"
    reached = cursor(engine, "fhir.bulk")
    assert reached is None if stated in ("soon", "2026-13-45T00:00:00Z") else reached == requested_at
    emr.now += MINUTE
    emr.change("p1", refuses=False)
    assert read(engine, emr, "fhir.bulk").counts["applied"] == 1


@pytest.mark.parametrize("way", ["fhir.rest", "rest.json"])
@pytest.mark.parametrize("endless", ["empty", "same"])
def test_endless_pages_are_aborted_with_a_reason_and_move_no_cursor(engine: Engine, emr: SmallEmr, way: str, endless: str) -> None:
    emr.endless = endless
    run = read(engine, emr, way)
    assert run.status == "failed"
    assert "50 consecutive pages had no new" in (run.error or "")
    assert len(emr.requests) < 120, "the source must be read twice"
    assert known(engine) == everybody()
    assert cursor(engine, way) is None
    emr.clear_faults()
    assert read(engine, emr, way).status == "done"
    assert cursor(engine, way) is not None


@pytest.mark.parametrize(
    ("entry", "broke_off"),
    [
        ({"resource": outcome("error")}, True),
        ({"resource": outcome("fatal")}, True),
        ({"resource": outcome("error"), "search": {"mode": "outcome"}}, True),
        ({"resource": outcome("error"), "search": {"mode": "match"}}, True),
        ({"resource": outcome("warning")}, False),
        ({"resource": outcome("information"), "search": {"mode": "outcome"}}, False),
    ],
)
def test_an_error_in_a_bundle_aborts_the_read_whatever_its_search_mode_and_a_warning_does_not(
    engine: Engine, emr: SmallEmr, entry: dict[str, Any], broke_off: bool
) -> None:
    emr.error, emr.outcome = True, entry
    run = read(engine, emr, "fhir.rest")
    assert (run.status, cursor(engine, "fhir.rest") is None) == (("failed", True) if broke_off else ("done", False))
    assert ("incomplete" in (run.error or "")) == broke_off
    assert known(engine) == everybody()
    assert "rejected" not in run.counts


@pytest.mark.parametrize(
    "refusal",
    [
        (403, b""),
        (500, b"<html>p3</html>"),
        (400, b"p3"),
        (503, b""),
        (200, b"<html>p3 is away</html>"),
        (200, b'{"resourceType": "Bundle"}'),
        (200, b""),
        (200, json.dumps(outcome("error")).encode()),
        (200, b'{"resourceType": "Patient", "id": "p3", "na'),
    ],
)
def test_an_unreadable_member_does_not_block_other_members(engine: Engine, emr: SmallEmr, refusal: tuple[int, bytes]) -> None:
    emr.unreadable, emr.refusal = "p3", refusal
    run = read(engine, emr, "crawl")
    assert (run.status, run.counts) == ("done", {"applied": 7, "rejected": 1})
    (rejection,) = engine.journal.rejections(source=FEED)
    assert (rejection.reason, rejection.locator) == ("patient_not_read", "Patient/member-3")
    assert "p3" not in rejection.detail
    assert cursor(engine, "crawl") is None
    emr.clear_faults()
    assert read(engine, emr, "crawl").counts == {"unchanged": 7, "applied": 1}
    assert cursor(engine, "crawl") is not None


@pytest.mark.parametrize("status", [404, 410])
def test_a_deleted_member_states_nothing(engine: Engine, emr: SmallEmr, status: int) -> None:
    read(engine, emr, "crawl")
    emr.unreadable, emr.refusal = "p3", (status, b"")
    run = read(engine, emr, "crawl")
    assert (run.status, run.counts) == ("done", {"unchanged": 7, "filtered": 1})
    assert known(engine) == everybody()
    assert cursor(engine, "crawl") is not None


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_server_that_refuses_every_member_fails_the_run(engine: Engine, emr: SmallEmr, status: int) -> None:
    emr.unreadable, emr.refusal = ",".join(emr.patients), (status, b"")
    run = read(engine, emr, "crawl")
    assert run.status == "failed"
    assert str(status) in (run.error or "")
    assert cursor(engine, "crawl") is None


def test_a_group_with_fewer_members_than_announced_is_read_and_moves_no_cursor(engine: Engine, emr: SmallEmr) -> None:
    emr.announced = 2
    run = read(engine, emr, "crawl")
    assert (run.status, known(engine), cursor(engine, "crawl")) == ("failed", everybody(), None)
    assert "announces 10 members but lists 8" in (run.error or "")
    emr.clear_faults()
    assert read(engine, emr, "crawl").status == "done"
    assert cursor(engine, "crawl") is not None


@pytest.mark.parametrize("page", [b"<html>", b"{}", json.dumps(outcome("error")).encode(), b""])
def test_an_error_page_instead_of_the_group_is_retried(engine: Engine, emr: SmallEmr, page: bytes) -> None:
    emr.group_page, emr.times = page or b" ", 1
    assert read(engine, emr, "crawl").status == "done"
    assert known(engine) == everybody()
    emr.times = 9
    run = read(engine, emr, "crawl")
    assert run.status == "failed"
    assert "instead of a Group" in (run.error or "")
    assert "action needed" not in (run.error or "")


@pytest.mark.parametrize("way", WAYS)
def test_a_cursor_in_the_future_causes_a_full_read(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.ahead = timedelta(days=4_000)
    now, emr.now = emr.now, emr.now + timedelta(days=4_000)
    read(engine, emr, way)
    emr.ahead, emr.now = timedelta(0), now + MINUTE
    emr.change("p1", refuses=False)
    assert read(engine, emr, way).counts["applied"] == 1
    assert known(engine)["p1"] == "no"
    reached = cursor(engine, way)
    assert reached is not None
    assert reached <= emr.now


@pytest.mark.parametrize("body", [b'{"message": "Forbidden"}', b'{"error": 1}\n{"error": 2}\n', b"null", b'["p1"]'])
def test_a_file_without_resources_is_not_an_export_file(engine: Engine, emr: SmallEmr, body: bytes) -> None:
    emr.spoiled, emr.counted = lambda _: body, False
    run = read(engine, emr, "fhir.bulk")
    assert (run.status, known(engine), cursor(engine, "fhir.bulk")) == ("failed", {}, None)
    assert "not NDJSON" in (run.error or "")


@pytest.mark.parametrize("way", WAYS)
def test_an_aborted_read_is_reported_until_the_next_complete_run(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.announced, emr.unreadable = 1, "p2"
    assert read(engine, emr, way).error
    emr.clear_faults()
    assert (run := read(engine, emr, way)).error is None
    assert (run.status, known(engine)) == ("done", everybody())
