"""What holds for all payloads of one authority, and for the join of two records. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from store import times
from store.domain import assertions, effective
from store.domain.assertions import SourceAssertions
from store.domain.enterprise import Enterprise, Source
from store.preference import Assertion, Identifier, PatientStatements, Phone, Statement

BEGIN = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
SITE = Enterprise("e", syncs=True, sources=(Source("a", "A"), Source("b", "B")))
VALUES: dict[str, list[Any]] = {
    "do_not_contact": ["yes", "no", None],
    "consent.sms": ["denied", "granted", None],
    "topic.recall.sms": ["denied", "granted", None],
    "preferred_method": ["sms", "none", None],
    "language": ["en", "es", None],
    "phones#PID-13": [(Phone("+12175550101"),), (Phone("+12175550102", "cell"),), None],
    "phones#PID-14": [(Phone("+12175550102", "work"),), None],
    "deceased": [True, False, None],
}
OPT_OUTS = {"do_not_contact": "yes", "consent.sms": "denied", "topic.recall.sms": "denied", "preferred_method": "none", "deceased": True}

said = st.fixed_dictionaries({}, optional={attribute: st.sampled_from(values) for attribute, values in VALUES.items()})


def payload(statements: dict[str, Any], seconds: int, number: int, version: int = 0) -> PatientStatements:
    stated = {attribute: Statement(value, "path") for attribute, value in statements.items()}
    return PatientStatements((Identifier("X", "MR", "1"),), stated, times.at(BEGIN + timedelta(seconds=seconds)), f"E{number}", version)


def hear(held: SourceAssertions | None, item: PatientStatements) -> SourceAssertions:
    """What an authority has said, with one payload more."""
    merged = assertions.merge(held, item, item.effective.latest)
    return SourceAssertions(merged.assertions, merged.confirmed, merged.confirmed, "", held.since if held else item.effective.latest)


def hear_all(items: list[PatientStatements]) -> SourceAssertions:
    return reduce(hear, items[1:], hear(None, items[0]))


def values(*held: SourceAssertions) -> dict[str, Any]:
    in_force = effective.in_force({f"emr:{name}": one.current() for name, one in zip("ab", held, strict=False)}, SITE)
    return {attribute: found.value for attribute, found in in_force.items()}


def restricts(attribute: str, value: Any) -> bool:
    return OPT_OUTS.get(attribute) == value and value is not None


@st.composite
def histories(draw: st.DrawFn, *, most: int = 6) -> list[PatientStatements]:
    """Payloads of distinct times, in any order."""
    moments = draw(st.lists(st.integers(0, 50), min_size=1, max_size=most, unique=True))
    return [payload(draw(said), seconds, number) for number, seconds in enumerate(moments)]


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[PatientStatements], list[PatientStatements]]:
    """The same payloads in two orders, some of them twice in the second."""
    history = draw(histories())
    repeated = draw(st.lists(st.sampled_from(history), max_size=4))
    return history, draw(st.permutations([*history, *repeated]))


@given(orders())
def test_the_order_of_arrival_and_repeats_do_not_matter(two: tuple[list[PatientStatements], list[PatientStatements]]) -> None:
    first, second = two
    assert values(hear_all(first)) == values(hear_all(second))


@given(histories())
def test_the_newest_statement_of_each_attribute_stands(history: list[PatientStatements]) -> None:
    newest: dict[str, Any] = {}
    for item in sorted(history, key=lambda one: one.effective.earliest):
        newest |= {attribute: statement.value for attribute, statement in item.statements.items()}
    assert {attribute: one.value for attribute, one in hear_all(history).current().items()} == newest


@given(histories(), said, st.integers(-5, 50))
def test_a_late_payload_replaces_nothing_that_is_newer(history: list[PatientStatements], late: dict[str, Any], seconds: int) -> None:
    held = hear_all(history)
    after = hear(held, payload(late, seconds, 99)).current()
    for attribute, old in held.current().items():
        if old.effective.is_after(times.at(BEGIN + timedelta(seconds=seconds))):
            assert after[attribute].value == old.value


@given(st.lists(st.tuples(said, st.integers(0, 1)), min_size=1, max_size=5), st.data())
def test_what_may_be_a_repeat_never_loosens(said_then: list[tuple[dict[str, Any], int]], data: st.DataObject) -> None:
    """All within two instants, where only the order of receipt tells the payloads apart."""
    history = [payload(statements, second, number) for number, (statements, second) in enumerate(said_then)]
    held = hear_all(history)
    again = data.draw(st.sampled_from(history))
    merged = assertions.merge(held, again, again.effective.latest, doubtful=True)
    for attribute, old in held.current().items():
        now = merged.assertions[attribute]
        if old.evidence_id != again.evidence_id and not again.effective.is_after(old.effective) and restricts(attribute, old.value):
            assert restricts(attribute, now.value)


@given(histories(), st.integers(1, 9), st.integers(1, 9))
def test_of_one_instant_the_higher_version_stands(history: list[PatientStatements], one: int, other: int) -> None:
    statements = {"do_not_contact": "yes"}, {"do_not_contact": "no"}
    first, second = payload(statements[0], 60, 100, one), payload(statements[1], 60, 101, 10 + other)
    for order in ([first, second], [second, first]):
        assert hear_all([*history, *order]).current()["do_not_contact"].value == "no"


@given(histories(), histories())
def test_a_join_keeps_every_opt_out_of_either_side(mine: list[PatientStatements], theirs: list[PatientStatements]) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    joined = assertions.join(first, second).assertions
    for attribute in OPT_OUTS:
        stated = [held.current()[attribute].value for held in (first, second) if attribute in held.current()]
        assert restricts(attribute, joined[attribute].value if attribute in joined else None) == any(
            restricts(attribute, value) for value in stated
        )


@given(histories(), histories())
def test_a_join_has_no_sides(mine: list[PatientStatements], theirs: list[PatientStatements]) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    one, other = assertions.join(first, second), assertions.join(second, first)
    for attribute, joined in one.assertions.items():
        sides = [held.current()[attribute] for held in (first, second) if attribute in held.current()]
        if len({side.effective for side in sides}) == len(sides):  # of one instant either may stand, an opt-out apart
            assert joined == other.assertions[attribute]
    assert (one.confirmed, one.since) == (other.confirmed, other.since)


@given(histories())
def test_a_join_with_itself_changes_nothing(history: list[PatientStatements]) -> None:
    held = hear_all(history)
    assert assertions.join(held, held).assertions == held.current()


@given(histories(), st.integers(0, 100), histories())
def test_after_a_merge_nothing_from_before_it_loosens(before: list[PatientStatements], seconds: int, late: list[PatientStatements]) -> None:
    merged_at = BEGIN + timedelta(seconds=seconds)
    held = assertions.anchored(hear_all(before), merged_at)
    was = hear_all(before).current()
    assert {name: one.value for name, one in held.assertions.items()} == {name: one.value for name, one in was.items()}
    after = reduce(hear, [item for item in late if item.effective.latest < merged_at], held).current()
    for attribute, old in held.assertions.items():
        if restricts(attribute, old.value):
            assert after[attribute].value == old.value


@given(histories(), histories())
def test_no_authority_is_overruled_in_its_no(mine: list[PatientStatements], theirs: list[PatientStatements]) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    in_force = values(first, second)
    for held in (first, second):
        for attribute, one in held.current().items():
            if attribute != "preferred_method" and restricts(attribute, one.value):
                assert in_force[attribute] == one.value
            if attribute == "deceased" and one.value:
                assert in_force[attribute] is True


@given(said, said)
def test_unknown_is_never_yes_nor_granted(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    in_force = values(hear(None, payload(mine, 0, 0)), hear(None, payload(theirs, 0, 1)))
    for attribute, value in in_force.items():
        if attribute in VALUES and not attribute.startswith("phones"):
            assert value in (mine.get(attribute), theirs.get(attribute))
    for attribute in VALUES:
        if mine.get(attribute) is None and theirs.get(attribute) is None:
            assert attribute not in in_force


def test_an_assertion_of_every_kind_is_kept_as_it_was_said() -> None:
    item = payload({attribute: options[0] for attribute, options in VALUES.items()}, 0, 0)
    expected = {name: Assertion(one.value, times.at(BEGIN), BEGIN, "E0", "path") for name, one in item.statements.items()}
    assert hear(None, item).current() == expected


@st.composite
def imprecise(draw: st.DrawFn) -> list[PatientStatements]:
    """Yes, no and taken back, at times of any precision, in any order of receipt."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        start, width = draw(st.integers(0, 12)), draw(st.sampled_from([0, 0, 1, 5, 12]))
        when = times.Time(BEGIN + timedelta(seconds=start), BEGIN + timedelta(seconds=start + width))
        item = payload({"do_not_contact": draw(st.sampled_from(["yes", "no", None]))}, 0, number)
        found.append(replace(item, effective=when))
    return found


def do_not_contact(item: PatientStatements) -> Any:
    return item.statements["do_not_contact"].value


@given(imprecise())
def test_nothing_lifts_a_refusal_that_may_be_newer(history: list[PatientStatements]) -> None:
    refusals = [item for item in history if do_not_contact(item) == "yes"]
    if hear_all(history).current()["do_not_contact"].value != "yes":
        others = [item for item in history if do_not_contact(item) != "yes"]
        assert all(any(other.effective.is_after(refusal.effective) for other in others) for refusal in refusals)


@given(imprecise())
def test_a_refusal_ends_by_what_is_later_than_every_refusal(history: list[PatientStatements]) -> None:
    refusals = [item for item in history if do_not_contact(item) == "yes"]
    others = [item for item in history if do_not_contact(item) != "yes"]
    if any(all(other.effective.is_after(refusal.effective) for refusal in refusals) for other in others):
        assert hear_all(history).current()["do_not_contact"].value != "yes"


@given(imprecise())
def test_what_nobody_can_order_is_marked_and_counted(history: list[PatientStatements]) -> None:
    held = hear(None, history[0])
    for item in history[1:]:
        old = held.current()["do_not_contact"]
        merged = assertions.merge(held, item, item.effective.latest)
        overlap = not item.effective.is_after(old.effective) and not item.effective.is_before(old.effective)
        is_open = overlap and old.value != do_not_contact(item)
        assert merged.undecided == is_open
        assert not is_open or merged.assertions["do_not_contact"].undecided
        held = hear(held, item)
