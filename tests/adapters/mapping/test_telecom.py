"""Normalization of telephone numbers and e-mail addresses."""

from __future__ import annotations

import phonenumbers
import pytest

from adapters.mapping import telecom
from store.preference import Phone

PHONES = (
    Phone("+12175550101", "home", "(217) 555-0101"),
    Phone("+12175550102", "cell", "217-555-0102"),
    Phone("+12175550103", "work", "+1 217 555 0103"),
)


@pytest.mark.parametrize(
    ("raw", "region", "number"),
    [
        ("(217)555-0123", "US", "+12175550123"),
        ("217.555.0123", "CA", "+12175550123"),
        ("1-217-555-0123", "US", "+12175550123"),
        ("+1 (217) 555-0123", None, "+12175550123"),
        ("tel:+1-217-555-0123", None, "+12175550123"),
        ("tel:+1-217-555-0123;ext=7", None, "+12175550123"),
        ("(217)555-0123X22", "US", "+12175550123"),
        ("217-555-0123 ext. 22", "US", "+12175550123"),
        ("217-555-0123,,22", "US", "+12175550123"),
        ("Cell: 217 555 0123", "US", "+12175550123"),
        ("2175550123 do not call", "US", "+12175550123"),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("0044 20 7946 0018", "US", "+442079460018"),
        ("0044 20 7946 0018", "GB", "+442079460018"),
        ("0044 20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("030 123456", "DE", "+4930123456"),
    ],
)
def test_numbers_become_e164(raw: str, region: str | None, number: str) -> None:
    assert telecom.e164(raw, region) == number


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("", "US"),
        ("none", "US"),
        ("1-800-Dentist", "US"),
        ("1-800-FLOWERS", "US"),
        ("555-0123", "US"),
        ("117-555-0123", "US"),
        ("217-155-0123", "US"),
        ("+1 117 555 0123", None),
        ("2175550123", None),
        ("12175550123", None),
        ("217-555-0123 217-555-0124", "US"),
        ("99999", "US"),
        ("+999 123456789", None),
    ],
)
def test_incomplete_numbers_are_refused(raw: str, region: str | None) -> None:
    assert telecom.e164(raw, region) is None


def test_a_number_is_mobile_only_by_its_numbering_plan() -> None:
    assert telecom.is_mobile("+447400123456")
    assert not telecom.is_mobile("+442079460018")
    assert not telecom.is_mobile("+12175550123")
    assert not telecom.is_mobile("nothing")


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("pat@example.org", "pat@example.org"),
        (" pat@example.org ", "pat@example.org"),
        ("mailto:pat@example.org?subject=x", "pat@example.org"),
        ("pat.o'neil+x@mail.example.org", "pat.o'neil+x@mail.example.org"),
        ("pat@example", None),
        ("pat example@example.org", None),
        ("pat@@example.org", None),
        ("pat@example..org", None),
        ("@example.org", None),
        ("none", None),
        ("a@b.org;c@d.org", None),
        ("", None),
        ("x" * 250 + "@example.org", None),
    ],
)
def test_addresses_are_accepted_or_refused(raw: str, address: str | None) -> None:
    assert telecom.email(raw) == address


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("cell", "+12175550102"),
        ("Mobile", "+12175550102"),
        ("HOME", "+12175550101"),
        ("work", "+12175550103"),
        ("217-555-0102", "+12175550102"),
        ("+12175550103", "+12175550103"),
        ("+12175550199", "+12175550199"),
        ("217-555-0199", None),
        ("pager", None),
        ("", None),
    ],
)
def test_a_preferred_number_is_a_kind_or_a_number(value: str, number: str | None) -> None:
    assert telecom.resolve_preferred(value, PHONES) == number


def test_a_preferred_kind_without_such_a_phone_is_none() -> None:
    assert telecom.resolve_preferred("cell", PHONES[:1]) is None


def test_the_regions_of_the_north_american_plan_are_those_of_the_library() -> None:
    assert set(phonenumbers.region_codes_for_country_code(telecom.NANP_CODE)) == telecom.NANP_REGIONS
