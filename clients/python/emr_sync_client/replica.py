"""Decisions kept in SQLite, so that questions asked in advance are answered without the network, within a stated freshness.

A replica holds no preferences. It holds the service's decisions on the questions that it watches, asks for a decision again when the feed
of changes names its patient, and asks for all of them again when the rules or the feed's epoch change. So it cannot differ from the
service by a rule of its own. It refuses whatever it cannot know: a question that it does not watch, and every question once it has not
heard from the service for longer than its freshness.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from emr_sync_client.client import ChangePage, SenderClient
from emr_sync_client.model import NO_ANSWER, Appointment, Ask, Decision, Who, checked, refusal, request

FRESHNESS_SECONDS = 60.0
SETTLE_SECONDS = 2.0
"""For so long after a change of the rules the service may still decide by the former ones."""
PAGE = 10_000
NOT_WATCHED, STALE = "not_in_replica", "replica_stale"
SCHEMA = """
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), after INTEGER NOT NULL, epoch TEXT NOT NULL,
 rules TEXT NOT NULL, rules_since REAL NOT NULL, current_at REAL NOT NULL);
INSERT OR IGNORE INTO position VALUES (1, 0, '', '', 0, 0);
CREATE TABLE IF NOT EXISTS questions (ask TEXT PRIMARY KEY, named TEXT NOT NULL, patient TEXT, answer TEXT, asked_at REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_named ON questions (named);
CREATE INDEX IF NOT EXISTS by_patient ON questions (patient);
"""
FORGET = "UPDATE questions SET answer = NULL, patient = NULL"


class Replica:
    """Decisions on watched questions, in the SQLite file ``path``, which only its user can read. Thread-safe; one process per file syncs.

    ``freshness``: how old the last contact with the service may be, in seconds. ``clock``: seconds, of the wall clock. ``steady``: of a
    clock that is never set.
    """

    def __init__(
        self,
        path: str | Path,
        client: SenderClient,
        *,
        freshness: float = FRESHNESS_SECONDS,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._path, self._client, self._freshness, self._clock = path, client, freshness, clock
        self._syncing = threading.Lock()
        self._steady, self._seen = steady, (0.0, 0.0)
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)

    def watch(self, asks: Iterable[Ask]) -> None:
        """Adds questions; the next :meth:`sync` asks them. Each has no ``at``, and its patient is the store's id."""
        rows = [(_key(ask), ask.who.id) for ask in asks]
        with self._database() as database:
            database.executemany("INSERT OR IGNORE INTO questions (ask, named) VALUES (?, ?)", rows)

    def forget(self, asks: Iterable[Ask]) -> None:
        """Removes questions."""
        with self._database() as database:
            database.executemany("DELETE FROM questions WHERE ask = ?", [(_key(ask),) for ask in asks])

    def decide(self, ask: Ask) -> Decision:
        """The service's decision as of at most ``freshness`` seconds ago; otherwise a decision not to send, which says why."""
        with self._database() as database:
            row = database.execute("SELECT answer, current_at FROM questions, position WHERE ask = ?", (_key(ask),)).fetchone()
        if row is None:
            return refusal(NOT_WATCHED)
        answer, current_at = row
        if not self._is_fresh(current_at):
            return refusal(STALE)
        return checked(ask, json.loads(answer)) if answer is not None else refusal()

    def _is_fresh(self, current_at: float) -> bool:
        """By the wall clock; and, as that may be set back, by how long this process has seen the same last contact."""
        known, since = self._seen
        if known != current_at:
            since = self._steady()
            self._seen = current_at, since
        return 0 <= self._clock() - current_at <= self._freshness and self._steady() - since <= self._freshness

    def sync(self) -> bool:
        """Catches up with the service; ``True`` if it did. Call it every few seconds, in a thread of its own.

        ``False``: the service gave no answer, or its rules changed less than :data:`SETTLE_SECONDS` ago. Decisions are then refused when
        the freshness is over.
        """
        with self._syncing:
            while True:
                began = self._clock()
                is_at_end = self._read_changes()
                if is_at_end is None or not self._ask():
                    return False
                if is_at_end:
                    return self._mark_current(began)

    def _read_changes(self) -> bool | None:
        """Forgets the decisions that changes concern. ``True`` at the end of the feed; ``None`` if the service gave no answer."""
        after, epoch = self._position()
        page = self._client.changes(after, epoch, limit=PAGE)
        if page is None or (page.is_restarted and after == 0):
            return None
        if page.is_restarted:
            with self._database() as database:
                database.execute(FORGET)
                database.execute("UPDATE position SET after = 0, epoch = '', current_at = 0")
            return False
        return self._apply(page)

    def _apply(self, page: ChangePage) -> bool:
        """In one transaction with the position: what a page makes doubtful is forgotten."""
        now = self._clock()
        with self._database() as database:
            rules, since = database.execute("SELECT rules, rules_since FROM position").fetchone()
            patients = [(one, one) for one in set(page.patients)]
            database.executemany(f"{FORGET} WHERE named = ? OR patient = ?", patients)
            if page.rules != rules or since > now:  # our clock was set back: when answers were asked is not known any more
                database.execute(FORGET)
                since = now
            elif now - since > SETTLE_SECONDS:
                database.execute(f"{FORGET} WHERE asked_at <= ?", (since + SETTLE_SECONDS,))
            position = (page.after, page.epoch, page.rules, since)
            database.execute("UPDATE position SET after = ?, epoch = ?, rules = ?, rules_since = ?", position)
        return len(page.patients) < PAGE

    def _ask(self) -> bool:
        """Asks what has no decision; ``False`` as soon as the service gives no answer."""
        with self._database() as database:
            waiting = [row[0] for row in database.execute("SELECT ask FROM questions WHERE answer IS NULL")]
        now, rows = self._clock(), []
        for ask, decision in self._client.decide_many(map(_ask, waiting)):
            if NO_ANSWER in decision.reasons:
                return False
            rows.append((json.dumps(decision.raw), decision.patient, now, _key(ask)))
        with self._database() as database:
            database.executemany("UPDATE questions SET answer = ?, patient = ?, asked_at = ? WHERE ask = ?", rows)
        return True

    def _position(self) -> tuple[int, str]:
        with self._database() as database:
            after, epoch = database.execute("SELECT after, epoch FROM position").fetchone()
        return after, epoch

    def _mark_current(self, began: float) -> bool:
        with self._database() as database:
            found = database.execute("UPDATE position SET current_at = ? WHERE rules_since + ? < ?", (began, SETTLE_SECONDS, began))
            return found.rowcount == 1

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at its end."""
        with closing(sqlite3.connect(self._path, timeout=10)) as database, database:
            yield database


def _key(ask: Ask) -> str:
    if ask.who.id is None or ask.who.value is not None:
        raise ValueError("a replica's question names its patient by the store's id alone: take it from Decision.patient")
    if ask.at is not None:
        raise ValueError("a replica answers as of now: ask the service about a later time")
    return json.dumps(request(ask), sort_keys=True)


def _ask(text: str) -> Ask:
    fields = json.loads(text)
    appointment = Appointment(**fields["appointment"]) if "appointment" in fields else None
    rest = {name: fields.get(name) for name in ("line", "topic", "category")}
    return Ask(Who(**fields["patient"]), fields["message_type"], fields["channels"], appointment=appointment, **rest)
