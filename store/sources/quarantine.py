"""What could not be used, kept with its reason: the payload sealed, counted when it comes again, erased when its time is over."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.apply import instant
from store.database import Database
from store.errors import NotFound, PayloadUnreadable
from store.ids import token
from store.sources.sealing import Sealing
from store.tables import RejectionRow

COLUMNS = (
    "id",
    "source",
    "enterprise",
    "digest",
    "scope",
    "status",
    "reason",
    "detail",
    "path",
    "locator",
    "payload",
    "key_id",
    "times",
    "run_id",
    "first_at",
    "last_at",
    "evidence_id",
)
SUMMARY = "id, source, enterprise, scope, status, reason, detail, path, locator, times, run_id, first_at, last_at, evidence_id"
OPEN, RESOLVED = STATUSES = "open", "resolved"
NEWEST = f"SELECT {SUMMARY} FROM rejections WHERE status = ?{{conditions}} ORDER BY last_at DESC, id DESC LIMIT ?"
"""Along an index, whatever is asked: each state by itself."""
AT_ONCE = 500
SEALED_BEFORE = "SELECT id, payload, key_id FROM rejections WHERE key_id IS NOT NULL AND key_id <> ? AND id > ? ORDER BY id LIMIT ?"
OVER = "SELECT id FROM rejections WHERE key_id IS NOT NULL AND last_at < ? LIMIT ?"


class Rejected(NamedTuple):
    """Something that could not be used, on its way into the quarantine. ``scope``: the whole ``record``, or one ``field``.

    ``evidence_id`` is what its sender calls it: a control id, or a resource's type and id.
    """

    reason: str
    detail: str
    path: str
    locator: str
    payload: bytes
    scope: str = "record"
    evidence_id: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A kept rejection. ``payload`` is there only where it was asked for: it holds a patient's data."""

    id: str
    source: str
    enterprise: str
    scope: str
    status: str
    reason: str
    detail: str
    path: str
    locator: str
    times: int
    run_id: str | None
    first_at: datetime
    last_at: datetime
    evidence_id: str = ""
    payload: bytes = b""


class Quarantine:
    """Reads and writes rejections. Without ``sealing`` there is no key, and payloads are not kept at all."""

    def __init__(self, database: Database, sealing: Sealing | None) -> None:
        self.database, self.sealing = database, sealing

    def add(
        self, transaction: Connection, rows: Sequence[Rejected], *, source: str, enterprise: str, run_id: str | None, now: datetime
    ) -> None:
        """Keeps what could not be used. The same payload for the same reason is one rejection, however often it comes."""
        if not rows:
            return
        digests = [_digest(row) for row in rows]
        by_digest, times_now = dict(zip(digests, rows, strict=True)), Counter(digests)
        known = self._known(transaction, source, list(by_digest))
        again = [(times + times_now[digest], now, OPEN, number) for digest, (number, times, _) in known.items()]
        self.database.update(transaction, RejectionRow, ("id",), ("times", "last_at", "status"), again)
        erased = [(*self._sealed(by_digest[digest], number), number) for digest, (number, _, key) in known.items() if key is None]
        self.database.update(transaction, RejectionRow, ("id",), ("payload", "key_id"), erased if self.sealing else [])
        new = []
        for digest, row in by_digest.items():
            if digest not in known:
                number = token("rej")
                said = (row.scope, OPEN, row.reason, row.detail, row.path, row.locator, *self._sealed(row, number))
                new.append((number, source, enterprise, digest, *said, times_now[digest], run_id, now, now, row.evidence_id))
        self.database.insert(transaction, RejectionRow, COLUMNS, new)

    def rejections(
        self,
        enterprise: str | None = None,
        source: str | None = None,
        status: str | None = OPEN,
        limit: int = 100,
        reason: str | None = None,
    ) -> list[Rejection]:
        """Rejections without their payloads, the newest first."""
        given = {"enterprise": enterprise, "source": source, "reason": reason}
        wanted = {name: value for name, value in given.items() if value is not None}
        sql = NEWEST.format(conditions="".join(f" AND {name} = ?" for name in wanted))
        rows = [row for one in ([status] if status else STATUSES) for row in self._select(sql, [one, *wanted.values(), limit])]
        found = [_rejection(row, b"") for row in rows]
        return sorted(found, key=lambda one: (one.last_at, one.id), reverse=True)[:limit]

    def count(self, enterprise: str, source: str, reason: str | None = None) -> int:
        """How many open ones a source has, of one reason or of all."""
        where, said = (" AND reason = ?", [reason]) if reason is not None else ("", [])
        sql = f"SELECT count(*) FROM rejections WHERE enterprise = ? AND source = ? AND status = 'open'{where}"
        return int(self._select(sql, [enterprise, source, *said])[0][0])

    def summary(self, number: str) -> Rejection:
        """One rejection without its payload. Raises :class:`NotFound` when there is none of that id."""
        rows = self._select(f"SELECT {SUMMARY} FROM rejections WHERE id = ?", [number])
        if not rows:
            raise NotFound("no such rejection: emr-sync rejections shows them")
        return _rejection(rows[0], b"")

    def rejection(self, number: str) -> Rejection:
        """One rejection with its payload. Raises :class:`NotFound` when there is none of that id, or its payload does not open."""
        rows = self._select(f"SELECT {SUMMARY}, payload, key_id FROM rejections WHERE id = ?", [number])
        if not rows:
            raise NotFound("no such rejection: emr-sync rejections shows them")
        *said, payload, key = rows[0]
        if key is None:
            raise PayloadUnreadable("its payload is not kept (no payload_keys, or its time was over): let the EMR send it again")
        if self.sealing is None:
            raise PayloadUnreadable(f"its payload is sealed with the key {key!r}: configure payload_keys")
        return _rejection(said, self.sealing.open(bytes(payload), number, key))

    def resolve(self, transaction: Connection, number: str, *, now: datetime) -> None:
        """The rejection was replayed and what it held is applied."""
        self.database.update(transaction, RejectionRow, ("id",), ("status", "last_at"), [(RESOLVED, now, number)])

    def erase(self, before: datetime) -> int:
        """Erases the payloads of what last came before that time; how many. Reasons and counts stay."""
        done = 0
        while True:
            with self.database.write("rejections") as transaction:
                gone = [row[0] for row in self.database.select(transaction, OVER, [self.database.bound(before), AT_ONCE])]
                self.database.update(transaction, RejectionRow, ("id",), ("payload", "key_id"), [(b"", None, number) for number in gone])
            done += len(gone)
            if len(gone) < AT_ONCE:
                return done

    def reseal(self) -> int:
        """Seals with the current key what was sealed with another; how many. Raises :class:`PayloadUnreadable` when a key is missing."""
        if self.sealing is None:
            raise PayloadUnreadable("there is no key to seal with: configure payload_keys")
        done, after = 0, ""
        while True:
            with self.database.write("rejections") as transaction:
                found = self.database.select(transaction, SEALED_BEFORE, [self.sealing.current, after, AT_ONCE])
                rows = [self._resealed(self.sealing, *row) for row in found]
                self.database.update(transaction, RejectionRow, ("id",), ("payload", "key_id"), rows)
            done += len(found)
            if len(found) < AT_ONCE:
                return done
            after = found[-1][0]

    def _resealed(self, sealing: Sealing, number: str, payload: bytes, key: str) -> tuple[bytes, str, str]:
        return sealing.seal(sealing.open(bytes(payload), number, key), number), sealing.current, number

    def _sealed(self, row: Rejected, number: str) -> tuple[bytes, str | None]:
        if self.sealing is None:
            return b"", None
        return self.sealing.seal(row.payload, number), self.sealing.current

    def _known(self, transaction: Connection, source: str, digests: list[str]) -> dict[str, tuple[str, int, str | None]]:
        sql = "SELECT digest, id, times, key_id FROM rejections WHERE source = ? AND digest IN ??"
        return {row[0]: (row[1], row[2], row[3]) for row in self.database.select(transaction, sql, [source, digests])}

    def _select(self, sql: str, parameters: list[Any]) -> list[Any]:
        with self.database.read() as connection:
            return self.database.select(connection, sql, parameters)


def _digest(row: Rejected) -> str:
    said = "\0".join((row.reason, row.path, row.scope)).encode() + b"\0" + row.payload
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _rejection(row: Any, payload: bytes) -> Rejection:
    named = dict(zip(SUMMARY.split(", "), row, strict=True))
    times = {name: instant(named[name]) for name in ("first_at", "last_at")}
    return Rejection(**{**named, **times, "payload": payload})
