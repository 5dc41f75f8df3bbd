"""Links a new own identifier to a patient known by a linking identifier (product rule 5.9): a record of its own, merged into that patient.

It is recorded as a merge, so that a person can undo it (``emr-sync unmerge``). Nothing was stated about the new record yet, so no
assertion is joined and no opt-out gets another time.
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

ASSERTIONS = f"SELECT {', '.join(ASSERTION_COLUMNS)} FROM assertions WHERE patient_id IN ??"
MERGE_COLUMNS = ("enterprise", "survivor", "merged", "source", "evidence_id", "effective", "at", "run_id", "before")


def link(work: PatientBatch, patient: int, item: PatientStatements) -> int:
    """Creates a record for the payload's own identifier, merged into the patient; returns the record's store id."""
    opened = work.open.get(patient)
    if opened is not None and (opened.is_new or opened.touched or opened.recorded):
        work.settle()
    record = PatientState(work.ids.next(), work.author.now, visible=True)
    row, _ = record.row(work.enterprise, work.author.now)
    work.database.insert(work.transaction, PatientRow, (*PATIENT_COLUMNS, "merged_into"), [(*row, patient)])
    write(work, patient, record, item.evidence_id, (item.effective.earliest, ALWAYS), assertions_as_text(work, patient))
    work.open.pop(patient, None)
    return record.id


def assertions_as_text(work: PatientBatch, patient: int) -> str:
    """A patient's assertions as the row of a merge keeps them."""
    return documents.write([tuple(row) for row in work.database.select(work.transaction, ASSERTIONS, [[patient]])])


def write(
    work: PatientBatch, survivor: int, merged: PatientState, evidence_id: str, effective: tuple[datetime, datetime], before: str
) -> None:
    """Writes a merge: its row, and a history line of the merged record, so that senders with a copy of it read it again.

    ``effective``: when it was stated, and since when the two are one.
    """
    author, (stated, since) = work.author, effective
    line = work.line(merged, {"merged_into": (None, shown(survivor), "")}, evidence_id, stated)
    work.database.insert(work.transaction, ChangeRow, CHANGE_COLUMNS, [line])
    row = (work.enterprise.name, survivor, merged.id, author.authority, evidence_id, since, author.now, author.run_id, before)
    work.database.insert(work.transaction, MergeRow, MERGE_COLUMNS, [row])
