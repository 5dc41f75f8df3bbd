"""The configuration of each enterprise that is in force, and the one that the safeguard holds for review.

The values in force depend on whether an enterprise syncs and on the order of its sources. If a changed configuration would make too many
patients more contactable, the previous one stays in force until a person approves the new one or restores the file. The held one has a run
in the journal, so that people see it.

Every process reads this once a second, so an approval soon counts in all of them. A process that still has the previous configuration
is on the safe side.
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
from store.db.second_cache import SecondMapping
from store.db.tables_operations import BasisRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.enterprise import Basis, Enterprise, parse_basis
from store.errors import NothingHeld
from store.holds.held_runs import HeldRuns
from store.holds.impact import Example, Impact
from store.runs.runs import RunKind


class Configurations(SecondMapping[Enterprise]):
    """Name -> enterprise in force. ``configured``: the enterprises of the configuration file. Thread-safe; one per process."""

    def __init__(self, database: Database, configured: Mapping[str, Enterprise], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self.database, self.configured, self.rows = database, configured, ConfigurationRows(database)

    def __contains__(self, name: object) -> bool:
        return name in self.configured

    def __iter__(self) -> Iterator[str]:
        return iter(self.configured)

    def __len__(self) -> int:
        return len(self.configured)

    def state(self, name: str) -> ConfigurationState:
        """The configuration of an enterprise that is in force, and the held one, read from the database now."""
        with self.database.read() as connection:
            return self.rows.state(connection, name)

    def reconfigure(self, configured: Mapping[str, Enterprise]) -> None:
        """Replaces the enterprises of the configuration file. If the database cannot be read, nothing is replaced."""
        before, self.configured = self.configured, configured
        try:
            self.refresh()
        except BaseException:
            self.configured = before
            raise

    def _read(self) -> dict[str, Enterprise]:
        with self.database.read() as connection:
            return {name: in_force(one, self.rows.state(connection, name)) for name, one in self.configured.items()}


def in_force(configured: Enterprise, state: ConfigurationState) -> Enterprise:
    """The enterprise with the configuration in force. A held one is kept beside it: its refusals count, its permissions do not."""
    enterprise = configured if state.in_force is None else configured.with_basis(state.in_force)
    return enterprise if state.held is None else replace(enterprise, held=configured.with_basis(state.held.basis))


IN_FORCE, HELD, DROPPED = "in_force", "held", "dropped"
NO_SOURCE = "(configuration)"
"""The source of a run that holds a configuration; no source can have this name."""

HELD_NOTE = (
    "held by the safeguard: the changed configuration would make {patients} patients more contactable. The previous one stays in effect"
)
COLUMNS = ("enterprise", "basis", "state", "run_id", "at", "patients", "preview")
NEWEST = "SELECT basis, run_id, at, patients FROM bases WHERE enterprise = ? AND state = ? ORDER BY seq DESC LIMIT 1"
NEWEST_VALUE = "SELECT basis FROM patients WHERE enterprise = ? ORDER BY id DESC LIMIT 1"


class HeldConfiguration(NamedTuple):
    """A configuration that awaits review: its run, since when, and how many patients it would make more contactable."""

    basis: Basis
    run_id: str
    at: datetime
    patients: int


class ConfigurationState(NamedTuple):
    """``in_force`` is ``None`` if nothing was ever computed. ``written``: rows record it; else it is that of the newest value."""

    in_force: Basis | None
    held: HeldConfiguration | None = None
    written: bool = True


class ConfigurationRows:
    """Reads and writes the rows about configurations, inside connections that the caller opened."""

    def __init__(self, database: Database) -> None:
        self.database, self.runs = database, HeldRuns(database)

    def state(self, connection: Connection, enterprise: str) -> ConfigurationState:
        """The configuration in force, and the held one."""
        current = self.database.select(connection, NEWEST, [enterprise, IN_FORCE])
        held = self.database.select(connection, NEWEST, [enterprise, HELD])
        for_review = HeldConfiguration(parse_basis(held[0][0]), held[0][1], instant(held[0][2]), held[0][3]) if held else None
        if current:
            return ConfigurationState(parse_basis(current[0][0]), for_review)
        return ConfigurationState(self._basis_of_newest_value(connection, enterprise), written=False)

    def enterprises(self, connection: Connection) -> list[str]:
        """All enterprises that ever had a configuration in force, configured now or not."""
        return [row[0] for row in self.database.select(connection, "SELECT DISTINCT enterprise FROM bases ORDER BY enterprise", [])]

    def put_in_force(self, transaction: Connection, enterprise: str, basis: Basis, *, now: datetime) -> None:
        """Puts a configuration in force from now on."""
        self._add(transaction, (enterprise, basis.text, IN_FORCE, None, now, 0, ""))

    def hold(self, transaction: Connection, enterprise: str, basis: Basis, impact: Impact, *, now: datetime) -> str:
        """Holds a configuration until a person decides. Returns the id of its run in the journal."""
        run = self.runs.open(transaction, (NO_SOURCE, enterprise, RunKind.CONFIGURATION), impact.patients, HELD_NOTE, now=now)
        preview = documents.write((impact.counts, impact.sample))
        self._add(transaction, (enterprise, basis.text, HELD, run, now, impact.patients, preview))
        return run

    def approve(self, transaction: Connection, enterprise: str, run_id: str, *, now: datetime) -> None:
        """Puts in force the configuration that a run holds. Raises :class:`NothingHeld`."""
        held = self.state(transaction, enterprise).held
        if held is None or held.run_id != run_id:
            raise NothingHeld("this configuration no longer awaits a decision")
        self._close(transaction, held, now, "")
        self.put_in_force(transaction, enterprise, held.basis, now=now)

    def drop(self, transaction: Connection, held: HeldConfiguration, why: str, *, now: datetime) -> None:
        """Ends the hold without applying it: the file was restored, or changed again."""
        self._close(transaction, held, now, why)

    def impact(self, connection: Connection, run_id: str, sample: int) -> Impact:
        """The impact of approving the configuration that a run holds."""
        rows = self.database.select(connection, "SELECT patients, preview FROM bases WHERE run_id = ? AND state = 'held'", [run_id])
        return read_impact(rows[0][0], rows[0][1], sample) if rows else Impact()

    def _close(self, transaction: Connection, held: HeldConfiguration, now: datetime, why: str) -> None:
        self.database.update(transaction, BasisRow, ("run_id",), ("state",), [(DROPPED, held.run_id)])
        self.runs.close(transaction, held.run_id, now=now)
        self.runs.set_note(transaction, held.run_id, why or None)

    def _basis_of_newest_value(self, connection: Connection, enterprise: str) -> Basis | None:
        """The basis of the newest stored value. For databases of a version that did not record what is in force."""
        rows = self.database.select(connection, NEWEST_VALUE, [enterprise])
        return parse_basis(rows[0][0]) if rows else None

    def _add(self, transaction: Connection, row: tuple[object, ...]) -> None:
        self.database.insert(transaction, BasisRow, COLUMNS, [row])


def read_impact(patients: int, preview: str, sample: int) -> Impact:
    """An impact as it was stored."""
    counts, examples = documents.read(preview) if preview else ((), ())
    by_direction = Counter({(attribute, direction): number for attribute, direction, number in counts})
    shown = [Example(patient, name, direction, path, instant(at)) for patient, name, direction, path, at in examples[:sample]]
    return Impact(int(patients), by_direction, shown)
