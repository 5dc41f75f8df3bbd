"""The rehearsal EMR as a whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_sender import control_id

OPENED = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


def test_an_export_has_one_patient_per_line(tmp_path: Path) -> None:
    emr = RehearsalEmr(patients=30)
    assert emr.export(tmp_path / "patients.ndjson") == 30
    found = [json.loads(line) for line in (tmp_path / "patients.ndjson").read_bytes().splitlines()]
    assert [one["id"] for one in found] == [f"rp-{index}" for index in range(30)]
    assert {one["resourceType"] for one in found} == {"Patient"}


def test_an_export_shows_what_a_tick_changed(tmp_path: Path) -> None:
    emr = RehearsalEmr(patients=30)
    emr.export(tmp_path / "before")
    changed = set(emr.tick())
    emr.export(tmp_path / "after")
    pairs = zip((tmp_path / "before").read_text().splitlines(), (tmp_path / "after").read_text().splitlines(), strict=True)
    assert {index for index, (old, new) in enumerate(pairs) if old != new} == changed


def test_the_feed_since_a_time_contains_only_changes() -> None:
    now = [OPENED]
    emr = RehearsalEmr(patients=60, clock=lambda: now[0])
    now[0] += timedelta(minutes=1)
    changed = emr.tick()
    assert len(list(emr.messages())) == 60
    assert [control_id(one) for one in emr.messages("A31", since=now[0])] == [f"RH{index:08d}0001A31" for index in changed]


def test_both_dialects_map_the_same_attributes_and_nothing_defaults_to_granted() -> None:
    emr = RehearsalEmr(patients=1)
    assert set(emr.mapping["fhir"]) == set(emr.mapping["hl7v2"]) == {"do_not_contact", "preferred_method", "consent.sms"}
    assert not any("on_unknown" in rule or "on_absent" in rule for dialect in emr.mapping.values() for rule in dialect.values())


def test_sources_are_plain_data_for_a_configuration_file() -> None:
    with RehearsalEmr(patients=1, algorithm="RS384") as emr:
        fhir = emr.fhir_source(enterprise="demo", private_key="file:key.pem")
    assert json.loads(json.dumps(fhir)) == fhir
    assert fhir["auth"] == {"kind": "smart_backend", "client_id": "emr-sync-rehearsal", "private_key": "file:key.pem", "alg": "RS384"}
    assert emr.hl7_source(enterprise="demo", listen="127.0.0.1:2575")["listen"] == "127.0.0.1:2575"
