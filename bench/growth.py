"""What a message and a decision cost in a store of 10,000, 100,000 and 1,000,000 patients, and in a larger one where asked for.

Both are done in process, as the service does them: messages in groups of 16, decisions one by one over a kept connection. Patients are
chosen all over the store, so that caches help as little as in practice. The floor is the same in the smallest store.

``EMR_SYNC_BENCH_PATIENTS`` adds a size, such as 10000000: about 27 GB and half an hour per database.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import NamedTuple

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.rehearsal.chart import ChartEntry
from adapters.rehearsal.hl7 import message
from adapters.rehearsal.population import Population
from bench import asks, scans, site
from bench.databases import Databases
from bench.done import NEARLY_ALL, Check, require
from bench.figure import Figure
from bench.load_mllp import START
from bench.people import People
from bench.turns import Rate
from store.db.database import utc_now
from store.db.kept_connection import KeptConnection
from store.domain.decision_request import SEND
from store.web.api.decisions import Decisions, read_ask
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from sync.config.loading import load
from sync.intake import read
from sync.runtime import Runtime, lane

SIZES, FEW = (10_000, 100_000, 1_000_000), (4_000, 20_000)
RECEIVED = START + timedelta(days=1)
LARGEST_VARIABLE = "EMR_SYNC_BENCH_PATIENTS"
GROUP, WARM_UP = 16, 1_000
MOST = 0.5
"""The share of patients who may be contacted, at least: those that are written as rows all may, the others in turns."""
LEAST = 1 / 1.2
"""In the largest store a message or decision may take 1.2 times as long as in the smallest."""

Work = Callable[[Sequence[bytes]], Counter[str]]


def run(databases: Databases, *, quick: bool) -> Iterator[Figure]:
    sizes, times = (FEW, 2_000) if quick else (_sizes(), 6_000)
    for kind in databases.kinds:
        with databases.fresh(kind) as url, asks.folder() as folder:
            runtime = Runtime.open(load(site.write(folder, url), {}))
            people, load_of = People(runtime.preferences, sizes[-1]), _Load(sizes[-1] + len(sizes) * (times + WARM_UP))
            floors: dict[str, Rate] = {}
            for size in sizes:
                people.grow(size)
                for what, measured in _Store(runtime, databases, kind).measured(load_of, size, times):
                    yield _figure(kind, f"{what}, {size:,} patients", measured, floors.setdefault(what, measured.rate))
            runtime.close()


def _sizes() -> tuple[int, ...]:
    return (*SIZES, *(int(number) for number in [os.environ.get(LARGEST_VARIABLE)] if number))


class Measured(NamedTuple):
    """``whole_tables``: the statements that read a whole table, as the database explains them."""

    rate: Rate
    whole_tables: Sequence[str]


def _figure(kind: str, what: str, measured: Measured, floor: Rate) -> Figure:
    details = {"server_us": measured.rate.server_us, "reads whole tables": list(measured.whole_tables)}
    floor_is = "in the smallest store"
    return Figure.of("growth", what, measured.rate, "/s", floor, floor_is, database=kind, details=details, least_cpu_ratio=LEAST)


@dataclass
class _Load:
    """Messages and requests about patients all over the store. Nobody is taken twice, and those who are new were never there."""

    limit: int
    dice: Random = field(default_factory=lambda: Random(17))
    fresh: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        self.population, self.fresh = Population(11, self.limit), self.limit

    def changed(self, size: int, times: int) -> list[bytes]:
        self.revision += 1
        return [self._message(index, self.revision) for index in self._some(size, times)]

    def new(self, size: int, times: int) -> list[bytes]:
        self.fresh -= times
        return [self._message(index, 0) for index in range(self.fresh, self.fresh + times)]

    def asked(self, size: int, times: int) -> list[bytes]:
        return [asks.body(index) for index in self._some(size, times)]

    def _some(self, size: int, times: int) -> list[int]:
        return self.dice.sample(range(size), times)

    def _message(self, index: int, revision: int) -> bytes:
        return message(ChartEntry(self.population.person(index, revision), START + timedelta(hours=revision)))


class _Store:
    """The parts of the service that take messages and decide."""

    def __init__(self, runtime: Runtime, databases: Databases, kind: str) -> None:
        self.runtime, self.databases, self.kind = runtime, databases, kind
        feed = runtime.feed(site.ADT)
        self.lane, self.mapper = lane(feed), Hl7Mapper(feed.settings)
        lanes = Lanes.create()
        callers = Callers(runtime.keys, runtime.settings.enterprises, lanes, utc_now)
        self.decisions, self.kept = Decisions(runtime.preferences, callers, utc_now, lanes), KeptConnection(runtime.database)

    def measured(self, load_of: _Load, size: int, times: int) -> Iterator[tuple[str, Measured]]:
        applied, sent = partial(require, outcome="applied"), partial(require, outcome=SEND, share=MOST)
        for what, prepare, work, group, check in (
            ("new patient", load_of.new, self._take, GROUP, applied),
            ("changed patient, name too", load_of.changed, self._take, GROUP, partial(applied, share=NEARLY_ALL)),
            ("decision", load_of.asked, self._decide, 1, sent),
        ):
            bodies = prepare(size, times + WARM_UP)
            found = scans.whole_tables(self.runtime.database, partial(_in_groups, work, bodies[:WARM_UP], group))
            yield what, Measured(self._rate(work, bodies[WARM_UP:], group, check), found)

    def _rate(self, work: Work, bodies: Sequence[bytes], group: int, check: Check) -> Rate:
        gc.collect()
        began, used, served = time.perf_counter(), time.process_time(), self.databases.server_seconds(self.kind)
        counts = _in_groups(work, bodies, group)
        seconds, own = time.perf_counter() - began, time.process_time() - used
        server = self.databases.server_seconds(self.kind) - served
        check(counts, len(bodies))
        return Rate(len(bodies) / seconds, 1e6 * (own + server) / len(bodies), dict(counts), 1e6 * server / len(bodies))

    def _take(self, bodies: Sequence[bytes]) -> Counter[str]:
        pieces = [piece for body in bodies for piece in read(self.mapper, Payload(body, "bench", RECEIVED))]
        answers = self.runtime.engine.intake.commit(self.lane, pieces, None, None)
        if any(answer.problems for answer in answers):
            raise RuntimeError("a message was not read as a whole: this would measure rejections")
        return Counter(str(answer.outcome) for answer in answers)

    def _decide(self, bodies: Sequence[bytes]) -> Counter[str]:
        found = self.decisions.decide_all(site.ENTERPRISE, [read_ask(body) for body in bodies], [None], self.kept)
        return Counter(one.decision for one in found)


def _in_groups(work: Work, bodies: Sequence[bytes], group: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for start in range(0, len(bodies), group):
        counts += work(bodies[start : start + group])
    return counts
