"""XTN in every generation. The numbers are of exchanges set aside for fiction."""

from __future__ import annotations

import pytest

from store.preference import Phone
from tests.adapters.hl7v2.messages import adt, stated


def phones(field: str, number: int = 13, **changes: str) -> tuple[Phone, ...]:
    said = stated(adt(**{f"f{number}": field}), **changes)
    assert said.problems == ()
    return said.statements[f"phones#PID-{number}"].value or ()


@pytest.mark.parametrize(
    "field",
    [
        "(217)555-0123",
        "(217)555-0123X22^PRN^PH",
        "^PRN^PH^^1^217^5550123",
        "^PRN^PH^^^217^555-0123^22",
        "^PRN^PH^^1^217^5550123^^call after 5PM",
        "^PRN^PH^^001^217^5550123",
        "^PRN^PH^^USA^217^5550123",
        "^PRN^PH^^^^2175550123",
        "^PRN^PH^^^^^^^^^(217) 555-0123",
        "(217)555-0100^PRN^PH^^^217^5550123",
        "(217)555-0100^PRN^PH^^^^^^^^^217-555-0123",
        "(217)555-0123^PRN^PH^^^217^12345",
    ],
)
def test_every_generation_gives_the_number(field: str) -> None:
    assert [phone.number for phone in phones(field)] == ["+12175550123"]


def test_a_country_code_is_part_of_the_number() -> None:
    assert phones("^PRN^PH^^44^020^79460018")[0].number == "+442079460018"
    assert phones("^PRN^PH^^GB^020^79460018")[0].number == "+442079460018"
    assert phones("020 7946 0018", default_region="GB")[0].number == "+442079460018"


@pytest.mark.parametrize(
    ("number", "codes", "kind", "textable"),
    [
        (13, "", "home", False),
        (14, "", "work", False),
        (40, "", "other", False),
        (13, "^PRN^PH", "home", False),
        (13, "^WPN^PH", "work", False),
        (13, "^ORN^PH", "other", False),
        (13, "^PRS^PH", "cell", True),
        (13, "^PRN^CP", "cell", True),
        (14, "^WPN^CP", "cell", True),
        (14, "^^CP", "cell", True),
        (13, "^prs^cp", "cell", True),
        (14, "^HOME", "home", False),
        (13, "^LOCAL", "other", False),
    ],
)
def test_use_and_equipment_give_the_kind(number: int, codes: str, kind: str, textable: bool) -> None:
    (phone,) = phones(f"(217)555-0123{codes}", number)
    assert (phone.kind, phone.textable) == (kind, textable)


def test_a_number_whose_plan_says_mobile_is_textable_whatever_its_kind() -> None:
    assert phones("+447400123456^PRN^PH")[0] == Phone("+447400123456", "home", "+447400123456", None, True)


@pytest.mark.parametrize("codes", ["^PRN^FX", "^BPN^BP", "^WPN^FX", "^PRN^TDD", "^PRN^TTY", "^PRN^MD"])
def test_a_fax_or_pager_is_no_phone(codes: str) -> None:
    assert [phone.number for phone in phones(f"(217)555-0199{codes}~(217)555-0123")] == ["+12175550123"]


@pytest.mark.parametrize(
    "field",
    [
        "^NET^Internet^pat@example.org",
        "^NET^INTERNET^pat@example.org",
        "pat@example.org^NET^Internet",
        "pat@example.org",
        "^^X.400^pat@example.org",
        "^NET^^mailto:pat@example.org",
    ],
)
def test_an_address_is_found_wherever_it_stands(field: str) -> None:
    said = stated(adt(f13=f"{field}~(217)555-0123^PRN^PH"))
    assert said.statements["email#PID-13"].value == ("pat@example.org",)
    assert [phone.number for phone in said.statements["phones#PID-13"].value] == ["+12175550123"]


def test_a_number_and_an_address_in_one_repetition_are_both_kept() -> None:
    said = stated(adt(f13="(217)555-0123^PRN^PH^pat@example.org"))
    assert said.statements["email#PID-13"].value == ("pat@example.org",)
    assert said.statements["phones#PID-13"].value


def test_addresses_are_in_the_order_of_preference() -> None:
    first, second, third = (f"^NET^Internet^{name}@example.org" for name in "abc")
    said = stated(adt(f40=f"{first}~{second}^^^^^^^^^^^^^^2~{third}^^^^^^^^^^^^^^0"))
    assert said.statements["email#PID-40"].value == ("c@example.org", "b@example.org", "a@example.org")


def test_an_empty_first_repetition_is_no_number() -> None:
    said = stated(adt(f13="~(217)555-0123^ORN^PH"))
    assert [phone.kind for phone in said.statements["phones#PID-13"].value] == ["other"]


def test_a_number_that_has_ended_is_dropped_and_a_period_kept() -> None:
    found = phones("(217)555-0199^PRN^PH^^^^^^^^^^20200101^20210101~(217)555-0123^PRN^PH^^^^^^^^^^20200101^20991231")
    assert [(one.number, one.start, one.end) for one in found] == [("+12175550123", "2020-01-01", "2099-12-31")]


def test_a_list_of_ended_numbers_only_is_cleared() -> None:
    assert phones("(217)555-0199^PRN^PH^^^^^^^^^^20200101^20210101") == ()


def test_escapes_in_numbers_are_undone() -> None:
    assert phones("(217)\\X35\\55-0123")[0].number == "+12175550123"
