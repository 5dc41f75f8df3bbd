"""A new own identifier that meets a patient by a linking identifier (product rule 5.9): a record of its own, joined to that patient.

It is a merge like another, so that a person can undo it (``emr-sync unmerge``). The new record has stated nothing yet, so nothing is
joined and no opt-out is moved in time: the two sources keep their own times.
"""

from __future__ import annotations

from datetime import datetime

from store.db.tables import ChangeRow, PatientRow
from store.db.tables_records import MergeRow
from store.domain import documents
from store.domain.ids import shown
from store.domain.record_merge import ALWAYS
from store.patients.batch_rows import CHANGE_COLUMNS
from store.patients.patient_batch import PatientBatch
from store.patients.patient_state import ASSERTION_COLUMNS, PATIENT_COLUMNS, PatientState
from store.preference import PatientStatements

STOOD = f"SELECT {', '.join(ASSERTION_COLUMNS)} FROM assertions WHERE patient_id IN ??"
MERGE_COLUMNS = ("enterprise", "survivor", "merged", "source", "evidence_id", "effective", "at", "run_id", "before")


def link(work: PatientBatch, patient: int, item: PatientStatements) -> int:
    """Opens a record for the payload's own identifier, joined to the patient; the record's number."""
    opened = work.open.get(patient)
    if opened is not None and (opened.is_new or opened.touched or opened.recorded):
        work.settle()
    record = PatientState(work.ids.next(), work.author.now, visible=True)
    row, _ = record.row(work.enterprise, work.author.now)
    work.database.insert(work.transaction, PatientRow, (*PATIENT_COLUMNS, "merged_into"), [(*row, patient)])
    write(work, patient, record, item.evidence_id, (item.effective.earliest, ALWAYS), stood(work, patient))
    work.open.pop(patient, None)
    return record.id


def stood(work: PatientBatch, patient: int) -> str:
    """All that stands of a patient, as the row of a merge keeps it."""
    return documents.write([tuple(row) for row in work.database.select(work.transaction, STOOD, [[patient]])])


def write(
    work: PatientBatch, survivor: int, merged: PatientState, evidence_id: str, effective: tuple[datetime, datetime], before: str
) -> None:
    """A merge: its row, and a line of the merged record, so that whoever keeps a copy of that reads it again.

    ``effective``: when it was stated, and since when the two are one.
    """
    author, (stated, since) = work.author, effective
    line = work.line(merged, {"merged_into": (None, shown(survivor), "")}, evidence_id, stated)
    work.database.insert(work.transaction, ChangeRow, CHANGE_COLUMNS, [line])
    row = (work.enterprise.name, survivor, merged.id, author.authority, evidence_id, since, author.now, author.run_id, before)
    work.database.insert(work.transaction, MergeRow, MERGE_COLUMNS, [row])
