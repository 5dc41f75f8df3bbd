"""A new own identifier that meets a patient by a linking identifier (product rule 5.9): a record of its own, joined to that patient.

It is a merge like another, so that a person can undo it (``emr-sync unmerge``). The new record has stated nothing yet, so nothing is
joined and no opt-out is moved in time: the two sources keep their own times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import documents
from store.ids import shown
from store.merging.lineage import ALWAYS
from store.merging.merge_tables import MergeRow
from store.opened import ASSERTION_COLUMNS, PATIENT_COLUMNS, Open
from store.preference import PatientStatements
from store.tables import ChangeRow, PatientRow
from store.writing import CHANGE_COLUMNS

if TYPE_CHECKING:
    from store.apply import Application

BEFORE = f"SELECT {', '.join(ASSERTION_COLUMNS)} FROM assertions WHERE patient_id IN ??"
MERGE_COLUMNS = ("enterprise", "survivor", "merged", "source", "evidence_id", "effective", "at", "run_id", "before")


def link(work: Application, patient: int, item: PatientStatements) -> int:
    """Opens a record for the payload's own identifier, joined to the patient; the record's number."""
    opened = work.open.get(patient)
    if opened is not None and (opened.is_new or opened.touched or opened.recorded):
        work.settle()
    record = Open(work.ids.next(), work.author.now, visible=True)
    _write(work, patient, record, item)
    work.open.pop(patient, None)
    return record.id


def _write(work: Application, patient: int, record: Open, item: PatientStatements) -> None:
    database, transaction, author = work.database, work.transaction, work.author
    row, _ = record.row(work.enterprise, author.now)
    database.insert(transaction, PatientRow, (*PATIENT_COLUMNS, "merged_into"), [(*row, patient)])
    line = work.line(record, {"merged_into": (None, shown(patient), "")}, item.evidence_id, item.effective.earliest)
    database.insert(transaction, ChangeRow, CHANGE_COLUMNS, [line])
    before = documents.write(database.select(transaction, BEFORE, [[patient]]))
    said = (author.authority, item.evidence_id, ALWAYS, author.now, author.run_id, before)
    database.insert(transaction, MergeRow, MERGE_COLUMNS, [(work.enterprise.name, patient, record.id, *said)])
