"""The rule to copy: valid YAML that differs from the rule in force only by what a person must still choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.config import ConfigError, load
from sync.config.document import read
from sync.mapping_fix import LEFT_OPEN, fix
from tests.sync.clinic import CONFIG

RULE = {"from": "ZCP-2", "values": {"DNC": "yes", "02": "no"}, "on_unknown": "reject"}
MAPPING: dict[str, Any] = {
    "do_not_contact": RULE,
    "consent.*": {"from": ["ZCP-4", "ZCP-5"], "values": {"T": "sms", "null": "none"}},
    "consent.sms#*": {"from": "Patient.telecom.extension('http://ehr.example/ok').valueCode", "values": {"Y": "granted"}},
    "deceased": {"from": "PID-30", "on_absent": "reject"},
    "language": {"from": "PID-15"},
}


def test_a_missing_code_is_added_and_its_meaning_left_open() -> None:
    assert fix("adt", MAPPING, "code_unmapped", "do_not_contact", ["NOCALL", "9"]).splitlines() == [
        "sources:",
        "  adt:",
        "    mapping:",
        "      do_not_contact:",
        "        from: ZCP-2",
        "        on_unknown: reject",
        "        values:",
        "          DNC: yes",
        "          02: no",
        "          NOCALL: CHOOSE  # yes, no, unknown, no_statement",
        "          9: CHOOSE  # yes, no, unknown, no_statement",
    ]


def test_a_code_that_nobody_may_see_is_left_open_too() -> None:
    assert "CODE: CHOOSE" in fix("adt", MAPPING, "code_unmapped", "do_not_contact", [])


@pytest.mark.parametrize(("attribute", "name"), [("consent.voice", "consent.*"), ("consent.sms", "consent.sms#*")])
def test_the_rule_is_named_as_it_is_written(attribute: str, name: str) -> None:
    (written,) = read(fix("adt", MAPPING, "code_unmapped", attribute, ["X"])).data["sources"]["adt"]["mapping"].items()
    assert written == (name, {**MAPPING[name], "values": {**MAPPING[name]["values"], "X": LEFT_OPEN}})


def test_an_absent_value_asks_what_its_absence_means() -> None:
    assert "on_absent: CHOOSE  # no_statement, clear, most_restrictive" in fix("adt", MAPPING, "value_absent", "deceased", [])


@pytest.mark.parametrize(
    ("reason", "attribute"),
    [("code_unmapped", "language"), ("code_unmapped", "email"), ("value_absent", ""), ("phone_unusable", "phones"), ("", "")],
)
def test_what_no_rule_can_end_has_no_rule(reason: str, attribute: str) -> None:
    assert fix("adt", MAPPING, reason, attribute, []) == ""


@given(st.text(st.characters(exclude_categories=["C"]), max_size=20))
def test_any_code_survives_the_yaml(code: str) -> None:
    found = read(fix("adt", MAPPING, "code_unmapped", "do_not_contact", [code])).data["sources"]["adt"]["mapping"]["do_not_contact"]
    assert found["values"] == {**RULE["values"], code: LEFT_OPEN}


def test_a_rule_copied_without_a_choice_is_no_valid_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    before = "do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no}"
    assert before in CONFIG
    copied = 'do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no, "NOCALL": CHOOSE}'
    file.write_text(f"database: sqlite:///{tmp_path}/a.db\n{CONFIG.replace(before, copied)}")
    with pytest.raises(ConfigError, match="CHOOSE"):
        load(file, {})
