"""``check-identities`` and undoing a link, on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.db.database import Database
from tests.sync.clinic import KEYS
from tests.sync.conftest import EmrSync

CONFIG = """\
enterprises:
  clinic: {sync_contact_preferences: true, default_region: US, linking_authorities: [EMPI]}
sources:
  adt:
    enterprise: clinic
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {authority: CLINIC, type: MR}
    mapping: {do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no}}}
  lab:
    enterprise: clinic
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {authority: LAB, type: MR}
    mapping: {do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no}}}
"""
SHARED = (
    "INSERT INTO identifiers (enterprise, value, authority, type, origin, patient_id, kind)"
    " SELECT enterprise, '{}', 'CLINIC', 'MR', origin, patient_id, '' FROM identifiers WHERE value = '{}'"
)


@pytest.fixture
def config(config: Path, bare_database_url: str) -> Path:
    config.write_text(f"database: {bare_database_url}\n{KEYS}{CONFIG}")
    return config


@pytest.fixture
def opened(config: Path, bare_database_url: str) -> Iterator[Database]:
    database = Database.open(bare_database_url)
    yield database
    database.close()


def message(numbers: str, dnc: str, minute: int, phone: str = "5550123") -> str:
    return (
        f"MSH|^~\\&|EMR|CLINIC|SYNC|X|2026110108{minute:02}00-0500||ADT^A08|C{minute}|P|2.5\r"
        f"PID|1||{numbers}||Invented^Person||19800101|F|||||^PRN^CP^^1^217^{phone}||en\rZCP|1|{dnc}\r"
    )


def ingest(emr_sync: EmrSync, folder: Path, source: str, *messages: str) -> None:
    file = folder / "feed.hl7"
    file.write_text("".join(messages), newline="")
    assert emr_sync("ingest", source, file, "--json").code == 0


def dnc(emr_sync: EmrSync, patient: str) -> str:
    return str(emr_sync("patient", patient, "--json").value["preferences"]["do_not_contact"]["value"])


def joined_patients(emr_sync: EmrSync, tmp_path: Path, opened: Database) -> None:
    """MRN1 (DNC) and the later MRN2 (OK) were joined into one patient."""
    ingest(emr_sync, tmp_path, "adt", message("MRN1^^^CLINIC^MR", "DNC", 1), message("MRN1^^^CLINIC^MR", "OK", 2, "5550199"))
    with opened.write("clinic") as transaction:
        transaction.exec_driver_sql(SHARED.format("MRN2", "MRN1"))
    assert dnc(emr_sync, "CLINIC|MRN2") == "no"


def test_suspicious_joins_are_listed_and_separated(emr_sync: EmrSync, tmp_path: Path, opened: Database) -> None:
    joined_patients(emr_sync, tmp_path, opened)
    (found,) = emr_sync("check-identities", "--json").value["patients"]
    assert [one[0]["value"] for one in found["parts"]] == ["MRN1", "MRN2"]
    assert (found["kept"], found["returning"]) == (["do_not_contact"], ["do_not_contact"])
    assert "phones" in found["unknown"]
    shown = emr_sync("check-identities", "CLINIC|MRN2")
    assert "CLINIC|MR|MRN1; CLINIC|MR|MRN2" in " ".join(shown.out.split())
    assert "several of CLINIC/MR" in shown.out
    assert dnc(emr_sync, "CLINIC|MRN2") == "no"

    preview = emr_sync("check-identities", "--split", "--json")
    assert preview.value["split"] == 0, "scripts must pass --yes"
    done = emr_sync("check-identities", "--split", "--yes", "--json")
    assert (done.code, done.value["split"], len(done.value["patients"][0]["into"])) == (0, 1, 2)
    assert dnc(emr_sync, "CLINIC|MRN1") == dnc(emr_sync, "CLINIC|MRN2") == "yes"
    ids = {emr_sync("patient", f"CLINIC|{number}", "--json").value["id"] for number in ("MRN1", "MRN2")}
    assert ids == set(done.value["patients"][0]["into"])
    former = emr_sync("patient", found["id"])
    assert (former.code, all(one in former.out for one in ids)) == (0, True), "the former id must lead to the new patient"
    assert "no patient is linked" in emr_sync("check-identities").out
    assert emr_sync("check-identities", "--json").value == {"patients": [], "split": 0}

    ingest(emr_sync, tmp_path, "adt", message("MRN1^^^CLINIC^MR", "DNC", 1), message("MRN2^^^CLINIC^MR", "OK", 2, "5550199"))
    assert (dnc(emr_sync, "CLINIC|MRN1"), dnc(emr_sync, "CLINIC|MRN2")) == ("yes", "no")
    phones = [
        emr_sync("patient", f"CLINIC|{one}", "--json").value["preferences"]["phones"]["value"][0]["number"] for one in ("MRN1", "MRN2")
    ]
    assert phones == ["+12175550123", "+12175550199"]


def test_separating_patients_asks_for_confirmation(
    emr_sync: EmrSync, tmp_path: Path, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined_patients(emr_sync, tmp_path, opened)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    emr_sync("check-identities", "--split")
    assert len(emr_sync("check-identities", "--json").value["patients"]) == 1
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    assert "1 patients were split" in emr_sync("check-identities", "--split").out
    assert emr_sync("check-identities", "--json").value["patients"] == []


def test_an_unknown_id_is_reported_in_one_line(emr_sync: EmrSync, tmp_path: Path, opened: Database) -> None:
    ingest(emr_sync, tmp_path, "adt", message("MRN1^^^CLINIC^MR", "DNC", 1))
    refused = emr_sync("check-identities", "CLINIC|NOBODY")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "NOBODY" not in refused.err


def test_a_join_by_a_linking_identifier_is_undone_like_a_merge(emr_sync: EmrSync, tmp_path: Path, opened: Database) -> None:
    ingest(emr_sync, tmp_path, "adt", message("MRN1^^^CLINIC^MR~E1^^^EMPI^PI", "OK", 1))
    ingest(emr_sync, tmp_path, "lab", message("L5^^^LAB^MR~E1^^^EMPI^PI", "DNC", 2))
    assert dnc(emr_sync, "CLINIC|MRN1") == "yes"
    undone = emr_sync("unmerge", "LAB|L5", "--reason", "two people", "--json")
    assert undone.code == 0
    assert (dnc(emr_sync, "CLINIC|MRN1"), dnc(emr_sync, "LAB|L5")) == ("no", "yes")
    ingest(emr_sync, tmp_path, "lab", message("L5^^^LAB^MR~E1^^^EMPI^PI", "DNC", 3))
    assert (dnc(emr_sync, "CLINIC|MRN1"), dnc(emr_sync, "LAB|L5")) == ("no", "yes"), "the known own identifier decides"
