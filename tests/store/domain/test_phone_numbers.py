"""Numbers and lines as carriers and senders write them have one spelling, by which an opt-out is found again."""

from __future__ import annotations

import pytest

from adapters.mapping.telecom import e164
from store.domain.phone_numbers import Numbering, in_full
from store.errors import ValueRefused

LINE = "+12175550100"
US, GB, NOWHERE = Numbering("US", e164), Numbering("GB", e164), Numbering(None, e164)


@pytest.mark.parametrize(
    ("numbering", "written", "meant"),
    [
        (US, "+12175550101", ("+12175550101",)),
        (US, " (217) 555-0101 ", ("+12175550101",)),
        (US, "2175550101", ("+12175550101",)),
        (US, "12175550101", ("+12175550101",)),
        (NOWHERE, "12175550101", ("+12175550101",)),
        (GB, "447700900123", ("+447700900123",)),
        (GB, "07700 900123", ("+447700900123",)),
        (GB, "0012175550101", ("+12175550101",)),
        (US, "4794234567", ("+14794234567", "+4794234567")),
        (NOWHERE, "(217) 555-0101", ()),
        (US, "five five five", ()),
        (US, "", ()),
        (US, "12345", ()),
    ],
)
def test_the_numbers_that_may_be_meant(numbering: Numbering, written: str, meant: tuple[str, ...]) -> None:
    assert numbering.candidates(written) == meant


@pytest.mark.parametrize("written", [LINE, "+1 (217) 555-0100", "+1.217.555.0100", " +1 217 555 0100 ", "12175550100", "0012175550100"])
@pytest.mark.parametrize("numbering", [US, GB, NOWHERE, Numbering(None, in_full)])
def test_a_line_has_one_spelling(numbering: Numbering, written: str) -> None:
    assert numbering.line(written) == LINE


def test_a_line_without_its_country_is_one_of_the_own_region() -> None:
    assert US.line("(217) 555-0100") == US.line("2175550100") == LINE


@pytest.mark.parametrize(("written", "key"), [("12345", "12345"), ("123-456", "123456"), (" 55555 ", "55555")])
def test_a_short_code_is_a_line(written: str, key: str) -> None:
    assert US.line(written) == key


def test_without_numbering_plans_only_a_number_in_full_counts() -> None:
    assert Numbering("US").candidates("(217) 555-0101") == ()
    assert Numbering("US").candidates(LINE) == (LINE,)


SHORT = ["+1217555010", "217555010", "(217) 555-010", "1234", "1234567"]


@pytest.mark.parametrize("text", ["abc", "MyClinic", "", "+", "१२३४५", *SHORT])
def test_what_is_no_number_and_no_short_code_is_no_line(text: str) -> None:
    with pytest.raises(ValueRefused, match=r"E\.164"):
        US.line(text)


def test_short_codes_are_shorter_elsewhere() -> None:
    assert [GB.spelled(text) for text in ("12", "123", "1234567")] == [None, "123", "1234567"]
    assert [US.spelled(text) for text in ("123", "12345")] == [None, "12345"]


def test_an_appointments_number_is_one_of_a_numbering_plan() -> None:
    US.check("+12175550100")
    with pytest.raises(ValueRefused):
        US.check("+1217555010")


@pytest.mark.parametrize("number", ["+1217555106", "+12175551", "+19995550100000"])
def test_a_number_in_full_that_no_numbering_plan_has_is_no_number(number: str) -> None:
    assert US.candidates(number) == GB.candidates(number) == ()
    with pytest.raises(ValueRefused):
        US.line(number)
