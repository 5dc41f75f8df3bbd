"""The safeguard: limits as a table, then runs, live feeds, decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from adapters.base import Fetch, Item
from store.db.database import Database
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.errors import NothingHeld
from store.holds.gate import HoldAll
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.runs.runs import Journal, Run
from sync import safeguard
from sync.config import Backoff
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, clinic, merge, payload, phone, statements
from tests.fakes import FakeAdapter, FakeClock, FakeMapper, batch, passing, permanent

LANE = Lane(FEED, CLINIC)
AT_ONCE = Backoff(attempts=2, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
RULE = SafeguardRule(floor=2, percent=0, expires=timedelta(days=1))
PERSON = Actor("operator", "kim")


@pytest.mark.parametrize(
    ("floor", "percent", "synced", "expected"),
    [(50, 5, 0, 50), (50, 5, 1_000, 50), (50, 5, 1_019, 50), (50, 5, 1_020, 51), (50, 5, 20_000, 1_000), (0, 0, 9, 0), (0, 100, 9, 9)],
)
def test_the_limit_is_the_larger_of_floor_and_percent(floor: int, percent: float, synced: int, expected: int) -> None:
    assert safeguard.limit(SafeguardRule(floor, percent), synced) == expected


@pytest.mark.parametrize(("patients", "waiting", "expected"), [(0, 0, True), (50, 0, True), (51, 0, False), (1, 50, False), (20, 30, True)])
def test_a_run_applies_its_changes_if_they_and_waiting_changes_are_within_the_limit(patients: int, waiting: int, expected: bool) -> None:
    assert safeguard.is_within_limit(SafeguardRule(50, 5), synced=100, patients=patients, waiting=waiting) is expected


@pytest.mark.parametrize(("lately", "waiting", "expected"), [(0, 0, 50), (49, 0, 1), (50, 0, 0), (99, 0, 0), (0, 1, 0)])
def test_a_live_feed_has_the_rest_of_its_hourly_limit_unless_a_change_is_waiting(lately: int, waiting: int, expected: int) -> None:
    assert safeguard.room(SafeguardRule(50, 5), synced=100, lately=lately, waiting=waiting) == expected


class Clinic:
    """An engine over a real store, with a safeguard of two patients."""

    def __init__(self, database: Database, rule: SafeguardRule = RULE) -> None:
        self.store, self.journal, self.clock = Preferences(database, {CLINIC: clinic()}), Journal(database), FakeClock()
        self.engine = Engine(database, self.store, self.journal, self.clock, Metrics(), AT_ONCE, batch_size=3, safeguards={CLINIC: rule})
        self.verdicts = HeldReview(self.store, self.journal)

    def run(self, *items: Item, kind: str = "full") -> Run:
        return self.engine.run(LANE, FakeAdapter(batch(*items, cursor="c")), Fetch(full=True), kind)

    def live(self, *texts: str) -> list[str]:
        return [one.outcome for one in self.engine.ingest(LANE, FakeMapper(), [payload(text) for text in texts])]

    def value(self, patient: str, attribute: str = "do_not_contact") -> object:
        found = self.store.find(CLINIC, PatientRef(value=patient)).preferences.get(attribute)
        return found.value if found else None

    def values(self, patients: Sequence[str]) -> list[object]:
        return [self.value(patient) for patient in patients]


@pytest.fixture
def site(database: Database) -> Clinic:
    """Five patients who refused contact."""
    found = Clinic(database)
    found.run(*(statements(name) for name in NAMES))
    return found


@contextmanager
def statements_sent(database: Database) -> Iterator[list[str]]:
    """The SQL statements sent meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield sent
    event.remove(database.engine, "before_cursor_execute", note)


NAMES = ("A", "B", "C", "D", "E")
ALL_YES = ["yes"] * 5


def permissions(minutes: int = 1, names: Sequence[str] = NAMES) -> list[Item]:
    return [statements(name, {"do_not_contact": "no", "language": "es"}, minutes=minutes) for name in names]


def test_a_run_within_the_limit_permits_contact_at_its_end(site: Clinic) -> None:
    run = site.run(*permissions(names=("A", "B")))
    assert (run.status, run.counts, run.error) == ("done", {"applied": 2}, None)
    assert site.values(("A", "B", "C")) == ["no", "no", "yes"]


def test_a_run_over_the_limit_permits_no_contact_and_applies_everything_else(site: Clinic) -> None:
    run = site.run(*permissions(), statements("F"))
    assert (run.status, run.counts) == ("held", {"held": 5, "applied": 1})
    assert "5 patients" in (run.error or "")
    assert site.values((*NAMES, "F")) == [*ALL_YES, "yes"]
    assert {site.value(name, "language") for name in NAMES} == {"es"}


def test_a_live_feed_asks_once_for_a_group_whom_its_hour_counts_already(database: Database) -> None:
    site = Clinic(database, SafeguardRule(floor=4))
    site.live(*(f"{name}=yes" for name in NAMES))
    assert site.live("A=no", "B=no") == ["applied", "applied"]
    with statements_sent(database) as sent:
        assert site.live("A=no", "C=no", "D=no", "E=no") == ["unchanged", "applied", "applied", "held"]
    assert len([one for one in sent if one.startswith("SELECT patient_id FROM loosened WHERE source = ") and "patient_id" in one[40:]]) == 1


def test_opt_outs_of_a_held_run_apply_at_once(site: Clinic) -> None:
    site.run(*permissions(), statements("G", {"do_not_contact": "no"}))
    run = site.run(*permissions(2), statements("G", {"do_not_contact": "yes"}, minutes=2))
    assert run.status == "held"
    assert site.value("G") == "yes"


def test_a_preview_counts_changes_by_direction_without_names(site: Clinic) -> None:
    run = site.run(*permissions())
    found = site.verdicts.show(run.id)
    assert [tuple(one) for one in found.impact.counts] == [("do_not_contact", "yes->no", 5)]
    assert (found.impact.patients, len(found.impact.sample), found.impact.sample[0].patient[:3], found.verdicts) == (5, 5, "pt_", ())


def test_an_approved_run_is_applied_and_the_history_names_the_approver(site: Clinic) -> None:
    run = site.run(*permissions())
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.values(NAMES) == ["no"] * 5
    assert site.journal.run(run.id).status == "done"
    entry = site.store.history(CLINIC, site.store.find(CLINIC, PatientRef(value="A")).id)[0]
    assert (entry.attribute, entry.before, entry.after) == ("do_not_contact", "yes", "no")
    assert (entry.actor, entry.reason, entry.run_id) == ("operator:kim", "held by the safeguard, approved", run.id)
    (verdict,) = site.verdicts.show(run.id).verdicts
    assert (verdict.verdict, verdict.actor, verdict.patients) == ("approved", "operator:kim", 5)


def test_repeated_evidence_after_an_approval_is_unchanged(site: Clinic) -> None:
    run = site.run(*permissions())
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.run(*permissions()).counts == {"unchanged": 5}
    assert site.run(*permissions(9)).counts == {"unchanged": 5}


def test_a_rejected_run_changes_nothing_and_repeated_evidence_is_held_again(site: Clinic) -> None:
    run = site.run(*permissions())
    site.verdicts.reject(run.id, PERSON, site.clock())
    assert (site.journal.run(run.id).status, site.values(NAMES)) == ("done", ALL_YES)
    assert site.run(*permissions()).counts == {"unchanged": 5}, "identical payloads are unchanged"
    again = site.run(*permissions(5, ("A",)))  # one patient by itself would be within the limit
    assert (again.status, site.value("A")) == ("held", "yes")
    assert "changes of 1 patients that were rejected before came again" in (again.error or "")
    with pytest.raises(NothingHeld):
        site.verdicts.approve(run.id, PERSON, site.clock())
    site.verdicts.approve(again.id, PERSON, site.clock())
    assert site.values(NAMES) == ["no", *ALL_YES[1:]]


def test_a_repeated_rejected_change_stays_held_until_a_decision(site: Clinic) -> None:
    site.verdicts.reject(site.run(*permissions()).id, PERSON, site.clock())
    for minutes in (5, 6, 7):
        run = site.run(*permissions(minutes, ("A",)))
        assert (run.status, site.value("A")) == ("held", "yes")


def test_a_new_refusal_clears_an_earlier_rejection(site: Clinic) -> None:
    site.verdicts.reject(site.run(*permissions()).id, PERSON, site.clock())
    site.run(statements("A", minutes=3))
    assert site.run(*permissions(4, ("A",))).status == "done"
    assert site.value("A") == "no"


def test_newer_evidence_replaces_a_held_change(site: Clinic) -> None:
    run = site.run(*permissions())
    site.run(statements("A", minutes=3))
    assert site.verdicts.show(run.id).impact.patients == 4
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.values(NAMES) == ["yes", "no", "no", "no", "no"]


def test_late_evidence_does_not_change_a_held_change(site: Clinic) -> None:
    run = site.run(*permissions(10))
    site.run(statements("A", minutes=3))
    assert site.verdicts.show(run.id).impact.patients == 5
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.value("A") == "no"


def test_a_held_set_emptied_by_newer_evidence_closes_itself(site: Clinic) -> None:
    run = site.run(*permissions())
    later = site.run(*permissions(2))
    assert (later.status, site.verdicts.show(later.id).impact.patients, site.verdicts.show(run.id).impact.patients) == ("held", 5, 0)
    closed = site.journal.run(run.id)
    assert (closed.status, closed.error) == ("done", "the held changes were replaced by newer evidence")


def test_a_small_run_is_held_while_another_change_is_waiting(site: Clinic) -> None:
    site.run(*permissions(names=("A", "B", "C")))
    assert site.run(*permissions(names=("D",))).status == "held"
    assert site.values(NAMES) == ALL_YES


def test_an_undecided_held_set_expires_as_rejected(site: Clinic) -> None:
    run = site.run(*permissions())
    site.clock.now += timedelta(days=2)
    site.run()
    found = site.verdicts.show(run.id)
    assert (found.run.status, found.impact.patients, [one.verdict for one in found.verdicts]) == ("done", 0, ["expired"])
    assert site.values(NAMES) == ALL_YES


def test_the_next_run_settles_changes_of_a_failed_run(site: Clinic) -> None:
    script = (batch(*permissions(names=("A",)), cursor="1"), permanent())
    failed = site.engine.run(LANE, FakeAdapter(*script), Fetch(), "incremental")
    assert (failed.status, site.value("A")) == ("failed", "yes")
    assert site.run().status == "done"
    assert site.value("A") == "no"


def test_changes_of_failed_runs_count_together(site: Clinic) -> None:
    for names in (("A", "B"), ("C", "D")):
        site.engine.run(LANE, FakeAdapter(batch(*permissions(names=names)), permanent()), Fetch(), "incremental")
    run = site.run()
    assert (run.status, site.verdicts.show(run.id).impact.patients, site.values(NAMES)) == ("held", 4, ALL_YES)


def test_a_retried_page_counts_its_patients_once(site: Clinic) -> None:
    page = permissions(names=("A", "B"))
    run = site.engine.run(LANE, FakeAdapter(batch(*page), passing(), batch(*page)), Fetch(), "incremental")
    assert (run.status, site.values(("A", "B"))) == ("done", ["no", "no"])


@pytest.mark.parametrize("items", [[], [statements("A")]], ids=["empty", "suddenly small"])
def test_an_empty_or_small_full_pull_clears_and_unsyncs_nobody(site: Clinic, items: list[Item]) -> None:
    run = site.run(*items)
    assert run.status == "done"
    assert site.values(NAMES) == ALL_YES
    assert all(site.store.find(CLINIC, PatientRef(value=name)).marks for name in NAMES)


def test_a_live_feed_permits_within_its_hourly_limit_and_holds_the_rest(site: Clinic) -> None:
    assert site.live("A=no", "B=no", "C=no") == ["applied", "applied", "held"]
    assert site.live("D=no", "E=yes") == ["held", "unchanged"]
    assert site.values(NAMES) == ["no", "no", "yes", "yes", "yes"]
    (run,) = [one for one in site.journal.runs(source=FEED) if one.status == "held"]
    assert (run.kind, run.counts) == ("live", {"held": 2})
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.values(NAMES) == ["no", "no", "no", "no", "yes"]


def test_the_hourly_limit_of_a_live_feed_survives_a_restart_and_ends(site: Clinic) -> None:
    site.live("A=no", "B=no")
    restarted = Clinic(site.store.database)
    restarted.clock.now = site.clock() + timedelta(minutes=59)
    assert restarted.live("C=no") == ["held"]
    run = next(one for one in site.journal.runs(source=FEED) if one.status == "held")
    site.verdicts.reject(run.id, PERSON, site.clock())
    restarted.clock.now = site.clock() + timedelta(minutes=61)
    assert restarted.live("D=no") == ["applied"]


def test_a_patient_counts_once_in_the_hourly_limit(site: Clinic) -> None:
    store = site.store
    for minute in range(1, 7):
        with store.database.write(CLINIC) as transaction:
            guard = site.engine.safeguard.guard(transaction, LANE, None, site.clock())
            changes = statements("A", {"do_not_contact": "no" if minute % 2 else "yes"}, minutes=minute)
            store.apply_many(transaction, CLINIC, FEED, [changes], now=site.clock(), guard=guard)
    assert site.value("A") == "yes"
    assert site.live("B=no", "C=no") == ["applied", "held"]


def test_a_rejected_change_stays_held_when_a_live_feed_sends_it_with_a_new_one(site: Clinic) -> None:
    site.run(statements("C", {"consent.sms": "denied"}, minutes=1))
    assert site.live("A=no", "B=no", "C=no") == ["applied", "applied", "held"]
    (run,) = [one for one in site.journal.runs(source=FEED) if one.status == "held"]
    site.verdicts.reject(run.id, PERSON, site.clock())
    site.clock.now += timedelta(minutes=61)
    changes = statements("C", {"consent.sms": "granted", "do_not_contact": "no"}, minutes=5)
    with site.store.database.write(CLINIC) as transaction:
        guard = site.engine.safeguard.guard(transaction, LANE, None, site.clock())
        (outcome,) = site.store.apply_many(transaction, CLINIC, FEED, [changes], now=site.clock(), guard=guard)
    assert (outcome.outcome, site.value("C")) == ("held", "yes")
    assert site.live("D=no") == ["held"]  # while another change is waiting


def test_the_limit_of_a_large_source_is_its_percentage(database: Database) -> None:
    site = Clinic(database, SafeguardRule(floor=1, percent=60))
    site.run(*(statements(name) for name in NAMES))
    assert site.live("A=no", "B=no", "C=no", "D=no") == ["applied", "applied", "applied", "held"]


def test_a_held_change_of_a_merged_patient_cannot_undo_the_surviving_opt_out(site: Clinic) -> None:
    run = site.run(*permissions())
    site.run(merge("B", "A", minutes=5))
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert site.values(NAMES) == ["yes", "yes", "no", "no", "no"]


def test_a_replaced_phone_a_consent_and_a_topic_are_held(site: Clinic) -> None:
    denied = {"consent.sms": "denied", "consent.sms#+12175550101": "denied", "topic.billing.sms": "denied", "phones": (phone(),)}
    site.run(*(statements(name, denied, minutes=1) for name in NAMES))
    other = (phone("+12175550109"),)
    open_now = {"consent.sms": "granted", "consent.sms#+12175550101": None, "topic.billing.sms": "granted", "phones": other}
    run = site.run(*(statements(name, open_now, minutes=2) for name in NAMES))
    assert [tuple(one) for one in site.verdicts.show(run.id).impact.counts] == [
        ("consent.sms", "denied->granted", 5),
        ("consent.sms", "denied->unknown", 5),
        ("phones", "replaced", 5),
        ("topic.billing.sms", "denied->granted", 5),
    ]
    assert (site.value("A", "consent.sms"), site.value("A", "phones")) == ("denied", (phone(),))
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert (site.value("A", "consent.sms"), site.value("A", "phones")) == ("granted", other)
    assert site.value("A", "consent.sms#+12175550101") is None


def test_a_source_moved_to_another_enterprise_is_read_from_the_start(site: Clinic) -> None:
    elsewhere = Lane(FEED, "elsewhere")
    site.store.enterprises["elsewhere"] = replace(clinic(), name="elsewhere")  # type: ignore[index]
    read = FakeAdapter(batch(statements("A"), cursor="new"))
    site.engine.run(elsewhere, read, Fetch(cursor=site.journal.cursor(FEED)), "incremental")
    assert (read.requests[0].cursor, site.journal.cursor(FEED)) == (None, "new")


def test_a_running_run_cannot_be_approved_or_rejected(site: Clinic) -> None:
    run = site.engine.begin(LANE, "full", Fetch())
    with pytest.raises(NothingHeld):
        site.verdicts.approve(run.id, PERSON, site.clock())


def test_a_second_approval_reports_that_nothing_is_waiting(site: Clinic) -> None:
    run = site.run(*permissions())
    site.verdicts.approve(run.id, PERSON, site.clock())
    with pytest.raises(NothingHeld):
        site.verdicts.reject(run.id, PERSON, site.clock())


def test_a_rejected_change_stays_held_when_a_new_change_of_the_same_patient_applies(site: Clinic) -> None:
    site.run(statements("A", {"consent.sms": "denied"}, minutes=1))
    site.verdicts.reject(site.run(*permissions(2, ("A", "B", "C"))).id, PERSON, site.clock())
    run = site.run(statements("A", {"do_not_contact": "no", "consent.sms": "granted"}, minutes=5))
    assert (run.status, site.verdicts.show(run.id).impact.patients) == ("held", 1)
    assert (site.values(NAMES), site.value("A", "consent.sms")) == (ALL_YES, "granted")


@pytest.mark.parametrize("chunk", [1, 2, 1_000])
def test_a_rejected_change_stays_rejected_when_the_rest_of_its_run_applies(site: Clinic, chunk: int) -> None:
    site.run(statements("B", {"consent.sms": "denied"}, minutes=1))
    site.verdicts.reject(site.run(*permissions(2, ("A", "B", "C"))).id, PERSON, site.clock())
    site.verdicts.chunk = chunk
    run = site.engine.begin(LANE, "full", Fetch())
    changes = [
        statements("A", {"do_not_contact": "no"}, minutes=5),
        statements("B", {"do_not_contact": "no", "consent.sms": "granted"}, minutes=5),
        statements("D", {"do_not_contact": "no"}, minutes=5),
    ]
    with site.store.database.write(CLINIC) as transaction:
        site.store.apply_many(transaction, CLINIC, FEED, changes, now=site.clock(), run_id=run.id, guard=HoldAll(run.id))
    settled = site.verdicts.settle(run, lambda *_: True, now=site.clock())
    assert (settled.released, settled.held) == (2, 2)
    assert (site.values(("A", "B", "C", "D")), site.value("B", "consent.sms")) == (["yes", "yes", "yes", "no"], "granted")


def test_a_rejected_live_change_stays_rejected_when_later_changes_are_approved(site: Clinic) -> None:
    site.live("A=no", "B=no", "C=no")
    (first,) = [one for one in site.journal.runs(source=FEED) if one.status == "held"]
    site.verdicts.reject(first.id, PERSON, site.clock())
    assert site.live("D=no") == ["held"]
    (second,) = [one for one in site.journal.runs(source=FEED) if one.status == "held"]
    site.verdicts.approve(second.id, PERSON, site.clock())
    assert (second.id != first.id, site.values(("C", "D"))) == (True, ["yes", "no"])


def test_a_rejected_change_stays_rejected_whatever_is_decided_on_other_sets(site: Clinic) -> None:
    first = site.run(*permissions(1, ("A", "B", "C")))
    second = site.run(*permissions(1, ("D", "E")))
    site.verdicts.reject(first.id, PERSON, site.clock())
    site.verdicts.approve(second.id, PERSON, site.clock())
    assert site.values(NAMES) == ["yes", "yes", "yes", "no", "no"]
    with pytest.raises(NothingHeld):
        site.verdicts.approve(first.id, PERSON, site.clock())
    site.run(statements("F", {"do_not_contact": "no"}))
    assert site.values(NAMES) == ["yes", "yes", "yes", "no", "no"]


def test_a_rejected_change_stays_rejected_when_a_new_change_of_its_set_is_approved(site: Clinic) -> None:
    """A process that dies between the decision and the end of its run leaves a live set open, and later changes join it."""
    site.live("A=no", "B=no", "C=no")
    (run,) = [one for one in site.journal.runs(source=FEED) if one.status == "held"]
    with site.store.database.write(CLINIC) as transaction:
        site.verdicts.held.mark_rejected(transaction, run.id)
    assert site.live("D=no") == ["held"]
    found = site.verdicts.show(run.id)
    assert (found.impact.patients, len(found.impact.sample)) == (1, 1)
    site.verdicts.approve(run.id, PERSON, site.clock())
    assert (site.values(("C", "D")), site.journal.run(run.id).status) == (["yes", "no"], "done")
