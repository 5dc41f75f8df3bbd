"""Checks the tables of the safeguard: the pure ones against the rules, the others on the real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from adapters.base import Fetch, Item, Payload
from store import times
from store.db.database import Database
from store.domain.contactability import may_permit_more, permitting_changes
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.holds.configuration import Configurations
from store.holds.configuration_change import Proposal
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.preference import Assertion, Preference
from store.runs.runs import Journal
from sync import safeguard
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, NOW, payload, statements
from tests.fakes import FakeAdapter, FakeClock, FakeMapper, batch
from tests.spec.safeguard import CHANGES, CONFIGURATIONS, ENDS, HELD, HOURS, LIMITS, LIVE, MAY_BE_HELD, Change
from tests.store.site import HOSPITAL, Site, says

PERSON = Actor("operator", "kim")
DEFAULT = SafeguardRule(50, 5)
NOBODY = SafeguardRule(0, 0, timedelta(days=14))


def in_force(attribute: str, value: Any) -> dict[str, Preference]:
    if value is None:
        return {}
    return {attribute: Preference(value, "emr:adt", Assertion(value, times.at(NOW), NOW, "M1", "X-1", 0))}


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: f"{one.attribute} {one.before}->{one.after}")
def test_which_changes_permit_contact(change: Change) -> None:
    name, before, after = change.attribute, in_force(change.attribute, change.before), in_force(change.attribute, change.after)
    assert bool(permitting_changes(before, after, [name])) is (change.safeguard == MAY_BE_HELD)
    assert may_permit_more(name, change.after) or change.safeguard != MAY_BE_HELD, "the fast check must find every change"


@pytest.mark.parametrize(("floor", "percent", "synced", "limit"), LIMITS)
def test_the_limit_is_the_larger_of_floor_and_percent(floor: int, percent: float, synced: int, limit: int) -> None:
    assert safeguard.limit(SafeguardRule(floor, percent), synced) == limit


@pytest.mark.parametrize(("loosens", "waiting", "ends"), ENDS)
def test_how_the_safeguard_ends_a_run(loosens: int, waiting: int, ends: str) -> None:
    assert safeguard.is_within_limit(DEFAULT, synced=100, patients=loosens, waiting=waiting) is (ends != "held")


@pytest.mark.parametrize(("lately", "waiting", "room"), HOURS)
def test_remaining_hourly_limit_of_a_live_feed(lately: int, waiting: int, room: int) -> None:
    assert safeguard.room(DEFAULT, synced=100, lately=lately, waiting=waiting) == room


@dataclass
class Clinic:
    """Two sources and a safeguard over a real store."""

    database: Database
    rule: SafeguardRule
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        enterprise = Enterprise(CLINIC, syncs=True, sources=(Source("adt", "ADT"), Source("fhir", "FHIR")))
        self.store, self.journal = Preferences(self.database, {CLINIC: enterprise}), Journal(self.database)
        self.engine = Engine(self.database, self.store, self.journal, self.clock, Metrics(), safeguards={CLINIC: self.rule})
        self.verdicts = HeldReview(self.store, self.journal)

    def dnc(self, patient: str) -> str:
        return self.store.find(CLINIC, PatientRef(value=patient)).contact.do_not_contact

    def held(self) -> str:
        patients = sum(one.patients for one in self.verdicts.awaiting_review())
        return f"; {patients} held" if patients else ""

    def passes(self, event: str) -> bool:
        """Whether the event is the passing of time."""
        amount, _, unit = event.partition(" ")
        if not amount.isdigit():
            return False
        self.clock.now += timedelta(**{unit: int(amount)})
        return True

    def receives(self, event: str) -> None:
        """One run of one source."""
        what, _, when = event.partition("@")
        source, _, value = what.partition(" ")
        stated = {"language": "en"} if value == "..." else {"do_not_contact": None if value == "-" else value}
        self.clock.now = max(self.clock.now, NOW + timedelta(minutes=int(when)))
        read = FakeAdapter(batch(statements("a", stated, minutes=int(when), evidence=f"{what}{when}")))
        self.engine.run(Lane(source, CLINIC), read, Fetch(), "incremental")

    def decides(self, word: str) -> None:
        """A person approves or rejects the held change."""
        decide = self.verdicts.approve if word == "approve" else self.verdicts.reject
        (one,) = self.verdicts.awaiting_review()
        decide(one.run, PERSON, self.clock())


class LineMapper(FakeMapper):
    """Reads ``patient value minute``."""

    def read(self, payload: Payload) -> list[Item]:
        name, value, minute = payload.body.decode().split()
        return [statements(name, {"do_not_contact": value}, minutes=int(minute))]


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    found = Database.open(sqlite_url)
    yield found
    found.close()


@pytest.mark.parametrize(("rule", "events", "expected"), HELD, ids=[rule for rule, *_ in HELD])
def test_what_happens_to_a_held_change(database: Database, rule: str, events: str, expected: str) -> None:
    clinic = Clinic(database, NOBODY)
    for event in events.split(", "):
        if event in ("approve", "reject"):
            clinic.decides(event)
        elif not clinic.passes(event):
            clinic.receives(event)
    assert clinic.dnc("a") + clinic.held() == expected


@pytest.mark.parametrize(("rule", "events", "expected"), LIVE, ids=[rule for rule, *_ in LIVE])
def test_a_live_feed_and_its_hourly_limit(database: Database, rule: str, events: str, expected: str) -> None:
    clinic, lane = Clinic(database, SafeguardRule(2, 0)), Lane("adt", CLINIC)
    clinic.engine.ingest(lane, LineMapper(), [payload(f"{name} yes 0") for name in "abcd"])
    for minute, event in enumerate(events.split(", "), 1):
        if not clinic.passes(event):
            clinic.clock.now = max(clinic.clock.now, NOW + timedelta(minutes=minute))
            clinic.engine.ingest(lane, LineMapper(), [payload(f"{event} {minute}")])
    names = [one.partition(" ")[0] for one in expected.partition(";")[0].split(", ")]
    assert ", ".join(f"{name} {clinic.dnc(name)}" for name in names) + clinic.held() == expected


def configured(text: str) -> Enterprise:
    names = text.removeprefix("no ").split()[1:]
    return Enterprise(
        HOSPITAL, syncs=not text.startswith("no "), do_not_contact_toggle=True, sources=tuple(Source(name, name) for name in names)
    )


@pytest.mark.parametrize(("change", "before", "after", "stated", "expected"), CONFIGURATIONS, ids=[row[0] for row in CONFIGURATIONS])
def test_a_changed_configuration(database: Database, change: str, before: str, after: str, stated: str, expected: str) -> None:
    site = Site(database, configured(before))
    Proposal(database, configured(before)).propose(lambda synced, patients: True, site.tick())
    site.apply(says("1", 0, {"language": "en"}))
    for who, _, value in (one.partition(" ") for one in stated.split(", ")):
        if who == "staff":
            site.flip("1", value)
        else:
            site.apply(says("1", 20_000, {"do_not_contact": value}), source=who)
    held = Proposal(database, configured(after)).propose(lambda synced, patients: patients < 1, site.tick())
    store = Preferences(database, Configurations(database, {HOSPITAL: configured(after)}))
    found = store.find(HOSPITAL, PatientRef(value="1")).contact.do_not_contact
    assert found + ("; held" if held else "") == expected
