"""A chain whose beginning was removed when its time was over proves the rest, says what is gone, and shows every change of that, too."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from store.audit import hash_chain
from store.audit.audit_log import Audit
from store.audit.hash_chain import Chain, ChainLine, Head
from store.audit.retention import ChainRetention
from store.audit.verify import ChainVerdict, verify
from store.db.database import Database
from store.errors import ChainBroken
from tests.store.audit.test_hash_chain import OTHER, broken, do, line
from tests.store.site import HOSPITAL, at

DAY = 86_400
NOW = at(100 * DAY)


@pytest.fixture
def chain(database: Database) -> Chain:
    """Ten lines, a day apart; the other enterprise has two old ones."""
    written = Chain(database, "audit")
    written.add(HOSPITAL, [line(place * DAY) for place in range(10)])
    written.add(OTHER, [line(0), line(1)])
    return written


@pytest.fixture
def shortened(chain: Chain) -> Chain:
    """The same without what is older than the fifth day: four lines."""
    assert ChainRetention(chain.database, "audit").run(at(4 * DAY), NOW) == 4 + 2
    return chain


def verdict(chain: Chain, *noted: Head) -> ChainVerdict:
    (found,) = verify(chain.database, HOSPITAL, noted)
    return found


def numbers(chain: Chain, enterprise: str = HOSPITAL) -> list[int]:
    return [one.number for one in chain.newest(enterprise)]


def test_what_is_older_is_gone_and_the_rest_proves_itself(shortened: Chain) -> None:
    assert numbers(shortened) == [11, 10, 9, 8, 7, 6, 5]
    found = verdict(shortened)
    assert (found.broken_at, found.head.number) == (None, 11)
    assert found.cut is not None
    assert (found.cut.upto, found.cut.at, found.cut.actor, found.cut.number) == (4, NOW, "housekeeping", 11)
    shortened.add(HOSPITAL, [line(200 * DAY)])
    assert verdict(shortened).broken_at is None


def test_a_chain_of_which_everything_is_old_keeps_the_line_that_says_so(shortened: Chain) -> None:
    assert numbers(shortened, OTHER) == [3]
    assert broken(shortened.database) == [(HOSPITAL, None), (OTHER, None)]
    assert ChainRetention(shortened.database, "audit").run(NOW + timedelta(days=1), NOW + timedelta(days=2)) == 7, (
        "the other has nothing but its cut"
    )
    assert (numbers(shortened), numbers(shortened, OTHER)) == ([12], [3])
    assert broken(shortened.database) == [(HOSPITAL, None), (OTHER, None)]


def test_nothing_old_is_nothing_cut(chain: Chain) -> None:
    assert ChainRetention(chain.database, "audit").run(at(0), NOW) == 0
    assert ChainRetention(chain.database, "receipts").run(NOW, NOW) == 0
    assert verdict(chain).cut is None


def test_a_line_out_of_the_order_of_time_keeps_those_behind_it(chain: Chain) -> None:
    chain.add(HOSPITAL, [line(1 * DAY)])
    assert ChainRetention(chain.database, "audit").run(at(5 * DAY), NOW) == 5 + 2
    assert 11 in numbers(chain)


def test_pieces_fit_together(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.audit.retention.AT_ONCE", 2)
    assert ChainRetention(chain.database, "audit").run(at(5 * DAY), NOW) == 5 + 2
    assert numbers(chain) == [13, 12, 11, 10, 9, 8, 7, 6]
    found = verdict(chain)
    assert (found.broken_at, found.cut and found.cut.upto) == (None, 5)
    assert ChainRetention(chain.database, "audit").run(at(8 * DAY), NOW) == 3
    assert verdict(chain).cut == hash_chain.Cut(8, verdict(chain).cut.hash, NOW, "housekeeping", 15)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sql", "broken_at"),
    [
        ("UPDATE chain_links SET detail = replace(detail, '\"upto\":4', '\"upto\":3') WHERE number = 11", 4),
        ("UPDATE chain_links SET detail = replace(detail, '\"upto\":4', '\"upto\":6') WHERE number = 11", 5),
        ('UPDATE chain_links SET detail = replace(detail, \'"hash":"\', \'"hash":"0\') WHERE number = 11', 5),
        ("UPDATE chain_links SET detail = 'gone' WHERE number = 11", 1),
        ("UPDATE chain_links SET actor = 'staff:eve' WHERE number = 11", 11),
        ("UPDATE chain_links SET at = '2026-11-02T08:00:04.000001+00:00' WHERE number = 11", 11),
        ("UPDATE chain_links SET action = 'viewed_patient' WHERE number = 11", 1),
        ("UPDATE chain_links SET hash = '0' WHERE number = 11", 11),
        ("DELETE FROM chain_links WHERE number = 11", 1),
        ("DELETE FROM chain_links WHERE number = 5", 5),
        ("DELETE FROM chain_links WHERE number IN (5, 6)", 5),
        ("UPDATE chain_links SET detail = '{}' WHERE number = 5", 5),
        ("UPDATE chain_links SET number = 4 WHERE number = 7", 4),
    ],
)
def test_tampering_with_a_cut_or_with_what_it_left_is_found(shortened: Chain, sql: str, broken_at: int) -> None:
    do(shortened.database, f"{sql} AND enterprise = '{HOSPITAL}'")
    assert broken(shortened.database) == [(HOSPITAL, broken_at), (OTHER, None)]


def test_a_beginning_that_somebody_removed_by_hand_is_found(chain: Chain) -> None:
    do(chain.database, f"DELETE FROM chain_links WHERE enterprise = '{HOSPITAL}' AND number < 5")
    assert broken(chain.database)[0] == (HOSPITAL, 1)


def test_more_that_somebody_removed_after_a_cut_is_found(shortened: Chain) -> None:
    do(shortened.database, f"DELETE FROM chain_links WHERE enterprise = '{HOSPITAL}' AND number < 9")
    assert broken(shortened.database)[0] == (HOSPITAL, 5)


def test_a_line_that_somebody_changed_is_not_removed_with_the_others(chain: Chain) -> None:
    do(chain.database, f"UPDATE chain_links SET actor = 'staff:eve' WHERE enterprise = '{HOSPITAL}' AND number = 3")
    for _ in range(2):
        with pytest.raises(ChainBroken, match=f"entry 3 of chain audit of {HOSPITAL} does not match"):
            ChainRetention(chain.database, "audit").run(at(4 * DAY), NOW)
    assert (numbers(chain)[-1], numbers(chain, OTHER)) == (1, [3]), "the other chain is cut all the same"
    assert broken(chain.database) == [(HOSPITAL, 3), (OTHER, None)]


def test_a_head_that_was_noted_before_the_cut_cannot_be_proven_and_says_so(chain: Chain) -> None:
    heads = {one.number: Head(HOSPITAL, "audit", one.number, one.hash) for one in chain.newest(HOSPITAL)}
    ChainRetention(chain.database, "audit").run(at(4 * DAY), NOW)
    assert verdict(chain, heads[4]).broken_at is None, "the last line that was removed is known by its hash"
    assert verdict(chain, heads[7]).broken_at is None
    early = verdict(chain, heads[3])
    assert (early.broken_at, early.why) == (3, "the entry of the noted head was removed by retention: note a newer head")
    assert verdict(chain, heads[4]._replace(hash="0")).broken_at == 4


def test_the_audit_log_goes_on_while_it_is_cut_and_verified(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.audit.retention.AT_ONCE", 3)
    monkeypatch.setattr("store.audit.hash_chain.PAGE", 2)
    audit, cutting, found = Audit(database), ChainRetention(database, "audit"), []
    audit.chain.add(HOSPITAL, [line(place) for place in range(40)])
    done = threading.Event()

    def write() -> None:
        for place in range(40, 60):
            audit.note(HOSPITAL, "viewed_patient", "", actor="staff:sam", now=at(place))
            cutting.run(at(place - 10), at(place))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        found += verify(database)
    writer.join()
    assert [one for one in (*found, *verify(database)) if one.broken_at is not None] == []


def test_a_cut_is_a_line_of_the_log_that_people_can_read(shortened: Chain) -> None:
    (newest, *_) = shortened.newest(HOSPITAL)
    assert newest.line[:4] == ChainLine(NOW, "housekeeping", "cut_chain", "cut", "")[:4]
