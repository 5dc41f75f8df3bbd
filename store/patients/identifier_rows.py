"""The identifier rows that a batch writes."""

from __future__ import annotations

from collections.abc import Sequence

from store.domain.identifiers import Directory
from store.domain.identifiers import KnownIdentifier as Named
from store.patients.patient_state import Row
from store.preference import Identifier


class Identifiers:
    """The rows of one batch: ``new`` identifiers, and ``renamed`` ones, whose kind changed."""

    def __init__(self, enterprise: str) -> None:
        self.enterprise = enterprise
        self.new: list[Row] = []
        self.renamed: list[Row] = []

    def name(self, directory: Directory, patient: int, record: int, identifiers: Sequence[Identifier], kinds: Sequence[str]) -> None:
        """Gives the patient these identifiers; new ones belong to that record."""
        for one, kind, was in directory.missing(patient, identifiers, kinds):
            if was is None:
                row = Named(one.value, one.authority, one.type, patient, record, kind)
                self.new.append((self.enterprise, *row))
            else:
                row = was._replace(kind=kind)
                self._rename(row)
            directory.add(row)

    def clear(self) -> None:
        """Forgets the rows after they were written."""
        self.new.clear()
        self.renamed.clear()

    def _rename(self, row: Named) -> None:
        for place, new in enumerate(self.new):
            if (new[1:4], new[5]) == (row[:3], row.origin):
                self.new[place] = (self.enterprise, *row)
                return
        self.renamed.append((self.enterprise, *row))
