"""``apply_many`` in batches of 1,000 patients: all new, all unchanged, all changed, compared with writing one row per patient.

The floor writes one document per patient into a table with no index except its key: executemany on SQLite, COPY on PostgreSQL, also one
durable transaction per 1,000.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from bench import site
from bench.databases import Databases
from bench.done import NEARLY_ALL, require
from bench.figure import Figure
from bench.load_mllp import START, feed
from bench.turns import Rate, middle
from store import times
from store.db.database import Database
from store.domain import documents
from store.domain.enterprise import Enterprise
from store.patients.preferences import Preferences
from store.preference import PatientStatements

BATCH = 1_000
LOADS = (("new", "applied", 1.0), ("unchanged", "unchanged", 1.0), ("changed", "applied", NEARLY_ALL))
"""What each load is, and the share of its patients that must have that outcome."""

Items = list[PatientStatements]


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, rounds = (10_000, 1) if quick else (25_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        settings = site.settings(Path(folder), "sqlite:///unused.db")
    mapper = Hl7Mapper(settings.feeds[site.ADT].settings)
    first, later = _items(mapper, count, 0), _items(mapper, count, 1)
    half_a_minute = timedelta(seconds=30)
    again = [replace(item, effective=times.at(item.effective.latest + half_a_minute), evidence_id=item.evidence_id + "R") for item in first]
    gc.collect()
    gc.freeze()  # a source streams: the collector must not walk through the data prepared here
    for kind in databases.kinds:
        found = [_round(databases, kind, settings.enterprises, (first, again, later)) for _ in range(rounds)]
        floor, *rates = (middle(each) for each in zip(*found, strict=True))
        for (what, _, _), real in zip(LOADS, rates, strict=True):
            yield _figure(kind, f"all {what}", real, floor, count)
    gc.unfreeze()


def _round(databases: Databases, kind: str, enterprises: Mapping[str, Enterprise], loads: tuple[Items, Items, Items]) -> list[Rate]:
    """The floor and the three loads, one after the other, on a fresh database."""
    with databases.fresh(kind) as url:
        database = Database.open(url)
        apply = _Applying(database, enterprises)
        rates = [_floor(database, loads[0])]
        rates += [apply.rate(items, outcome, share) for items, (_, outcome, share) in zip(loads, LOADS, strict=True)]
        database.close()
    return rates


def _figure(kind: str, what: str, real: Rate, floor: Rate, count: int) -> Figure:
    least, floor_is = None if what == "all changed" else 10_000, "executemany" if kind == "sqlite" else "COPY"
    details = {"patients": count, "batch": BATCH}
    return Figure.of("applying", f"apply_many, {what}", real, "patients/s", floor, floor_is, least=least, database=kind, details=details)


def _items(mapper: Hl7Mapper, count: int, revision: int) -> Items:
    """The feed's statements about all patients at a revision."""
    received = START + timedelta(hours=4)
    found = (mapper.read(Payload(body, "bench", received))[0] for body in feed(count, revision=revision))
    items = [item for item in found if isinstance(item, PatientStatements)]
    require({"mapped": len(items)}, count, "mapped")
    return items


class _Applying:
    """The store as the engine uses it: one transaction per batch."""

    def __init__(self, database: Database, enterprises: Mapping[str, Enterprise]) -> None:
        self.database, self.preferences = database, Preferences(database, enterprises)

    def rate(self, items: Items, outcome: str, share: float) -> Rate:
        """Raises ``RuntimeError`` if fewer than that share of the items had the outcome."""
        counts: Counter[str] = Counter()
        found = _timed(items, lambda batch: counts.update(self._apply(batch)))
        require(counts, len(items), outcome, share)
        return found._replace(counts=counts)

    def _apply(self, batch: Sequence[PatientStatements]) -> list[str]:
        with self.database.write(site.ENTERPRISE) as transaction:
            outcomes = self.preferences.apply_many(transaction, site.ENTERPRISE, site.ADT, batch, now=datetime.now(UTC), run_id=None)
        return [outcome.outcome for outcome in outcomes]


def _floor(database: Database, items: Items) -> Rate:
    with database.write("floor") as transaction:
        transaction.exec_driver_sql("CREATE TABLE bench_floor (id TEXT PRIMARY KEY, document TEXT NOT NULL)")
    rows = [(item.identifiers[0].value, documents.write(dict(item.statements))) for item in items]

    def write(batch: Sequence[tuple[str, str]]) -> None:
        with database.write("floor") as transaction:
            if database.is_sqlite:
                transaction.exec_driver_sql("INSERT INTO bench_floor (id, document) VALUES (?, ?)", list(batch))
                return
            with transaction.connection.cursor().copy("COPY bench_floor (id, document) FROM STDIN") as copy:
                for row in batch:
                    copy.write_row(row)

    return _timed(rows, write)


def _timed(items: Sequence[Any], work: Callable[[Sequence[Any]], object]) -> Rate:
    """Items per second, in batches."""
    began, used, remaining = time.perf_counter(), time.process_time(), iter(items)
    while batch := list(islice(remaining, BATCH)):
        work(batch)
    return Rate(len(items) / (time.perf_counter() - began), 1e6 * (time.process_time() - used) / len(items))
