"""An export or a search that brings the same Patients again is recognized record by record, as a file is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.base import Fetch, Item, Payload
from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.rest import RestAdapter
from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.patient import PatientRef
from store.patients.preferences import Preferences
from store.runs.runs import Journal, RunKind, RunStatus
from sync.config.settings import Backoff
from sync.dry_run import dry_run
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.fhir.made import settings
from tests.factories import CLINIC, sealing
from tests.fakes import FakeClock

PATIENTS = 30
LANE = Lane("clinic", CLINIC)


class Counting(FhirMapper):
    """Counts the records that it maps."""

    mapped = 0

    def read(self, payload: Payload) -> list[Item]:
        self.mapped += 1
        return super().read(payload)


class Site:
    """An engine, and a source that reads the rehearsal EMR in one of two ways."""

    def __init__(self, database: Database, emr: RehearsalEmr, way: str) -> None:
        self.emr, self.way, self.database = emr, way, database
        sources = (Source("clinic", "Clinic", patient_id=(("GENHOSP", "MR"),)),)
        self.store = Preferences(database, {CLINIC: Enterprise(CLINIC, syncs=True, sources=sources)})
        self.engine = Engine(database, self.store, Journal(database, sealing()), FakeClock(), Metrics(), Backoff(), batch_size=10)

    def adapter(self, **changes: Any) -> RestAdapter | BulkAdapter:
        source = self.emr.bulk_source(enterprise=CLINIC) if self.way == "fhir.bulk" else self.emr.fhir_source(enterprise=CLINIC)
        options = {name: source[name] for name in ("base_url", "auth", "export") if name in source}
        authorities = {alias: name for name, aliases in self.emr.authorities.items() for alias in aliases}
        made = settings(**({"mapping": source["mapping"], "options": options, "authorities": authorities} | changes))
        rest = BulkAdapter(made, sleep=lambda _: None) if self.way == "fhir.bulk" else RestAdapter(made, sleep=lambda _: None)
        mapper = Counting(made)
        rest.mapper = mapper
        if isinstance(rest, BulkAdapter):
            rest.rest.mapper = mapper
        return rest

    def read(self, **changes: Any) -> tuple[dict[str, int], int]:
        """The counts of a full run, and how many records were mapped."""
        adapter = self.adapter(**changes)
        run = self.engine.run(LANE, adapter, Fetch(full=True), RunKind.FULL)
        assert run.status == RunStatus.DONE
        assert isinstance(adapter.mapper, Counting)
        return {name: count for name, count in run.counts.items() if count}, adapter.mapper.mapped

    def received(self, index: int) -> Any:
        return self.store.find(CLINIC, PatientRef(value=self.emr.entry(index).person.mrn)).marks[0].last_heard


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=5) as running:
        yield running


@pytest.fixture(params=["fhir.rest", "fhir.bulk"])
def site(database: Database, emr: RehearsalEmr, request: pytest.FixtureRequest) -> Site:
    return Site(database, emr, request.param)


def test_a_full_read_that_brings_the_same_patients_maps_none_of_them(site: Site) -> None:
    assert site.read() == ({"applied": PATIENTS}, PATIENTS)
    before = site.received(7)
    assert site.read() == ({"unchanged": PATIENTS}, 0)
    assert site.received(7) > before


def test_only_those_who_changed_are_mapped(site: Site) -> None:
    site.read()
    changed = len(site.emr.tick())
    counts, mapped = site.read()
    assert mapped == counts["applied"] == changed < counts["unchanged"]


def test_a_changed_mapping_reads_everybody_again(site: Site) -> None:
    site.read()
    assert site.read(default_region="GB")[1] == PATIENTS
    assert site.read(default_region="GB")[1] == 0


def test_a_dry_run_maps_each_patient_and_changes_nothing(site: Site) -> None:
    site.read()
    before, adapter = site.received(7), site.adapter()
    found = dry_run(site.engine, LANE, adapter, Fetch(full=True))
    assert dict(found.counts) == {"unchanged": PATIENTS}
    assert isinstance(adapter.mapper, Counting)
    assert (adapter.mapper.mapped, site.received(7)) == (PATIENTS, before)
