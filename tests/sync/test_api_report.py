"""What the API of several processes counts is added up: decisions, their times, and whom keys ask about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from store.domain.decision_request import Decision
from store.users.unknown_alarm import Alarm
from store.web.http.decision_counts import DecisionCounts
from store.web.http.unknown_patients import LookUps
from sync import api_report, process_report
from sync.api_report import ApiCounts
from sync.process_report import Counts, ProcessReport

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def api() -> ApiCounts:
    return ApiCounts(LookUps(Alarm(floor=5), lambda: NOW), DecisionCounts())


def decided(counts: ApiCounts, number: int, *, seconds: float = 0.002, **decision: Any) -> None:
    counts.decisions.decided([Decision(**{"decision": "do_not_send", "reasons": ("patient_unknown",), **decision})] * number)
    for _ in range(number):
        counts.decisions.answered(200, seconds)


def reported(*counts: ApiCounts) -> Counts:
    """As the first process has them, by lines of text."""
    reports = [process_report.read(process_report.written(ProcessReport(api_report.rows(one), {}))) for one in counts]
    found = ProcessReport()
    for one in reports:
        assert one is not None
        found = process_report.added(found, one)
    return found.counts


def test_decisions_and_their_times_of_three_processes_are_added_up() -> None:
    first, second, third = api(), api(), api()
    decided(first, 1)
    decided(second, 2, seconds=0.004)
    decided(third, 4, seconds=3.0)
    third.decisions.answered(429, 0.5)
    beside = reported(second, third)
    assert api_report.outcomes(first.decisions, beside) == {("do_not_send", "patient_unknown"): 7}
    found = api_report.latencies(first.decisions, beside)
    assert found[200].buckets == (0, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 7, 7, 7)
    assert round(found[200].seconds, 6) == 12.01
    assert (found[429].buckets[-1], found[429].seconds) == (1, 0.5)


def test_a_process_that_counted_nothing_changes_nothing() -> None:
    first = api()
    decided(first, 3)
    assert api_report.outcomes(first.decisions, reported(api())) == first.decisions.outcomes()
    assert api_report.latencies(first.decisions, {}) == first.decisions.latencies()


def test_look_ups_of_another_process_are_counted_once_and_ring_the_alarm_of_all() -> None:
    first, other = api(), api()
    first.look_ups.add("general", "key_1", 3, 3)
    other.look_ups.add("general", "key_1", 2, 2)
    before: Counts = {}
    for _ in range(3):
        now = reported(other)
        api_report.count_look_ups(first.look_ups, before, now)
        before = now
    assert (first.look_ups.totals(), first.look_ups.ringing()) == ({"key_1": (5, 5)}, ())
    other.look_ups.add("general", "key_1", 1, 1)
    api_report.count_look_ups(first.look_ups, before, reported(other))
    (found,) = first.look_ups.ringing()
    assert (found.enterprise, found.key, found.asked, found.unknown) == ("general", "key_1", 6, 6)
