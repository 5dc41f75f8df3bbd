"""The example message and the standard preset of the documentation."""

from __future__ import annotations

from pathlib import Path

import yaml

from adapters.base import Payload
from adapters.hl7v2.files import payloads
from adapters.hl7v2.mapping import Hl7Mapper
from store.preference import PatientStatements
from tests.adapters.hl7v2.messages import settings

ROOT = Path(__file__).resolve().parents[3]
SITE = {
    "do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}},
    "preferred_method": {"from": "ZCP-3", "values": {"T": "sms"}},
    "consent.sms": {"from": "PD1-11.1", "values": {"02": "granted"}},
}


def test_the_example_message_maps_as_documented() -> None:
    preset = yaml.safe_load((ROOT / "adapters/presets/hl7v2-standard.yaml").read_text())
    mapper = Hl7Mapper(settings(mapping=preset["mapping"] | SITE))
    (payload,) = payloads(ROOT / "tests/fixtures/hl7v2/adt_a08_do_not_contact.hl7")
    assert isinstance(payload, Payload)
    (item,) = mapper.read(payload)
    assert isinstance(item, PatientStatements)
    values = {name: one.value for name, one in item.statements.items()}
    assert values["do_not_contact"] == "yes"
    assert values["preferred_method"] == "sms"
    assert values["consent.sms"] == "granted"
    assert [(phone.kind, phone.number, phone.textable) for phone in values["phones#PID-13"]] == [("cell", "+12175559876", True)]
    assert item.evidence_id == "MSG00001"


def test_the_standard_preset_names_its_sources() -> None:
    preset = yaml.safe_load((ROOT / "adapters/presets/hl7v2-standard.yaml").read_text())
    assert (preset["name"], preset["protocol"], preset["mapping"]) == ("hl7v2-standard", "hl7v2", {})
    assert all("HL7" in one for one in preset["sources"])
