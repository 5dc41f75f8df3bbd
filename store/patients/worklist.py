"""Opt-outs that staff type into EMRs which take no message: what waits, and the tick when one is done.

The rows are those of the outbox (``store.patients.write_backs``); nothing sends them. A tick is what an EMR's answer is to another sink. It
can be taken back: then what the EMR denies was its own, unless it states it before somebody ticks again. While a row waits, ``due`` is when
it was listed; after the tick ``sent`` is that, and ``due`` the time of the tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store.audit.audit_log import NOT_TYPED_IN, TYPED_IN, Audit
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
TICKED = """SELECT source, patient_id, attribute, enterprise, attempts, stated, due FROM write_backs
            WHERE enterprise = ? AND source IN ?? AND state IN ('sent', 'contradicted') AND sent IS NOT NULL
            ORDER BY due DESC, patient_id, source, attribute LIMIT ?"""
TICKED_AT = """SELECT sent, attempts FROM write_backs WHERE source = ? AND patient_id = ? AND attribute = ? AND enterprise = ?
               AND state IN ('sent', 'contradicted') AND sent IS NOT NULL"""
EVERYTHING = 1 << 31


class ToType(NamedTuple):
    """An opt-out to type into an EMR. ``patient``: the store's id; ``names``: the identifiers by which the EMR knows the patient.

    ``ticked``: when somebody marked it as typed in.
    """

    source: str
    display_name: str
    patient: int
    attribute: str
    stated: datetime
    names: tuple[Identifier, ...]
    ticked: datetime | None = None


class TickChange(NamedTuple):
    """A tick, or taking it back: how its row is found, its state after that, and the action for the audit log."""

    find: str
    state: WriteBackState
    action: str


class Worklist:
    """The list of each enterprise. Thread-safe, for any number of processes."""

    def __init__(self, database: Database) -> None:
        self.database, self.outbox, self.audit = database, WriteBacks(database), Audit(database)

    def waiting(self, enterprise: Enterprise, limit: int = EVERYTHING) -> list[ToType]:
        """What is to be typed, the oldest opt-out first."""
        return [self._to_type(enterprise, row) for row in self._rows(enterprise, LISTED, limit)]

    def ticked(self, enterprise: Enterprise, limit: int = EVERYTHING) -> list[ToType]:
        """What was ticked off and whose patient still refuses, the last tick first."""
        return [self._to_type(enterprise, row[:-1])._replace(ticked=instant(row[-1])) for row in self._rows(enterprise, TICKED, limit)]

    def _rows(self, enterprise: Enterprise, sql: str, limit: int) -> Sequence[Any]:
        sources = _sources(enterprise)
        with self.database.read() as connection:
            return self.database.select(connection, sql, [enterprise.name, sources, limit]) if sources else []

    def _to_type(self, enterprise: Enterprise, row: Any) -> ToType:
        one, titles = WriteBack(*row)._replace(stated=instant(row[5])), {each.name: each.display_name for each in enterprise.sources}
        return ToType(one.source, titles[one.source], one.patient, one.attribute, one.stated, self.outbox.names(one))

    def count(self, enterprise: Enterprise) -> int:
        """How many there are to type."""
        sources = _sources(enterprise)
        with self.database.read() as connection:
            return int(self.database.select(connection, COUNT, [enterprise.name, sources])[0][0]) if sources else 0

    def done(self, enterprise: Enterprise, source: str, patient: int, attribute: str, *, actor: Actor, now: datetime) -> bool:
        """Notes that somebody typed one in, and who. ``False`` if it does not wait: it is done already, or the patient opted in again.

        What the EMR states from the time on at which the opt-out was listed is its echo.
        """
        tick = TickChange(LISTED_AT, WriteBackState.SENT, TYPED_IN)
        return self._change(enterprise, (source, patient, attribute), tick, actor, now)

    def undo(self, enterprise: Enterprise, source: str, patient: int, attribute: str, *, actor: Actor, now: datetime) -> bool:
        """Takes a tick back, and notes who did. ``False`` if there is none, or the patient opted in again."""
        back = TickChange(TICKED_AT, WriteBackState.WAITING, NOT_TYPED_IN)
        return self._change(enterprise, (source, patient, attribute), back, actor, now)

    def _change(self, enterprise: Enterprise, key: tuple[str, int, str], change: TickChange, actor: Actor, now: datetime) -> bool:
        source, patient, attribute = key
        if source not in _sources(enterprise):
            return False
        with self.database.write(enterprise.name) as transaction:
            rows = self.database.select(transaction, change.find, [*key, enterprise.name])
            if rows:
                listed, is_tick = instant(rows[0][0]), change.state == WriteBackState.SENT
                values = (str(change.state), rows[0][1] + is_tick, *((listed, now) if is_tick else (None, listed)), *key)
                self.database.update(transaction, WriteBackRow, KEYS, ("state", "attempts", "sent", "due"), [values])
                detail = {"source": source, "attribute": attribute}
                self.audit.changed(transaction, enterprise.name, change.action, shown(patient), actor=str(actor), now=now, **detail)
        return bool(rows)


def _sources(enterprise: Enterprise) -> Sequence[str]:
    return sorted(one.name for one in enterprise.sources if one.worklist)
