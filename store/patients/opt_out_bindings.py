"""Rows of the opt-outs that bind patients. A change ends a row and adds one, so that any earlier time can be read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import FormerNumberRow, SmsBindingRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.opt_out_binding import OptOutBinding, joined, opted_out, parted, unbound
from store.domain.sms_consent import Events

COLUMNS = ("enterprise", "patient_id", "number", "origin", "words", "bound", "since")
SELECT = "SELECT seq, patient_id, number, origin, words, bound FROM sms_bindings"
OF_NUMBERS = f"{SELECT} WHERE enterprise = ? AND number IN ?? AND until IS NULL ORDER BY seq"
OF_PATIENTS = f"{SELECT} WHERE patient_id IN ?? AND until IS NULL ORDER BY seq"
AT_A_TIME = f"{SELECT} WHERE patient_id = ? AND since <= ? AND (until IS NULL OR until > ?) ORDER BY seq"
FORMER = "SELECT patient_id FROM former_numbers WHERE enterprise = ? AND number = ? AND until >= ?"
FORMER_COLUMNS = ("enterprise", "number", "patient_id", "until")
INTO = "SELECT id, merged_into FROM patients WHERE id IN ??"
EVENTS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number IN ??"


class Bindings:
    """The bindings of one enterprise, on a connection that the caller opened."""

    def __init__(self, database: Database, connection: Connection, enterprise: str) -> None:
        self.database, self.connection, self.enterprise = database, connection, enterprise

    def of_numbers(self, numbers: list[str]) -> list[OptOutBinding]:
        """The bindings by one of these numbers, now."""
        return self._bound(OF_NUMBERS, [self.enterprise, numbers]) if numbers else []

    def of_patients(self, patients: Iterable[int]) -> list[OptOutBinding]:
        """The bindings of these patients, now."""
        return self._bound(OF_PATIENTS, [sorted(set(patients))])

    def at(self, patient: int, at: datetime) -> list[OptOutBinding]:
        """The bindings of a patient at an earlier time."""
        moment = self.database.bound(at)
        return self._bound(AT_A_TIME, [patient, moment, moment])

    def keep(self, changed: Sequence[OptOutBinding], now: datetime) -> None:
        """Writes bindings, each in the place of the row it was read from."""
        self.database.update(self.connection, SmsBindingRow, ("seq",), ("until",), [(now, one.seq) for one in changed if one.seq])
        rows = [
            (self.enterprise, one.patient, one.number, one.origin, documents.write(one.events), one.bound, now)
            for one in changed
            if one.events
        ]
        self.database.insert(self.connection, SmsBindingRow, COLUMNS, rows)

    def owners(self, number: str, at: datetime) -> set[int]:
        """The patients who had a number at that time or later and have it no longer; the survivor, where they were merged."""
        found = {row[0] for row in self.database.select(self.connection, FORMER, [self.enterprise, number, self.database.bound(at)])}
        while found:
            into = dict(self.database.select(self.connection, INTO, [sorted(found)]))
            if not any(into.values()):
                break
            found = {into[one] or one for one in found}
        return found

    def leave(self, gone: Iterable[tuple[int, str]], now: datetime) -> None:
        """Keeps the opt-outs of numbers that patients lose, also those sent while nobody had the number.

        Until when a patient had a number is kept, because a STOP sent before may arrive later.
        """
        gone = list(gone)
        self.database.upsert(self.connection, FormerNumberRow, FORMER_COLUMNS, [(self.enterprise, one, who, now) for who, one in gone])
        numbers = sorted({number for _, number in gone})
        events = self._events(numbers)
        if not events:
            return
        bound = self.of_numbers(sorted(events))
        free = {number: unbound(known, (one for one in bound if one.number == number)) for number, known in events.items()}
        self._bind({(patient, number): free.get(number, ()) for patient, number in gone}, bound, now)

    def join(self, survivor: int, merged: int, lost: Iterable[tuple[int, str]], now: datetime) -> None:
        """Merges the bindings of two records. Every opt-out of a number they lose by it (``lost``: by record) is kept."""
        lost = list(lost)
        self.database.upsert(self.connection, FormerNumberRow, FORMER_COLUMNS, [(self.enterprise, one, who, now) for who, one in lost])
        events, bound = self._events(sorted({number for _, number in lost})), self.of_patients([survivor, merged])
        self._bind({(record, number): opted_out(events.get(number, ())) for record, number in lost}, bound, now)
        of_merged = self.of_patients([merged]) if events else [one for one in bound if one.patient == merged]
        self.keep([one._replace(patient=survivor) for one in of_merged], now)

    def part(
        self, survivor: int, merged: int, below: Collection[int], since: datetime, listed: Mapping[bool, Collection[str]], now: datetime
    ) -> None:
        """Parts the bindings of two records again: each gets its own, and both get those that may be about either."""
        found = parted(self.of_patients([survivor]), merged=below, since=since, listed=listed)
        moved = [one._replace(patient=merged, origin=one.origin if one.origin in below else merged) for one in found.moved]
        there = [one._replace(seq=0, patient=merged, origin=merged) for one in found.also_there]
        here = [one._replace(seq=0, patient=survivor, origin=survivor) for one in found.also_here]
        self.keep([*moved, *there, *here], now)

    def share(self, patient: int, everybody: Collection[int], numbers: Collection[str], now: datetime) -> None:
        """Splits one patient into several: every opt-out of its numbers and every binding holds for each."""
        bound, events = self.of_patients([patient]), self._events(sorted(numbers))
        found = {number: opted_out(known) for number, known in events.items()}
        for one in bound:
            found[one.number] = joined(found.get(one.number, ()), one.events)
        self._bind({(one, number): known for one in everybody for number, known in found.items()}, bound, now)

    def _bind(self, events: dict[tuple[int, str], Events], bound: list[OptOutBinding], now: datetime) -> None:
        changed = []
        for (patient, number), more in sorted(events.items()):
            old = next((one for one in bound if (one.patient, one.number) == (patient, number)), None)
            new = old or OptOutBinding(0, patient, number, patient, (), now)
            after = joined(new.events, more)
            if after != new.events:
                changed.append(new._replace(events=after))
        self.keep(changed, now)

    def _events(self, numbers: list[str]) -> dict[str, Events]:
        rows = self.database.select(self.connection, EVENTS, [self.enterprise, numbers]) if numbers else []
        return {number: documents.read_consent_events(text) for number, text in rows}

    def _bound(self, sql: str, parameters: list[Any]) -> list[OptOutBinding]:
        rows = self.database.select(self.connection, sql, parameters)
        return [
            OptOutBinding(seq, patient, number, origin, documents.read_consent_events(text), instant(at))
            for seq, patient, number, origin, text, at in rows
        ]
