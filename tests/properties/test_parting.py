"""What holds for all merges that are undone. Pure."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from store import merge
from store.parting import Merge, part
from store.preference import PatientStatements
from tests.properties.test_merge import BEGIN, hear, hear_all, histories, restricts

NOON = BEGIN + timedelta(days=1)
UNDONE = Merge("A40", NOON)


def joined(mine: merge.Held, theirs: merge.Held) -> merge.Held:
    return merge.anchored(merge.join(mine, theirs), NOON)


def later(items: list[PatientStatements]) -> list[PatientStatements]:
    """The same payloads after the merge."""
    return [
        PatientStatements(one.identifiers, one.statements, one.effective + timedelta(days=2), f"later-{one.evidence_id}") for one in items
    ]


@given(histories(), histories())
def test_with_nothing_said_since_both_records_are_what_they_were(mine: list[PatientStatements], theirs: list[PatientStatements]) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    survivor, restored = part({"emr:a": joined(first, second)}, {"emr:a": first}, {"emr:a": second}, UNDONE)
    assert survivor["emr:a"].current() == first.current()
    assert restored == {"emr:a": second}


@given(histories(), histories(), histories(), st.booleans())
def test_what_stands_since_stands_for_the_survivor_and_forbids_for_both(
    mine: list[PatientStatements], theirs: list[PatientStatements], since: list[PatientStatements], known: bool
) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    now = joined(first, second) if known else second
    for one in later(since):
        now = hear(now, one)
    survivor, restored = part({"emr:a": now}, {"emr:a": first} if known else {}, {"emr:a": second}, UNDONE)
    stated = {attribute for one in since for attribute in one.statements}
    for attribute in stated:
        value = now.current()[attribute].value
        assert survivor["emr:a"].current()[attribute].value == value
        if restricts(attribute, value):
            assert restored["emr:a"].current()[attribute].value == value


@given(histories(), histories(), histories())
def test_undoing_permits_the_restored_record_nothing_new(
    mine: list[PatientStatements], theirs: list[PatientStatements], since: list[PatientStatements]
) -> None:
    first, second = hear_all(mine), hear_all(theirs)
    now = joined(first, second)
    for one in later(since):
        now = hear(now, one)
    restored = part({"emr:a": now}, {"emr:a": first}, {"emr:a": second}, UNDONE)[1]["emr:a"].current()
    for attribute, own in second.current().items():
        assert not merge.more_restrictive(attribute, own.value, restored[attribute].value)
