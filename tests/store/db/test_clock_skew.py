"""Receivers of one store whose clocks differ: what refuses counts, whichever of them received it and in whatever order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import pytest

from store import times
from store.db.clock_skew import NOTICED, REFUSED, is_noticed, skew
from store.web.api.health import Health
from tests.store.site import ADT, Site, at, says

MINUTE, HOUR = 60.0, 3600.0
OK, DNC = {"do_not_contact": "no"}, {"do_not_contact": "yes"}
SKEWS = (-2 * HOUR, -20 * MINUTE, -2 * MINUTE, 0, 2 * MINUTE, 20 * MINUTE, 2 * HOUR)
ALLOWED = REFUSED.total_seconds()
"""What intake lets a clock differ."""


def receive(site: Site, patient: str, stated: float, said: dict[str, str], received: float, skew: float) -> None:
    """A message reaches a receiver whose clock is ahead by ``skew``."""
    with site.database.write(site.enterprise) as transaction:
        item = says(patient, stated, said, evidence=f"M{stated}")
        site.store.apply_many(transaction, site.enterprise, ADT, [item], now=at(received + skew))


def test_a_refusal_after_a_permission_counts_whichever_clock_is_wrong(site: Site) -> None:
    for first, second in product(SKEWS, SKEWS):
        patient = f"{first}{second}"
        receive(site, patient, 0, OK, 1, first)
        receive(site, patient, 30, DNC, 31, second)
        assert site.dnc(patient) == "yes", (first, second)


def test_a_refusal_outlives_an_older_permission_that_comes_late(site: Site) -> None:
    for early, late in product((-ALLOWED, 0, ALLOWED), repeat=2):
        patient = f"{early}{late}"
        receive(site, patient, 30, DNC, 31, early)
        receive(site, patient, 0, OK, 40, late)
        assert site.dnc(patient) == "yes", (early, late)


def test_the_newest_of_three_counts_where_it_refuses(site: Site) -> None:
    """The receiver with the wrong clock gets the one in the middle."""
    messages = [(0.0, DNC), (10.0, OK), (20.0, DNC)]
    for order, ahead in product(permutations(range(3)), SKEWS):
        for place, number in enumerate(order):
            receive(site, f"{order}{ahead}", *messages[number], 30.0 + place, ahead if number == 1 else 0)
        assert site.dnc(f"{order}{ahead}") == "yes", (order, ahead)


@pytest.mark.parametrize(
    ("before", "theirs", "after", "expected"),
    [(0, 0, 0, 0), (0, 5, 10, 0), (0, -5, 10, 5), (0, 15, 10, -5), (-1200, 0, -1190, -1190), (1200, 0, 1210, 1200)],
)
def test_the_skew_is_what_the_time_of_the_look_does_not_explain(before: float, theirs: float, after: float, expected: float) -> None:
    assert skew(at(before), at(theirs), at(after)) == timedelta(seconds=expected)


def test_what_is_refused_is_well_within_what_keeps_its_end() -> None:
    assert NOTICED < REFUSED < times.AHEAD / 2


def test_postgresql_s_clock_is_compared_at_each_write(site: Site, dialect: str) -> None:
    database = site.database
    assert not is_noticed(database.compare_clocks())
    database.clock = lambda: datetime.now(UTC) - timedelta(minutes=20)
    with database.write(site.enterprise):
        found = database.skew
    assert database.compare_clocks() == pytest.approx(found, abs=timedelta(seconds=60))
    assert is_noticed(found) == (dialect == "postgresql"), "SQLite has the clock of its program"
    readiness = Health(site.store, None, site.tick).readiness()
    assert readiness.ready
    assert readiness.clock_skew == pytest.approx(-1200 if dialect == "postgresql" else 0, abs=60)
