"""``find`` and ``audit searches``, as people and scripts use them, on both databases."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.sync.conftest import EmrSync
from tests.sync.test_audit import adt, ingest
from tests.sync.test_audit import config as config


@pytest.fixture
def clinic(emr_sync: EmrSync, config: Path, tmp_path: Path) -> EmrSync:
    """The command line over two patients of one name."""
    ingest(emr_sync, tmp_path, adt("C1", "DNC", "M1"), adt("C2", "OK", "M2"))
    return emr_sync


@pytest.mark.parametrize("text", ["invented pers", "PERSON, Invented", "1/1/1980", "invented 1980", "(217) 555-0123", "+12175550123"])
def test_find_lists_the_patients_that_fit(clinic: EmrSync, text: str) -> None:
    found = clinic("find", text, "--json").value
    assert [(one["name"], one["birth_date"], one["do_not_contact"]) for one in found["patients"]] == [
        ("Person Invented", "1980-01-01", "yes"),
        ("Person Invented", "1980-01-01", "no"),
    ]
    assert [one["identifiers"][0] for one in found["patients"]] == [{"authority": "CLINIC", "type": "MR", "value": v} for v in ("C1", "C2")]
    assert (found["more"], found["unfinished"], found["incomplete"]) == (False, False, False)


def test_people_get_a_table(clinic: EmrSync) -> None:
    shown = clinic("find", "C1")
    assert (shown.code, shown.err) == (0, "")
    heading, row = shown.out.splitlines()
    assert heading.split() == ["patient", "name", "born", "identifiers", "do", "not", "contact"]
    assert row.split()[1:] == ["Person", "Invented", "1980-01-01", "CLINIC|C1", "MR", "yes"]
    nobody = clinic("find", "zzyzx")
    assert (nobody.code, nobody.out, nobody.err) == (0, "", "no patient found\n")


def test_what_is_looked_for_can_stay_off_the_command_line(clinic: EmrSync, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("C2\n"))
    assert [one["identifiers"][0]["value"] for one in clinic("find", "-", "--json").value["patients"]] == ["C2"]


@pytest.mark.parametrize("text", ["", "  ", "x" * 201])
def test_an_empty_or_endless_text_is_one_line_of_error(clinic: EmrSync, text: str) -> None:
    ended = clinic("find", text)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "emr-sync: enter what to look for, in at most 200 characters\n"


def test_searches_are_in_the_audit_log_and_shown_decrypted_on_request(clinic: EmrSync) -> None:
    clinic("find", "person 1980")
    clinic("find", "nobody at all")
    log = clinic("audit", "--json")
    assert [line["action"] for line in log.value[:2]] == ["searched_patients"] * 2
    assert "nobody" not in log.out
    shown = clinic("audit", "searches", "--json").value
    assert [(one["text"], one["found"]) for one in shown] == [("nobody at all", 0), ("person 1980", 2)]
    assert "person 1980" in clinic("audit", "searches").out
    assert [line["action"] for line in clinic("audit", "--json").value[:2]] == ["viewed_searches"] * 2
    assert [one["found"] for one in clinic("audit", "searches", "--json").value] == [0, 2]
    assert clinic("audit", "verify").code == 0


def test_the_facesheet_has_the_birth_date_beside_the_preferences(clinic: EmrSync) -> None:
    sheet = clinic("patient", "C1", "--json").value
    assert (sheet["birth_date"], "birth_date" in sheet["preferences"]) == ("1980-01-01", False)
    assert "Born: 1980-01-01" in clinic("patient", "C1").out
    assert "birth_date" in [line["attribute"] for line in sheet["history"]]


def test_the_configuration_switches_names_birth_dates_and_the_search_off(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    text = config.read_text().replace("default_region: US,", "default_region: US, keep_birth_dates: false, policy: {search: identifiers},")
    config.write_text(text)
    ingest(emr_sync, tmp_path, adt("C1", "DNC", "M1"))
    assert emr_sync("patient", "C1", "--json").value["birth_date"] is None
    assert emr_sync("find", "invented", "--json").value["patients"] == []
    (found,) = emr_sync("find", "C1", "--json").value["patients"]
    assert (found["name"], found["birth_date"]) == ("Person Invented", None)


def test_a_mapping_cannot_write_a_birth_date(emr_sync: EmrSync, config: Path) -> None:
    config.write_text(config.read_text().replace("    mapping:\n", "    mapping:\n      birth_date: {from: PID-7}\n"))
    ended = emr_sync("check-config")
    assert ended.code == 2
    assert "unknown attribute 'birth_date'" in ended.out + ended.err
