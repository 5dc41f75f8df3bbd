"""Phone numbers, lines and e-mail addresses in one spelling, and those that a patient has on file. Pure.

An opt-out is looked up by its number and line, so each needs one spelling, however carriers and senders write it. The numbering plans are
a library's, passed in (``adapters.mapping.telecom.e164``). Without it a number counts only if it is in E.164 already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from store.domain.contact import ContactPreferences
from store.errors import ValueRefused
from store.preference import EMAIL, FAX, LISTS, PHONES, Assertion, Phone, base


def numbers_on_file(by_authority: Iterable[Mapping[str, Assertion]]) -> frozenset[str]:
    """The numbers and e-mail addresses that any authority lists for a patient, in force or not.

    ``by_authority``: the assertions of each.
    """
    found: set[str] = set()
    for assertions in by_authority:
        for name, one in assertions.items():
            if not name.startswith(LISTS) or not one.value:
                continue
            if base(name) == PHONES:
                found.update([phone.number for phone in one.value])
            elif base(name) == EMAIL:
                found.update([mailbox(address) for address in one.value])
    return frozenset(found)


def numbers_in_force(contact: ContactPreferences) -> list[str]:
    """The numbers and e-mail addresses in force."""
    numbers = [phone.number for phone in contact.phones]
    if contact.emails:
        numbers += [mailbox(address) for address in contact.emails]
    return numbers


def mailbox(address: str) -> str:
    """One spelling of an e-mail address. No provider known tells upper from lower case, and a refusal must not depend on it."""
    return address.strip().casefold()


def for_contact(phones: tuple[Phone, ...]) -> tuple[Phone, ...]:
    """The numbers without faxes, pagers and the like."""
    return tuple([phone for phone in phones if phone.kind != FAX])


ReadNumber = Callable[[str, str | None], str | None]
"""(a number as written, the region it is dialled from: ISO 3166-1 alpha-2) -> E.164, or ``None`` if it is not usable."""

SHORT_CODES = range(3, 8)
NORTH_AMERICAN_SHORT_CODES = range(5, 7)
"""How many digits a short code has; the common short codes of the US and of Canada have five or six."""
NORTH_AMERICA = frozenset({"US", "CA", "PR", "GU", "VI", "AS", "MP"})
_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PUNCTUATION = re.compile(r"[\s().-]+")


def is_e164(text: str) -> bool:
    """Whether the text is a number in E.164."""
    return _E164.fullmatch(text) is not None


def in_full(text: str, region: str | None) -> str | None:
    """The number if it is in E.164 already: all that can be recognized without numbering plans."""
    return text if is_e164(text) else None


class Numbering:
    """Reads numbers in one enterprise. ``region``: where numbers without a country code are dialled from."""

    __slots__ = ("_read", "_region")

    def __init__(self, region: str | None, read: ReadNumber = in_full) -> None:
        self._region, self._read = region, read

    def candidates(self, text: str) -> tuple[str, ...]:
        """Each number that the text may mean, the one in the own region first; empty if it is no number.

        Carriers omit the plus, clinics the country code: ``4794234567`` is a number in Norway and one in Arkansas.
        """
        plain = text.strip()
        if is_e164(plain):
            return (plain,) if self._read(plain, None) is not None else ()
        domestic = self._read(plain, self._region)
        international = None if plain.startswith(("+", "00")) else self._read(f"+{plain}", None)
        return tuple(dict.fromkeys(one for one in (domestic, international) if one is not None))

    def line(self, text: str) -> str:
        """One spelling of a line: ``+12175550100`` for ``(217) 555-0100`` in the US and for ``12175550100`` anywhere.

        A short code stays as it is. Raises :class:`ValueRefused` for anything else: read as another line, it would hide an opt-out. A
        sender's name receives no replies, so it is not a line.
        """
        spelled = self.spelled(text)
        if spelled is None:
            raise ValueRefused("line must be a phone number in E.164, like +12175550100, or a short code")
        return spelled

    def check(self, number: str) -> None:
        """Raises :class:`ValueRefused` for a number in E.164 that is in no numbering plan, like one that is a digit short."""
        if self._read(number, None) is None:
            raise ValueRefused("preferred_phone must be a phone number in E.164, like +12175550100")

    def spelled(self, text: str) -> str | None:
        """The same, but ``None`` for what is no line."""
        plain = text.strip()
        if is_e164(plain):
            return self._read(plain, None)
        digits = _PUNCTUATION.sub("", plain)
        if digits.isascii() and digits.isdigit() and len(digits) in self._short_codes:
            return digits
        if plain.startswith(("+", "00")):
            return self._read(f"+{digits.removeprefix('+').removeprefix('00')}", None)
        candidates = self.candidates(plain)
        return candidates[0] if candidates else None

    @property
    def _short_codes(self) -> range:
        return NORTH_AMERICAN_SHORT_CODES if self._region in NORTH_AMERICA else SHORT_CODES
