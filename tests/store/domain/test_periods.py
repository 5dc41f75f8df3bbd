"""Statements with a period are kept with it and count at the moment asked about, on every path that reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from store.domain.decision import Decision, decide
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.errors import StoreError
from store.holds.falling_due import DueChanges
from store.holds.gate import HoldAll
from store.preference import Codes, Later, PatientStatements, Statement
from tests.store.site import ADT, FHIR, HOME, HOSPITAL, SYNCED, Site, at, cell, merges, says

ACTOR = Actor(Role.ENTERPRISE, "pat")
SMS, DNC = "consent.sms", "do_not_contact"
DAY = 86_400
FIRST, LAST = at(30 * DAY), at(60 * DAY)
"""A period begins and ends in the future of a site, whose clock is at 10,000 seconds."""


def dated(
    seconds: float,
    *later: tuple[str, datetime, Any],
    said: dict[str, Any] | None = None,
    record: str = "Consent/c1",
    version: int = 1,
    patient: str = "1",
    **rest: Any,
) -> PatientStatements:
    """A version of a record with a period: what it states now, and what it will state from which moment on."""
    item = says(patient, seconds, said, evidence=f"{record}/_history/{version}", version=version, **rest)
    return replace(item, later=tuple(Later(name, due, value, f"at/{name}") for name, due, value in later))


def deny(seconds: float = 0, start: datetime | None = FIRST, end: datetime | None = None, **rest: Any) -> PatientStatements:
    """A refusal of texts for a period."""
    return _of_period("denied", seconds, start, end, **rest)


def permit(seconds: float = 0, start: datetime | None = FIRST, end: datetime | None = None, **rest: Any) -> PatientStatements:
    """A permission of texts for a period."""
    return _of_period("granted", seconds, start, end, **rest)


def _of_period(value: str, seconds: float, start: datetime | None, end: datetime | None, **rest: Any) -> PatientStatements:
    begins = [(SMS, start, value)] if start else []
    ends = [(SMS, end, None)] if end else []
    return dated(seconds, *begins, *ends, said={} if start else {SMS: value}, **rest)


def phones(site: Site, *patients: str) -> None:
    site.apply(*(says(patient, 0, {"phones": (cell(),)}, evidence=f"P{patient}") for patient in patients or ("1",)), source=ADT)


def ask(site: Site, when: datetime | None = None, patient: str = "1", *, now: datetime | None = None) -> Decision:
    """A broadcast by text, to be sent then."""
    now = now or site.now
    found = site.store.known(HOSPITAL, [PatientRef(authority="GENHOSP", value=patient)], now)[0]
    assert not isinstance(found, StoreError)
    return decide(DecisionRequest(message_type="broadcast", channels=("sms",), at=when), found, Policy(), now)


def sheet(site: Site, now: datetime, patient: str = "1") -> str:
    """The consent on the facesheet, as of now."""
    found = site.store.find(HOSPITAL, PatientRef(authority="GENHOSP", value=patient), now)
    return found.contact.consents.get("sms", "unknown")


def fall_due(site: Site, now: datetime, guard: Any = None) -> int:
    site.now = max(site.now, now)
    return DueChanges(site.store, guard, chunk=2).run(HOSPITAL, now)


def stored(site: Site, patient: str = "1") -> str:
    """The consent as it was last written."""
    return site.find(patient).contact.consents.get("sms", "unknown")


def feed(site: Site, after: int = 0) -> list[Any]:
    return site.store.changes(HOSPITAL, after, 1_000)


def dues(site: Site) -> list[Any]:
    with site.database.read() as connection:
        return [row[0] for row in site.database.select(connection, "SELECT due FROM patients WHERE due IS NOT NULL", [])]


def second(moment: datetime, seconds: float = 1) -> datetime:
    return moment + timedelta(seconds=seconds)


# A refusal


def test_a_refusal_counts_from_its_start_and_until_its_end(site: Site) -> None:
    phones(site)
    site.apply(deny(end=LAST), source=FHIR)
    asked = {moment: ask(site, moment).decision for moment in (None, second(FIRST, -1), FIRST, second(LAST, -1), LAST)}
    assert list(asked.values()) == ["send", "send", "do_not_send", "do_not_send", "send"]


def test_a_refusal_that_began_is_applied_at_once_and_written_by_housekeeping(site: Site) -> None:
    phones(site)
    site.apply(deny(), source=FHIR)
    last, version = feed(site)[-1].seq, site.find("1").version
    assert (ask(site, now=FIRST).decision, sheet(site, FIRST), stored(site)) == ("do_not_send", "denied", "unknown")
    assert fall_due(site, FIRST) == 1
    assert (ask(site, now=FIRST).decision, sheet(site, FIRST), stored(site)) == ("do_not_send", "denied", "denied")
    assert [(one.version, one.attributes) for one in feed(site, last)] == [(version + 1, (SMS,))]
    assert fall_due(site, FIRST) == 0
    assert dues(site) == []


def test_the_history_names_the_record(site: Site) -> None:
    site.apply(deny(), source=FHIR)
    fall_due(site, FIRST)
    entry = site.store.history(HOSPITAL, site.find("1").id)[0]
    assert (entry.attribute, entry.before, entry.after, entry.evidence_id) == (SMS, None, "denied", "Consent/c1/_history/1")


def test_evidence_of_a_decision_before_it_is_written_names_the_record(site: Site) -> None:
    phones(site)
    site.apply(deny(), source=FHIR)
    evidence = [one.id for one in ask(site, now=FIRST).evidence if one.attribute == SMS]
    assert evidence == ["Consent/c1/_history/1"]


def test_a_refusal_is_taken_back_at_its_end_only_and_by_housekeeping(site: Site) -> None:
    phones(site)
    site.apply(deny(start=None, end=LAST), source=FHIR)
    assert ask(site).decision == "do_not_send"
    assert ask(site, now=second(LAST, -1)).decision == "do_not_send"
    assert ask(site, now=LAST).decision == "do_not_send", "the safeguard has not looked at it"
    assert fall_due(site, LAST) == 1
    assert (ask(site, now=LAST).decision, stored(site)) == ("send", "unknown")


def test_an_end_does_not_take_back_what_another_record_refused_before(site: Site) -> None:
    site.apply(says("1", 0, {SMS: "denied"}, evidence="Consent/c2/_history/1"), source=FHIR)
    site.apply(deny(10, start=None, end=LAST), source=FHIR)
    fall_due(site, LAST)
    assert stored(site) == "denied"


def test_nor_what_another_record_refused_since_or_refuses_by_a_late_message(site: Site) -> None:
    for patient, seconds in (("1", 20), ("2", 5)):
        site.apply(deny(10, start=None, end=LAST, patient=patient), source=FHIR)
        site.apply(says(patient, seconds, {SMS: "denied"}, evidence="Consent/c2/_history/1"), source=FHIR)
    fall_due(site, LAST)
    assert [stored(site, patient) for patient in "12"] == ["denied", "denied"]


def test_newer_permission_of_another_record_is_not_undone_by_an_older_refusal_that_begins(site: Site) -> None:
    site.apply(deny(10), source=FHIR)
    site.apply(says("1", 20, {SMS: "granted"}, evidence="Consent/c2/_history/1"), source=FHIR)
    fall_due(site, FIRST)
    assert stored(site) == "granted"


def test_where_nobody_can_tell_which_is_newer_the_refusal_that_begins_counts(site: Site) -> None:
    site.apply(deny(20), source=FHIR)
    site.apply(says("1", 20, {SMS: "granted"}, evidence="Consent/c2/_history/1"), source=FHIR)
    fall_due(site, FIRST)
    assert stored(site) == "denied"


def test_an_older_version_of_the_record_that_comes_late_changes_nothing(site: Site) -> None:
    site.apply(deny(20, version=2), source=FHIR)
    assert site.apply(permit(10, start=at(20_000), version=1), source=FHIR) == ["unchanged"]
    fall_due(site, at(20_001))
    assert stored(site) == "unknown"
    fall_due(site, FIRST)
    assert stored(site) == "denied"


def test_a_newer_version_without_the_period_takes_it_away(site: Site) -> None:
    site.apply(deny(10), source=FHIR)
    site.apply(dated(20, version=2, said={SMS: "granted"}), source=FHIR)
    assert (fall_due(site, FIRST), stored(site), dues(site)) == (0, "granted", [])


# A permission


def test_a_permission_never_counts_outside_its_period(site: Site) -> None:
    site.apply(permit(end=LAST), source=FHIR)
    seen = []
    for now in (second(FIRST, -1), FIRST, second(LAST, -1), LAST):
        seen.append(sheet(site, now))
        fall_due(site, now)
        assert sheet(site, now) == seen[-1] == stored(site)
    assert seen == ["unknown", "granted", "granted", "unknown"]


def test_a_permission_lifts_a_refusal_within_its_period_only_once_the_safeguard_looked(site: Site) -> None:
    phones(site)
    site.apply(says("1", 0, {SMS: "denied"}, evidence="Consent/c2/_history/1"), source=FHIR)
    site.apply(permit(10), source=FHIR)
    assert (stored(site), sheet(site, FIRST)) == ("denied", "denied")
    assert ask(site, FIRST).decision == "send", "asked ahead of the day"
    assert ask(site, now=FIRST).decision == "do_not_send"
    fall_due(site, FIRST)
    assert ask(site, now=FIRST).decision == "send"


def test_the_end_of_a_permission_takes_back_no_refusal_of_another_record(site: Site) -> None:
    site.apply(says("1", 0, {SMS: "denied"}, evidence="Consent/c2/_history/1"), source=FHIR)
    site.apply(permit(10, start=None, end=LAST), source=FHIR)
    site.apply(says("1", 20, {SMS: "denied"}, evidence="Consent/c3/_history/1"), source=FHIR)
    fall_due(site, LAST)
    assert stored(site) == "denied"


def test_what_was_permitted_without_a_period_counts_no_more_once_the_record_has_one(site: Site) -> None:
    site.apply(dated(0, said={SMS: "granted"}), source=FHIR)
    site.apply(permit(10, version=2), source=FHIR)
    assert stored(site) == "unknown"
    fall_due(site, FIRST)
    assert stored(site) == "granted"


def test_what_was_refused_without_a_period_goes_on_until_something_replaces_it(site: Site) -> None:
    site.apply(dated(0, said={SMS: "denied"}), source=FHIR)
    site.apply(deny(10, version=2, end=LAST), source=FHIR)
    assert stored(site) == "denied"
    fall_due(site, FIRST)
    assert stored(site) == "denied"
    fall_due(site, LAST)
    assert stored(site) == "unknown"


# Whoever else reads and writes


def test_a_payload_with_another_period_is_no_repeat(site: Site) -> None:
    site.apply(deny(0), source=FHIR)
    assert site.apply(deny(0), source=FHIR) == ["unchanged"]
    assert site.apply(deny(0, start=LAST), source=FHIR) == ["applied"]
    fall_due(site, FIRST)
    assert stored(site) == "unknown"
    fall_due(site, LAST)
    assert stored(site) == "denied"


def test_read_again_in_its_period_the_record_changes_nothing(site: Site) -> None:
    site.apply(deny(0, end=LAST), source=FHIR)
    fall_due(site, FIRST)
    assert site.apply(deny(0, start=None, end=LAST), source=FHIR) == ["unchanged"]
    fall_due(site, LAST)
    assert stored(site) == "unknown"


def test_every_attribute_has_its_period(site: Site) -> None:
    said = {DNC: "yes", "preferred_method": "none", "topic.billing.sms": "denied", "email": ("new@example.com",), "consent.voice": "denied"}
    site.apply(says("1", 0, {"email": ("old@example.com",)}, evidence="Patient/1/_history/1"), source=FHIR)
    site.apply(dated(10, *((name, FIRST, value) for name, value in said.items())), source=FHIR)
    before = site.find("1").contact
    known = site.store.known(HOSPITAL, [PatientRef(authority="GENHOSP", value="1")], FIRST)[0]
    fall_due(site, FIRST)
    after = site.find("1").contact
    assert not isinstance(known, StoreError)
    assert known.contact == after != before
    assert (after.do_not_contact, after.preferred_method, after.topics, after.emails, after.consents) == (
        "yes", "none", {"billing.sms": "denied"}, ("new@example.com",), {"voice": "denied"}
    )  # fmt: skip


def test_a_number_that_comes_into_use_is_in_the_feed_on_its_day(site: Site) -> None:
    numbers = (cell(), cell(HOME)._replace(start=f"{FIRST:%Y-%m-%d}"))
    site.apply(dated(0, ("phones", FIRST, numbers), said={"phones": numbers}, record="Patient/1"), source=FHIR)
    (line,) = feed(site)
    assert (fall_due(site, FIRST - timedelta(seconds=1)), feed(site, line.seq)) == (0, [])
    assert fall_due(site, FIRST) == 1
    (line,) = feed(site, line.seq)
    assert site.find("1").contact.phones == numbers
    assert (fall_due(site, LAST), feed(site, line.seq)) == (0, [])


def test_without_sync_it_has_no_effect(site: Site) -> None:
    local = site.configured(replace(SYNCED, syncs=False))
    local.apply(dated(0, (DNC, FIRST, "yes")), source=FHIR)
    fall_due(local, FIRST)
    assert (local.dnc("1"), site.configured(SYNCED).value("1", DNC)) == ("unknown", "yes")


def test_a_restricted_record_takes_nothing_back_by_a_period(site: Site) -> None:
    site.apply(dated(0, (SMS, LAST, None), said={SMS: "denied", "restricted": True}, restricted=True), source=FHIR)
    assert (fall_due(site, LAST), stored(site)) == (0, "denied")


def test_a_patient_whom_a_period_made_known_is_in_the_feed(site: Site) -> None:
    site.apply(deny(), source=FHIR)
    assert [one.version for one in feed(site)] == [1]
    site.apply(says("2", 0, {"language": "en"}))
    last = feed(site)[-1].seq
    site.apply(deny(patient="2"), source=FHIR)
    assert len(feed(site, last)) == 1


def test_a_merge_takes_along_what_is_ahead_and_an_unmerge_brings_it_back(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(deny(patient="2"), source=FHIR)
    site.apply(merges("1", "2"))
    assert (ask(site, FIRST).decision, sheet(site, FIRST)) == ("do_not_send", "denied")
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    assert [ask(site, FIRST, patient).decision for patient in "12"] == ["send", "do_not_send"]
    fall_due(site, FIRST)
    assert [stored(site, patient) for patient in "12"] == ["unknown", "denied"]


def test_a_refusal_to_begin_that_was_stated_while_two_were_one_is_ahead_of_both(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(merges("1", "2", 100))
    site.apply(deny(200, patient="2"), source=FHIR)
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    assert [ask(site, FIRST, patient).decision for patient in "12"] == ["do_not_send", "do_not_send"]
    fall_due(site, FIRST)
    assert [stored(site, patient) for patient in "12"] == ["denied", "denied"]


def test_undone_the_survivor_keeps_no_permission_of_the_other(site: Site) -> None:
    site.apply(says("1", 0, {"language": "en"}), permit(patient="2"), source=FHIR)
    site.apply(merges("1", "2"))
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    fall_due(site, FIRST)
    assert [stored(site, patient) for patient in "12"] == ["unknown", "granted"]


# The safeguard


@pytest.fixture
def refusing(site: Site) -> Site:
    """Four patients whose refusals end at once, and one whose refusal begins then."""
    site.apply(*(deny(start=None, end=LAST, patient=patient, record=f"Consent/{patient}") for patient in "1234"), source=FHIR)
    site.apply(deny(start=LAST, patient="5", record="Consent/5"), source=FHIR)
    return site


class TwoOnly(HoldAll):
    """Admits two patients."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.left = 2

    def admits(self, patient: int) -> bool:
        self.left -= 1
        return self.left >= 0


def held(site: Site) -> list[tuple[Any, ...]]:
    sql = "SELECT attribute, direction, run_id, evidence_id FROM held_statements WHERE state = 'held' ORDER BY evidence_id"
    with site.database.read() as connection:
        return [tuple(row) for row in site.database.select(connection, sql, [])]


def test_refusals_that_end_are_held_and_one_that_begins_is_applied(refusing: Site) -> None:
    assert fall_due(refusing, LAST, lambda *_: HoldAll("run_1")) == 5
    assert [stored(refusing, patient) for patient in "12345"] == ["denied"] * 5
    assert held(refusing) == [(SMS, "denied->unknown", "run_1", f"Consent/{patient}/_history/1") for patient in "1234"]
    assert [ask(refusing, now=second(LAST), patient=patient).decision for patient in "12345"] == ["do_not_send"] * 5
    assert fall_due(refusing, second(LAST), lambda *_: HoldAll("run_1")) == 0, "held once"


def test_what_the_safeguard_admits_is_taken_back(refusing: Site) -> None:
    guard = TwoOnly("run_1")
    fall_due(refusing, LAST, lambda *_: guard)
    assert sorted(stored(refusing, patient) for patient in "1234") == ["denied", "denied", "unknown", "unknown"]
    assert len(held(refusing)) == 2


def test_a_held_permission_is_history_once_its_period_is_over(site: Site) -> None:
    site.apply(says("1", 0, {SMS: "denied"}, evidence="Consent/c2/_history/1"), source=FHIR)
    site.apply(permit(10, end=LAST), source=FHIR)
    fall_due(site, FIRST, lambda *_: HoldAll("run_1"))
    assert [one[1] for one in held(site)] == ["denied->granted"]
    fall_due(site, LAST, lambda *_: HoldAll("run_1"))
    assert (held(site), stored(site)) == ([], "denied")


class ReadsDenied:
    """Reads every code of its own field as denied."""

    mapping = "m2"

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement, None] | None:
        return (Statement("denied", "x"), None) if codes.place == "x" else None


def test_codes_that_are_read_again_bring_no_permission_back_whose_period_is_over(site: Site) -> None:
    coded = says("1", 0, {SMS: "denied"}, mapping="m1", codes={SMS: Codes("x", (("01", "x"),))})
    site.apply(coded, permit(10, start=None, end=LAST, mapping="m1"), source=FHIR)
    fall_due(site, LAST)
    assert stored(site) == "denied"  # what the other record said before
    site.store.reads_by(FHIR, ReadsDenied())
    site.apply(says("1", 20, {"language": "en"}, mapping="m2"), source=FHIR)
    assert stored(site) == "denied"


def test_a_list_that_was_stated_again_as_a_whole_replaces_what_was_ahead_of_it(site: Site) -> None:
    mail, due = "email#PID-13", at(30 * DAY)
    for number in range(3):
        site.apply(dated(number, (mail, due, ("new@example.org",)), said={mail: ("old@example.org",)}, record=f"C{number}"), source=ADT)
    assert ahead(site) == [mail]
    site.apply(says("1", 5, {mail: ("third@example.org",)}, evidence="C9"), source=ADT)
    assert ahead(site) == dues(site) == []
    site.apply(dated(2, (mail, due, ("late@example.org",)), said={mail: ("late@example.org",)}, record="C2b"), source=ADT)
    fall_due(site, at(31 * DAY))
    assert site.find("1").contact.emails == ("third@example.org",)


def ahead(site: Site) -> list[str]:
    with site.database.read() as connection:
        return [row[0] for row in site.database.select(connection, "SELECT attribute FROM statements_ahead", [])]


@pytest.mark.parametrize("queries_before", range(6))
def test_a_refusal_that_is_applied_while_a_decision_reads_the_patient_counts(site: Site, queries_before: int) -> None:
    phones(site)
    site.apply(deny(), source=FHIR)
    seen: list[str] = []

    def between(_: Any, __: Any, query: str, *more: Any) -> None:
        seen.append(query)
        if len(seen) == queries_before + 1:
            fall_due(site, FIRST)

    event.listen(site.store.database.engine, "before_cursor_execute", between)
    assert ask(site, now=FIRST).decision == "do_not_send"
    assert len(seen) > queries_before
