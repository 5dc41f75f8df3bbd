"""Review of the sets of changes that the safeguard holds: lists them, and approves or rejects them. Who decided is recorded.

Approved changes are applied by the same rules as any evidence. They keep their time, so newer evidence of the same authority still wins.
Patients are processed in groups. A group's changes are applied and deleted from the held ones in one transaction, so after a crash the rest
is still held and can be decided again.
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
from store.holds import held_settings
from store.holds.configuration import NO_SOURCE, ConfigurationRows
from store.holds.held_changes import HeldChange, HeldChanges, ReviewDecision, Verdict
from store.holds.held_runs import HeldRuns
from store.holds.held_settings import HELD_SETTINGS, HeldSettingsRows
from store.holds.impact import Impact
from store.patients.apply import Application
from store.patients.patient_batch import Author
from store.patients.preferences import Preferences
from store.patients.reader import PatientReader
from store.preference import PatientStatements
from store.runs.runs import Journal, Run, RunKind, RunStatus

HELD_BY_RUNS = """SELECT r.enterprise, r.source, r.id, r.kind, (SELECT count(*) FROM (
 SELECT DISTINCT patient_id FROM held_statements WHERE run_id = r.id AND state = 'held') AS people),
 (SELECT min(at) FROM held_statements WHERE run_id = r.id AND state = 'held') FROM runs r WHERE r.status = 'held'"""
# A list of distinct rows, counted, as in store.holds.held_changes.
HELD_CONFIGURATIONS = "SELECT enterprise, run_id, patients, at, state FROM bases WHERE state IN ('held', 'held_settings')"


class AwaitingReview(NamedTuple):
    """One set that awaits review. A run in progress has none yet.

    The ``source`` of a changed configuration is ``(configuration)``, and that of changed settings ``(settings)``.
    """

    enterprise: str
    source: str
    run: str
    kind: str
    patients: int
    since: datetime


def awaiting_review(database: Database, connection: Connection, enterprise: str | None = None) -> list[AwaitingReview]:
    """All sets that await review, or those of one enterprise, the oldest first."""
    rows = database.select(connection, HELD_BY_RUNS, [])
    held = [row for row in rows if row[4]]
    found = [AwaitingReview(name, source, run, kind, patients, instant(since)) for name, source, run, kind, patients, since in held]
    for name, run, patients, at, state in database.select(connection, HELD_CONFIGURATIONS, []):
        source, kind = (held_settings.NO_SOURCE, RunKind.SETTINGS) if state == HELD_SETTINGS else (NO_SOURCE, RunKind.CONFIGURATION)
        found.append(AwaitingReview(name, source, run, kind, patients, instant(at)))
    return sorted((one for one in found if enterprise in (None, one.enterprise)), key=lambda one: (one.since, one.run))


def by_source(sets: Iterable[AwaitingReview]) -> dict[str, tuple[int, datetime]]:
    """Source -> patients with changes awaiting review, and since when the oldest of them waits."""
    found: dict[str, tuple[int, datetime]] = {}
    for one in sets:
        patients, since = found.get(one.source, (0, one.since))
        found[one.source] = patients + one.patients, min(since, one.since)
    return found


WITHOUT_RECORDS = frozenset({RunKind.CONFIGURATION, RunKind.SETTINGS})
"""Kinds of runs that hold no statements about patients."""
CHUNK = 1_000
SAMPLE = 10
AUTOMATIC = Actor("", "")
OUTDATED = (
    "the approved changes of {0} patients were read with another mapping and are not in effect: "
    "run emr-sync remap {1}, and resync {1} --full for Consents and Flags, to read them again"
)

Releases = Callable[[int, int, int], bool]
"""(synced, patients of the run, patients awaiting review elsewhere) -> whether the changes of the run take effect
(``sync.safeguard.is_within_limit``)."""


class HeldSet(NamedTuple):
    """What a run holds, records or a configuration: its impact, and what was decided so far."""

    run: Run
    impact: Impact
    verdicts: tuple[ReviewDecision, ...]


class RunDecision(NamedTuple):
    """The safeguard's decision at the end of a run: how many patients' changes took effect, and how many are held.

    ``rejected_before``: what is held had been rejected before, since nothing else is held within the limit. It stays held in any case.
    """

    released: int
    held: int
    rejected_before: bool


class HeldReview:
    """Shows and decides held sets. Thread-safe; one per process."""

    def __init__(self, store: Preferences, journal: Journal, *, chunk: int = CHUNK) -> None:
        self.store, self.journal, self.database, self.chunk = store, journal, store.database, chunk
        self.held, self.runs, self.audit = HeldChanges(store.database), HeldRuns(store.database), Audit(store.database)
        self.rows, self.settings = ConfigurationRows(store.database), HeldSettingsRows(store.database)

    def show(self, run_id: str, sample: int = SAMPLE) -> HeldSet:
        """The preview of a run's held set; empty for a run that holds nothing."""
        run = self.journal.run(run_id)
        held: ConfigurationRows | HeldSettingsRows | HeldChanges = self.held
        if run.kind in WITHOUT_RECORDS:
            held = self.rows if run.kind == RunKind.CONFIGURATION else self.settings
        with self.database.read() as connection:
            return HeldSet(run, held.impact(connection, run_id, sample), tuple(self.held.verdicts(connection, run_id)))

    def awaiting_review(self, enterprise: str | None = None) -> list[AwaitingReview]:
        """The sets that await review, in one enterprise or in all."""
        with self.database.read() as connection:
            return awaiting_review(self.database, connection, enterprise)

    def approve(self, run_id: str, actor: Actor, now: datetime) -> HeldSet:
        """Applies what a run holds. Returns what it held. Raises :class:`NothingHeld`, and :class:`RoleRefused` for one's own settings."""
        found = self._decide(run_id, Verdict.APPROVED, actor, now)
        if found.run.kind in WITHOUT_RECORDS:
            return found
        outdated = self._apply_held(found.run, actor, now, Verdict.APPROVED)
        self._close(found.run, now)
        if outdated:
            with self.database.write(found.run.enterprise) as transaction:
                self.runs.set_note(transaction, run_id, OUTDATED.format(outdated, found.run.source))
        return found

    def reject(self, run_id: str, actor: Actor, now: datetime, verdict: Verdict = Verdict.REJECTED) -> HeldSet:
        """Keeps the values in force, and records what was rejected. Returns what the run held. Raises :class:`NothingHeld`.

        A configuration is rejected by restoring its file, or it would come again. Then raises :class:`ValueRefused`.
        """
        if self.journal.run(run_id).kind == RunKind.CONFIGURATION:
            raise ValueRefused("to reject a changed configuration, restore the file: until then the previous one stays in effect")
        found = self._decide(run_id, verdict, actor, now)
        if found.run.kind not in WITHOUT_RECORDS:
            self._close(found.run, now)
        return found

    def expire(self, enterprise: str, *, after: timedelta, now: datetime) -> list[str]:
        """Rejects the held sets that nobody decided in time. Returns their runs."""
        with self.database.read() as connection:
            runs = self.held.expired(connection, enterprise, now - after)
        overdue = [number for number in runs if self.journal.run(number).status != RunStatus.RUNNING]
        for number in overdue:
            self.reject(number, AUTOMATIC, now, Verdict.EXPIRED)
        return overdue

    def settle(self, run: Run, releases: Releases, *, now: datetime) -> RunDecision:
        """Ends a run: its new changes all take effect, or all stay held (``releases``). What was rejected before stays held in any case."""
        with self.database.write(run.enterprise) as transaction:
            self.held.adopt(transaction, run.source, run.id)
            self.runs.close_empty(transaction, run.source, now=now)
            patients = self.held.patients(transaction, run.id)
            if not patients:
                return RunDecision(0, 0, rejected_before=False)
            fresh = self.held.patients(transaction, run.id, fresh_only=True)
            elsewhere = self.held.patients_awaiting_review(transaction, run.source, excluding=run.id)
            within_limit = bool(fresh) and releases(self.held.synced(transaction, run.source), patients, elsewhere)
        if within_limit:
            self._apply_held(run, AUTOMATIC, now, Verdict.RELEASED, fresh_only=True)
        with self.database.read() as connection:
            return RunDecision(
                fresh if within_limit else 0, self.held.patients(connection, run.id), rejected_before=within_limit or not fresh
            )

    def _decide(self, run_id: str, verdict: Verdict, actor: Actor, now: datetime) -> HeldSet:
        found = self.show(run_id)
        if found.run.status == RunStatus.RUNNING:
            raise NothingHeld("the run is in progress: held changes can be decided when it ends")
        if not found.impact.patients:
            raise NothingHeld("this run has no held changes to decide: see emr-sync runs show")
        with self.database.write(found.run.enterprise) as transaction:
            decision = ReviewDecision(verdict, str(actor), now, found.impact.patients)
            self.held.record_verdict(transaction, (found.run.enterprise, found.run.source, run_id), decision)
            if found.run.kind == RunKind.CONFIGURATION:
                self.rows.approve(transaction, found.run.enterprise, run_id, now=now)
            elif found.run.kind == RunKind.SETTINGS and verdict == Verdict.APPROVED:
                self.settings.approve(transaction, self.store.settings, found.run.enterprise, run_id, actor, now)
            elif found.run.kind == RunKind.SETTINGS:
                self.settings.close(transaction, self.settings.open(transaction, found.run.enterprise, run_id), None, now)
            elif verdict != Verdict.APPROVED:
                self.held.mark_rejected(transaction, run_id)
            action, who = f"{verdict}_held_changes", str(actor) or "expiry"
            self.audit.changed(transaction, found.run.enterprise, action, run_id, actor=who, now=now, patients=found.impact.patients)
        return found

    def _close(self, run: Run, now: datetime) -> None:
        with self.database.write(run.enterprise) as transaction:
            if run.status == RunStatus.HELD and not self.held.patients(transaction, run.id):
                self.runs.close(transaction, run.id, now=now)

    def _apply_held(self, run: Run, actor: Actor, now: datetime, why: str, *, fresh_only: bool = False) -> int:
        """Applies what a run holds. Returns for how many patients a change was read by another mapping, so it is not in effect yet."""
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
        current = _current_patients(reader, [row.patient_id for row in rows])
        reason = "" if why == Verdict.RELEASED else f"held by the safeguard, {why}"
        outdated: set[int] = set()
        for authority, group in groupby(sorted(rows, key=_order), key=lambda row: row.authority):
            author = Author(authority, now, run.id, str(actor), reason)
            work = Application(self.database, transaction, enterprise, author, self.store.ids)
            changes = list(group)
            work.resume({current[row.patient_id] for row in changes})
            for (_, patient, *_), payload in groupby(changes, key=_order):
                survivor = current[patient]
                work.apply_held(work.open[survivor], _statements_of(list(payload)), doubtful=survivor != patient, record=patient)
            work.finish()
            outdated |= work.outdated
        return len(outdated)


def _order(row: HeldChange) -> tuple[str, int, datetime, datetime, int, str, str]:
    return row.authority, row.patient_id, row.effective.earliest, row.effective.latest, row.version, row.evidence_id, row.mapping


def _statements_of(rows: Sequence[HeldChange]) -> PatientStatements:
    first = rows[0]
    statements = {row.attribute: row.statement for row in rows}
    codes = {row.attribute: row.codes for row in rows if row.codes is not None}
    return PatientStatements((), statements, first.effective, first.evidence_id, first.version, codes=codes, mapping=first.mapping)


def _current_patients(reader: PatientReader, patients: Sequence[int]) -> dict[int, int]:
    """Patient -> itself, or the survivor if it was merged since."""
    found = {}
    for patient, row in zip(patients, reader.rows([PatientRef(id=shown(patient)) for patient in patients]), strict=True):
        if isinstance(row, StoreError):
            raise row
        found[patient] = row[3]
    return found
