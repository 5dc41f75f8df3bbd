"""Reads telecommunication numbers (XTN) of all HL7 versions. Pure.

Source: HL7 v2.9 chapter 2A, data type XTN; tables 0201 (use) and 0202 (equipment). The order of the components is that of v2-to-FHIR,
"Data type XTN to ContactPoint": the number from components 5, 6 and 7 if 7 is valued, otherwise 12, otherwise 1. Senders fill only one
of these forms (github.com/CDCgov/prime-reportstream issue 812: only 5 to 7), and put e-mail before the phones (issue 2214).
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
    PLACEHOLDER,
    PLACEHOLDER_ADDRESS,
    REFUSED,
    REFUSED_UNUSABLE,
    REFUSES,
    REMARKED,
    WRONG_NUMBER,
    ContactCodes,
    ContactTables,
    has_words,
)
from store.preference import EMAIL, FAX, PHONES, Phone, PhoneKind, Problem

CELL = PhoneKind.CELL.value
ADDRESSES = (0, 3, 5, 6, 11)  # components, counted from 0, that contain a number or an address
NUMBERS = (6, 11, 0, 3)  # components that may contain a number; the area code is component 5
MAILED = (3, 0, 6, 11)  # components that may contain an address
READ = (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 17)  # components that are read; others may contain anything
REMARK = 8
MAIL = ("NET", "INTERNET", "X.400")  # HL7 tables 0201 and 0202
UNORDERED = 1_000_000  # sorts after every entry with a preference order
FAR = timedelta(days=3653)  # some EMRs write an end date beyond this if there is no end
_ABSENT = [""] * 18
UNUSABLE = Problem("phone_unusable", "", "this cannot be converted to an E.164 number", PHONES)
NO_ADDRESS = Problem("email_unusable", "", "this is not an e-mail address", EMAIL)


class Telecoms(NamedTuple):
    """The contents of a field. A list is stated only if it has entries or if no entry was unusable.

    ``phones`` are in the order sent. ``faxes`` are the patient's numbers that are no telephones. ``preferred`` are (preference order,
    number, path); the lowest order is the most preferred (XTN.18). ``refused`` are (attribute, path) of consents that remarks deny.
    ``turns`` are the future days on which an entry begins or ends, with the attribute of its list. ``wrong`` are numbers that, by a
    remark, are not the patient's.
    """

    states_phones: bool
    states_emails: bool
    phones: tuple[Phone, ...]
    emails: tuple[str, ...]
    preferred: tuple[tuple[int, str, str], ...]
    problems: tuple[Problem, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    turns: frozenset[tuple[date, str]] = frozenset()
    wrong: frozenset[str] = frozenset()
    faxes: tuple[Phone, ...] = ()

    @property
    def numbers(self) -> tuple[Phone, ...]:
        """All of the patient's numbers."""
        return self.phones + self.faxes


class TelecomReader:
    """Reads the XTN fields of one source. ``region`` applies to numbers without a country code.

    ``is_text``: XTN.9 is a remark, as in the standard, and not a code that the site's rules read.
    """

    def __init__(self, region: str | None, tables: ContactTables | None = None, *, is_text: bool = True) -> None:
        self._region, self._tables, self._is_text = region, tables or contact_tables.standard(), is_text

    def read(self, message: Message, field: str, path: str, kind: str, today: date) -> Telecoms:
        """Reads a field. ``kind`` is the default kind of its numbers; entries that ended before ``today`` are dropped."""
        contents, delimiters = _Contents(path), message.delimiters
        plain = DELETE not in field and (message.plain or (delimiters.escape not in field and not message.damaged))
        for contents.number, repetition in enumerate(field.split(delimiters.repetition), 1):
            if repetition:
                parts = repetition.split(delimiters.component)
                cleaned = parts + _ABSENT[len(parts) :] if plain else _cleaned(message, parts, contents, is_text=self._is_text)
                if cleaned is not None:
                    self._add(contents, cleaned, kind, today)
        return contents.result()

    def number(self, message: Message, repetition: str) -> str | None:
        """The number of one repetition in E.164, whether or not its period is current; ``None`` if it has no or several usable numbers."""
        parts = _cleaned(message, repetition.split(message.delimiters.component), _Contents(""), is_text=False)
        if parts is None:
            return None
        coded = self._tables.codes(parts[1], parts[2])
        found = self._numbers(parts) if coded.is_phone and not coded.is_mail else ()
        return found[0][1] if len(found) == 1 else None

    def _add(self, contents: _Contents, parts: list[str], kind: str, today: date) -> None:
        """Adds the numbers and addresses of one repetition."""
        texts = f"{parts[0]}{parts[3]}{parts[6]}{parts[11]}"
        if not texts:
            return
        coded = self._tables.codes(parts[1], parts[2])
        mail = _mail(parts, coded) if coded.is_mail or "@" in texts else ""
        contents.stated = True
        if parts[12] or parts[13]:
            contents.turn(parts, EMAIL if mail else PHONES, today)
            if parts[13] and _ended(parts[13], today):
                return
        order = int(parts[17]) if parts[17].isdecimal() and len(parts[17]) < 10 else None
        if mail and not _begins_later(parts[12], today):
            for address in telecom.addresses(mail):
                contents.email(address, order, self._tables)
        if coded.is_phone and (not mail or (not coded.is_mail and _has_number(parts))):
            self._add_numbers(contents, parts, coded.kind or kind, order)
        elif not coded.is_phone:
            self._add_faxes(contents, parts)

    def _add_numbers(self, contents: _Contents, parts: list[str], kind: str, order: int | None) -> None:
        """Adds the numbers of one repetition. A remark applies to each of them."""
        found = self._numbers(parts)
        text_around = parts[6]
        if parts[0] or parts[8] or parts[11]:
            texts = (parts[0], text_around, parts[8] if self._is_text else "", parts[11])
            text_around = " ".join(text for text in texts if "@" not in text)
        remark = self._tables.remark(text_around) if not text_around.isdecimal() and has_words(text_around) else ""
        for raw, number in found:
            if number is None or self._tables.is_placeholder(number):
                written = raw or parts[6] or parts[11] or parts[0]
                contents.unusable(PLACEHOLDER if self._tables.is_placeholder(written) else UNUSABLE, remark)
            elif remark == WRONG_NUMBER:
                contents.wrong.add(number)
                contents.problem(REMARKED[remark])
            else:
                textable = kind == CELL or (number[:2] != "+1" and telecom.is_mobile(number))
                contents.phone(Phone(number, kind, raw, order, textable, *_period(parts)))
                if remark:
                    contents.remark(number, remark)

    def _add_faxes(self, contents: _Contents, parts: list[str]) -> None:
        """Adds the numbers of a fax, a pager or the like."""
        for raw, number in self._numbers(parts):
            if number is not None and not self._tables.is_placeholder(number):
                contents.faxes[number] = Phone(number, FAX, raw, None, False, *_period(parts))

    def _numbers(self, parts: list[str]) -> list[tuple[str, str | None]]:
        """The numbers as written and in E.164, from the first component that gives a usable one."""
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


class _Contents:
    """Collects the contents of the repetitions of the field at ``path``. ``number`` is the repetition that is read."""

    __slots__ = ("emails", "faxes", "number", "path", "phones", "preferred", "problems", "refused", "stated", "turns", "wrong")

    def __init__(self, path: str) -> None:
        self.path, self.number, self.stated = path, 1, False
        self.phones: dict[tuple[str, str | None, str | None], Phone] = {}
        self.faxes: dict[str, Phone] = {}
        self.emails: list[tuple[int, str]] = []
        self.preferred: list[tuple[int, str, str]] = []
        self.problems: list[Problem] = []
        self.refused: list[tuple[str, str]] = []
        self.turns: set[tuple[date, str]] = set()
        self.wrong: set[str] = set()

    @property
    def at(self) -> str:
        """The path of the repetition."""
        return f"{self.path}[{self.number}]"

    def email(self, text: str, order: int | None, tables: ContactTables) -> None:
        address = telecom.email(text)
        if address is None or tables.is_placeholder(address):
            self.problem(NO_ADDRESS if address is None else PLACEHOLDER_ADDRESS)
        else:
            self.emails.append((UNORDERED if order is None else order, address))

    def illegible(self, problem: Problem) -> None:
        self.stated = True
        self.problems.append(problem)

    def phone(self, phone: Phone) -> None:
        known = self.phones.setdefault((phone.number, phone.start, phone.end), phone)
        if known is not phone and phone.kind == CELL and known.kind != CELL:
            self.phones[phone.number, phone.start, phone.end] = known._replace(kind=CELL, textable=True)
        if phone.rank is not None:
            self.preferred.append((phone.rank, phone.number, f"{self.at}.18"))

    def remark(self, number: str, remark: str) -> None:
        self.refused += [(f"{consent}#{number}", self.at) for consent in REFUSES.get(remark, ())]
        self.problem(REMARKED.get(remark, REFUSED))

    def unusable(self, problem: Problem, remark: str) -> None:
        """Records an unusable number. A refusal in its remark is a problem of the consent for all numbers."""
        self.problem(problem)
        self.problems += [Problem("phone_refused", self.at, REFUSED_UNUSABLE, consent) for consent in REFUSES.get(remark, ())]

    def problem(self, problem: Problem) -> None:
        self.problems.append(problem._replace(path=self.at))

    def turn(self, parts: list[str], attribute: str, today: date) -> None:
        start, end = timestamp.day(parts[12]), timestamp.day(parts[13])
        days = (start, end + timedelta(days=1) if end and end < date.max else None)
        self.turns |= {(day, attribute) for day in days if day is not None and today < day < today + FAR}

    def result(self) -> Telecoms:
        if len(self.emails) > 1:
            self.emails.sort(key=lambda one: one[0])  # stable: entries without a preference order stay in the order sent
        phones, emails = tuple(self.phones.values()), tuple([address for _, address in self.emails])
        if not (self.problems or self.refused or self.turns or self.wrong or self.faxes):  # the usual case
            return Telecoms(self.stated, self.stated, phones, emails, tuple(self.preferred))
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
    """The text of the address, from any component. If the codes say e-mail, also a text that is not an address."""
    if "@" in parts[3]:
        return parts[3]
    found = next((parts[at] for at in MAILED if "@" in parts[at]), "")
    return found or (parts[3] or parts[0] if coded.is_mail else "")


def _has_number(parts: list[str]) -> bool:
    """Whether a component contains something other than an address."""
    return any(parts[at] and "@" not in parts[at] for at in NUMBERS)


@lru_cache(maxsize=1024)
def _calling(country: str) -> str:
    """The calling code in component 5; empty if it is a country code or name."""
    calling = country.lstrip("+0") if contact_tables.region(country) is None else ""
    return calling if calling.isdecimal() else ""


def _put_together(country: str, area: str, text: str, region: str | None) -> tuple[str, str | None]:
    """Components 5, 6 and 7 as one number. Component 7 may repeat the area code and the country code."""
    calling = _calling(country) if country else ""
    raw = f"{area} {text}" if area else text
    raw = text if text[:1] == "+" else f"+{calling} {raw}" if calling else raw
    number = telecom.e164(raw, region)
    if number is None and telecom.repeats(text, calling or ("1" if region in telecom.NANP_REGIONS else ""), area):
        for written in (text, *((f"+{calling} {text}", f"+{text}") if calling else ())):
            if (number := telecom.e164(written, region)) is not None:
                return written, number
    return raw, number


def _cleaned(message: Message, parts: list[str], contents: _Contents, *, is_text: bool) -> list[str] | None:
    """The 18 components, unescaped; a deleted component is empty. ``None`` if a component that is read here is undecodable.

    Senders write ``""`` inside components (github.com/muccg/rdrf issue 2152). Deleting a number or an address (``^PRN^PH^""``) states the
    list; deleting a code does not.
    """
    contents.stated = contents.stated or any(parts[at] == DELETE for at in ADDRESSES if at < len(parts))
    out = list(_ABSENT)
    for at in (*READ, REMARK) if is_text else READ:
        if at < len(parts) and parts[at] != DELETE:
            try:
                out[at] = message.unescape(parts[at])
            except UnusableMessage as error:
                contents.illegible(error.problem(f"{contents.at}.{at + 1}", EMAIL if _is_mail(parts) else PHONES))
                if at != REMARK:
                    return None
    return out


def _is_mail(parts: list[str]) -> bool:
    """Whether a partly undecodable repetition looks like an address."""
    return any("@" in part for part in parts) or any(part.strip().upper() in MAIL for part in parts[1:3])


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today


def _begins_later(text: str, today: date) -> bool:
    start = timestamp.day(text) if text else None
    return start is not None and start > today


def _period(parts: list[str]) -> tuple[str | None, str | None]:
    return (_iso(parts[12]), _iso(parts[13])) if parts[12] or parts[13] else (None, None)


def _iso(text: str) -> str | None:
    found = timestamp.day(text) if text else None
    return found.isoformat() if found else None
