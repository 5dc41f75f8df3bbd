"""Rows beside the assertions of patients (future statements, refusals of records) as one transaction reads, changes and writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import Table
from store.domain.periods import FutureStatement
from store.domain.record_refusals import RecordRefusal

T = TypeVar("T", FutureStatement, RecordRefusal)


class KeptRows(ABC, Generic[T]):
    """Rows of one kind of the patients that a transaction touches. The caller opened it; changes are written by :meth:`write`."""

    table: ClassVar[type[Table]]
    columns: ClassVar[tuple[str, ...]]
    key: ClassVar[int]
    """The number of leading columns that identify a row."""

    def __init__(self, database: Database, transaction: Connection) -> None:
        self.database, self.transaction = database, transaction
        self._was: dict[int, list[T]] = {}
        self._now: dict[int, list[T]] = {}

    def of(self, patient: int, *, known: bool = True) -> list[T]:
        """A patient's rows, with the changes so far. ``known``: there may be some in the database."""
        if patient not in self._now:
            self._was[patient] = self._read([patient]).get(patient, []) if known else []
            self._now[patient] = self._was[patient]
        return self._now[patient]

    def put(self, patient: int, rows: Sequence[T]) -> None:
        """Replaces a patient's rows."""
        self.of(patient)
        self._now[patient] = list(rows)

    def move(self, survivor: int, merged: int) -> None:
        """Moves the rows of a merged patient to the survivor."""
        self.write()
        self.transaction.exec_driver_sql(f"UPDATE {self.table.__tablename__} SET patient_id = {survivor} WHERE patient_id = {merged}")
        self._forget(survivor, merged)

    def give_back(self, survivor: int, merged: int, origins: Sequence[int], since: datetime) -> None:
        """Parts two patients again. Refusals stated ``since`` the merge may be about either: both keep them."""
        self.write()
        both = [one for one in self.of(survivor) if one.refuses and one.effective.latest >= since]
        numbers = ", ".join(str(number) for number in origins)
        update = f"UPDATE {self.table.__tablename__} SET patient_id = {merged} WHERE patient_id = {survivor} AND origin IN ({numbers})"
        self.transaction.exec_driver_sql(update)
        owners = [(one, (merged, survivor)[one.origin in origins]) for one in both]
        copies = [self._stored(one._replace(patient_id=other, origin=other)) for one, other in owners]
        self.database.upsert(self.transaction, self.table, self.columns, copies)
        self._forget(survivor, merged)

    def share(self, number: int, others: Sequence[int]) -> None:
        """Splits one patient into several: each keeps the refusals."""
        for other in others:
            self.of(other, known=False)
            self.put(other, [one._replace(patient_id=other, origin=other) for one in self.of(number) if one.refuses])

    def write(self) -> None:
        """Writes what changed."""
        changed = [patient for patient, now in self._now.items() if set(now) != set(self._was[patient])]
        if not changed:
            return
        pairs = [(self._was[patient], self._now[patient]) for patient in changed]
        gone = [self._stored(one)[: self.key] for was, now in pairs for one in was if one not in now]
        new = [self._stored(one) for was, now in pairs for one in now if one not in was]
        self.database.delete(self.transaction, self.table, self.columns[: self.key], gone)
        self.database.upsert(self.transaction, self.table, self.columns, new)
        self._written(changed)
        for patient in changed:
            self._was[patient] = self._now[patient]

    def _written(self, patients: Sequence[int]) -> None:
        """Called after the rows of these patients were written."""

    def _forget(self, *patients: int) -> None:
        for patient in patients:
            self._was.pop(patient, None)
            self._now.pop(patient, None)

    @abstractmethod
    def _read(self, patients: Iterable[int]) -> dict[int, list[T]]:
        """The rows by patient. Patients without any are missing."""

    @abstractmethod
    def _stored(self, one: T) -> tuple[Any, ...]:
        """The row, in the order of the columns."""
