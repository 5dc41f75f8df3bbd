"""The synthetic population: reproducible, and without real telephone numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from adapters.rehearsal.chart import GROUPS, Chart
from adapters.rehearsal.invented import SPACE, number
from adapters.rehearsal.population import InventedPerson, Population, index_of, mrn

OPENED = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


def changing(person: InventedPerson) -> tuple[object, ...]:
    return person.do_not_contact, person.preferred_method, person.texting_ok, person.numbers


def test_one_seed_gives_the_same_people() -> None:
    assert list(Population(3, 40).people()) == list(Population(3, 40).people())


def test_another_seed_gives_other_people() -> None:
    assert list(Population(3, 40).people()) != list(Population(4, 40).people())


def test_a_person_does_not_depend_on_how_many_there_are() -> None:
    assert Population(1, 10).person(9) == Population(1, 1_000_000).person(9)


@pytest.mark.parametrize("index", [-1, 10])
def test_indexes_outside_the_population_are_errors(index: int) -> None:
    with pytest.raises(IndexError):
        Population(1, 10).person(index)


def test_every_situation_occurs() -> None:
    people = list(Population(1, 2_000).people())
    assert {person.do_not_contact for person in people} == {True, False, None}
    assert {person.preferred_method for person in people} == {"T", "P", "E", "L", None}
    assert {person.texting_ok for person in people} == {True, False, None}
    assert {frozenset(one.kind for one in person.numbers) for person in people} >= {
        frozenset(),
        frozenset({"cell"}),
        frozenset({"home"}),
        frozenset({"cell", "home", "work"}),
    }
    assert any(person.deceased_on for person in people)
    assert any(person.restricted for person in people)
    assert any(person.language is None for person in people)


def test_some_families_share_a_cell_phone_and_most_people_do_not() -> None:
    cells = Counter(one.e164 for person in Population(1, 5_000).people() for one in person.numbers if one.kind == "cell")
    assert 0 < sum(1 for uses in cells.values() if uses > 1) < len(cells) / 4


def test_numbers_are_of_the_fictional_exchange_and_distinct() -> None:
    numbers = [number(slot, seed=5) for slot in range(0, SPACE, 97)]
    assert len(set(numbers)) == len(numbers)
    assert all(one.startswith("+1") and one[5:8] == "555" and len(one) == 12 for one in numbers)
    assert not any(one.endswith("5551212") for one in numbers)


def test_small_populations_only_use_numbers_reserved_for_fiction() -> None:
    lines = {one.e164[8:] for person in Population(2, 5_000).people() for one in person.numbers}
    assert all("0100" <= line <= "0199" for line in lines)


def test_a_record_number_gives_the_index_of_its_patient() -> None:
    assert index_of(mrn(77)) == 77


@pytest.mark.parametrize("value", ["", "MRN", "77", "MRN-1", "MRNx", "MRN²"])
def test_a_foreign_record_number_gives_nothing(value: str) -> None:
    assert index_of(value) is None


@pytest.mark.parametrize("index", range(30))
def test_every_revision_changes_one_preference(index: int) -> None:
    population = Population(1, 30)
    before = changing(population.person(index))
    for revision in range(1, 9):
        after = changing(population.person(index, revision))
        changed = [old != new for old, new in zip(before, after, strict=True)]
        has_cell = any(one.kind == "cell" for one in population.person(index).numbers)
        assert sum(changed) == 1 or (sum(changed) == 0 and not has_cell)
        before = after


def test_a_tick_changes_one_group_and_its_time() -> None:
    now = [OPENED]
    chart = Chart(Population(1, 100), clock=lambda: now[0])
    now[0] += timedelta(minutes=5)
    changed = chart.tick()
    assert list(changed) == [0, 25, 50, 75]
    assert chart.entry(25).updated == now[0]
    assert chart.entry(25).version == 2
    assert chart.entry(26).updated < OPENED
    assert list(chart.indexes(lambda updated: updated >= now[0])) == list(changed)
    assert chart.count(lambda updated: updated >= now[0]) == 4


def test_ticks_go_round_all_groups() -> None:
    chart = Chart(Population(1, 2 * GROUPS))
    changed = [index for _ in range(GROUPS) for index in chart.tick()]
    assert sorted(changed) == list(range(2 * GROUPS))


def test_a_tick_of_a_very_small_population_still_changes_somebody() -> None:
    chart = Chart(Population(1, 2))
    assert [list(chart.tick()) for _ in range(3)] == [[0], [1], [0]]
