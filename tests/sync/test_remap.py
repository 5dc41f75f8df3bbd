"""The value in force is the current mapping of the newest evidence: reread, or remapped from the stored codes (5.8)."""

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
from sync.replay import replay
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
    """One live HL7 source with a changing mapping, over a real store."""

    def __init__(self, database: Database, safeguard: SafeguardRule = LOOSE) -> None:
        self.database, self.clock = database, FakeClock()
        self.store, self.journal = Preferences(database, {CLINIC: clinic()}), Journal(database)
        self.engine = Engine(database, self.store, self.journal, self.clock, Metrics(), batch_size=7, safeguards={CLINIC: safeguard})

    def mapper(self, mapping: Mapping[str, Any]) -> Hl7Mapper:
        return Hl7Mapper(replace(settings(), name=FEED, mapping=mapping, default_region="US"))

    def receive(self, mapping: Mapping[str, Any], *messages: bytes) -> list[str]:
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
        """All values in force, with their evidence."""
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
def test_rereading_a_message_with_another_mapping_replaces_its_former_result(site: Site, code: str, right: str, wrong: str) -> None:
    body = message("1", code, 0)
    for mapping, dnc in ((RIGHT, right), (SWAPPED, wrong), (RIGHT, right), (SWAPPED, wrong), (RIGHT, right)):
        assert site.receive(mapping, body) == ["applied"]
        assert site.dnc("1") == dnc
    assert site.receive(RIGHT, body) == ["unchanged"]


def test_of_three_messages_with_one_control_id_and_time_the_refusal_wins(site: Site) -> None:
    for code in ("DNC", "OK", "DNC", "OK"):
        site.receive(RIGHT, message("1", code, 0, "SAME"))
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("codes", [["DNC"], ["OK"], ["DNC", "OK"], ["OK", "DNC"], ["DNC", "OK", "DNC"], ["OK", "OK", "DNC", "DNC", "OK"]])
def test_rolling_back_a_wrong_mapping_leaves_no_trace(site: Site, codes: list[str]) -> None:
    bodies = [message("1", code, minute) for minute, code in enumerate(codes)]
    site.receive(RIGHT, *bodies)
    expected = site.state("1")
    site.remap(SWAPPED)
    assert site.dnc("1") == ("no" if codes[-1] == "DNC" else "yes")
    site.remap(RIGHT)
    assert site.state("1") == expected


@pytest.mark.parametrize("codes", [["DNC"], ["OK"], ["DNC", "OK"], ["OK", "DNC"], ["DNC", "OK", "DNC"]])
def test_messages_received_under_a_wrong_mapping_end_as_under_the_right_one(site: Site, codes: list[str]) -> None:
    for minute, code in enumerate(codes):
        site.receive(SWAPPED, message("1", code, minute))
        site.receive(RIGHT, message("2", code, minute))
        site.receive(RIGHT if minute % 2 else SWAPPED, message("3", code, minute))
    site.remap(RIGHT)
    first, second, third = ({name: one[:2] for name, one in state.items()} for state in site.state("1", "2", "3"))
    assert first == second == third


def test_a_code_known_to_another_mapping_resolves_an_unreadable_value(site: Site) -> None:
    site.receive(RIGHT, message("1", "OK", 0))
    site.receive(RIGHT, message("1", "DNC", 1))
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.remap(RIGHT)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("yes", ())
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_a_code_without_meaning_keeps_the_earlier_statement(site: Site) -> None:
    site.receive(RIGHT, message("1", "DNC", 0), message("1", "OK", 1))
    assert site.dnc("1") == "no"
    site.remap(SILENT)
    assert site.dnc("1") == "yes"
    site.remap(RIGHT)
    assert site.dnc("1") == "no"


def test_codes_of_a_field_no_longer_mapped_keep_their_last_reading(site: Site) -> None:
    site.receive(RIGHT, message("1", "DNC", 0))
    site.remap(ELSEWHERE)
    assert site.dnc("1") == "yes"


def test_a_message_without_the_field_states_nothing(site: Site) -> None:
    site.receive(RIGHT, message("1", "DNC", 0), message("1", "", 1))
    site.remap(SWAPPED)
    assert site.dnc("1") == "no"
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_earlier_messages_are_reread_before_the_next_message(site: Site) -> None:
    site.receive(SWAPPED, message("1", "DNC", 5))
    assert site.dnc("1") == "no"
    site.receive(RIGHT, message("1", "OK", 1))
    assert site.dnc("1") == "yes", "the late message is older than the DNC, which the current mapping reads as a refusal"


def test_the_safeguard_weighs_a_remap_as_one_run(database: Database) -> None:
    site = Site(database, SafeguardRule(3, 0))
    names = [f"P{number}" for number in range(20)]
    site.receive(RIGHT, *(message(name, "DNC", 0) for name in names), *(message(f"n{name}", "OK", 0) for name in names))
    run = site.remap(SWAPPED)
    assert run.status == "held"
    assert {site.dnc(name) for name in names} == {"yes"}
    assert {site.dnc(f"n{name}") for name in names} == {"yes"}, "opt-outs are applied at once"
    HeldReview(site.store, site.journal).approve(run.id, PERSON, site.clock())
    assert {site.dnc(name) for name in names} == {"no"}
    assert site.remap(RIGHT).status == "held"
    assert {site.dnc(name) for name in names} == {"yes"}


def test_the_next_run_continues_a_stopped_remap(site: Site) -> None:
    names = [f"P{number}" for number in range(20)]
    site.receive(RIGHT, *(message(name, "OK", 0) for name in names))
    site.engine.stop.set()
    assert site.remap(SWAPPED).status == "stopped"
    site.engine.stop.clear()
    assert site.remap(SWAPPED).counts["applied"] == 13
    assert {site.dnc(name) for name in names} == {"yes"}
    assert site.remap(SWAPPED).counts.get("applied", 0) == 0


def test_the_history_shows_mapping_changes_and_keeps_earlier_rows(site: Site) -> None:
    site.receive(RIGHT, message("1", "OK", 0))
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
    site.receive(RIGHT, message("1", "OK", 5), message("2", "DNC", 1))
    merge = merge_of("1", "2", 9)
    assert site.receive(RIGHT, merge)[0] == "merged"
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize(("code", "dnc", "unread"), [("DNC", "yes", 0), ("OK", "no", 0), ("DECLINED", "unknown", 1)])
def test_after_a_merge_an_earlier_code_counts_if_the_newest_states_nothing(site: Site, code: str, dnc: str, unread: int) -> None:
    known = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no"}}}
    silent = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no_statement"}}}
    site.receive(known, message("1", "", 0), message("2", code, 1), message("2", "MAYBE", 2), merge_of("1", "2", 9))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap(silent)
    assert (site.dnc("1"), len(site.patient("1").unreadable)) == (dnc, unread)
    site.remap(known)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def merge_of(survivor: str, merged: str, minute: int) -> bytes:
    joined = message(survivor, "", minute, f"A40-{minute}").replace(b"ADT^A08", b"ADT^A40").replace(b"EVN|A08", b"EVN|A40")
    return joined + b"\rMRG|" + merged.encode() + b"^^^GENHOSP^MR"


def unmerge(site: Site, merged: str) -> None:
    site.store.unmerge(CLINIC, PatientRef(value=merged), actor=PERSON, reason="two people", now=site.clock())


@pytest.mark.parametrize("heard_while", ["two", "one"])
@pytest.mark.parametrize("rolled_back_while", ["one", "two again"])
def test_after_an_unmerge_both_records_are_read_with_the_current_mapping(site: Site, heard_while: str, rolled_back_while: str) -> None:
    if heard_while == "one":
        site.receive(RIGHT, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1))
    site.receive(SWAPPED, message("1", "OK", 2), message("2", "DNC", 3))
    if heard_while == "two":
        site.receive(SWAPPED, merge_of("1", "2", 4))
    if rolled_back_while == "one":
        site.remap(RIGHT)
    unmerge(site, "2")
    site.remap(RIGHT)
    assert site.dnc("2") == "yes"
    site.receive(RIGHT, message("1", "OK", 20))
    assert (site.dnc("1"), site.dnc("2")) == ("no", "yes")


def test_a_refusal_kept_by_both_records_at_an_unmerge_survives_any_mapping(site: Site) -> None:
    site.receive(RIGHT, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1), message("1", "DNC", 2))
    unmerge(site, "2")
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")
    site.remap(SILENT)
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")
    site.remap(RIGHT)
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")


def test_an_unreadable_code_of_two_records_stays_unreadable_for_both_until_a_mapping_knows_it(site: Site) -> None:
    site.receive(PARTIAL, message("1", "OK", 0), message("2", "OK", 0), merge_of("1", "2", 1), message("1", "DNC", 2))
    unmerge(site, "2")
    site.remap({"do_not_contact": {"from": "ZCP-2", "values": {"OK": "no", "X": "yes"}}})
    assert [[one.attribute for one in site.patient(name).unreadable] for name in ("1", "2")] == [["do_not_contact"]] * 2


def test_undoing_a_retirement_restores_the_codes(site: Site) -> None:
    site.receive(SWAPPED, message("1", "DNC", 0))
    assert site.dnc("1") == "no"
    work = Release(site.store, site.journal)
    work.release(FEED, PERSON, site.clock())
    work.undo(FEED, PERSON, site.clock())
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_a_repeated_message_counts_at_its_newest_time_under_any_mapping(site: Site) -> None:
    site.receive(RIGHT, message("1", "DNC", 0), message("1", "DNC", 5), message("1", "OK", 3))
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_a_statement_repeated_before_a_merge_counts_at_its_newest_time(site: Site) -> None:
    site.receive(RIGHT, message("1", "DNC", 0), message("1", "DNC", 5), message("2", "OK", 3), merge_of("1", "2", 1))
    site.remap(SWAPPED)
    site.remap(RIGHT)
    unmerge(site, "2")
    site.receive(RIGHT, message("1", "OK", 4))
    assert site.dnc("1") == "yes"


OTHERWISE = {**RIGHT, "preferred_method": {"from": "ZCP-3", "values": {"P": "voice"}}}


@pytest.mark.parametrize("before", [["OK"], [], ["DNC", "OK"]])
def test_an_unrelated_mapping_change_resolves_no_unreadable_value(site: Site, before: list[str]) -> None:
    site.receive(RIGHT, *(message("1", code, minute) for minute, code in enumerate(before)), message("1", "DECLINED", 5))
    site.receive(RIGHT, message("1", "", 6))
    site.remap(OTHERWISE)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.receive(RIGHT, message("1", "", 7))
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.receive(RIGHT, message("1", "OK", 8))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap(OTHERWISE)
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def knowing(word: str, on_unknown: str = "reject") -> dict[str, Any]:
    """The right mapping plus one code."""
    values = {**RIGHT["do_not_contact"]["values"], "DECLINED": word}  # type: ignore[dict-item]
    return {"do_not_contact": {"from": "ZCP-2", "values": values, "on_unknown": on_unknown}}


@pytest.mark.parametrize("on_unknown", ["reject", "no_statement", "clear", "most_restrictive"])
@pytest.mark.parametrize(("word", "dnc"), [("yes", "yes"), ("no", "no")])
@pytest.mark.parametrize("code", ["DECLINED", "Declined"])
def test_an_unknown_code_counts_once_a_mapping_knows_it(site: Site, on_unknown: str, word: str, dnc: str, code: str) -> None:
    forgetful = {"do_not_contact": {**RIGHT["do_not_contact"], "on_unknown": on_unknown}}
    site.receive(forgetful, message("1", "OK" if dnc == "yes" else "DNC", 0), message("1", code, 5))
    former = site.state("1"), site.patient("1").unreadable
    site.remap(knowing(word))
    assert (site.dnc("1"), site.patient("1").unreadable) == (dnc, ())
    site.remap(forgetful)
    assert [one.attribute for one in site.patient("1").unreadable] == [one.attribute for one in former[1]]
    assert {name: one[0] for name, one in site.state("1")[0].items()} == {name: one[0] for name, one in former[0][0].items()}


def test_the_text_of_an_unknown_code_is_not_stored(site: Site) -> None:
    site.receive(RIGHT, message("1", "OK", 0), message("1", "Pat Example", 5, "C2"))
    with site.database.read() as connection:
        kept = str(site.database.select(connection, "SELECT codes FROM assertions WHERE codes IS NOT NULL", []))
    assert ("OK" in kept, "Example" in kept) == (True, False)


def test_a_code_of_a_possibly_restricted_record_refuses_under_a_mapping_that_reads_a_refusal(site: Site) -> None:
    cleared = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "?": "unknown"}}}
    refused = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "?": "yes"}}}
    site.receive(cleared, message("1", "OK", 0), message("1", "?", 5).replace(b"\rZCP", b"\rPD1||||||||||||X?\rZCP"))
    assert site.dnc("1") == "no"
    site.remap(refused)
    assert site.dnc("1") == "yes"
    site.remap(cleared)
    assert site.dnc("1") == "no"


def test_dropping_old_codes_loses_no_refusal(site: Site) -> None:
    lax = {"do_not_contact": {**RIGHT["do_not_contact"], "on_unknown": "no_statement"}}
    site.receive(lax, message("1", "DNC", 0), *(message("1", f"note {number}", number) for number in range(1, 20)))
    assert site.dnc("1") == "yes"
    site.remap(OTHERWISE)
    assert site.dnc("1") == "yes"


def test_rereading_with_a_mapping_that_knows_the_code_resolves_it_permanently(site: Site) -> None:
    knows = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "FINE": "no"}}}
    site.receive(RIGHT, message("1", "OK", 0), message("1", "FINE", 5))
    site.receive(knows, message("1", "FINE", 5))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap({**knows, "preferred_method": OTHERWISE["preferred_method"]})
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


def held(site: Site, mapping: Mapping[str, Any], *bodies: bytes) -> str:
    """A run of the source whose permissions are all held."""
    payloads = [Payload(body, f"test:{number}", site.clock()) for number, body in enumerate(bodies)]
    return site.engine.feed(LANE, site.mapper(mapping), payloads).id


def test_an_approved_held_change_keeps_its_codes(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.receive(SWAPPED, message("1", "OK", 0))
    run = held(site, SWAPPED, message("1", "DNC", 5))
    HeldReview(site.store, site.journal).approve(run, PERSON, site.clock())
    assert site.dnc("1") == "no"
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


def test_a_held_change_is_reread_with_the_current_mapping_before_approval_applies_it(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.receive(RIGHT, message("1", "DNC", 0))
    run = held(site, SWAPPED, message("1", "DNC", 5))
    assert site.dnc("1") == "yes"
    site.remap(RIGHT)
    with suppress(NothingHeld):
        HeldReview(site.store, site.journal).approve(run, PERSON, site.clock())
    assert site.dnc("1") == "yes"
    site.remap(OTHERWISE)
    assert site.dnc("1") == "yes"
    site.receive(OTHERWISE, message("1", "OK", 3))
    assert site.dnc("1") == "yes", "the refusal of minute 5 is the newest evidence"


def test_approving_a_held_remap_after_rollback_permits_nothing(database: Database) -> None:
    site = Site(database, SafeguardRule(0, 0))
    site.receive(RIGHT, message("1", "DNC", 0))
    run = site.remap(SWAPPED)
    assert run.status == "held"
    site.remap(RIGHT)
    with suppress(NothingHeld):
        HeldReview(site.store, site.journal).approve(run.id, PERSON, site.clock())
    assert site.dnc("1") == "yes"


CLEARS = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no"}, "on_absent": "clear"}}
BOTH_YES = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "yes"}}}


def test_an_unmerge_permits_nothing_that_the_safeguard_still_holds(database: Database) -> None:
    site, hour = Site(database, SafeguardRule(0, 0)), (BEGIN + timedelta(minutes=1)).strftime
    site.receive(BOTH_YES, message("1", "DNC", 0), message("2", "OK", 1))
    assert site.remap(CLEARS).status == "held"
    imprecise = message("2", "", 1).replace(hour("%Y%m%d%H%M%S+0000").encode(), hour("%Y%m%d%H+0000").encode())
    site.receive(CLEARS, merge_of("2", "1", 90), imprecise + b"\rZCP|1|")
    unmerge(site, "1")
    assert site.dnc("2") == "yes"


FIRM = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "yes"}}}
BOTH_NO = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "no", "OK": "no", "MAYBE": "no"}}}
MAYBE_SILENT = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no_statement"}}}


def test_a_permission_by_remapping_is_not_new_evidence_for_the_next_remap(site: Site) -> None:
    """A run applies it at its end; the codes keep their original time."""
    site.receive(FIRM, message("1", "DNC", 0), message("1", "MAYBE", 5))
    site.remap(BOTH_NO)
    assert site.dnc("1") == "no"
    site.remap(MAYBE_SILENT)
    assert site.dnc("1") == "yes"


def test_a_permission_read_under_another_mapping_is_restored(site: Site) -> None:
    site.receive(FIRM, message("1", "DNC", 0), message("1", "OK", 5))
    site.remap(SWAPPED)
    assert site.dnc("1") == "yes"
    site.remap(FIRM)
    assert site.dnc("1") == "no"


def test_a_code_no_longer_known_makes_a_merged_patient_unreadable(site: Site) -> None:
    site.receive(FIRM, message("1", "DNC", 0), message("2", "", 0), merge_of("1", "2", 3))
    site.remap(PARTIAL)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_an_identical_message_is_not_newer_when_repeated(site: Site) -> None:
    """The message is dated an hour ahead, so its time ends at its first receipt."""
    ahead = message("1", "OK", 120)  # the clock stands at minute 60
    site.clock.now = BEGIN + timedelta(minutes=60)
    site.receive(RIGHT, ahead)
    site.clock.now = BEGIN + timedelta(minutes=180)
    site.receive(RIGHT, ahead)
    site.receive(RIGHT, message("1", "DNC", 65))
    assert site.dnc("1") == "yes"


def test_a_merge_with_only_a_year_does_not_override_later_messages(site: Site) -> None:
    site.receive(RIGHT, message("1", "OK", 0), message("2", "DNC", 1))
    at = (BEGIN + timedelta(minutes=9)).strftime("%Y%m%d%H%M%S+0000").encode()
    site.receive(RIGHT, merge_of("1", "2", 9).replace(at, b"2026"))
    assert site.dnc("1") == "yes"
    later = int((site.clock() - BEGIN).total_seconds()) // 60 + 5
    site.clock.now += timedelta(hours=1)
    site.receive(RIGHT, message("1", "OK", later))
    assert site.dnc("1") == "no"


def undated(code: str, control: str, time: str = "") -> bytes:
    return message("1", code, 0, control).replace(b"20261101060000+0000", time.encode())


@pytest.mark.parametrize("time", ["", "202611+0000", "not a time", "20261102120000+0000"], ids=["none", "a month", "unreadable", "ahead"])
@pytest.mark.parametrize(("early", "late"), [("DNC", "OK"), ("OK", "DNC")])
def test_rereading_a_message_keeps_its_first_time(site: Site, time: str, early: str, late: str) -> None:
    site.receive(RIGHT, undated(early, "C1", time))
    site.clock.now += timedelta(days=2)
    hour = site.clock().strftime("%Y%m%d%H%M%S+0000")
    site.receive(RIGHT, undated(late, "C2", hour))
    for mapping in (OTHERWISE, RIGHT):
        site.clock.now += timedelta(days=2)
        site.receive(mapping, undated(early, "C1", time))
        assert site.dnc("1") == ("no" if late == "OK" else "yes")


def test_a_readable_message_does_not_resolve_an_unreadable_one_of_the_same_time(site: Site) -> None:
    silent = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "DECLINED": "no_statement"}}}
    unread, other = message("1", "DECLINED", 5, "C1"), message("1", "OK", 5, "C2")
    site.receive(RIGHT, unread, other)
    site.remap(silent)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.receive(silent, unread)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def test_an_older_code_stays_in_force_although_the_safeguard_held_it(site: Site) -> None:
    """At the end of a run the safeguard applies what it held while counting."""
    first = {"preferred_method": {"from": "ZCP-2", "values": {"T": "sms", "Q": "none"}}}
    mapping = {"preferred_method": {"from": "ZCP-2", "values": {"T": "voice", "Q": "no_statement"}}}
    site.receive(first, message("2", "T", 1), message("2", "Q", 2), merge_of("1", "2", 9))
    assert site.patient("1").contact.preferred_method == "none"
    site.remap(mapping)
    assert site.patient("1").contact.preferred_method == "voice"


@pytest.mark.parametrize("refused", ["1", "2"])
def test_a_refusal_kept_by_a_merge_over_a_newer_permission_stays(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.receive(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5), merge_of("1", "2", 3))
    before = site.state("1")
    assert site.dnc("1") == "yes"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.state("1") == before


@pytest.mark.parametrize("refused", ["1", "2"])
def test_a_merge_under_a_wrong_mapping_loses_no_refusal(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.receive(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5))
    site.receive(SWAPPED, merge_of("1", "2", 3), message("2", "DNC", 2))
    site.remap(RIGHT)
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("refused", ["1", "2"])
def test_statements_since_a_merge_survive_a_remap(site: Site, refused: str) -> None:
    permitted = "2" if refused == "1" else "1"
    site.receive(RIGHT, message(refused, "DNC", 0), message(permitted, "OK", 5), merge_of("1", "2", 3), message("1", "OK", 7))
    assert site.dnc("1") == "no"
    site.remap(SWAPPED)
    site.remap(RIGHT)
    assert site.dnc("1") == "no"


def test_rereading_after_a_merge_loses_no_refusal(site: Site) -> None:
    body = message("1", "OK", 4)
    site.receive(RIGHT, message("1", "DNC", 0), message("2", "OK", 5))
    site.receive(SWAPPED, merge_of("1", "2", 3), body)
    assert site.dnc("1") == "yes"
    site.receive(RIGHT, body)
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("late", ["1", "2"])
def test_a_late_message_from_before_a_merge_settles_no_code_that_a_remap_cannot_read(site: Site, late: str) -> None:
    known = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "OK": "no", "MAYBE": "no"}}}
    site.receive(known, message("1", "MAYBE", 0), merge_of("1", "2", 9), message(late, "OK", 3))
    site.remap(RIGHT)
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]
    site.receive(RIGHT, message(late, "OK", 11))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())


@pytest.mark.parametrize(("survivor", "merged"), [("T", "P"), ("P", "T")])
@pytest.mark.parametrize("imprecise", ["1", "2"])
def test_a_tie_of_two_merged_records_ends_the_same_after_a_remap(site: Site, survivor: str, merged: str, imprecise: str) -> None:
    """One of them names only the day, both came at once, and neither refuses."""
    methods = {"preferred_method": {"from": "ZCP-2", "values": {"T": "sms", "P": "voice"}}}
    others = {"preferred_method": {"from": "ZCP-2", "values": {"T": "voice", "P": "sms"}}}
    both = [message("1", survivor, 5), message("2", merged, 5)]
    both[int(imprecise) - 1] = both[int(imprecise) - 1].replace(b"20261101060500+0000", b"20261101")
    site.receive(methods, *both, merge_of("1", "2", 2000))
    before = site.patient("1").contact.preferred_method
    site.remap(others)
    site.remap(methods)
    assert site.patient("1").contact.preferred_method == before


def test_a_replay_settles_no_other_message_of_its_control_id_that_a_changed_mapping_cannot_read(site: Site) -> None:
    first = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "MAYBE": "no_statement"}}}
    other = {"do_not_contact": {"from": "ZCP-2", "values": {"DNC": "yes", "DECLINED": "unknown"}}}
    declined = message("1", "DECLINED", 5, "C1")
    site.receive(first, declined, message("1", "MAYBE", 5, "C1"))
    (rejection,) = site.journal.rejections(CLINIC)
    replay(site.engine, LANE, site.mapper(other), replace(rejection, payload=declined))
    assert [one.attribute for one in site.patient("1").unreadable] == ["do_not_contact"]


def two_fields(*, maybe: str = "no_statement", declined: str = "", method: str = "") -> dict[str, Any]:
    """Do Not Contact and the preferred method, each with a code that some mappings know."""
    values = {"DNC": "yes", "OK": "no", "MAYBE": maybe, **({"DECLINED": declined} if declined else {})}
    methods = {"T": "sms", **({"P": method} if method else {})}
    return {"do_not_contact": {"from": "ZCP-2", "values": values}, "preferred_method": {"from": "ZCP-3", "values": methods}}


def replay_all(site: Site, mapping: Mapping[str, Any], body: bytes) -> None:
    for rejection in site.journal.rejections(CLINIC):
        replay(site.engine, LANE, site.mapper(mapping), replace(rejection, payload=body))


@pytest.mark.parametrize("merge", [("1", "2"), ("2", "1")], ids=["survivor", "merged"])
@pytest.mark.parametrize("declined", ["yes", "no_statement", "unknown", ""])
def test_a_replay_after_a_merge_is_as_outdated_by_its_own_record_under_any_mapping(
    site: Site, merge: tuple[str, str], declined: str
) -> None:
    older = message("1", "DECLINED|P", 0, "C0")
    site.receive(two_fields(), older, message("1", "OK", 5), message("2", "", 0), merge_of(*merge, 9))
    replay_all(site, two_fields(declined=declined, method="voice"), older)
    assert (site.dnc("1"), [one.attribute for one in site.patient("1").unreadable]) == ("no", [])
    site.remap(two_fields())
    assert (site.dnc("1"), [one.attribute for one in site.patient("1").unreadable]) == ("no", ["preferred_method"])


@pytest.mark.parametrize(("code", "dnc", "unread"), [("DNC", "yes", 0), ("DECLINED", "unknown", 1)])
def test_a_replay_after_a_merge_leaves_a_code_in_force_while_the_newer_one_states_nothing(
    site: Site, code: str, dnc: str, unread: int
) -> None:
    older = message("1", f"{code}|P", 0, "C0")
    site.receive(two_fields(), older, message("1", "MAYBE", 5), message("2", "", 0), merge_of("1", "2", 9))
    replay_all(site, two_fields(method="voice"), older)
    assert (site.dnc("1"), len(site.patient("1").unreadable)) == (dnc, unread)
    site.remap(two_fields(maybe="no", method="voice"))
    assert (site.dnc("1"), site.patient("1").unreadable) == ("no", ())
    site.remap(two_fields(method="voice"))
    assert (site.dnc("1"), len(site.patient("1").unreadable)) == (dnc, unread)
