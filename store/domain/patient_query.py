"""What a person means who looks for a patient: the text of one box, read as an identifier, phone, birth date and words of a name. Pure.

A text may mean several things (``20011990`` is a date, and a phone number in Norway), and each of them is looked for. Of a text with
several parts, like ``ana garcía 3/2/1980``, every part must fit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import NamedTuple

from store.domain.ids import parsed
from store.domain.phone_numbers import NORTH_AMERICA
from store.domain.search_entry import folded

LONGEST = 200
MOST_WORDS = 8
FEWEST_DIGITS = 6
"""A number of fewer digits is no phone number."""
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
MONTH_FIRST = NORTH_AMERICA - {"CA"} | {"PH", "FM", "MH", "PW"}
"""Regions in which 3/2/1980 is the second of March. In Canada it may be either."""
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d\d)", re.ASCII)
_COMPACT = re.compile(r"\d{8}", re.ASCII)
_YEAR = re.compile(r"(?:18|19|20)\d\d", re.ASCII)
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?", re.ASCII)
_NUMBER = re.compile(r"[+\d().\-/]+", re.ASCII)
_SPACING = re.compile(r"[\s.\-/]+")
_DASH = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_DIRECTION = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Marks of writing direction, and others without a width. Address books copy them with a number."""
_TEL = re.compile(r"^tel:\s*", re.IGNORECASE)
_EXTENSION = re.compile(r"(?<=\d)\s*(?:extension|ext\.?|x)\s*\d{1,6}$", re.ASCII | re.IGNORECASE)

ReadNumbers = Callable[[str], Sequence[str]]
"""The numbers (E.164) that a text may mean."""


class Person(NamedTuple):
    """A patient as described: one of the phone ``numbers`` (E.164), ``born`` at one of these, and a name with all these words.

    ``born`` are beginnings of ISO dates, ``words`` beginnings of folded words, each of another word of the name.
    """

    numbers: tuple[str, ...] = ()
    born: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class PatientQuery(NamedTuple):
    """What is looked for: the ``id``, an identifier of these ``values``, or one of these ``persons``.

    ``authority`` is the issuer of the identifier if it was given (``GENHOSP|123``).
    """

    id: str | None = None
    authority: str | None = None
    values: tuple[str, ...] = ()
    persons: tuple[Person, ...] = ()


def read(text: str, numbers: ReadNumbers, region: str | None, today: date) -> PatientQuery:
    """The meanings of a text. ``region`` decides about 3/2/1980."""
    plain = _plain(text)
    if parsed(plain) is not None:
        return PatientQuery(id=plain)
    authority, bar, value = plain.rpartition("|")
    if bar:
        return PatientQuery(authority=authority.strip() or None, values=_spellings(value.strip()))
    parts = _TEL.sub("", _EXTENSION.sub("", plain)).replace(",", " ").split()
    born, rest = _dates(parts, region, today)
    persons = [_person(born, rest, numbers)]
    if born and any(map(_COMPACT.fullmatch, parts)) and (other := _person((), parts, numbers)).numbers:
        persons.append(other)  # the date may be a phone number
    return PatientQuery(values=_spellings(plain), persons=tuple(one for one in persons if any(one)))


def _plain(text: str) -> str:
    """The text as a keyboard writes it. What is copied from elsewhere has other dashes and digits, and marks that nobody sees."""
    seen = _DASH.sub("-", _DIRECTION.sub("", text))
    return " ".join("".join(str(unicodedata.decimal(one, one)) for one in seen).split())


def _person(born: tuple[str, ...], parts: list[str], read_numbers: ReadNumbers) -> Person:
    numbers, rest = _numbers(parts, read_numbers)
    return Person(numbers, born, tuple(word for part in rest for word in folded(part))[:MOST_WORDS])


def _spellings(value: str) -> tuple[str, ...]:
    """An identifier as typed, and as it may be kept: without spaces and hyphens, in capitals."""
    compact = _SPACING.sub("", value)
    return tuple(dict.fromkeys(one for one in (value, compact, value.upper(), compact.upper()) if one))


def _dates(parts: list[str], region: str | None, today: date) -> tuple[tuple[str, ...], list[str]]:
    """The first birth date among the parts of a text, and the other parts. A year alone is one if there is no other date."""
    for length, readings in ((3, _spelled_out), (1, _in_digits), (1, _year)):
        for place in range(len(parts) - length + 1):
            end = place + length
            if found := tuple(dict.fromkeys(readings(parts[place:end], region, today))):
                return found, parts[:place] + parts[end:]
    return (), parts


def _spelled_out(parts: list[str], region: str | None, today: date) -> Iterator[str]:
    """``3 Feb 1980``, ``February 3rd 1980``."""
    first, second, year = (part.casefold().rstrip(".") for part in parts)
    day, month = (first, _month(second)) if _month(second) else (second, _month(first))
    found = _DAY.fullmatch(day)
    if month and found and _YEAR.fullmatch(year):
        yield from _day(year, month, found[1], today)


def _month(text: str) -> str:
    """The number of a month by its name or the beginning of that; empty if it is none."""
    return next((str(number) for number, name in enumerate(MONTHS, 1) if len(text) > 2 and name.startswith(text)), "")


def _in_digits(parts: list[str], region: str | None, today: date) -> Iterator[str]:
    """``1980-02-03``, ``3/2/1980``, ``3.2.80``, ``19800203``, ``02031980``, ``1980-02``."""
    (part,) = parts
    if found := _YEAR_FIRST.fullmatch(part):
        yield from _day(found[1], found[2], found[3], today)
    elif found := _YEAR_LAST.fullmatch(part):
        first, _, second, year = found.groups()
        for written in (year,) if len(year) == 4 else (f"20{year}", f"19{year}"):
            yield from _in_either_order(first, second, written, region, today)
    elif _COMPACT.fullmatch(part):
        yield from _day(part[:4], part[4:6], part[6:], today)
        yield from _in_either_order(part[:2], part[2:4], part[4:], region, today)


def _in_either_order(first: str, second: str, year: str, region: str | None, today: date) -> Iterator[str]:
    """Month and day in the order of the region; in either order if that is not known, or if one of them can be no month."""
    if region in MONTH_FIRST or region in (None, "CA") or int(second) > 12:
        yield from _day(year, first, second, today)
    if region not in MONTH_FIRST or int(first) > 12:
        yield from _day(year, second, first, today)


def _year(parts: list[str], region: str | None, today: date) -> Iterator[str]:
    (part,) = parts
    if _YEAR.fullmatch(part) and int(part) <= today.year:
        yield part


def _day(year: str, month: str, day: str | None, today: date) -> Iterator[str]:
    """A day, or a month, of the past."""
    try:
        found = date(int(year), int(month), int(day or 1))
    except ValueError:
        return
    if found <= today:
        yield found.isoformat() if day else f"{found:%Y-%m}"


def _numbers(parts: list[str], read_numbers: ReadNumbers) -> tuple[tuple[str, ...], list[str]]:
    """The phone number that the parts without letters make together, and the other parts."""
    digits = [part for part in parts if _NUMBER.fullmatch(part)]
    together = " ".join(digits)
    if sum(one.isdigit() for one in together) < FEWEST_DIGITS or not (found := tuple(read_numbers(together))):
        return (), parts
    return found, [part for part in parts if part not in digits]
