"""Applies what sources state, a batch at a time: reads the patients concerned, merges in memory, writes rows in a few statements.

A payload that only repeats what is in force costs one updated row (``store.patients.duplicate_detection``). Only patients with something
new are read whole, merged and written (``store.patients.patient_state``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store.domain import payload
from store.domain.identifiers import Directory
from store.errors import IdentifierConflict, NotRepeated
from store.patients import linking
from store.patients.duplicate_detection import KnownPatients, Repeats
from store.patients.patient_state import PatientState
from store.patients.receiving import Receiving
from store.preference import PatientStatements, RecordOutcome

MEETS = "records_meet"
"""The reason of an item that waits for two records to be merged. It is used inside ``store`` only."""


class Outcome(NamedTuple):
    """The result of one item: ``applied | unchanged | stale | merged | held | rejected``, with a reason code when rejected.

    ``undecided``: the number of attributes for which its time and the known one overlap (product rule 5.1).
    """

    outcome: str
    reason: str = ""
    detail: str = ""
    patient_id: int | None = None
    undecided: int = 0


class Application(Receiving):
    """A batch of payloads, or of statements that fall due, applied to its patients. Use once."""

    def run(self, items: Sequence[PatientStatements]) -> list[Outcome]:
        """Applies the items in order and writes the rows. The outcomes are in the order of the items.

        Raises :class:`NotRepeated`, before it changes anything, if items that were not read must be.
        """
        author = self.author
        found = KnownPatients(self.database, self.transaction, self.enterprise.name, author.authority, self.naming, items)
        each = [(patient, item, found.digest(patient, item)) for item in items for patient in [_known(found.directory, item)]]
        with_news = {
            patient
            for patient, _, digest in each
            if patient is not None and not found.content[patient].is_repeated_by(digest, self.enterprise.basis)
        }
        _must_be_read(item for patient, item, _ in each if not item.is_read and (patient is None or patient in with_news))
        self._load(with_news)
        found.learn_about((patient, item) for patient, item, _ in each if patient is not None and patient in with_news)
        repeated = [(patient, item, digest) for patient, item, digest in each if patient is not None and patient not in with_news]
        found.keep_repeat_keys(author.authority, repeated)
        repeats, outcomes = Repeats(author.authority, author.now), []
        for patient, item, digest in each:
            if patient is not None and patient not in with_news:
                repeats.add(patient, found.content[patient], item, digest)
                outcomes.append(Outcome(RecordOutcome.UNCHANGED, patient_id=patient))
            else:
                outcomes.append(self._apply(found.directory, item, digest))
        rows = self._prepared()
        with self.database.together(self.transaction, len(items)):
            repeats.write(self.database, self.transaction)
            self._write(rows)
            self.write_held()
        return outcomes

    def _apply(self, directory: Directory, item: PatientStatements, digest: str) -> Outcome:
        try:
            found = directory.resolve(item.identifiers, self.naming)
        except IdentifierConflict as conflict:
            self._refuse_for_each(directory, item)
            return Outcome(RecordOutcome.REJECTED, "identifier_conflict", str(conflict))
        if found.separate_record is not None:
            return Outcome(RecordOutcome.REJECTED, MEETS, "two records of one person: they must be merged first", found.patient)
        if found.linked and found.patient is not None:
            record = linking.link(self, found.patient, item)
            patient = self.patient(found.patient)
        else:
            patient = self.patient(found.patient)
            record = self._record(patient, directory, item)
        self.identifiers.name(directory, patient.id, record, item.identifiers, self.naming.kinds(item.identifiers))
        before, outcome = self.undecided, self.receive(patient, item, digest, record)
        return Outcome(outcome, patient_id=patient.id, undecided=self.undecided - before)

    def _refuse_for_each(self, directory: Directory, item: PatientStatements) -> None:
        """Applies the refusals of a payload that names several known patients to each of them, and nothing else of it."""
        refused = payload.refusals(item)
        if not refused.statements and not refused.problems:
            return
        for number in sorted(directory.owners(item.identifiers, self.naming)):
            patient = self.patient(number)
            self.receive(patient, refused, payload.digest(refused), self._record(patient, directory, item))

    def _record(self, patient: PatientState, directory: Directory, item: PatientStatements) -> int:
        """The record that a payload is about by its identifiers, where a patient has several; in doubt the patient's first.

        One that names several patients may find another one's record, which is none of this patient's.
        """
        found = directory.origin(item.identifiers, self.naming) if patient.lineage is not None else None
        return found if found in patient.records else patient.id


def _must_be_read(items: Iterable[PatientStatements]) -> None:
    unread = list(items)
    if unread:
        raise NotRepeated(unread)


def _known(directory: Directory, item: PatientStatements) -> int | None:
    """The patient that the payload's first identifier belongs to, if it is known."""
    try:
        return directory.find(item.identifiers[0])
    except IdentifierConflict:
        return None
