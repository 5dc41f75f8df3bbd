"""Mapping rules of every form in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.config import inspect, load

TOP = "database: sqlite:///x.db\nenterprises: {e: {sync_contact_preferences: true, default_region: US}}\n"
FHIR = (
    "sources:\n  fhir:\n    enterprise: e\n    adapter: fhir.rest\n    base_url: https://ehr.example/r4\n"
    "    patient_id: {authority: GENHOSP, type: MR}\n"
)


def config(tmp_path: Path, mapping: str, more: str = "") -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"{TOP}{FHIR}{more}    mapping:\n{mapping}")
    return file


SHAPES = """\
      consent.*: {from: "Patient.extension('http://x.example/media').valueCode", values: {E: email, X: no}, others: denied}
      consent.sms#*: {from: "Patient.telecom.extension('http://x.example/may').valueBoolean", values: {true: granted, false: denied}}
      do_not_contact: {from: [Patient.active, Patient.deceased], values: {true: no, false: yes}, aggregate: all_denied}
      preferred_phone: {by: first}
"""


def test_every_form_of_rule_loads(tmp_path: Path) -> None:
    mapping = load(config(tmp_path, SHAPES)).feeds["fhir"].settings.mapping
    assert mapping["consent.*"]["others"] == "denied"
    assert mapping["do_not_contact"]["from"] == ["Patient.active", "Patient.deceased"]
    assert mapping["preferred_phone"] == {"by": "first"}
    assert "on_unknown" not in mapping["do_not_contact"], "absent settings are left to the mapping"


def test_flags_with_site_codes_can_be_configured(tmp_path: Path) -> None:
    flags = "    flag: {codes: ['urn:oid:1.2.3.4|DNC']}\n"
    settings = load(config(tmp_path, "      consent.email: {from: Patient.active, values: {true: unknown, false: denied}}\n", flags))
    assert settings.feeds["fhir"].settings.options["flag"] == {"codes": ["urn:oid:1.2.3.4|DNC"]}


def test_a_preset_for_one_adapter_is_an_error_on_others(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    source = "sources:\n  s:\n    enterprise: e\n    adapter: rest.json\n    preset: athenahealth\n    base_url: https://ehr.example\n"
    file.write_text(f"{TOP}{source}")
    (mistake,) = inspect(file).mistakes
    assert (mistake.where, mistake.message) == ("sources.s.adapter", "preset athenahealth needs 'adapter: rest.athena'; write that")


@pytest.mark.parametrize(
    ("rule", "where", "words"),
    [
        ("preferred_phone: {by: first, from: Patient.active}", "mapping.preferred_phone", "takes no other settings"),
        ("consent.sms: {values: {Y: granted}}", "mapping.consent.sms", "no 'from'"),
        ("consent.sms: {from: Patient.active, by: first}", "mapping.consent.sms", "takes no other settings"),
        ("consent.fax#*: {from: Patient.telecom.value}", "mapping.consent.fax#*", "unknown attribute"),
        ("consent.*: {from: Patient.active, values: {true: granted}}", "mapping.consent.*", "cannot mean 'granted'"),
        ("consent.sms: {from: Patient.active, aggregate: mean}", "mapping.consent.sms.aggregate", "any_denied"),
    ],
)
def test_a_malformed_rule_is_an_error_with_its_location(tmp_path: Path, rule: str, where: str, words: str) -> None:
    found = inspect(config(tmp_path, f"      {rule}\n")).mistakes
    assert [one.where for one in found] == [f"sources.fhir.{where}"]
    assert words in found[0].message


CONSENT_RULE = "      consent.sms: {from: %s, values: {permit: granted, deny: denied}}\n"
NO_RULE = "      {}\n"


@pytest.mark.parametrize(
    ("options", "rule", "where"),
    [
        ("    consent: {attribute: consent.email}\n", NO_RULE, "consent"),
        ("    consent: {attribute: consent.email, statuses: [active]}\n", NO_RULE, "consent"),
        ("    consent: {attribute: consent.email, category: sms}\n", NO_RULE, ""),
        ("    consent: {attribute: consent.email, scope: [messages]}\n", NO_RULE, ""),
        ("    consent: {attribute: consent.email, category: '*'}\n", NO_RULE, ""),
        ("", CONSENT_RULE % "Consent.provision.type", "mapping.consent.sms"),
        ("", CONSENT_RULE % "\"Consent.where(category.coding.code = 'sms').provision.type\"", ""),
        ("    consent: {category: sms}\n", CONSENT_RULE % "Consent.provision.type", ""),
        ("    consent: {attribute: consent.sms}\n", CONSENT_RULE % "Consent.provision.type", "mapping.consent.sms"),
        ("", "      consent.sms: {from: Patient.active, values: {true: unknown, false: denied}}\n", ""),
    ],
)
def test_a_source_configures_which_consents_are_about_messages(tmp_path: Path, options: str, rule: str, where: str) -> None:
    found = inspect(config(tmp_path, rule, options)).mistakes
    assert [one.where for one in found] == ([f"sources.fhir.{where}"] if where else [])
    assert all(one.line and "category" in one.message for one in found)
