"""Reads and writes whom opt-outs bind. A change ends a row and adds one, so that any earlier time can be read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import FormerNumberRow, SmsBindingRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.opt_out_binding import Bound, joined, leaving, opted_out, parted
from store.domain.sms_consent import Word

COLUMNS = ("enterprise", "patient_id", "number", "origin", "words", "bound", "since")
SELECT = "SELECT seq, patient_id, number, origin, words, bound FROM sms_bindings"
OF_NUMBERS = f"{SELECT} WHERE enterprise = ? AND number IN ?? AND until IS NULL ORDER BY seq"
OF_PATIENTS = f"{SELECT} WHERE patient_id IN ?? AND until IS NULL ORDER BY seq"
THEN = f"{SELECT} WHERE patient_id = ? AND since <= ? AND (until IS NULL OR until > ?) ORDER BY seq"
FORMER = "SELECT patient_id FROM former_numbers WHERE enterprise = ? AND number = ? AND until >= ?"
FORMER_COLUMNS = ("enterprise", "number", "patient_id", "until")
INTO = "SELECT id, merged_into FROM patients WHERE id IN ??"
WORDS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number IN ??"


class Bindings:
    """The bindings of one enterprise, on a connection that the caller opened."""

    def __init__(self, database: Database, connection: Connection, enterprise: str) -> None:
        self.database, self.connection, self.enterprise = database, connection, enterprise

    def of_numbers(self, numbers: list[str]) -> list[Bound]:
        """Whoever is bound by one of the numbers now."""
        return self._bound(OF_NUMBERS, [self.enterprise, numbers]) if numbers else []

    def of_patients(self, patients: Iterable[int]) -> list[Bound]:
        """What these patients are bound by now."""
        return self._bound(OF_PATIENTS, [sorted(set(patients))])

    def then(self, patient: int, at: datetime) -> list[Bound]:
        """What a patient was bound by at an earlier time."""
        when = self.database.bound(at)
        return self._bound(THEN, [patient, when, when])

    def keep(self, changed: Sequence[Bound], now: datetime) -> None:
        """Writes bindings, each in place of the row it was read from."""
        self.database.update(self.connection, SmsBindingRow, ("seq",), ("until",), [(now, one.seq) for one in changed if one.seq])
        rows = [
            (self.enterprise, one.patient, one.number, one.origin, documents.write(one.words), one.bound, now)
            for one in changed
            if one.words
        ]
        self.database.insert(self.connection, SmsBindingRow, COLUMNS, rows)

    def owners(self, number: str, at: datetime) -> set[int]:
        """The patients who had a number until then or later, and have it no more; what they are by now, where they were merged."""
        found = {row[0] for row in self.database.select(self.connection, FORMER, [self.enterprise, number, self.database.bound(at)])}
        while found:
            into = dict(self.database.select(self.connection, INTO, [sorted(found)]))
            if not any(into.values()):
                break
            found = {into[one] or one for one in found}
        return found

    def leave(self, gone: Iterable[tuple[int, str]], now: datetime) -> None:
        """Patients lose numbers. What was said from one of them when nobody had it stays with whoever loses it.

        Who had a number until when is kept: a STOP of before may arrive after.
        """
        gone = list(gone)
        self.database.upsert(self.connection, FormerNumberRow, FORMER_COLUMNS, [(self.enterprise, one, who, now) for who, one in gone])
        numbers = sorted({number for _, number in gone})
        words = self._words(numbers)
        if not words:
            return
        bound = self.of_numbers(sorted(words))
        left = {number: leaving(said, (one for one in bound if one.number == number)) for number, said in words.items()}
        self._bind({(patient, number): left.get(number, ()) for patient, number in gone}, bound, now)

    def join(self, survivor: int, merged: int, lost: Iterable[tuple[int, str]], now: datetime) -> None:
        """Two records become one. Every opt-out of a number that the two do not have any more (``lost``: by record) stays."""
        lost = list(lost)
        self.database.upsert(self.connection, FormerNumberRow, FORMER_COLUMNS, [(self.enterprise, one, who, now) for who, one in lost])
        words, mine = self._words(sorted({number for _, number in lost})), self.of_patients([survivor, merged])
        self._bind({(record, number): opted_out(words.get(number, ())) for record, number in lost}, mine, now)
        theirs = self.of_patients([merged]) if words else [one for one in mine if one.patient == merged]
        self.keep([one._replace(patient=survivor) for one in theirs], now)

    def part(
        self, survivor: int, merged: int, below: Collection[int], since: datetime, listed: Mapping[bool, Collection[str]], now: datetime
    ) -> None:
        """A merge is undone: the record that is given back gets what is its own, and what may be about either holds for both."""
        found = parted(self.of_patients([survivor]), merged=below, since=since, listed=listed)
        moved = [one._replace(patient=merged, origin=one.origin if one.origin in below else merged) for one in found.moved]
        there = [one._replace(seq=0, patient=merged, origin=merged) for one in found.also_there]
        here = [one._replace(seq=0, patient=survivor, origin=survivor) for one in found.also_here]
        self.keep([*moved, *there, *here], now)

    def share(self, patient: int, everybody: Collection[int], numbers: Collection[str], now: datetime) -> None:
        """One patient turns out to be several: every opt-out of its numbers, and all that bound it, holds for each."""
        mine, words = self.of_patients([patient]), self._words(sorted(numbers))
        found = {number: opted_out(said) for number, said in words.items()}
        for one in mine:
            found[one.number] = joined(found.get(one.number, ()), one.words)
        self._bind({(one, number): said for one in everybody for number, said in found.items()}, mine, now)

    def _bind(self, words: dict[tuple[int, str], tuple[Word, ...]], bound: list[Bound], now: datetime) -> None:
        changed = []
        for (patient, number), said in sorted(words.items()):
            old = next((one for one in bound if (one.patient, one.number) == (patient, number)), None)
            new = old or Bound(0, patient, number, patient, (), now)
            after = joined(new.words, said)
            if after != new.words:
                changed.append(new._replace(words=after))
        self.keep(changed, now)

    def _words(self, numbers: list[str]) -> dict[str, tuple[Word, ...]]:
        rows = self.database.select(self.connection, WORDS, [self.enterprise, numbers]) if numbers else []
        return {number: documents.read_words(words) for number, words in rows}

    def _bound(self, sql: str, parameters: list[Any]) -> list[Bound]:
        rows = self.database.select(self.connection, sql, parameters)
        return [Bound(seq, who, number, origin, documents.read_words(words), instant(at)) for seq, who, number, origin, words, at in rows]
