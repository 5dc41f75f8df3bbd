"""A Consent, a Flag and an exception count on the whole of their first and last days (FHIR R4 2.24.0.11: both ends belong to a period).

Where an end is written with its time, they count until then.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.fhir.made import RECEIVED, stated
from tests.adapters.fhir.test_decisions import decided, nested
from tests.adapters.fhir.test_records import DNC, flag

LAST = [f"{RECEIVED:%Y-%m-%d}", f"{RECEIVED:%Y-%m}", f"{RECEIVED:%Y}", f"{RECEIVED:%Y-%m-%d}T18:00:00Z"]
OVER = ["2026-10-31", "2026-10", "2025", "2026-10-31T23:59:59Z", f"{RECEIVED:%Y-%m-%d}T08:00:00Z"]
FIRST = [f"{RECEIVED:%Y-%m-%d}", f"{RECEIVED:%Y-%m}", f"{RECEIVED:%Y}", f"{RECEIVED:%Y-%m-%d}T08:00:00Z"]
TO_COME = ["2026-11-02", "2026-12", "2027", "2026-11-02T00:00:00Z", f"{RECEIVED:%Y-%m-%d}T18:00:00Z"]
ENDS = [(end, True) for end in LAST] + [(end, False) for end in OVER]
STARTS = [(start, True) for start in FIRST] + [(start, False) for start in TO_COME]


def in_each_release(kind: str, period: dict[str, str]) -> list[str | None]:
    """A Consent of R5, one of R4, and one of R4 whose root provision has the period."""
    plain = {"type": kind}
    return [
        decided(decision=kind, period=period),
        decided(provision=plain, period=period),
        decided(provision=plain | {"period": period}),
    ]


@pytest.mark.parametrize(("end", "counts"), ENDS)
@pytest.mark.parametrize(("kind", "value"), [("deny", "denied"), ("permit", "granted")])
def test_a_consent_counts_on_its_last_day(end: str, counts: bool, kind: str, value: str) -> None:
    assert in_each_release(kind, {"end": end}) == [value if counts else "taken back"] * 3


@pytest.mark.parametrize(("start", "counts"), STARTS)
def test_a_consent_counts_on_its_first_day(start: str, counts: bool) -> None:
    assert in_each_release("permit", {"start": start}) == ["granted" if counts else "ahead"] * 3


def test_a_consent_of_one_day_counts_on_it() -> None:
    (day, *_) = LAST
    assert in_each_release("deny", {"start": day, "end": day}) == ["denied"] * 3


@pytest.mark.parametrize(("end", "counts"), ENDS)
def test_a_flag_counts_on_its_last_day(end: str, counts: bool) -> None:
    said = stated(flag(period={"end": end}), options={"flag": {"attribute": "do_not_contact"}}, mapping=DNC)
    assert said["do_not_contact"].value == ("yes" if counts else None)


@pytest.mark.parametrize(("end", "counts"), ENDS)
def test_an_exception_that_denies_counts_on_its_last_day(end: str, counts: bool) -> None:
    expected = "denied" if counts else "granted"
    period: dict[str, Any] = {"end": end}
    assert decided(provision=nested("permit", "deny", period=period)) == expected
    assert decided(decision="permit", provision=[nested("deny", period=period)]) == expected
