"""Unmapped codes from real rejections: ranked, and shown only if they cannot be patient data."""

from __future__ import annotations

from pathlib import Path

from store.audit.audit_log import VIEWED_PAYLOAD, Audit
from store.web.http.work import UnmappedCode
from sync.api import OnRequest
from sync.config import load
from sync.queue_requested import WorkerQueue
from sync.runtime import Runtime
from sync.unmapped import ranked
from sync.worker import Worker
from tests.sync.clinic import adt
from tests.sync.conftest import EmrSync


def test_a_code_in_several_records_is_shown_and_a_rare_one_is_masked(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, code in enumerate(["NOCALL", "NOCALL", "NOCALL", "NOCALL", "Smith", "DNC"]):
        (folder / f"{number}.hl7").write_text(adt(f"MRN{number}", dnc=code, control=f"C{number}"), newline="")
    assert emr_sync("ingest", "adt", folder, "--json").value["counts"]["applied"] == 6
    runtime = Runtime.open(load(config))
    try:
        found = OnRequest(runtime, WorkerQueue(Worker(runtime), 1)).codes("adt", "olga")
        (line,) = Audit(runtime.database).newest("clinic", limit=1)
    finally:
        runtime.close()
    assert found == [UnmappedCode("ZCP-2", "NOCALL", 4), UnmappedCode("ZCP-2", "", 1)]
    assert (line.line.action, line.line.actor) == (VIEWED_PAYLOAD, "operator:olga")


def test_text_that_does_not_look_like_a_code_stays_masked() -> None:
    records = {("A", "OK-1"): 3, ("A", "RARE"): 2, ("A", "please do not call"): 9, ("A", "x" * 21): 5, ("B", "T"): 21, ("A", ""): 4}
    assert ranked(records) == [UnmappedCode("B", "T", 21), UnmappedCode("A", "", 20), UnmappedCode("A", "OK-1", 3)]


def test_at_most_twenty_codes_are_listed() -> None:
    assert len(ranked({("A", f"C{number}"): 3 for number in range(50)})) == 20
