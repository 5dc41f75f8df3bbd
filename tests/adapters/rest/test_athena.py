"""athenahealth's changed patients are kept before they are taken off the list, whenever it stops."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch, IncompleteFetch, SourceSettings
from adapters.rest.athena import AthenaAdapter, eastern
from store.preference import PatientStatements
from sync.config import presets
from tests.adapters.rest.athena_server import START, Practice, practising

ALL = Fetch()


@pytest.fixture
def practice() -> Iterator[Practice]:
    with practising() as running:
        for number in range(1, 6):
            running.change(str(number), mobilephone=f"217555010{number}", donotcall=number == 1)
        yield running


def adapter(practice: Practice, **options: Any) -> AthenaAdapter:
    preset = presets.preset("athenahealth")
    rules = {name: rule.model_dump(by_alias=True, exclude_none=True, exclude={"source"}) for name, rule in preset.mapping.items()}
    auth = {"kind": "oauth2", "token_url": f"{practice.address}/oauth2/v1/token", "client_id": "emr-sync", "client_secret": "secret"}
    own = {"base_url": practice.address, "practice_id": "195900", "auth": auth, "page_size": 2, "overlap": 7200.0}
    known = dict(preset.options)
    settings = SourceSettings("athena", "rest.athena", mapping=rules, options=known | own | options, default_region="US")
    return AthenaAdapter(settings, clock=lambda: practice.now, sleep=lambda seconds: None)


def numbers(batch: Batch) -> list[str]:
    return [item.identifiers[-1].value for item in batch.items if isinstance(item, PatientStatements)]


def everything(adapter: AthenaAdapter, request: Fetch = ALL) -> tuple[list[str], str | None]:
    batches = list(adapter.fetch(request))
    return [number for batch in batches for number in numbers(batch)], batches[-1].cursor


def test_changes_are_read_and_leave_the_list(practice: Practice) -> None:
    found, cursor = everything(adapter(practice))
    assert set(found) == {"1", "2", "3", "4", "5"}
    assert all(at is not None for at in practice.processed.values())
    assert cursor == START.isoformat(), "our own question, which is earlier than the server's answer to it"


def test_a_list_that_never_gets_shorter_is_left_with_a_reason_and_moves_no_cursor(practice: Practice) -> None:
    practice.forgetful = True
    batches: list[Batch] = []
    with pytest.raises(IncompleteFetch, match="50 consecutive pages"):
        batches.extend(adapter(practice).fetch(Fetch()))
    assert {number for batch in batches for number in numbers(batch)} == {"1", "2", "3", "4", "5"}
    assert [batch.cursor for batch in batches if batch.cursor] == []
    acknowledged = [asked for asked in practice.asked if "changed?" in asked and "show" not in asked and "leave" not in asked]
    assert len(acknowledged) == len([batch for batch in batches if batch.items]) - 3, "what was taken off the list was handed over"


@pytest.mark.parametrize("skew", [timedelta(minutes=-20), timedelta(minutes=20), timedelta(days=9_000)])
def test_the_cursor_is_beyond_neither_our_question_nor_the_practices_time(practice: Practice, skew: timedelta) -> None:
    made = adapter(practice)
    made.clock = lambda: practice.now + skew
    _, cursor = everything(made)
    assert cursor is not None
    assert datetime.fromisoformat(cursor) <= START + min(skew, timedelta(seconds=1))


def test_nothing_leaves_the_list_before_all_of_it_was_handed_over(practice: Practice) -> None:
    kept: set[str] = set()
    for batch in adapter(practice).fetch(Fetch()):
        gone = {number for number, at in practice.processed.items() if at is not None}
        assert gone <= kept | set(numbers(batch)), "an answer may only take away what it holds"
        if gone:
            assert kept == {"1", "2", "3", "4", "5"}
        kept |= set(numbers(batch))


def test_a_patient_is_read_as_the_preset_says(practice: Practice) -> None:
    (first, *_) = [item for batch in adapter(practice).fetch(Fetch()) for item in batch.items]
    assert isinstance(first, PatientStatements)
    assert first.statements["do_not_contact"].value == "yes"
    assert first.statements["phones"].value[0].number == "+12175550101"


@pytest.mark.parametrize("committed", range(8))
def test_a_crash_between_read_and_commit_loses_nothing(practice: Practice, committed: int) -> None:
    """Batches are committed up to some point; the next was read and is lost. A patient changes while the first run is under way."""
    kept: dict[str, bool] = {}
    cursor: str | None = None

    def keep(batch: Batch) -> None:
        nonlocal cursor
        for item in batch.items:
            assert isinstance(item, PatientStatements)
            kept[item.identifiers[-1].value] = item.statements["do_not_contact"].value == "yes"
        cursor = batch.cursor or cursor

    running = adapter(practice).fetch(Fetch(cursor=(START - timedelta(hours=1)).isoformat()))
    for _ in range(committed):
        keep(next(running, Batch(())))
    practice.change("2", donotcall=True)
    next(running, None)  # read, and lost with the process
    running.close()
    practice.now += timedelta(minutes=10)
    for batch in adapter(practice).fetch(Fetch(cursor=cursor or (START - timedelta(hours=1)).isoformat())):
        keep(batch)
    assert kept == {"1": True, "2": True, "3": False, "4": False, "5": False}


def test_a_first_run_reads_again_what_was_delivered_to_a_run_that_was_lost(practice: Practice) -> None:
    for _ in adapter(practice).fetch(Fetch()):
        pass  # all of it was taken off the list, nothing was committed
    practice.now += timedelta(days=1)
    assert set(everything(adapter(practice))[0]) == {"1", "2", "3", "4", "5"}
    practice.now += timedelta(days=30)
    assert everything(adapter(practice))[0] == []


def test_a_dry_run_takes_nothing_away(practice: Practice) -> None:
    found, cursor = everything(adapter(practice), Fetch(dry=True))
    assert set(found) == {"1", "2", "3", "4", "5"}
    assert cursor is None
    assert all(at is None for at in practice.processed.values())


def test_the_window_is_eastern_wall_clock_time(practice: Practice) -> None:
    list(adapter(practice).fetch(Fetch(cursor=START.isoformat())))
    window = next(one for one in practice.asked if "showprocessedstartdatetime" in one)
    assert "showprocessedstartdatetime=11%2F20%2F2026+08%3A00%3A00" in window, "the cursor less two hours"
    assert eastern(START) == "11/20/2026 10:00:00"


def test_a_practice_that_is_not_subscribed_stops_the_run(practice: Practice) -> None:
    practice.subscribed = False
    with pytest.raises(AdapterError, match="not subscribed") as error:
        list(adapter(practice).fetch(Fetch()))
    assert error.value.permanent


def test_one_patient_is_read_by_id_and_leaves_the_list_alone(practice: Practice) -> None:
    assert everything(adapter(practice), Fetch(patient="3")) == (["3"], None)
    assert practice.processed["3"] is None
    assert list(adapter(practice).fetch(Fetch(patient="99"))) == []


def test_a_token_that_the_server_forgot_is_bought_again(practice: Practice) -> None:
    reader = adapter(practice)
    next(reader.fetch(Fetch()))
    practice.tokens += 1  # the server takes only its newest
    assert set(everything(reader)[0]) == {"1", "2", "3", "4", "5"}


def test_wrong_credentials_stop_the_run_without_telling_them(practice: Practice) -> None:
    auth = {"kind": "oauth2", "token_url": f"{practice.address}/oauth2/v1/token", "client_id": "emr-sync", "client_secret": "wrong"}
    with pytest.raises(AdapterError, match="granted no token") as error:
        list(adapter(practice, auth=auth).fetch(Fetch()))
    assert error.value.permanent
    assert "wrong" not in str(error.value)


def test_check_takes_nothing_away_and_says_what_a_sample_states(practice: Practice) -> None:
    findings = list(adapter(practice).check())
    assert [one.ok for one in findings] == [True, True, True]
    assert "do_not_contact" in findings[-1].detail
    assert all(at is None for at in practice.processed.values())


def test_check_says_what_is_missing(practice: Practice) -> None:
    practice.subscribed = False
    assert [one.ok for one in adapter(practice).check()] == [True, False]


def test_a_practice_without_an_id_is_a_mistake(practice: Practice) -> None:
    with pytest.raises(ValueError, match="practice_id"):
        adapter(practice, practice_id="")
