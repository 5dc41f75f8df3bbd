"""Reads the contact points of a Patient. Pure. Source: FHIR R4 2.24.0.13 (ContactPoint); same shape from DSTU2 to R5.

``use`` is a modifier: old entries are not used. ``rank`` 1 is the most preferred; a missing rank is no preference. An entry without a
value was withheld (masked, data-absent-reason): it is not evidence that the patient has no phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from adapters.fhir.contact_points import Point
from adapters.fhir.dates import ended, first_day, last_day
from adapters.mapping import telecom
from adapters.mapping.contact_tables import (
    PLACEHOLDER,
    PLACEHOLDER_ADDRESS,
    REFUSED,
    REFUSED_UNUSABLE,
    REFUSES,
    REMARKED,
    WRONG_NUMBER,
    ContactTables,
    has_words,
    standard,
)
from store.preference import EMAIL, FAX, PHONES, Phone, PhoneKind, Problem

OTHER = PhoneKind.OTHER.value
KINDS = {"mobile": PhoneKind.CELL.value, "home": PhoneKind.HOME.value, "work": PhoneKind.WORK.value}
PHONE_SYSTEMS = ("phone", "sms")
FAXES = ("fax", "pager", "other")
OTHER_SYSTEMS = (*FAXES, "url")
DIRECT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-direct"
LAST = 1 << 31  # after every rank: the maximum of positiveInt


@dataclass(slots=True)
class Contacts:
    """The contents of one telecom list.

    ``withheld``: the systems of entries without a value, or with one that cannot be read (``""``: any).
    """

    phones: dict[str, Phone] = field(default_factory=dict)
    faxes: dict[str, Phone] = field(default_factory=dict)  # numbers of faxes, pagers and the like
    emails: list[tuple[int, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    withheld: set[str] = field(default_factory=set)
    refused: list[tuple[str, str]] = field(default_factory=list)  # consents that remarks deny, and their paths
    first_phone: tuple[str, str | None] | None = None  # path and number of the phone listed first, whether usable or not

    def numbers(self) -> tuple[Phone, ...]:
        """All phones and faxes."""
        phones = tuple(self.phones.values())
        return (*phones, *(fax for number, fax in self.faxes.items() if number not in self.phones)) if self.faxes else phones

    def ordered_emails(self) -> tuple[str, ...]:
        """The addresses, the most preferred first; equal ranks in the order sent."""
        return tuple(dict.fromkeys([address for _, address in sorted(self.emails, key=itemgetter(0))]))

    def preferred(self) -> str | None:
        """The phone with the lowest rank, if only one has it."""
        ranked = [(phone.rank, phone.number) for phone in self.phones.values() if phone.rank is not None]
        lowest = min(ranked, default=(0, ""))[0]
        found = [number for rank, number in ranked if rank == lowest]
        return found[0] if len(found) == 1 else None

    def add_unusable(self, system: str, problem: Problem) -> None:
        """Adds an entry that cannot be read: its list is then not known to be empty."""
        self.withheld.add(system)
        self.problems.append(problem)

    def note_first_phone(self, path: str, number: str | None) -> None:
        """Records the phone that is listed first."""
        self.first_phone = self.first_phone or (path, number)


def read(points: Sequence[Point], region: str | None, today: str, tables: ContactTables | None = None) -> Contacts:
    """The list's phones and addresses in use on ``today`` (ISO date)."""
    tables = tables or standard()
    contacts = Contacts()
    for entry, path, _ in points:
        if type(entry) is not dict:
            contacts.add_unusable("", Problem("contact_point_unreadable", path, "it is not a ContactPoint", PHONES))
        elif not ended(entry, today):
            _read_point(contacts, entry, path, region, today, tables)
    return contacts


def change_days(points: Sequence[Point], today: str) -> list[tuple[str, str]]:
    """The ISO dates after ``today`` on which a phone or address of the list comes into use or goes out of use; with the attribute."""
    found: set[tuple[str, str]] = set()
    for entry, _, _ in points:
        period = entry.get("period") if type(entry) is dict else None
        if type(period) is dict and (attribute := _attribute_of(system(entry))) is not None:
            start, end = first_day(period.get("start")), last_day(period.get("end"))
            found |= {(day, attribute) for day in (start and _day(start), end and _day(end, later=1)) if day and day > today}
    return sorted(found)


def system(entry: dict[str, Any]) -> str | None:
    """The system of a contact point in lower case; ``None`` if there is none."""
    found = entry.get("system")
    return found.strip().casefold() if isinstance(found, str) else None


def _attribute_of(system: str | None) -> str | None:
    """The attribute for contact points of a system."""
    return PHONES if system in PHONE_SYSTEMS or system in FAXES else EMAIL if system == "email" else None


def _day(day: str, later: int = 0) -> str | None:
    try:
        return (date.fromisoformat(day) + timedelta(days=later)).isoformat()
    except (ValueError, OverflowError):
        return None


def number_of(entry: Any, region: str | None) -> str | None:
    """The number in E.164 of a contact point, in use or not; ``None`` if it is not exactly one usable phone."""
    value = entry.get("value") if type(entry) is dict and system(entry) in PHONE_SYSTEMS else None
    return telecom.e164(value, region) if isinstance(value, str) and len(telecom.several(value, region)) == 1 else None


def is_phone(entry: Any) -> bool:
    """Whether a contact point is a phone, or may be one."""
    return type(entry) is not dict or system(entry) not in ("email", *OTHER_SYSTEMS)


def _read_point(contacts: Contacts, entry: dict[str, Any], path: str, region: str | None, today: str, tables: ContactTables) -> None:
    kind, value = system(entry), entry.get("value")
    if not isinstance(value, str) or not value.strip():
        contacts.withheld.add(kind if kind in (*PHONE_SYSTEMS, "email", *OTHER_SYSTEMS) else "")
        if kind in PHONE_SYSTEMS:
            contacts.note_first_phone(path, None)
    elif kind in PHONE_SYSTEMS:
        contacts.note_first_phone(path, _phones(contacts, entry, path, region, tables))
    elif kind == "email":
        _emails(contacts, entry, path, today, tables)
    elif kind is None:
        missing = Problem("contact_system_missing", f"{path}.system", "a ContactPoint with a value needs a system (cpt-2)", PHONES)
        contacts.add_unusable("", missing)
    elif kind in FAXES:
        _faxes(contacts, entry, region, tables)
    elif kind not in OTHER_SYSTEMS:
        contacts.add_unusable("", Problem("contact_system_unknown", f"{path}.system", "it is not a ContactPointSystem code", PHONES))


def _phones(contacts: Contacts, entry: dict[str, Any], path: str, region: str | None, tables: ContactTables) -> str | None:
    """Adds the numbers of one contact point (normally one). Returns the first usable one. A remark applies to each of them."""
    value, path, first = str(entry["value"]), f"{path}.value", None
    remark = tables.remark(value) if has_words(value) else ""
    for raw in telecom.several(value, region):
        number = telecom.e164(raw, region)
        if number is None or tables.is_placeholder(number):
            unusable = Problem("phone_unusable", path, "it is not a valid phone number", PHONES)
            contacts.add_unusable("phone", PLACEHOLDER._replace(path=path) if tables.is_placeholder(number or raw) else unusable)
            contacts.problems += [Problem("phone_refused", path, REFUSED_UNUSABLE, consent) for consent in REFUSES.get(remark, ())]
        elif remark == WRONG_NUMBER:
            contacts.problems.append(REMARKED[remark]._replace(path=path))
        else:
            _phone(contacts, entry, number)
            first = first or number
            if remark:
                contacts.refused += [(f"{consent}#{number}", path) for consent in REFUSES.get(remark, ())]
                contacts.problems.append(REMARKED.get(remark, REFUSED)._replace(path=path))
    return first


def _phone(contacts: Contacts, entry: dict[str, Any], number: str) -> None:
    use = entry.get("use")
    use = use.strip().casefold() if isinstance(use, str) else ""
    textable = use == "mobile" or system(entry) == "sms" or telecom.is_mobile(number)
    phone = Phone(number, KINDS.get(use, OTHER), entry["value"], _rank(entry.get("rank")), textable, *_days(entry))
    known = contacts.phones.get(number)
    contacts.phones[number] = _joined(known, phone) if known else phone


def _faxes(contacts: Contacts, entry: dict[str, Any], region: str | None, tables: ContactTables) -> None:
    """Adds the numbers of a fax, pager or similar entry."""
    for raw in telecom.several(entry["value"], region):
        number = telecom.e164(raw, region)
        if number is not None and not tables.is_placeholder(number):
            contacts.faxes[number] = Phone(number, FAX, raw, None, False, *_days(entry))


def _days(entry: dict[str, Any]) -> tuple[str | None, str | None]:
    period = entry.get("period")
    return (first_day(period.get("start")), last_day(period.get("end"))) if type(period) is dict else (None, None)


def _joined(first: Phone, second: Phone) -> Phone:
    """Joins one number that is listed twice, for example as phone and as sms."""
    ranks = [phone.rank for phone in (first, second) if phone.rank is not None]
    kind = first.kind if first.kind != PhoneKind.OTHER else second.kind
    return first._replace(kind=kind, rank=min(ranks, default=None), textable=first.textable or second.textable)


def _is_direct(entry: dict[str, Any], address: str) -> bool:
    """Whether it is an address for Direct, secure messaging between clinical systems, which is not e-mail."""
    extensions = entry.get("extension")
    marked = any(
        type(one) is dict and one.get("url") == DIRECT and one.get("valueBoolean") is True
        for one in (extensions if type(extensions) is list else ())
    )
    return marked or "direct" in address.rpartition("@")[2].casefold().split(".")[:-2]


def _begins_later(entry: dict[str, Any], today: str) -> bool:
    period = entry.get("period")
    start = first_day(period.get("start")) if type(period) is dict else None
    return start is not None and start > today


def _emails(contacts: Contacts, entry: dict[str, Any], path: str, today: str, tables: ContactTables) -> None:
    for text in telecom.addresses(entry["value"]):
        address = telecom.email(text)
        if address is None:
            contacts.add_unusable("email", Problem("email_unusable", f"{path}.value", "it is not a valid e-mail address", EMAIL))
        elif tables.is_placeholder(address):
            contacts.add_unusable("email", PLACEHOLDER_ADDRESS._replace(path=f"{path}.value"))
        elif not _is_direct(entry, address) and not _begins_later(entry, today):  # a later one is in :func:`change_days`
            contacts.emails.append((_rank(entry.get("rank")) or LAST, address))


def _rank(value: Any) -> int | None:
    """A positive number; Oracle Health sends it as text."""
    if value is None:
        return None
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    return number if type(number) is int and 0 < number < LAST else None
