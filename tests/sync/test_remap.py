"""What is in force is what today's mapping says of the newest evidence: read again, or remapped from the codes that are kept (5.8)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Payload
from adapters.hl7v2.mapping import Hl7Mapper
from store.db.database import Database
from store.domain.lock import Actor
from store.domain.patient import Patient, PatientRef
from store.errors import NothingHeld
from store.holds.retire_source import Release
from store.holds.review import HeldReview
from store.patients.as_of import Past
from store.patients.preferences import Preferences
from store.runs.runs import Journal, Run
from sync.config.settings import SafeguardRule
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.adapters.hl7v2.messages import settings
from tests.factories import CLINIC, FEED, clinic
from tests.fakes import FakeClock

LANE = Lane(FEED, CLINIC)
RIGHT = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}}}
SWAPPED = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "no", "OK": "yes"}}}
PARTIAL = {"do_not_contact": {"from": "ZCP-2", "values": {"OK": "no"}}}
SILENT = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no_statement"}}}
ELSEWHERE = {"do_not_contact": {"from": "ZCP-3", "values": {"DNC": "yes", "OK": "no"}}}
PERSON = Actor("operator", "kim")
LOOSE = SafeguardRule(1_000_000, 100)
BEGIN = datetime(2026, 11, 1, 6, tzinfo=UTC)


def message(patient: str, code: str, minute: int, control: str = "") -> bytes:
    at = (BEGIN + timedelta(minutes=minute)).strftime("%Y%m%d%H%M%S+0000")
    lines = [f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|{at}||ADT^A08|{control or f'{patient}-{code}-{minute}'}|P|2.5.1", f"EVN|A08|{at}"]
    lines.append(f"PID|1||{patient}^^^GENHOSP^MR||Example^Pat||||||||(217)555-0123^PRN^CP")
    return "\r".join([*lines, f"ZCP|1|{code}"] if code else lines).encode()


class Site:
    """One live HL7 source over a real store, whose mapping changes."""

    def __init__(self, database: Database, safeguard: SafeguardRule = LOOSE) -> None:
        self.database, self.clock = database, FakeClock()
        self.store, self.journal = Preferences(database, {CLINIC: clinic()}), Journal(database)
        self.engine = Engine(database, self.store, self.journal, self.clock, Metrics(), batch_size=7, safeguards={CLINIC: safeguard})

    def mapper(self, mapping: Mapping[str, Any]) -> Hl7Mapper:
        return Hl7Mapper(replace(settings(), name=FEED, mapping=mapping, default_region="US"))

    def hear(self, mapping: Mapping[str, Any], *messages: bytes) -> list[str]:
        payloads = [Payload(body, f"test:{number}", self.clock()) for number, body in enumerate(messages)]
        return [one.outcome for one in self.engine.ingest(LANE, self.mapper(mapping), payloads)]

    def remap(self, mapping: Mapping[str, Any]) -> Run:
        return self.engine.remap(LANE, self.mapper(mapping))

    def patient(self, name: str) -> Patient:
        return self.store.find(CLINIC, PatientRef(value=name))

    def dnc(self, name: str) -> str:
        found, known = self.patient(name), self.store.known(CLINIC, [PatientRef(value=name)], self.clock())[0]
        assert known.contact == found.contact  # type: ignore[union-attr]
        return found.contact.do_not_contact

    def state(self, *names: str) -> list[Any]:
        """All that is in force, with its evidence."""
        return [
            {
                name: (one.value, one.assertion.effective, one.assertion.evidence_id)
                for name, one in self.patient(patient).preferences.items()
            }
            for patient in names
        ]


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


@pytest.mark.parametrize(("code", "right", "wrong"), [("DNC", "yes", "no"), ("OK", "no", "yes")])
def test_the_same_message_read_by_another_mapping_replaces_its_former_reading(site: Site, code: str, right: str, wrong: str) -> None:
    body = message("1", code, 0)
    for mapping, dnc in ((RIGHT, right), (SWAPPED, wrong), (RIGHT, right), (SWAPPED, wrong), (RIGHT, right)):
        assert site.hear(mapping, body) == ["applied"]
        assert site.dnc("1") == dnc
    assert site.hear(RIGHT, body) == ["unchanged"]


def test_three_messages_of_one_control_id_and_time_end_in_the_refusal(site: Site) -> None:
    for code in ("DNC", "OK", "DNC", "OK"):
        site.hear(RIGHT, message("1", code, 0, "SAME"))
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("codes", [["DNC"], ["OK"], ["DNC", "OK"], ["OK", "DNC"], ["DNC", "OK", "DNC"], ["OK", "OK", "DNC", "DNC", "OK"]])
def test_a_wrong_mapping_that_is_rolled_back_leaves_nothing(site: Site, codes: list[str]) -> None:
    bodies = [message("1", code, minute) for minute, code in enumerate(codes)]
    site.hear(RIGHT, *bodies)
    expected = site.state("1")
    site.remap(SWAPPED)
    assert site.dnc("1") == ("no" if codes[-1] == "DNC" else "yes")
    site.remap(RIGHT)
    assert site.state("1") == expected


@pytest.mark.parametrize("codes", [["DNC"], ["OK"], ["DNC", "OK"], ["OK", "DNC"], ["DNC", "OK", "DNC"]])
def test_what_came_while_the_mapping_was_wrong_is_as_though_it_never_was(site: Site, codes: list[str]) -> None:
    for minute, code in enumerate(codes):
        site.hear(SWAPPED, message("1", code, minute))
        site.hear(RIGHT, message("2", code, minute))
        site.hear(RIGHT if minute % 2 else SWAPPED, message("3", code, minute))
    site.remap(RIGHT)
    first, second, third = ({name: one[:2] for name, one in state.items()} for state in site.state("1", "2", "3"))
    assert first == second == third


def test_a_code_that_another_mapping_knows_settles_what_could_not_be_read(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 0))
    site.hear(RIGHT, message("1", "DNC", 1))
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.remap(RIGHT)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("yes", ())
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_a_code_that_means_nothing_leaves_what_was_stated_before_it(site: Site) -> None:
    site.hear(RIGHT, message("1", "DNC", 0), message("1", "OK", 1))
    assert site.dnc("1") == "no"
    site.remap(SILENT)
    assert site.dnc("1") == "yes"
    site.remap(RIGHT)
    assert site.dnc("1") == "no"


def test_codes_of_a_field_that_is_not_read_any_more_count_as_they_were_read(site: Site) -> None:
    site.hear(RIGHT, message("1", "DNC", 0))
    site.remap(ELSEWHERE)
    assert site.dnc("1") == "yes"


def test_a_message_without_the_field_says_nothing(site: Site) -> None:
    site.hear(RIGHT, message("1", "DNC", 0), message("1", "", 1))
    site.remap(SWAPPED)
    assert site.dnc("1") == "no"
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_the_next_message_of_any_kind_is_read_after_the_former_ones_are_read_again(site: Site) -> None:
    site.hear(SWAPPED, message("1", "DNC", 5))
    assert site.dnc("1") == "no"
    site.hear(RIGHT, message("1", "OK", 1))
    assert site.dnc("1") == "yes", "the late one is older than the DNC, which today's mapping reads as a refusal"


def test_a_run_is_weighed_as_a_whole_and_what_it_would_permit_waits(database: Database) -> None:
    site = Site(database, SafeguardRule(3, 0))
    names = [f"P{number}" for number in range(20)]
    site.hear(RIGHT, *(message(name, "DNC", 0) for name in names), *(message(f"n{name}", "OK", 0) for name in names))
    run = site.remap(SWAPPED)
    assert run.status == "held"
    assert {site.dnc(name) for name in names} == {"yes"}
    assert {site.dnc(f"n{name}") for name in names} == {"yes"}, "what refuses is applied at once"
    HeldReview(site.store, site.journal).approve(run.id, PERSON, site.clock())
    assert {site.dnc(name) for name in names} == {"no"}
    assert site.remap(RIGHT).status == "held"
    assert {site.dnc(name) for name in names} == {"yes"}


def test_a_run_that_was_stopped_is_gone_on_with_by_the_next(site: Site) -> None:
    names = [f"P{number}" for number in range(20)]
    site.hear(RIGHT, *(message(name, "OK", 0) for name in names))
    site.engine.stop.set()
    assert site.remap(SWAPPED).status == "stopped"
    site.engine.stop.clear()
    assert site.remap(SWAPPED).counts["applied"] == 13
    assert {site.dnc(name) for name in names} == {"yes"}
    assert site.remap(SWAPPED).counts.get("applied", 0) == 0


def test_the_history_says_what_changed_by_the_mapping_and_keeps_its_past(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 0))
    before, patient = site.clock(), site.patient("1").id
    site.clock.now += timedelta(minutes=1)
    site.remap(SWAPPED)
    entry = site.store.history(CLINIC, patient)[0]
    assert (entry.attribute, entry.before, entry.after, entry.reason) == ("do_not_contact", "no", "yes", "read with another mapping")
    with site.database.read() as connection:
        past = Past(site.database, connection, site.store.enterprises[CLINIC])
        assert past.patient(PatientRef(id=patient), before).contact.do_not_contact == "no"
        assert past.patient(PatientRef(id=patient), site.clock()).contact.do_not_contact == "yes"


def test_codes_survive_a_merge_and_a_refusal_of_either_record_stays(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 5), message("2", "DNC", 1))
    merge = merge_of("1", "2", 9)
    assert site.hear(RIGHT, merge)[0] == "merged"
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize(("code", "dnc", "unread"), [("DNC", "yes", 0), ("OK", "no", 0), ("DECLINED", "unknown", 1)])
def test_what_a_record_said_before_its_newest_code_counts_after_a_merge_where_that_says_nothing(
    site: Site, code: str, dnc: str, unread: int
) -> None:
    known = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no"}}}
    silent = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no_statement"}}}
    site.hear(known, message("1", "", 0), message("2", code, 1), message("2", "MAYBE", 2), merge_of("1", "2", 9))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap(silent)
    assert (site.dnc("1"), len(site.patient("1").unreadable)) == (dnc, unread)
    site.remap(known)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def merge_of(survivor: str, merged: str, minute: int) -> bytes:
    joined = message(survivor, "", minute, f"A40-{minute}").replace(b"ADT^A08", b"ADT^A40").replace(b"EVN|A08", b"EVN|A40")
    return joined + b"\rMRG|" + merged.encode() + b"^^^GENHOSP^MR"


def part(site: Site, merged: str) -> None:
    site.store.unmerge(CLINIC, PatientRef(value=merged), actor=PERSON, reason="two people", now=site.clock())


@pytest.mark.parametrize("heard_while", ["two", "one"])
@pytest.mark.parametrize("rolled_back_while", ["one", "two again"])
def test_each_of_two_records_that_were_parted_is_read_by_the_mapping_of_today(site: Site, heard_while: str, rolled_back_while: str) -> None:
    if heard_while == "one":
        site.hear(RIGHT, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1))
    site.hear(SWAPPED, message("1", "OK", 2), message("2", "DNC", 3))
    if heard_while == "two":
        site.hear(SWAPPED, merge_of("1", "2", 4))
    if rolled_back_while == "one":
        site.remap(RIGHT)
    part(site, "2")
    site.remap(RIGHT)
    assert site.dnc("2") == "yes"
    site.hear(RIGHT, message("1", "OK", 20))
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_a_refusal_that_both_records_keep_when_they_part_is_kept_by_any_mapping(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1), message("1", "DNC", 2))
    part(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")
    site.remap(SILENT)
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")
    site.remap(RIGHT)
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")


def test_what_could_not_be_read_of_two_records_stays_so_for_both_by_any_mapping_that_does_not_know_it(site: Site) -> None:
    site.hear(PARTIAL, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1), message("1", "DNC", 2))
    part(site, "2")
    site.remap({"do_not_contact": {"from": "ZCP-2", "values": {"OK": "no", "X": "yes"}}})
    assert [[one.attribute for one in site.patient(name).unreadable] for name in ("1", "2")] == [["do_not_contact"]] * 2


def test_a_retirement_that_is_undone_brings_back_the_codes(site: Site) -> None:
    site.hear(SWAPPED, message("1", "DNC", 0))
    assert site.dnc("1") == "no"
    work = Release(site.store, site.journal)
    work.release(FEED, PERSON, site.clock())
    work.undo(FEED, PERSON, site.clock())
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_a_message_that_came_again_counts_at_its_newest_time_by_any_mapping(site: Site) -> None:
    site.hear(RIGHT, message("1", "DNC", 0), message("1", "DNC", 5), message("1", "OK", 3))
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_a_record_that_said_the_same_again_before_a_merge_counts_at_its_newest_time(site: Site) -> None:
    site.hear(RIGHT, message("1", "DNC", 0), message("1", "DNC", 5), message("2", "OK", 3), merge_of("1", "2", 1))
    site.remap(SWAPPED)
    site.remap(RIGHT)
    part(site, "2")
    site.hear(RIGHT, message("1", "OK", 4))
    assert site.dnc("1") == "yes"


OTHERWISE = {**RIGHT, "preferred_method": {"from": "ZCP-3", "values": {"P": "voice"}}}


@pytest.mark.parametrize("before", [["OK"], [], ["DNC", "OK"]])
def test_a_mapping_that_changes_elsewhere_settles_nothing_that_could_not_be_read(site: Site, before: list[str]) -> None:
    site.hear(RIGHT, *(message("1", code, minute) for minute, code in enumerate(before)), message("1", "DECLINED", 5))
    site.hear(RIGHT, message("1", "", 6))
    site.remap(OTHERWISE)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.hear(RIGHT, message("1", "", 7))
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.hear(RIGHT, message("1", "OK", 8))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap(OTHERWISE)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def knowing(word: str, on_unknown: str = "reject") -> dict[str, Any]:
    """The right mapping with one code more."""
    values = {**RIGHT["do_not_contact"]["values"], "DECLINED": word}  # type: ignore[dict-item]
    return {"do_not_contact": {"from": "ZCP-2", "values": values, "on_unknown": on_unknown}}


@pytest.mark.parametrize("on_unknown", ["reject", "no_statement", "clear", "most_restrictive"])
@pytest.mark.parametrize(("word", "dnc"), [("yes", "yes"), ("no", "no")])
@pytest.mark.parametrize("code", ["DECLINED", "Declined"])
def test_a_code_that_no_table_knew_counts_once_a_mapping_knows_it(site: Site, on_unknown: str, word: str, dnc: str, code: str) -> None:
    forgetful = {"do_not_contact": {**RIGHT["do_not_contact"], "on_unknown": on_unknown}}
    site.hear(forgetful, message("1", "OK" if dnc == "yes" else "DNC", 0), message("1", code, 5))
    former = site.state("1"), site.patient("1").unreadable
    site.remap(knowing(word))
    assert (site.dnc("1"), site.patient("1").unreadable) == (dnc, ())
    site.remap(forgetful)
    assert [one.attribute for one in site.patient("1").unreadable] == [one.attribute for one in former[1]]
    assert {name: one[0] for name, one in site.state("1")[0].items()} == {name: one[0] for name, one in former[0][0].items()}


def test_the_text_of_a_code_that_no_table_knows_is_not_kept(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 0), message("1", "Pat Example", 5, "C2"))
    with site.database.read() as connection:
        kept = str(site.database.select(connection, "SELECT codes FROM assertions WHERE codes IS NOT NULL", []))
    assert ("OK" in kept, "Example" in kept) == (True, False)


def test_a_code_of_a_record_that_may_be_restricted_refuses_by_a_mapping_that_reads_a_refusal(site: Site) -> None:
    cleared = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "?": "unknown"}}}
    refused = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "?": "yes"}}}
    site.hear(cleared, message("1", "OK", 0), message("1", "?", 5).replace(b"\rZCP", b"\rPD1||||||||||||X?\rZCP"))
    assert site.dnc("1") == "no"
    site.remap(refused)
    assert site.dnc("1") == "yes"
    site.remap(cleared)
    assert site.dnc("1") == "no"


def test_more_codes_than_are_kept_push_out_no_refusal(site: Site) -> None:
    lax = {"do_not_contact": {**RIGHT["do_not_contact"], "on_unknown": "no_statement"}}
    site.hear(lax, message("1", "DNC", 0), *(message("1", f"note {number}", number) for number in range(1, 20)))
    assert site.dnc("1") == "yes"
    site.remap(OTHERWISE)
    assert site.dnc("1") == "yes"


def test_the_same_message_read_by_a_mapping_that_knows_its_code_settles_it_for_good(site: Site) -> None:
    knows = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "FINE": "no"}}}
    site.hear(RIGHT, message("1", "OK", 0), message("1", "FINE", 5))
    site.hear(knows, message("1", "FINE", 5))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap({**knows, "preferred_method": OTHERWISE["preferred_method"]})
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def held(site: Site, mapping: Mapping[str, Any], *bodies: bytes) -> str:
    """A run of the source whose permissions all wait."""
    payloads = [Payload(body, f"test:{number}", site.clock()) for number, body in enumerate(bodies)]
    return site.engine.feed(LANE, site.mapper(mapping), payloads).id


def test_what_was_held_and_approved_keeps_its_codes(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.hear(SWAPPED, message("1", "OK", 0))
    run = held(site, SWAPPED, message("1", "DNC", 5))
    HeldReview(site.store, site.journal).approve(run, PERSON, site.clock())
    assert site.dnc("1") == "no"
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_what_another_mapping_read_is_read_again_before_an_approval_lets_it_through(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.hear(RIGHT, message("1", "DNC", 0))
    run = held(site, SWAPPED, message("1", "DNC", 5))
    assert site.dnc("1") == "yes"
    site.remap(RIGHT)
    with suppress(NothingHeld):
        HeldReview(site.store, site.journal).approve(run, PERSON, site.clock())
    assert site.dnc("1") == "yes"
    site.remap(OTHERWISE)
    assert site.dnc("1") == "yes"
    site.hear(OTHERWISE, message("1", "OK", 3))
    assert site.dnc("1") == "yes", "the refusal of minute 5 is the newest evidence"


def test_a_remap_that_is_held_and_rolled_back_permits_nothing_when_it_is_approved(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.hear(RIGHT, message("1", "DNC", 0))
    run = site.remap(SWAPPED)
    assert run.status == "held"
    site.remap(RIGHT)
    with suppress(NothingHeld):
        HeldReview(site.store, site.journal).approve(run.id, PERSON, site.clock())
    assert site.dnc("1") == "yes"


FIRM = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "yes"}}}
BOTH_NO = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "no", "OK": "no", "MAYBE": "no"}}}
MAYBE_SILENT = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no_statement"}}}


def test_what_a_reading_permitted_is_no_new_evidence_for_the_next_one(site: Site) -> None:
    """A run lets it through at its end; the codes are still as old as they came."""
    site.hear(FIRM, message("1", "DNC", 0), message("1", "MAYBE", 5))
    site.remap(BOTH_NO)
    assert site.dnc("1") == "no"
    site.remap(MAYBE_SILENT)
    assert site.dnc("1") == "yes"


def test_a_permission_that_another_reading_had_taken_for_granted_comes_back(site: Site) -> None:
    site.hear(FIRM, message("1", "DNC", 0), message("1", "OK", 5))
    site.remap(SWAPPED)
    assert site.dnc("1") == "yes"
    site.remap(FIRM)
    assert site.dnc("1") == "no"


def test_a_code_that_is_not_known_any_more_leaves_two_records_that_are_one_unreadable(site: Site) -> None:
    site.hear(FIRM, message("1", "DNC", 0), message("2", "", 0), merge_of("1", "2", 3))
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_the_very_same_message_is_no_newer_when_it_comes_again(site: Site) -> None:
    """Dated an hour ahead: its time ends at its first receipt."""
    ahead = message("1", "OK", 120)  # the clock is at minute 60
    site.clock.now = BEGIN + timedelta(minutes=60)
    site.hear(RIGHT, ahead)
    site.clock.now = BEGIN + timedelta(minutes=180)
    site.hear(RIGHT, ahead)
    site.hear(RIGHT, message("1", "DNC", 65))
    assert site.dnc("1") == "yes"


def test_a_merge_dated_by_its_year_holds_nothing_back_that_comes_after_its_receipt(site: Site) -> None:
    site.hear(RIGHT, message("1", "OK", 0), message("2", "DNC", 1))
    at = (BEGIN + timedelta(minutes=9)).strftime("%Y%m%d%H%M%S+0000").encode()
    site.hear(RIGHT, merge_of("1", "2", 9).replace(at, b"2026"))
    assert site.dnc("1") == "yes"
    later = int((site.clock() - BEGIN).total_seconds()) // 60 + 5
    site.clock.now += timedelta(hours=1)
    site.hear(RIGHT, message("1", "OK", later))
    assert site.dnc("1") == "no"


def undated(code: str, control: str, time: str = "") -> bytes:
    return message("1", code, 0, control).replace(b"20261101060000+0000", time.encode())


@pytest.mark.parametrize("time", ["", "202611+0000", "not a time", "20261102120000+0000"], ids=["none", "a month", "unreadable", "ahead"])
@pytest.mark.parametrize(("early", "late"), [("DNC", "OK"), ("OK", "DNC")])
def test_a_message_that_another_mapping_reads_again_is_no_later_than_it_came_first(site: Site, time: str, early: str, late: str) -> None:
    site.hear(RIGHT, undated(early, "C1", time))
    site.clock.now += timedelta(days=2)
    hour = site.clock().strftime("%Y%m%d%H%M%S+0000")
    site.hear(RIGHT, undated(late, "C2", hour))
    for mapping in (OTHERWISE, RIGHT):
        site.clock.now += timedelta(days=2)
        site.hear(mapping, undated(early, "C1", time))
        assert site.dnc("1") == ("no" if late == "OK" else "yes")


def test_of_two_messages_of_one_time_the_one_that_can_be_read_settles_nothing_of_the_other(site: Site) -> None:
    silent = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "DECLINED": "no_statement"}}}
    unread, other = message("1", "DECLINED", 5, "C1"), message("1", "OK", 5, "C2")
    site.hear(RIGHT, unread, other)
    site.remap(silent)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.hear(silent, unread)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_what_an_older_code_of_a_record_says_stands_though_it_waited_for_the_safeguard(site: Site) -> None:
    """The safeguard of a run lets through at its end what it held while it counted."""
    first = {"preferred_method": {"from": "ZCP-2", "values": {"T": "sms", "Q": "none"}}}
    then = {"preferred_method": {"from": "ZCP-2", "values": {"T": "voice", "Q": "no_statement"}}}
    site.hear(first, message("2", "T", 1), message("2", "Q", 2), merge_of("1", "2", 9))
    assert site.patient("1").contact.preferred_method == "none"
    site.remap(then)
    assert site.patient("1").contact.preferred_method == "voice"


@pytest.mark.parametrize("refused", ["1", "2"])
def test_a_refusal_that_a_merge_kept_over_a_newer_permission_stays(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.hear(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5), merge_of("1", "2", 3))
    before = site.state("1")
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.state("1") == before


@pytest.mark.parametrize("refused", ["1", "2"])
def test_a_merge_under_a_wrong_mapping_loses_no_refusal_of_a_record(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.hear(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5))
    site.hear(SWAPPED, merge_of("1", "2", 3), message("2", "DNC", 2))
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("refused", ["1", "2"])
def test_what_was_stated_since_a_merge_stands_when_it_is_remapped(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.hear(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5), merge_of("1", "2", 3), message("1", "OK", 7))
    assert site.dnc("1") == "no"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "no"


def test_reading_again_after_a_merge_loses_no_refusal_of_a_record(site: Site) -> None:
    body = message("1", "OK", 4)
    site.hear(RIGHT, message("1", "DNC", 0), message("2", "OK", 5))
    site.hear(SWAPPED, merge_of("1", "2", 3), body)
    assert site.dnc("1") == "yes"
    site.hear(RIGHT, body)
    assert site.dnc("1") == "yes"
