"""Values that rows, JSON and scripts hold: a release that changed one would not know its own history."""

from __future__ import annotations

from enum import StrEnum

import pytest

from store.holds.held_changes import HeldChangeState, Verdict
from store.preference import RecordOutcome
from store.runs.runs import RejectionStatus, RunKind, RunStatus

STORED: dict[type[StrEnum], str] = {
    RunStatus: "queued running done failed stopped waiting held",
    RunKind: "incremental full resync ingest remap live configuration settings",
    RecordOutcome: "applied unchanged stale filtered rejected held merged",
    RejectionStatus: "open resolved",
    HeldChangeState: "held rejected",
    Verdict: "approved rejected expired released",
}


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_the_values_that_are_stored_stay_as_they_are(kind: type[StrEnum]) -> None:
    assert " ".join(kind) == STORED[kind]
