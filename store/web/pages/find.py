"""The page that finds a patient: one box, the patients that fit, and those the user viewed last.

What is typed is sent by POST, and results link by the store's own id: no URL contains a name, a number or an identifier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.domain.lock import Role
from store.domain.patient_query import LONGEST, PatientQuery
from store.errors import ValueRefused
from store.patients.finding import Finder, Found
from store.patients.preferences import Preferences
from store.patients.search import FORMER_PHONE, IDENTIFIER, MOST
from store.web.pages import labels
from store.web.pages.page import Goto, Page, Shown, Visit

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})
TITLE = "Find a patient"
MOST_IDENTIFIERS = 3


class FindPatient:
    """The page. There is no list of all patients."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.finder = store, Finder(store)

    def pages(self) -> Iterable[Page]:
        """The box, and what it finds."""
        return (Page("GET", "/patients", READERS, self.form), Page("POST", "/patients", READERS, self.find))

    def form(self, visit: Visit, message: str = "", status: int = 200) -> Shown:
        """The box, and the patients viewed last."""
        recent = self.finder.recent(visit.enterprise, actor=str(visit.actor), now=visit.now)
        return self._shown(visit, {"title": TITLE, "message": message, "recent": recent}, status)

    def find(self, visit: Visit) -> Shown | Goto:
        """Shows the patients that fit. If the text is the identifier of one and fits nobody else, redirects there."""
        try:
            found = self.finder.find(visit.enterprise, visit.form.get("value", ""), actor=str(visit.actor), now=visit.now)
        except ValueRefused as error:
            return self.form(visit, f"{str(error).capitalize()}.", 422)
        if [one.by for one in found.patients] == [IDENTIFIER]:
            return Goto(f"/patients/{found.patients[0].id}")
        if not found.patients:
            return self.form(visit, self._nobody(visit, found), 404)
        return self._shown(visit, {"title": _count(found), "found": found, "read_as": read_as(found.query)})

    def _nobody(self, visit: Visit, found: Found) -> str:
        if not self.finder.finds_by_name(visit.enterprise):
            return "No patient has this identifier."
        message = "No patient found. Check the spelling, or try part of the name, the birth date, another phone or the record number."
        if found.unfinished:
            message = "No patient found among the first that fit in part. Add more of the name or the birth date."
        return f"{message} {labels.INDEXING}" if found.incomplete else message

    def _shown(self, visit: Visit, values: dict[str, Any], status: int = 200) -> Shown:
        settings, rules = self.store.settings.get(visit.enterprise), self.store.enterprises[visit.enterprise]
        defaults = {
            "message": "",
            "found": None,
            "read_as": "",
            "recent": (),
            "text": visit.form.get("value", "")[:LONGEST],
            "longest": LONGEST,
            "by_name": self.finder.finds_by_name(visit.enterprise),
            "shows_dnc": rules.locks or settings.do_not_contact_toggle,
            "most": MOST,
            "most_identifiers": MOST_IDENTIFIERS,
            "former_phone": FORMER_PHONE,
            "indexing": labels.INDEXING,
        }
        return Shown("find.html", {**defaults, **values}, status)


def read_as(query: PatientQuery) -> str:
    """How numbers and dates of a text were read, which may mean several things."""
    numbers = dict.fromkeys(labels.number(one) for person in query.persons for one in person.numbers)
    born = dict.fromkeys(labels.birth_date(one) for person in query.persons for one in person.born)
    parts = [f"phone {' or '.join(numbers)}" if numbers else "", f"born {' or '.join(born)}" if born else ""]
    return ", ".join(part for part in parts if part)


def _count(found: Found) -> str:
    count = len(found.patients)
    return f"More than {count} patients" if found.more else f"{count} patient{'' if count == 1 else 's'}"
