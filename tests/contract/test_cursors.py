"""What every adapter that polls must do about its cursor: never ahead of what came, never beyond our own question (product rule 9)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from adapters.base import Fetch
from store.database import Database
from store.errors import PatientUnknown
from store.journal import Journal, Run
from store.patient import PatientRef
from store.preferences import Preferences
from sync.config import Backoff
from sync.engine import Engine
from sync.lane import Lane
from sync.metrics import Metrics
from tests.contract.small_emr import START, WAYS, SmallEmr, reached, serving
from tests.factories import CLINIC, FEED, clinic, sealing

LANE = Lane(FEED, CLINIC)
MINUTE = timedelta(minutes=1)
NAMES = [f"p{number}" for number in range(1, 9)]
ANNOUNCING = [way for way in WAYS if way != "crawl"]  # a group's members are read one by one: nothing is announced


@pytest.fixture
def emr() -> Iterator[SmallEmr]:
    with serving(SmallEmr(*NAMES)) as running:
        yield running


@pytest.fixture
def engine(database: Database, emr: SmallEmr) -> Engine:
    at_once = Backoff(attempts=2, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database, sealing()), emr.clock, Metrics(), at_once)


def read(engine: Engine, emr: SmallEmr, way: str, request: Fetch = Fetch()) -> Run:  # noqa: B008 - frozen
    emr.asked.clear()
    return engine.run(LANE, emr.adapter(way), request, "incremental")


def known(engine: Engine) -> dict[str, str]:
    """What the store says about Do Not Contact of everybody it knows."""
    found = {}
    for name in NAMES:
        try:
            found[name] = engine.preferences.find(CLINIC, PatientRef(authority="GENHOSP", value=name)).contact.do_not_contact
        except PatientUnknown:
            continue
    return found


def everybody(value: str = "yes") -> dict[str, str]:
    return dict.fromkeys(NAMES, value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "ahead", [-20 * MINUTE, timedelta(0), 20 * MINUTE, timedelta(days=30_000)], ids=["behind", "same", "ahead", "2109"]
)
def test_the_cursor_is_beyond_neither_our_question_nor_the_servers_time_at_it(
    engine: Engine, emr: SmallEmr, way: str, ahead: timedelta
) -> None:
    emr.ahead, emr.pace = ahead, MINUTE
    assert read(engine, emr, way).status == "done"
    cursor = reached(way, engine.journal.cursor(FEED))
    assert cursor is not None
    first = {"fhir.rest": "fhir/Patient", "fhir.bulk": "fhir/Patient/$export", "crawl": "fhir/Group/g", "rest.json": "patients"}[way]
    asked = START + MINUTE * emr.asked.index(first)  # our clock when we asked, each answer before it took a minute
    assert cursor <= asked
    assert cursor <= asked + ahead
    assert cursor >= asked + min(ahead, timedelta(0)) - MINUTE, "and it does not lag behind either"


@pytest.mark.parametrize("way", WAYS)
def test_what_changes_while_it_is_read_comes_with_the_next_run(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.pace = 30 * MINUTE  # more than the overlap
    emr.during = lambda: emr.change("p1", refuses=False)
    read(engine, emr, way)
    assert known(engine) == everybody()
    run = read(engine, emr, way)
    assert (run.status, run.counts.get("applied")) == ("done", 1)
    assert known(engine) == everybody() | {"p1": "no"}


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("crawl", "fhir.bulk")])
def test_a_row_that_goes_away_between_two_pages_hides_nobody(engine: Engine, emr: SmallEmr, way: str) -> None:
    emr.during = lambda: emr.patients.pop("p1")
    run = read(engine, emr, way)
    assert run.status == "done"
    assert "read again" in (run.note or "")
    assert "announced 8" in (run.note or "")
    assert known(engine) == everybody(), "p4 slipped onto the page that was read already, and came when it was read again"
    assert reached(way, engine.journal.cursor(FEED)) is not None


@pytest.mark.parametrize("way", ANNOUNCING)
@pytest.mark.parametrize("fault", ["announced", "error"])
def test_an_answer_that_stays_short_is_applied_and_the_cursor_does_not_move(engine: Engine, emr: SmallEmr, way: str, fault: str) -> None:
    setattr(emr, fault, 1)
    run = read(engine, emr, way)
    assert "broke off" in (run.error or "")
    assert "cursor did not move" in (run.error or "")
    assert "p1" not in (run.error or "")
    assert known(engine) == everybody()
    assert reached(way, engine.journal.cursor(FEED)) is None
    emr.well()
    assert read(engine, emr, way).counts == {"unchanged": 8}, "the same is read again"
    assert reached(way, engine.journal.cursor(FEED)) is not None


@pytest.mark.parametrize("way", ANNOUNCING)
def test_an_answer_that_stays_short_is_not_read_for_ever_and_starves_nobody(engine: Engine, emr: SmallEmr, way: str) -> None:
    read(engine, emr, way)
    before = engine.journal.cursor(FEED)
    emr.announced = 3
    emr.now += 60 * MINUTE
    emr.change("p2", refuses=False)
    read(engine, emr, way)
    lists = [place for place in emr.asked if place in ("fhir/Patient", "file", "patients")]
    assert len(lists) <= 4, "two readings"
    assert known(engine)["p2"] == "no", "what it permits is weighed by the safeguard and counts"
    assert reached(way, engine.journal.cursor(FEED)) == reached(way, before)


@pytest.mark.parametrize("way", [way for way in ANNOUNCING if way != "fhir.bulk"])
@pytest.mark.parametrize("fault", ["announced", "error"])
def test_an_answer_that_is_whole_when_read_again_moves_the_cursor(engine: Engine, emr: SmallEmr, way: str, fault: str) -> None:
    setattr(emr, fault, 1)
    emr.times = 1
    run = read(engine, emr, way)
    assert (run.status, run.failure) == ("done", None)
    assert (run.note or "").startswith("read again, since the answer broke off")
    assert reached(way, engine.journal.cursor(FEED)) is not None


def test_a_member_who_cannot_be_read_is_left_out_shown_and_read_by_the_next_run(engine: Engine, emr: SmallEmr) -> None:
    emr.unreadable = "p3"
    run = read(engine, emr, "crawl")
    assert (run.status, run.counts) == ("done", {"applied": 7, "rejected": 1})
    assert "1 of the group's 8 members could not be read" in (run.note or "")
    (rejection,) = engine.journal.rejections(source=FEED)
    assert (rejection.reason, rejection.locator) == ("patient_not_read", "Patient/member-3")
    assert "500 (an HTML page)" in rejection.detail
    assert engine.journal.rejection(rejection.id).payload == b"Patient/p3"
    assert reached("crawl", engine.journal.cursor(FEED)) is None
    emr.well()
    assert read(engine, emr, "crawl").counts == {"unchanged": 7, "applied": 1}
    assert known(engine) == everybody()
    assert reached("crawl", engine.journal.cursor(FEED)) is not None
