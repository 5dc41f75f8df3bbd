from __future__ import annotations

import json
from pathlib import Path

from tests.sync.clinic import adt
from tests.sync.conftest import EmrSync

MERGE = "MSH|^~\\&|EMR|CLINIC|SYNC|X|20261101093000-0500||ADT^A40|C9|P|2.5\rEVN|A40\rPID|||MRN1^^^CLINIC^MR\rMRG|MRN2^^^CLINIC^MR\r"


def test_records_merged_by_mistake_are_unmerged(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "feed.hl7"
    file.write_text(adt(dnc="OK") + adt("MRN2", dnc="DNC", control="C2") + MERGE, newline="")
    assert emr_sync("ingest", "adt", str(file), "--json").value["counts"]["merged"] == 1
    assert emr_sync("patient", "MRN1", "--json").value["preferences"]["do_not_contact"]["value"] == "yes"

    shown = emr_sync("unmerge", "CLINIC|MRN2", "--reason", "two people", "--by", "robin", "--json")

    assert shown.code == 0
    assert [shown.value[side]["preferences"]["do_not_contact"]["value"] for side in ("survivor", "restored")] == ["no", "yes"]
    history = emr_sync("patient", "MRN2", "--json").value["history"]
    assert any(line["attribute"] == "merged_into" and line["actor"] == "operator:robin" for line in history)
    assert json.dumps(history).count("two people")
    (line,) = (one for one in emr_sync("audit", "--json").value if one["action"] == "unmerged_patients")
    assert (line["actor"], line["subject"]) == ("operator:robin", shown.value["restored"]["id"])


def test_unmerging_a_record_that_was_never_merged_is_refused_in_one_line(emr_sync: EmrSync, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(adt(), newline="")
    emr_sync("ingest", "adt", str(file))
    refused = emr_sync("unmerge", "MRN1", "--reason", "a try")
    assert refused.code == 1
    assert "not merged" in refused.err
