"""The audit log, receipts and as-of queries on the command line; replay with a preview; keys and payloads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from store.audit.retention import ChainRetention
from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.patients.preferences import Preferences
from tests.factories import NOW
from tests.store.site import BY_LINE
from tests.sync.conftest import EmrSync

CONFIG = """\
enterprises:
  clinic: {sync_contact_preferences: true, default_region: US, decision_receipts: true}
sources:
  adt:
    enterprise: clinic
    adapter: hl7v2.mllp
    listen: 127.0.0.1:0
    patient_id: {authority: CLINIC, type: MR}
    mapping:
      do_not_contact: {from: ZCP-2, values: {DNC: yes, OK: no}}
"""
ADT = (
    "MSH|^~\\&|EMR|CLINIC|SYNC|X|{at}||ADT^A08|{control}|P|2.5\r"
    "EVN|A08|{at}\r"
    "PID|1||{mrn}^^^CLINIC^MR||Invented^Person||19800101|F|||||^PRN^CP^^1^217^5550123||en\r"
    "ZCP|1|{dnc}\r"
)


def adt(mrn: str, dnc: str, control: str, minute: int = 30) -> bytes:
    return ADT.format(mrn=mrn, dnc=dnc, control=control, at=f"202611010{8}{minute:02}00-0500").encode()


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {database_url}\npayload_keys: {{current: k1, keys: {{k1: {'4b' * 32}}}}}\n{CONFIG}")
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file


def ingest(emr_sync: EmrSync, folder: Path, *messages: bytes) -> None:
    for number, message in enumerate(messages):
        file = folder / f"{number}.hl7"
        file.write_bytes(message)
        assert emr_sync("ingest", "adt", file, "--json").code in (0, 3)


def actions(emr_sync: EmrSync, *more: str) -> list[str]:
    return [line["action"] for line in reversed(emr_sync("audit", *more, "--json").value)]


def test_commands_are_recorded_in_the_audit_log(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "DNC", "A"), adt("MRN2", "MAYBE", "B"))
    (rejection,) = emr_sync("rejections", "--json").value
    key = emr_sync("keys", "create", "sender", "--role", "sender", "--json").value["id"]
    emr_sync("patient", "MRN1", "--json")
    emr_sync("patient", "MRN1", "--as-of", "2100-01-01", "--json")
    emr_sync("rejections", "show", rejection["id"], "--json")
    emr_sync("rejections", "replay", rejection["id"], "--json")
    emr_sync("rejections", "reseal", "--json")
    emr_sync("rejections", "erase", "--older-than", "90d", "--json")
    emr_sync("audit", "receipts", "MRN1", "--json")
    emr_sync("keys", "revoke", key, "--json")
    for what in (["add", "kim", "--role", "staff"], ["reset", "kim"], ["disable", "kim"]):
        assert emr_sync("users", *what, "--json").code == 0
    assert actions(emr_sync) == [
        "created_key",
        "viewed_patient",
        "viewed_as_of",
        "viewed_payload",
        "replayed_rejection",
        "resealed_payloads",
        "erased_payloads",
        "viewed_receipts",
        "revoked_key",
        *["changed_user"] * 3,
    ]
    assert actions(emr_sync, "--patient", "MRN1") == ["viewed_patient", "viewed_as_of", "viewed_receipts"]
    (line, *_) = emr_sync("audit", "--limit", "1", "--json").value
    assert line["actor"].startswith("cli:")
    assert "viewed_payload" in emr_sync("audit").out


def test_decisions_on_the_command_line_leave_receipts(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "OK", "A"))
    for number in ("MRN1", "NOBODY"):
        emr_sync("decide", number, "--type", "automation", "--channels", "sms", "--json")
    (receipt,) = emr_sync("audit", "receipts", "MRN1", "--json").value
    assert receipt["detail"]["ask"]["message_type"] == "automation"
    assert len(emr_sync("audit", "receipts", "--json").value) == 2


def test_a_stored_decision_is_found_by_its_id(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "OK", "A"))
    decided = emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms", "--json").value
    assert emr_sync("audit", "decision", decided["id"], "--json").value["detail"]["decision"] == decided
    assert decided["id"] in emr_sync("audit", "decision", decided["id"]).out
    missing = emr_sync("audit", "decision", "dec_0")
    assert (missing.code, "decisions are stored only while decision_receipts is on" in missing.err) == (1, True)
    assert actions(emr_sync)[-3:] == ["viewed_receipts", "viewed_receipts", "looked_in_vain"]


def test_verify_exits_with_1_after_tampering(emr_sync: EmrSync, config: Path, tmp_path: Path, database_url: str) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "OK", "A"))
    for _ in range(3):
        emr_sync("patient", "MRN1", "--json")
        emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms", "--json")
    well = emr_sync("audit", "verify", "--json")
    assert (well.code, well.value["ok"]) == (0, True)
    assert {one["chain"]: one["lines"] for one in well.value["chains"]} == {"audit": 3, "receipts": 3}
    noted = tmp_path / "noted.json"
    noted.write_text(json.dumps(well.value))
    emr_sync("patient", "MRN1", "--json")
    assert emr_sync("audit", "verify", "--noted", noted).code == 0
    database = Database.open(database_url)
    with database.write("test") as transaction:
        transaction.exec_driver_sql("UPDATE chain_links SET actor = 'cli:eve' WHERE chain = 'receipts' AND number = 2")
    database.close()
    ended = emr_sync("audit", "verify", "--json")
    assert (ended.code, ended.value["ok"]) == (1, False)
    assert {one["chain"]: one["broken_at"] for one in ended.value["chains"]} == {"audit": None, "receipts": 2}
    assert "BROKEN at line 2" in emr_sync("audit", "verify").out


def test_verify_names_removed_rows_and_detects_a_changed_removal(emr_sync: EmrSync, config: Path, database_url: str) -> None:
    for _ in range(3):
        assert emr_sync("opt-outs").code == 0
    database = Database.open(database_url)
    assert ChainRetention(database, "audit").run(datetime(2100, 1, 1, tzinfo=UTC), NOW) == 3
    emr_sync("opt-outs")
    (chain,) = emr_sync("audit", "verify", "--json").value["chains"]
    assert (chain["lines"], chain["broken_at"]) == (5, None)
    assert chain["cut"] == {"upto": 3, "at": "2026-11-01T12:00:00Z", "by": "housekeeping"}
    assert "intact; lines 1 to 3 were removed on 2026-11-01 by housekeeping" in emr_sync("audit", "verify").out
    with database.write("tampering") as transaction:
        transaction.exec_driver_sql("UPDATE chain_links SET detail = '{}' WHERE action = 'cut_chain'")
    database.close()
    broken = emr_sync("audit", "verify", "--json")
    assert (broken.code, broken.value["ok"], broken.value["chains"][0]["broken_at"]) == (1, False, 1)


def test_an_unknown_checkpoint_file_is_a_usage_error(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    ended = emr_sync("audit", "verify", "--noted", other)
    assert (ended.code, ended.err) == (2, "emr-sync: --noted: not a file from 'audit verify --json'\n")


def test_as_of_query_names_the_message(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "OK", "A"))
    first = emr_sync("patient", "MRN1", "--json").value["preferences"]["do_not_contact"]
    ingest(emr_sync, tmp_path, adt("MRN1", "DNC", "B", 40))
    earlier = emr_sync("patient", "MRN1", "--as-of", first["recorded"], "--json").value
    assert earlier["preferences"]["do_not_contact"]["evidence"]["id"] == "A"
    assert earlier["preferences"]["do_not_contact"]["value"] == "no"
    shown = emr_sync("patient", "CLINIC|MRN1", "--as-of", first["recorded"])
    assert "as known at" in shown.out
    assert emr_sync("patient", "MRN1", "--as-of", "2001-01-01").code == 1
    assert emr_sync("patient", "MRN1", "--as-of", "noon").code == 2


def fix_configuration(config: Path, mapping: str) -> None:
    config.write_text(config.read_text().replace("{DNC: yes, OK: no}", mapping))


def test_as_of_query_covers_a_merge_a_reply_and_a_retired_source(
    emr_sync: EmrSync, config: Path, tmp_path: Path, database_url: str
) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "DNC", "A"), adt("MRN2", "OK", "B", 31))
    merge = adt("MRN2", "OK", "C", 32).replace(b"A08", b"A40").replace(b"ZCP|1|OK", b"MRG|MRN1^^^CLINIC^MR")
    times = [datetime.now(UTC).isoformat()]
    ingest(emr_sync, tmp_path, merge)
    times.append(datetime.now(UTC).isoformat())
    database = Database.open(database_url)
    now = datetime.now(UTC)
    Preferences(database, {"clinic": Enterprise("clinic")}).record_reply("clinic", "+12175550190", "+12175550123", "STOP", now, now)
    database.close()
    times.append(datetime.now(UTC).isoformat())
    assert emr_sync("release", "adt", "--yes").code == 0
    times.append(datetime.now(UTC).isoformat())
    assert emr_sync("unmerge", "MRN1", "--reason", "two people").code == 0
    times.append(datetime.now(UTC).isoformat())

    def known(patient: str) -> list[tuple[str, str, str, str]]:
        found = [emr_sync("patient", patient, "--as-of", time, "--json").value for time in times]
        values = [(one["preferences"]["do_not_contact"], one["sms_consent"]) for one in found]
        return [(dnc["value"], dnc["authority"], dnc["evidence"]["id"], sms) for dnc, sms in values]

    both = [
        ("yes", "emr:adt", "A", "Opted In"),
        ("yes", "emr:adt", "A", "Opted Out of 1 number"),
        ("yes", "staff", "A", "Opted Out of 1 number"),
    ]
    stopped = "Opted Out of 1 number"
    assert known("MRN1") == [("yes", "emr:adt", "A", "Opted In"), *both, ("yes", "staff", "A", stopped)]
    assert known("MRN2") == [("no", "emr:adt", "B", "Opted In"), *both, ("no", "staff", "B", stopped)]


def test_replay_preview_shows_who_would_change_in_which_direction(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    known = [adt("MRN1", "DNC", "A"), adt("MRN2", "OK", "B")]
    ingest(emr_sync, tmp_path, *known, adt("MRN1", "FINE", "C", 40), adt("MRN2", "NEVER", "D", 40), adt("MRN3", "NEVER", "E", 40))
    fix_configuration(config, "{DNC: yes, OK: no, FINE: no, NEVER: yes}")
    before = emr_sync("patient", "MRN1", "--json").value
    preview = emr_sync("rejections", "replay", "--all", "--dry-run", "--json").value
    assert preview["status"] == "dry-run"
    assert preview["flips"] == {"more_contactable": 1, "less_contactable": 2}
    assert (preview["resolved"], preview["open"]) == (3, 0)
    directions = {(one["before"], one["after"]): one["direction"] for one in preview["changes"] if one["attribute"] == "do_not_contact"}
    assert directions[("yes", "no")] == "more_contactable"
    assert directions[("no", "yes")] == "less_contactable"
    assert emr_sync("patient", "MRN1", "--json").value["preferences"] == before["preferences"]
    assert "1 more contactable" in emr_sync("rejections", "replay", "--source", "adt", "--dry-run").out
    done = emr_sync("rejections", "replay", "--source", "adt", "--reason", "code_unmapped", "--json").value
    assert (done["replayed"], done["resolved"]) == (3, 3)
    assert emr_sync("patient", "MRN2", "--json").value["preferences"]["do_not_contact"]["value"] == "yes"


def test_an_erased_payload_does_not_stop_the_other_replays(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "FINE", "C"))
    assert emr_sync("rejections", "erase", "--older-than", "0.001s", "--json").value == {"erased": 1}
    ingest(emr_sync, tmp_path, adt("MRN2", "FINE", "D"))
    fix_configuration(config, "{FINE: no}")
    assert emr_sync("rejections", "replay", "--all", "--dry-run", "--json").value["counts"]["applied"] == 1
    said = emr_sync("rejections", "replay", "--all", "--dry-run").out
    assert "rejections: 1 would be resolved, 1 would stay open because it, or a part of it, still cannot be read" in said
    ended = emr_sync("rejections", "replay", "--all", "--json")
    done = ended.value
    assert (ended.code, "is not stored" in ended.err) == (1, True)
    assert (done["replayed"], done["resolved"]) == (2, 1)
    assert {one["reason"] for one in done["rejections"] if one["status"] == "open"} == {"payload_unreadable"}
    (left,) = emr_sync("rejections", "--json").value
    assert emr_sync("rejections", "show", left["id"]).code == 1


def test_opt_out_report_in_every_format(emr_sync: EmrSync, config: Path, tmp_path: Path, database_url: str) -> None:
    ingest(emr_sync, tmp_path, adt("MRN1", "OK", "A"))
    database = Database.open(database_url)
    store = Preferences(database, {"clinic": Enterprise("clinic", policy=BY_LINE)})
    store.record_reply("clinic", "+12175550190", "+12175550123", "STOP", NOW, NOW)
    database.close()
    (row,) = emr_sync("opt-outs", "--json").value
    assert (row["number"], row["line"], row["scope"], len(row["patients"])) == ("+12175550123", "+12175550190", "line", 1)
    assert "+12175550123" in emr_sync("opt-outs").out
    assert emr_sync("opt-outs", "--csv").out.startswith("number,line,scope")
    assert emr_sync("opt-outs", "--csv", "--json").code == 2
    assert actions(emr_sync) == ["sms_reply", *["viewed_opt_outs"] * 3]
    filters = {"--line": "+12175550191", "--by": "staff", "--scope": "topic", "--topic": "billing", "--since": "2030-01-01"}
    for option, value in (*filters.items(), ("--until", "2020-01-01")):
        assert emr_sync("opt-outs", option, value, "--json").value == [], option
    same = ("--line", "+1 (217) 555-0190", "--by", "patient", "--scope", "line", "--since", "2020-01-01")
    assert emr_sync("opt-outs", *same, "--json").value == [row]
    assert emr_sync("opt-outs", "--by", "emr").code == emr_sync("opt-outs", "--since", "soon").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rejections", "replay", "--all", "--source", "adt"], "name what to replay"),
        (["rejections", "replay", "x", "--reason", "y"], "name what to replay"),
        (["rejections", "erase", "--older-than", "soon"], "not a duration"),
    ],
)
def test_usage_errors_are_one_line(emr_sync: EmrSync, config: Path, arguments: list[str], words: str) -> None:
    ended = emr_sync(*arguments)
    assert ended.code == 2
    assert words in ended.err
