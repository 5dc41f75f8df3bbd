from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.http.options import base_url, limits
from adapters.options import listed, number, one_of, own, switch, texts


def test_values_may_be_text() -> None:
    options: dict[str, Any] = {"on": "yes", "off": False, "size": "20", "one": "a", "many": ["a", 2], "mode": "full", "search": {"a": 1}}
    assert (switch(options, "on", default=False), switch(options, "off", default=True), switch(options, "none", default=True)) == (
        True,
        False,
        True,
    )
    assert number(options, "size", 5, least=1, most=100) == 20
    assert (listed(options, "one"), listed(options, "many"), listed(options, "none")) == (("a",), ("a", "2"), ())
    assert (one_of(options, "mode", ("auto", "full")), one_of(options, "none", ("auto", "full"))) == ("full", "auto")
    assert (texts(options, "search"), texts(options, "none")) == ({"a": "1"}, {})
    assert base_url({"base_url": "https://ehr.example/r4/"}, "it") == "https://ehr.example/r4"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: switch({"a": "perhaps"}, "a", default=True), "a is 'perhaps': use true or false"),
        (lambda: number({"a": "many"}, "a", 1, least=1, most=9), "a is 'many': use a number from 1 to 9"),
        (lambda: number({"a": 10}, "a", 1, least=1, most=9), "a is 10: use a number from 1 to 9"),
        (lambda: one_of({"a": "c"}, "a", ("a", "b")), "a is 'c': use one of a, b"),
        (lambda: own("group", "text", ("a", "b")), "group must be a section with settings: a, b"),
        (lambda: own("group", {"c": 1}, ("a", "b")), "unknown setting group.c: use a, b"),
        (lambda: base_url({"base_url": "ehr.example"}, "the endpoint"), "base_url is missing or not an HTTP URL: give the endpoint"),
        (lambda: limits({"budget": {"parallel": 2}}, "UTC", ("quiet_hours",)), "unknown setting budget.parallel: use quiet_hours"),
    ],
)
def test_a_wrong_value_says_what_it_takes(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("(", "\\(")):
        wrong()


def test_a_budget_is_read() -> None:
    found = limits({"budget": {"requests_per_minute": "30", "quiet_hours": "07:00-19:00", "bulk_every": 3600}}, "Europe/Berlin")
    assert (found.requests_per_minute, found.parallel, found.bulk_every, found.time_zone) == (30, 4, timedelta(hours=1), "Europe/Berlin")
    assert len(found.quiet) == 1
