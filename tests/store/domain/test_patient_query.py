"""What the text of the search box means, as a table; and that nothing that is typed breaks it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mapping.telecom import e164
from store.domain import patient_query, search_entry
from store.domain.patient_query import PatientQuery, Person
from store.domain.phone_numbers import Numbering

TODAY = date(2026, 11, 2)
PHONE = "+12175550101"


def read(text: str, region: str | None = "US") -> PatientQuery:
    return patient_query.read(text, Numbering(region, e164).candidates, region, TODAY)


def person(text: str, region: str | None = "US") -> Person:
    """The only person that a text describes."""
    (found,) = read(text, region).persons
    return found


@pytest.mark.parametrize(
    "text",
    [
        "2175550101", "217-555-0101", "(217) 555-0101", "217.555.0101", "217 555 0101", "+1 217 555 0101", "12175550101", "1-217-555-0101",
        "+12175550101", "  217 555  0101 ", "001 217 555 0101", "217/555-0101", "217\u2013555\u20130101",
        "217\u2011555\u20110101", "217\u2212555\u22120101", "\u202a+1 217 555 0101\u202c", "\u200e(217)\u00a0555\u20110101",
        "٢١٧٥٥٥٠١٠١", "tel:+12175550101", "217-555-0101 ext. 3", "+1 (217) 555 0101 x34", "217-555-0101x34", "2175550101 EXTENSION 5",
    ],
)  # fmt: skip
def test_a_phone_is_read_in_any_spelling(text: str) -> None:
    assert person(text) == Person(numbers=(PHONE,))


@pytest.mark.parametrize(
    ("text", "region", "born"),
    [
        ("1980-02-03", "US", ("1980-02-03",)),
        ("1980/2/3", "US", ("1980-02-03",)),
        ("1980.02.03", None, ("1980-02-03",)),
        ("2/3/1980", "US", ("1980-02-03",)),
        ("2/3/1980", "GB", ("1980-03-02",)),
        ("2/3/1980", None, ("1980-02-03", "1980-03-02")),
        ("2/3/1980", "CA", ("1980-02-03", "1980-03-02")),
        ("23/2/1980", "US", ("1980-02-23",)),
        ("2/23/1980", "DE", ("1980-02-23",)),
        ("3.2.1980", "DE", ("1980-02-03",)),
        ("2-3-80", "US", ("1980-02-03",)),
        ("2/3/25", "US", ("2025-02-03", "1925-02-03")),
        ("19800203", "US", ("1980-02-03",)),
        ("02031980", "US", ("1980-02-03",)),
        ("1980\u201302\u201303", "US", ("1980-02-03",)),
        ("\u200f٣.٢.١٩٨٠", "DE", ("1980-02-03",)),
        ("3 Feb 1980", "US", ("1980-02-03",)),
        ("feb 3, 1980", "US", ("1980-02-03",)),
        ("February 3rd 1980", "GB", ("1980-02-03",)),
        ("3 Sept. 1980", "GB", ("1980-09-03",)),
        ("1980-02", "US", ("1980-02",)),
        ("1980", "US", ("1980",)),
    ],
)
def test_a_birth_date_is_read_as_people_write_it(text: str, region: str | None, born: tuple[str, ...]) -> None:
    assert person(text, region) == Person(born=born)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("García", ("garcia",)),
        ("garcia, ana", ("garcia", "ana")),
        ("  ANA   gar ", ("ana", "gar")),
        ("O'Brien", ("obrien",)),
        ("O’Brien", ("obrien",)),  # noqa: RUF001
        ("García-López", ("garcia", "lopez")),
        ("Łukasz Øster", ("lukasz", "oster")),
        ("Müller", ("muller",)),
        ("Straße", ("strasse",)),
        ("ＡＮＡ", ("ana",)),  # noqa: RUF001
        ("Иванов", ("иванов",)),
        ("Ñuñez", ("nunez",)),
        ("May", ("may",)),
        ("s", ("s",)),
    ],
)
def test_words_of_a_name_are_folded(text: str, words: tuple[str, ...]) -> None:
    assert person(text) == Person(words=words)


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("garcia 2/3/1980", Person(born=("1980-02-03",), words=("garcia",))),
        ("2/3/1980, Ana García", Person(born=("1980-02-03",), words=("ana", "garcia"))),
        ("ana 1980", Person(born=("1980",), words=("ana",))),
        ("June 1980", Person(born=("1980",), words=("june",))),
        ("ana 217-555-0101", Person(numbers=(PHONE,), words=("ana",))),
        ("ana (217) 555 0101 2/3/1980", Person((PHONE,), ("1980-02-03",), ("ana",))),
        ("1 2", Person(words=("1", "2"))),
    ],
)
def test_parts_are_read_together(text: str, described: Person) -> None:
    assert described in read(text).persons


def test_what_may_be_a_date_or_a_phone_is_looked_for_as_both() -> None:
    assert read("20011990", "NO").persons == (Person(born=("1990-01-20",)), Person(numbers=("+4720011990",)))


@pytest.mark.parametrize(
    ("text", "authority", "values"),
    [
        ("MRN10001", None, ("MRN10001",)),
        ("mrn10001", None, ("mrn10001", "MRN10001")),
        ("943 476 5919", None, ("943 476 5919", "9434765919")),
        ("ab-12", None, ("ab-12", "ab12", "AB-12", "AB12")),
        ("ab\u201312", None, ("ab-12", "ab12", "AB-12", "AB12")),
        ("123456 x7", None, ("123456 x7", "123456x7", "123456 X7", "123456X7")),
        ("GENHOSP|123", "GENHOSP", ("123",)),
        ("|123", None, ("123",)),
        ("a|b|123", "a|b", ("123",)),
        ("GENHOSP|", "GENHOSP", ()),
    ],
)
def test_an_identifier_is_looked_for_as_typed_and_in_its_usual_spelling(text: str, authority: str | None, values: tuple[str, ...]) -> None:
    found = read(text)
    assert (found.authority, found.values) == (authority, values)
    assert not authority or not found.persons, "an issuer leaves no doubt"


@pytest.mark.parametrize("text", ["2/30/1980", "1/1/2199", "13/13/1980", "1980-13", "00000000", "2101"])
def test_no_date_is_made_of_what_is_none(text: str) -> None:
    assert not any(one.born for one in read(text).persons)


def test_the_stores_own_id_is_nothing_else() -> None:
    assert read(" pt_00000000000000aa ") == PatientQuery(id="pt_00000000000000aa")


@given(st.text(max_size=200), st.sampled_from(["US", "GB", "NO", None]))
def test_any_text_is_read(text: str, region: str | None) -> None:
    found = read(text, region)
    assert all(search_entry.folded(word) == (word,) for one in found.persons for word in one.words)
    assert len(found.persons) <= 2


NAMES = st.text(st.characters(codec="utf-8"), max_size=60)


@given(NAMES, st.sampled_from([None, "1980", "1980-02", "1980-02-03"]))
def test_a_patient_is_found_by_the_own_name_in_any_order_and_by_each_beginning(name: str, born: str | None) -> None:
    entry = search_entry.entry(name, born)
    words = search_entry.folded(name)
    assert search_entry.fits(entry, tuple(reversed(words))) or len(entry) > search_entry.LONGEST_ENTRY
    assert all(search_entry.fits(entry, (word[: len(word) // 2 + 1],)) for word in words[:2])
    assert len(entry) <= search_entry.LONGEST_ENTRY + 11
    assert (born in search_entry.tokens(entry)) is (born is not None) or born is None


def test_each_word_that_is_typed_needs_a_word_of_its_own() -> None:
    entry = search_entry.entry("Martha Maier", None)
    assert search_entry.fits(entry, ("ma", "mar"))
    assert search_entry.fits(entry, ("mai", "ma"))
    assert not search_entry.fits(entry, ("mar", "mart"))
    assert not search_entry.fits(entry, ("ma", "ma", "ma"))
