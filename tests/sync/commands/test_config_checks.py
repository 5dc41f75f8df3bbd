"""A changed configuration on the command line: reported by check-config and every command, held, approved, reverted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.clinic import CONFIG, KEYS, adt
from tests.sync.conftest import EmrSync, Ended

SAFEGUARD = "    default_region: US\n    safeguard: {floor: 1, percent: 0}\n"
ON = CONFIG.replace("    default_region: US\n", SAFEGUARD)
OFF = ON.replace("sync_contact_preferences: true", "sync_contact_preferences: false")
PATIENTS = ("MRN1", "MRN2", "MRN3")


class Clinic:
    """Three patients who refused contact, and the file that a person edits."""

    def __init__(self, emr_sync: EmrSync, folder: Path, url: str) -> None:
        self.emr_sync, self.folder, self.url, self.file = emr_sync, folder, url, folder / "config.yaml"

    def write(self, text: str) -> None:
        self.file.write_text(f"database: {self.url}\n{KEYS}{text}")

    def receive(self, *messages: str) -> Ended:
        file = self.folder / "feed.hl7"
        file.write_text("".join(messages), newline="")
        return self.emr_sync("ingest", "adt", file, "--json")

    def findings(self) -> list[str]:
        mistakes = self.emr_sync("check-config", "--json").value["mistakes"]
        return [one["message"] for one in mistakes if one["where"] == "enterprises.clinic" and one["severity"] == "warning"]

    def dnc(self) -> list[str]:
        sheets = [self.emr_sync("patient", mrn, "--json").value["preferences"] for mrn in PATIENTS]
        return [sheet.get("do_not_contact", {"value": "unknown"})["value"] for sheet in sheets]


@pytest.fixture
def clinic(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, emr_sync: EmrSync) -> Clinic:
    found = Clinic(emr_sync, tmp_path, database_url)
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(found.file))
    found.write(ON)
    assert found.receive(*(adt(mrn, control=mrn) for mrn in PATIENTS)).code == 0
    return found


def test_check_config_shows_before_the_restart_what_would_be_held(clinic: Clinic) -> None:
    assert clinic.findings() == []
    clinic.write(OFF)
    (finding,) = clinic.findings()
    assert "would make 3 of 3 patients more contactable" in finding
    assert "contact preferences synced, sources adt" in finding
    assert clinic.dnc() == ["yes"] * 3, "the check must not change anything"


def test_check_config_warns_of_a_file_that_may_be_half_written(clinic: Clinic) -> None:
    clinic.file.write_text(clinic.file.read_text().rstrip("\n"))
    ended = clinic.emr_sync("check-config", "--json")
    assert (ended.code, [one["severity"] for one in ended.value["mistakes"] if "half written" in one["message"]]) == (0, ["warning"])


def test_a_read_only_command_with_another_configuration_changes_nothing_and_says_so(clinic: Clinic) -> None:
    clinic.write(OFF)
    ended = clinic.emr_sync("patient", "MRN1", "--json")
    assert ended.value["preferences"]["do_not_contact"]["value"] == "yes"
    assert "not in force yet" in ended.err
    assert [run["kind"] for run in clinic.emr_sync("runs", "--json").value] == ["ingest"]


def test_an_intake_command_proposes_the_configuration_and_the_safeguard_holds_it(clinic: Clinic) -> None:
    clinic.write(OFF)
    ended = clinic.receive(adt("MRN1", control="again"))
    assert "the safeguard holds" in ended.err
    (run,) = [one for one in clinic.emr_sync("runs", "--json").value if one["kind"] == "configuration"]
    assert (run["status"], run["waiting"]["patients"], run["source"]) == ("held", 3, "(configuration)")
    (finding,) = clinic.findings()
    assert f"emr-sync runs show {run['run']}" in finding
    assert clinic.dnc() == ["yes"] * 3
    assert "held for review since" in clinic.emr_sync("runs").out
    shown = clinic.emr_sync("runs", "show", run["run"])
    assert "held: 3 patients would become more contactable" in shown.out
    assert "or revert the configuration" in shown.out


def test_an_approval_is_recorded_with_its_person_and_applied(clinic: Clinic) -> None:
    clinic.write(OFF)
    clinic.receive(adt("MRN1", control="again"))
    (run,) = [one["run"] for one in clinic.emr_sync("runs", "--json").value if one["kind"] == "configuration"]
    assert clinic.emr_sync("runs", "reject", run).code == 1
    approved = clinic.emr_sync("runs", "approve", run, "--json").value
    assert (approved["status"], approved["waiting"]) == ("done", None)
    assert approved["held"]["verdicts"][0]["actor"].startswith("cli:")
    assert (clinic.dnc(), clinic.findings()) == (["unknown"] * 3, [])
    assert clinic.receive(adt("MRN1", control="still off")).err == ""


def test_restoring_the_file_ends_the_held_configuration(clinic: Clinic) -> None:
    clinic.write(OFF)
    clinic.receive(adt("MRN1", control="again"))
    clinic.write(ON)
    assert clinic.receive(adt("MRN1", control="and again")).err == ""
    (run,) = [one for one in clinic.emr_sync("runs", "--json").value if one["kind"] == "configuration"]
    assert (run["status"], run["note"], run["waiting"]) == ("done", "the previous configuration was restored", None)
    assert clinic.dnc() == ["yes"] * 3


def test_a_renamed_enterprise_is_reported_and_has_no_patients(clinic: Clinic) -> None:
    clinic.write(ON.replace("  clinic:\n", "  clinics:\n").replace("enterprise: clinic\n", "enterprise: clinics\n"))
    (finding,) = clinic.findings()
    assert "removed from the configuration" in finding
    assert clinic.emr_sync("patient", "MRN1").code == 1
    decided = clinic.emr_sync("decide", "MRN1", "--type", "broadcast", "--channels", "sms", "--json").value
    assert (decided["decision"], decided["reasons"]) == ("do_not_send", ["patient_unknown"])
    clinic.write(ON)
    assert (clinic.findings(), clinic.dnc()) == ([], ["yes"] * 3)


def test_a_change_within_the_limit_is_in_force_at_once(clinic: Clinic) -> None:
    clinic.write(OFF.replace("floor: 1", "floor: 3"))
    assert clinic.findings() == []
    clinic.receive(adt("MRN1", control="again"))
    assert clinic.dnc() == ["unknown"] * 3


def test_check_config_warns_while_kept_payloads_need_a_key_that_was_removed(clinic: Clinic) -> None:
    clinic.receive(adt("MRN4", dnc="MAYBE", control="unmapped"))
    clinic.write(ON)
    assert lacking(clinic) == []
    clinic.file.write_text(clinic.file.read_text().replace("k1", "k2"))
    assert lacking(clinic) == [("payload_keys.keys.k1", "warning")]


def lacking(clinic: Clinic) -> list[tuple[str, str]]:
    mistakes = clinic.emr_sync("check-config", "--json").value["mistakes"]
    return [(one["where"], one["severity"]) for one in mistakes if "rejections reseal" in one["message"]]
