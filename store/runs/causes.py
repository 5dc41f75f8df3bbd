"""The open rejections of an enterprise by their cause: source, reason, location and preference. One cause needs one fix.

Codes are not part of it here, since they may be a patient's data and are only in the encrypted payloads (``sync.unmapped``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.documents import instant
from store.preference import base, emr, refusal

CAUSES = """SELECT source, reason, path, attribute, count(*), sum(times), min(first_at), max(last_at), max(id),
 sum(count(*)) OVER () FROM rejections WHERE enterprise = ? AND status = 'open'{} GROUP BY source, reason, path, attribute
 ORDER BY sum(times) DESC, source, reason, path, attribute LIMIT ?"""
OF_SOURCE = " AND source = ?"
OF_CAUSE = " AND source = ? AND reason = ? AND path = ? AND attribute = ?"
IDS = f"SELECT id FROM rejections WHERE enterprise = ? AND status = 'open'{OF_CAUSE} ORDER BY id LIMIT ?"
UNREADABLE = f"""SELECT count(*), count(DISTINCT a.patient_id)
 FROM (SELECT DISTINCT patient_id FROM rejections WHERE enterprise = ? AND status = 'open'{OF_CAUSE} AND patient_id IS NOT NULL LIMIT ?) r
 JOIN patients p ON p.id = r.patient_id
 LEFT JOIN assertions a ON a.patient_id = coalesce(p.merged_into, p.id) AND a.authority = ? AND a.unreadable LIKE ?"""
EXAMINED = 1_000
"""At most so many patients are examined, so that a page is quick whatever happened."""


class Cause(NamedTuple):
    """What rejections have in common. ``attribute``: the preference that could not be read; empty for a whole record."""

    source: str
    reason: str
    path: str
    attribute: str


class OpenCause(NamedTuple):
    """A cause with its open rejections, and how often their payloads came. ``example`` is the id of the newest of them."""

    cause: Cause
    rejections: int
    times: int
    first: datetime
    last: datetime
    example: str


class OpenCauses(NamedTuple):
    """The most frequent causes, and the number of open rejections of all causes."""

    causes: list[OpenCause]
    rejections: int


class Affected(NamedTuple):
    """Patients whose preference is unreadable now, among so many ``examined`` ones. Unless those were all, there may be more."""

    patients: int
    examined: int
    is_all: bool


class Causes:
    """Reads the causes. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(self, enterprise: str, source: str | None = None, limit: int = 10) -> list[OpenCause]:
        """The causes of an enterprise or of one source, the most frequent first."""
        return self._open(OF_SOURCE if source else "", [enterprise, *([source] if source else [])], limit).causes

    def of_source(self, enterprise: str, source: str, limit: int) -> OpenCauses:
        """The causes of one source, with the number of its open rejections, from one reading of them."""
        return self._open(OF_SOURCE, [enterprise, source], limit)

    def one(self, enterprise: str, cause: Cause) -> OpenCause | None:
        """One cause; ``None`` if all of its rejections are resolved."""
        return next(iter(self._open(OF_CAUSE, [enterprise, *cause], 1).causes), None)

    def rejections(self, enterprise: str, cause: Cause, limit: int) -> list[str]:
        """The ids of its open rejections, the oldest first."""
        with self.database.read() as connection:
            return [row[0] for row in self.database.select(connection, IDS, [enterprise, *cause, limit])]

    def unreadable(self, enterprise: str, causes: Sequence[Cause]) -> dict[Cause, Affected]:
        """Of each cause that could hide a refusal: its patients whose preference is unreadable now."""
        wanted = [cause for cause in causes if refusal(cause.attribute) is not None]
        with self.database.read() as connection:
            return {cause: self._unreadable(connection, enterprise, cause, EXAMINED // len(wanted)) for cause in wanted}

    def _unreadable(self, connection: Connection, enterprise: str, cause: Cause, limit: int) -> Affected:
        marked = f'%"{base(cause.attribute)}"%'
        ((examined, patients),) = self.database.select(connection, UNREADABLE, [enterprise, *cause, limit, emr(cause.source), marked])
        return Affected(patients, examined, examined < limit)

    def _open(self, condition: str, parameters: list[Any], limit: int) -> OpenCauses:
        with self.database.read() as connection:
            rows = self.database.select(connection, CAUSES.format(condition), [*parameters, limit])
        found = [OpenCause(Cause(*row[:4]), row[4], int(row[5]), instant(row[6]), instant(row[7]), row[8]) for row in rows]
        return OpenCauses(found, int(rows[0][9]) if rows else 0)
