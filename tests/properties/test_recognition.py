"""Records that are only recognized leave the store exactly as if every one had been mapped, over random histories.

Two enterprises receive the same files at the same times. One recognizes records that came before, the other maps each. Patients are merged
and parted, an HL7 feed states the same attributes, mappings change, periods end, and files repeat old lines, before and after new ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from adapters.base import Explanation, Item, Payload
from adapters.fhir.mapping import FhirMapper
from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.errors import MergeRefused, StoreError
from store.patients.preferences import Preferences
from store.preference import Codes, Identifier, PatientMerge, PatientStatements, Problem, Statement
from store.runs.runs import Journal
from sync.config.settings import Backoff, SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.fhir.made import identifier, settings
from tests.factories import NOW, sealing

PATIENTS, WAVES, OTHER = 40, 6, "other"
DNC = "https://hospital.example/dnc"
TABLES = ({"Y": "yes", "N": "no"}, {"Y": "yes", "N": "no", "?": "yes"}, {"Y": "no", "N": "yes"})
CODES = ("Y", "N", "N", "?")
OF_IDS = ("merged_into", "unmerged")
SAFEGUARDS = (SafeguardRule(0, 0), SafeguardRule(10_000, 100))


class Mapping:
    """A mapper of which only the Protocol of all mappers is known, so that it maps every record."""

    def __init__(self, mapper: FhirMapper) -> None:
        self._mapper, self.mapping, self.mapped = mapper, mapper.mapping, 0

    def read(self, payload: Payload) -> list[Item]:
        self.mapped += 1
        return self._mapper.read(payload)

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        return self._mapper.reread(attribute, codes)

    def explain(self, payload: Payload) -> Explanation:
        return self._mapper.explain(payload)


class Recognizing(Mapping):
    """The same, and a glance."""

    def glance(self, payload: Payload) -> PatientStatements | None:
        return self._mapper.glance(payload)


class Hospital:
    """One enterprise with a FHIR source and another feed."""

    def __init__(self, database: Database, name: str, rule: SafeguardRule, kind: type[Mapping]) -> None:
        sources = (Source("clinic", "Clinic", patient_id=(("GENHOSP", "MR"),)), Source(OTHER, "Other"))
        self.name, self.kind, self.now, self.mapped = name, kind, NOW, 0
        self.store = Preferences(database, {name: Enterprise(name, name, True, False, sources)})
        journal = Journal(database, sealing())
        self.engine = Engine(
            database, self.store, journal, lambda: self.now, Metrics(), Backoff(), batch_size=10_000, safeguards={name: rule}
        )

    def mapper(self, table: dict[str, str], region: str) -> Mapping:
        rule = {"from": f"Patient.extension('{DNC}').valueCode", "values": table}
        return self.kind(FhirMapper(settings(mapping={"do_not_contact": rule}, default_region=region)))

    def receive(self, bodies: Sequence[bytes], table: dict[str, str], region: str) -> dict[str, int]:
        mapper, lane = self.mapper(table, region), Lane("clinic", self.name)
        run = self.engine.feed(lane, mapper, [Payload(body, f"f:{n}", self.now, self.now) for n, body in enumerate(bodies)])
        self.mapped += mapper.mapped
        return dict(run.counts)

    def state_otherwise(self, item: PatientStatements | PatientMerge, source: str = OTHER) -> None:
        with self.engine.database.write(self.name) as transaction:
            self.store.apply_many(transaction, self.name, source, [item], now=self.now)

    def part(self, number: int) -> bool:
        try:
            self.store.unmerge(
                self.name, PatientRef(value=mrn(number)), actor=Actor("ann", Role.ENTERPRISE), reason="two people", now=self.now
            )
        except MergeRefused:
            return False
        return True

    def known(self) -> Iterator[Any]:
        """All that is known of each patient, but for the ids."""
        for number in range(PATIENTS):
            try:
                one = self.store.find(self.name, PatientRef(value=mrn(number)))
            except StoreError as error:
                yield type(error)
                continue
            history = [entry[1:12] for entry in self.store.history(self.name, one.id) if not entry.attribute.startswith(OF_IDS)]
            history.sort(key=repr)  # PostgreSQL gives the authorities of a merged patient in any order
            yield one.version, one.identifiers, one.marks, one.preferences, one.contact, one.updated, one.unreadable, history


def mrn(number: int) -> str:
    return f"M{number}"


def line(number: int, version: int, code: str, dice: Random, now: datetime) -> bytes:
    """A record of a patient, in many shapes: some end, some name another patient, some cannot be read in part."""
    phone: dict[str, Any] = {"system": "phone", "use": "mobile", "value": f"+1217555{number:04d}"}
    if dice.random() < 0.2:
        phone["period"] = {"end": (now + timedelta(days=dice.choice([0, 1]))).date().isoformat()}
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [identifier(mrn(number))],
        "extension": [{"url": DNC, "valueCode": code}],
        "telecom": [phone],
    }
    if dice.random() < 0.8:
        resource["meta"] = {"versionId": str(version), "lastUpdated": (now - timedelta(hours=dice.choice([1, 30]))).isoformat()}
    if dice.random() < 0.1:
        resource["link"] = [{"type": "replaces", "other": {"identifier": identifier(mrn(dice.randrange(PATIENTS)))}}]
    if dice.random() < 0.1:
        resource["identifier"].append(identifier(f"X{number}", "https://hospital.example/other"))
    return json.dumps(resource).encode()


def wave(dice: Random, sent: dict[int, list[bytes]], now: datetime) -> list[bytes]:
    """The lines of one file: most as they were, some new, some old ones again, before or after the new one."""
    file: list[bytes] = []
    for number in range(PATIENTS):
        lines, roll = sent.setdefault(number, []), dice.random()
        if not lines or roll < 0.15:
            lines.append(line(number, len(lines) + 1, dice.choice(CODES), dice, now))
        file += [lines[-1]] if roll < 0.8 else dice.sample(lines[-2:], min(2, len(lines)))
    return file


@pytest.mark.parametrize("seed", range(2))
def test_records_that_are_only_recognized_leave_the_store_as_if_each_had_been_mapped(database: Database, seed: int) -> None:
    dice, sent, rule = Random(seed), dict[int, list[bytes]](), SAFEGUARDS[seed % 2]
    pair = [Hospital(database, "glances", rule, Recognizing), Hospital(database, "maps", rule, Mapping)]
    table, region, now = TABLES[0], "US", NOW
    for _ in range(WAVES):
        now += timedelta(hours=dice.choice([1, 20, 30]))
        table = dice.choice(TABLES) if dice.random() < 0.2 else table
        region = dice.choice(["US", "GB"]) if dice.random() < 0.1 else region
        file, others, (one, two) = wave(dice, sent, now), dice.sample(range(PATIENTS), 4), dice.sample(range(PATIENTS), 2)
        merge = PatientMerge((named(one),), (named(two),), times.at(now), f"merge {now}") if dice.random() < 0.5 else None
        results = []
        for hospital in pair:
            hospital.now = now
            counts = hospital.receive(file, table, region)
            for number in others:
                refused = {"do_not_contact": Statement("yes" if number % 2 else "no", "ZCP-2")}
                hospital.state_otherwise(PatientStatements((named(number),), refused, times.at(now), f"{now} {number}"))
            if merge is not None:
                hospital.state_otherwise(merge, "clinic")
            results.append((counts, hospital.part(two), list(hospital.known())))
        assert results[0] == results[1]
    assert pair[0].mapped < pair[1].mapped


def named(number: int) -> Identifier:
    return Identifier("GENHOSP", "MR", mrn(number))
