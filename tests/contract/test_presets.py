"""Each preset, configured as a site would, maps its fixture to exactly the attributes that its header lists.

The fixtures follow the public sources that the presets name; every value in them is invented. ``tests/fixtures/presets.yaml`` lists what
each states. A fixture may have several records of its patient, such as a Bundle of a Patient and a Flag.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.base import Item
from adapters.registry import build
from store.preference import Channel, PatientMerge, PatientStatements
from sync.config import Settings, load, presets
from sync.runtime import adapter
from sync.sources import payloads

FIXTURES = Path(__file__).parents[1] / "fixtures" / "presets"
RECEIVED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
"""When every fixture is received: whatever in it is later would be ``time_in_future``."""
NUMBER = re.compile(r"#\+\d+$")
ADAPTERS = {
    "hl7v2": "adapter: hl7v2.mllp\n    listen: 127.0.0.1:0",
    "fhir": "adapter: fhir.rest\n    base_url: https://ehr.example/r4",
    "rest": "adapter: rest.json\n    base_url: https://ehr.example/api",
    "files": "adapter: files.delimited\n    path: .\n    semantics: snapshot\n    schedule: never",
    "athenahealth": "adapter: rest.athena\n    base_url: https://ehr.example\n    practice_id: 195900",
}
WORDS = {None: "unknown", True: "true", False: "false"}
EXPECTED: dict[str, dict[str, Any]] = yaml.load(FIXTURES.with_suffix(".yaml").read_text("utf-8"), Loader=yaml.CBaseLoader)


def configured(folder: Path, preset: str) -> Settings:
    protocol = presets.preset(preset).protocol
    region = EXPECTED[preset].get("region", "US")
    file = folder / "config.yaml"
    file.write_text(
        "database: sqlite:///x.db\n"
        f"enterprises: {{e: {{sync_contact_preferences: true, default_region: {region}, authorities: {{GENHOSP: ['https://hospital.example/mrn']}}}}}}\n"
        f"sources:\n  site:\n    enterprise: e\n    preset: {preset}\n    {ADAPTERS.get(preset, ADAPTERS[protocol])}\n"
        "    patient_id: {authority: GENHOSP, type: MR}\n"
    )
    return load(file)


def items(folder: Path, preset: str, body: bytes | None = None) -> list[Item]:
    """The items of the fixture, read as ``emr-sync ingest`` reads a file."""
    reader = adapter(configured(folder, preset).feeds["site"])
    (fixture,) = (one for one in FIXTURES.iterdir() if one.stem == preset)
    if body is not None:
        fixture = folder / fixture.name
        fixture.write_bytes(body)
    return [item for payload in payloads(reader, [fixture]) for item in reader.mapper.read(replaced(payload))]


def replaced(payload: Any) -> Any:
    return payload._replace(received=RECEIVED, written=None)


def mapped(folder: Path, preset: str, body: bytes | None = None) -> PatientStatements:
    (item,) = items(folder, preset, body)
    assert isinstance(item, PatientStatements), item
    return item


def as_written(stated: dict[str, Any]) -> dict[str, Any]:
    """The values in the words of a mapping, which has only text."""
    return {name: value if isinstance(value, list) else WORDS.get(value, value) for name, value in stated.items()}


def values(item: PatientStatements) -> dict[str, Any]:
    """The statements, with the phones and addresses of all slots together. An empty list (which clears) counts as no attribute."""
    found: dict[str, Any] = {}
    for attribute, statement in item.statements.items():
        if attribute.partition("#")[0] in ("phones", "email"):
            if statement.value:
                found.setdefault(attribute.partition("#")[0], []).extend(shown(one) for one in statement.value)
        else:
            found[attribute] = statement.value
    return found


def shown(value: Any) -> str:
    return f"{value.number} {value.kind}{' textable' if value.textable else ''}" if hasattr(value, "number") else str(value)


def promised(stated: dict[str, Any]) -> set[str]:
    """The attributes as a header lists them: a consent at a number is ``#*``, a topic on every channel is ``.*``."""
    names = {NUMBER.sub("#*", attribute) for attribute in stated}
    topics = {name.rpartition(".")[0] for name in names if name.startswith("topic.")}
    whole = {topic for topic in topics if all(f"{topic}.{channel}" in names for channel in Channel)}
    return {f"{name.rpartition('.')[0]}.*" if name.rpartition(".")[0] in whole else name for name in names}


def test_every_preset_has_a_fixture_and_every_fixture_a_preset() -> None:
    assert {file.stem for file in FIXTURES.iterdir()} == set(presets.names()) == set(EXPECTED)


@pytest.mark.parametrize("preset", presets.names())
def test_each_fixture_maps_to_exactly_the_attributes_in_its_header(tmp_path: Path, preset: str) -> None:
    found: dict[str, Any] = {}
    records = items(tmp_path, preset)
    for item in records:
        assert isinstance(item, PatientStatements), item
        assert item.problems == ()
        assert found or item.identifiers[0].authority == "GENHOSP", "the first record must have the patient's identifier"
        assert isinstance(records[0], PatientStatements)
        assert set(item.identifiers) & set(records[0].identifiers), "every record must be about the same patient"
        assert not found.keys() & values(item).keys(), "two records state the same attribute"
        found |= values(item)
    assert as_written(found) == EXPECTED[preset]["states"]
    assert promised(found) == set(presets.preset(preset).promises)


@pytest.mark.parametrize("preset", presets.names())
def test_every_rule_names_its_public_source(preset: str) -> None:
    found = presets.preset(preset)
    assert found.sources
    assert [attribute for attribute, rule in found.mapping.items() if not rule.source] == []


def changed(preset: str, change: Any) -> bytes:
    """The fixture of a JSON preset with its one record changed."""
    data = json.loads((FIXTURES / f"{preset}.json").read_text())
    holder = next((value for value in data.values() if isinstance(value, list) and value), [data])
    change(holder[0])
    return json.dumps(data).encode()


# The codes 01 to 12 for (do_not_contact, reminders sms voice email, recalls sms voice email): y yes, d denied, g granted, - cleared.
PUBLICITY = {
    "01": "y ddd ddd", "02": "- ggg ggg", "03": "- -dg -dg", "04": "- ggg ddd", "05": "- -dg ddd", "06": "- ddd ggg",
    "07": "- ddd -dg", "08": "y ddd ddd", "09": "- ddd ---", "10": "y ddd ddd", "11": "- --- ddd", "12": "y ddd ddd",
}  # fmt: skip
LETTERS = {"yes": "y", "denied": "d", "granted": "g", None: "-"}


@pytest.mark.parametrize(("code", "meaning"), PUBLICITY.items())
def test_each_publicity_code_of_immunization_registries(tmp_path: Path, code: str, meaning: str) -> None:
    body = (FIXTURES / "hl7v2-immunization.hl7").read_bytes().replace(b"|01^No reminder/recall", f"|{code}^".encode())
    found = values(mapped(tmp_path, "hl7v2-immunization", body))
    topics = [
        "".join(LETTERS[found[f"topic.{topic}.{channel}"]] for channel in ("sms", "voice", "email")) for topic in ("reminders", "recalls")
    ]
    assert " ".join([LETTERS[found["do_not_contact"]], *topics]) == meaning


@pytest.mark.parametrize("code", ["F", "N", "O", "U", ""])
def test_publicity_codes_of_the_base_table_state_nothing(tmp_path: Path, code: str) -> None:
    body = (FIXTURES / "hl7v2-immunization.hl7").read_bytes().replace(b"|01^No reminder/recall", f"|{code}^".encode())
    assert not {"do_not_contact", "topic.recalls.sms"} & set(values(mapped(tmp_path, "hl7v2-immunization", body)))


METHODS = {"1": "mail", "2": None, "3": "voice", "4": "email", "5": None, "6": None, "7": None, "8": None, "9": "sms"}


@pytest.mark.parametrize(("code", "method"), METHODS.items())
def test_each_contact_method_of_uk_core(tmp_path: Path, code: str, method: str | None) -> None:
    body = (FIXTURES / "uk-core.json").read_bytes().replace(b'"code": "8"', f'"code": "{code}"'.encode())
    found = values(mapped(tmp_path, "uk-core", body))
    assert found["preferred_method"] == method
    assert found["consent.voice"] == found["consent.sms"] == ("denied" if code == "8" else None)


def test_athenahealth_omits_fields_that_were_never_set(tmp_path: Path) -> None:
    bare = changed("athenahealth", lambda one: [one.pop(name) for name in list(one) if name not in ("patientid", "status")])
    assert values(mapped(tmp_path, "athenahealth", bare)) == {"active": True}


@pytest.mark.parametrize(
    ("preset", "member", "value", "attribute", "stated"),
    [
        ("athenahealth", "donotcall", "true", "do_not_contact", "yes"),
        ("athenahealth", "contactpreference", "HOMEPHONE", "preferred_phone", "+12175550102"),
        ("athenahealth", "contactpreference", "MAIL", "preferred_phone", None),
        ("athenahealth", "deceaseddate", "10/30/2026", "deceased", True),
        ("athenahealth", "status", "deleted", "active", False),
        ("openemr", "hipaa_allowsms", "YES", "consent.sms", "granted"),
        ("openemr", "deceased_date", "2026-10-30 00:00:00", "deceased", True),
        ("elation", "sms_opt_in_status", True, "consent.sms", "granted"),
        ("elation", "preferred_contact", "passport", "preferred_method", "portal"),
        ("elation", "vip", True, "restricted", True),
        ("elation", "patient_status", {"status": "deceased", "deceased_date": "2026-10-30"}, "deceased", True),
        ("drchrono", "disable_sms_messages", False, "consent.sms", None),
        ("drchrono", "patient_status", "D", "deceased", True),
    ],
)
def test_a_code_has_the_meaning_of_the_preset(tmp_path: Path, preset: str, member: str, value: Any, attribute: str, stated: Any) -> None:
    assert values(mapped(tmp_path, preset, changed(preset, lambda one: one.update({member: value}))))[attribute] == stated


@pytest.mark.parametrize(
    ("preset", "member", "value", "attribute"),
    [
        ("athenahealth", "language6392code", "declined", "language"),
        ("openemr", "hipaa_voice", "", "consent.voice"),
        ("elation", "sms_opt_in_status", None, "consent.sms"),
        ("elation", "preferred_contact", None, "preferred_method"),
        ("drchrono", "preferred_language", "declined", "language"),
    ],
)
def test_a_missing_value_states_nothing_and_is_not_a_problem(tmp_path: Path, preset: str, member: str, value: Any, attribute: str) -> None:
    item = mapped(tmp_path, preset, changed(preset, lambda one: one.update({member: value})))
    assert attribute not in item.statements
    assert item.problems == ()


def test_a_merged_elation_chart_names_its_survivor(tmp_path: Path) -> None:
    _, merge = items(tmp_path, "elation", changed("elation", lambda one: one.update({"merged_into_chart": 64058687490})))
    assert isinstance(merge, PatientMerge)
    assert [one.value for one in merge.survivor] == ["64058687490"]
    assert [one.value for one in merge.merged] == ["64058687489", "64058687489"]


def test_drchronos_time_without_an_offset_is_in_the_sources_time_zone(tmp_path: Path) -> None:
    assert mapped(tmp_path, "drchrono").effective.earliest == datetime(2026, 10, 31, 8, 0, tzinfo=UTC)
    settings = replace(configured(tmp_path, "drchrono").feeds["site"].settings, time_zone="America/Chicago")
    reader = build(settings)
    (payload,) = reader.payloads(FIXTURES / "drchrono.json")
    (item,) = reader.mapper.read(replaced(payload))
    assert isinstance(item, PatientStatements)
    assert item.effective.earliest == datetime(2026, 10, 31, 13, 0, tzinfo=UTC)
