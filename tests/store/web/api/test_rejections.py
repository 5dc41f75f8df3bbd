"""Rejections are stored once, counted, and returned with their payload only by id."""

from __future__ import annotations

import pytest

from store.db.database import Database
from store.errors import StoreError
from store.runs.runs import Journal, Rejected, RejectionStatus
from tests.factories import sealing
from tests.store.site import ADT, FHIR, HOSPITAL, at

BROKEN = Rejected("segment_missing", "PID is missing", "PID", "inbox/a.hl7#1", b"MSH|^~\\&|\r")


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, sealing())


def reject(journal: Journal, *rows: Rejected, source: str = ADT, seconds: float = 0) -> None:
    with journal.database.write(HOSPITAL) as transaction:
        journal.reject(transaction, rows, source=source, enterprise=HOSPITAL, run_id="run_1", now=at(seconds))


def test_a_rejection_is_kept_with_its_reason(journal: Journal) -> None:
    reject(journal, BROKEN)
    (kept,) = journal.rejections()
    assert (kept.source, kept.enterprise, kept.scope, kept.status, kept.run_id) == (ADT, HOSPITAL, "record", RejectionStatus.OPEN, "run_1")
    assert (kept.reason, kept.detail, kept.path, kept.locator) == BROKEN[:4]
    assert (kept.times, kept.first_at, kept.last_at) == (1, at(0), at(0))


def test_the_payload_is_returned_only_by_id(journal: Journal) -> None:
    reject(journal, BROKEN)
    (kept,) = journal.rejections()
    assert kept.payload == b""
    assert journal.rejection(kept.id).payload == BROKEN.payload


@pytest.mark.parametrize("payload", [b"", b"\x00\xff\xfe", b"caf\xe9", bytes(range(256)), b"x" * 1_000_000])
def test_every_byte_of_a_payload_is_kept(journal: Journal, payload: bytes) -> None:
    reject(journal, BROKEN._replace(payload=payload))
    assert journal.rejection(journal.rejections()[0].id).payload == payload


def test_a_repeated_rejection_increases_its_count(journal: Journal) -> None:
    for seconds in range(3):
        reject(journal, BROKEN._replace(locator=f"inbox/{seconds}.hl7"), seconds=seconds)
    (kept,) = journal.rejections()
    assert (kept.times, kept.first_at, kept.last_at) == (3, at(0), at(2))


def test_a_rejection_twice_in_a_batch_counts_twice(journal: Journal) -> None:
    reject(journal, BROKEN, BROKEN)
    assert journal.rejections()[0].times == 2
    reject(journal, BROKEN, BROKEN, BROKEN)
    assert journal.rejections()[0].times == 5


@pytest.mark.parametrize("other", [{"payload": b"other"}, {"reason": "field_missing"}, {"path": "PID-3"}, {"scope": "field"}])
def test_a_different_payload_reason_path_or_scope_is_a_separate_rejection(journal: Journal, other: dict[str, object]) -> None:
    reject(journal, BROKEN, BROKEN._replace(**other))  # type: ignore[arg-type]  # each of its own type
    assert len(journal.rejections()) == 2


def test_each_source_has_its_own_rejections(journal: Journal) -> None:
    reject(journal, BROKEN)
    reject(journal, BROKEN, source=FHIR)
    assert len(journal.rejections()) == 2
    assert [one.source for one in journal.rejections(source=FHIR)] == [FHIR]
    assert journal.rejections("other") == []


def test_a_resolved_rejection_reopens_when_it_recurs(journal: Journal, database: Database) -> None:
    reject(journal, BROKEN)
    number = journal.rejections()[0].id
    with database.write(HOSPITAL) as transaction:
        journal.resolve(transaction, number)
    assert journal.rejections() == []
    for status in (RejectionStatus.RESOLVED, None):
        assert [one.id for one in journal.rejections(status=status)] == [number]
    reject(journal, BROKEN, seconds=2)
    assert [(one.id, one.times) for one in journal.rejections()] == [(number, 2)]


def test_a_replay_changes_no_receipts_of_what_it_rejects_again_or_anew(journal: Journal, database: Database) -> None:
    for seconds in range(2):
        reject(journal, BROKEN, seconds=seconds)
    (replayed,) = journal.rejections()
    rows = [BROKEN, BROKEN._replace(reason="field_missing")]
    with database.write(HOSPITAL) as transaction:
        journal.reject(transaction, rows, source=ADT, enterprise=HOSPITAL, run_id=None, now=at(9), replayed=replayed)
    assert [(one.times, one.first_at, one.last_at) for one in journal.rejections()] == [(2, at(0), at(1))] * 2


def test_a_replay_that_fails_reopens_a_resolved_rejection(journal: Journal, database: Database) -> None:
    reject(journal, BROKEN)
    (replayed,) = journal.rejections()
    with database.write(HOSPITAL) as transaction:
        journal.resolve(transaction, replayed.id)
        journal.reject(transaction, [BROKEN], source=ADT, enterprise=HOSPITAL, run_id=None, now=at(9), replayed=replayed)
    assert journal.rejections() == [replayed]


def test_resolving_a_rejection_keeps_the_time_of_its_last_receipt(journal: Journal, database: Database) -> None:
    reject(journal, BROKEN)
    with database.write(HOSPITAL) as transaction:
        journal.resolve(transaction, journal.rejections()[0].id)
    (kept,) = journal.rejections(status=RejectionStatus.RESOLVED)
    assert (kept.times, kept.last_at) == (1, at(0))


def test_rejections_are_listed_newest_first_up_to_the_limit(journal: Journal) -> None:
    for seconds in range(4):
        reject(journal, BROKEN._replace(payload=bytes([seconds])), seconds=seconds)
    assert [one.last_at for one in journal.rejections(limit=2)] == [at(3), at(2)]


def test_a_rejection_that_does_not_exist_is_an_error(journal: Journal) -> None:
    with pytest.raises(StoreError, match="no such rejection"):
        journal.rejection("rej_0")
