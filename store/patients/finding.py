"""Looks patients up for a person: what fits the text in the box, and whom the person viewed last. Every search is in the audit log.

What was looked for may be a patient's name, so it is encrypted there, as payloads are. Without a key it is not kept.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from store.audit.audit_log import SEARCHED, SEARCHES, Audit
from store.audit.hash_chain import Link
from store.domain import documents, patient_query
from store.domain.contact import ContactPreferences
from store.domain.decision_request import KnownPatient
from store.domain.ids import parsed, shown, token
from store.domain.patient import PatientRef
from store.domain.patient_query import PatientQuery, Person
from store.errors import PayloadUnreadable, SearchOff, ValueRefused
from store.patients.preferences import Preferences
from store.patients.search import Hit, PatientSearch
from store.preference import BIRTH_DATE, DISPLAY_NAME, Identifier, Preference
from store.runs.encryption import Sealing

IDENTIFIERS = "identifiers"
"""The value of the policy ``search`` that finds nobody by name, birth date or phone."""
RECENT = 8


class FoundPatient(NamedTuple):
    """A patient in a list. ``by``: by what it was found (``store.patients.search``); empty in the list of recent patients."""

    id: str
    name: str | None
    birth_date: str | None
    identifiers: tuple[Identifier, ...]
    contact: ContactPreferences
    by: str = ""


class Found(NamedTuple):
    """The result of a search. ``query``: how the text was read. ``more``: others fit too. ``unfinished``: not everybody was looked at.

    ``incomplete``: names of patients from before there was an index are still being added to it.
    """

    patients: tuple[FoundPatient, ...]
    query: PatientQuery
    more: bool = False
    unfinished: bool = False
    incomplete: bool = False


class SearchLine(NamedTuple):
    """A search in the audit log. ``text``: what was looked for; ``None`` if it was not kept, or cannot be decrypted."""

    at: datetime
    actor: str
    text: str | None
    found: int


class Finder:
    """Finds patients of the enterprises of one store."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.database, self.audit = store, store.database, Audit(store.database)

    def finds_by_name(self, enterprise: str) -> bool:
        """Whether the policy lets people find patients by name, birth date and phone."""
        return self.store.settings.get(enterprise).policy.search != IDENTIFIERS

    def find(self, enterprise: str, text: str, *, actor: str, now: datetime) -> Found:
        """The patients that fit a text, the best first, after an entry in the audit log.

        Raises :class:`ValueRefused` for a text that is empty or too long.
        """
        text = _writable(text)
        return self._found(enterprise, text, self._read(enterprise, text, now), actor, now)

    def find_by_phone(self, enterprise: str, phone: str, *, actor: str, now: datetime) -> Found:
        """The patients whom a phone number may belong to, those who have it now first, after an entry in the audit log.

        Raises :class:`SearchOff` where the policy finds patients by identifier only, :class:`ValueRefused` for what is no phone number.
        """
        if not self.finds_by_name(enterprise):
            raise SearchOff("the policy 'search' finds patients by identifier only")
        numbers = tuple(self.store.numbering(enterprise).candidates(phone))
        if not numbers:
            raise ValueRefused("phone must be a phone number in E.164, like +12175550100")
        return self._found(enterprise, phone, PatientQuery(persons=(Person(numbers=numbers),)), actor, now)

    def _found(self, enterprise: str, text: str, query: PatientQuery, actor: str, now: datetime) -> Found:
        with self.database.read() as connection:
            search = PatientSearch(self.database, connection, self.store.reader(connection, enterprise))
            hits = search.run(query)
            found = self._patients(connection, enterprise, hits.hits, now)
            incomplete = bool(query.persons) and not search.is_complete()
        self._note(enterprise, text, query, found, actor, now)
        return Found(found, query, hits.more, hits.unfinished, incomplete)

    def recent(self, enterprise: str, *, actor: str, now: datetime) -> tuple[FoundPatient, ...]:
        """The patients that somebody viewed last, the newest first. Merged records are shown as the patient they belong to."""
        viewed = [number for subject in self.audit.recent(enterprise, actor, RECENT) if (number := parsed(subject)) is not None]
        return self.again(enterprise, [Hit(number, "") for number in viewed], now)

    def again(self, enterprise: str, hits: Sequence[Hit], now: datetime) -> tuple[FoundPatient, ...]:
        """The patients of an earlier search, as they are now."""
        with self.database.read() as connection:
            return self._patients(connection, enterprise, hits, now)

    def searches(self, enterprise: str, limit: int) -> list[SearchLine]:
        """The searches in the audit log, decrypted, the newest first. For auditors; note it in the log."""
        entries = self.audit.newest(enterprise, SEARCHES, limit)
        return [_search_line(one, self.store.sealing) for one in entries if one.line.action == SEARCHED]

    def _read(self, enterprise: str, text: str, now: datetime) -> PatientQuery:
        if not text.strip() or len(text) > patient_query.LONGEST:
            raise ValueRefused(f"enter what to look for, in at most {patient_query.LONGEST} characters")
        rules = self.store.enterprises[enterprise]
        today = now.astimezone(ZoneInfo(rules.time_zone)).date()
        query = patient_query.read(text, self.store.numbering(enterprise).candidates, rules.default_region, today)
        query = query._replace(authority=self.store.canonical(enterprise, PatientRef(authority=query.authority)).authority)
        return query if self.finds_by_name(enterprise) else query._replace(persons=())

    def _patients(self, connection: Connection, enterprise: str, hits: Sequence[Hit], now: datetime) -> tuple[FoundPatient, ...]:
        reader = self.store.reader(connection, enterprise)
        known = reader.known([PatientRef(id=shown(hit.patient)) for hit in hits], self.store.freshness, now)
        by_id = {one.id: (hit.by, one.contact) for hit, one in zip(hits, known, strict=True) if isinstance(one, KnownPatient)}
        numbers = [parsed(one) or 0 for one in by_id]
        in_force, identifiers = reader.in_force(numbers), reader.identifiers(numbers)
        return tuple(
            FoundPatient(
                one, _value(in_force[number], DISPLAY_NAME), _value(in_force[number], BIRTH_DATE), identifiers[number], contact, by
            )
            for number, (one, (by, contact)) in zip(numbers, by_id.items(), strict=True)
        )

    def _note(self, enterprise: str, text: str, query: PatientQuery, found: Sequence[FoundPatient], actor: str, now: datetime) -> None:
        detail: dict[str, Any] = {"by": kinds(query), "found": len(found), "patients": [one.id for one in found]}
        if self.store.sealing is not None:
            number, sealing = token("srch"), self.store.sealing
            sealed = base64.b64encode(sealing.seal(text.encode(), number)).decode()
            detail |= {"search": number, "key": sealing.current, "sealed": sealed}
        self.audit.note(enterprise, SEARCHED, SEARCHES, actor=actor, now=now, **detail)


def _writable(text: str) -> str:
    """The text without what no database takes: NUL, and bytes of a terminal that are no UTF-8."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def kinds(query: PatientQuery) -> list[str]:
    """By what a query looks for somebody."""
    found = ["identifier"] if query.id or query.values else []
    for name, part in (("phone", "numbers"), ("birth_date", "born"), ("name", "words")):
        found += [name] if any(getattr(one, part) for one in query.persons) else []
    return found


def _value(in_force: Mapping[str, Preference], name: str) -> str | None:
    return in_force[name].value if name in in_force else None


def _search_line(link: Link, sealing: Sealing | None) -> SearchLine:
    line, detail = link.line, documents.read(link.line.detail)
    return SearchLine(line.at, line.actor, _opened(detail, sealing), detail["found"])


def _opened(detail: dict[str, Any], sealing: Sealing | None) -> str | None:
    if sealing is None or "sealed" not in detail:
        return None
    try:
        return sealing.open(base64.b64decode(detail["sealed"]), detail["search"], detail["key"]).decode()
    except PayloadUnreadable:
        return None
