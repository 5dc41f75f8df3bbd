"""A field of telecommunication numbers (XTN) in every generation. Pure.

Source: HL7 v2.9 chapter 2A, data type XTN; tables 0201 (use) and 0202 (equipment); v2-to-FHIR "Data type XTN to
ContactPoint" for the order in which a number is looked for: put together from components 5, 6 and 7 when 7 is valued,
else 12, else 1.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

from adapters import telecom
from adapters.hl7v2 import timestamp
from adapters.hl7v2.reader import DELETE, Message
from adapters.hl7v2.unusable import Unusable
from store.preference import EMAIL, PHONES, Phone, PhoneKind, Problem

CELL = PhoneKind.CELL.value
USE = {
    "PRN": PhoneKind.HOME.value,
    "WPN": PhoneKind.WORK.value,
    "PRS": CELL,
    **{"HOME": "home", "WORK": "work", "CELL": CELL, "MOBILE": CELL, "CP": CELL},  # not in table 0201, but sent
    "ORN": PhoneKind.OTHER.value,
    "VHN": PhoneKind.OTHER.value,
    "ASN": PhoneKind.OTHER.value,
    "EMR": PhoneKind.OTHER.value,
}
NOT_A_PHONE = frozenset({"FX", "BP", "BPN", "MD", "SAT", "TDD", "TTY"})
ADDRESSES = (0, 3, 5, 6, 11)  # the components, from 0, that hold a number or an address
READ = frozenset((*ADDRESSES, 1, 2, 4, 12, 13, 17))  # those that are read here; what stands in others may be anything
UNORDERED = 1_000_000  # behind everything that has a preference order
_ABSENT = [""] * 18
MAIL = frozenset({"NET", "INTERNET", "X.400"})


class Codes(NamedTuple):
    """What use and equipment say. ``kind`` is empty when they do not say what the number is for."""

    kind: str
    is_phone: bool
    is_mail: bool


@lru_cache(maxsize=1024)
def codes(use: str, equipment: str) -> Codes:
    """XTN.2 and XTN.3 in our words, without regard to case."""
    use, equipment = use.strip().upper(), equipment.strip().upper()
    kind = CELL if equipment == "CP" else USE.get(use, PhoneKind.OTHER.value) if use else ""
    return Codes(kind, use not in NOT_A_PHONE and equipment not in NOT_A_PHONE, use in MAIL or equipment in MAIL)


class Telecoms(NamedTuple):
    """What a field says. ``stated`` is false when it holds separators and codes but neither number nor address.

    ``phones`` in the order sent; ``preferred`` are (preference order, number, path), the lowest order is the most preferred.
    """

    stated: bool
    phones: tuple[Phone, ...]
    emails: tuple[str, ...]
    preferred: tuple[tuple[int, str, str], ...]
    problems: tuple[Problem, ...]


class TelecomReader:
    """Reads XTN fields of one source. ``region`` is where numbers without a country code are dialled from."""

    def __init__(self, region: str | None) -> None:
        self._region = region

    def read(self, message: Message, field: str, path: str, kind: str, today: date) -> Telecoms:
        """What a field says. ``kind`` is what its numbers are for when they do not say; ``today`` drops what has ended."""
        said = _Said(path)
        plain = DELETE not in field and message.delimiters.escape not in field and not message.damaged
        for number, repetition in enumerate(field.split(message.delimiters.repetition), 1):
            if repetition:
                parts = repetition.split(message.delimiters.component)
                cleaned = parts + _ABSENT[len(parts) :] if plain else _cleaned(message, parts, said, number)
                if cleaned is not None:
                    self._hear(said, number, cleaned, kind, today)
        return said.result()

    def number(self, message: Message, repetition: str) -> str | None:
        """The number of one repetition in E.164, in use or not; ``None`` when it is no usable phone."""
        parts = _cleaned(message, repetition.split(message.delimiters.component), _Said(""), 1)
        if parts is None:
            return None
        coded = codes(parts[1], parts[2])
        return self._number(parts)[1] if coded.is_phone and not coded.is_mail else None

    def _hear(self, said: _Said, number: int, parts: list[str], kind: str, today: date) -> None:
        coded = codes(parts[1], parts[2])
        text = parts[0]
        address = parts[3] or (text if coded.is_mail or "@" in text else "")
        dialled = parts[6] or parts[11] or (text if text != address else "")
        if not address and not dialled:
            return
        said.stated = True
        if parts[13] and _ended(parts[13], today):
            return
        order = int(parts[17]) if parts[17].isdecimal() and len(parts[17]) < 10 else None
        if address:
            said.email(number, address, order)
        if dialled and coded.is_phone and not (coded.is_mail and address):
            said.phone(number, self._phone(parts, coded.kind or kind, order))

    def _phone(self, parts: list[str], kind: str, order: int | None) -> Phone | None:
        raw, number = self._number(parts)
        if number is None:
            return None
        textable = kind == CELL or (number[:2] != "+1" and telecom.is_mobile(number))
        return Phone(number, kind, raw, order, textable, _iso(parts[12]), _iso(parts[13]))

    def _number(self, parts: list[str]) -> tuple[str, str | None]:
        """The number as written and in E.164: the first of the generations that gives a usable one."""
        region = self._region
        if parts[6]:
            raw = f"{parts[5]} {parts[6]}" if parts[5] else parts[6]
            country = parts[4].lstrip("+0")
            if country.isdecimal() and parts[6][0] != "+":
                raw = f"+{country} {raw}"
            elif len(country) == 2 and country.isalpha():
                region = country.upper()
            number = telecom.e164(raw, region)
            if number is not None:
                return raw, number
        for raw in (parts[11], parts[0]):
            if raw:
                number = telecom.e164(raw, region)
                if number is not None:
                    return raw, number
        return "", None


class _Said:
    """What the repetitions of the field at ``path`` have said so far."""

    __slots__ = ("emails", "path", "phones", "preferred", "problems", "stated")

    def __init__(self, path: str) -> None:
        self.path, self.stated = path, False
        self.phones: list[Phone] = []
        self.emails: list[tuple[int, str]] = []
        self.preferred: list[tuple[int, str, str]] = []
        self.problems: list[Problem] = []

    def email(self, number: int, text: str, order: int | None) -> None:
        address = telecom.email(text)
        if address is None:
            self.problems.append(Problem("email_unusable", f"{self.path}[{number}]", "this is not an e-mail address", EMAIL))
        else:
            self.emails.append((UNORDERED if order is None else order, address))

    def illegible(self, problem: Problem) -> None:
        self.stated = True
        self.problems.append(problem)

    def phone(self, number: int, phone: Phone | None) -> None:
        if phone is None:
            self.problems.append(Problem("phone_unusable", f"{self.path}[{number}]", "this cannot be made a number in E.164", PHONES))
            return
        self.phones.append(phone)
        if phone.rank is not None:
            self.preferred.append((phone.rank, phone.number, f"{self.path}[{number}].18"))

    def result(self) -> Telecoms:
        if len(self.emails) > 1:
            self.emails.sort(key=lambda one: one[0])  # stable: without a preference order, as sent
        emails = tuple([address for _, address in self.emails])
        return Telecoms(self.stated, tuple(self.phones), emails, tuple(self.preferred), tuple(self.problems))


def _cleaned(message: Message, parts: list[str], said: _Said, number: int) -> list[str] | None:
    """The 18 components, unescaped; a deleted one is as empty as one that is not there. ``None``: one that is read here is no text.

    Deleting a number or an address (``^PRN^PH^""``) states the list, deleting a code beside it does not.
    """
    said.stated = said.stated or any(parts[at] == DELETE for at in ADDRESSES if at < len(parts))
    out = list(_ABSENT)
    for at in sorted(READ):
        if at < len(parts) and parts[at] != DELETE:
            try:
                out[at] = message.unescape(parts[at])
            except Unusable as error:
                said.illegible(error.problem(f"{said.path}[{number}].{at + 1}", EMAIL if _is_mail(parts) else PHONES))
                return None
    return out


def _is_mail(parts: list[str]) -> bool:
    """Whether a repetition that is not legible throughout looks like an address."""
    return any("@" in part for part in parts) or any(part.strip().upper() in MAIL for part in parts[1:3])


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today


def _iso(text: str) -> str | None:
    found = timestamp.day(text) if text else None
    return found.isoformat() if found else None
