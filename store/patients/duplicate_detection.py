"""Payloads that repeat what is in force: of their patients only the time of the repeat is read and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store import times
from store.db.database import Database
from store.db.tables import AssertionRow
from store.domain import duplicates, payload
from store.domain.documents import instant, interval
from store.domain.identifiers import LOOKUP, Directory, KnownIdentifier, Naming
from store.preference import Identifier, PatientStatements
from store.times import Time

FIND = """SELECT i.value, i.authority, i.type, i.patient_id, i.origin, i.kind, p.basis, a.content, a.confirmed, a.seen,
 a.confirmed_latest, a.last_heard
 FROM identifiers i JOIN patients p ON p.id = i.patient_id
 LEFT JOIN assertions a ON a.patient_id = i.patient_id AND a.authority = ?
 WHERE i.enterprise = ? AND i.value IN ??"""


OF_PATIENTS = "SELECT value, authority, type, patient_id, origin, kind FROM identifiers WHERE patient_id IN ??"


class KnownContent(NamedTuple):
    """What is known of a patient and one authority without reading the patient whole. ``content`` as in ``payload.kept_as``."""

    basis: str
    content: str | None
    confirmed: Time | None
    seen: str
    last_received: datetime | None = None

    def is_repeated_by(self, digest: str, basis: str) -> bool:
        """Whether a payload of that digest repeats what is in force under the present configuration."""
        return bool(digest) and payload.digest_of(self.content) == digest and self.basis == basis

    def digest_of(self, repeat_key: str) -> str:
        """The digest of what is in force, if a payload with that key stated it; otherwise empty."""
        is_repeat = self.content is not None and bool(repeat_key) and payload.repeat_key_of(self.content) == repeat_key
        return payload.digest_of(self.content) if is_repeat else ""


class KnownPatients:
    """The patients that the payloads of a batch are about."""

    def __init__(
        self,
        database: Database,
        transaction: Connection,
        enterprise: str,
        authority: str,
        naming: Naming,
        items: Sequence[PatientStatements],
    ) -> None:
        self._database, self._transaction = database, transaction
        # Identifiers for look-up are not asked for: any number of patients may share one.
        deciding = [_deciding(item, naming) for item in items]
        values = list({one.value for named in deciding for one in named})
        rows = database.select(transaction, FIND, [authority, enterprise, values])
        self.directory = Directory(KnownIdentifier(*row[:6]) for row in rows)
        self.content = {row[3]: KnownContent(row[6], row[7], _confirmed(row[8], row[10]), row[9] or "", _received(row[11])) for row in rows}
        self.learn({patient for named in deciding for patient in self.directory.candidates(named)})

    def digest(self, patient: int | None, item: PatientStatements) -> str:
        """The digest of a payload; empty for one that was not read and repeats nothing that is known of its patient."""
        if item.is_read:
            return payload.digest(item)
        return self.content[patient].digest_of(item.repeat_key) if patient is not None else ""

    def keep_repeat_keys(self, authority: str, repeats: Iterable[tuple[int, PatientStatements, str]]) -> None:
        """Writes the keys by which payloads are recognized that repeat what is known (patient, payload, digest), where they are new.

        Before any other item is applied: whatever makes the store forget a digest then also forgets the key.
        """
        new = {patient: payload.kept_as(digest, item) for patient, item, digest in repeats if item.repeat_key}
        rows = [(kept, patient, authority) for patient, kept in new.items() if kept != self.content[patient].content]
        self._database.update(self._transaction, AssertionRow, ("patient_id", "authority"), ("content",), rows)

    def learn_about(self, items: Iterable[tuple[int, PatientStatements]]) -> None:
        """Reads all identifiers of the patients of payloads that bring several, and of those who own any of these."""
        several = [(patient, item.identifiers) for patient, item in items if len(item.identifiers) > 1]
        self.learn({one for patient, named in several for one in (patient, *self.directory.others(patient, named))})

    def learn(self, patients: Iterable[int]) -> None:
        """Reads all identifiers of some patients."""
        wanted = list(patients)
        if wanted:
            self.directory.load(KnownIdentifier(*row) for row in self._database.select(self._transaction, OF_PATIENTS, [wanted]))


def _deciding(item: PatientStatements, naming: Naming) -> Sequence[Identifier]:
    """The identifiers that may decide which patient a payload is about: for one that can only repeat what is known, the first."""
    if len(item.identifiers) == 1 or not item.is_read:
        return item.identifiers[:1]
    kinds = naming.kinds(item.identifiers)
    return [one for one, kind in zip(item.identifiers, kinds, strict=True) if kind != LOOKUP]


def _confirmed(earliest: object, latest: object) -> Time | None:
    return None if earliest is None else interval(earliest, latest)


def _received(value: object) -> datetime | None:
    return None if value is None else instant(value)


class Repeats:
    """The repeats of one batch of one authority."""

    def __init__(self, authority: str, now: datetime) -> None:
        self.authority, self.now = authority, now
        self._found: dict[int, KnownContent] = {}

    def add(self, patient: int, content: KnownContent, item: PatientStatements, digest: str) -> None:
        """Counts a payload that repeats what is known of a patient."""
        known = self._found.get(patient, content)
        key = duplicates.key(digest, item.effective, item.version, item.evidence_id)
        seen, confirmed = duplicates.remember(known.seen, key), known.confirmed
        receipt = max(self.now, known.last_received or self.now)  # our clock may have stepped back, or be another machine's
        if confirmed is None or not duplicates.knows(known.seen, key):  # the very same payload is no later than it was
            stated = payload.as_received(item, receipt, self.now).effective
            confirmed = times.newest(stated, confirmed) if confirmed is not None else stated
        self._found[patient] = KnownContent(known.basis, known.content, confirmed, seen, receipt)

    def write(self, database: Database, transaction: Connection) -> None:
        """Writes when each patient was received last, and the time for which it was confirmed."""
        found = ((patient, one, one.confirmed) for patient, one in self._found.items() if one.confirmed is not None)
        rows = [(time.earliest, time.end, one.seen, one.last_received, patient, self.authority) for patient, one, time in found]
        columns = ("confirmed", "confirmed_latest", "seen", "last_heard")
        database.update(transaction, AssertionRow, ("patient_id", "authority"), columns, rows)
