"""Sets that the brake holds until a person decides: what of which source, how many patients, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store.configuration.bases import CONFIGURATION, NO_SOURCE
from store.database import Database
from store.moment import instant

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
        found.append(Waiting(name, NO_SOURCE, run, CONFIGURATION, patients, instant(at)))
    return sorted((one for one in found if enterprise in (None, one.enterprise)), key=lambda one: (one.since, one.run))


def by_source(sets: Iterable[Waiting]) -> dict[str, tuple[int, datetime]]:
    """Source -> patients that wait, and since when the first of them does."""
    found: dict[str, tuple[int, datetime]] = {}
    for one in sets:
        patients, since = found.get(one.source, (0, one.since))
        found[one.source] = patients + one.patients, min(since, one.since)
    return found
