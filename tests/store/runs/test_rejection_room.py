"""Nobody outside fills the disk: how much of what could not be used is kept within an hour, and what is told of the rest."""

from __future__ import annotations

import pytest

from store.db.database import Database
from store.errors import PayloadUnreadable
from store.runs.rejection_room import BARE, KEEP, LEAVE_OUT, TRUNCATED, Room, Used, admitted
from store.runs.runs import Journal, NotKept, Rejected, Rejection
from tests.factories import sealing
from tests.store.site import ADT, FHIR, HOSPITAL, at

HOUR = at(0)


@pytest.mark.parametrize(
    ("used", "size", "nameless", "fate"),
    [
        (Used(HOUR), 10, True, KEEP),
        (Used(HOUR, nameless=2), 1, True, LEAVE_OUT),
        (Used(HOUR, nameless=1, nameless_bytes=95), 6, True, LEAVE_OUT),
        (Used(HOUR, nameless=1, nameless_bytes=95), 5, True, KEEP),
        (Used(HOUR, nameless=2, nameless_bytes=100), 50, False, KEEP),
        (Used(HOUR, named_bytes=95), 5, False, KEEP),
        (Used(HOUR, named_bytes=95), 6, False, BARE),
        (Used(HOUR, named_bytes=100), 10, True, KEEP),
    ],
)
def test_each_kind_has_its_own_room(used: Used, size: int, nameless: bool, fate: str) -> None:
    assert admitted(used, Room(rows=2, size=100), size, nameless=nameless)[0] == fate


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database, sealing(), room=Room(rows=3, size=100))


def nonsense(number: int, size: int = 4) -> Rejected:
    return Rejected("not_hl7", "it is no message", "", f"adt:{number}", f"{number:04d}".encode().ljust(size, b"x"), nameless=True)


def patients(number: int, size: int = 40) -> Rejected:
    return Rejected("code_unmapped", "map it", "ZCP-2", f"adt:{number}", f"{number:04d}".encode().ljust(size, b"x"), "field", f"M{number}")


def reject(journal: Journal, *rows: Rejected, source: str = ADT, seconds: float = 0) -> NotKept:
    with journal.database.write(HOSPITAL) as transaction:
        return journal.reject(transaction, rows, source=source, enterprise=HOSPITAL, run_id=None, now=at(seconds))


def told(journal: Journal, source: str = ADT) -> list[Rejection]:
    return [one for one in journal.rejections(source=source) if one.reason == TRUNCATED]


def test_nonsense_beyond_the_rows_of_an_hour_is_counted_in_one_row(journal: Journal) -> None:
    assert reject(journal, *[nonsense(number) for number in range(10)]) == NotKept(left_out=7)
    for number in range(10, 30):
        assert reject(journal, nonsense(number)).left_out == 1
    (row,) = told(journal)
    assert (row.times, len(journal.rejections(source=ADT))) == (27, 4)
    assert "27 more" in row.detail
    assert "rejections.rows_per_hour" in row.detail


def test_the_next_hour_has_its_own_room_and_its_own_row(journal: Journal) -> None:
    for hour in range(2):
        reject(journal, *[nonsense(100 * hour + number) for number in range(5)], seconds=3600 * hour)
    assert [row.times for row in told(journal)] == [2, 2]
    assert len({row.locator for row in told(journal)}) == 2


def test_each_source_has_its_own_room(journal: Journal) -> None:
    reject(journal, *[nonsense(number) for number in range(9)])
    assert reject(journal, *[nonsense(number) for number in range(3)], source=FHIR) == NotKept()
    assert told(journal, FHIR) == []


def test_what_comes_again_takes_no_room(journal: Journal) -> None:
    for _ in range(9):
        assert reject(journal, nonsense(1)) == NotKept()
    assert [one.times for one in journal.rejections(source=ADT)] == [9]


def test_nonsense_takes_no_room_of_a_patients_message_and_its_row_is_always_kept(journal: Journal) -> None:
    reject(journal, *[nonsense(number, 30) for number in range(9)])
    assert reject(journal, patients(1), patients(2), patients(3)) == NotKept(0, frozenset({2}))
    kept = {one.evidence_id: one for one in journal.rejections(source=ADT) if one.evidence_id}
    assert sorted(kept) == ["M1", "M2", "M3"]
    assert journal.rejection(kept["M1"].id).payload == patients(1).payload
    with pytest.raises(PayloadUnreadable, match="have the EMR resend it"):
        journal.rejection(kept["M3"].id)
    (row,) = told(journal)
    assert "the payloads of 1 with a patient were not stored" in row.detail


def test_a_payload_that_had_no_room_is_kept_when_it_comes_in_another_hour(journal: Journal) -> None:
    rows = [patients(number) for number in range(3)]
    assert reject(journal, *rows).bare == {2}
    assert reject(journal, rows[2]).bare == {0}
    assert reject(journal, rows[2], seconds=3600).bare == set()
    (late,) = (one for one in journal.rejections(source=ADT) if one.evidence_id == "M2")
    assert (late.times, journal.rejection(late.id).payload) == (3, rows[2].payload)


def test_without_a_key_no_payload_takes_room(database: Database) -> None:
    journal = Journal(database, None, room=Room(rows=3, size=10))
    assert reject(journal, *[patients(number) for number in range(5)]) == NotKept()
