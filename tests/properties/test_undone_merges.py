"""Properties of all unmerges. Pure."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from store import times
from store.domain import assertions
from store.domain.record_merge import Merge, UnmergedRecord, split
from store.preference import PatientStatements
from tests.properties.test_merge import BEGIN, histories, receive, receive_all, restricts

NOON = BEGIN + timedelta(days=1)
UNDONE = Merge("A40", NOON)


def merge_records(one: assertions.SourceAssertions, other: assertions.SourceAssertions) -> assertions.SourceAssertions:
    return assertions.anchored(assertions.join(one, other), NOON)


def after_merge(items: list[PatientStatements]) -> list[PatientStatements]:
    """The same payloads after the merge."""
    return [
        PatientStatements(one.identifiers, one.statements, times.at(one.effective.latest + timedelta(days=2)), f"later-{one.evidence_id}")
        for one in items
    ]


def unmerge(
    merged: assertions.SourceAssertions, first: UnmergedRecord, second: UnmergedRecord
) -> tuple[assertions.SourceAssertions, assertions.SourceAssertions]:
    survivor, restored = split({"emr:a": merged}, first, second, UNDONE)
    return survivor["emr:a"], restored["emr:a"]


def side(before: assertions.SourceAssertions, later_statements: list[PatientStatements]) -> UnmergedRecord:
    return UnmergedRecord({"emr:a": before}, {"emr:a": reduce(receive, later_statements, before)})


@given(histories(), histories())
def test_an_unmerge_without_later_statements_restores_both_records(one: list[PatientStatements], other: list[PatientStatements]) -> None:
    first, second = receive_all(one), receive_all(other)
    assert unmerge(merge_records(first, second), side(first, []), side(second, [])) == (first, second)


@given(histories(), histories(), histories(), st.lists(st.booleans(), min_size=6, max_size=6))
def test_after_an_unmerge_each_record_has_its_own_statements_and_later_refusals(
    first_history: list[PatientStatements],
    second_history: list[PatientStatements],
    later_statements: list[PatientStatements],
    names: list[bool],
) -> None:
    first, second = receive_all(first_history), receive_all(second_history)
    later_payloads = list(zip(after_merge(later_statements), names, strict=False))
    merged = reduce(receive, (one for one, _ in later_payloads), merge_records(first, second))
    halves = [
        side(before_unmerge, [one for one, name in later_payloads if name == is_first])
        for before_unmerge, is_first in ((first, True), (second, False))
    ]
    stated = {attribute for one, _ in later_payloads for attribute in one.statements}
    for found, own in zip(unmerge(merged, *halves), halves, strict=True):
        for attribute, one in found.current().items():
            both, alone = merged.current().get(attribute), own.own["emr:a"].current().get(attribute)
            if attribute in stated and both is not None and restricts(attribute, both.value):
                assert one.value == both.value
            else:
                assert alone is not None
                assert one.value == alone.value
