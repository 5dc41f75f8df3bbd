"""Every resource of the public corpora goes through the mapping and the explanation. Skipped without the corpora."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Item, Payload, SourceSettings, Unmappable
from adapters.fhir.decode import decode
from adapters.fhir.files import payloads
from adapters.fhir.mapping import FhirMapper
from store.preference import PatientStatements

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpora" / "fhir"
MAPPER = FhirMapper(
    SourceSettings(name="corpus", adapter="fhir.rest", default_region="US", options={"consent": {"attribute": "consent.sms"}})
)

pytestmark = [pytest.mark.corpus, pytest.mark.skipif(not CORPUS.is_dir(), reason="the public corpora are not beside the project")]


def read() -> Iterator[tuple[Payload, Item]]:
    for path in sorted(CORPUS.rglob("*.json")):
        for payload in payloads(path):
            yield from ((payload, item) for item in MAPPER.read(payload))


def test_every_resource_is_mapped_or_rejected_with_a_reason() -> None:
    outcomes = Counter((type(item).__name__, getattr(item, "reason", "")) for _, item in read())
    assert outcomes["PatientStatements", ""] > 1_100
    assert {reason for kind, reason in outcomes if kind == "Unmappable"} <= {
        "patient_id_missing",
        "patient_reference_missing",
        "value_absent",
    }


def test_rejected_patients_have_no_usable_identifier() -> None:
    for payload, item in read():
        if isinstance(item, Unmappable) and item.reason == "patient_id_missing":
            resource = decode(payload.body)
            assert not isinstance(resource.get("id"), str)
            assert not [one for one in resource.get("identifier", []) if one.get("system") and one.get("value")]


def test_rejected_consents_lack_a_decision_or_a_patient() -> None:
    for payload, item in read():
        resource: dict[str, Any] = decode(payload.body)
        if isinstance(item, Unmappable) and item.reason == "value_absent":
            provision = resource.get("provision")
            assert "decision" not in resource
            assert not isinstance(provision, dict) or "type" not in provision
        if isinstance(item, Unmappable) and item.reason == "patient_reference_missing":
            reference = (resource.get("patient") or resource.get("subject") or {}).get("reference", "")
            assert not reference.startswith("Patient/")


def test_every_resource_can_be_explained() -> None:
    for path in sorted(CORPUS.rglob("*.json")):
        for payload in payloads(path):
            explanation = MAPPER.explain(payload)
            count = sum(len(item.statements) for item in explanation.items if isinstance(item, PatientStatements))
            assert len(explanation.stated) == count
