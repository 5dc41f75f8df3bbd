"""The way of an ordinary message, and of a decision, passes no file that serves merges, held changes or retired sources."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import pytest

from store.db.database import Database
from store.domain.patient import PatientRef
from sync.config.settings import SafeguardRule
from tests.factories import CLINIC
from tests.sync.test_remap import BEGIN, RIGHT, Site, message

ROOT = Path(__file__).parents[2]
MERGES = {f"store/patients/{name}.py" for name in ("merge", "merged_sides", "unmerge", "splitting")} | {"adapters/hl7v2/merge.py"}
HOLDS = {str(one.relative_to(ROOT)) for one in (ROOT / "store/holds").glob("*.py")}
RETIRED = {"store/patients/retired_marks.py", "store/domain/retirement.py"}
RARE = {f"store/patients/{name}.py" for name in ("remap", "kept_rows", "period_rows", "refusal_rows", "write_backs")}
NOT_PASSED = MERGES | HOLDS | RETIRED | RARE


@pytest.fixture
def site(database: Database) -> Site:
    """Two patients with what one message stated about each. The safeguard permits contact to nobody."""
    found = Site(database, SafeguardRule(0, 0))
    assert found.receive(RIGHT, message("1", "OK", 1), message("2", "DNC", 1)) == ["applied", "applied"]
    return found


@contextmanager
def files_passed() -> Iterator[set[str]]:
    """The files of the program whose functions this thread called meanwhile."""
    found: set[str] = set()
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            found.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield passed
    finally:
        sys.setprofile(before)
        passed.update(str(Path(one).relative_to(ROOT)) for one in found if Path(one).is_relative_to(ROOT))


def merge() -> bytes:
    at = (BEGIN + timedelta(minutes=5)).strftime("%Y%m%d%H%M%S+0000")
    head = f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|{at}||ADT^A40|merge|P|2.5.1"
    return "\r".join([head, f"EVN|A40|{at}", "PID|1||1^^^GENHOSP^MR", "MRG|2^^^GENHOSP^MR"]).encode()


def replaced(number: bytes = b"555-0199") -> bytes:
    return message("1", "OK", 3).replace(b"555-0123", number)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (message("3", "OK", 3), "applied"),
        (message("1", "DNC", 3), "applied"),
        (message("1", "OK", 3).replace(b"Example", b"Sample"), "applied"),
        (replaced(b"555-0123^PRN^CP~^NET^Internet^pat@example.org"), "applied"),
        (message("1", "OK", 3), "unchanged"),
    ],
    ids=["a new patient", "a refusal", "another name", "another address", "the same again"],
)
def test_an_ordinary_message_passes_no_file_of_merges_held_changes_or_retired_sources(site: Site, body: bytes, outcome: str) -> None:
    with files_passed() as passed:
        assert site.receive(RIGHT, body) == [outcome]
    assert {"sync/intake.py", "store/patients/apply.py", "store/db/database.py"} <= passed
    assert passed & NOT_PASSED == set()


@pytest.mark.parametrize(
    ("file", "body", "outcome"),
    [
        ("store/holds/gate.py", message("2", "OK", 3), "held"),
        ("store/holds/gate.py", replaced(), "held"),
        ("store/patients/merge.py", merge(), "merged"),
    ],
    ids=["a permission", "another number in place of one", "a merge"],
)
def test_what_is_not_ordinary_passes_the_file_that_serves_it(site: Site, file: str, body: bytes, outcome: str) -> None:
    with files_passed() as passed:
        assert site.receive(RIGHT, body) == [outcome]
    assert file in passed


def test_a_decision_passes_no_file_of_merges_held_changes_or_retired_sources(site: Site) -> None:
    with files_passed() as passed:
        assert site.store.known(CLINIC, [PatientRef(value="1")], site.clock())
    assert "store/patients/reader.py" in passed
    assert passed & NOT_PASSED == set()
