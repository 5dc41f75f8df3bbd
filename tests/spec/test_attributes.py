"""Checks the table of attributes against the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.mapping.rules import TARGETS
from store import times
from store.domain.attributes import ATTRIBUTES, FAMILIES, PERSONAL, REGISTRY, Attribute, Kind, entry
from store.domain.contactability import more_restrictive
from store.domain.effective import in_force
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import SourceMark, master_of
from store.preference import REFUSALS, Assertion, Method, family, refuses
from tests.factories import NOW
from tests.spec.attributes import ANY_REFUSAL, ATTRIBUTE_ROWS, AttributeRow

SYNCS = Enterprise("clinic", syncs=True, sources=(Source("first", ""), Source("second", "")))
DOES_NOT = Enterprise("clinic", sources=SYNCS.sources)
VALUES: dict[Kind, set[Any] | None] = {
    Kind.YES_NO: {"yes", "no"},
    Kind.METHOD: {one.value for one in Method},
    Kind.PERMISSION: {"granted", "denied"},
    Kind.FLAG: {True, False},
    Kind.NUMBER: None,
    Kind.PHONES: None,
    Kind.ADDRESSES: None,
    Kind.DATE: None,
    Kind.LANGUAGE: None,
    Kind.TEXT: None,
}
"""All values of a kind; ``None`` where a rule reads any text."""
RULES = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
EVERY = pytest.mark.parametrize("row", ATTRIBUTE_ROWS, ids=lambda row: row.attribute)
REFUSABLE = pytest.mark.parametrize("row", [row for row in ATTRIBUTE_ROWS if row.refuses is not None], ids=lambda row: row.attribute)


def value_of(row: AttributeRow, enterprise: Enterprise, *values: Any) -> Any:
    """The value in force if the sources state these values, in source order."""
    assertions = [{row.attribute: Assertion(value, times.at(NOW), NOW, "M1", "X-1")} for value in values]
    by_source = {f"emr:{source.name}": one for source, one in zip(enterprise.sources, assertions, strict=False)}
    found = in_force(by_source, enterprise).get(row.attribute)
    return found.value if found is not None else None


def test_the_table_has_every_attribute() -> None:
    assert {row.attribute for row in ATTRIBUTE_ROWS} >= {*ATTRIBUTES}
    assert {family(row.attribute) for row in ATTRIBUTE_ROWS if row.refuses is not None} == REFUSALS.keys()
    assert all(one.title for one in REGISTRY), "every attribute needs a row"


@pytest.mark.parametrize("attribute", [*REGISTRY, *PERSONAL, *FAMILIES], ids=lambda one: one.name)
def test_the_rules_list_every_attribute(attribute: Attribute) -> None:
    section = RULES.partition("## 3. ")[2].partition("## 4. ")[0]
    listed = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| "))
    assert family(attribute.name).strip(".").replace("_", " ") in listed.replace("-", "").lower()


@pytest.mark.parametrize("attribute", [*REGISTRY, *PERSONAL, *FAMILIES], ids=lambda one: one.name)
def test_a_mapping_writes_the_values_of_each_attribute_and_no_other_text(attribute: Attribute) -> None:
    targets = TARGETS.get(family(attribute.name))
    assert (None if targets is None else set(targets.values())) == VALUES[attribute.kind]


def test_a_mapping_knows_no_attribute_that_is_not_registered() -> None:
    assert TARGETS.keys() <= {family(one.name) for one in (*REGISTRY, *FAMILIES)}


@pytest.mark.parametrize(("name", "value"), REFUSALS.items())
def test_a_mapping_can_write_every_refusal(name: str, value: Any) -> None:
    assert value in TARGETS[name].values()


@EVERY
def test_at_most_one_value_refuses(row: AttributeRow) -> None:
    assert not refuses(row.attribute, row.value)
    assert not refuses(row.attribute, None)
    assert refuses(row.attribute, row.refuses) is (row.refuses is not None)


@EVERY
def test_a_refusal_permits_less_than_unknown_and_a_permission_more(row: AttributeRow) -> None:
    joins = row.counts == ANY_REFUSAL
    assert more_restrictive(row.attribute, row.refuses, None) is (row.refuses is not None)
    assert more_restrictive(row.attribute, None, row.value) is joins
    assert not more_restrictive(row.attribute, row.value, row.refuses)


@REFUSABLE
def test_which_of_two_sources_counts(row: AttributeRow) -> None:
    assert value_of(row, SYNCS, row.refuses, row.value) == row.refuses
    assert value_of(row, SYNCS, row.value, row.refuses) == (row.refuses if row.counts == ANY_REFUSAL else row.value)


@EVERY
def test_which_value_counts_without_sync(row: AttributeRow) -> None:
    assert value_of(row, SYNCS, row.value) == row.value
    assert value_of(row, DOES_NOT, row.value) == (None if row.needs_sync else row.value)


@EVERY
def test_which_attributes_a_source_locks(row: AttributeRow) -> None:
    master = master_of(row.attribute, [SourceMark("second", NOW, NOW, frozenset({row.attribute}))], SYNCS)
    assert (master.source if master is not None else None) == ("second" if row.locks else None)


@pytest.mark.parametrize("name", ["merged_into", "sms_consent"])
def test_a_history_event_is_not_an_attribute_and_refuses_nothing(name: str) -> None:
    assert not refuses(name, "yes")
    assert (entry(name).title, entry(name).needs_sync) == ("", False)
