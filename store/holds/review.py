"""What becomes of what the safeguard holds: let through by the same rules as any evidence, or dropped; by whom is recorded.

What is let through is as old as it was, so newer evidence of the same authority still wins. It is written and forgotten in one
transaction, some patients at a time: a process that dies in between leaves the rest held, to be decided again.

Sets that the safeguard holds until a person decides: what of which source, how many patients, and since when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.documents import instant
from store.domain.ids import shown
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.errors import NothingHeld, StoreError, ValueRefused
from store.holds.configuration import NO_SOURCE, Bases
from store.holds.held_changes import HeldChange, HeldChanges, ReviewDecision, Verdict
from store.holds.held_runs import HeldRuns
from store.holds.impact import Impact
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.patients.preferences import Preferences
from store.patients.reader import PatientReader
from store.preference import PatientStatements
from store.runs.runs import Journal, Run, RunKind, RunStatus

OF_RUNS = """SELECT r.enterprise, r.source, r.id, r.kind, count(DISTINCT h.patient_id), min(h.at)
 FROM held_statements h JOIN runs r ON r.id = h.run_id WHERE h.state = 'held' AND r.status = 'held'
 GROUP BY r.enterprise, r.source, r.id, r.kind"""
OF_CONFIGURATIONS = "SELECT enterprise, run_id, patients, at FROM bases WHERE state = 'held'"


class Waiting(NamedTuple):
    """One set. What a run under way has not settled yet is none. ``source`` of a changed configuration is ``(configuration)``."""

    enterprise: str
    source: str
    run: str
    kind: str
    patients: int
    since: datetime


def waiting(database: Database, connection: Connection, enterprise: str | None = None) -> list[Waiting]:
    """All of them, or those of one enterprise; the one that waits longest first."""
    rows = database.select(connection, OF_RUNS, [])
    found = [Waiting(name, source, run, kind, patients, instant(since)) for name, source, run, kind, patients, since in rows]
    for name, run, patients, at in database.select(connection, OF_CONFIGURATIONS, []):
        found.append(Waiting(name, NO_SOURCE, run, RunKind.CONFIGURATION, patients, instant(at)))
    return sorted((one for one in found if enterprise in (None, one.enterprise)), key=lambda one: (one.since, one.run))


def by_source(sets: Iterable[Waiting]) -> dict[str, tuple[int, datetime]]:
    """Source -> patients that wait, and since when the first of them does."""
    found: dict[str, tuple[int, datetime]] = {}
    for one in sets:
        patients, since = found.get(one.source, (0, one.since))
        found[one.source] = patients + one.patients, min(since, one.since)
    return found


CHUNK = 1_000
SAMPLE = 10
BY_ITSELF = Actor("", "")
OUTDATED = (
    "the approved changes of {0} patients were read with another mapping and are not in effect: "
    "run emr-sync remap {1}, and resync {1} --full for Consents and Flags, to read them again"
)

Releases = Callable[[int, int, int], bool]
"""(synced, patients of the run, waiting elsewhere) -> whether the changes of the run take effect (``sync.safeguard_rule.releases``)."""


class HeldSet(NamedTuple):
    """What a run holds, of records or a configuration: what it would permit, and what was decided so far."""

    run: Run
    impact: Impact
    verdicts: tuple[ReviewDecision, ...]


class Settled(NamedTuple):
    """How the safeguard ended a run: the patients whose changes took effect, and those held.

    ``rejected_before``: what is held was rejected before, whatever the limit.
    """

    released: int
    held: int
    rejected_before: bool


class Verdicts:
    """Decides about held statements. Thread-safe; one per process."""

    def __init__(self, store: Preferences, journal: Journal, *, chunk: int = CHUNK) -> None:
        self.store, self.journal, self.database, self.chunk = store, journal, store.database, chunk
        self.held, self.runs, self.audit = HeldChanges(store.database), HeldRuns(store.database), Audit(store.database)
        self.bases = Bases(store.database)

    def show(self, run_id: str, sample: int = SAMPLE) -> HeldSet:
        """The preview of a run's held set; empty for a run that holds nothing."""
        run = self.journal.run(run_id)
        held: Bases | HeldChanges = self.bases if run.kind == RunKind.CONFIGURATION else self.held
        with self.database.read() as connection:
            return HeldSet(run, held.impact(connection, run_id, sample), tuple(self.held.verdicts(connection, run_id)))

    def waiting(self, enterprise: str | None = None) -> list[Waiting]:
        """The sets that wait for a person, in one enterprise or in all."""
        with self.database.read() as connection:
            return waiting(self.database, connection, enterprise)

    def approve(self, run_id: str, actor: Actor, now: datetime) -> HeldSet:
        """Lets through what a run holds. Raises :class:`NothingHeld`; gives what it was."""
        found = self._decide(run_id, Verdict.APPROVED, actor, now)
        if found.run.kind == RunKind.CONFIGURATION:
            return found
        outdated = self._let_through(found.run, actor, now, Verdict.APPROVED)
        self._close(found.run, now)
        if outdated:
            with self.database.write(found.run.enterprise) as transaction:
                self.runs.tell(transaction, run_id, OUTDATED.format(outdated, found.run.source))
        return found

    def reject(self, run_id: str, actor: Actor, now: datetime, verdict: Verdict = Verdict.REJECTED) -> HeldSet:
        """Keeps the values that stand, and remembers what was refused. Raises :class:`NothingHeld`.

        A configuration is refused in its file, or it would come again: :class:`ValueRefused` says so.
        """
        if self.journal.run(run_id).kind == RunKind.CONFIGURATION:
            raise ValueRefused("to reject a changed configuration, restore the file: until then the previous one stays in effect")
        found = self._decide(run_id, verdict, actor, now)
        self._close(found.run, now)
        return found

    def expire(self, enterprise: str, *, after: timedelta, now: datetime) -> list[str]:
        """Rejects the held sets that nobody decided about in time; their runs."""
        with self.database.read() as connection:
            runs = self.held.expired(connection, enterprise, now - after)
        gone = [number for number in runs if self.journal.run(number).status != RunStatus.RUNNING]
        for number in gone:
            self.reject(number, BY_ITSELF, now, Verdict.EXPIRED)
        return gone

    def settle(self, run: Run, releases: Releases, *, now: datetime) -> Settled:
        """The end of a run: the changes that permit contact take effect, or all are held. Content rejected before is held in any case."""
        with self.database.write(run.enterprise) as transaction:
            self.held.adopt(transaction, run.source, run.id)
            self.runs.close_empty(transaction, run.source, now=now)
            patients = self.held.patients(transaction, run.id)
            if not patients:
                return Settled(0, 0, rejected_before=False)
            fresh = self.held.patients(transaction, run.id, fresh_only=True)
            elsewhere = self.held.waiting(transaction, run.source, but=run.id)
            lets = bool(fresh) and releases(self.held.synced(transaction, run.source), patients, elsewhere)
        if lets:
            self._let_through(run, BY_ITSELF, now, Verdict.RELEASED, fresh_only=True)
        with self.database.read() as connection:
            return Settled(fresh if lets else 0, self.held.patients(connection, run.id), rejected_before=lets or not fresh)

    def _decide(self, run_id: str, verdict: Verdict, actor: Actor, now: datetime) -> HeldSet:
        found = self.show(run_id)
        if found.run.status == RunStatus.RUNNING:
            raise NothingHeld("the run is in progress: held changes can be decided when it ends")
        if not found.impact.patients:
            raise NothingHeld("this run has no held changes to decide: see emr-sync runs show")
        with self.database.write(found.run.enterprise) as transaction:
            said = ReviewDecision(verdict, str(actor), now, found.impact.patients)
            self.held.decided(transaction, (found.run.enterprise, found.run.source, run_id), said)
            if found.run.kind == RunKind.CONFIGURATION:
                self.bases.approve(transaction, found.run.enterprise, run_id, now=now)
            elif verdict != Verdict.APPROVED:
                self.held.mark_rejected(transaction, run_id)
            action, who = f"{verdict}_held_changes", str(actor) or "expiry"
            self.audit.changed(transaction, found.run.enterprise, action, run_id, actor=who, now=now, patients=found.impact.patients)
        return found

    def _close(self, run: Run, now: datetime) -> None:
        with self.database.write(run.enterprise) as transaction:
            if run.status == RunStatus.HELD and not self.held.patients(transaction, run.id):
                self.runs.close(transaction, run.id, now=now)

    def _let_through(self, run: Run, actor: Actor, now: datetime, why: str, *, fresh_only: bool = False) -> int:
        """Of how many patients something was read by another mapping, and does not count until it is read again."""
        after, outdated = 0, 0
        while True:
            with self.database.write(run.enterprise) as transaction:
                rows = self.held.of_run(transaction, run.id, self.chunk, after=after, fresh_only=fresh_only)
                outdated += self._apply(transaction, run, rows, actor, now, why)
                self.held.drop(transaction, [row[:3] for row in rows])
            if not rows:
                return outdated
            after = max(row.patient_id for row in rows)

    def _apply(self, transaction: Connection, run: Run, rows: Sequence[HeldChange], actor: Actor, now: datetime, why: str) -> int:
        enterprise = self.store.enterprises[run.enterprise]
        reader = PatientReader(self.database, transaction, enterprise)
        answering = _answering(reader, [row.patient_id for row in rows])
        reason = "" if why == Verdict.RELEASED else f"held by the safeguard, {why}"
        outdated: set[int] = set()
        for authority, group in groupby(sorted(rows, key=_order), key=lambda row: row.authority):
            author = Author(authority, now, run.id, str(actor), reason)
            work = Application(self.database, transaction, enterprise, author, self.store.ids)
            said = list(group)
            work.resume({answering[row.patient_id] for row in said})
            for (_, patient, *_), payload in groupby(said, key=_order):
                survivor = answering[patient]
                work.apply_held(work.open[survivor], _item(list(payload)), doubtful=survivor != patient, record=patient)
            work.finish()
            outdated |= work.outdated
        return len(outdated)


def _order(row: HeldChange) -> tuple[str, int, datetime, datetime, int, str, str]:
    return row.authority, row.patient_id, row.effective.earliest, row.effective.latest, row.version, row.evidence_id, row.mapping


def _item(rows: Sequence[HeldChange]) -> PatientStatements:
    first = rows[0]
    said = {row.attribute: row.statement for row in rows}
    codes = {row.attribute: row.codes for row in rows if row.codes is not None}
    return PatientStatements((), said, first.effective, first.evidence_id, first.version, codes=codes, mapping=first.mapping)


def _answering(reader: PatientReader, patients: Sequence[int]) -> dict[int, int]:
    """Patient -> itself, or the one it was merged into since."""
    found = {}
    for patient, row in zip(patients, reader.rows([PatientRef(id=shown(patient)) for patient in patients]), strict=True):
        if isinstance(row, StoreError):
            raise row
        found[patient] = row[3]
    return found
