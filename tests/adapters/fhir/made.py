"""Invented resources and mappers for the tests of adapters/fhir."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from adapters.base import Batch, Fetch, Item, Mapper, Payload, SourceSettings
from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.rest import RestAdapter
from store.preference import PatientStatements, Statement
from sync.recognition import PayloadReader

RECEIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
MRN = "https://hospital.example/mrn"
TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

Resource = dict[str, Any]


def settings(**changes: Any) -> SourceSettings:
    values = {
        "name": "clinic",
        "adapter": "fhir.rest",
        "authority": "GENHOSP",
        "identifier_type": "MR",
        "authorities": {MRN: "GENHOSP"},
        "default_region": "US",
    }
    return SourceSettings(**(values | changes))


def mapper(**changes: Any) -> FhirMapper:
    return FhirMapper(settings(**changes))


def payload(resource: Any) -> Payload:
    body = resource if isinstance(resource, bytes) else json.dumps(resource).encode()
    return Payload(body, "file:1", RECEIVED)


def identifier(value: str = "M1", system: str | None = MRN, kind: str = "MR", **others: Any) -> Resource:
    made: Resource = {"value": value, "type": {"coding": [{"system": TYPES, "code": kind}]}, **others}
    return made if system is None else made | {"system": system}


def patient(**elements: Any) -> Resource:
    meta = {"versionId": "3", "lastUpdated": "2026-10-31T08:00:00Z"}
    return {"resourceType": "Patient", "id": "p1", "meta": meta, "identifier": [identifier()], **elements}


def read(resource: Any, **changes: Any) -> list[Item]:
    return mapper(**changes).read(payload(resource))


def said(resource: Any, **changes: Any) -> PatientStatements:
    """The one item that the resource gives."""
    (item,) = read(resource, **changes)
    assert isinstance(item, PatientStatements), item
    return item


def stated(resource: Any, **changes: Any) -> dict[str, Statement]:
    return dict(said(resource, **changes).statements)


def telecom(**changes: Any) -> dict[str, Statement]:
    """What a patient with one contact point states of it."""
    return stated(patient(telecom=[{"system": "phone", "value": "217-555-0123", **changes}]))


def reasons(resource: Any, **changes: Any) -> list[tuple[str, str]]:
    return [(problem.reason, problem.path) for problem in said(resource, **changes).problems]


class ReadRest(RestAdapter):
    """The polling adapter, and its batches read as whoever commits them reads them."""

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        return read_whole(self.mapper, super().fetch(request))


class ReadBulk(BulkAdapter):
    """The adapter of exports, and its batches read as whoever commits them reads them."""

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        return read_whole(self.mapper, super().fetch(request))


def read_whole(mapper: Mapper, batches: Iterable[Batch]) -> Iterator[Batch]:
    reading = PayloadReader(mapper, is_worth_it=False)
    for batch in batches:
        pieces = list(reading.of_batch(batch))
        yield batch._replace(items=[one.item for one in pieces], payloads=[one.payload for one in pieces])
