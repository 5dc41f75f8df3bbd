"""What arrives after a merge of two records and is from before it: no opt-out of either is lost or lifted, whatever the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.preference import PatientMerge, PatientStatements, Problem
from tests.store.site import Site, at, merges, says

PERSON = Actor("cli", "kim")
YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}


@pytest.mark.parametrize("late", ["1", "2"])
@pytest.mark.parametrize("opted_out", ["1", "2"])
def test_a_late_message_from_before_the_merge_does_not_loosen(site: Site, late: str, opted_out: str) -> None:
    site.apply(says("1", 1), says("2", 1))
    site.apply(says(opted_out, 10, {**YES, "consent.voice": "denied"}))
    site.apply(merges("1", "2", 100))
    site.apply(says(late, 50, {**NO, "consent.voice": "granted", "language": "es"}))
    assert (site.dnc("1"), site.value("1", "consent.voice"), site.value("1", "language")) == ("yes", "denied", "es")


@pytest.mark.parametrize("late", ["1", "2"])
@pytest.mark.parametrize("known", [True, False], ids=["both known", "merged record unknown"])
def test_a_late_opt_out_from_before_the_merge_counts_as_if_it_had_come_in_time(site: Site, late: str, known: bool) -> None:
    site.apply(*(says(name, 60, {**NO, "consent.voice": "granted"}) for name in ("12" if known else "1")), merges("1", "2", 100))
    site.apply(says(late, 50, {**YES, "consent.voice": "denied"}))
    assert (site.dnc("1"), site.value("2", "consent.voice")) == ("yes", "denied")


@pytest.mark.parametrize("name", ["1", "2"])
def test_a_late_opt_out_counts_though_a_message_of_its_time_and_control_id_was_known_at_the_merge(site: Site, name: str) -> None:
    site.apply(*(replace(says(one, 50, {"language": "es"}), evidence_id="1") for one in "12"))
    site.apply(*(replace(says(one, 60, NO), evidence_id="1") for one in "12"), merges("1", "2", 100))
    site.apply(replace(says(name, 50, YES), evidence_id="1"))
    assert site.dnc("1") == "yes"


def test_a_late_opt_out_holds_against_what_is_later_still_from_before_the_merge(site: Site) -> None:
    site.apply(says("1", 10), says("2", 10), merges("1", "2", 100))
    site.apply(says("2", 50, YES))
    assert site.apply(says("1", 60, NO)) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_late_opt_out_that_is_said_again_after_the_merge_holds_from_then_on(site: Site) -> None:
    site.apply(says("1", 10), says("2", 10), merges("1", "2", 100))
    site.apply(says("2", 50, YES), says("2", 150, YES), says("2", 200, YES))
    assert site.apply(says("1", 180, NO)) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_late_opt_out_from_before_the_merge_does_not_undo_what_was_said_since(site: Site) -> None:
    site.apply(says("1", 10, NO), says("2", 10, NO), merges("1", "2", 100), says("1", 110, NO))
    assert site.apply(says("2", 50, YES)) == ["stale"]
    assert site.dnc("1") == "no"


def test_a_late_message_of_a_merged_record_that_came_after_its_merge_does_not_loosen(site: Site) -> None:
    site.apply(says("1", 10, YES), merges("1", "2", 100))
    assert site.apply(says("2", 50, NO)) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_repeat_of_what_either_said_before_the_merge_changes_nothing(site: Site) -> None:
    said = [says("1", 1, YES), says("2", 2, NO), says("1", 3, NO)]
    site.apply(*said, merges("1", "2"))
    before = site.dnc("1")
    site.apply(*said)
    assert site.dnc("1") == before


@pytest.mark.parametrize("name", ["1", "2"])
def test_what_is_said_after_the_merge_counts_under_either_name(site: Site, name: str) -> None:
    site.apply(says("1", 1, YES), says("2", 1, NO), merges("1", "2", 100))
    assert site.apply(says(name, 101, NO)) == ["applied"]
    assert site.dnc("1") == site.dnc("2") == "no"


def test_an_opt_out_said_after_the_merge_counts_under_the_merged_name(site: Site) -> None:
    site.apply(says("1", 1, NO), says("2", 1, NO), merges("1", "2", 100), says("2", 101, YES))
    assert site.dnc("1") == "yes"


def test_a_late_opt_out_counts_when_the_merged_record_had_been_a_survivor_itself(site: Site) -> None:
    """2 went into 1 at 100, and 1 into 3 by a message that is dated earlier: what was said before 100 is from before a merge."""
    site.apply(merges("1", "2", 100), merges("3", "1", 50))
    site.apply(says("2", 20, YES), says("1", 70, NO))
    assert site.dnc("3") == "yes"


@pytest.mark.parametrize("first", ["1", "2"])
def test_the_first_that_a_source_says_after_a_merge_and_from_before_it_holds_until_something_is_said_since(site: Site, first: str) -> None:
    other = "2" if first == "1" else "1"
    site.apply(merges("1", "2", 100))
    site.apply(says(first, 40, {**YES, "consent.voice": "denied"}), source="fhir")
    site.apply(says(other, 60, {**NO, "consent.voice": "granted"}), source="fhir")
    assert (site.dnc("1"), site.value("1", "consent.voice")) == ("yes", "denied")
    site.apply(says(other, 101, NO), source="fhir")
    assert site.dnc("1") == "no"


@pytest.mark.parametrize("late", ["1", "2"])
@pytest.mark.parametrize("opted_out", ["1", "2"])
def test_a_merge_that_arrives_late_does_not_make_a_newer_opt_out_older(site: Site, late: str, opted_out: str) -> None:
    site.apply(says("1", 10), says("2", 10), says(opted_out, 150, {**YES, "consent.voice": "denied"}), merges("1", "2", 100))
    assert site.apply(says(late, 120, {**NO, "consent.voice": "granted"})) == ["stale"]
    assert (site.dnc("1"), site.value("1", "consent.voice")) == ("yes", "denied")
    assert site.apply(says(late, 151, {**NO, "consent.voice": "granted"})) == ["applied"]
    assert (site.dnc("1"), site.value("1", "consent.voice")) == ("no", "granted")


@pytest.mark.parametrize("late", ["1", "2"])
def test_an_opt_out_that_a_merge_keeps_over_a_newer_permission_is_as_new_as_that(site: Site, late: str) -> None:
    site.apply(says("1", 10, YES), says("2", 150, NO), merges("1", "2", 100))
    assert site.apply(says(late, 140, NO)) == ["stale"]
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("first", ["1", "2"])
def test_an_opt_out_of_after_a_merge_that_is_the_first_of_its_source_keeps_its_own_time(site: Site, first: str) -> None:
    site.apply(merges("1", "2", 100))
    site.apply(says(first, 150, YES), source="fhir")
    assert site.apply(says("1", 120, NO), source="fhir") == ["stale"]
    assert site.dnc("2") == "yes"


def test_a_second_merge_dated_before_the_first_does_not_make_an_opt_out_older(site: Site) -> None:
    site.apply(says("1", 10, YES), says("3", 10), merges("1", "2", 100), merges("1", "3", 50))
    assert site.apply(says("3", 70, NO)) == ["stale"]
    assert site.dnc("1") == "yes"


def unread(patient: str, seconds: float, stated: Mapping[str, Any] | None = None, **rest: Any) -> PatientStatements:
    """A payload whose Do Not Contact and voice consent cannot be read."""
    problems = tuple(Problem("code_unmapped", "ZCP-2", "", name) for name in ("do_not_contact", "consent.voice"))
    return replace(says(patient, seconds, stated, evidence="U", **rest), problems=problems)


REFUSED = says("2", 10, {**YES, "consent.voice": "denied"}, evidence="U", received=at(10))
STILL_UNREAD = unread("2", 10, {"language": "es"}, received=at(10))


def unmerge(site: Site, merged: str) -> None:
    site.store.unmerge(site.enterprise, PatientRef(value=merged), actor=PERSON, reason="two people", now=site.tick())


def asked(site: Site) -> tuple[str, Any, tuple[str, ...]]:
    return site.dnc("1"), site.value("1", "consent.voice"), tuple(one.attribute for one in site.find("1").unreadable)


@pytest.mark.parametrize("merge", [merges("1", "2"), merges("2", "1")], ids=["merged", "survivor"])
@pytest.mark.parametrize("replayed", [REFUSED, STILL_UNREAD], ids=["refused", "unread"])
def test_a_replay_of_what_came_before_the_merge_is_as_outdated_as_it_was_then(
    site: Site, merge: PatientMerge, replayed: PatientStatements
) -> None:
    site.apply(says("1", 1), unread("2", 10), says("2", 20, {**NO, "consent.voice": "granted"}), merge)
    site.apply(replayed)
    assert asked(site) == ("no", "granted", ())
    unmerge(site, merge.merged[0].value)
    assert (site.dnc("2"), site.find("2").unreadable) == ("no", ())


@pytest.mark.parametrize("replayed", [REFUSED, STILL_UNREAD], ids=["refused", "unread"])
def test_a_replay_is_as_outdated_after_a_further_merge_is_undone(site: Site, replayed: PatientStatements) -> None:
    site.apply(says("1", 1), unread("2", 10), says("2", 20, {**NO, "consent.voice": "granted"}))
    site.apply(merges("1", "2"), merges("3", "1", 200), replayed)
    unmerge(site, "1")
    assert asked(site) == ("no", "granted", ())


@pytest.mark.parametrize("newer", ["1", "2"])
def test_a_replayed_opt_out_counts_if_only_the_other_record_or_a_late_message_is_newer(site: Site, newer: str) -> None:
    permitted = says(newer, 20, {**NO, "consent.voice": "granted"})
    site.apply(says("1", 1), unread("2", 10), *([permitted] if newer == "1" else []), merges("1", "2"))
    site.apply(*([permitted] if newer == "2" else []), REFUSED)
    assert asked(site) == ("yes", "denied", ())


def test_a_replay_of_what_came_after_the_merge_is_late(site: Site) -> None:
    site.apply(says("1", 1), says("2", 20, {**NO, "consent.voice": "granted"}), merges("1", "2"), unread("2", 10))
    assert asked(site) == ("no", "granted", ("consent.voice", "do_not_contact"))
    site.apply(STILL_UNREAD)
    assert asked(site) == ("no", "granted", ("consent.voice", "do_not_contact"))
    site.apply(REFUSED)
    assert asked(site) == ("yes", "denied", ())
