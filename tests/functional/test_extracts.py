"""Delimited extracts as an operator runs them: killed in the middle of a set and restarted; from an SFTP server."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest

from store.db.database import Database
from tests.adapters.files.made import JOINED, joined
from tests.adapters.hl7v2.sftp_server import PASSWORD, USER, serving
from tests.functional.forked import start
from tests.functional.program import emr_sync, ended, free_port, hospital, written

SOURCE = "genhosp-extract"
PATIENTS, BATCH = 1_000, 100
PATIENCE = 240.0
HOST_KEY = paramiko.ECDSAKey.generate()


def configured(tmp_path: Path, url: str, **source: Any) -> Path:
    configuration = hospital(url, free_port())
    known = {
        "enterprise": "general-hospital",
        "semantics": "snapshot",
        "record": {"id": "ID"},
        "patient_id_from": "ID",
        "patient_id": {"authority": "GENHOSP", "type": "MR"},
        "schedule": "never",
    }
    configuration["sources"] = {SOURCE: known | source}
    configuration["batch_size"] = str(BATCH)
    return written(tmp_path, configuration)


def count(url: str, table: str) -> int:
    database = Database.open(url)
    try:
        with database.read() as connection:
            return int(database.select(connection, f"SELECT count(*) FROM {table}", [])[0][0])
    finally:
        database.close()


@pytest.mark.crash
@pytest.mark.timeout(2 * PATIENCE)
def test_killed_in_the_middle_of_a_set_it_continues_without_loss_or_doubles(tmp_path: Path, database_url: str) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    rows = [f"M{number % PATIENTS:05},{('SMS', 'CALL')[number // PATIENTS]},N" for number in range(2 * PATIENTS)]
    file = drop / "prefs_20261101.csv"
    file.write_text("\n".join(["ID,CONCEPT,ANSWER", *rows, f"TRL,{len(rows)}", ""]))
    os.utime(file, (0, 0))
    config = configured(
        tmp_path,
        database_url,
        adapter="files.delimited",
        path=str(drop),
        tables={"patients": {"file": "prefs_%Y%m%d.csv", "patient": "ID", "rows": "many"}},
        trailer={"starts": "TRL", "field": 2},
        mapping={"consent.sms": {"from": "rows[CONCEPT=SMS].ANSWER", "values": {"Y": "granted", "N": "denied"}}},
    )
    process = start(["-c", str(config), "resync", SOURCE, "--json"], Path(os.devnull), Path(os.devnull))
    deadline = time.monotonic() + PATIENCE
    while count(database_url, "patients") < 3 * BATCH:
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = count(database_url, "patients")
    assert before < PATIENTS
    counts = emr_sync(config, "resync", SOURCE)["counts"]
    assert counts["applied"] + before == PATIENTS
    assert counts["unchanged"] <= before, "only what was committed of the unfinished batch of the adapter (1,000 records) comes again"
    assert (count(database_url, "patients"), count(database_url, "changes")) == (PATIENTS, PATIENTS)
    assert [path.name for path in (drop / "done").iterdir()] == ["prefs_20261101.csv"]


def test_a_set_on_an_sftp_server_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "served" / "out"
    out.mkdir(parents=True)
    joined(out, ["M1,7", "M2,8"], ["7,1,Recall", "8,1,Recall"], ["7,1,T", "8,1,X"])
    monkeypatch.setenv("SFTP_PASSWORD", PASSWORD)
    with serving(tmp_path / "served", HOST_KEY) as server:
        config = configured(
            tmp_path,
            f"sqlite:///{tmp_path}/x.db",
            adapter="files.sftp",
            host="127.0.0.1",
            port=str(server.port),
            user=USER,
            password="${SFTP_PASSWORD}",
            host_key=server.line,
            path="/out",
            settle="0.01s",
            tables=JOINED,
            mapping={"topic.recalls.*": {"from": "preferences[CONCEPT=Recall].media.MEDIUM", "values": {"T": "sms", "X": "none"}}},
        )
        first, again = emr_sync(config, "resync", SOURCE), emr_sync(config, "resync", SOURCE)
    assert (first["status"], first["counts"]["applied"]) == ("done", 2)
    assert sum(again["counts"].values()) == 0
    assert emr_sync(config, "patient", "M2")["preferences"]["topic.recalls.sms"]["value"] == "denied"
    assert len(list((out / "done").iterdir())) == 3


@pytest.mark.parametrize("layout", ["wide", "long", "epic"])
def test_the_extracts_that_the_rehearsal_emr_writes_are_read(tmp_path: Path, layout: str) -> None:
    out, drop = tmp_path / "out", tmp_path / "drop"
    arguments = ["rehearse", "--patients", "100", "--extracts", str(drop), "--layout", layout, "--sets", "3", "--json"]
    emr = start([*arguments, "--faults", "whole-extract,sequence-gap"], out, Path(os.devnull))
    deadline = time.monotonic() + PATIENCE
    while not (out.exists() and out.read_text().endswith("}\n")):
        assert emr.poll() is None, "it ended early"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    emr.send_signal(signal.SIGTERM)
    assert emr.wait(60) == 0
    source = json.loads(out.read_text())["extract_source"] | {"enterprise": "general-hospital"}
    configuration = hospital(f"sqlite:///{tmp_path}/x.db", free_port())
    config = written(tmp_path, configuration | {"sources": {SOURCE: source}})
    code, _, errors = ended(config, "resync", SOURCE)
    assert code != 0
    assert "sequence" in errors
    for path in (drop / "withheld").iterdir():
        path.rename(drop / path.name)
    assert emr_sync(config, "resync", SOURCE)["status"] == "done"
    assert count(f"sqlite:///{tmp_path}/x.db", "patients") > 50
