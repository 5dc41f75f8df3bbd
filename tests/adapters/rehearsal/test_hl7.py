"""ADT messages of invented patients, read back by third-party libraries."""

from __future__ import annotations

from datetime import UTC, datetime

import hl7
import pytest
from hl7apy.parser import parse_message

from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.hl7 import EVENTS, message, timestamp
from adapters.rehearsal.population import Population

UPDATED = datetime(2026, 11, 1, 8, 0, 0, 250_000, tzinfo=UTC)
PEOPLE = list(Population(1, 400).people())


def entry(index: int, revision: int = 0) -> ChartEntry:
    return ChartEntry(Population(1, 400).person(index, revision), UPDATED)


def read(body: bytes) -> hl7.Message:
    return hl7.parse(body.decode())


def of(**wanted: object) -> int:
    """The first patient that matches."""
    return next(person.index for person in PEOPLE if all(getattr(person, name) == value for name, value in wanted.items()))


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_read_back(event: str) -> None:
    found = read(message(entry(4), event))
    assert str(found["MSH"][0][9]) == f"ADT^{event}^{EVENTS[event]}"
    assert str(found["EVN"][0][1]) == event
    assert str(found["PID"][0][3]) == "MRN10005^^^GENHOSP^MR"


def test_a_strict_library_reads_every_message() -> None:
    for index in range(40):
        found = parse_message(message(entry(index)).decode(), find_groups=False)
        assert found.msh.msh_12.to_er7() == "2.7"
        assert found.pid.pid_3.to_er7() == f"MRN{10_001 + index}^^^GENHOSP^MR"


def test_a_message_is_about_a_kilobyte() -> None:
    sizes = [len(message(entry(index))) for index in range(400)]
    assert 850 < sum(sizes) / len(sizes) < 1_150


@pytest.mark.parametrize(("value", "code"), [(True, "DNC"), (False, "OK"), (None, "")])
def test_do_not_contact_is_stated_or_empty(value: bool | None, code: str) -> None:
    assert str(read(message(entry(of(do_not_contact=value))))["ZCP"][0][2]) == code


@pytest.mark.parametrize(("value", "code"), [(True, "02"), (False, "01"), (None, "")])
def test_texting_is_the_publicity_code(value: bool | None, code: str) -> None:
    assert str(read(message(entry(of(texting_ok=value))))["PD1"][0][11]).partition("^")[0] == code


def test_a_preferred_method_is_a_code_of_table_0185() -> None:
    assert str(read(message(entry(of(preferred_method="T"))))["ZCP"][0][3]) == "T"


def test_without_a_home_number_the_first_repetition_stays_empty() -> None:
    index = next(person.index for person in PEOPLE if [one.kind for one in person.numbers] == ["cell"] and not person.restricted)
    first, cell, *_ = str(read(message(entry(index)))["PID"][0][13]).split("~")
    assert first == ""
    assert cell.startswith("^PRS^CP^^1^")


def test_work_numbers_are_in_pid_14() -> None:
    index = next(person.index for person in PEOPLE if "work" in {one.kind for one in person.numbers} and not person.restricted)
    number = next(one.e164 for one in entry(index).person.numbers if one.kind == "work")
    assert str(read(message(entry(index)))["PID"][0][14]).startswith(f"^WPN^PH^^1^{number[2:5]}^{number[5:]}")


def test_a_preferred_number_has_order_one_in_component_eighteen() -> None:
    index = next(
        person.index for person in PEOPLE if len(person.numbers) == 1 and person.numbers[0].rank and person.numbers[0].kind == "cell"
    )
    cell = str(read(message(entry(index)))["PID"][0][13]).split("~")[1]
    assert cell.split("^")[17] == "1"


def test_a_restricted_record_hides_its_numbers() -> None:
    index = next(person.index for person in PEOPLE if person.restricted)
    found = read(message(entry(index)))
    assert str(found["PD1"][0][12]) == "Y"
    assert (str(found["PID"][0][13]), str(found["PID"][0][14])) == ("", "")


def test_a_death_has_its_date_and_its_mark() -> None:
    index = next(person.index for person in PEOPLE if person.deceased_on)
    found = read(message(entry(index)))["PID"][0]
    assert (str(found[29]), str(found[30])) == (f"{entry(index).person.deceased_on:%Y%m%d}", "Y")


def test_the_same_revision_is_the_same_message_and_the_next_is_another() -> None:
    assert message(entry(4)) == message(entry(4))
    assert str(read(message(entry(4)))["MSH"][0][10]) != str(read(message(entry(4, 1)))["MSH"][0][10])


def test_times_have_an_offset() -> None:
    assert timestamp(UPDATED) == "20261101080000.250+0000"
