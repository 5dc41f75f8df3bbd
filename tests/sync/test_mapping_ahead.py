"""A large load is mapped in a process of its own, and leaves the same rows as without, also if that process is killed or frozen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.base import AdapterError, Item, Payload, SourceSettings
from adapters.fhir.mapping import FhirMapper
from store.db import tables
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.patients.preferences import Preferences
from store.preference import PatientStatements
from store.runs.runs import Journal
from sync import mapping_ahead, processors
from sync.config.settings import Backoff
from sync.engine import Engine
from sync.mapping_ahead import AheadRule, MappingAhead
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.fhir.made import RECEIVED, identifier, patient, settings
from tests.factories import CLINIC, sealing
from tests.fakes import FakeClock

LANE, DNC = Lane("clinic", CLINIC), "https://hospital.example/dnc"
RULE = {"from": f"Patient.extension('{DNC}').valueCode", "values": {"Y": "yes", "N": "no"}}
SETTINGS = settings(mapping={"do_not_contact": RULE}, options={"base_url": "https://fhir.hospital.example"})
GROUP, LARGE, CHUNK, MANY = 20, 40, 10, 400
RANDOM = re.compile(r"\b(run|rej)_[0-9a-f]+")
NUMBER = re.compile(r"\b\d{15,}\b")
AHEAD = AheadRule(large=LARGE, chunk=CHUNK, patience=120.0, usable=lambda: 2)
HERE = replace(AHEAD, usable=lambda: 1)


class Log:
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        self.warnings.append((event, values))


class Site:
    def __init__(self, database: Database, rule: AheadRule) -> None:
        sources = (Source("clinic", "Clinic", patient_id=(("GENHOSP", "MR"),)),)
        store, clock = Preferences(database, {CLINIC: Enterprise(CLINIC, syncs=True, sources=sources)}), FakeClock()
        self.database, self.log = database, Log()
        self.engine = Engine(database, store, Journal(database, sealing()), clock, Metrics(), Backoff(), batch_size=GROUP, ahead=rule)
        self.engine.log = self.log

    def receive(self, payloads: Iterable[Payload], settings: SourceSettings = SETTINGS) -> dict[str, int]:
        return dict(self.engine.feed(LANE, FhirMapper(settings), payloads, settings=settings).counts)

    def rows(self) -> dict[str, list[str]]:
        """All rows, without what is random: the names of runs and rejections, and what is encrypted. Patients are numbered from 1."""
        with self.database.read() as connection:
            found = {table.name: connection.execute(table.select()).all() for table in tables.Table.known.sorted_tables}
        order = {str(number): str(place) for place, (number, *_) in enumerate(sorted(found["patients"]), 1)}
        return {name: sorted(_plain(row, order) for row in rows) for name, rows in found.items() if rows}


def _plain(row: Iterable[Any], order: dict[str, str]) -> str:
    text = repr([value for value in row if not isinstance(value, bytes)])
    return NUMBER.sub(lambda found: order.get(found[0], found[0]), RANDOM.sub("", text))


def record(number: int, code: str = "Y", **more: Any) -> bytes:
    meta = {"versionId": "1", "lastUpdated": "2026-10-31T08:00:00Z"}
    named = {"id": f"p{number}", "identifier": [identifier(f"M{number}")], "meta": meta}
    return json.dumps(patient(**named, extension=[{"url": DNC, "valueCode": code}], **more)).encode()


def bundle(number: int) -> bytes:
    entries = [{"resource": json.loads(record(number + part))} for part in (500_000, 600_000)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def line(number: int) -> bytes:
    """Most lines are patients; some are Bundles, have no use here, are unreadable in part, or are garbage."""
    others = {1: b"{broken", 2: b'{"resourceType": "Practitioner"}', 3: bundle(number), 4: record(number, "?"), 5: b"[" * 5_000}
    return others.get(number % 50) or record(number, "YN"[number % 2], telecom=[{"system": "phone", "value": f"217555{number:04}"}])


def payloads(count: int = MANY, of: Callable[[int], bytes] = line) -> Iterator[Payload]:
    return (Payload(of(number), f"file:{number}", RECEIVED, RECEIVED) for number in range(count))


def mappers() -> list[psutil.Process]:
    """The processes that map for this one."""
    return [one for one in psutil.Process().children() if "sync.mapping_process" in one.cmdline()]


def meanwhile(at: int, event: Callable[[], None], of: Iterator[Payload]) -> Iterator[Payload]:
    """The payloads, with something that happens before one of them."""
    for number, payload in enumerate(of):
        if number == at:
            event()
        yield payload


def send(number: int) -> Callable[[], None]:
    def event() -> None:
        (other,) = mappers()
        os.kill(other.pid, number)

    return event


@pytest.fixture
def second(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Another migrated, empty database of the same kind."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "second.db")
        with closing(Database.open(f"sqlite:///{tmp_path / 'second.db'}")) as opened:
            yield opened
        return
    databases = request.getfixturevalue("postgres_migrated")
    with databases.lent() as name, closing(Database.open(databases.url(name))) as opened:
        yield opened


@pytest.fixture
def here(second: Database) -> tuple[dict[str, int], dict[str, list[str]]]:
    """The counts and rows of the load if this process maps all of it."""
    site = Site(second, HERE)
    return site.receive(payloads()), site.rows()


def test_a_large_load_leaves_the_rows_that_it_leaves_when_it_is_mapped_here(database: Database, here: Any) -> None:
    site, seen = Site(database, AHEAD), list[int]()
    assert (site.receive(meanwhile(200, lambda: seen.append(len(mappers())), payloads())), site.rows()) == here
    assert (seen, mappers(), site.log.warnings) == ([1], [], [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_lost_process_has_not_answered_is_mapped_here(database: Database, here: Any, number: int) -> None:
    """A frozen one is killed when it has not answered for a while."""
    rule = replace(AHEAD)

    def lose() -> None:
        send(number)()
        object.__setattr__(rule, "patience", 1.0)  # only now: its start may take longer

    site = Site(database, rule)
    assert (site.receive(meanwhile(200, lose, payloads())), site.rows()) == here
    assert [(event, values["source"]) for event, values in site.log.warnings] == [(mapping_ahead.LOST, "clinic")]
    assert mappers() == []


def test_what_only_that_process_cannot_map_is_mapped_here(database: Database, second: Database) -> None:
    """Here it can open no file, so it fails at the first number of another numbering plan."""

    def no_files() -> None:
        (other,) = mappers()
        other.rlimit(psutil.RLIMIT_NOFILE, (0, 0))

    def german(number: int) -> bytes:
        return record(number, telecom=[{"system": "phone", "value": f"+49 30 9018{number:04}"}])

    site, alone = Site(database, AHEAD), Site(second, HERE)
    found = site.receive(meanwhile(200, no_files, payloads(of=lambda number: german(number) if number > 200 else line(number))))
    assert found == alone.receive(payloads(of=lambda number: german(number) if number > 200 else line(number)))
    assert site.rows() == alone.rows()
    assert site.log.warnings == []


def test_a_process_of_another_release_is_not_used(database: Database, here: Any) -> None:
    """As after an upgrade in the middle of a load: its mapping differs from that of this process."""
    site = Site(database, AHEAD)
    other = replace(SETTINGS, mapping={"do_not_contact": RULE | {"values": {"Y": "no", "N": "yes"}}})
    assert site.engine.feed(LANE, FhirMapper(SETTINGS), payloads(), settings=other).counts == here[0]
    assert site.rows() == here[1]
    assert [event for event, _ in site.log.warnings] == [mapping_ahead.LOST]


def test_signals_for_all_processes_of_a_terminal_or_a_service_do_not_end_it(database: Database, here: Any) -> None:
    def signal_all() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            send(number)()

    site = Site(database, AHEAD)
    assert (site.receive(meanwhile(200, signal_all, payloads())), site.log.warnings) == (here[0], [])


def test_a_file_that_cannot_be_read_to_its_end_is_applied_as_far_as_without(database: Database, second: Database) -> None:
    def damaged() -> None:
        raise AdapterError("damaged", permanent=True)

    sites = [Site(database, AHEAD), Site(second, HERE)]
    counts = [site.receive(meanwhile(233, damaged, payloads())) for site in sites]
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) > 200
    assert sites[0].rows() == sites[1].rows()


def test_a_stopped_load_ends_after_the_same_group(database: Database, second: Database) -> None:
    sites = [Site(database, AHEAD), Site(second, HERE)]

    def stopped(site: Site) -> dict[str, int]:
        def progress(done: int, total: int | None, what: str = "") -> None:
            if done >= 200:
                site.engine.stop.set()

        return dict(site.engine.feed(LANE, FhirMapper(SETTINGS), payloads(), progress, SETTINGS).counts)

    assert stopped(sites[0]) == stopped(sites[1])
    assert mappers() == []


def test_what_came_before_is_recognized_here(database: Database) -> None:
    """What repeats in the middle of a load is not mapped at all; what is new after it is mapped ahead again."""
    site = Site(database, AHEAD)
    known = [Payload(record(number), f"known:{number}", RECEIVED, RECEIVED) for number in range(200)]
    site.receive(known, settings=SETTINGS)
    new = list(payloads(100, lambda number: record(10_000 + number)))
    later = list(payloads(100, lambda number: record(20_000 + number)))
    glanced = Glancing(SETTINGS)
    counts = site.engine.feed(LANE, glanced, [*new, *known, *later], settings=SETTINGS).counts
    assert counts == {"applied": 200, "unchanged": 200}
    assert glanced.glances >= 50
    assert glanced.mapped < 120


class Glancing(FhirMapper):
    """Counts what it is asked in this process."""

    glances = mapped = 0

    def glance(self, payload: Payload) -> PatientStatements | None:
        self.glances += 1
        return super().glance(payload)

    def read(self, payload: Payload) -> list[Item]:
        self.mapped += 1
        return super().read(payload)


@pytest.mark.parametrize(("usable", "count"), [(1.0, MANY), (2.0, LARGE)])
def test_a_small_load_or_one_on_a_single_processor_has_no_other_process(sqlite_url: str, usable: float, count: int) -> None:
    with closing(Database.open(sqlite_url)) as database:
        site, seen = Site(database, replace(AHEAD, usable=lambda: usable)), list[int]()
        site.receive(meanwhile(count - 1, lambda: seen.append(len(mappers())), payloads(count)))
        assert seen == [0]


@pytest.fixture
def ahead() -> Iterator[MappingAhead]:
    """A process that is ready."""
    with closing(MappingAhead(SETTINGS, FhirMapper(SETTINGS), replace(AHEAD, large=1), Log())) as found:
        found.count(1)
        found.count(1)
        yield found


def test_only_so_much_is_read_ahead(ahead: MappingAhead) -> None:
    """By number, and by size: of large payloads one is mapped, and two are at hand."""
    for of, most in ((line, (mapping_ahead.CHUNKS + 1) * CHUNK + 1), (lambda number: b" " * mapping_ahead.MOST_BYTES, 3)):
        taken, furthest = 0, 0

        def counted(of: Callable[[int], bytes] = of) -> Iterator[Payload]:
            nonlocal taken
            for payload in payloads(400 if of is line else 5, of):
                taken += 1
                yield payload

        for done, _ in enumerate(ahead.map(counted(), lambda: True)):
            furthest = max(furthest, taken - done)
        assert 1 < furthest <= most


def test_nothing_about_it_tells_a_secret_or_a_patient_and_it_is_as_nice_as_this_process(ahead: MappingAhead) -> None:
    (other,) = mappers()
    *command, number = other.cmdline()[1:]
    assert command == ["-P", "-m", "sync.mapping_process"]
    assert number.isdigit()
    assert all(os.environ[name] == value for name, value in other.environ().items() if name != "PYTEST_CURRENT_TEST")
    assert other.nice() == psutil.Process().nice()


def test_a_control_group_limits_the_processors(tmp_path: Path) -> None:
    own = tmp_path / "self"
    group = tmp_path / "pod"
    own.mkdir()
    group.mkdir()
    (own / "cgroup").write_text("0::/pod\n")
    for limit, usable in (("50000 100000", 0.5), ("max 100000", len(os.sched_getaffinity(0)))):
        (group / "cpu.max").write_text(f"{limit}\n")
        assert processors.usable(tmp_path, tmp_path) == usable
    assert processors.usable(tmp_path / "none", tmp_path) == len(os.sched_getaffinity(0))
