"""Open rejections by cause, and what they do to patients, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientMerge, PatientStatements, Problem, Statement
from store.runs import causes as module
from store.runs.causes import Affected, Cause, Causes
from store.runs.runs import Journal, Rejected

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CLINIC = {"clinic": Enterprise("clinic", syncs=True, sources=(Source("feed", "Feed"),))}
UNKNOWN_CODE = Cause("feed", "code_unmapped", "ZCP-2", "do_not_contact")


def refused(
    database: Database,
    path: str,
    times: int,
    source: str = "feed",
    enterprise: str = "clinic",
    reason: str = "code_unmapped",
    attribute: str = "",
    now: datetime = NOON,
) -> None:
    named = (reason, "no table has it", path, "file:1")
    rows = [Rejected(*named, f"payload {number} {attribute}".encode(), attribute=attribute) for number in range(times)]
    with database.write(enterprise) as transaction:
        Journal(database).reject(transaction, rows, source=source, enterprise=enterprise, run_id=None, now=now)


def test_the_most_frequent_come_first_with_an_example(database: Database) -> None:
    refused(database, "ZCP-2", 2)
    refused(database, "ZCP-2", 2, now=NOON + timedelta(hours=1))
    refused(database, "PV1-18", 3)
    refused(database, "ZCP-2", 5, source="other")
    refused(database, "ZCP-9", 9, enterprise="elsewhere", source="far")
    found = Causes(database).open("clinic")
    assert [(one.cause[:3], one.rejections, one.times) for one in found] == [
        (("other", "code_unmapped", "ZCP-2"), 5, 5),
        (("feed", "code_unmapped", "ZCP-2"), 2, 4),
        (("feed", "code_unmapped", "PV1-18"), 3, 3),
    ]
    assert (found[1].first, found[1].last) == (NOON, NOON + timedelta(hours=1))
    assert Journal(database).rejection_store.summary(found[1].example).path == "ZCP-2"
    first = Causes(database).of_source("clinic", "feed", 1)
    assert ([one.cause.path for one in first.causes], first.rejections) == (["ZCP-2"], 5)
    assert Causes(database).of_source("clinic", "nothing", 1) == ([], 0)


def test_one_location_is_several_causes_if_several_preferences_are_read_from_it(database: Database) -> None:
    refused(database, "ZCP-2", 1, attribute="do_not_contact")
    refused(database, "ZCP-2", 2, attribute="consent.sms")
    assert [one.cause.attribute for one in Causes(database).open("clinic")] == ["consent.sms", "do_not_contact"]


def test_what_is_resolved_is_no_cause_any_more(database: Database) -> None:
    refused(database, "ZCP-2", 1, attribute="do_not_contact")
    journal, causes = Journal(database), Causes(database)
    assert causes.one("clinic", UNKNOWN_CODE) is not None
    (number,) = causes.rejections("clinic", UNKNOWN_CODE, 9)
    with database.write("clinic") as transaction:
        journal.resolve(transaction, number)
    assert (causes.open("clinic"), causes.one("clinic", UNKNOWN_CODE), causes.rejections("clinic", UNKNOWN_CODE, 9)) == ([], None, [])


def test_the_rejections_of_a_cause_are_its_own_oldest_first(database: Database) -> None:
    refused(database, "ZCP-2", 3, attribute="do_not_contact")
    refused(database, "ZCP-2", 3)
    refused(database, "ZCP-2", 3, attribute="do_not_contact", enterprise="elsewhere", source="far")
    found = Causes(database).rejections("clinic", UNKNOWN_CODE, 2)
    assert found == sorted(found)
    assert {Journal(database).rejection_store.summary(one).attribute for one in found} == {"do_not_contact"}
    assert len(found) == 2


class Feed:
    """A source whose codes are not mapped."""

    def __init__(self, database: Database) -> None:
        self.database, self.store, self.journal = database, Preferences(database, CLINIC), Journal(database)
        self.sent = 0

    def send(self, mrn: str, *, is_readable: bool = False) -> None:
        """One message, with a code that is not mapped or with one that is."""
        self.sent += 1
        at = NOON + timedelta(minutes=self.sent)
        item = PatientStatements((Identifier("CLINIC", "MR", mrn),), {}, times.at(at), f"M{self.sent}")
        problem = Problem("code_unmapped", "ZCP-2", "", "do_not_contact")
        stated = {"do_not_contact": Statement("no", "ZCP-2")}
        item = replace(item, statements=stated) if is_readable else replace(item, problems=(problem,))
        with self.database.write("clinic") as transaction:
            (outcome,) = self.store.apply_many(transaction, "clinic", "feed", [item], now=at)
            if not is_readable:
                named = ("code_unmapped", "", "ZCP-2", "l", f"payload {self.sent}".encode(), "field", f"M{self.sent}")
                row = Rejected(*named, attribute="do_not_contact", patient_id=outcome.patient_id)
                self.journal.reject(transaction, [row], source="feed", enterprise="clinic", run_id=None, now=at)

    def affected(self) -> Affected:
        return Causes(self.database).unreadable("clinic", [UNKNOWN_CODE])[UNKNOWN_CODE]


@pytest.fixture
def feed(database: Database) -> Feed:
    return Feed(database)


def test_patients_are_counted_while_their_preference_is_unreadable(feed: Feed) -> None:
    for mrn in ("1", "2", "2"):
        feed.send(mrn)
    assert feed.affected() == Affected(2, 2, is_all=True)
    feed.send("2", is_readable=True)
    assert feed.affected() == Affected(1, 2, is_all=True)
    (newest, *_) = feed.journal.rejections("clinic")
    assert parsed(newest.patient) is not None
    assert newest.patient == feed.store.find("clinic", PatientRef(value="2")).id


def test_a_merged_patient_counts_as_the_survivor(feed: Feed) -> None:
    for mrn in ("1", "2"):
        feed.send(mrn)
    merge = PatientMerge((Identifier("CLINIC", "MR", "1"),), (Identifier("CLINIC", "MR", "2"),), times.at(NOON + timedelta(hours=1)), "A40")
    with feed.database.write("clinic") as transaction:
        feed.store.apply_many(transaction, "clinic", "feed", [merge], now=NOON + timedelta(hours=1))
    assert feed.affected() == Affected(1, 2, is_all=True)


def test_of_very_many_patients_at_least_some_are_counted(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXAMINED", 2)
    for mrn in ("1", "2", "3"):
        feed.send(mrn)
    assert feed.affected() == Affected(2, 2, is_all=False)


def test_a_cause_that_hides_no_refusal_makes_nobody_unreadable(database: Database) -> None:
    refused(database, "PID-13", 1, reason="phone_unusable", attribute="phones")
    causes = [one.cause for one in Causes(database).open("clinic")]
    assert Causes(database).unreadable("clinic", causes) == {}
