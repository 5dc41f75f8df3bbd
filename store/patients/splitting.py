"""Splits a patient who turns out to be several people (``store.domain.strangers``), in one transaction.

Each gets the identifiers that are certainly its own, and every refusal. Nobody can tell whom the rest was stated about: it is unknown
until a source states it again. The other identifiers come again with the next payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from store import times
from store.db.tables import AssertionRow, IdentifierRow
from store.db.tables_operations import ReleasedMarkRow
from store.domain import documents
from store.domain.assertions import SourceAssertions
from store.domain.documents import instant
from store.domain.identifiers import OWN
from store.domain.ids import shown
from store.domain.record_merge import ALWAYS
from store.domain.strangers import HistoryLine, Part, refusals_to_keep
from store.patients.apply import Application
from store.patients.batch_rows import IDENTIFIER_COLUMNS
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_state import PatientState
from store.preference import EMR, Assertion

HISTORY = "SELECT at, authority, evidence_id, effective, changes FROM changes WHERE patient_id = ? ORDER BY seq"
IDENTIFIERS = "SELECT enterprise, value, authority, type, origin FROM identifiers WHERE patient_id = ?"
MARKS = "SELECT release_id, patient_id FROM released_marks WHERE patient_id = ?"
IDENTIFIER_KEY = ("enterprise", "value", "authority", "type", "origin")

Kept = Mapping[str, Mapping[str, Assertion]]


class Splitting:
    """One split. Use once: :meth:`run`."""

    def __init__(self, application: Application) -> None:
        self.work = application
        self.database, self.transaction = application.database, application.transaction

    def run(self, number: int, parts: Sequence[Part]) -> list[int]:
        """Splits the patient; returns the new store ids. The former id identifies nobody from now on: it may have meant any of them."""
        patient = self.work.resume([number])[number]
        kept, numbers = self.kept(patient), patient.listed
        new = [self.work.create() for _ in parts]
        was, ids = dict(patient.asserted), [one.id for one in new]
        for one in (patient, *new):
            self._hold(one, was, kept, like=patient)
        self.work.future.share(number, ids)
        self.work.refusals.share(number, ids)
        self._line(patient, self.work.author.authority, {"split_into": (None, ", ".join(shown(one) for one in ids), "")})
        self.work.finish()
        Bindings(self.database, self.transaction, self.work.enterprise.name).share(number, [number, *ids], numbers, self.work.author.now)
        self._name(number, dict(zip(ids, parts, strict=True)))
        return ids

    def kept(self, patient: PatientState) -> Kept:
        """The refusals of the patient, now or in the past."""
        rows = self.database.select(self.transaction, HISTORY, [patient.id])
        lines = (HistoryLine(instant(at), who, evidence, instant(when), documents.read(text)) for at, who, evidence, when, text in rows)
        return refusals_to_keep(patient.asserted, lines)

    def _hold(self, patient: PatientState, was: Mapping[str, SourceAssertions], kept: Kept, *, like: PatientState) -> None:
        """Leaves a patient only the refusals. A source that stated something still masters it."""
        before = was if patient is like else {}
        for authority, asserted in was.items():
            had, now = before[authority].assertions if authority in before else {}, kept[authority]
            self._drop(patient, authority, had, now)
            if now or authority.startswith(EMR):
                newest = reduce(times.newest, (one.effective for one in now.values()), times.at(ALWAYS))
                patient.asserted[authority] = SourceAssertions(dict(now), newest, newest, "", asserted.since, asserted.unreadable)
                patient.last_received[authority], patient.content[authority] = like.last_received[authority], None
                patient.touched.add(authority)
        if patient is not like:
            self._line(patient, self.work.author.authority, {"split_from": (None, shown(like.id), "")})
        patient.visible = True

    def _drop(self, patient: PatientState, authority: str, had: Mapping[str, Assertion], now: Mapping[str, Assertion]) -> None:
        changed = {
            name: (had[name].value if name in had else None, now[name].value if name in now else None, "")
            for name in {**had, **now}
            if name not in had or name not in now or had[name].value != now[name].value
        }
        if changed:
            self._line(patient, authority, changed)
        if authority in patient.asserted and not now and not authority.startswith(EMR):
            del patient.asserted[authority]
            patient.touched.discard(authority)
            self.database.delete(self.transaction, AssertionRow, ("patient_id", "authority"), [(patient.id, authority)])

    def _line(self, patient: PatientState, authority: str, changes: dict[str, tuple[Any, Any, str]]) -> None:
        by = self.work.author
        self.work.add_history(patient, changes, "", by.now, by._replace(authority=authority))

    def _name(self, number: int, parts: Mapping[int, Part]) -> None:
        """Gives each patient its own identifiers. Marks of a retired source can be given back to none of them."""
        self.database.delete(self.transaction, IdentifierRow, IDENTIFIER_KEY, self.database.select(self.transaction, IDENTIFIERS, [number]))
        enterprise = self.work.enterprise.name
        rows = [(enterprise, row.value, row.authority, row.type, one, one, OWN) for one, part in parts.items() for row in part]
        self.database.insert(self.transaction, IdentifierRow, IDENTIFIER_COLUMNS, rows)
        marks = self.database.select(self.transaction, MARKS, [number])
        self.database.delete(self.transaction, ReleasedMarkRow, ("release_id", "patient_id"), marks)
