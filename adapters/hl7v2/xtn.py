"""A field of telecommunication numbers (XTN) in every generation. Pure.

Source: HL7 v2.9 chapter 2A, data type XTN; tables 0201 (use) and 0202 (equipment); v2-to-FHIR "Data type XTN to
ContactPoint" for the order in which a number is looked for: put together from components 5, 6 and 7 when 7 is valued,
else 12, else 1.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from adapters.hl7v2 import timestamp
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, Message
from adapters.mapping import contact_tables, telecom
from adapters.mapping.contact_tables import (
    NOBODYS_ADDRESS,
    PLACEHOLDER,
    REFUSED,
    REFUSED_NOWHERE,
    REFUSES,
    REMARKED,
    WRONG_NUMBER,
    ContactCodes,
    ContactTables,
    has_words,
)
from store.preference import EMAIL, FAX, PHONES, Phone, PhoneKind, Problem

CELL = PhoneKind.CELL.value
ADDRESSES = (0, 3, 5, 6, 11)  # the components, from 0, that hold a number or an address
NUMBERS = (6, 11, 0, 3)  # those that a number may be in; component 6 is its area
MAILED = (3, 0, 6, 11)  # those that an address may be in
READ = (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 17)  # those that a number or an address is read from; what stands in others may be anything
REMARK = 8
MAIL = ("NET", "INTERNET", "X.400")  # HL7 tables 0201 and 0202
UNORDERED = 1_000_000  # behind everything that has a preference order
FAR = timedelta(days=3653)  # an end beyond that is how some EMRs write that there is none
_ABSENT = [""] * 18
UNUSABLE = Problem("phone_unusable", "", "this cannot be converted to an E.164 number", PHONES)
NO_ADDRESS = Problem("email_unusable", "", "this is not an e-mail address", EMAIL)


class Telecoms(NamedTuple):
    """What a field says. A list is stated only if it holds something, or nothing that could not be used.

    ``phones`` in the order sent; ``faxes`` are the patient's numbers that are no telephones; ``preferred`` are (preference order, number,
    path), the lowest order is the most preferred; ``refused`` are (attribute, path) of consents that remarks deny; ``turns`` are the days
    ahead on which an entry begins or is over, with the list's attribute; ``wrong`` are numbers that a remark says are not the patient's.
    """

    states_phones: bool
    states_emails: bool
    phones: tuple[Phone, ...]
    emails: tuple[str, ...]
    preferred: tuple[tuple[int, str, str], ...]
    problems: tuple[Problem, ...]
    refused: tuple[tuple[str, str], ...] = ()
    turns: frozenset[tuple[date, str]] = frozenset()
    wrong: frozenset[str] = frozenset()
    faxes: tuple[Phone, ...] = ()

    @property
    def numbers(self) -> tuple[Phone, ...]:
        """All of the patient's numbers."""
        return self.phones + self.faxes


class TelecomReader:
    """Reads XTN fields of one source. ``region`` is where numbers without a country code are dialled from.

    ``is_text``: XTN.9 is a remark, as the standard has it, and not a code that the site's rules read.
    """

    def __init__(self, region: str | None, tables: ContactTables | None = None, *, is_text: bool = True) -> None:
        self._region, self._tables, self._is_text = region, tables or contact_tables.standard(), is_text

    def read(self, message: Message, field: str, path: str, kind: str, today: date) -> Telecoms:
        """What a field says. ``kind`` is what its numbers are for when they do not say; ``today`` drops what has ended."""
        said = _Said(path)
        plain = DELETE not in field and message.delimiters.escape not in field and not message.damaged
        for number, repetition in enumerate(field.split(message.delimiters.repetition), 1):
            if repetition:
                parts = repetition.split(message.delimiters.component)
                cleaned = parts + _ABSENT[len(parts) :] if plain else _cleaned(message, parts, said, number, is_text=self._is_text)
                if cleaned is not None:
                    self._hear(said, number, cleaned, kind, today)
        return said.result()

    def number(self, message: Message, repetition: str) -> str | None:
        """The number of one repetition in E.164, in use or not; ``None`` when it is no usable phone, or there are several."""
        parts = _cleaned(message, repetition.split(message.delimiters.component), _Said(""), 1, is_text=False)
        if parts is None:
            return None
        coded = self._tables.codes(parts[1], parts[2])
        found = self._numbers(parts) if coded.is_phone and not coded.is_mail else ()
        return found[0][1] if len(found) == 1 else None

    def _hear(self, said: _Said, number: int, parts: list[str], kind: str, today: date) -> None:
        texts = f"{parts[0]}{parts[3]}{parts[6]}{parts[11]}"
        if not texts:
            return
        coded = self._tables.codes(parts[1], parts[2])
        mail = _mail(parts, coded) if coded.is_mail or "@" in texts else ""
        said.stated = True
        if parts[12] or parts[13]:
            said.turn(parts, EMAIL if mail else PHONES, today)
            if parts[13] and _ended(parts[13], today):
                return
        order = int(parts[17]) if parts[17].isdecimal() and len(parts[17]) < 10 else None
        path = f"{said.path}[{number}]"
        if mail and not _begins_later(parts[12], today):
            for address in telecom.addresses(mail):
                said.email(address, order, path, self._tables)
        if coded.is_phone and (not mail or (not coded.is_mail and _has_number(parts))):
            self._dialled(said, parts, coded.kind or kind, order, path)
        elif not coded.is_phone:
            self._faxed(said, parts)

    def _dialled(self, said: _Said, parts: list[str], kind: str, order: int | None, path: str) -> None:
        """The numbers of one repetition. A remark is about each of them."""
        found = self._numbers(parts)
        beside = parts[6]
        if parts[0] or parts[8] or parts[11]:
            texts = (parts[0], beside, parts[8] if self._is_text else "", parts[11])
            beside = " ".join(text for text in texts if "@" not in text)
        remark = self._tables.remark(beside) if not beside.isdecimal() and has_words(beside) else ""
        for raw, number in found:
            if number is None or self._tables.is_placeholder(number):
                written = raw or parts[6] or parts[11] or parts[0]
                said.unusable(PLACEHOLDER if self._tables.is_placeholder(written) else UNUSABLE, path, remark)
            elif remark == WRONG_NUMBER:
                said.wrong.add(number)
                said.problem(REMARKED[remark], path)
            else:
                textable = kind == CELL or (number[:2] != "+1" and telecom.is_mobile(number))
                said.phone(Phone(number, kind, raw, order, textable, _iso(parts[12]), _iso(parts[13])), path)
                if remark:
                    said.remark(number, remark, path)

    def _faxed(self, said: _Said, parts: list[str]) -> None:
        """The numbers of a fax, a pager or the like; what else it holds is no number."""
        for raw, number in self._numbers(parts):
            if number is not None and not self._tables.is_placeholder(number):
                said.faxes[number] = Phone(number, FAX, raw, None, False, _iso(parts[12]), _iso(parts[13]))

    def _numbers(self, parts: list[str]) -> list[tuple[str, str | None]]:
        """The numbers as written and in E.164: of the first of the generations that gives a usable one."""
        region = contact_tables.region(parts[4]) or self._region if parts[4] else self._region
        found: list[tuple[str, str | None]] = []
        if parts[6] and "@" not in parts[6]:
            texts = (parts[6],) if parts[6].isdecimal() else telecom.several(parts[6].strip(), region)
            found = [_put_together(parts[4], parts[5], text, region) for text in texts]
            if found[0][1] is not None:
                return found
        for at in NUMBERS[1:]:
            if parts[at] and "@" not in parts[at] and not any(number for _, number in found):
                other = [(text, telecom.e164(text, region)) for text in telecom.several(parts[at], region)]
                found = other if not found or any(number for _, number in other) else found
        return found or [("", None)]


class _Said:
    """What the repetitions of the field at ``path`` have said so far."""

    __slots__ = ("emails", "faxes", "path", "phones", "preferred", "problems", "refused", "stated", "turns", "wrong")

    def __init__(self, path: str) -> None:
        self.path, self.stated = path, False
        self.phones: dict[tuple[str, str | None, str | None], Phone] = {}
        self.faxes: dict[str, Phone] = {}
        self.emails: list[tuple[int, str]] = []
        self.preferred: list[tuple[int, str, str]] = []
        self.problems: list[Problem] = []
        self.refused: list[tuple[str, str]] = []
        self.turns: set[tuple[date, str]] = set()
        self.wrong: set[str] = set()

    def email(self, text: str, order: int | None, path: str, tables: ContactTables) -> None:
        address = telecom.email(text)
        if address is None or tables.is_placeholder(address):
            self.problem(NO_ADDRESS if address is None else NOBODYS_ADDRESS, path)
        else:
            self.emails.append((UNORDERED if order is None else order, address))

    def illegible(self, problem: Problem) -> None:
        self.stated = True
        self.problems.append(problem)

    def phone(self, phone: Phone, path: str) -> None:
        known = self.phones.setdefault((phone.number, phone.start, phone.end), phone)
        if known is not phone and phone.kind == CELL and known.kind != CELL:
            self.phones[phone.number, phone.start, phone.end] = known._replace(kind=CELL, textable=True)
        if phone.rank is not None:
            self.preferred.append((phone.rank, phone.number, f"{path}.18"))

    def remark(self, number: str, remark: str, path: str) -> None:
        self.refused += [(f"{consent}#{number}", path) for consent in REFUSES.get(remark, ())]
        self.problem(REMARKED.get(remark, REFUSED), path)

    def unusable(self, problem: Problem, path: str, remark: str) -> None:
        """What a remark refuses beside a number that cannot be used is not known of any number, so it may be of each."""
        self.problem(problem, path)
        self.problems += [Problem("phone_refused", path, REFUSED_NOWHERE, consent) for consent in REFUSES.get(remark, ())]

    def problem(self, problem: Problem, path: str) -> None:
        self.problems.append(problem._replace(path=path))

    def turn(self, parts: list[str], attribute: str, today: date) -> None:
        start, end = timestamp.day(parts[12]), timestamp.day(parts[13])
        days = (start, end + timedelta(days=1) if end and end < date.max else None)
        self.turns |= {(day, attribute) for day in days if day is not None and today < day < today + FAR}

    def result(self) -> Telecoms:
        if len(self.emails) > 1:
            self.emails.sort(key=lambda one: one[0])  # stable: without a preference order, as sent
        phones, emails = tuple(self.phones.values()), tuple([address for _, address in self.emails])
        unread = {one.attribute for one in self.problems if one.reason != "phone_wrong"} if self.problems else ()
        clears = self.stated and (not unread or bool(phones or emails))
        return Telecoms(
            bool(phones) or (clears and PHONES not in unread),
            bool(emails) or (clears and EMAIL not in unread),
            phones,
            emails,
            tuple(self.preferred),
            tuple(self.problems),
            tuple(self.refused),
            frozenset(self.turns),
            frozenset(self.wrong),
            tuple([fax for fax in self.faxes.values() if fax.number not in {phone.number for phone in phones}]),
        )


def _mail(parts: list[str], coded: ContactCodes) -> str:
    """The text that holds the address, wherever it stands; of what says that it is one, also text that is none."""
    found = next((parts[at] for at in MAILED if "@" in parts[at]), "")
    return found or (parts[3] or parts[0] if coded.is_mail else "")


def _has_number(parts: list[str]) -> bool:
    """Whether one of the components holds something else than an address."""
    return any(parts[at] and "@" not in parts[at] for at in NUMBERS)


@lru_cache(maxsize=1024)
def _calling(country: str) -> str:
    """The calling code in component 5, empty where it names a country otherwise."""
    calling = country.lstrip("+0") if contact_tables.region(country) is None else ""
    return calling if calling.isdecimal() else ""


def _put_together(country: str, area: str, text: str, region: str | None) -> tuple[str, str | None]:
    """Components 5, 6 and 7 as one number. The last may hold the area code, and the country's, once more."""
    calling = _calling(country) if country else ""
    raw = f"{area} {text}" if area else text
    raw = text if text[:1] == "+" else f"+{calling} {raw}" if calling else raw
    number = telecom.e164(raw, region)
    if number is None and telecom.repeats(text, calling or ("1" if region in telecom.NANP_REGIONS else ""), area):
        for written in (text, *((f"+{calling} {text}", f"+{text}") if calling else ())):
            if (number := telecom.e164(written, region)) is not None:
                return written, number
    return raw, number


def _cleaned(message: Message, parts: list[str], said: _Said, number: int, *, is_text: bool) -> list[str] | None:
    """The 18 components, unescaped; a deleted one is as empty as one that is not there. ``None``: one that is read here is no text.

    Deleting a number or an address (``^PRN^PH^""``) states the list, deleting a code beside it does not.
    """
    said.stated = said.stated or any(parts[at] == DELETE for at in ADDRESSES if at < len(parts))
    out = list(_ABSENT)
    for at in (*READ, REMARK) if is_text else READ:
        if at < len(parts) and parts[at] != DELETE:
            try:
                out[at] = message.unescape(parts[at])
            except UnusableMessage as error:
                said.illegible(error.problem(f"{said.path}[{number}].{at + 1}", EMAIL if _is_mail(parts) else PHONES))
                if at != REMARK:
                    return None
    return out


def _is_mail(parts: list[str]) -> bool:
    """Whether a repetition that is not legible throughout looks like an address."""
    return any("@" in part for part in parts) or any(part.strip().upper() in MAIL for part in parts[1:3])


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today


def _begins_later(text: str, today: date) -> bool:
    start = timestamp.day(text) if text else None
    return start is not None and start > today


def _iso(text: str) -> str | None:
    found = timestamp.day(text) if text else None
    return found.isoformat() if found else None
