"""Kept payloads are sealed: only the key of their time opens them, only in their own row; keys are changed without loss."""

from __future__ import annotations

import base64

import pytest

from store.db.database import Database
from store.errors import PayloadUnreadable
from store.runs.encryption import Sealing, new_key, read_key
from store.runs.runs import Journal, Rejected
from tests.factories import sealing
from tests.store.site import ADT, HOSPITAL, at

PAYLOAD = b"MSH|^~\\&|INVENTED\rPID|1||MRN10001\r"
BROKEN = Rejected("segment_missing", "PV1 is missing", "PV1", "inbox/a.hl7#1", PAYLOAD)


def reject(journal: Journal, row: Rejected = BROKEN, seconds: float = 0) -> str:
    with journal.database.write(HOSPITAL) as transaction:
        journal.reject(transaction, [row], source=ADT, enterprise=HOSPITAL, run_id=None, now=at(seconds))
    return journal.rejections()[0].id


def stored(database: Database, number: str) -> tuple[bytes, str | None]:
    with database.read() as connection:
        ((payload, key),) = database.select(connection, "SELECT payload, key_id FROM rejections WHERE id = ?", [number])
    return bytes(payload), key


def test_what_is_sealed_opens_again_and_is_never_the_same_twice() -> None:
    keys = sealing()
    first, second = keys.seal(PAYLOAD, "rej_1"), keys.seal(PAYLOAD, "rej_1")
    assert first != second
    assert keys.open(first, "rej_1", "k1") == keys.open(second, "rej_1", "k1") == PAYLOAD


@pytest.mark.parametrize("place", [0, 11, 12, 30, -1])
def test_one_changed_bit_is_found(place: int) -> None:
    sealed = bytearray(sealing().seal(PAYLOAD, "rej_1"))
    sealed[place] ^= 1
    with pytest.raises(PayloadUnreadable, match="cannot be decrypted"):
        sealing().open(bytes(sealed), "rej_1", "k1")


def test_a_payload_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(PayloadUnreadable, match="row was changed"):
        sealing().open(sealing().seal(PAYLOAD, "rej_1"), "rej_2", "k1")


def test_another_key_of_the_same_name_does_not_open_it() -> None:
    other = Sealing("k1", {"k1": bytes(32)})
    with pytest.raises(PayloadUnreadable, match="was replaced"):
        other.open(sealing().seal(PAYLOAD, "rej_1"), "rej_1", "k1")


def test_keys_are_not_shown() -> None:
    assert "k1...." not in repr(sealing())


@pytest.mark.parametrize("text", ["", "short", "0" * 63, base64.b64encode(bytes(31)).decode(), "=" * 44])
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as caught:
        read_key(text)
    assert not text or text not in str(caught.value)


def test_a_key_is_read_from_base64_and_from_hexadecimal() -> None:
    assert read_key("ab" * 32) == read_key(base64.b64encode(b"\xab" * 32).decode()) == b"\xab" * 32
    assert len(read_key(new_key())) == 32


def test_the_database_holds_nothing_of_the_payload(database: Database) -> None:
    number = reject(Journal(database, sealing()))
    payload, key = stored(database, number)
    assert key == "k1"
    assert b"MRN10001" not in payload
    assert b"INVENTED" not in payload


def test_without_a_key_the_reason_is_kept_and_the_payload_is_not(database: Database) -> None:
    journal = Journal(database)
    number = reject(journal)
    assert stored(database, number) == (b"", None)
    assert journal.rejections()[0].reason == "segment_missing"
    with pytest.raises(PayloadUnreadable, match="not stored"):
        journal.rejection(number)


def test_a_key_that_is_not_configured_any_more_is_named(database: Database) -> None:
    number = reject(Journal(database, sealing("k1")))
    with pytest.raises(PayloadUnreadable, match="'k1': add that key"):
        Journal(database, sealing("k2")).rejection(number)
    with pytest.raises(PayloadUnreadable, match="configure payload_keys"):
        Journal(database).rejection(number)


def test_after_a_change_of_keys_the_old_one_can_be_taken_away(database: Database) -> None:
    numbers = [reject(Journal(database, sealing("k1")), BROKEN._replace(payload=PAYLOAD + bytes([place])), place) for place in range(3)]
    both = Journal(database, sealing("k2", "k1"))
    newest = reject(both, BROKEN._replace(payload=b"new"), 10)
    assert both.rejection_store.reseal() == 3
    assert both.rejection_store.reseal() == 0
    only_new = Journal(database, sealing("k2"))
    assert [only_new.rejection(number).payload[-1] for number in numbers] == [0, 1, 2]
    assert only_new.rejection(newest).payload == b"new"


def test_a_change_of_keys_that_misses_one_changes_nothing(database: Database) -> None:
    number = reject(Journal(database, sealing("k1")))
    before = stored(database, number)
    with pytest.raises(PayloadUnreadable, match="'k1'"):
        Journal(database, sealing("k2")).rejection_store.reseal()
    assert stored(database, number) == before


def test_many_payloads_are_sealed_anew_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.runs.rejections.AT_ONCE", 2)
    for place in range(5):
        reject(Journal(database, sealing("k1")), BROKEN._replace(payload=bytes([place])), place)
    both = Journal(database, sealing("k2", "k1"))
    assert both.rejection_store.reseal() == 5
    assert {stored(database, one.id)[1] for one in both.rejections()} == {"k2"}
    assert both.rejection_store.erase(at(4)) == 4


def test_payloads_whose_time_is_over_are_erased_and_their_reasons_stay(database: Database) -> None:
    journal = Journal(database, sealing())
    old, fresh = reject(journal, seconds=1), reject(journal, BROKEN._replace(payload=b"other"), 5)
    assert journal.rejection_store.erase(at(5)) == 1
    assert stored(database, old) == (b"", None)
    assert journal.rejection(fresh).payload == b"other"
    assert {one.id for one in journal.rejections()} == {old, fresh}


def test_an_erased_payload_that_comes_again_is_kept_again(database: Database) -> None:
    journal = Journal(database, sealing())
    number = reject(journal)
    journal.rejection_store.erase(at(1))
    assert reject(journal, seconds=2) == number
    assert (journal.rejection(number).payload, journal.rejection(number).times) == (PAYLOAD, 2)
