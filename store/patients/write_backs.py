"""The outbox of opt-outs for EMRs (``store.domain.write_back``). Written in the transaction that records an opt-out.

There is one row for each record of a patient, source and attribute: of merged records each is written by itself, and is repeated by the EMR
by itself. A row that waits is taken by one process at a time, for :data:`LEASE`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import WriteBackRow
from store.domain.documents import instant
from store.domain.enterprise import Enterprise, Source
from store.domain.identifiers import LEGACY, OWN
from store.domain.sms_consent import active
from store.domain.write_back import CHANNELS, KEPT, WriteBackState, echo, refuses, to_write, without_row
from store.patients.opt_out_bindings import Bindings
from store.patients.write_back_records import PatientRecords
from store.preference import Identifier, PatientStatements, consent, emr

LEASE = timedelta(minutes=2)
AT_ONCE = 50
LOCK = "write-backs"

KEYS = ("source", "patient_id", "attribute")
COLUMNS = (*KEYS, "enterprise", "state", "stated", "attempts", "due", "reason", "sent")
KNOWN = "SELECT patient_id FROM assertions WHERE authority = ? AND patient_id IN ??"
STATES = "SELECT patient_id, state FROM write_backs WHERE source = ? AND attribute = ? AND patient_id IN ??"
DUE = """SELECT source, patient_id, attribute, enterprise, attempts, stated, sent FROM write_backs
         WHERE state = 'waiting' AND due <= ? AND source IN ?? ORDER BY due LIMIT ?"""
SENT = """SELECT source, attribute, sent, state FROM write_backs
          WHERE source IN ?? AND patient_id = ? AND state IN ('sent', 'waiting', 'dead') AND sent IS NOT NULL AND attribute IN ??"""
ONE_WAITING = "SELECT due FROM write_backs WHERE source = ? AND patient_id = ? AND attribute = ? AND state = 'waiting'"
INTO = "SELECT merged_into FROM patients WHERE id = ?"
BOUND = "SELECT DISTINCT patient_id FROM sms_bindings WHERE enterprise = ? AND until IS NULL AND patient_id > ? ORDER BY patient_id LIMIT ?"
COUNTS = "SELECT source, state, count(*) FROM write_backs GROUP BY source, state"
DEAD = "SELECT enterprise, source, count(*), min(due) FROM write_backs WHERE state = 'dead' GROUP BY enterprise, source"
OPEN = """SELECT state, count(*), min(stated) FROM write_backs WHERE state IN ('waiting', 'dead') AND source = ? GROUP BY state"""
LISTED = """SELECT source, patient_id, attribute, state, attempts, reason, stated FROM write_backs
            WHERE source IN ?? AND state = ? ORDER BY stated LIMIT ?"""
PAGE, EVERYTHING = 500, 2**31 - 1


class WriteBack(NamedTuple):
    """An opt-out to write. ``patient``: the record to write it into. ``stated``: when the patient opted out.

    ``tried``: since when the EMR may have it, though it did not answer.
    """

    source: str
    patient: int
    attribute: str
    enterprise: str
    attempts: int
    stated: datetime
    tried: datetime | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        return self.source, self.patient, self.attribute


class ListedWriteBack(NamedTuple):
    """A row for people."""

    source: str
    patient: int
    attribute: str
    state: str
    attempts: int
    reason: str
    stated: datetime


class OpenWriteBacks(NamedTuple):
    """The opt-outs that one EMR does not have: those that wait, the time of the oldest of them, and those that it did not take."""

    waiting: int = 0
    oldest: datetime | None = None
    dead: int = 0


class WriteBacks:
    """The outbox. Thread-safe, for any number of processes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def follow(self, transaction: Connection, enterprise: Enterprise, patients: Collection[int], now: datetime) -> None:
        """Brings the rows of patients whose opt-outs changed up to date, in the transaction that changed them."""
        sources = [one for one in enterprise.sources if one.writes]
        if not sources or not patients:
            return
        refused = self._refused(transaction, enterprise, patients)
        records = PatientRecords(self.database, transaction, patients)
        for source in sources:
            for channel in CHANNELS:
                if consent(channel) in source.writes:
                    by_patient = {patient: refused.get((patient, channel)) for patient in patients}
                    self._follow(transaction, enterprise, source, consent(channel), by_patient, records, now)

    def _refused(self, transaction: Connection, enterprise: Enterprise, patients: Collection[int]) -> dict[tuple[int, str], datetime]:
        """(patient, channel) -> since when the patient refuses it."""
        found: dict[tuple[int, str], datetime] = {}
        for one in Bindings(self.database, transaction, enterprise.name).of_patients(patients):
            for channel in CHANNELS:
                if refuses(one.events, channel):
                    at = max((opt_out.at for opt_out in active(one.events) if opt_out.channel == channel and opt_out.at), default=one.bound)
                    found[one.patient, channel] = max(at, found.get((one.patient, channel), at))
        return found

    def _follow(
        self,
        transaction: Connection,
        enterprise: Enterprise,
        source: Source,
        attribute: str,
        refused: Mapping[int, datetime | None],
        records: PatientRecords,
        now: datetime,
    ) -> None:
        known, states = self._known(transaction, source.name, attribute, refused, records)
        new = [
            (source.name, record, attribute, at)
            for patient, at in sorted(refused.items())
            if at is not None and patient in known
            for record in to_write(patient, records.written(patient, enterprise, source), states)
        ]
        self._add(transaction, enterprise.name, new, now)
        lifted = {record for patient, at in refused.items() if at is None for record in records.all(patient)}
        open_ones = sorted(record for record in lifted if states.get(record) in (*KEPT, WriteBackState.DEAD))
        rows = [(str(WriteBackState.LIFTED), source.name, record, attribute) for record in open_ones]
        self.database.update(transaction, WriteBackRow, KEYS, ("state",), rows)

    def _known(
        self, connection: Connection, source: str, attribute: str, patients: Iterable[int], records: PatientRecords
    ) -> tuple[set[int], dict[int, str]]:
        """The patients whom the source has stated, and the states of the rows of their records."""
        wanted = sorted(patients)
        known = {row[0] for row in self.database.select(connection, KNOWN, [emr(source), wanted])}
        every = sorted({record for patient in wanted for record in records.all(patient)})
        return known, dict(self.database.select(connection, STATES, [source, attribute, every]))

    def _add(self, transaction: Connection, enterprise: str, new: Iterable[tuple[str, int, str, datetime]], now: datetime) -> None:
        rows = [(*key, enterprise, str(WriteBackState.WAITING), at, 0, now, "", None) for *key, at in new]
        self.database.upsert(transaction, WriteBackRow, COLUMNS, rows)

    def fill(self, enterprise: Enterprise, now: datetime) -> None:
        """Adds the opt-outs that are in force and have no row: from before a sink was configured, or before its EMR knew the patient."""
        for patients in self._bound(enterprise):
            with self.database.write(enterprise.name) as transaction:
                self._add(transaction, enterprise.name, self._without_row(transaction, enterprise, patients), now)

    def unsent(self, enterprise: Enterprise) -> dict[str, int]:
        """How many rows :meth:`fill` would add for each source. Changes nothing."""
        found = Counter({one.name: 0 for one in enterprise.sources if one.writes})
        for patients in self._bound(enterprise):
            with self.database.read() as connection:
                found.update(source for source, *_ in self._without_row(connection, enterprise, patients))
        return dict(found)

    def _bound(self, enterprise: Enterprise) -> Iterator[list[int]]:
        """The patients whom opt-outs bind, in groups; none if no source writes."""
        last = 0 if any(one.writes for one in enterprise.sources) else None
        while last is not None:
            with self.database.read() as connection:
                page = [row[0] for row in self.database.select(connection, BOUND, [enterprise.name, last, PAGE])]
            last = page[-1] if page else None
            if page:
                yield page

    def _without_row(
        self, connection: Connection, enterprise: Enterprise, patients: Sequence[int]
    ) -> Iterator[tuple[str, int, str, datetime]]:
        """Source, record, attribute and time of opt-outs that have no row."""
        refused, records = self._refused(connection, enterprise, patients), PatientRecords(self.database, connection, patients)
        for source in enterprise.sources:
            for channel in CHANNELS:
                wanted = {patient: at for (patient, by), at in refused.items() if by == channel}
                if wanted and consent(channel) in source.writes:
                    known, states = self._known(connection, source.name, consent(channel), wanted, records)
                    for one in sorted(known):
                        new = without_row(one, records.written(one, enterprise, source), states)
                        yield from ((source.name, record, consent(channel), wanted[one]) for record in new)

    def take(self, now: datetime, sources: Sequence[str]) -> list[WriteBack]:
        """The opt-outs of these sources that are due, for this process alone until :data:`LEASE` has passed."""
        due = [self.database.bound(now), list(sources)]
        with self.database.read() as connection:
            if not sources or not self.database.select(connection, DUE, [*due, 1]):
                return []
        with self.database.write(LOCK) as transaction:
            rows = self.database.select(transaction, DUE, [*due, AT_ONCE])
            found = [WriteBack(*row)._replace(stated=instant(row[5]), tried=instant(row[6]) if row[6] else None) for row in rows]
            self.database.update(transaction, WriteBackRow, KEYS, ("due",), [(now + LEASE, *one.key) for one in found])
        return found

    def names(self, one: WriteBack) -> tuple[Identifier, ...]:
        """The identifiers of the record that an opt-out is written into, also after it was merged."""
        with self.database.read() as connection:
            patient = one.patient
            while into := self.database.select(connection, INTO, [patient])[0][0]:
                patient = into
            records = PatientRecords(self.database, connection, [patient])
        known = records.of[patient].get(records.record(patient, one.patient), ())
        return tuple(Identifier(name.authority, name.type, name.value) for name in known if name.kind in (OWN, LEGACY))

    def is_waiting(self, one: WriteBack) -> bool:
        """Whether it is still to be written: the patient may have opted in again meanwhile."""
        with self.database.read() as connection:
            return bool(self.database.select(connection, ONE_WAITING, list(one.key)))

    def trying(self, one: WriteBack, now: datetime) -> None:
        """Notes that it is being written: what the EMR repeats from now on is its echo, even if its answer comes later or never."""
        self._change(one, str(WriteBackState.WAITING), one.attempts, None, "", one.tried or now)

    def settle(self, one: WriteBack, state: WriteBackState, reason: str, sent: datetime | None, now: datetime) -> None:
        """Ends the work on a row that waits. A patient's opt-in meanwhile stays in force."""
        self._change(one, str(state), one.attempts + 1, now, reason, sent)

    def again(self, one: WriteBack, due: datetime, reason: str, *, failed: bool = True, tried: datetime | None = None) -> None:
        """Tries again at ``due``. ``tried``: since when the EMR may have it, though it did not answer."""
        self._change(one, str(WriteBackState.WAITING), one.attempts + failed, due, reason, tried)

    def _change(self, one: WriteBack, state: str, attempts: int, due: datetime | None, reason: str, sent: datetime | None) -> None:
        with self.database.write(one.enterprise) as transaction:
            rows = self.database.select(transaction, ONE_WAITING, list(one.key))
            if rows:
                values = (state, attempts, due or instant(rows[0][0]), reason, sent)
                self.database.update(transaction, WriteBackRow, KEYS, ("state", "attempts", "due", "reason", "sent"), [(*values, *one.key)])

    def revive(self, source: str, enterprise: str, now: datetime) -> int:
        """Tries the dead ones of a source again; returns their number. None of them is lifted meanwhile."""
        with self.database.write(enterprise) as transaction:
            dead = self.database.select(transaction, LISTED, [[source], str(WriteBackState.DEAD), EVERYTHING])
            rows = [(str(WriteBackState.WAITING), 0, now, *row[:3]) for row in dead]
            self.database.update(transaction, WriteBackRow, KEYS, ("state", "attempts", "due"), rows)
        return len(dead)

    def listed(self, sources: Sequence[str], state: WriteBackState, limit: int = EVERYTHING) -> list[ListedWriteBack]:
        """The rows of these sources in a state, the oldest first."""
        with self.database.read() as connection:
            rows = self.database.select(connection, LISTED, [list(sources), str(state), limit]) if sources else []
        return [ListedWriteBack(*row)._replace(stated=instant(row[-1])) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """(source, state) -> how many there are."""
        with self.database.read() as connection:
            return {(source, state): number for source, state, number in self.database.select(connection, COUNTS, [])}

    def open(self, source: str) -> OpenWriteBacks:
        """What the EMR of one source does not have."""
        with self.database.read() as connection:
            found = {state: (number, at) for state, number, at in self.database.select(connection, OPEN, [source])}
        waiting, oldest = found.get(WriteBackState.WAITING, (0, None))
        return OpenWriteBacks(waiting, instant(oldest) if oldest else None, found.get(WriteBackState.DEAD, (0, None))[0])

    def dead(self) -> dict[tuple[str, str], tuple[int, datetime]]:
        """(enterprise, source) -> how many a person must look at, and since when the first of them."""
        with self.database.read() as connection:
            rows = self.database.select(connection, DEAD, [])
        return {(enterprise, source): (number, instant(due)) for enterprise, source, number, due in rows}

    def echo(
        self, transaction: Connection, enterprise: Enterprise, sources: Collection[str], patient: int, record: int, item: PatientStatements
    ) -> frozenset[str]:
        """The attributes in which a payload repeats opt-outs that were written to its EMR. What it contradicts is noted.

        ``record``: the one that it is about, of a patient with several; nothing may have been written into the others. Whether the patient
        still refuses is read here: an opt-in while two records were merged may have left the rows of the one that was merged.
        """
        if record != patient:
            record = PatientRecords(self.database, transaction, [patient]).record(patient, record)
        names = [consent(channel) for channel in CHANNELS if consent(channel) in item.statements]
        rows: list[Any] = self.database.select(transaction, SENT, [sorted(sources), record, names]) if names else []
        refused = {consent(channel) for _, channel in self._refused(transaction, enterprise, [patient])} if rows else set()
        found = [(row, echo(item, {row[1]: instant(row[2])}, refused)) for row in rows]
        self._contradict(transaction, record, [row for row, one in found if one.contradicted])
        return frozenset(name for _, one in found for name in one.repeated)

    def _contradict(self, transaction: Connection, record: int, rows: Sequence[Any]) -> None:
        """Notes that the EMR stated something else. A dead letter stays one, but what the EMR denies from now on is its own."""
        keys = [((source, record, attribute), state) for source, attribute, _, state in rows]
        sent = [(str(WriteBackState.CONTRADICTED), *key) for key, state in keys if state == WriteBackState.SENT]
        dead = [(None, *key) for key, state in keys if state == WriteBackState.DEAD]
        self.database.update(transaction, WriteBackRow, KEYS, ("state",), sent)
        self.database.update(transaction, WriteBackRow, KEYS, ("sent",), dead)
