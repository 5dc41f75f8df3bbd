"""Many patients at once: a handful of statements, however many, and each item as if it had come alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from store.domain.patient import PatientRef
from store.preference import PatientStatements
from tests.store.site import SYNCED, Site, cell, merges, mr, says

MANY = 1_000
HANDFUL = 12


@contextmanager
def statements(site: Site) -> Iterator[list[str]]:
    """The SQL statements sent meanwhile; one of many rows is one."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(site.database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(site.database.engine, "before_cursor_execute", note)


def batch(seconds: float, value: str) -> list[PatientStatements]:
    return [
        says(str(number), seconds, {"do_not_contact": value, "phones": (cell(f"+1217555{number:04}"),)}, evidence=f"{seconds}-{number}")
        for number in range(MANY)
    ]


def test_a_thousand_patients_are_a_handful_of_statements(site: Site) -> None:
    expected = {"applied": batch(0, "no"), "unchanged": batch(1, "no")}
    for outcome, items in (*expected.items(), ("applied", batch(2, "yes")), ("stale", batch(1.5, "no"))):
        with statements(site) as sent:
            assert site.apply(*items) == [outcome] * MANY
        assert len(sent) <= HANDFUL, sent
    assert {site.dnc(str(number)) for number in (0, 500, MANY - 1)} == {"yes"}


def test_a_thousand_asks_are_a_handful_of_statements(site: Site) -> None:
    site.apply(*batch(0, "yes"))
    site.text("STOP", number="+12175550007")
    with statements(site) as sent:
        known = site.store.known(site.enterprise, [PatientRef(value=str(number)) for number in range(MANY)], site.now)
    assert len(sent) <= HANDFUL, sent
    assert [len(one.opt_outs) for one in known if not isinstance(one, Exception)] == [int(number == 7) for number in range(MANY)]


def test_a_thousand_asks_under_another_configuration_are_a_handful_of_statements(site: Site) -> None:
    site.apply(*batch(0, "yes"))
    off = site.configured(replace(SYNCED, syncs=False))
    with statements(off) as sent:
        known = off.store.known(off.enterprise, [PatientRef(value=str(number)) for number in range(MANY)], off.now)
    assert len(sent) <= HANDFUL, sent
    assert {one.contact.do_not_contact for one in known if not isinstance(one, Exception)} == {"unknown"}


def test_items_of_one_patient_in_one_batch_apply_in_their_order(site: Site) -> None:
    items = [says("1", 3, {"do_not_contact": "yes"}), says("1", 1, {"do_not_contact": "no"}), says("1", 5, {"language": "es"})]
    assert site.apply(*items) == ["applied", "stale", "applied"]
    assert (site.dnc("1"), site.value("1", "language"), site.find("1").version) == ("yes", "es", 1)


def test_unchanged_and_changed_items_of_one_patient_in_one_batch(site: Site) -> None:
    same = {"do_not_contact": "no"}
    site.apply(says("1", 1, same))
    assert site.apply(says("1", 2, same), says("1", 3, {"do_not_contact": "yes"}), says("1", 2, same)) == [
        "unchanged",
        "applied",
        "unchanged",
    ]
    assert site.dnc("1") == "yes"


def test_several_repeats_in_one_batch_leave_the_newest_time(site: Site) -> None:
    same = {"do_not_contact": "yes"}
    site.apply(says("1", 1, same))
    site.apply(says("1", 9, same), says("1", 5, same))
    assert site.apply(says("1", 7, {"do_not_contact": "no"})) == ["stale"]


def test_a_patient_that_one_item_creates_is_known_to_the_next(site: Site) -> None:
    assert site.apply(says("1", 1, {"do_not_contact": "no"}), says("1", 2, {"do_not_contact": "yes"})) == ["applied", "applied"]
    assert (site.dnc("1"), site.find("1").version) == ("yes", 1)


def test_an_item_that_meets_a_patient_through_another_item_of_its_batch(site: Site) -> None:
    linked = site.configured(replace(SYNCED, linking=frozenset({"EMPI"})))
    linked.apply(says("1", 1, {"do_not_contact": "no"}))
    shared = mr("77", "PI", "EMPI")
    linked.apply(says((mr("1"), shared), 2, {"language": "es"}), says((mr("5", "MRN"), shared), 3, {"do_not_contact": "yes"}))
    assert linked.find("5").id == linked.find("1").id
    assert linked.dnc("1") == "yes"


def test_statements_and_merges_of_one_batch_keep_their_order(site: Site) -> None:
    outcomes = site.apply(
        says("1", 1, {"do_not_contact": "no"}),
        says("2", 1, {"do_not_contact": "yes"}),
        merges("1", "2", 5),
        says("2", 9, {"do_not_contact": "no"}),
        says("1", 10, {"consent.sms": "denied"}),
    )
    assert outcomes == ["applied", "applied", "merged", "applied", "applied"]
    assert (site.dnc("2"), site.value("2", "consent.sms")) == ("no", "denied")


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_every_size_of_batch_writes_the_same(site: Site, size: int) -> None:
    items = batch(0, "yes")[:size]
    site.apply(*items)
    assert site.apply(*items) == ["unchanged"] * size
    assert len(site.store.changes(site.enterprise, 0, 1_000)) == size
    last = site.find(str(size - 1))
    assert [phone.number for phone in last.contact.phones] == [f"+1217555{size - 1:04}"]
    assert last.shared_by == {f"+1217555{size - 1:04}": 1}


def test_nothing_at_all_is_fine(site: Site) -> None:
    assert site.apply() == []
