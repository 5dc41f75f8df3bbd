"""``write_back`` of a source: every error with its line; what would not be read as a denial is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.config import inspect

URL, CATEGORY = "http://schemas.example/texting-ok", "https://genhosp.example/consents|texts"
READ = {"consent.sms": {"from": f"Patient.extension('{URL}').valueBoolean", "values": {"true": "granted", "false": "denied"}}}
FHIR: dict[str, Any] = {
    "enterprise": "general", "adapter": "fhir.rest", "base_url": "https://ehr.example/fhir", "patient_id": {"authority": "G"},
}  # fmt: skip
MLLP = {"enterprise": "general", "adapter": "hl7v2.mllp", "listen": "127.0.0.1:0", "patient_id": {"authority": "G"}}
IN_PATIENT = {"sink": "fhir.patient", "attributes": {"consent.sms": {"extension": URL, "value": "false"}}}
AS_CONSENT = {"sink": "fhir.consent", "attributes": {"consent.sms": {"category": CATEGORY}}}
CONSENTS = {"consent": {"attribute": "consent.sms", "category": [CATEGORY]}}
HL7 = MLLP | {"mapping": {"consent.sms": {"from": "PD1-11.1", "values": {"02": "granted", "01": "denied"}}}}
A31: dict[str, Any] = {"sink": "hl7v2.a31", "attributes": {"consent.sms": {"field": "PD1-11.1", "code": "01"}}}
A31_CONNECTED = A31 | {"connect": "127.0.0.1:2576"}
WORKLIST: dict[str, Any] = {"sink": "worklist", "attributes": {"consent.sms": {}}}
ATTRIBUTE = "sources.emr.write_back.attributes.consent.sms"


WRITTEN = [
    FHIR | {"mapping": READ, "write_back": IN_PATIENT},
    FHIR | CONSENTS | {"write_back": AS_CONSENT},
    HL7 | {"write_back": A31_CONNECTED},
    FHIR | {"write_back": WORKLIST},
    MLLP | {"write_back": WORKLIST},
]


def errors(folder: Path, source: dict[str, Any]) -> dict[str, str]:
    file = folder / "config.yaml"
    file.write_text(json.dumps({"database": "sqlite:///x.db", "enterprises": {"general": {}}, "sources": {"emr": source}}))
    return {one.where: one.message for one in inspect(file, {}).mistakes if not one.warning}


def changed(part: dict[str, Any], **denial: Any) -> dict[str, Any]:
    """The part with other settings of the denial; ``None`` leaves one out."""
    written = part["attributes"]["consent.sms"] | denial
    return part | {"attributes": {"consent.sms": {key: value for key, value in written.items() if value is not None}}}


@pytest.mark.parametrize("source", WRITTEN)
def test_what_the_mapping_reads_as_denied_may_be_written(tmp_path: Path, source: dict[str, Any]) -> None:
    assert errors(tmp_path, source) == {}


@pytest.mark.parametrize(
    ("source", "where", "message"),
    [
        (MLLP | {"write_back": A31}, "sources.emr.write_back", "'connect'"),
        (HL7 | {"write_back": {**A31_CONNECTED, "attributes": {"consent.sms": {"code": "01"}}}}, f"{ATTRIBUTE}.field", "missing"),
        (HL7 | {"write_back": changed(A31_CONNECTED, code="02")}, ATTRIBUTE, "does not read this"),
        (HL7 | {"write_back": changed(A31_CONNECTED, code='""')}, ATTRIBUTE, "without delimiters"),
        (HL7 | {"write_back": changed(A31_CONNECTED, code="01|")}, ATTRIBUTE, "without delimiters"),
        (HL7 | {"write_back": changed(A31_CONNECTED, field="PID-30")}, ATTRIBUTE, "field must be"),
        (FHIR | {"write_back": A31_CONNECTED}, "sources.emr.write_back.sink", "not for fhir.rest"),
        (FHIR | {"mapping": READ, "write_back": changed(IN_PATIENT, value="true")}, ATTRIBUTE, "this as a denial of consent.sms"),
        (FHIR | {"mapping": READ, "write_back": changed(IN_PATIENT, extension="http://x")}, ATTRIBUTE, "does not read this"),
        (FHIR | {"write_back": IN_PATIENT}, ATTRIBUTE, "does not read this"),
        (FHIR | {"mapping": READ, "write_back": changed(IN_PATIENT, value="no")}, ATTRIBUTE, "true or false"),
        (FHIR | {"mapping": READ, "write_back": changed(IN_PATIENT, extension=None)}, f"{ATTRIBUTE}.extension", "missing"),
        (FHIR | CONSENTS | {"write_back": changed(AS_CONSENT, category=None)}, f"{ATTRIBUTE}.category", "missing"),
        (FHIR | CONSENTS | {"write_back": changed(AS_CONSENT, category="texts")}, ATTRIBUTE, "system|code"),
        (FHIR | CONSENTS | {"write_back": changed(AS_CONSENT, category="https://x|surgery")}, ATTRIBUTE, "does not read this"),
        (FHIR | {"write_back": IN_PATIENT | {"attributes": {}}}, "sources.emr.write_back.attributes", ""),
        (
            FHIR | {"write_back": {"sink": "fhir.patient", "attributes": {"do_not_contact": {"extension": URL}}}},
            "sources.emr.write_back.attributes.do_not_contact", "not written to EMRs",
        ),
        (FHIR | {"write_back": IN_PATIENT | {"sink": "fhir.flag"}}, "sources.emr.write_back.sink", ""),
        (MLLP | {"write_back": changed(WORKLIST, code="01")}, ATTRIBUTE, "must be {}"),
        (
            FHIR | {"write_back": WORKLIST | {"attributes": {"do_not_contact": {}}}},
            "sources.emr.write_back.attributes.do_not_contact", "not written to EMRs",
        ),
        (MLLP | {"write_back": IN_PATIENT}, "sources.emr.write_back.sink", "not for hl7v2.mllp"),
    ],
)  # fmt: skip
def test_every_error_says_where_it_is(tmp_path: Path, source: dict[str, Any], where: str, message: str) -> None:
    found = errors(tmp_path, source)
    assert list(found) == [where]
    assert message in found[where]
