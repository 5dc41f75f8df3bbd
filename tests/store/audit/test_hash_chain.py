"""A chain shows every change of it: a line changed, removed, added, moved, or its end cut off."""

from __future__ import annotations

import threading

import pytest

from store.audit.hash_chain import Chain, ChainLine, Head
from store.audit.verify import verify
from store.db.database import Database
from tests.store.site import HOSPITAL, at

OTHER = "other-hospital"


def line(place: int, actor: str = "staff:sam") -> ChainLine:
    return ChainLine(at(place), actor, "viewed_patient", f"pt_{place:016x}", f'{{"version":{place}}}')


@pytest.fixture
def chain(database: Database) -> Chain:
    """Two enterprises' chains, written in several transactions."""
    written = Chain(database, "audit")
    for start in range(0, 9, 3):
        written.add(HOSPITAL, [line(place) for place in range(start, start + 3)])
        written.add(OTHER, [line(start)])
    return written


def do(database: Database, sql: str) -> None:
    with database.write("tampering") as transaction:
        transaction.exec_driver_sql(sql)


def broken(database: Database) -> list[tuple[str, int | None]]:
    return [(one.head.enterprise, one.broken_at) for one in verify(database)]


def test_an_untouched_chain_verifies(chain: Chain) -> None:
    assert broken(chain.database) == [(HOSPITAL, None), (OTHER, None)]
    assert [one.head.number for one in verify(chain.database)] == [9, 3]
    assert [one.number for one in chain.newest(HOSPITAL, limit=2)] == [9, 8]
    assert [one.line for one in chain.newest(HOSPITAL, f"pt_{4:016x}")] == [line(4)]


def test_nothing_written_is_nothing_broken(database: Database) -> None:
    assert verify(database) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "'staff:eve'"),
        ("action", "'nothing'"),
        ("subject", "''"),
        ("detail", "'{}'"),
        ("at", "'2026-11-02T08:00:04.000001+00:00'"),
        ("hash", "'0'"),
    ],
)
@pytest.mark.parametrize("number", [1, 5, 9])
def test_one_changed_field_of_one_line_is_found(chain: Chain, column: str, value: str, number: int) -> None:
    do(chain.database, f"UPDATE chain_links SET {column} = {value} WHERE enterprise = '{HOSPITAL}' AND number = {number}")
    assert broken(chain.database) == [(HOSPITAL, number), (OTHER, None)]


@pytest.mark.parametrize("number", [1, 5, 9])
def test_a_removed_line_is_found_the_last_one_too(chain: Chain, number: int) -> None:
    do(chain.database, f"DELETE FROM chain_links WHERE enterprise = '{HOSPITAL}' AND number = {number}")
    assert broken(chain.database) == [(HOSPITAL, number), (OTHER, None)]
    chain.add(HOSPITAL, [line(10)])
    assert broken(chain.database)[0] == (HOSPITAL, number)


def test_two_lines_that_changed_places_are_found(chain: Chain) -> None:
    for old, new in ((4, 104), (5, 4), (104, 5)):
        do(chain.database, f"UPDATE chain_links SET number = {new} WHERE enterprise = '{HOSPITAL}' AND number = {old}")
    assert broken(chain.database)[0] == (HOSPITAL, 4)


def test_a_line_of_another_enterprise_does_not_fit(chain: Chain) -> None:
    do(chain.database, f"DELETE FROM chain_links WHERE enterprise = '{HOSPITAL}' AND number = 2")
    do(chain.database, f"UPDATE chain_links SET enterprise = '{HOSPITAL}' WHERE enterprise = '{OTHER}' AND number = 2")
    assert dict(broken(chain.database)) == {HOSPITAL: 2, OTHER: 2}


def test_a_lost_head_is_found(chain: Chain) -> None:
    do(chain.database, f"DELETE FROM chain_heads WHERE enterprise = '{OTHER}'")
    assert dict(broken(chain.database))[OTHER] == 4


def test_a_chain_that_is_gone_is_found_by_its_head(chain: Chain) -> None:
    do(chain.database, f"DELETE FROM chain_links WHERE enterprise = '{OTHER}'")
    assert dict(broken(chain.database))[OTHER] == 1


def test_a_chain_written_anew_shows_against_a_noted_head(chain: Chain) -> None:
    noted = [one.head for one in verify(chain.database)]
    chain.add(HOSPITAL, [line(20)])
    assert [one.broken_at for one in verify(chain.database, noted=noted)] == [None, None]
    for table in ("chain_links", "chain_heads"):
        do(chain.database, f"DELETE FROM {table} WHERE enterprise = '{HOSPITAL}'")
    chain.add(HOSPITAL, [line(place, "staff:eve") for place in range(12)])
    assert [one.broken_at for one in verify(chain.database)] == [None, None]
    assert [one.broken_at for one in verify(chain.database, HOSPITAL, noted)] == [9]


def test_a_chain_that_vanished_whole_shows_against_a_noted_head(chain: Chain) -> None:
    noted = [one.head for one in verify(chain.database)]
    for table in ("chain_links", "chain_heads"):
        do(chain.database, f"DELETE FROM {table}")
    assert [one.broken_at for one in verify(chain.database, noted=noted)] == [1, 1]
    assert verify(chain.database, "elsewhere", [Head(HOSPITAL, "audit", 9, "x")]) == []


def test_pages_of_a_long_chain_fit_together(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.audit.hash_chain.PAGE", 2)
    assert broken(chain.database) == [(HOSPITAL, None), (OTHER, None)]
    do(chain.database, f"UPDATE chain_links SET actor = 'x' WHERE enterprise = '{HOSPITAL}' AND number = 7")
    assert broken(chain.database)[0] == (HOSPITAL, 7)


def test_many_writers_make_one_chain(database: Database) -> None:
    chain, start = Chain(database, "audit"), threading.Barrier(6)

    def write(name: str) -> None:
        start.wait()
        for place in range(15):
            if place % 2:
                chain.add(HOSPITAL, [line(place, name)])
            else:
                with database.write(HOSPITAL) as transaction:
                    chain.append(transaction, HOSPITAL, [line(place, name), line(place, name)])

    threads = [threading.Thread(target=write, args=(f"staff:{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (verdict,) = verify(database)
    assert (verdict.broken_at, verdict.head.number) == (None, 6 * (7 + 16))


def test_a_line_of_a_transaction_that_fails_is_not_there(database: Database) -> None:
    chain = Chain(database, "audit")

    def failing() -> None:
        with database.write(HOSPITAL) as transaction:
            chain.append(transaction, HOSPITAL, [line(1)])
            raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        failing()
    assert verify(database) == []
    assert chain.newest(HOSPITAL) == []
