"""Which configuration of an enterprise is in force, and which one the safeguard holds. Rows of the journal say so to people.

Values in force depend on whether an enterprise syncs and on the order of its sources. Where a changed configuration would make too many
patients more contactable, the one before stays in force until a person approves the new one, or the file is put back as it was.

The enterprises as they are in force: what the configuration says, or, while the safeguard holds a change of it, what stood before.

Every process looks once a second, so that an approval counts in all of them; one that still has the former is on the safe side.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.db.second_cache import SecondCache
from store.db.tables import RunRow
from store.db.tables_operations import BasisRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.enterprise import Basis, Enterprise, parse
from store.domain.ids import token
from store.errors import NothingHeld
from store.holds.held_runs import HeldRuns
from store.holds.impact import Example, Impact
from store.preference import RecordOutcome
from store.runs.runs import RUN_COLUMNS, RunKind, RunStatus


class Configurations(Mapping[str, Enterprise]):
    """Name -> enterprise in force. ``configured`` is what the file says. Thread-safe; one per process."""

    def __init__(self, database: Database, configured: Mapping[str, Enterprise], clock: Callable[[], float] = time.monotonic) -> None:
        self.database, self.configured, self.bases = database, configured, Bases(database)
        self._kept = SecondCache(self._read, clock)

    def __getitem__(self, name: str) -> Enterprise:
        return self._kept.get(None)[name]

    def __contains__(self, name: object) -> bool:
        return name in self.configured

    def __iter__(self) -> Iterator[str]:
        return iter(self.configured)

    def __len__(self) -> int:
        return len(self.configured)

    def standing(self, name: str) -> ConfigurationState:
        """What is in force of an enterprise, and what waits, as the rows say now."""
        with self.database.read() as connection:
            return self.bases.standing(connection, name)

    def look(self) -> None:
        """Reads what is in force now."""
        self._kept.look(None)

    def _read(self, _: None) -> dict[str, Enterprise]:
        with self.database.read() as connection:
            return {name: in_force(one, self.bases.standing(connection, name)) for name, one in self.configured.items()}


def in_force(configured: Enterprise, standing: ConfigurationState) -> Enterprise:
    """An enterprise by what is in force; what the safeguard holds beside it may refuse, and allow nothing."""
    enterprise = configured if standing.in_force is None else configured.under(standing.in_force)
    return enterprise if standing.held is None else replace(enterprise, waiting=configured.under(standing.held.basis))


IN_FORCE, HELD, DROPPED = "in_force", "held", "dropped"
NO_SOURCE = "(configuration)"
"""Stands where such a run would name its source; no source can be called so."""

WHY = "held by the safeguard: the changed configuration would make {patients} patients more contactable. The previous one stays in effect"
COLUMNS = ("enterprise", "basis", "state", "run_id", "at", "patients", "preview")
NEWEST = "SELECT basis, run_id, at, patients FROM bases WHERE enterprise = ? AND state = ? ORDER BY seq DESC LIMIT 1"
LAST_VALUE = "SELECT basis FROM patients WHERE enterprise = ? ORDER BY id DESC LIMIT 1"


class HeldBasis(NamedTuple):
    """A configuration that awaits review: its run, since when, and how many patients it would make more contactable."""

    basis: Basis
    run_id: str
    at: datetime
    patients: int


class ConfigurationState(NamedTuple):
    """``in_force`` is ``None`` where nothing was ever computed. ``written``: the rows say so, not only a value of then."""

    in_force: Basis | None
    held: HeldBasis | None = None
    written: bool = True


class Bases:
    """Reads and writes inside connections that the caller opened."""

    def __init__(self, database: Database) -> None:
        self.database, self.runs = database, HeldRuns(database)

    def standing(self, connection: Connection, enterprise: str) -> ConfigurationState:
        """What is in force, and what waits."""
        now = self.database.select(connection, NEWEST, [enterprise, IN_FORCE])
        held = self.database.select(connection, NEWEST, [enterprise, HELD])
        waiting = HeldBasis(parse(held[0][0]), held[0][1], instant(held[0][2]), held[0][3]) if held else None
        return (
            ConfigurationState(parse(now[0][0]), waiting)
            if now
            else ConfigurationState(self._never_written(connection, enterprise), written=False)
        )

    def enterprises(self, connection: Connection) -> list[str]:
        """All that were ever in force, configured or not."""
        return [row[0] for row in self.database.select(connection, "SELECT DISTINCT enterprise FROM bases ORDER BY enterprise", [])]

    def put_in_force(self, transaction: Connection, enterprise: str, basis: Basis, *, now: datetime) -> None:
        """From now on."""
        self._add(transaction, (enterprise, basis.text, IN_FORCE, None, now, 0, ""))

    def hold(self, transaction: Connection, enterprise: str, basis: Basis, impact: Impact, *, now: datetime) -> str:
        """Keeps it until a person decides; the run that says so."""
        run = token("run")
        counts, error = documents.write({RecordOutcome.HELD: impact.patients}), WHY.format(patients=impact.patients)
        row = (run, NO_SOURCE, enterprise, RunKind.CONFIGURATION, RunStatus.HELD, "", now, now, None, None, None, counts, error)
        self.database.insert(transaction, RunRow, RUN_COLUMNS, [row])
        preview = documents.write((impact.counts, impact.sample))
        self._add(transaction, (enterprise, basis.text, HELD, run, now, impact.patients, preview))
        return run

    def approve(self, transaction: Connection, enterprise: str, run_id: str, *, now: datetime) -> None:
        """Puts in force what a run holds. Raises :class:`NothingHeld`."""
        held = self.standing(transaction, enterprise).held
        if held is None or held.run_id != run_id:
            raise NothingHeld("this configuration no longer awaits a decision")
        self._close(transaction, held, now, "")
        self.put_in_force(transaction, enterprise, held.basis, now=now)

    def drop(self, transaction: Connection, held: HeldBasis, why: str, *, now: datetime) -> None:
        """It does not wait any more: the file was put back, or changed again."""
        self._close(transaction, held, now, why)

    def impact(self, connection: Connection, run_id: str, sample: int) -> Impact:
        """What approving the configuration that a run holds would permit."""
        rows = self.database.select(connection, "SELECT patients, preview FROM bases WHERE run_id = ? AND state = 'held'", [run_id])
        if not rows:
            return Impact()
        counts, examples = documents.read(rows[0][1]) if rows[0][1] else ((), ())
        by_direction = Counter({(attribute, direction): patients for attribute, direction, patients in counts})
        shown = [Example(patient, name, direction, path, instant(at)) for patient, name, direction, path, at in examples[:sample]]
        return Impact(int(rows[0][0]), by_direction, shown)

    def _close(self, transaction: Connection, held: HeldBasis, now: datetime, why: str) -> None:
        self.database.update(transaction, BasisRow, ("run_id",), ("state",), [(DROPPED, held.run_id)])
        self.runs.close(transaction, held.run_id, now=now)
        self.database.update(transaction, RunRow, ("id",), ("error",), [(why or None, held.run_id)])

    def _never_written(self, connection: Connection, enterprise: str) -> Basis | None:
        """What the newest value was computed for, by a program that did not write down what is in force."""
        rows = self.database.select(connection, LAST_VALUE, [enterprise])
        return parse(rows[0][0]) if rows else None

    def _add(self, transaction: Connection, row: tuple[object, ...]) -> None:
        self.database.insert(transaction, BasisRow, COLUMNS, [row])
