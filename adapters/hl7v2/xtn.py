"""A field of telecommunication numbers (XTN) in every generation. Pure.

Source: HL7 v2.9 chapter 2A, data type XTN; tables 0201 (use) and 0202 (equipment); v2-to-FHIR "Data type XTN to
ContactPoint" for the order in which a number is looked for: put together from components 5, 6 and 7 when 7 is valued,
else 12, else 1.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from adapters import telecom
from adapters.hl7v2 import timestamp
from adapters.hl7v2.reader import DELETE, Message
from store.preference import Phone, PhoneKind, Problem

USE = {
    "PRN": PhoneKind.HOME.value,
    "WPN": PhoneKind.WORK.value,
    "PRS": PhoneKind.CELL.value,
    "ORN": PhoneKind.OTHER.value,
    "VHN": PhoneKind.OTHER.value,
    "ASN": PhoneKind.OTHER.value,
    "EMR": PhoneKind.OTHER.value,
}
CELL = PhoneKind.CELL.value
NOT_A_PHONE = frozenset({"FX", "BP", "BPN", "MD", "TDD", "TTY"})
MAIL = frozenset({"NET", "INTERNET", "X.400"})


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
        stated = False
        phones: list[Phone] = []
        emails: list[tuple[int, str]] = []
        preferred: list[tuple[int, str, str]] = []
        problems: list[Problem] = []
        component = message.delimiters.component
        escaped = message.delimiters.escape in field
        for number, repetition in enumerate(field.split(message.delimiters.repetition), 1):
            if not repetition:
                continue
            parts = repetition.split(component)
            parts += [""] * (18 - len(parts))
            if DELETE in repetition:
                stated = stated or repetition == DELETE or any(parts[at] == DELETE for at in (0, 3, 5, 6, 11))
                parts = ["" if part == DELETE else part for part in parts]
            if escaped:
                parts = [message.unescape(part) for part in parts]
            use, equipment = parts[1].strip().upper(), parts[2].strip().upper()
            address = parts[3] or (parts[0] if "@" in parts[0] or use in MAIL or equipment in MAIL else "")
            dialled = "" if address and address == parts[0] else parts[6] or parts[11] or parts[0]
            if not address and not dialled:
                continue
            stated = True
            if parts[13] and _ended(parts[13], today):
                continue
            order = int(parts[17]) if parts[17].isdecimal() else None
            if address:
                mail = telecom.email(address)
                if mail is None:
                    problems.append(Problem("email_unusable", f"{path}[{number}]", "this is not an e-mail address"))
                else:
                    emails.append((1_000_000 if order is None else order, mail))
            if dialled and use not in NOT_A_PHONE and equipment not in NOT_A_PHONE and not (address and (use in MAIL or equipment in MAIL)):
                phone = self._phone(parts, use, equipment, kind, order)
                if phone is None:
                    problems.append(Problem("phone_unusable", f"{path}[{number}]", "this cannot be made a number in E.164"))
                else:
                    phones.append(phone)
                    if order is not None:
                        preferred.append((order, phone.number, f"{path}[{number}].18"))
        if len(emails) > 1:
            emails.sort(key=lambda one: one[0])  # stable: without a preference order, as sent
        return Telecoms(stated, tuple(phones), tuple([mail for _, mail in emails]), tuple(preferred), tuple(problems))

    def _phone(self, parts: list[str], use: str, equipment: str, kind: str, order: int | None) -> Phone | None:
        raw, number = self._number(parts)
        if number is None:
            return None
        kind = CELL if equipment == "CP" else USE.get(use, kind if not use else PhoneKind.OTHER.value)
        textable = kind == CELL or (not number.startswith("+1") and telecom.is_mobile(number))
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


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today


def _iso(text: str) -> str | None:
    found = timestamp.day(text) if text else None
    return found.isoformat() if found else None
