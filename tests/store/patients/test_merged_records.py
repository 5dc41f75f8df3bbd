"""Which records went into a patient, and part of the opt-out report, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.patients.opt_out_report import Wanted, part
from store.patients.preferences import Preferences
from store.patients.unmerge import merged_records
from store.preference import STAFF, Identifier, PatientMerge, PatientStatements, Phone, Statement
from tests.store.site import BY_LINE

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINE = "+12175550190"


def clinic(database: Database) -> Preferences:
    """Three patients with a phone each; names of patients are A, B and C."""
    store = Preferences(database, {"clinic": Enterprise("clinic", sources=(Source("feed", "EMR"),), policy=BY_LINE)})
    for place, name in enumerate("ABC"):
        phones = Statement((Phone(f"+1217555010{place}", "cell", "", 1, textable=True),), "PID-13")
        say(store, PatientStatements((one(name),), {"phones": phones}, times.at(NOON), f"M-{name}"))
    return store


def one(name: str) -> Identifier:
    return Identifier("CLINIC", "MR", name)


def say(store: Preferences, *items: PatientStatements | PatientMerge) -> None:
    with store.database.write("clinic") as transaction:
        store.apply_many(transaction, "clinic", "feed", items, now=NOON + timedelta(hours=1))


def found(store: Preferences, name: str) -> str:
    return store.find("clinic", PatientRef(value=name)).id


def test_records_that_went_in_through_others_are_told_too_until_the_merge_is_undone(database: Database) -> None:
    store = clinic(database)
    ids = {name: found(store, name) for name in "ABC"}
    assert merged_records(database, "clinic", ids["A"]) == []
    say(store, PatientMerge((one("B"),), (one("C"),), times.at(NOON), "first"))
    say(store, PatientMerge((one("A"),), (one("B"),), times.at(NOON + timedelta(minutes=1)), "second"))
    assert [(record.id, record.source, record.evidence_id) for record in merged_records(database, "clinic", ids["A"])] == [
        (ids["B"], "feed", "second"),
        (ids["C"], "feed", "first"),
    ]
    assert merged_records(database, "elsewhere", ids["A"]) == []
    store.unmerge("clinic", PatientRef(value="B"), actor=Actor(Role.STAFF, "pat"), reason="two", now=NOON + timedelta(hours=2))
    assert merged_records(database, "clinic", ids["A"]) == []
    assert [record.id for record in merged_records(database, "clinic", ids["B"])] == [ids["C"]]


def test_a_part_of_the_report_is_found_by_digits_by_line_and_by_who_said_so(database: Database) -> None:
    store = clinic(database)
    for place in range(3):
        store.record_reply("clinic", LINE, f"+1217555010{place}", "STOP", NOON, NOON)
    store.record_sms_opt_out("clinic", found(store, "C"), line=None, actor=Actor(Role.STAFF, "pat"), now=NOON)
    first = part(database, "clinic", Wanted(), limit=2)
    assert ([row.number for row in first.opt_outs], first.after) == (["+12175550100", "+12175550101"], "+12175550101")
    rest = part(database, "clinic", Wanted(), after=first.after or "", limit=2)
    assert ([row.authority for row in rest.opt_outs], rest.after) == ([STAFF, "patient"], None)
    assert [row.patients for row in part(database, "clinic", Wanted(), digits="0101").opt_outs] == [(found(store, "B"),)]
    assert [row.number for row in part(database, "clinic", Wanted(authority=STAFF)).opt_outs] == ["+12175550102"]
    assert {row.number for row in part(database, "clinic", Wanted(line="+12175550191")).opt_outs} == {"+12175550102"}
