"""What every polling adapter must do with its cursor: never ahead of the data, never beyond our request time (product section 9)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sync.engine import Engine
from tests.contract.runs import cursor, everybody, known, read
from tests.contract.small_emr import START, WAYS, SmallEmr

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "ahead", [-20 * MINUTE, timedelta(0), 20 * MINUTE, timedelta(days=30_000)], ids=["behind", "same", "ahead", "2109"]
)
def test_the_cursor_exceeds_neither_our_request_time_nor_the_servers(engine: Engine, emr: SmallEmr, way: str, ahead: timedelta) -> None:
    emr.ahead, emr.pace = ahead, MINUTE
    assert read(engine, emr, way).status == "done"
    reached = cursor(engine, way)
    assert reached is not None
    first = {"fhir.rest": "fhir/Patient", "fhir.bulk": "fhir/Patient/$export", "crawl": "fhir/Group/g", "rest.json": "patients"}[way]
    requested_at = START + MINUTE * emr.requests.index(first)  # our clock at the request; each earlier response took a minute
    assert reached <= requested_at
    assert reached <= requested_at + ahead
    assert reached >= requested_at + min(ahead, timedelta(0)) - MINUTE, "the cursor must not lag behind either"


@pytest.mark.parametrize("way", WAYS)
def test_changes_during_a_run_are_read_by_the_next(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.pace = 30 * MINUTE  # more than the overlap
    emr.during = lambda: emr.change("p1", refuses=False)
    read(engine, emr, way)
    assert known(engine) == everybody()
    run = read(engine, emr, way)
    assert (run.status, run.counts.get("applied")) == ("done", 1)
    assert known(engine) == everybody() | {"p1": "no"}


@pytest.mark.parametrize("way", WAYS)
def test_records_indexed_late_are_read_by_the_next_run(engine: Engine, emr: SmallEmr, way: str) -> None:
    read(engine, emr, way)
    emr.now += 60 * MINUTE
    emr.patients["p1"] = (False, emr.now - 62 * MINUTE)  # changed before the last run, but not found by it
    assert read(engine, emr, way).counts["applied"] == 1
    assert known(engine)["p1"] == "no"
