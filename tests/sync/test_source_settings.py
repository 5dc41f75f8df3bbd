"""The settings of each adapter: errors are reported once, at their line, with the allowed values."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.registry import build
from adapters.rest.rest import JsonAdapter
from sync.config import inspect, load

TOP = "database: sqlite:///x.db\nenterprises: {e: {sync_contact_preferences: true, default_region: US, time_zone: America/Chicago}}\n"
SOURCE = """sources:
  s:
    enterprise: e
    adapter: %s
    base_url: https://ehr.example/r4
    patient_id: {authority: GENHOSP, type: MR}
    schedule: {every: 15m}
"""
LIST = "    list: {path: patients}\n"
RECORD = "    record: {id: id}\n"
LINE = 10  # line number of the first line of each test's text


@pytest.mark.parametrize(
    ("adapter", "text", "where", "words"),
    [
        ("fhir.rest", "    consent: x\n", "consent", "must be a group of settings"),
        ("fhir.rest", "    consent: {statuus: [active], category: sms}\n", "consent.statuus", "Did you mean 'statuses'?"),
        ("fhir.rest", "    consent: {category: sms, choose: first}\n", "consent.choose", "Use one of: latest, most_restrictive"),
        ("fhir.rest", "    flag: {code: x}\n", "flag.code", "Did you mean 'codes'?"),
        ("fhir.rest", "    trust_last_updated: perhaps\n", "trust_last_updated", "must be true or false"),
        ("fhir.rest", f"    contact_for_changes: {'x' * 201}\n", "contact_for_changes", "200"),
        ("fhir.rest", "    contact_for_changes: [desk]\n", "contact_for_changes", "must be a single value"),
        ("fhir.rest", "    page_size: 0\n", "page_size", "at least 1"),
        ("fhir.rest", "    page_size: many\n", "page_size", "whole number"),
        ("fhir.rest", "    read: sometimes\n", "read", "Use one of: auto, crawl, full, incremental"),
        ("fhir.rest", "    download: {max_file_bytes: 5}\n", "download.max_file_bytes", "unknown setting"),
        ("fhir.bulk", "    export: {level: ward}\n", "export.level", "Use one of: group, patient, system"),
        ("fhir.bulk", "    export: {grop: x}\n", "export.grop", "Did you mean 'group'?"),
        ("rest.json", "    auth: {kind: magic}\n" + LIST + RECORD, "auth.kind", "Use one of: basic, bearer, header, none, oauth2"),
        ("rest.json", "    auth: {kind: header, header: 'X Key', token: '${T}'}\n" + LIST + RECORD, "auth.header", "like X-Api-Key"),
        ("rest.json", "    list: {path: p, sort: x}\n" + RECORD, "list.sort", "unknown setting"),
        ("rest.json", "    list: {path: p, since_format: epoch}\n" + RECORD, "list.since_format", "Use one of: date, local, utc"),
        ("rest.json", "    budget: {parallel: 2}\n" + LIST + RECORD, "budget.parallel", "unknown setting"),
        ("rest.json", "    record: {id: id, fax: x}\n" + LIST, "record.fax", "unknown setting"),
        ("rest.json", "    record: {id: id, name: first}\n" + LIST, "record.name", "must be a list"),
        ("rest.json", "    record: {id: id, phones: cell}\n" + LIST, "record.phones", "must be a list"),
        ("rest.json", "    record: {id: id, phones: [{kind: cell}]}\n" + LIST, "record.phones.0.number", "missing; add it"),
        ("rest.json", "    record: {id: id, phones: [{number: a, kind: boat}]}\n" + LIST, "record.phones.0.kind", "Use one of: cell, home"),
        ("rest.json", "    record: {id: id, emails: [{}]}\n" + LIST, "record.emails.0.address", "missing; add it"),
    ],
)
def test_a_wrong_setting_is_reported_at_its_line(tmp_path: Path, adapter: str, text: str, where: str, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TOP + SOURCE % adapter + text)
    (found,) = (one for one in inspect(file, {"T": "k"}).mistakes if not one.warning)
    assert (found.where, found.line) == (f"sources.s.{where}", LINE)
    assert words in found.message


def test_all_wrong_settings_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    wrong = "    list: {path: p, ofset: skip}\n    record: {id: id, phones: [{number: a, kinds: {M: boat}}]}\n"
    file.write_text(TOP + SOURCE % "rest.json" + wrong)
    found = [(one.line, one.where) for one in inspect(file, {}).mistakes]
    assert found == [(LINE, "sources.s.list.ofset"), (LINE + 1, "sources.s.record.phones.0.kinds.M")]


def test_a_setting_without_a_value_counts_as_absent(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    text = "    list: {path: p, next: }\n    record: {id: id, merged_into: , phones: [{number: a, unless: }]}\n"
    file.write_text(TOP + SOURCE % "rest.json" + text)
    settings = inspect(file, {}).settings
    assert settings is not None
    found = build(settings.feeds["s"].settings)
    assert isinstance(found, JsonAdapter)
    assert found.list.next == ""
    assert found.mapper.options.phones[0].unless == ""


def test_whom_to_contact_for_changes_is_known_to_the_store(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TOP + SOURCE % "fhir.rest" + "    contact_for_changes: ' call the desk, 555-0100 '\n    consent: {category: sms}\n")
    found = load(file, {"T": "k"})
    assert found.enterprises["e"].sources[0].contact == "call the desk, 555-0100"
