"""The plan that a CapabilityStatement decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.fhir.capability import plan

EXPORT = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"


def statement(patient: dict[str, Any], *others: dict[str, Any], **server: Any) -> bytes:
    rest = {"mode": "server", "resource": [{"type": "Patient", **patient}, *others], **server}
    return json.dumps({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}).encode()


BY_TIME = {"searchParam": [{"name": "_lastUpdated", "type": "date"}]}
READ_ONLY = {"interaction": [{"code": "read"}]}


@pytest.mark.parametrize(
    ("given", "read", "group", "incremental", "crawls"),
    [
        (statement(BY_TIME), "auto", False, True, False),
        (statement({}), "auto", False, False, False),
        (statement({}), "incremental", False, True, False),
        (statement(BY_TIME), "full", False, False, False),
        (statement(READ_ONLY), "auto", True, False, True),
        (statement(READ_ONLY), "auto", False, False, False),
        (statement({"interaction": [{"code": "search-type"}]}), "auto", True, False, False),
        (statement(BY_TIME), "crawl", True, False, True),
        (None, "auto", True, False, False),
        (b"not a statement", "auto", True, False, False),
    ],
)
def test_the_plan(given: bytes | None, read: str, group: bool, incremental: bool, crawls: bool) -> None:
    found = plan(given, read, group=group)
    assert (found.incremental, found.crawls) == (incremental, crawls)
    assert found.why


@pytest.mark.parametrize(
    ("given", "exports"),
    [
        (statement({"operation": [{"name": "export", "definition": EXPORT + "patient-export"}]}), {"patient"}),
        (statement({}, {"type": "Group", "operation": [{"name": "$export", "definition": EXPORT + "group-export"}]}), {"group"}),
        (statement({}, operation=[{"name": "export", "definition": EXPORT + "export"}]), {"system"}),
        (statement({}, operation=[{"name": "group-export", "definition": EXPORT + "group-export"}]), {"group"}),
        (statement({}, operation=[{"name": "export", "definition": {"reference": EXPORT + "patient-export"}}]), {"patient"}),
        (statement({}, operation=[{"name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/validate"}]), set()),
        (None, set()),
    ],
)
def test_exports_that_are_declared(given: bytes | None, exports: set[str]) -> None:
    assert plan(given).exports == exports
