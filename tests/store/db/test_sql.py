"""What becomes of one payload: applied, unchanged or stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from store import times
from store.domain.patient import PatientRef
from store.preference import slot
from tests.store.site import ADT, CELL, ENTERPRISE_USER, FHIR, HOME, WORK, Site, at, cell, merges, says

MINUTES = timedelta(minutes=20)

PID_13, PID_14 = slot("phones", "PID-13"), slot("phones", "PID-14")


def numbers(site: Site, patient: str = "1") -> list[str]:
    return [phone.number for phone in site.known(patient).contact.phones]


def test_a_new_patient_is_applied_and_known(site: Site) -> None:
    assert site.apply(says("1", 0, {"do_not_contact": "yes", "language": "es"})) == ["applied"]
    patient = site.find("1")
    assert (patient.version, patient.enterprise) == (1, site.enterprise)
    assert (site.dnc("1"), patient.contact.language) == ("yes", "es")


def test_a_patient_without_preferences_is_known_and_nothing_is_assumed(site: Site) -> None:
    assert site.apply(says("1", 0)) == ["applied"]
    assert (site.dnc("1"), site.value("1", "consent.sms")) == ("unknown", None)


def test_a_value_says_where_it_comes_from(site: Site) -> None:
    site.apply(says("1", 5, {"do_not_contact": "yes"}, evidence="MSG00001"))
    found = site.find("1").preferences["do_not_contact"]
    assert (found.authority, found.assertion.evidence_id, found.assertion.path) == ("emr:adt", "MSG00001", "at/do_not_contact")
    assert (found.assertion.effective, found.assertion.recorded) == (times.at(at(5)), site.now)
    evidence = site.known("1").evidence("do_not_contact")
    assert evidence is not None
    assert (evidence.authority, evidence.id, evidence.path, evidence.effective) == ("emr:adt", "MSG00001", "at/do_not_contact", at(5))


def test_a_newer_statement_is_applied(site: Site) -> None:
    site.apply(says("1", 0, {"do_not_contact": "no"}))
    assert site.apply(says("1", 1, {"do_not_contact": "yes"})) == ["applied"]
    assert (site.dnc("1"), site.find("1").version) == ("yes", 2)


def test_what_a_payload_does_not_mention_stays(site: Site) -> None:
    site.apply(says("1", 0, {"do_not_contact": "yes", "language": "es"}))
    site.apply(says("1", 1, {"language": "en"}))
    assert (site.dnc("1"), site.value("1", "language")) == ("yes", "en")


def test_a_clear_makes_the_value_unknown(site: Site) -> None:
    site.apply(says("1", 0, {"do_not_contact": "yes", "language": "es"}))
    assert site.apply(says("1", 1, {"do_not_contact": None, "language": None})) == ["applied"]
    assert (site.dnc("1"), site.value("1", "language")) == ("unknown", None)


def test_a_clear_that_arrives_late_clears_nothing(site: Site) -> None:
    site.apply(says("1", 2, {"do_not_contact": "yes"}))
    assert site.apply(says("1", 1, {"do_not_contact": None})) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_repeated_message_changes_nothing(site: Site) -> None:
    item = says("1", 0, {"do_not_contact": "yes"})
    assert [site.apply(item) for _ in range(3)] == [["applied"], ["unchanged"], ["unchanged"]]
    assert site.find("1").version == 1


def test_a_late_message_is_stale_and_undoes_nothing(site: Site) -> None:
    site.apply(says("1", 5, {"do_not_contact": "yes"}))
    assert site.apply(says("1", 4, {"do_not_contact": "no"})) == ["stale"]
    assert (site.dnc("1"), site.find("1").version) == ("yes", 1)


def test_a_late_message_fills_in_what_nothing_newer_speaks_of(site: Site) -> None:
    site.apply(says("1", 5, {"language": "es"}))
    assert site.apply(says("1", 4, {"language": "en", "do_not_contact": "yes"})) == ["applied"]
    assert (site.value("1", "language"), site.dnc("1")) == ("es", "yes")


def test_a_late_message_and_its_repeat_never_displace_the_newer_one(site: Site) -> None:
    site.apply(says("1", 5, {"do_not_contact": "yes"}))
    late = says("1", 4, {"do_not_contact": "no"})
    assert [site.apply(late), site.apply(late)] == [["stale"], ["unchanged"]]
    assert site.dnc("1") == "yes"


def test_the_content_heard_again_at_a_newer_time_makes_what_lies_between_late(site: Site) -> None:
    site.apply(says("1", 1, {"do_not_contact": "yes"}))
    assert site.apply(says("1", 9, {"do_not_contact": "yes"}, evidence="again")) == ["unchanged"]
    assert site.apply(says("1", 5, {"do_not_contact": "no"})) == ["stale"]
    assert site.dnc("1") == "yes"


def test_the_content_heard_again_at_a_newer_time_does_not_hold_back_what_is_newer_still(site: Site) -> None:
    site.apply(says("1", 1, {"do_not_contact": "no"}))
    site.apply(says("1", 9, {"do_not_contact": "no"}))
    assert site.apply(says("1", 10, {"do_not_contact": "yes"})) == ["applied"]
    assert site.dnc("1") == "yes"


def test_hearing_the_same_again_confirms_only_what_it_states(site: Site) -> None:
    site.apply(says("1", 1, {"do_not_contact": "no"}))
    site.apply(says("1", 2, {"language": "es"}))
    site.apply(says("1", 9, {"language": "es"}))
    assert site.apply(says("1", 5, {"do_not_contact": "yes"})) == ["applied"]
    assert site.dnc("1") == "yes"


def test_hearing_the_same_again_is_seen_on_the_facesheet(site: Site) -> None:
    site.apply(says("1", 1, {"do_not_contact": "yes"}))
    since = site.now
    site.apply(says("1", 9, {"do_not_contact": "yes"}))
    (mark,) = site.find("1").marks
    assert (mark.source, mark.since, mark.last_heard) == (ADT, since, site.now)


def test_the_same_message_mapped_anew_replaces_what_the_old_mapping_read(site: Site) -> None:
    site.apply(says("1", 1, {"do_not_contact": "no"}, evidence="MSG00001"))
    assert site.apply(says("1", 1, {"do_not_contact": "yes", "language": "es"}, evidence="MSG00001")) == ["applied"]
    assert (site.dnc("1"), site.value("1", "language")) == ("yes", "es")


@pytest.mark.parametrize("nothing", [None, ()], ids=["clear", "empty list"])
def test_a_restricted_record_keeps_its_phones_and_addresses(site: Site, nothing: object) -> None:
    site.apply(says("1", 0, {PID_13: (cell(),), "email": ("pat@example.test",)}))
    site.apply(says("1", 1, {PID_13: nothing, "email": nothing, "restricted": True, "do_not_contact": "yes"}, restricted=True))
    contact = site.known("1").contact
    assert (numbers(site), contact.emails) == ([CELL], ("pat@example.test",))
    assert (contact.restricted, contact.do_not_contact) == (True, "yes")


@pytest.mark.parametrize("again", [{}, {"restricted": None}, {"restricted": True}])
def test_a_record_stays_restricted_until_it_says_otherwise(site: Site, again: dict[str, Any]) -> None:
    site.apply(says("1", 0, {"restricted": True, "do_not_contact": "yes"}, restricted=True))
    site.apply(says("1", 1, {"do_not_contact": None, **again}, restricted=bool(again.get("restricted"))))
    assert site.dnc("1") == "yes"
    site.apply(says("1", 2, {"restricted": False, "do_not_contact": None}))
    assert site.dnc("1") == "unknown"


def test_a_record_that_was_merged_with_a_restricted_one_stays_restricted(site: Site) -> None:
    site.apply(says("1", 0, {"restricted": True}, restricted=True), says("2", 0, {"do_not_contact": "yes"}))
    site.apply(merges("1", "2", 10))
    site.apply(says("2", 20, {"do_not_contact": None}))
    assert site.dnc("1") == "yes"


def test_a_repeat_through_a_machine_whose_clock_is_late_does_not_make_the_last_receipt_older(site: Site) -> None:
    """OK by a machine that is right; the same, then a Do Not Contact, by one that is twenty minutes late."""
    right = site.now
    for when, said, now in ((-5, "no", right), (-2, "no", right - MINUTES), (-1, "yes", right - MINUTES)):
        item = replace(says("1", 0, {"do_not_contact": said}, evidence=f"E{when}"), effective=times.at(right + timedelta(seconds=when)))
        with site.database.write(site.enterprise) as transaction:
            site.store.apply_many(transaction, site.enterprise, ADT, [item], now=now)
    assert site.dnc("1") == "yes"


def test_a_restricted_record_that_does_show_a_phone_replaces_it(site: Site) -> None:
    site.apply(says("1", 0, {PID_13: (cell(),)}))
    site.apply(says("1", 1, {PID_13: (cell(HOME),)}, restricted=True))
    assert numbers(site) == [HOME]


def test_each_phone_field_is_a_slot_of_its_own(site: Site) -> None:
    site.apply(says("1", 0, {PID_13: (cell(),), PID_14: (cell(WORK),)}))
    site.apply(says("1", 1, {PID_13: (cell(HOME),)}))
    assert numbers(site) == [HOME, WORK]
    site.apply(says("1", 2, {PID_13: None}))
    assert numbers(site) == [WORK]


def test_the_order_of_phone_fields_does_not_depend_on_which_was_heard_first(site: Site) -> None:
    site.apply(says("1", 0, {PID_14: (cell(WORK),)}))
    site.apply(says("1", 1, {PID_13: (cell(HOME),)}))
    assert numbers(site) == [HOME, WORK]


def test_sources_do_not_make_each_others_statements_late(site: Site) -> None:
    site.apply(says("1", 9, {"do_not_contact": "no"}))
    assert site.apply(says("1", 1, {"do_not_contact": "yes"}), source=FHIR) == ["applied"]
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize(("right", "wrong"), [("yes", "no"), ("no", "yes"), ("yes", None), (None, "yes")])
def test_a_payload_without_codes_that_a_former_mapping_reads_again_is_what_that_says(site: Site, right: Any, wrong: Any) -> None:
    """A rule without a table keeps no codes, so that nothing but the payload itself heals what a wrong mapping said (product rule 5.8)."""

    def read(value: Any, mapping: str) -> str:
        return site.apply(says("1", 5, {"do_not_contact": value}, evidence="M5", mapping=mapping))[0]

    read(right, "m1")
    assert (read(wrong, "m2"), site.value("1", "do_not_contact")) == ("applied", wrong)
    assert (read(right, "m1"), site.value("1", "do_not_contact")) == ("applied", right)
    assert (read(right, "m1"), site.value("1", "do_not_contact")) == ("unchanged", right)
    site.dnc("1")


def test_so_it_is_of_a_record_that_is_parted_from_another_one_again(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1), merges("1", "2", 3))
    for value, mapping in (("no", "m1"), ("yes", "m2"), ("no", "m1")):
        site.apply(says("2", 5, {"do_not_contact": value}, evidence="M5", mapping=mapping))
    assert site.dnc("1") == "no"
    site.store.unmerge(site.enterprise, PatientRef(authority="GENHOSP", value="2"), actor=ENTERPRISE_USER, reason="", now=site.tick())
    assert site.dnc("2") == "no"
