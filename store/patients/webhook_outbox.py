"""What is to be sent to each webhook endpoint: its position in the change feed, and the messages that it has not accepted yet.

A message leaves only when the endpoint has accepted it. Whoever sends claims messages for a while: if it dies, they are due again. Of one
patient only the oldest message is ever due, so an endpoint receives them in order. An endpoint that is disabled keeps its position.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables_records import WebhookEndpointRow, WebhookMessageRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.ids import token
from store.domain.patient import ChangedPatient
from store.domain.webhook import WebhookMessage
from store.errors import NotFound
from store.patients.preferences import Preferences

MOST_WAITING = 10_000
"""The most messages kept for an endpoint. Further changes stay in the feed until there is room."""
FILLED_AT_ONCE = 1_000
CLAIMED_AT_ONCE = 10
CHANGED = "preferences.changed"

ENDPOINT = "SELECT position, disabled, reason FROM webhook_endpoints WHERE name = ?"
LAST = "SELECT COALESCE(MAX(seq), 0) FROM changes WHERE enterprise = ?"
WAITING = "SELECT count(*), min(made) FROM webhook_messages WHERE endpoint = ?"
DUE = """SELECT seq, id, body, attempts FROM webhook_messages m WHERE endpoint = ? AND due <= ? AND NOT EXISTS (
 SELECT 1 FROM webhook_messages e WHERE e.endpoint = m.endpoint AND e.patient = m.patient AND e.seq < m.seq) ORDER BY seq LIMIT ?"""
OF_OTHERS = "SELECT m.seq FROM webhook_messages m JOIN changes c ON c.seq = m.seq WHERE m.endpoint = ? AND c.enterprise <> ?"
LEFT = "SELECT seq FROM webhook_messages WHERE endpoint = ?"
COLUMNS = ("endpoint", "seq", "id", "patient", "body", "attempts", "due", "made")
KEY = ("endpoint", "seq")


class Claimed(NamedTuple):
    """A message to be sent now. ``attempts``: how many there are with this one."""

    seq: int
    message: WebhookMessage
    attempts: int


class EndpointState(NamedTuple):
    """``waiting``: how many messages it has not accepted, ``oldest`` since when. ``disabled``: since when, and ``reason`` why."""

    waiting: int
    oldest: datetime | None
    disabled: datetime | None
    reason: str


def endpoint_states(database: Database, endpoints: Collection[str]) -> dict[str, EndpointState]:
    """The state of each endpoint."""
    with database.read() as connection:
        return {name: endpoint_state(database, connection, name) for name in endpoints}


def endpoint_state(database: Database, connection: Connection, name: str) -> EndpointState:
    """What waits for an endpoint, and whether it is disabled."""
    ((waiting, oldest),) = database.select(connection, WAITING, [name])
    rows = database.select(connection, ENDPOINT, [name])
    _, disabled, reason = rows[0] if rows else (0, None, "")
    return EndpointState(waiting, None if oldest is None else instant(oldest), None if disabled is None else instant(disabled), reason)


class Outbox:
    """The messages of one endpoint. Several processes may use it at once."""

    def __init__(self, store: Preferences, name: str, enterprise: str) -> None:
        self.store, self.name, self.enterprise = store, name, enterprise
        self.database: Database = store.database
        self._lock = f"webhook:{name}"

    def fill(self, now: datetime) -> int:
        """Adds messages about changes since the last time; a new endpoint begins with the next change. Returns their number."""
        with self.database.read() as connection:
            state = self._state(connection)
            ((last,),) = self.database.select(connection, LAST, [self.enterprise])
            ((waiting, _),) = self.database.select(connection, WAITING, [self.name])
        if state is None:
            return self._begin(last)
        room = min(FILLED_AT_ONCE, MOST_WAITING - waiting)
        changes = self.store.changes(self.enterprise, state[0], room) if state[1] is None and last > state[0] and room > 0 else []
        if not changes:
            return 0
        with self.database.write(self._lock) as transaction:
            if self._state(transaction) != state:
                return 0  # another process was faster
            self.database.insert(transaction, WebhookMessageRow, COLUMNS, [self._row(one, now) for one in changes])
            self._keep(transaction, changes[-1].seq, None, "")
        return len(changes)

    def _begin(self, position: int) -> int:
        with self.database.write(self._lock) as transaction:
            if self._state(transaction) is None:
                self._keep(transaction, position, None, "")
        return 0

    def drop_others(self) -> None:
        """Removes messages about patients of another enterprise, whose endpoint this one was in a former configuration."""
        with self.database.read() as connection:
            rows = self.database.select(connection, OF_OTHERS, [self.name, self.enterprise])
        if rows:
            with self.database.write(self._lock) as transaction:
                self.database.delete(transaction, WebhookMessageRow, KEY, [(self.name, row[0]) for row in rows])

    def claim(self, now: datetime, lease: timedelta) -> list[Claimed]:
        """Messages to be sent, the oldest first. Nobody else gets them before the lease is over."""
        with self.database.write(self._lock) as transaction:
            state = self._state(transaction)
            if state is None or state[1] is not None:
                return []
            rows = self.database.select(transaction, DUE, [self.name, self.database.bound(now), CLAIMED_AT_ONCE])
            self.database.update(transaction, WebhookMessageRow, KEY, ("due",), [(now + lease, self.name, row[0]) for row in rows])
        return [Claimed(seq, WebhookMessage(number, body.encode()), attempts + 1) for seq, number, body, attempts in rows]

    def accepted(self, seq: int) -> None:
        """The endpoint has the message."""
        with self.database.write(self._lock) as transaction:
            self.database.delete(transaction, WebhookMessageRow, KEY, [(self.name, seq)])

    def retry(self, failed: Claimed, due: datetime) -> None:
        """The endpoint did not accept the message: it is sent again."""
        with self.database.write(self._lock) as transaction:
            row = (failed.attempts, due, self.name, failed.seq)
            self.database.update(transaction, WebhookMessageRow, KEY, ("attempts", "due"), [row])

    def release(self, unsent: Sequence[Claimed], now: datetime) -> None:
        """Messages that were claimed and not sent are due again."""
        if not unsent:
            return
        with self.database.write(self._lock) as transaction:
            self.database.update(transaction, WebhookMessageRow, KEY, ("due",), [(now, self.name, one.seq) for one in unsent])

    def disable(self, reason: str, now: datetime) -> None:
        """Sends nothing more to the endpoint until a person enables it."""
        with self.database.write(self._lock) as transaction:
            position = (self._state(transaction) or (0, None, ""))[0]
            self._keep(transaction, position, now, reason)

    def enable(self, now: datetime) -> int:
        """Sends again, from where it stopped. Returns the number of messages that wait. Raises :class:`NotFound`."""
        with self.database.write(self._lock) as transaction:
            state = self._state(transaction)
            if state is None:
                raise NotFound("nothing was sent to this endpoint yet")
            self._keep(transaction, state[0], None, "")
            waiting = [row[0] for row in self.database.select(transaction, LEFT, [self.name])]
            self.database.update(transaction, WebhookMessageRow, KEY, ("attempts", "due"), [(0, now, self.name, seq) for seq in waiting])
        return len(waiting)

    def state(self) -> EndpointState:
        """What waits, and whether it is disabled."""
        with self.database.read() as connection:
            return endpoint_state(self.database, connection, self.name)

    def _state(self, connection: Connection) -> tuple[int, object, str] | None:
        rows: Sequence[tuple[int, object, str]] = self.database.select(connection, ENDPOINT, [self.name])
        return rows[0] if rows else None

    def _keep(self, transaction: Connection, position: int, disabled: datetime | None, reason: str) -> None:
        row = (self.name, position, disabled, reason)
        self.database.upsert(transaction, WebhookEndpointRow, ("name", "position", "disabled", "reason"), [row])

    def _row(self, change: ChangedPatient, now: datetime) -> tuple[object, ...]:
        seq, patient, version, at, attributes = change
        data = {"seq": seq, "patient": patient, "version": version, "attributes": attributes}
        body = documents.write({"type": CHANGED, "timestamp": at, "data": data})
        return (self.name, seq, token("msg"), patient, body, 0, now, now)
