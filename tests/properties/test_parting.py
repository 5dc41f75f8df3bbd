"""What holds for all merges that are undone. Pure."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from store import times
from store.domain import assertions
from store.domain.record_merge import Half, Merge, part
from store.preference import PatientStatements
from tests.properties.test_merge import BEGIN, hear, hear_all, histories, restricts

NOON = BEGIN + timedelta(days=1)
UNDONE = Merge("A40", NOON)


def joined(mine: assertions.SourceAssertions, theirs: assertions.SourceAssertions) -> assertions.SourceAssertions:
    return assertions.anchored(assertions.join(mine, theirs), NOON)


def later(items: list[PatientStatements]) -> list[PatientStatements]:
    """The same payloads after the merge."""
    return [
        PatientStatements(one.identifiers, one.statements, times.at(one.effective.latest + timedelta(days=2)), f"later-{one.evidence_id}")
        for one in items
    ]


def parted(now: assertions.SourceAssertions, first: Half, second: Half) -> tuple[assertions.SourceAssertions, assertions.SourceAssertions]:
    survivor, restored = part({"emr:a": now}, first, second, UNDONE)
    return survivor["emr:a"], restored["emr:a"]


def half(then: assertions.SourceAssertions, since: list[PatientStatements]) -> Half:
    return Half({"emr:a": then}, {"emr:a": reduce(hear, since, then)})


@given(histories(), histories())
def test_an_unmerge_without_later_statements_restores_both_records(mine: list[PatientStatements], theirs: list[PatientStatements]) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    assert parted(joined(first, second), half(first, []), half(second, [])) == (first, second)


@given(histories(), histories(), histories(), st.lists(st.booleans(), min_size=6, max_size=6))
def test_after_an_unmerge_each_record_has_its_own_statements_and_later_refusals(
    mine: list[PatientStatements], theirs: list[PatientStatements], since: list[PatientStatements], names: list[bool]
) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    told = list(zip(later(since), names, strict=False))
    now = reduce(hear, (one for one, _ in told), joined(first, second))
    halves = [half(was, [one for one, name in told if name == whose]) for was, whose in ((first, True), (second, False))]
    stated = {attribute for one, _ in told for attribute in one.statements}
    for found, own in zip(parted(now, *halves), halves, strict=True):
        for attribute, one in found.current().items():
            both, alone = now.current().get(attribute), own.own["emr:a"].current().get(attribute)
            if attribute in stated and both is not None and restricts(attribute, both.value):
                assert one.value == both.value
            else:
                assert alone is not None
                assert one.value == alone.value
