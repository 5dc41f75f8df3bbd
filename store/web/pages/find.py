"""The page that finds a patient: one box, the patients that fit, and those the user viewed last.

What is typed is sent by POST, and results link by the store's own id. A list of results has an address of its own, so that the browser
can go back to it from a facesheet and reload it. The address is encrypted with the session's secret, which is in no log: no URL contains
a name, a number or an identifier, and the address is worth nothing to others, or after the session.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from store.domain import documents
from store.domain.ids import parsed
from store.domain.lock import Role
from store.domain.patient_query import LONGEST, PatientQuery
from store.errors import PayloadUnreadable, ValueRefused
from store.patients.finding import Finder, Found
from store.patients.preferences import Preferences
from store.patients.search import FORMER_PHONE, IDENTIFIER, MOST, Hit
from store.runs.encryption import Sealing
from store.web.pages import labels
from store.web.pages.page import Goto, Page, Shown, Visit

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
TITLE = "Find a patient"
MOST_IDENTIFIERS = 3
SESSION = "session"


class Results(NamedTuple):
    """A list of results as its address keeps it. ``hits``: (store's number, by what it was found)."""

    text: str
    read_as: str
    hits: Sequence[tuple[int, str]]
    more: bool
    unfinished: bool
    incomplete: bool


class FindPatient:
    """The page. There is no list of all patients."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.finder = store, Finder(store)

    def pages(self) -> Iterable[Page]:
        """The box, and what it finds."""
        return (Page("GET", "/patients", READERS, self.show), Page("POST", "/patients", READERS, self.find))

    def show(self, visit: Visit) -> Shown:
        """The results of a search, or the box alone."""
        results = opened(visit, visit.query.get("found", ""))
        if results is None:
            return self.form(visit)
        found = self.finder.again(visit.enterprise, [Hit(*one) for one in results.hits], visit.now)
        values = {"title": _count(len(found), more=results.more), "text": results.text, "found": found, "results": results}
        return self._shown(visit, values)

    def find(self, visit: Visit) -> Goto | Shown:
        """Looks for the text in the box. If it is the identifier of one patient and fits nobody else, redirects to that facesheet."""
        text = visit.form.get("value", "")
        try:
            found = self.finder.find(visit.enterprise, text, actor=str(visit.actor), now=visit.now)
        except ValueRefused as error:
            return self.form(visit, f"{str(error).capitalize()}.", 422)
        if not found.patients:
            return self.form(visit, self._nobody(visit, found), 404)
        if [one.by for one in found.patients] == [IDENTIFIER]:
            return Goto(f"/patients/{found.patients[0].id}")
        return Goto(f"/patients?found={address(visit, text, found)}")

    def form(self, visit: Visit, message: str = "", status: int = 200) -> Shown:
        """The box, and the patients viewed last."""
        recent = self.finder.recent(visit.enterprise, actor=str(visit.actor), now=visit.now)
        text = visit.form.get("value", "")[:LONGEST]
        return self._shown(visit, {"title": TITLE, "message": message, "text": text, "recent": recent}, status)

    def _nobody(self, visit: Visit, found: Found) -> str:
        if not self.finder.finds_by_name(visit.enterprise):
            return "No patient has this identifier."
        message = "No patient found. Check the spelling, or try part of the name, the birth date, another phone or the record number."
        if found.unfinished:
            message = "No patient found. Too many patients match part of this to check them all: add more of the name, or the birth date."
        return f"{message} {labels.INDEXING}" if found.incomplete else message

    def _shown(self, visit: Visit, values: dict[str, Any], status: int = 200) -> Shown:
        settings, rules = self.store.settings.get(visit.enterprise), self.store.enterprises[visit.enterprise]
        every = {
            "message": "",
            "found": (),
            "recent": (),
            "longest": LONGEST,
            "by_name": self.finder.finds_by_name(visit.enterprise),
            "shows_dnc": rules.locks or settings.do_not_contact_toggle,
            "most": MOST,
            "most_identifiers": MOST_IDENTIFIERS,
            "former_phone": FORMER_PHONE,
            "indexing": labels.INDEXING,
        }
        return Shown("find.html", {**every, **values}, status)


def address(visit: Visit, text: str, found: Found) -> str:
    """The address of a list of results, for this session and enterprise alone."""
    hits = [(parsed(one.id), one.by) for one in found.patients]
    results = (text, read_as(found.query), hits, found.more, found.unfinished, found.incomplete)
    sealed = _sealing(visit).seal(documents.write(results).encode(), visit.enterprise)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def opened(visit: Visit, address: str) -> Results | None:
    """The results at an address; ``None`` if it is not one of this session and enterprise."""
    try:
        sealed = base64.urlsafe_b64decode(address + "=" * (-len(address) % 4))
        return Results(*documents.read(_sealing(visit).open(sealed, visit.enterprise, SESSION).decode()))
    except (PayloadUnreadable, ValueError, binascii.Error):
        return None


def read_as(query: PatientQuery) -> str:
    """How numbers and dates of a text were read, which may mean several things."""
    numbers = dict.fromkeys(labels.number(one) for person in query.persons for one in person.numbers)
    born = dict.fromkeys(labels.birth_date(one) for person in query.persons for one in person.born)
    parts = [f"phone {' or '.join(numbers)}" if numbers else "", f"born {' or '.join(born)}" if born else ""]
    return ", ".join(part for part in parts if part)


def _sealing(visit: Visit) -> Sealing:
    return Sealing(SESSION, {SESSION: hashlib.sha256(f"results of {visit.secret}".encode()).digest()})


def _count(count: int, *, more: bool) -> str:
    return f"More than {count} patients" if more else f"{count} patient{'' if count == 1 else 's'}"
