"""Phone numbers and lines as carriers and senders write them, in one spelling. Pure.

An opt-out is found again by its number and line, so each has one spelling: E.164. The numbering plans are a library's, handed in
(``adapters.telecom.e164``); without it a number counts only where it is in E.164 already.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ReadNumber = Callable[[str, str | None], str | None]
"""A number as it is written, and the region it is dialled from (ISO 3166-1 alpha-2) -> E.164, or ``None``: not usable."""

LONGEST_SHORT_CODE = 7
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PUNCTUATION = re.compile(r"[\s().-]+")


def is_e164(text: str) -> bool:
    """Whether the number is in E.164 as it is."""
    return _E164.fullmatch(text) is not None


def in_full(text: str, region: str | None) -> str | None:
    """The number where it is in E.164 already: all that can be told without numbering plans."""
    return text if is_e164(text) else None


class Numbering:
    """How numbers are read in one enterprise. ``region`` is where those without a country code are dialled from."""

    __slots__ = ("_read", "_region")

    def __init__(self, region: str | None, read: ReadNumber = in_full) -> None:
        self._region, self._read = region, read

    def meant(self, text: str) -> tuple[str, ...]:
        """Every number that may be meant, the one of the own region first. Empty for what is no number.

        Carriers leave out the plus, clinics the country code: ``4794234567`` is a number of Norway and one of Arkansas.
        """
        plain = text.strip()
        if is_e164(plain):
            return (plain,)
        at_home = self._read(plain, self._region)
        abroad = None if plain.startswith(("+", "00")) else self._read(f"+{plain}", None)
        return tuple(dict.fromkeys(one for one in (at_home, abroad) if one is not None))

    def line(self, text: str) -> str:
        """One spelling of a line: ``+12175550100`` for ``(217) 555-0100`` in the US and for ``12175550100`` anywhere.

        Short codes pass as they are, senders' names in capitals.
        """
        if is_e164(text):
            return text
        key = _PUNCTUATION.sub("", text).upper()
        digits = key.removeprefix("+")
        if not digits.isdigit() or len(digits) <= LONGEST_SHORT_CODE:
            return key
        meant = self.meant(text)
        return meant[0] if meant else f"+{digits[2:] if key.startswith('00') else digits}"
