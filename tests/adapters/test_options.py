"""Reading the options of a source."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.http.options import base_url, limits
from adapters.options import listed, number
from adapters.registry import ADAPTERS, SCHEMAS, schema


def test_values_may_be_text() -> None:
    options: dict[str, Any] = {"size": "20", "one": "a", "many": ["a", 2]}
    assert number(options, "size", 5, least=1, most=100) == 20
    assert (listed(options, "one"), listed(options, "many"), listed(options, "none")) == (("a",), ("a", "2"), ())
    assert base_url({"base_url": "https://ehr.example/r4/"}, "it") == "https://ehr.example/r4"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: number({"a": 10}, "a", 1, least=1, most=9), "a is 10: use a number from 1 to 9"),
        (lambda: base_url({"base_url": "ehr.example"}, "the endpoint"), "base_url is missing or not an HTTP URL: give the endpoint"),
        (lambda: limits({"budget": {"quiet_hours": ["noon"]}}, "UTC"), "quiet_hours has 'noon': write it like 07:00-19:00"),
    ],
)
def test_a_wrong_value_names_what_is_allowed(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        wrong()


def test_a_budget_is_read() -> None:
    found = limits({"budget": {"requests_per_minute": "30", "quiet_hours": "07:00-19:00", "bulk_every": 3600}}, "Europe/Berlin")
    assert (found.requests_per_minute, found.parallel, found.bulk_every, found.time_zone) == (30, 4, timedelta(hours=1), "Europe/Berlin")
    assert len(found.quiet) == 1


def test_every_adapter_has_a_schema() -> None:
    assert SCHEMAS.keys() == ADAPTERS.keys()
    assert all(schema(name).model_fields for name in SCHEMAS)
