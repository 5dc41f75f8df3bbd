"""Which records were merged into a patient's, by whose word: for people who look at the patient. Merges that were undone are none."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from store.database import Database
from store.ids import parsed, shown
from store.moment import instant
from store.preference import EMR

INTO = """WITH RECURSIVE gone(id) AS (SELECT id FROM patients WHERE enterprise = ? AND merged_into = ?
 UNION SELECT p.id FROM patients p JOIN gone ON p.merged_into = gone.id)
 SELECT m.merged, m.source, m.evidence_id, m.effective, m.at FROM merges m JOIN gone ON gone.id = m.merged
 JOIN patients p ON p.id = m.merged AND p.merged_into = m.survivor ORDER BY m.seq DESC"""


class MergedRecord(NamedTuple):
    """A record that is part of another one's patient now: its opaque id, who merged it, and when that became true."""

    id: str
    source: str
    evidence_id: str
    effective: datetime
    at: datetime


def merged_records(database: Database, enterprise: str, patient_id: str) -> list[MergedRecord]:
    """The records that went into this patient, also through others; the latest merge first, each record once."""
    with database.read() as connection:
        rows = database.select(connection, INTO, [enterprise, parsed(patient_id)])
    found = [MergedRecord(shown(row[0]), row[1].removeprefix(EMR), row[2], instant(row[3]), instant(row[4])) for row in rows]
    return list({one.id: one for one in reversed(found)}.values())[::-1]
