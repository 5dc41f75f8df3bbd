"""Rejections: what could not be used, with its reason. Payloads are encrypted, counted when repeated, and erased after retention.

What is kept within an hour is limited (``store.runs.rejection_room``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.tables import RejectionRow
from store.db.tables_operations import RejectionRoomRow
from store.domain.documents import instant
from store.domain.ids import shown, token
from store.errors import NotFound, PayloadUnreadable
from store.runs.encryption import Sealing
from store.runs.rejection_room import BARE, KEEP, LEAVE_OUT, TRUNCATED, Room, Used, admitted, hour_of

COLUMNS = (
    *("id", "source", "enterprise", "run_id", "digest", "times", "first_at", "last_at"),
    *("scope", "status", "reason", "detail", "path", "locator", "payload", "key_id", "evidence_id", "attribute", "patient_id"),
)
SUMMARY = (
    "id, source, enterprise, scope, status, reason, detail, path, locator, times, run_id, first_at, last_at, evidence_id, attribute,"
    " patient_id"
)
NEWEST = f"SELECT {SUMMARY} FROM rejections WHERE status = ?{{conditions}} ORDER BY last_at DESC, id DESC LIMIT ?"
"""Each status is read by itself, so that every combination of conditions can use an index."""
USED = "SELECT hour, nameless, nameless_bytes, named_bytes, left_out, bare FROM rejection_room WHERE source = ?"
USED_COLUMNS = ("source", "enterprise", "hour", "nameless", "nameless_bytes", "named_bytes", "left_out", "bare")
AT_ONCE = 500
SEALED_BEFORE = "SELECT id, payload, key_id FROM rejections WHERE key_id IS NOT NULL AND key_id <> ? AND id > ? ORDER BY id LIMIT ?"
EXPIRED = "SELECT id FROM rejections WHERE key_id IS NOT NULL AND last_at < ? LIMIT ?"


class RejectionStatus(StrEnum):
    """Whether somebody still has to look at it."""

    OPEN = "open"
    RESOLVED = "resolved"


class Rejected(NamedTuple):
    """Something that could not be used, before it is stored. ``scope``: the whole ``record``, or one ``field``.

    ``evidence_id`` is the sender's id of it: a control id, or a resource's type and id. ``nameless``: its patient cannot be told, and its
    sender was notified or still has it. It may be left out when too many of its kind arrive. ``attribute``: the preference that could not
    be read, and ``patient_id``: the store's number of its patient, if they are known.
    """

    reason: str
    detail: str
    path: str
    locator: str
    payload: bytes
    scope: str = "record"
    evidence_id: str = ""
    nameless: bool = False
    attribute: str = ""
    patient_id: int | None = None


class NotKept(NamedTuple):
    """What the hourly limit left out: how many rows, and the indexes of those kept without their payload."""

    left_out: int = 0
    bare: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A stored rejection. ``payload`` is only loaded when requested, since it contains a patient's data.

    ``attribute``: the preference that could not be read; ``patient``: whose it is, by the store's id. Both are empty if unknown.
    """

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
    attribute: str = ""
    patient: str = ""
    payload: bytes = b""


class RejectionStore:
    """Reads and writes rejections. Without ``sealing`` there is no key, and no payloads are kept."""

    def __init__(self, database: Database, sealing: Sealing | None, room: Room = Room()) -> None:  # noqa: B008 - a frozen value
        self.database, self.sealing, self.room = database, sealing, room

    def add(
        self,
        transaction: Connection,
        rows: Sequence[Rejected],
        *,
        source: str,
        enterprise: str,
        run_id: str | None,
        now: datetime,
        replayed: Rejection | None = None,
    ) -> NotKept:
        """Stores rejections. The same payload with the same reason is one rejection, however often it arrives.

        ``replayed``: the rejection whose replay this is. A replay is no receipt: what is known keeps its count and times, and what is new
        has those of the replayed one.
        """
        if not rows:
            return NotKept()
        digests = [_digest(row) for row in rows]
        by_digest, times_now = dict(zip(digests, rows, strict=True)), Counter(digests)
        known = self._known(transaction, source, list(by_digest))
        self._repeat(transaction, known, times_now if replayed is None else None, now)
        fate = self._fates(transaction, by_digest, known, source, enterprise, now)
        newly_kept = [(by_digest[digest], known[digest][0]) for digest, one in fate.items() if one == KEEP and digest in known]
        resealed = [(*self._sealed(row, number), number) for row, number in newly_kept]
        self.database.update(transaction, RejectionRow, ("id",), ("payload", "key_id"), resealed)
        receipts = {
            digest: (times_now[digest], now, now) if replayed is None else (replayed.times, replayed.first_at, replayed.last_at)
            for digest in by_digest
        }
        new = [
            (number := token("rej"), source, enterprise, run_id, digest, *receipts[digest], *self._content(row, number, fate[digest]))
            for digest, row in by_digest.items()
            if digest not in known and fate[digest] != LEAVE_OUT
        ]
        self.database.insert(transaction, RejectionRow, COLUMNS, new)
        left_out = sum(times_now[digest] for digest, one in fate.items() if one == LEAVE_OUT)
        return NotKept(left_out, frozenset(place for place, digest in enumerate(digests) if fate.get(digest) == BARE))

    def rejections(
        self,
        enterprise: str | None = None,
        source: str | None = None,
        status: str | None = RejectionStatus.OPEN,
        limit: int = 100,
        reason: str | None = None,
    ) -> list[Rejection]:
        """Rejections without their payloads, the newest first."""
        filters = {"enterprise": enterprise, "source": source, "reason": reason}
        wanted = {name: value for name, value in filters.items() if value is not None}
        sql = NEWEST.format(conditions="".join(f" AND {name} = ?" for name in wanted))
        rows = [row for one in ([status] if status else RejectionStatus) for row in self._select(sql, [one, *wanted.values(), limit])]
        found = [_rejection(row, b"") for row in rows]
        return sorted(found, key=lambda one: (one.last_at, one.id), reverse=True)[:limit]

    def count(self, enterprise: str, source: str, reason: str | None = None) -> int:
        """The number of a source's open rejections, for one reason or for all."""
        where, parameters = (" AND reason = ?", [reason]) if reason is not None else ("", [])
        sql = f"SELECT count(*) FROM rejections WHERE enterprise = ? AND source = ? AND status = 'open'{where}"
        return int(self._select(sql, [enterprise, source, *parameters])[0][0])

    def summary(self, number: str) -> Rejection:
        """One rejection without its payload. Raises :class:`NotFound` if there is none with that id."""
        rows = self._select(f"SELECT {SUMMARY} FROM rejections WHERE id = ?", [number])
        if not rows:
            raise NotFound("no such rejection: list them with emr-sync rejections")
        return _rejection(rows[0], b"")

    def summaries(self, numbers: Sequence[str]) -> dict[str, Rejection]:
        """Several rejections by id, without their payloads. Unknown ids are left out."""
        rows = self._select(f"SELECT {SUMMARY} FROM rejections WHERE id IN ??", [list(numbers)]) if numbers else []
        return {row[0]: _rejection(row, b"") for row in rows}

    def rejection(self, number: str) -> Rejection:
        """One rejection with its payload. Raises :class:`NotFound` if there is none with that id.

        Raises :class:`PayloadUnreadable` if the payload is not stored or cannot be decrypted.
        """
        rows = self._select(f"SELECT {SUMMARY}, payload, key_id FROM rejections WHERE id = ?", [number])
        if not rows:
            raise NotFound("no such rejection: list them with emr-sync rejections")
        *summary, payload, key = rows[0]
        if key is None:
            raise PayloadUnreadable("the payload is not stored (no key, retention expired or hourly limit reached): have the EMR resend it")
        if self.sealing is None:
            raise PayloadUnreadable(f"the payload is encrypted with the key {key!r}: configure payload_keys")
        return _rejection(summary, self.sealing.open(bytes(payload), number, key))

    def resolve(self, transaction: Connection, number: str) -> None:
        """Marks a rejection as resolved: it was replayed and its content is applied."""
        self.database.update(transaction, RejectionRow, ("id",), ("status",), [(RejectionStatus.RESOLVED, number)])

    def erase(self, before: datetime) -> int:
        """Erases the payloads that last arrived before that time and returns their number. Reasons and counts are kept."""
        done = 0
        while True:
            with self.database.write("rejections") as transaction:
                numbers = [row[0] for row in self.database.select(transaction, EXPIRED, [self.database.bound(before), AT_ONCE])]
                self.database.update(transaction, RejectionRow, ("id",), ("payload", "key_id"), [(b"", None, number) for number in numbers])
            done += len(numbers)
            if len(numbers) < AT_ONCE:
                return done

    def reseal(self) -> int:
        """Encrypts older payloads with the current key and returns their number. Raises :class:`PayloadUnreadable` for a missing key."""
        if self.sealing is None:
            raise PayloadUnreadable("no encryption key: configure payload_keys")
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

    def _repeat(
        self, transaction: Connection, known: Mapping[str, tuple[str, int, str | None]], received: Mapping[str, int] | None, now: datetime
    ) -> None:
        """Opens known rejections. ``received``: how often each came now; ``None`` if none of them came."""
        if received is None:
            opened = [(RejectionStatus.OPEN, number) for number, _, _ in known.values()]
            self.database.update(transaction, RejectionRow, ("id",), ("status",), opened)
            return
        again = [(times + received[digest], now, RejectionStatus.OPEN, number) for digest, (number, times, _) in known.items()]
        self.database.update(transaction, RejectionRow, ("id",), ("times", "last_at", "status"), again)

    def _fates(
        self,
        transaction: Connection,
        rows: Mapping[str, Rejected],
        known: Mapping[str, tuple[str, int, str | None]],
        source: str,
        enterprise: str,
        now: datetime,
    ) -> dict[str, str]:
        """What to do with each payload that is not kept yet, by what is left of the hourly limit."""
        wanted = [digest for digest in rows if digest not in known or (known[digest][2] is None and self.sealing)]
        if not wanted:
            return {}
        before = used = self._used(transaction, source, hour_of(now))
        fates = {}
        for digest in wanted:
            size = len(rows[digest].payload) if self.sealing else 0
            fates[digest], used = admitted(used, self.room, size, nameless=rows[digest].nameless)
        amounts = (used.hour, used.nameless, used.nameless_bytes, used.named_bytes, used.left_out, used.bare)
        self.database.upsert(transaction, RejectionRoomRow, USED_COLUMNS, [(source, enterprise, *amounts)])
        if (used.left_out, used.bare) != (before.left_out, before.bare):
            self._note_left_out(transaction, used, source, enterprise, now)
        return fates

    def _used(self, transaction: Connection, source: str, hour: datetime) -> Used:
        rows = self.database.select(transaction, USED, [source])
        return Used(hour, *rows[0][1:]) if rows and instant(rows[0][0]) == hour else Used(hour)

    def _note_left_out(self, transaction: Connection, used: Used, source: str, enterprise: str, now: datetime) -> None:
        """Writes the one row per hour that records how much was left out."""
        row = Rejected(TRUNCATED, used.detail(), "", used.hour.isoformat(timespec="minutes"), b"")
        digest, times = _digest(row._replace(path=row.locator)), used.left_out + used.bare
        known = self._known(transaction, source, [digest])
        if known:
            columns = ("times", "detail", "last_at", "status")
            self.database.update(
                transaction, RejectionRow, ("id",), columns, [(times, row.detail, now, RejectionStatus.OPEN, known[digest][0])]
            )
            return
        number = token("rej")
        new = (number, source, enterprise, None, digest, times, now, now, *self._content(row, number, BARE))
        self.database.insert(transaction, RejectionRow, COLUMNS, [new])

    def _resealed(self, sealing: Sealing, number: str, payload: bytes, key: str) -> tuple[bytes, str, str]:
        return sealing.seal(sealing.open(bytes(payload), number, key), number), sealing.current, number

    def _content(self, row: Rejected, number: str, fate: str) -> tuple[object, ...]:
        sealed = self._sealed(row, number) if fate == KEEP else (b"", None)
        content = (row.scope, RejectionStatus.OPEN, row.reason, row.detail, row.path, row.locator)
        return *content, *sealed, row.evidence_id, row.attribute, row.patient_id

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
    content = "\0".join((row.reason, row.path, row.scope)).encode() + b"\0" + row.payload
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _rejection(row: Any, payload: bytes) -> Rejection:
    named = dict(zip(SUMMARY.split(", "), row, strict=True))
    patient = named.pop("patient_id")
    times = {name: instant(named[name]) for name in ("first_at", "last_at")}
    return Rejection(**{**named, **times}, patient="" if patient is None else shown(patient), payload=payload)
