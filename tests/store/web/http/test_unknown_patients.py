"""A key that queries many unknown patients is reported in counts, in the readiness, and once in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from store.users.api_keys import ApiKey
from store.users.unknown_alarm import Alarm
from store.web.http.unknown_patients import LookUps, UnknownPatients

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
KEY, OTHER = (ApiKey(number, "reminders", "clinic", "sender", NOON) for number in ("key_1", "key_2"))
ALARM = Alarm(floor=10, percent=20, within=timedelta(minutes=10))


class Site:
    """Lookups, a clock, and the reported alarms."""

    def __init__(self) -> None:
        self.now, self.alarms = NOON, list[UnknownPatients]()
        self.look_ups = LookUps(ALARM, lambda: self.now, self.alarms.append)

    def later(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("requested", "unknown", "rings"),
    [(11, 11, True), (10, 10, False), (55, 11, True), (56, 11, False), (1000, 200, True), (1000, 199, False), (0, 0, False)],
)
def test_the_alarm_needs_a_count_and_a_share(site: Site, requested: int, unknown: int, rings: bool) -> None:
    site.look_ups.count(KEY, requested, unknown)
    assert bool(site.look_ups.ringing()) is rings


def test_single_lookups_add_up_per_key(site: Site) -> None:
    for _ in range(11):
        site.look_ups.count(KEY, 1, 1)
        site.look_ups.count(OTHER, 1, 0)
    assert site.look_ups.ringing() == (UnknownPatients("clinic", "key_1", NOON, 11, 11),)
    assert site.look_ups.totals() == {"key_1": (11, 11), "key_2": (11, 0)}


def test_the_window_moves_on(site: Site) -> None:
    site.look_ups.count(KEY, 11, 11)
    site.later(9)
    assert site.look_ups.ringing()[0].since == NOON
    site.later(2)
    assert site.look_ups.ringing() == ()
    assert site.look_ups.totals() == {"key_1": (11, 11)}
    site.look_ups.count(KEY, 10, 10)
    site.later(9)
    site.look_ups.count(KEY, 1, 1)
    assert [one.unknown for one in site.look_ups.ringing()] == [11]


def test_the_alarm_is_logged_at_its_start_and_once_per_window(site: Site) -> None:
    for _ in range(40):
        site.look_ups.count(KEY, 3, 3)
        site.later(0.5)
    assert len(site.alarms) == 2
    site.later(30)
    site.look_ups.count(KEY, 1, 1)
    assert len(site.alarms) == 2
    site.look_ups.count(KEY, 10, 10)
    assert [(one.key, one.unknown) for one in site.alarms][-1] == ("key_1", 11)
    assert len(site.alarms) == 3


def test_queries_about_known_patients_raise_no_alarm(site: Site) -> None:
    for _ in range(100):
        site.look_ups.count(KEY, 100, 19)
    assert (site.alarms, site.look_ups.ringing()) == ([], ())
