from __future__ import annotations

from datetime import UTC, datetime, timedelta

from store.domain.consent_change import documented
from store.domain.sms_consent import ConsentEvent, OptOut

AT = datetime(2026, 11, 3, tzinfo=UTC)
LINE, OTHER, CELL, HOME = "+12175550190", "+12175550191", "+12175550101", "+12175550102"


def event(line: str | None = LINE, topic: str | None = None) -> ConsentEvent:
    return ConsentEvent(CELL, line, "patient", True, AT, "line", topic)


def states(
    line: str | None, before: list[OptOut], after: list[OptOut], topic: str | None = None, numbers: tuple[str, ...] = (CELL,)
) -> tuple[str, str]:
    was, now = documented("opt_out", event(line, topic), numbers, before, after)
    return was["state"], now["state"]


def test_a_change_has_its_line_its_numbers_and_its_topic() -> None:
    before, after = documented("opt_out", event(topic="billing"), [CELL], (), [OptOut(LINE, CELL, "topic", "billing")])
    assert before == {"state": "opted_in"}
    assert after == {"state": "opted_out", "kind": "opt_out", "line": LINE, "topic": "billing", "numbers": [CELL]}


def test_only_an_opt_out_at_least_as_wide_counts_as_the_state_before() -> None:
    every_line, one_line = [OptOut(None, CELL, "all_lines")], [OptOut(LINE, CELL)]
    assert states(LINE, [], one_line) == ("opted_in", "opted_out")
    assert states(LINE, every_line, every_line + one_line) == ("opted_out", "opted_out")
    assert states(None, one_line, every_line) == ("opted_in", "opted_out")
    assert states(OTHER, one_line, one_line) == ("opted_in", "opted_in")
    assert states(LINE, [OptOut(None, CELL, "all_lines", except_lines=(LINE,))], one_line) == ("opted_in", "opted_out")
    assert states(LINE, [OptOut(LINE, CELL, "topic", "billing")], one_line) == ("opted_in", "opted_out")
    assert states(LINE, one_line, one_line, topic="billing") == ("opted_out", "opted_out")


def test_of_several_numbers_all_must_be_opted_out() -> None:
    one, both = [OptOut(LINE, CELL)], [OptOut(LINE, CELL), OptOut(LINE, HOME, at=AT + timedelta(days=1))]
    assert states(LINE, one, both, numbers=(CELL, HOME)) == ("opted_in", "opted_out")
    assert states(LINE, [], [OptOut(LINE, "")], numbers=()) == ("opted_in", "opted_out")
