from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from store.db import outage
from store.db.database import Database
from store.runs.source_checks import Findings
from store.users.api_keys import ApiKeys
from sync.commands.practice import planned_faults
from sync.config import load
from sync.runtime import UsageError
from tests.sync.clinic import CONFIG, adt
from tests.sync.conftest import EmrSync

EHR = """\
  ehr:
    enterprise: clinic
    adapter: fhir.rest
    base_url: https://ehr.example/r4
    schedule: {every: 1h}
    patient_id: {authority: CLINIC, type: MR}
    freshness: 2h
"""


@pytest.fixture
def message(tmp_path: Path) -> Path:
    file = tmp_path / "a08.hl7"
    file.write_bytes(adt().encode())
    return file


@pytest.fixture
def unmigrated(config: Path, database_url: str, bare_database_url: str) -> Path:
    """The same configuration over a database without a schema."""
    config.write_text(config.read_text().replace(database_url, bare_database_url))
    return config


@pytest.fixture
def sqlite_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: sqlite:///cli.db\n{CONFIG}")
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file


def test_from_a_message_to_a_decision_on_a_fresh_database(emr_sync: EmrSync, unmigrated: Path, message: Path) -> None:
    first = emr_sync("ingest", "adt", message, "--json")
    assert first.code == 0
    assert first.value["status"] == "done"
    assert first.value["counts"] == {
        "applied": 1,
        "unchanged": 0,
        "stale": 0,
        "filtered": 0,
        "rejected": 0,
        "held": 0,
        "merged": 0,
        "undecided": 0,
    }
    assert emr_sync("ingest", "adt", message, "--json").value["counts"]["unchanged"] == 1

    sheet = emr_sync("patient", "CLINIC|MRN1", "--json").value
    assert sheet["preferences"]["do_not_contact"]["value"] == "yes"
    assert sheet["preferences"]["do_not_contact"]["evidence"] == {"id": "C1", "path": "ZCP-2"}
    assert sheet["toggle"] == {"visible": True, "enabled": False, "value": "yes", "reason": "mastered_by_emr", "mastered_by": "adt"}
    assert [line["attribute"] for line in sheet["history"] if line["after"] == "yes"] == ["do_not_contact"]

    refused = emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms,voice", "--json").value
    assert (refused["decision"], refused["reasons"]) == ("do_not_send", ["do_not_contact"])
    sent = emr_sync("decide", sheet["id"], "--type", "broadcast", "--channels", "sms,voice", "--json").value
    assert (sent["decision"], sent["channel"], sent["address"]) == ("send", "sms", "+12175550123")


def test_runs_are_listed_by_source_and_shown_by_id(emr_sync: EmrSync, config: Path, message: Path) -> None:
    run = emr_sync("ingest", "adt", message, "--json").value["run"]
    assert [one["run"] for one in emr_sync("runs", "--json").value] == [run]
    assert [one["run"] for one in emr_sync("runs", "adt", "--json").value] == [run]
    assert emr_sync("runs", "other", "--json").value == []
    assert emr_sync("runs", "show", run, "--json").value["counts"]["applied"] == 1


def test_a_rejection_is_shown_and_replayed_after_the_mapping_is_fixed(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.hl7").write_bytes(adt(dnc="MAYBE").encode())
    assert emr_sync("ingest", "adt", tmp_path / "odd.hl7", "--json").value["counts"]["applied"] == 1
    assert [one["attribute"] for one in emr_sync("patient", "MRN1", "--json").value["unreadable"]] == ["do_not_contact"]
    asked = emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms", "--json").value
    assert asked["reasons"] == ["preference_unreadable"]
    assert "Unreadable: do_not_contact" in emr_sync("patient", "MRN1").out
    (rejection,) = emr_sync("rejections", "adt", "--json").value
    assert (rejection["reason"], rejection["path"]) == ("code_unmapped", "ZCP-2")
    assert "payload" not in rejection
    assert "MAYBE" in emr_sync("rejections", "show", rejection["id"], "--json").value["payload"]

    assert emr_sync("rejections", "replay", rejection["id"], "--json").value["resolved"] == 0
    config.write_text(config.read_text().replace("DNC: yes", "DNC: yes, MAYBE: yes"))
    assert emr_sync("rejections", "replay", "--source", "adt", "--json").value["resolved"] == 1
    assert emr_sync("rejections", "--json").value == []
    assert emr_sync("rejections", "--status", "resolved", "--json").value[0]["id"] == rejection["id"]
    sheet = emr_sync("patient", "MRN1", "--json").value
    assert (sheet["preferences"]["do_not_contact"]["value"], sheet["unreadable"]) == ("yes", [])


def test_a_key_is_shown_once_and_can_be_revoked(emr_sync: EmrSync, config: Path) -> None:
    made = emr_sync("keys", "create", "sender one", "--role", "sender", "--json").value
    assert made["key"].startswith("esk.")
    listed = emr_sync("keys", "list", "--json")
    assert made["key"] not in listed.out
    assert [(key["id"], key["role"], key["revoked"]) for key in listed.value] == [(made["id"], "sender", None)]
    assert emr_sync("keys", "revoke", made["id"], "--json").value["revoked"]


def test_a_permission_of_a_senders_key_is_granted_and_revoked(emr_sync: EmrSync, config: Path) -> None:
    made = emr_sync("keys", "create", "desk", "--role", "sender", "--grant", "patients", "--json").value
    assert made["grants"] == ["patients"]
    assert "has no grants" in emr_sync("keys", "grant", made["id"]).out
    assert emr_sync("keys", "grant", made["id"], "patients", "--json").value["grants"] == ["patients"]
    assert [one["grants"] for one in emr_sync("keys", "list", "--json").value] == [["patients"]]


def test_migrate_creates_the_schema_and_may_be_repeated(emr_sync: EmrSync, unmigrated: Path) -> None:
    for _ in range(2):
        assert emr_sync("migrate", "--json").value == {"status": "done"}


def test_a_key_may_expire_and_the_list_shows_when(emr_sync: EmrSync, config: Path) -> None:
    made = emr_sync("keys", "create", "for a while", "--role", "sender", "--expires", "90d", "--json").value
    (listed,) = [one for one in emr_sync("keys", "list", "--json").value if one["id"] == made["id"]]
    assert (listed["expires"], listed["last_used"]) == (made["expires"], None)
    length = datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(listed["created"])
    assert timedelta(days=89) < length <= timedelta(days=90)
    assert ", until " in emr_sync("keys", "create", "another", "--role", "sender", "--expires", "12h").err


def test_the_list_shows_the_hour_in_which_a_key_was_used(emr_sync: EmrSync, config: Path) -> None:
    made = emr_sync("keys", "create", "in use", "--role", "sender", "--json").value
    (created,) = [datetime.fromisoformat(one["created"]) for one in emr_sync("keys", "list", "--json").value]
    with closing(Database.open(load(config).database)) as database:
        ApiKeys(database).note_use(made["id"], created)
    assert [one["last_used"] == one["created"] for one in emr_sync("keys", "list", "--json").value] == [True]
    assert f"in the hour from {created:%Y-%m-%d %H:%M:%S}Z" in emr_sync("keys", "list").out


def test_the_text_output_has_tables_and_notes_go_to_stderr(emr_sync: EmrSync, sqlite_config: Path, message: Path) -> None:
    ended = emr_sync("ingest", "adt", message)
    assert (ended.out, ended.err) == ("adt: done: 1 applied\n", "")
    sheet = emr_sync("patient", "MRN1").out
    assert "cannot be changed (mastered_by_emr), mastered by adt" in sheet
    values, history = sheet.split("History")
    assert "+12175550123 (cell, textable)" in values
    assert "+12175550123 (cell, textable)" in history
    assert "Z to " not in values, "a time that is known to the second has no end"
    assert "do not send" in emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms").out
    assert "ingest" in emr_sync("runs").out
    made = emr_sync("keys", "create", "k", "--role", "auditor")
    assert made.out.startswith("esk.")
    assert "not shown again" in made.err


def test_explain_needs_no_database(emr_sync: EmrSync, tmp_path: Path, message: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: postgresql+psycopg://nobody@127.0.0.1:1/none\n{CONFIG}")
    (one,) = emr_sync("-c", file, "explain", "adt", message, "--json").value["payloads"]
    stated = {row["attribute"]: (row["value"], row["path"]) for row in one["stated"]}
    assert stated["do_not_contact"] == ["yes", "ZCP-2"] or stated["do_not_contact"] == ("yes", "ZCP-2")
    assert "ZCP-2" in emr_sync("-c", file, "explain", "adt", message).out


def test_rejections_name_the_message_or_resource(emr_sync: EmrSync, config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config.write_text(f"{config.read_text()}{EHR}")
    nobody = adt(control="NOBODY-1").replace("MRN1^^^CLINIC^MR", "")
    (tmp_path / "odd.hl7").write_bytes((adt(dnc="MAYBE", control="ODD-1") + nobody).encode())
    (tmp_path / "odd.json").write_text('{"resourceType": "Patient", "id": "p-1", "identifier": [], "implicitRules": "https://x.example"}')
    emr_sync("ingest", "adt", tmp_path / "odd.hl7")
    emr_sync("ingest", "ehr", tmp_path / "odd.json")
    found = {(one["scope"], one["evidence_id"]) for one in emr_sync("rejections", "--json").value}
    assert found == {("field", "ODD-1"), ("record", "NOBODY-1"), ("field", "Patient/p-1")}
    shown = emr_sync("rejections").out
    assert all(name in shown for name in ("ODD-1", "NOBODY-1", "Patient/p-1"))
    assert not [one for one in ("ODD-1", "NOBODY-1", "p-1") if one in caplog.text]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_replay_reports_payloads_that_cannot_be_decrypted(emr_sync: EmrSync, config: Path, tmp_path: Path, dry: tuple[str, ...]) -> None:
    (tmp_path / "odd.hl7").write_bytes((adt(dnc="MAYBE") + adt("MRN2", dnc="NEVER", control="C2")).encode())
    emr_sync("ingest", "adt", tmp_path / "odd.hl7")
    config.write_text(config.read_text().replace("k1: ", "k2: ").replace("current: k1", "current: k2").replace("4b" * 32, "5c" * 32))
    ended = emr_sync("rejections", "replay", "--all", *dry)
    assert ended.code == 1
    assert "2 not replayed: the payload is encrypted with the key 'k1'" in ended.err
    in_json = emr_sync("rejections", "replay", "--all", "--json", *dry)
    assert (in_json.code, "not replayed" in in_json.err) == (1, True)


def test_the_version_needs_no_configuration(emr_sync: EmrSync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    ended = emr_sync("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"emr-sync {version('emr-sync')}\n", "")


def test_explain_ranks_codes_without_a_translation(emr_sync: EmrSync, sqlite_config: Path, tmp_path: Path) -> None:
    (tmp_path / "two.hl7").write_bytes((adt(dnc="MAYBE") + adt("MRN2", dnc="MAYBE", control="C2")).encode())
    assert emr_sync("explain", "adt", tmp_path / "two.hl7", "--json").value["unmapped"] == [{"path": "ZCP-2", "code": "MAYBE", "times": 2}]


def test_explain_prints_words_grouped_and_limited(emr_sync: EmrSync, sqlite_config: Path, tmp_path: Path) -> None:
    many = [adt(f"MRN{number}", control=f"C{number}", dnc="OK" if number else "MAYBE") for number in range(30)]
    rejected = adt(control="R1").replace("^^^CLINIC^MR", "^^^ELSEWHERE^MR")
    died = adt(control="D1").replace("||en\r", "||en|||||||||||||||Y\r")
    (tmp_path / "many.hl7").write_bytes("".join([rejected, died, *many]).encode())
    shown = emr_sync("explain", "adt", tmp_path / "many.hl7").out
    assert "rejected: no identifier matches" in shown
    assert "(patient_id_missing at PID-3)" in shown
    assert "stated at 2026-11-01 13:30:00Z (C1)" in shown
    assert "cannot be used: ZCP-2: " in shown
    totals = [line.split() for line in shown[shown.index("20 messages: ") :].splitlines()]
    assert " ".join(totals[0]) == "20 messages: 1 rejected, 19 stated; the file has more: --all reads it all"
    assert ["ZCP-2", "MAYBE", "1"] in totals
    assert ["PID-8", "20", "F", "(20)"] in totals
    assert ["deceased", "yes", "PID-30"] in [line.split() for line in shown.splitlines()]
    assert not [word for word in ("True", "False", "None", "Identifier(", "Phone(") if word in shown]
    assert "32 messages: 1 rejected, 31 stated\n" in emr_sync("explain", "adt", tmp_path / "many.hl7", "--all").out


def test_check_config_reports_every_error_and_exits_with_2(emr_sync: EmrSync, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"database: sqlite:///x.db\n{CONFIG}".replace("display_name: Clinic\n", "displayname: Clinic\n").replace("DNC: yes", "DNC: si")
    )
    ended = emr_sync("-c", file, "check-config", "--json")
    assert ended.code == 2
    assert [one["line"] for one in ended.value["mistakes"]] == [4, 16]
    people = emr_sync("-c", file, "check-config")
    assert people.code == 2
    assert "Did you mean 'display_name'" in people.out


def test_check_config_shows_sources_presets_schedules_and_ports(emr_sync: EmrSync, sqlite_config: Path) -> None:
    sqlite_config.write_text(f"{sqlite_config.read_text()}{EHR}    full_resync: {{cron: '0 3 * * 0'}}\n    preset: epic\n")
    ended = emr_sync("check-config")
    assert (ended.code, ended.out.partition("\n")[0]) == (0, f"{sqlite_config}: valid")
    rows = [line.split() for line in ended.out.splitlines()[3:]]
    assert rows[0] == ["adt", "hl7v2.mllp", "127.0.0.1:0", "as", "messages", "arrive", "2"]
    assert " ".join(rows[1]) == "ehr fhir.rest epic https://ehr.example/r4 every 1h, everything cron 0 3 * * sun (UTC) 0"
    assert " ".join(rows[2]) == "API and pages: http://127.0.0.1:8080"
    shown = emr_sync("check-config", "--json").value
    assert (shown["listen"], [one["address"] for one in shown["sources"]]) == ("127.0.0.1:8080", ["127.0.0.1:0", "https://ehr.example/r4"])
    assert shown["sources"][0]["mapping"] == ["do_not_contact", "consent.sms"]


def test_check_config_shows_no_secret(emr_sync: EmrSync, sqlite_config: Path) -> None:
    auth = "{kind: basic, username: us, password: se-cret}"
    sqlite_config.write_text(f"{sqlite_config.read_text()}{EHR}    auth: {auth}\n")
    for arguments in ((), ("--json",)):
        ended = emr_sync("check-config", *arguments)
        assert "ehr.example" in ended.out
        assert "se-cret" not in ended.out + ended.err


def test_check_reports_whether_a_listener_can_bind(emr_sync: EmrSync, sqlite_config: Path) -> None:
    ended = emr_sync("check", "adt", "--json")
    assert ended.value["ok"] is True
    assert "not saved for the console" in ended.err
    assert not list(sqlite_config.parent.glob("*.db"))


def test_check_results_are_stored_for_the_console(emr_sync: EmrSync, config: Path) -> None:
    assert emr_sync("migrate").code == 0
    ended = emr_sync("check", "adt", "--json")
    assert "not kept" not in ended.err
    database = Database.open(load(config).database)
    kept = Findings(database).check("adt", "clinic")
    database.close()
    assert kept is not None
    assert [line._asdict() for line in kept.lines] == ended.value["findings"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["ingest", "adx", "."], 2, "unknown source 'adx'"),
        (["resync", "adt"], 2, "adt is a listener"),
        (["resync", "adt", "--full", "--patient", "X"], 2, "cannot be combined"),
        (["resync", "adt", "--all"], 2, "--all needs --dry-run"),
        (["remap", "adt", "--all"], 2, "--all needs --dry-run"),
        (["resync", "adt", "--since", "yesterday"], 2, "--since: not a time"),
        (["runs", "show", "nope"], 1, "no such run"),
        (["rejections", "show", "nope"], 1, "no such rejection"),
        (["rejections", "replay"], 2, "name what to replay"),
        (["runs", "--limit", "-5"], 2, "--limit"),
        (["rejections", "--limit", "0"], 2, "--limit"),
        (["audit", "--limit", "99999999999999999999"], 2, "--limit"),
        (["explain", "adt", __file__, "--limit", "0"], 2, "--limit"),
        (["rejections", "--status", "maybe"], 2, "--status must be one of open, resolved, all"),
        (["replies", "--state", "maybe"], 2, "--state must be one of"),
        (["keys", "revoke", "nope"], 1, "no such key"),
        (["keys", "grant", "nope", "patients"], 1, "no such key"),
        (["keys", "create", "x", "--role", "staff", "--grant", "patients"], 1, "only sender keys can have grants"),
        (["keys", "create", "x", "--role", "sender", "--expires", "soon"], 2, "--expires: not a duration; write it like 90d"),
        (["keys", "create", "x", "--role", "sender", "--expires", "9999999d"], 2, "--expires: not a duration; write it like 90d"),
        (["keys", "create", "x", "--role", "king"], 2, "Invalid value for '--role'"),
        (["patient", "NOBODY"], 1, "no such patient"),
        (["patient", "NOBODY", "--enterprise", "other"], 2, "unknown enterprise 'other'"),
        (["decide", "NOBODY", "--type", "automation", "--channels", "pigeon"], 2, "--channels must be one or more of"),
        (["decide", "NOBODY", "--channels", "sms"], 2, "Missing option '--type'"),
        (["serve", "--only", "cook"], 2, "unknown role 'cook'"),
        (["serve", "--workers", "2", "--only", "work,listen"], 2, "leave out --workers, too"),
        (["serve", "--workers", "2", "--one-process"], 2, "--workers and --one-process exclude each other"),
        (["explain", "adt", "nowhere.hl7"], 2, "does not exist"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_every_error_is_one_line_and_an_exit_code(
    emr_sync: EmrSync, sqlite_config: Path, sqlite_template: Path, arguments: list[str], code: int, line: str
) -> None:
    shutil.copy(sqlite_template, sqlite_config.parent / "cli.db")
    ended = emr_sync(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("emr-sync: ")
    assert line in ended.err
    assert ended.err.count("\n") == 1
    for_machines = emr_sync(*arguments, "--json")
    assert (for_machines.code, for_machines.value["exit"]) == (code, code)


def test_an_unreachable_database_is_reported_in_one_line(emr_sync: EmrSync, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: postgresql+psycopg://nobody@127.0.0.1:1/none\n{CONFIG}")
    ended = emr_sync("-c", file, "runs")
    assert ended.code == 2
    assert ended.err == f"emr-sync: {file}: {outage.GONE}\n"


def test_an_invalid_configuration_runs_nothing(emr_sync: EmrSync, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("database: sqlite:///x.db\nbatch: 1\nlogz: 2\nenterprises: {e: {}}\n")
    ended = emr_sync("-c", file, "runs")
    assert ended.code == 2
    assert "line 2: batch: unknown setting" in ended.err
    assert "run emr-sync check-config" in ended.err
    assert not (tmp_path / "x.db").exists()


def test_without_a_command_the_help_is_shown(emr_sync: EmrSync) -> None:
    ended = emr_sync()
    assert ended.code == 2
    assert "ingest" in ended.err


def test_a_folder_is_read_file_by_file(emr_sync: EmrSync, sqlite_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drop" / "deeper"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.hl7").write_bytes(adt(f"MRN{number}", control=f"C{number}").encode())
    assert emr_sync("ingest", "adt", tmp_path / "drop", "--json").value["counts"]["applied"] == 3


def test_an_unknown_patient_is_a_refusal_not_an_error(emr_sync: EmrSync, sqlite_config: Path) -> None:
    ended = emr_sync("decide", "NOBODY", "--type", "automation", "--channels", "sms", "--json")
    assert ended.code == 0
    assert (ended.value["decision"], ended.value["reasons"]) == ("do_not_send", ["patient_unknown"])


def test_planned_faults_occur_in_order() -> None:
    faults = planned_faults("401, well,cut")
    met = [faults.next() for _ in range(4)]
    assert [fault.status if fault else None for fault in met] == [401, 200, 0, None]
    with pytest.raises(UsageError, match="unknown fault 'fire'"):
        planned_faults("fire")


def test_json_is_one_value(emr_sync: EmrSync, sqlite_config: Path, message: Path) -> None:
    assert json.loads(emr_sync("ingest", "adt", message, "--json").out)["run"]


WRONG = ("{DNC: yes, OK: no}", "{DNC: no, OK: yes}")


def test_rolling_back_a_wrong_mapping_corrects_values_without_the_emr(emr_sync: EmrSync, config: Path, message: Path) -> None:
    """This needs neither a re-send nor the file, because the codes are stored."""
    right = config.read_text()
    other = message.with_name("b08.hl7")
    other.write_bytes(adt("MRN2", dnc="OK", control="C2").encode())
    emr_sync("ingest", "adt", str(message), str(other))
    config.write_text(right.replace(*WRONG))
    (warning,) = [one for one in emr_sync("check-config", "--json").value["mistakes"] if one["where"] == "sources.adt.mapping"]
    assert "2 patients were read with another mapping" in warning["message"]
    dry = emr_sync("remap", "adt", "--dry-run", "--json").value
    assert (dry["flips"], dry["counts"]["applied"]) == ({"more_contactable": 1, "less_contactable": 1}, 2)
    assert _dnc(emr_sync, "MRN1") == "yes"
    assert emr_sync("remap", "adt", "--json").value["counts"]["applied"] == 2
    assert (_dnc(emr_sync, "MRN1"), _dnc(emr_sync, "MRN2")) == ("no", "yes")
    config.write_text(right)
    assert "1 patients" not in emr_sync("remap", "adt").out
    assert (_dnc(emr_sync, "MRN1"), _dnc(emr_sync, "MRN2")) == ("yes", "no")
    assert not [one for one in emr_sync("check-config", "--json").value["mistakes"] if one["where"] == "sources.adt.mapping"]


def test_rereading_the_file_with_the_right_mapping_corrects_values(emr_sync: EmrSync, config: Path, message: Path) -> None:
    right = config.read_text()
    for mapping, dnc in ((right, "yes"), (right.replace(*WRONG), "no"), (right, "yes")):
        config.write_text(mapping)
        emr_sync("ingest", "adt", str(message))
        assert _dnc(emr_sync, "MRN1") == dnc


def _dnc(emr_sync: EmrSync, patient: str) -> str:
    return str(emr_sync("patient", patient, "--json").value["preferences"]["do_not_contact"]["value"])


def test_a_database_of_an_older_schema_is_refused_with_exit_code_2_until_it_is_migrated(emr_sync: EmrSync, config: Path) -> None:
    with closing(Database.open(config.read_text().partition("\n")[0].removeprefix("database: "))) as database:
        with database.write("test") as transaction:
            transaction.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        for command in (["serve"], ["runs"]):
            ended = emr_sync(*command)
            assert (ended.code, "run emr-sync migrate" in ended.err) == (2, True)
