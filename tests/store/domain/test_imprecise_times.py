"""Times that are imprecise, missing, or of a clock that is wrong: what refuses counts (product rule 5.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from store import times
from store.preference import PatientStatements
from store.times import Time
from tests.store.site import ADT, Site, at, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}
YEAR = 365 * 86_400


def between(earliest: float, latest: float, said: dict[str, Any], **rest: Any) -> PatientStatements:
    """A payload that is true since some time between."""
    return replace(says("1", 0, said, evidence=f"{earliest}-{latest}-{said}", **rest), effective=Time(at(earliest), at(latest)))


def undated(said: dict[str, Any], until: datetime, evidence: str) -> PatientStatements:
    return replace(says("1", 0, said, evidence=evidence), effective=times.unknown(until))


def receive(site: Site, item: PatientStatements, now: datetime) -> str:
    """The payload is received at that time by our clock."""
    with site.database.write(site.enterprise) as transaction:
        return site.store.apply_many(transaction, site.enterprise, ADT, [item], now=now)[0].outcome


def test_a_time_a_year_ahead_ends_at_receipt_and_begins_as_long_before(site: Site) -> None:
    receive(site, says("1", YEAR, NO), at(100))
    effective = site.find("1").preferences["do_not_contact"].assertion.effective
    assert effective == Time(at(100 - (YEAR - 100)), at(100))


@pytest.mark.parametrize(("made", "dnc"), [(-86_400, "yes"), (99, "yes"), (100, "yes"), (101, "yes")])
def test_a_permission_dated_a_year_ahead_lifts_no_refusal_that_was_made_before_its_receipt(site: Site, made: float, dnc: str) -> None:
    receive(site, says("1", YEAR, NO), at(100))
    receive(site, says("1", made, YES), at(200))
    assert site.dnc("1") == dnc


def test_a_refusal_dated_a_year_ahead_ends_by_what_is_stated_after_its_receipt(site: Site) -> None:
    receive(site, says("1", YEAR, YES), at(100))
    receive(site, says("1", 50, NO), at(150))
    assert site.dnc("1") == "yes"
    receive(site, says("1", 151, NO), at(152))
    assert site.dnc("1") == "no"


@pytest.mark.parametrize(("stated", "since", "dnc"), [(NO, YES, "yes"), (YES, NO, "no")])
def test_a_replay_that_repeats_what_is_known_ends_at_its_first_receipt(
    site: Site, stated: dict[str, Any], since: dict[str, Any], dnc: str
) -> None:
    """Dated an hour ahead, and replayed when that hour is over."""
    receive(site, says("1", 3_600, stated, evidence="A"), at(0))
    receive(site, says("1", 3_600, stated, evidence="B", received=at(0)), at(4_000))
    receive(site, says("1", 1_800, since), at(4_001))
    assert site.dnc("1") == dnc


def test_a_refusal_counts_through_a_machine_whose_clock_is_behind(site: Site) -> None:
    """Permission through one machine at noon; five minutes later the refusal, through one that thinks it is twenty minutes earlier."""
    noon = 43_200
    receive(site, says("1", noon, NO), at(noon))
    receive(site, says("1", noon + 300, YES), at(noon - 900))
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("without_time", [times.unknown, times.at], ids=["a message", "a response"])
def test_a_refusal_without_a_time_counts_after_our_clock_was_set_back(site: Site, without_time: Callable[[datetime], Time]) -> None:
    """Our clock gives it the time of receipt, and now shows one before the permission that came first."""
    noon, eleven = at(43_200), at(39_600)
    receive(site, says("1", 43_200, NO), noon)
    receive(site, replace(says("1", 0, YES, evidence="A"), effective=without_time(eleven)), eleven + timedelta(seconds=1))
    assert site.dnc("1") == "yes"
    receive(site, says("1", 43_201, NO), noon + timedelta(seconds=2))
    assert site.dnc("1") == "no"


@pytest.mark.parametrize("without_time", [times.unknown, times.at], ids=["a message", "a response"])
def test_a_permission_without_a_time_lifts_nothing_after_our_clock_was_set_back(
    site: Site, without_time: Callable[[datetime], Time]
) -> None:
    noon, eleven = at(43_200), at(39_600)
    receive(site, says("1", 39_000, YES), noon)
    receive(site, replace(says("1", 0, NO, evidence="A"), effective=without_time(eleven)), eleven)
    receive(site, says("1", 39_700, YES, evidence="B"), eleven)
    assert site.dnc("1") == "yes"


def test_a_written_time_stays_as_it_is_after_our_clock_was_set_back(site: Site) -> None:
    receive(site, says("1", 43_200, NO), at(43_200))
    assert receive(site, between(39_600, 39_601, YES), at(39_602)) == "stale"
    assert site.dnc("1") == "no"


def test_a_clock_that_is_minutes_ahead_does_not_hide_a_refusal(site: Site) -> None:
    receive(site, says("1", 600, NO), at(0))
    receive(site, says("1", 10, YES), at(20))
    assert site.dnc("1") == "yes"
    receive(site, says("1", 700, NO), at(700))
    assert site.dnc("1") == "no"


def test_a_refusal_that_came_while_our_clock_was_slow_is_not_older_than_it_was_written(site: Site) -> None:
    receive(site, says("1", 600, YES), at(0))
    receive(site, says("1", 300, NO), at(1_000))
    assert site.dnc("1") == "yes"
    receive(site, says("1", 601, NO), at(1_001))
    assert site.dnc("1") == "no"


def test_a_feed_that_is_a_second_ahead_is_in_order(site: Site) -> None:
    for seconds, said, dnc in ((10, YES, "yes"), (20, NO, "no"), (30, YES, "yes"), (40, NO, "no")):
        receive(site, says("1", seconds + 1, said), at(seconds))
        assert site.dnc("1") == dnc


def test_a_permission_without_a_time_lifts_nothing(site: Site) -> None:
    receive(site, says("1", 0, YES), at(1))
    receive(site, undated(NO, at(500), "A"), at(500))
    assert site.dnc("1") == "yes"


def test_a_refusal_without_a_time_counts_until_something_is_stated_after_its_receipt(site: Site) -> None:
    receive(site, says("1", 400, NO), at(400))
    receive(site, undated(YES, at(500), "A"), at(500))
    receive(site, says("1", 499, NO), at(510))
    assert site.dnc("1") == "yes"
    receive(site, says("1", 501, NO), at(511))
    assert site.dnc("1") == "no"


def test_what_was_decided_without_knowing_is_shown_and_counted(site: Site) -> None:
    site.apply(between(0, 86_399, YES))
    (outcome,) = site.outcomes(says("1", 50, NO))
    found = site.find("1").preferences["do_not_contact"].assertion
    assert (outcome.undecided, found.value, found.undecided) == (1, "yes", True)
    assert (found.effective.earliest, found.effective.end) == (at(0), at(86_399)), "the store keeps the precision"
    (outcome,) = site.outcomes(says("1", 90_000, NO))
    assert (outcome.undecided, site.find("1").preferences["do_not_contact"].assertion.undecided) == (0, False)


def test_the_later_receipt_counts_for_what_refuses_nothing_and_is_not_undone_by_what_is_late(site: Site) -> None:
    site.apply(says("1", 100, {"language": "en"}))
    site.apply(between(0, 86_399, {"language": "es"}))
    assert site.value("1", "language") == "es"
    site.apply(says("1", 50, {"language": "fr"}))
    assert site.value("1", "language") == "es"


def test_a_repeat_of_an_imprecise_payload_is_nothing_new(site: Site) -> None:
    site.apply(between(0, 86_399, NO))
    version = site.find("1").version
    assert site.apply(between(0, 86_399, NO)) == ["unchanged"]
    assert site.find("1").version == version


def test_the_same_stated_again_is_as_new_as_the_newest(site: Site) -> None:
    """Two statements of a refusal that overlap: a permission must be later than both."""
    site.apply(between(0, 100, YES), between(50, 150, YES))
    site.apply(says("1", 120, NO))
    assert site.dnc("1") == "yes"
    site.apply(says("1", 151, NO))
    assert site.dnc("1") == "no"


def test_an_imprecise_time_outlives_a_restart(site: Site) -> None:
    site.apply(between(0, 86_399, YES))
    again = site.configured(site.store.enterprises[site.enterprise])
    assert again.find("1").preferences["do_not_contact"].assertion.effective == Time(at(0), at(86_399))


@pytest.mark.parametrize("step", [timedelta(microseconds=1), timedelta(seconds=1)])
def test_what_is_entirely_later_by_any_step_counts(site: Site, step: timedelta) -> None:
    site.apply(between(0, 100, YES))
    site.apply(replace(says("1", 0, NO, evidence="later"), effective=times.at(at(100) + step)))
    assert site.dnc("1") == "no"
