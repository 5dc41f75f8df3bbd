"""A full pull with no or few patients unsyncs and clears nobody, with every kind of polling adapter."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Fetch
from adapters.rehearsal.emr import RehearsalEmr
from store.domain.ids import shown
from store.domain.patient import PatientRef
from store.runs.runs import Run
from sync.config import load
from sync.runtime import Runtime, lane
from tests.adapters.rest.made import RECORD
from tests.adapters.rest.test_rest import LIST, answering
from tests.sync.clinic import adt

EVERYBODY, FEW, NOBODY = 24, 2, 0
SOURCE = "emr"
NO_OR_YES = {"from": "dnc", "values": {"Y": "yes", "N": "no"}}


class Fhir:
    """A FHIR endpoint with that many patients, read by search or by bulk export."""

    def __init__(self, folder: Path, *, bulk: bool) -> None:
        self.folder, self.bulk = folder, bulk

    def source(self, patients: int, until: ExitStack) -> dict[str, Any]:
        emr = until.enter_context(RehearsalEmr(patients=patients, seed=4))
        (self.folder / "key.pem").write_text(emr.private_key)
        made = emr.bulk_source if self.bulk else emr.fhir_source
        return made(enterprise="clinic", private_key="file:key.pem") | {"timeout": "20s"}


class Files:
    """A drop folder; each time it has a batch with that many messages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.batches = folder / "drop", 0

    def source(self, patients: int, until: ExitStack) -> dict[str, Any]:
        self.folder.mkdir(exist_ok=True)
        self.batches += 1
        messages = "".join(adt(f"MRN{number}", control=f"{self.batches}-{number}") for number in range(patients))
        text = f"FHS|^~\\&|EMR\rBHS|^~\\&|EMR\r{messages}BTS|{patients}\rFTS|1\r"
        file = self.folder / f"{self.batches}.hl7"
        file.write_text(text, newline="")
        os.utime(file, (0, 0))  # settled long ago
        return {
            "enterprise": "clinic",
            "adapter": "hl7v2.files",
            "preset": "hl7v2-standard",
            "path": str(self.folder),
            "patient_id": {"authority": "CLINIC", "type": "MR"},
            "mapping": {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}},
        }


class Extracts:
    """A drop folder; each time it has a snapshot with that many rows."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.snapshots = folder / "drop", 0

    def source(self, patients: int, until: ExitStack) -> dict[str, Any]:
        self.folder.mkdir(exist_ok=True)
        self.snapshots += 1
        file = self.folder / f"{self.snapshots}.csv"
        file.write_text("".join(["ID,DNC\n", *(f"MRN{number},Y\n" for number in range(patients)), f"TRL,{patients}\n"]))
        os.utime(file, (0, 0))  # settled long ago
        return {
            "enterprise": "clinic",
            "adapter": "files.delimited",
            "path": str(self.folder),
            "semantics": "snapshot",
            "tables": {"patients": {"file": "{sequence}.csv", "patient": "ID"}},
            "trailer": {"starts": "TRL", "field": 2},
            "record": {"id": "ID"},
            "patient_id_from": "ID",
            "patient_id": {"authority": "CLINIC", "type": "MR"},
            "mapping": {"do_not_contact": {"from": "DNC", "values": {"Y": "yes", "N": "no"}}},
        }


class JsonApi:
    """A JSON API that lists that many records."""

    def source(self, patients: int, until: ExitStack) -> dict[str, Any]:
        records = [{"id": one, "chart": {"number": f"K{one}"}, "cell": f"217-555-01{one:02d}", "dnc": "Y"} for one in range(patients)]
        api = until.enter_context(answering((200, {}, {"results": records, "next": None})))
        return {
            "enterprise": "clinic",
            "adapter": "rest.json",
            "base_url": f"{api.address}/api",
            "page_size": 100,
            "record": RECORD,
            "list": LIST,
            "patient_id": {"authority": "CLINIC", "type": "MR"},
            "mapping": {"do_not_contact": NO_OR_YES},
        }


class Pulled:
    """A database and full pulls of its only source."""

    def __init__(self, url: str, folder: Path, emr: Fhir | Files | Extracts | JsonApi) -> None:
        self.url, self.file, self.emr = url, folder / "config.yaml", emr

    def pull(self, patients: int) -> Run:
        """Runs a full pull while the source has that many patients."""
        with ExitStack() as until:
            clinic = {"sync_contact_preferences": True, "default_region": "US"}
            source = self.emr.source(patients, until)
            self.file.write_text(json.dumps({"database": self.url, "enterprises": {"clinic": clinic}, "sources": {SOURCE: source}}))
            runtime = self.opened(until)
            feed = runtime.feed(SOURCE)
            return runtime.engine.run(lane(feed), runtime.polled(feed), Fetch(full=True), "full")

    def opened(self, until: ExitStack) -> Runtime:
        runtime = Runtime.open(load(self.file, {}))
        until.callback(runtime.close)
        return runtime

    def everybody(self) -> dict[str, Any]:
        """The values in force of each patient, and their masters."""
        with ExitStack() as until:
            runtime = self.opened(until)
            with runtime.database.read() as connection:
                ids = [shown(row[0]) for row in runtime.database.select(connection, "SELECT id FROM patients", [])]
            found = [runtime.preferences.find("clinic", PatientRef(id=number)) for number in ids]
        return {one.id: (one.contact, [mark.source for mark in one.marks], one.identifiers) for one in found}


@pytest.fixture(params=["fhir.rest", "fhir.bulk", "hl7v2.files", "files.delimited", "rest.json"])
def pulled(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Pulled:
    kinds = {
        "fhir.rest": lambda: Fhir(tmp_path, bulk=False),
        "fhir.bulk": lambda: Fhir(tmp_path, bulk=True),
        "hl7v2.files": lambda: Files(tmp_path),
        "files.delimited": lambda: Extracts(tmp_path),
        "rest.json": JsonApi,
    }
    return Pulled(database_url, tmp_path, kinds[request.param]())


@pytest.mark.parametrize("patients", [NOBODY, FEW], ids=["nobody", "few"])
def test_a_small_full_pull_changes_no_patient(pulled: Pulled, patients: int) -> None:
    first = pulled.pull(EVERYBODY)
    assert (first.status, first.counts.get("applied")) == ("done", EVERYBODY)
    before = pulled.everybody()
    assert len(before) == EVERYBODY
    assert any(contact.do_not_contact == "yes" for contact, *_ in before.values())
    again = pulled.pull(patients)
    assert again.status == "done"
    assert sum(again.counts.get(outcome, 0) for outcome in ("applied", "unchanged", "stale")) == patients
    assert pulled.everybody() == before
