"""Invented records and sources for the tests of adapters/rest."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from adapters.base import Item, Payload, SourceSettings
from adapters.record.mapping import JsonMapper
from store.preference import PatientStatements

RECEIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
RECORD = {
    "id": "id",
    "patient_id": "chart.number",
    "name": ["first", "last"],
    "phones": [
        {"number": "cell", "kind": "cell"},
        {"each": "phones", "number": "phone", "kind_from": "type", "kinds": {"Home": "home"}, "rank": "order", "unless": "deleted"},
    ],
    "emails": [{"address": "email"}, {"each": "emails", "address": "email", "unless": "deleted"}],
    "updated": "updated_at",
    "merged_into": "merged_into",
}


def settings(mapping: dict[str, Any] | None = None, **options: Any) -> SourceSettings:
    known = {"base_url": "https://ehr.example/api", "record": RECORD, "list": {"path": "patients"}}
    return SourceSettings(
        "clinic",
        "rest.json",
        authority="GENHOSP",
        identifier_type="MR",
        mapping=mapping or {},
        options=known | options,
        default_region="US",
        time_zone="America/Chicago",
    )


def mapper(mapping: dict[str, Any] | None = None, **options: Any) -> JsonMapper:
    return JsonMapper(settings(mapping, **options))


def payload(record: Any) -> Payload:
    return Payload(record if isinstance(record, bytes) else json.dumps(record).encode(), "page-1#0", RECEIVED)


def read(record: Any, mapping: dict[str, Any] | None = None, **options: Any) -> list[Item]:
    return mapper(mapping, **options).read(payload(record))


def said(record: dict[str, Any], mapping: dict[str, Any] | None = None, **options: Any) -> PatientStatements:
    """The one item that the record gives."""
    (item,) = read({"id": 7, **record}, mapping, **options)
    assert isinstance(item, PatientStatements), item
    return item


def values(record: dict[str, Any], mapping: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {attribute: statement.value for attribute, statement in said(record, mapping, **options).statements.items()}
