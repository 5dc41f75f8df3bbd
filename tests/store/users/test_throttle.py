"""How long the next try to sign in has to wait. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from store.users.throttle import FORGOTTEN, KNOWN_FOR, MOST_KEPT, PACE_ADDRESS, PACE_BOTH, PACE_NAME, Pace, Throttle
from tests.factories import NOW

HERE, THERE = "192.0.2.1", "192.0.2.2"
NONE = timedelta(0)


@pytest.mark.parametrize(("wrong", "seconds"), [(0, 0), (2, 0), (3, 1), (4, 2), (6, 8), (9, 60), (1_000_000, 60)])
def test_each_wrong_try_beyond_the_free_ones_doubles_the_wait(wrong: int, seconds: int) -> None:
    assert Pace(3, timedelta(minutes=1)).wait(wrong) == timedelta(seconds=seconds)


def tried(throttle: Throttle, name: str, address: str, times: int = 1) -> timedelta:
    """Tries so often, each when it may; the wait after the last."""
    now, wait = NOW, NONE
    for _ in range(times):
        while wait := throttle.admit(name, address, now):
            now += wait
    return throttle.admit(name, address, now)


def test_a_try_that_has_to_wait_is_not_counted() -> None:
    throttle = Throttle()
    assert tried(throttle, "pat", HERE, PACE_BOTH.free) == timedelta(seconds=1)
    for _ in range(100):
        assert throttle.admit("pat", HERE, NOW) == timedelta(seconds=1)
    assert throttle.admit("pat", HERE, NOW + timedelta(seconds=1)) == NONE


def test_names_tried_from_one_address_make_all_of_it_wait() -> None:
    throttle = Throttle()
    for number in range(PACE_ADDRESS.free):
        assert throttle.admit(f"nobody{number}", HERE, NOW) == NONE
    assert throttle.admit("another", HERE, NOW) == timedelta(seconds=1)
    assert throttle.admit("another", THERE, NOW) == NONE


def test_a_name_tried_from_everywhere_waits_a_minute_at_most() -> None:
    throttle, now = Throttle(), NOW
    for number in range(PACE_NAME.free + 20):
        now += throttle.admit("pat", f"198.51.100.{number}", now)
    assert throttle.admit("pat", HERE, now) <= PACE_NAME.longest == timedelta(minutes=1)


def test_who_signed_in_from_there_before_does_not_wait_for_what_others_try() -> None:
    throttle = Throttle()
    assert throttle.admit("pat", HERE, NOW) == NONE
    throttle.accept("pat", HERE, NOW)
    for number in range(100):
        throttle.admit("pat", f"198.51.100.{number}", NOW)
        throttle.admit(f"nobody{number}", HERE, NOW)
    assert throttle.admit("pat", THERE, NOW) > NONE
    assert throttle.admit("pat", HERE, NOW) == NONE


def test_knowing_an_address_gives_no_endless_tries_there() -> None:
    throttle = Throttle()
    throttle.admit("pat", HERE, NOW)
    throttle.accept("pat", HERE, NOW)
    assert tried(throttle, "pat", HERE, PACE_BOTH.free) == timedelta(seconds=1)


def test_right_passwords_of_many_people_at_one_address_are_not_counted() -> None:
    throttle = Throttle()
    for number in range(PACE_ADDRESS.free * 2):
        assert throttle.admit(f"user{number}", HERE, NOW) == NONE
        throttle.accept(f"user{number}", HERE, NOW)


def test_wrong_tries_are_forgotten_and_a_clock_that_steps_back_keeps_nobody_out() -> None:
    throttle = Throttle()
    tried(throttle, "pat", HERE, PACE_BOTH.free + 20)
    assert throttle.admit("pat", HERE, NOW - timedelta(days=1)) <= PACE_BOTH.longest
    assert throttle.admit("pat", HERE, NOW + FORGOTTEN * 2) == NONE


def test_it_keeps_a_bounded_number_of_names() -> None:
    throttle = Throttle()
    for number in range(MOST_KEPT + 50):
        throttle.admit(f"nobody{number}", f"address{number}", NOW)
    assert len(throttle._both._kept) == len(throttle._names._kept) == MOST_KEPT


@pytest.mark.parametrize(("later", "waits"), [(KNOWN_FOR - timedelta(seconds=1), False), (KNOWN_FOR, True)])
def test_who_signed_in_from_there_long_ago_waits_like_a_stranger(later: timedelta, waits: bool) -> None:
    throttle, now = Throttle(), NOW + later
    assert throttle.admit("pat", HERE, NOW) == NONE
    throttle.accept("pat", HERE, NOW)
    for number in range(PACE_ADDRESS.free + 1):
        throttle.admit(f"nobody{number}", HERE, now)
    assert (throttle.admit("pat", HERE, now) > NONE) is waits
