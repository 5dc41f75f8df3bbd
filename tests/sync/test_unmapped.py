"""Codes that no mapping knows, from real rejections: ranked, and told only where they are no patient's word."""

from __future__ import annotations

from pathlib import Path

from store.audit.audit_log import VIEWED_PAYLOAD, Audit
from store.web.http.work import UnmappedCode
from sync.api import OnRequest
from sync.config import load
from sync.queue import LocalQueue
from sync.runtime import Runtime
from sync.unmapped import ranked
from sync.worker import Worker
from tests.sync.clinic import adt
from tests.sync.conftest import EmrSync


def test_a_code_that_several_records_bear_is_told_and_a_rare_one_is_covered(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, code in enumerate(["NOCALL", "NOCALL", "NOCALL", "NOCALL", "Smith", "DNC"]):
        (folder / f"{number}.hl7").write_text(adt(f"MRN{number}", dnc=code, control=f"C{number}"), newline="")
    assert emr_sync("ingest", "adt", folder, "--json").value["counts"]["applied"] == 6
    runtime = Runtime.open(load(config))
    try:
        found = OnRequest(runtime, LocalQueue(Worker(runtime), 1)).codes("adt", "olga")
        (line,) = Audit(runtime.database).newest("clinic", limit=1)
    finally:
        runtime.close()
    assert found == [UnmappedCode("ZCP-2", "NOCALL", 4), UnmappedCode("ZCP-2", "", 1)]
    assert (line.line.action, line.line.actor) == (VIEWED_PAYLOAD, "operator:olga")


def test_what_does_not_look_like_a_code_stays_covered_however_often_it_comes() -> None:
    records = {("A", "OK-1"): 3, ("A", "RARE"): 2, ("A", "please do not call"): 9, ("A", "x" * 21): 5, ("B", "T"): 21, ("A", ""): 4}
    assert ranked(records) == [UnmappedCode("B", "T", 21), UnmappedCode("A", "", 20), UnmappedCode("A", "OK-1", 3)]


def test_at_most_twenty_are_told() -> None:
    assert len(ranked({("A", f"C{number}"): 3 for number in range(50)})) == 20
