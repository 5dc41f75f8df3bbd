"""Opt-outs that staff type into EMRs which take no message: what waits, and the tick when one is done.

The rows are those of the outbox (``store.patients.write_backs``); nothing sends them. A tick is what an EMR's answer is to another sink.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from store.audit.audit_log import TYPED_IN, Audit
from store.db.database import Database
from store.db.tables_records import WriteBackRow
from store.domain.documents import instant
from store.domain.enterprise import Enterprise
from store.domain.ids import shown
from store.domain.lock import Actor
from store.domain.write_back import WriteBackState
from store.patients.write_backs import KEYS, WriteBack, WriteBacks
from store.preference import Identifier

LISTED = """SELECT source, patient_id, attribute, enterprise, attempts, stated FROM write_backs
            WHERE enterprise = ? AND source IN ?? AND state = 'waiting' ORDER BY stated, patient_id, source, attribute LIMIT ?"""
COUNT = "SELECT count(*) FROM write_backs WHERE enterprise = ? AND source IN ?? AND state = 'waiting'"
LISTED_AT = """SELECT due, attempts FROM write_backs
               WHERE source = ? AND patient_id = ? AND attribute = ? AND enterprise = ? AND state = 'waiting'"""
EVERYTHING = 1 << 31


class ToType(NamedTuple):
    """An opt-out to type into an EMR. ``patient``: the store's id; ``names``: the identifiers by which the EMR knows the patient."""

    source: str
    display_name: str
    patient: int
    attribute: str
    stated: datetime
    names: tuple[Identifier, ...]


class Worklist:
    """The list of each enterprise. Thread-safe, for any number of processes."""

    def __init__(self, database: Database) -> None:
        self.database, self.outbox, self.audit = database, WriteBacks(database), Audit(database)

    def waiting(self, enterprise: Enterprise, limit: int = EVERYTHING) -> list[ToType]:
        """What is to be typed, the oldest opt-out first."""
        titles = {one.name: one.display_name for one in enterprise.sources if one.worklist}
        if not titles:
            return []
        with self.database.read() as connection:
            rows = self.database.select(connection, LISTED, [enterprise.name, sorted(titles), limit])
        found = [WriteBack(*row)._replace(stated=instant(row[-1])) for row in rows]
        return [ToType(one.source, titles[one.source], one.patient, one.attribute, one.stated, self.outbox.names(one)) for one in found]

    def count(self, enterprise: Enterprise) -> int:
        """How many there are to type."""
        sources = _sources(enterprise)
        with self.database.read() as connection:
            return int(self.database.select(connection, COUNT, [enterprise.name, sources])[0][0]) if sources else 0

    def done(self, enterprise: Enterprise, source: str, patient: int, attribute: str, *, actor: Actor, now: datetime) -> bool:
        """Notes that somebody typed one in, and who. ``False`` if it does not wait: it is done already, or the patient opted in again.

        What the EMR states from the time on at which the opt-out was listed is its echo.
        """
        if source not in _sources(enterprise):
            return False
        key = (source, patient, attribute)
        with self.database.write(enterprise.name) as transaction:
            rows = self.database.select(transaction, LISTED_AT, [*key, enterprise.name])
            if rows:
                values = (str(WriteBackState.SENT), rows[0][1] + 1, instant(rows[0][0]), *key)
                self.database.update(transaction, WriteBackRow, KEYS, ("state", "attempts", "sent"), [values])
                self.audit.changed(
                    transaction, enterprise.name, TYPED_IN, shown(patient), actor=str(actor), now=now, source=source, attribute=attribute
                )
        return bool(rows)


def _sources(enterprise: Enterprise) -> Sequence[str]:
    return sorted(one.name for one in enterprise.sources if one.worklist)
