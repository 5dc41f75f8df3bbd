"""The history of a patient and the feed of changes: nothing is missing, nothing comes twice, the order never changes."""

from __future__ import annotations

import pytest

from store.errors import PatientUnknown
from tests.store.site import SYNCED, Site, at, cell, merges, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}


def seqs(site: Site, after: int = 0, limit: int = 1_000) -> list[int]:
    return [one.seq for one in site.store.changes(site.enterprise, after, limit)]


def test_history_says_what_changed_when_and_why_the_newest_first(site: Site) -> None:
    site.apply(says("1", 1, {**NO, "language": "es"}, evidence="A"))
    first = site.now
    site.apply(says("1", 2, YES, evidence="B"))
    newest, *older = site.store.history(site.enterprise, site.find("1").id)
    assert (newest.attribute, newest.before, newest.after, newest.version) == ("do_not_contact", "no", "yes", 2)
    assert (newest.authority, newest.evidence_id, newest.path) == ("emr:adt", "B", "at/do_not_contact")
    assert (newest.effective, newest.at, newest.run_id) == (at(2), site.now, None)
    assert {(one.attribute, one.before, one.after, one.at) for one in older} == {
        ("do_not_contact", None, "no", first),
        ("language", None, "es", first),
    }


def test_a_long_history_can_be_asked_for_in_part_and_no_payload_is_torn_apart(site: Site) -> None:
    for minute, value in ((1, NO), (2, YES), (3, NO)):
        site.apply(says("1", minute, {**value, "language": f"e{minute}"}, evidence=f"E{minute}"))
    entries = site.store.history(site.enterprise, site.find("1").id, 2)
    assert [one.evidence_id for one in entries] == ["E3", "E3", "E2", "E2"]


def test_what_changed_nothing_leaves_no_line(site: Site) -> None:
    site.apply(says("1", 5, YES))
    site.apply(says("1", 5, YES), says("1", 9, YES), says("1", 3, NO))
    assert len(site.store.history(site.enterprise, site.find("1").id)) == 1
    assert len(seqs(site)) == 1


def test_a_line_names_the_run_that_brought_it(site: Site) -> None:
    with site.database.write(site.enterprise) as transaction:
        site.store.apply_many(transaction, site.enterprise, "adt", [says("1", 1, YES)], now=site.tick(), run_id="run_1")
    assert site.store.history(site.enterprise, site.find("1").id)[0].run_id == "run_1"


def test_the_history_of_nobody_is_an_error(site: Site) -> None:
    with pytest.raises(PatientUnknown):
        site.store.history(site.enterprise, "pt_0000000000000001")


def test_the_feed_can_be_read_page_by_page_without_gap_or_repeat(site: Site) -> None:
    site.apply(*(says(str(number), 1, YES) for number in range(10)))
    site.apply(*(says(str(number), 2, NO) for number in range(0, 10, 3)))
    whole = site.store.changes(site.enterprise, 0, 1_000)
    paged, after = [], 0
    while page := site.store.changes(site.enterprise, after, 3):
        assert len(page) <= 3
        paged += page
        after = page[-1].seq
    assert paged == whole
    assert [one.seq for one in whole] == sorted({one.seq for one in whole})
    assert len(whole) == 14


def test_what_comes_after_a_place_in_the_feed_is_found_from_there(site: Site) -> None:
    site.apply(says("1", 1, YES))
    after = seqs(site)[-1]
    assert seqs(site, after) == []
    site.apply(says("2", 1, YES))
    (change,) = site.store.changes(site.enterprise, after, 10)
    assert (change.patient_id, change.version, change.attributes) == (site.find("2").id, 1, ("do_not_contact",))
    assert change.at == site.now


def test_every_version_of_every_patient_is_in_the_feed(site: Site) -> None:
    site.apply(says("1", 1), says("2", 1, {**YES, "phones": (cell(),)}), says("3", 1, NO))
    site.apply(says("1", 2, YES))
    site.text("STOP")
    site.text("START")
    site.apply(merges("3", "2"), merges("9", "8"))
    site.text("START")
    newest: dict[str, int] = {}
    for change in site.store.changes(site.enterprise, 0, 1_000):
        assert change.version >= newest.get(change.patient_id, 0)
        newest[change.patient_id] = change.version
    for value in "139":
        patient = site.find(value)
        assert newest[patient.id] == patient.version


def test_a_transaction_that_fails_leaves_nothing_behind(site: Site) -> None:
    def failing() -> None:
        with site.database.write(site.enterprise) as transaction:
            site.store.apply_many(transaction, site.enterprise, "adt", [says("1", 1, YES)], now=site.tick())
            raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError, match="power"):
        failing()
    with pytest.raises(PatientUnknown):
        site.find("1")
    assert seqs(site) == []
    assert site.apply(says("1", 1, YES)) == ["applied"]


def test_the_feed_of_one_enterprise_shows_nothing_of_another(site: Site) -> None:
    both = Site(site.database, SYNCED, type(SYNCED)("other", syncs=True))
    both.outcomes(says("1", 1, YES), enterprise="other")
    assert seqs(both) == []
    patient = both.store.changes("other", 0, 10)[0].patient_id
    with pytest.raises(PatientUnknown):
        both.store.history(both.enterprise, patient)
