"""Replies that may mean an opt-out, and opt-outs that may also cancel an appointment: kept with their text sealed, until a person decides.

They are a patient's own words: never in logs, and readable only with the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import SmsReplyRow
from store.domain.documents import instant
from store.domain.ids import shown, token
from store.domain.sms_consent import OPT_OUT, REVIEW
from store.errors import PayloadUnreadable, ReplyUnknown, VersionConflict
from store.runs.encryption import Sealing

DISMISSED = "dismissed"
APPOINTMENT, HANDLED = "appointment", "handled"
"""An opt-out that may also cancel an appointment: it waits for a person, or one has looked after it."""
STATES = (REVIEW, OPT_OUT, DISMISSED, APPOINTMENT, HANDLED)
WAITING_STATES = (REVIEW, APPOINTMENT)
COLUMNS = (
    "id", "enterprise", "state", "number", "line", "scope", "body", "key_id", "received", "recorded", "decided", "actor", "reason",
)  # fmt: skip
SELECT = f"SELECT {', '.join(COLUMNS)} FROM sms_replies WHERE enterprise = ?"
ONE = f"{SELECT} AND id = ?"
SOME = f"{SELECT} AND state = ? ORDER BY recorded DESC, id DESC LIMIT ?"
THERE = "SELECT 1 FROM sms_replies WHERE enterprise = ? AND number = ? AND line = ? AND received = ?"
WAITING = "SELECT state, count(*), min(recorded) FROM sms_replies WHERE enterprise = ? AND state IN ?? GROUP BY state"
ALSO = """SELECT 1 FROM sms_replies WHERE enterprise = ? AND state = 'review' AND number = ? AND scope = ? AND id <> ?
 AND (line = ? OR scope = 'all_lines')"""
PATIENTS = """SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number IN ??
 UNION SELECT number, patient_id FROM sms_bindings WHERE enterprise = ? AND number IN ?? AND until IS NULL ORDER BY 2"""


class WaitingReplies(NamedTuple):
    """How many replies wait, and since when the oldest of them does."""

    number: int
    oldest: datetime


class KeptText(NamedTuple):
    """A reply on its way into the queue, in one of :data:`WAITING_STATES`."""

    number: str
    line: str
    scope: str
    body: str
    received: datetime
    state: str = REVIEW


@dataclass(frozen=True, slots=True)
class KeptReply:
    """One reply. ``state`` is one of :data:`STATES`; ``body`` is ``None`` where it was not kept or does not open.

    ``patients``: who has or had the number, by the store's id.
    """

    id: str
    state: str
    number: str
    line: str
    scope: str
    received: datetime
    recorded: datetime
    decided: datetime | None
    actor: str
    reason: str
    body: str | None = field(default=None, repr=False)
    patients: tuple[str, ...] = ()


class Replies:
    """The queue of an enterprise, and what became of it."""

    def __init__(self, database: Database, sealing: Sealing | None) -> None:
        self.database, self.sealing = database, sealing

    def add(self, transaction: Connection, enterprise: str, kept: Sequence[KeptText], now: datetime) -> None:
        """Puts replies into the queue. One that comes again is there already."""
        rows = []
        for one in kept:
            if self.database.select(transaction, THERE, [enterprise, one.number, one.line, self.database.bound(one.received)]):
                continue
            number = token("rep")
            sealed = (self.sealing.seal(one.body.encode(), number), self.sealing.current) if self.sealing else (b"", None)
            rows.append((number, enterprise, one.state, one.number, one.line, one.scope, *sealed, one.received, now, None, "", ""))
        self.database.insert(transaction, SmsReplyRow, COLUMNS, rows)

    def some(self, enterprise: str, state: str = REVIEW, limit: int = 100) -> list[KeptReply]:
        """Replies in one state, the newest first."""
        with self.database.read() as connection:
            rows = self.database.select(connection, SOME, [enterprise, state, limit])
            return self._kept(connection, enterprise, rows)

    def waiting(self, enterprise: str) -> dict[str, WaitingReplies]:
        """Those that wait for a person, by their state; states without any are missing."""
        with self.database.read() as connection:
            rows = self.database.select(connection, WAITING, [enterprise, list(WAITING_STATES)])
        return {state: WaitingReplies(number, instant(oldest)) for state, number, oldest in sorted(map(tuple, rows), reverse=True)}

    def one(self, enterprise: str, number: str) -> KeptReply:
        """One reply. Raises :class:`ReplyUnknown`."""
        with self.database.read() as connection:
            rows = self.database.select(connection, ONE, [enterprise, number])
            if not rows:
                raise ReplyUnknown("no such reply: list them with emr-sync replies")
            return self._kept(connection, enterprise, rows)[0]

    def open(self, transaction: Connection, enterprise: str, number: str) -> KeptReply:
        """One reply that waits, inside the transaction that decides it. Raises :class:`ReplyUnknown` or :class:`VersionConflict`."""
        rows = self.database.select(transaction, ONE, [enterprise, number])
        if not rows:
            raise ReplyUnknown("no such reply: list them with emr-sync replies")
        found = _reply(rows[0], None, ())
        if found.state not in WAITING_STATES:
            raise VersionConflict("this reply was already decided")
        return found

    def others_wait(self, transaction: Connection, enterprise: str, reply: KeptReply) -> bool:
        """Whether a further unclear reply from the same number, which suspends the same, waits."""
        asked = [enterprise, reply.number, reply.scope, reply.id, reply.line]
        return bool(self.database.select(transaction, ALSO, asked))

    def close(self, transaction: Connection, reply: KeptReply, state: str, *, actor: str, reason: str, now: datetime) -> None:
        """A person has decided."""
        self.database.update(
            transaction, SmsReplyRow, ("id",), ("state", "decided", "actor", "reason"), [(state, now, actor, reason, reply.id)]
        )

    def _kept(self, connection: Connection, enterprise: str, rows: Sequence[Any]) -> list[KeptReply]:
        numbers = sorted({row[3] for row in rows})
        who: dict[str, list[str]] = {}
        for number, patient in self.database.select(connection, PATIENTS, [enterprise, numbers] * 2) if numbers else ():
            who.setdefault(number, []).append(shown(patient))
        return [_reply(row, self._body(row), tuple(who.get(row[3], ()))) for row in rows]

    def _body(self, row: Any) -> str | None:
        number, sealed, key = row[0], bytes(row[6]), row[7]
        if key is None or self.sealing is None:
            return None
        try:
            return self.sealing.open(sealed, number, key).decode()
        except PayloadUnreadable:
            return None


def _reply(row: Any, body: str | None, patients: tuple[str, ...]) -> KeptReply:
    number, _, state, phone, line, scope, _, _, received, recorded, decided, actor, reason = row
    when = None if decided is None else instant(decided)
    return KeptReply(number, state, phone, line, scope, instant(received), instant(recorded), when, actor, reason, body, patients)
