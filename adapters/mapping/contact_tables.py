"""Meanings of the codes, remarks and placeholders that come with telephone numbers and addresses. Pure.

The tables are data that a site can extend: ``tables/contact.yaml`` and ``placeholder_contacts.txt`` (with their sources).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from adapters.mapping.tables import table
from store.preference import CONSENT, EMAIL, PHONES, PhoneKind, Problem

KINDS = frozenset({PhoneKind.CELL.value, PhoneKind.HOME.value, PhoneKind.WORK.value, PhoneKind.OTHER.value})
PHONE, MAIL, NO_PHONE = "phone", "email", "none"
MEANINGS = (*sorted(KINDS), PHONE, MAIL, NO_PHONE)
"""The meanings that a code of use or equipment may have."""

WRONG_NUMBER, NOTED, NOTHING = "wrong_number", "noted", "nothing"
VOICE, SMS = f"{CONSENT}voice", f"{CONSENT}sms"
REFUSES = {"no_calls": (VOICE,), "no_texts": (SMS,), "neither": (VOICE, SMS)}
REMARKS = (*REFUSES, WRONG_NUMBER, NOTED, NOTHING)
"""The meanings that a remark may have. ``noted``: it is reported and the number is used. ``nothing``: it is not reported."""

REMARKED = {
    NOTED: Problem("phone_remark", "", "a comment on the number was not understood; the number is used"),
    WRONG_NUMBER: Problem("phone_wrong", "", "a comment marks the number as wrong or out of service, so it is not used", PHONES),
}
REFUSED = Problem("phone_refused", "", "a comment forbids calls or texts to the number and is applied")
REFUSED_UNUSABLE = "a comment forbids calls or texts, but its number cannot be used"
PLACEHOLDER = Problem("phone_placeholder", "", "this is a placeholder for an unknown number", PHONES)
PLACEHOLDER_ADDRESS = Problem("email_placeholder", "", "this is a placeholder for an unknown address", EMAIL)

SAME_DIGIT = 7
"""A number of at least this many digits that are all the same is a placeholder."""

_NOT_DIGITS = re.compile(r"\D+", re.ASCII)
_WORDS = re.compile(r"[^\W\d_]+")
_LETTER = re.compile(r"[^\W\d_]")


class ContactCodes(NamedTuple):
    """The meaning of use and equipment. ``kind`` is empty if they do not state what the number is for."""

    kind: str
    is_phone: bool
    is_mail: bool


class ContactTables:
    """The tables of one source. ``own`` are the site's ``use``, ``equipment``, ``remarks`` and ``placeholders``."""

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        own = own or {}
        self._use, self._equipment = (_joined(name, own) for name in ("use", "equipment"))
        self._remarks = _folded(table("contact")["remarks"]) | _folded(own.get("remarks") or {})
        self._placeholders = _placeholders((*_listed(), *(own.get("placeholders") or ())))
        self.codes = lru_cache(maxsize=1024)(self._codes)
        self.remark = lru_cache(maxsize=1024)(self._remark)

    def knows_use(self, code: str) -> bool:
        """Whether the code of XTN.2 is in the table; an unknown one counts as ``other``."""
        return code.strip().upper() in self._use

    def knows_equipment(self, code: str) -> bool:
        """Whether the code of XTN.3 is in the table; an unknown one counts as ``phone``."""
        return code.strip().upper() in self._equipment

    def _codes(self, use: str, equipment: str) -> ContactCodes:
        """The meaning of XTN.2 and XTN.3, without regard to case. An unknown use counts as ``other``."""
        use, equipment = use.strip().upper(), equipment.strip().upper()
        by_use = self._use.get(use, PhoneKind.OTHER.value) if use else ""
        by_equipment = self._equipment.get(equipment, PHONE)
        found = (by_equipment, by_use) if by_equipment == PhoneKind.CELL else (by_use, by_equipment)
        kind = next((one for one in found if one in KINDS), "")
        return ContactCodes(kind, NO_PHONE not in found, MAIL in found)

    def _remark(self, text: str) -> str:
        """The meaning of the words in a text next to a number: one of :data:`REMARKS`, or empty if there is nothing to report."""
        words = [word.casefold() for word in _WORDS.findall(text)]
        padded = f" {' '.join(words)} "
        meant = next((meaning for phrase, meaning in self._remarks.items() if f" {phrase} " in padded), "")
        if meant == NOTHING:
            return ""
        if meant:
            return NOTED if meant in REFUSES and not _limiting_words().isdisjoint(words) else meant
        return "" if _labels().issuperset(words) else NOTED

    def is_placeholder(self, text: str) -> bool:
        """Whether a number (in E.164, or as written) or an address is a placeholder for an unknown one."""
        known = self._placeholders
        if "@" in text:
            address = text.strip().casefold()
            name, _, domain = address.rpartition("@")
            return name in known.names or domain in known.domains or known.addresses.fullmatch(address) is not None
        if text.startswith("+1") and text.count(text[-1]) < SAME_DIGIT:
            return text[2:] in known.numbers
        digits = _NOT_DIGITS.sub("", text)
        national = digits[1:] if text.startswith("+1") else digits
        return not known.numbers.isdisjoint((digits, national)) or any(_is_one_digit(one) for one in (digits, national))


def has_words(text: str) -> bool:
    """Whether there is a letter in the text."""
    return text.lower() != text.upper() if text.isascii() else _LETTER.search(text) is not None


def _is_one_digit(digits: str) -> bool:
    return len(digits) >= SAME_DIGIT and len(set(digits)) == 1


@lru_cache(maxsize=1024)
def region(country: str) -> str | None:
    """The region (ISO 3166-1 alpha-2) of a country code or name; ``None`` if it is not one."""
    text = country.strip().upper()
    found = table("contact")["country"].get(text)
    return str(found) if found else text if len(text) == 2 and text.isascii() and text.isalpha() else None


def _joined(name: str, own: Mapping[str, Any]) -> dict[str, str]:
    return {**table("contact")[name], **{code.strip().upper(): str(meaning) for code, meaning in (own.get(name) or {}).items()}}


def _folded(remarks: Mapping[str, Any]) -> dict[str, str]:
    return {" ".join(word.casefold() for word in _WORDS.findall(phrase)): str(meaning) for phrase, meaning in remarks.items()}


class _Placeholders(NamedTuple):
    """Numbers by their digits. Addresses by local part alone (``none@*``), by domain alone (``*@none.com``), or by pattern."""

    numbers: frozenset[str]
    names: frozenset[str]
    domains: frozenset[str]
    addresses: re.Pattern[str]


def _placeholders(lines: Iterable[str]) -> _Placeholders:
    written = [line.strip().casefold() for line in lines]
    parts = [(line, *line.rpartition("@")[::2]) for line in written if "@" in line]
    names = {name for _, name, domain in parts if domain == "*" and "*" not in name}
    domains = {domain for _, name, domain in parts if name == "*" and "*" not in domain}
    others = [translate(line) for line, name, domain in parts if name not in names and domain not in domains]
    numbers = {digits for line in written if "@" not in line and (digits := _NOT_DIGITS.sub("", line))}
    return _Placeholders(frozenset(numbers), frozenset(names), frozenset(domains), re.compile("|".join(others)))


@cache
def _listed() -> tuple[str, ...]:
    lines = files("adapters.mapping").joinpath("placeholder_contacts.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def _labels() -> frozenset[str]:
    return frozenset(table("contact")["labels"].split())


@cache
def _limiting_words() -> frozenset[str]:
    return frozenset(table("contact")["some"].split())


@cache
def standard() -> ContactTables:
    """The tables without entries of a site."""
    return ContactTables()
