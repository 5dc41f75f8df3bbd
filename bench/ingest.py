"""Ingesting NDJSON with guard, counts and journal as ``emr-sync ingest`` does: all patients new, all unchanged, all changed.

Beside two floors (``bench.floors``): decode each line and insert one row, and insert the rows of all tables ready made. All of it runs in
this process, on data that was prepared before, so that no start counts. Processor time is that of this process and of PostgreSQL's.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.base import Payload, SourceSettings
from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.population import Population
from adapters.rehearsal.resource import patient
from bench import floors, site
from bench.databases import Databases
from bench.done import NEARLY_ALL, require
from bench.figure import Figure
from bench.load_mllp import START
from bench.turns import Rate, ended_seconds, middle
from store.db.database import Database
from sync.config.loading import load
from sync.config.settings import Settings
from sync.runtime import Runtime, lane

WRITTEN = "written"
LEAST = {"sqlite": 0.25, "postgresql": 0.15}
LOADS = (("new", 0, "applied"), ("unchanged", 0, "unchanged"), ("changed", 1, "applied"))
"""What each load is, the revision of its patients, and the outcome that nearly all must have."""


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    count, rounds = (10_000, 1) if quick else (25_000, 3)
    revisions = [list(lines(count, revision)) for revision in (0, 1)]
    gc.collect()
    gc.freeze()  # a source streams: the collector must not walk through the data prepared here
    for kind in databases.kinds:
        found = [_round(databases, kind, revisions) for _ in range(rounds)]
        one_row, all_rows, ahead, *real = (middle(each) for each in zip(*found, strict=True))
        yield _figure(kind, "floor: rows of all tables ready made", all_rows, one_row)
        yield _figure(kind, "NDJSON, all new, mapped in a second process", ahead, one_row)
        for (what, _, _), each in zip(LOADS, real, strict=True):
            yield _figure(kind, f"NDJSON, all {what}", each, one_row, LEAST[kind] if what == "new" else None)
    gc.unfreeze()


def lines(count: int, revision: int) -> Iterator[bytes]:
    """A line for every patient at a revision, an hour after the previous revision."""
    population, updated = Population(11, count), START + timedelta(hours=revision)
    for index in range(count):
        yield json.dumps(patient(ChartEntry(population.person(index, revision), updated)), separators=(",", ":")).encode()


def _figure(kind: str, what: str, real: Rate, floor: Rate, least: float | None = None) -> Figure:
    details = {"server_us": real.server_us, "floor_server_us": floor.server_us}
    is_floor = "decode, one row"
    return Figure.of("ingest", what, real, "patients/s", floor, is_floor, database=kind, details=details, least_cpu_ratio=least)


def _round(databases: Databases, kind: str, revisions: Sequence[list[bytes]]) -> list[Rate]:
    """Both floors, the three loads and one with a second process, each on a database where nothing of the others is to be vacuumed."""
    meter, count = _Meter(databases, kind), len(revisions[0])
    with _opened(databases, kind) as database:
        one_row = meter.rate(count, lambda: floors.one_row(database, revisions[0]))
    with databases.fresh(kind) as url:
        loads = _Ingesting(url, meter).rates(revisions)
        with closing(Database.open(url)) as database:
            rows = floors.read_rows(database)
    with _opened(databases, kind) as database:
        all_rows = meter.rate(count, lambda: floors.all_rows(database, rows))
    with databases.fresh(kind) as url:
        ahead = _Ingesting(url, meter).rate_ahead(revisions[0])
    return [one_row, all_rows, ahead, *loads]


@contextmanager
def _opened(databases: Databases, kind: str) -> Iterator[Database]:
    with databases.fresh(kind) as url, closing(Database.open(url)) as database:
        yield database


class _Meter:
    """Measures what this process, those that it started, and PostgreSQL do."""

    def __init__(self, databases: Databases, kind: str) -> None:
        self.databases, self.kind = databases, kind

    def rate(self, count: int, work: Callable[[], object]) -> Rate:
        began, own, server = time.perf_counter(), time.process_time() + ended_seconds(), self.databases.server_seconds(self.kind)
        work()
        own, server = time.process_time() + ended_seconds() - own, self.databases.server_seconds(self.kind) - server
        return Rate(count / (time.perf_counter() - began), 1e6 * (own + server) / count, {WRITTEN: count}, 1e6 * server / count)


class _Ingesting:
    """The engine of the program on one database."""

    def __init__(self, url: str, meter: _Meter) -> None:
        self.url, self.meter = url, meter

    def rates(self, revisions: Sequence[list[bytes]]) -> list[Rate]:
        with self._runtime() as runtime:
            return [self._rate(runtime, revisions[revision], outcome) for _, revision, outcome in LOADS]

    def rate_ahead(self, bodies: list[bytes]) -> Rate:
        """Of new patients, with a second process that maps (``sync.mapping_ahead``). Its start is part of the figure."""
        with self._runtime() as runtime:
            return self._rate(runtime, bodies, "applied", runtime.feed(site.FHIR).settings)

    @contextmanager
    def _runtime(self) -> Iterator[Runtime]:
        with tempfile.TemporaryDirectory() as folder, closing(Runtime.open(self._settings(folder))) as runtime:
            yield runtime

    def _settings(self, folder: str) -> Settings:
        return load(site.write(Path(folder), self.url, sources=(site.FHIR,)), {})

    def _rate(self, runtime: Runtime, bodies: list[bytes], expected: str, settings: SourceSettings | None = None) -> Rate:
        source, received, counts = runtime.feed(site.FHIR), datetime.now(UTC), dict[str, int]()
        mapper = runtime.polled(source).mapper
        payloads = (Payload(body, f"bench:{number}", received) for number, body in enumerate(bodies))

        def ingest() -> None:
            counts.update(runtime.engine.feed(lane(source), mapper, payloads, settings=settings).counts)

        found = self.meter.rate(len(bodies), ingest)
        require(counts, len(bodies), expected, NEARLY_ALL)
        return found._replace(counts=counts)
