"""Each Consent or Flag of a patient stands until it ends itself: the end of one erases no refusal of another.

Product rules 5.1 and 5.7, product section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.domain.patient import PatientRef
from store.holds.gate import HoldAll
from store.holds.review import HeldReview
from store.preference import Codes, PatientStatements, Statement
from store.runs.runs import Journal
from tests.store.domain.test_periods import ACTOR, DAY, DNC, SMS, ask, dated, fall_due, phones, stored
from tests.store.site import FHIR, HOSPITAL, Site, at, merges, says

A, B = "Consent/a", "Consent/b"


def day(number: float) -> datetime:
    return at(number * DAY)


class Record(NamedTuple):
    """A Consent, as the server has it: who stated it last (``stated``, a rank), and when it counts, in days; read on a day."""

    value: str
    begins: int | None
    ends: int | None
    stated: int
    read: int = 0

    def is_in_force(self, when: float) -> bool:
        return self.has_begun(when) and not self.has_ended(when)

    def has_begun(self, when: float) -> bool:
        return self.begins is None or self.begins <= when

    def has_ended(self, when: float) -> bool:
        return self.ends is not None and self.ends <= when

    def item(self, name: str, patient: str = "1") -> PatientStatements:
        """What a reader makes of it on the day on which it is read."""
        said: dict[str, Any] = {SMS: None} if self.has_ended(self.read) else {SMS: self.value} if self.has_begun(self.read) else {}
        later = [(SMS, day(self.begins), self.value)] if self.begins is not None and self.begins > self.read else []
        later += [(SMS, day(self.ends), None)] if self.ends is not None and self.ends > self.read else []
        return dated(self.stated, *later, said=said, record=name, patient=patient)


def agrees_with_rule(refused: bool, records: Sequence[Record], when: float) -> bool:
    """The rule, plainly: of those in force the one that was stated last counts.

    Once a record is over that was stated after all others, any refusal in force may count.
    """
    in_force = [one for one in records if one.is_in_force(when)]
    last = max(in_force, key=lambda one: one.stated, default=None)
    must = last is not None and last.value == "denied"
    return refused or not must if any(one.value == "denied" for one in in_force) else not refused


MOMENTS = (1, 6, 11, 16, 21)
ENDS = {"open": (None, None), "begins": (5, None), "ends": (None, 10), "within": (5, 10), "later": (10, 20), "long": (None, 20)}


@st.composite
def several(draw: st.DrawFn) -> list[Record]:
    """Two or three records, in the order in which they are read."""
    count = draw(st.integers(2, 3))
    ranks = draw(st.permutations(range(count)))
    found = [
        Record(
            draw(st.sampled_from(("denied", "granted"))),
            *ENDS[draw(st.sampled_from(sorted(ENDS)))],
            rank,
            draw(st.sampled_from((0, 7, 12))),
        )
        for rank in ranks
    ]
    return sorted(found, key=lambda one: one.read)


def agrees(site: Site, records: list[Record], patient: str, *, lazy: bool) -> None:
    """Plays the records; what is previewed, and what is written, is what the rule says. ``lazy``: nothing is written until the end."""
    phones(site, patient)
    seen_ahead: dict[int, bool] = {}
    for reading in sorted({one.read for one in records}):
        site.now = max(site.now, day(reading + 0.5))
        if not lazy:
            fall_due(site, site.now)
        for place, one in enumerate(records):
            if one.read == reading:
                site.apply(one.item(f"Consent/{place}", patient), source=FHIR)
        known = [one for one in records if one.read <= reading]
        if not lazy or reading == 0:
            seen_ahead = {when: ask(site, day(when), patient).decision == "do_not_send" for when in MOMENTS if when > reading}
            assert all(agrees_with_rule(refused, known, when) for when, refused in seen_ahead.items()), seen_ahead
    last = max(one.read for one in records)
    for when in MOMENTS:
        if when > last:
            fall_due(site, day(when))
            refused = stored(site, patient) == "denied"
            assert agrees_with_rule(refused, records, when), when
            assert lazy or refused is seen_ahead[when], when


def played(site: Site, records: list[Record], *, lazy: bool = False) -> None:
    site.now = at(10_000)
    played.count += 1
    agrees(site, records, str(played.count), lazy=lazy)


played.count = 0


def test_records_count_as_long_as_they_are_in_force_whatever_the_order(site: Site) -> None:
    many = 120 if site.database.engine.dialect.name == "sqlite" else 20

    @settings(max_examples=many, deadline=None, suppress_health_check=list(HealthCheck))
    @given(several(), st.booleans())
    def holds(records: list[Record], lazy: bool) -> None:
        played(site, records, lazy=lazy)

    holds()


def consents(site: Site, **records: Record) -> None:
    """Consents of patient 1, read in that order. A record that is read later is read at its time."""
    phones(site)
    for name, one in records.items():
        if one.read:
            site.now = max(site.now, day(one.read))
            fall_due(site, site.now)
        site.apply(one.item(f"Consent/{name}"), source=FHIR)


def test_a_permission_that_ends_brings_an_older_refusal_back(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1), b=Record("granted", None, 10, 2))
    assert [ask(site, day(when)).decision for when in (9, 11)] == ["send", "do_not_send"]
    fall_due(site, day(11))
    assert (stored(site), ask(site, now=day(11)).evidence[0].id) == ("denied", "Consent/a/_history/1")
    site.apply(Record("denied", None, None, 1).item("Consent/a"), Record("granted", None, 10, 2, 11).item("Consent/b"), source=FHIR)
    assert stored(site) == "denied"
    site.apply(dated(3, said={SMS: None}, record=A, version=2), source=FHIR)
    assert stored(site) == "unknown"


def test_of_two_refusals_the_end_of_the_newer_leaves_the_one_that_began_meanwhile(site: Site) -> None:
    consents(site, a=Record("denied", 5, None, 1), b=Record("denied", None, 10, 2))
    assert ask(site, day(30)).decision == "do_not_send"
    fall_due(site, day(11))
    assert stored(site) == "denied"


def test_a_refusal_that_began_while_a_newer_permission_counted_counts_after_it(site: Site) -> None:
    consents(site, a=Record("denied", 5, None, 1), b=Record("granted", None, 10, 2))
    assert [ask(site, day(when)).decision for when in (6, 11)] == ["send", "do_not_send"]
    fall_due(site, day(20))
    assert stored(site) == "denied"


@pytest.mark.parametrize("kind", ["Consent/", "Flag/"])
def test_what_is_previewed_is_what_is_written_where_a_refusal_ends_that_another_repeats(site: Site, kind: str) -> None:
    attribute, value = (SMS, "denied") if kind == "Consent/" else (DNC, "yes")
    phones(site)
    site.apply(dated(2, (attribute, day(5), value), record=f"{kind}b"), source=FHIR)
    site.apply(dated(1, (attribute, day(10), None), said={attribute: value}, record=f"{kind}a"), source=FHIR)
    ref = PatientRef(authority="GENHOSP", value="1")
    assert site.store.find(HOSPITAL, ref, day(11)).preferences[attribute].assertion.value == value
    fall_due(site, day(11))
    assert site.value("1", attribute) == value


@pytest.mark.parametrize("first", ["refusal", "end"])
@pytest.mark.parametrize("ended", [Record("denied", None, -1, 2), Record("granted", None, -1, 2)])
def test_the_end_of_a_record_erases_no_refusal_of_another(site: Site, first: str, ended: Record) -> None:
    phones(site)
    items = [Record("denied", None, None, 1).item(A), ended.item(B)]
    site.apply(*(items if first == "refusal" else reversed(items)), source=FHIR)
    assert stored(site) == "denied"


def test_an_end_that_the_safeguard_held_is_no_end_of_another_refusal(site: Site) -> None:
    consents(site, a=Record("denied", None, 5, 2))
    run, verdicts = held_at(site, day(6))
    site.apply(Record("denied", None, None, 1).item(B), source=FHIR)
    verdicts.approve(run, ACTOR, site.tick())
    assert stored(site) == "denied"
    site.apply(dated(3, said={SMS: None}, record=B, version=2), source=FHIR)
    assert stored(site) == "unknown"


def test_an_end_that_the_safeguard_held_is_one_once_it_is_approved(site: Site) -> None:
    consents(site, a=Record("denied", None, 5, 2))
    run, verdicts = held_at(site, day(6))
    assert stored(site) == "denied"
    verdicts.approve(run, ACTOR, site.tick())
    assert stored(site) == "unknown"


@pytest.mark.parametrize("mapping", ["one", "two"])
def test_of_what_is_approved_a_person_is_told_what_another_mapping_read(site: Site, mapping: str) -> None:
    phones(site)
    site.apply(replace(dated(0, said={SMS: "denied"}, record=A), mapping="one"), source=FHIR)
    journal = Journal(site.database)
    run = journal.start(FHIR, HOSPITAL, "incremental", now=site.now)
    permitted = replace(dated(5, said={SMS: "granted"}, record=A, version=2), mapping=mapping)
    with site.database.write(HOSPITAL) as transaction:
        site.store.apply_many(transaction, HOSPITAL, FHIR, [permitted], now=site.tick(), guard=HoldAll(run.id))
    journal.finish(run, "held", None, site.now)
    HeldReview(site.store, journal).approve(run.id, ACTOR, site.tick())
    is_current = mapping == "one"
    assert stored(site) == ("granted" if is_current else "denied")
    found = journal.run(run.id)
    assert (found.status, "read with another mapping" in (found.note or "")) == ("done", not is_current)


def held_at(site: Site, when: datetime) -> tuple[str, HeldReview]:
    """What falls due then is held."""
    journal = Journal(site.database)
    site.now = when
    run = journal.start(FHIR, HOSPITAL, "incremental", now=when)
    fall_due(site, when, lambda *_: HoldAll(run.id))
    journal.finish(run, "held", None, when)
    return run.id, HeldReview(site.store, journal)


def test_two_refusals_that_both_end_leave_none(site: Site) -> None:
    consents(site, a=Record("denied", None, 10, 1), b=Record("denied", None, 20, 2))
    assert [ask(site, day(when)).decision for when in (11, 21)] == ["do_not_send", "send"]
    for when, value in ((11, "denied"), (21, "unknown")):
        fall_due(site, day(when))
        assert stored(site) == value


def test_a_version_that_permits_takes_back_what_the_record_refused(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1), b=Record("granted", None, 10, 3))
    site.apply(dated(2, said={SMS: "granted"}, record=A, version=2), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "unknown"


def test_an_older_version_of_a_record_that_comes_late_refuses_nothing(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1), b=Record("granted", None, 10, 4))
    late = dated(2, said={SMS: "denied"}, record=A, version=2)
    site.apply(dated(3, said={SMS: "granted"}, record=A, version=3), late, source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "unknown"


def test_of_one_version_that_says_two_things_at_one_time_the_refusal_counts(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1), b=Record("granted", None, 10, 4))
    site.apply(dated(1, said={SMS: "granted"}, record=A), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "denied"


def test_of_those_in_force_the_last_counts_also_where_it_comes_late(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1), b=Record("granted", None, 10, 3))
    fall_due(site, day(11))
    assert stored(site) == "denied"
    site.apply(Record("granted", None, None, 2).item("Consent/late"), source=FHIR)
    assert stored(site) == "granted"


def test_a_first_version_that_comes_after_the_second_refuses_nothing(site: Site) -> None:
    phones(site)
    site.apply(dated(2, said={SMS: "granted"}, record=A, version=2), dated(1, said={SMS: "denied"}, record=A), source=FHIR)
    site.apply(Record("granted", None, 10, 3).item(B), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "unknown"


def test_what_a_patient_resource_refuses_outlives_the_permission_of_a_consent(site: Site) -> None:
    phones(site)
    site.apply(says("1", 1, {SMS: "denied"}, evidence="Patient/1/_history/1"), source=FHIR)
    site.apply(Record("granted", None, 10, 2).item(B), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "denied"
    site.apply(says("1", 3, {SMS: None}, evidence="Patient/1/_history/2", version=2), source=FHIR)
    assert stored(site) == "unknown"


def test_a_store_from_before_learns_what_stands_when_something_newer_comes(site: Site) -> None:
    consents(site, a=Record("denied", None, None, 1))
    with site.database.write(HOSPITAL) as transaction:
        transaction.exec_driver_sql("DELETE FROM record_refusals")
    site.apply(Record("granted", None, 10, 2).item(B), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "denied"


def test_a_reading_of_codes_that_permits_takes_the_refusal_of_the_former_one_back(site: Site) -> None:
    phones(site)
    coded = says("1", 0, {SMS: "denied"}, evidence="Patient/1/_history/1", mapping="m1", codes={SMS: Codes("x", (("01", "x"),))})
    site.apply(coded, dated(1, (SMS, day(10), None), said={SMS: "granted"}, record=B, mapping="m1"), source=FHIR)
    site.store.reads_by(FHIR, Reads("granted"))
    site.apply(says("1", 2, {"language": "en"}, mapping="m2", evidence="Patient/1/_history/2", version=2), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "unknown"


def test_a_reading_of_codes_that_refuses_counts_where_a_permission_ended(site: Site) -> None:
    phones(site)
    coded = says("1", 0, {SMS: "granted"}, evidence="Patient/1/_history/1", mapping="m1", codes={SMS: Codes("x", (("01", "x"),))})
    site.apply(coded, dated(1, (SMS, day(10), None), said={SMS: "granted"}, record=B, mapping="m1"), source=FHIR)
    fall_due(site, day(11))
    assert stored(site) == "unknown"
    site.store.reads_by(FHIR, Reads("denied"))
    site.apply(says("1", 2, {"language": "en"}, mapping="m2", evidence="Patient/1/_history/2", version=2), source=FHIR)
    assert stored(site) == "denied"


@pytest.mark.parametrize("value", ["granted", "denied"])
@pytest.mark.parametrize("stated", [1, 20], ids=["before the clear", "after it"])
def test_a_mapping_that_reads_the_same_leaves_what_a_record_says_beside_a_clear(site: Site, value: str, stated: int) -> None:
    phones(site)
    cleared = says("1", 10, {SMS: None}, evidence="Patient/1/_history/1", mapping="m1", codes={SMS: Codes("x", (("00", "x"),))})
    record = says("1", stated, {SMS: value}, evidence=f"{B}/_history/1", mapping="m1")
    for item in sorted([cleared, record], key=lambda one: one.effective.latest):
        site.apply(item, source=FHIR)
    assert stored(site) == value
    site.store.reads_by(FHIR, Reads(None))
    site.apply(says("1", 30, {"language": "en"}, mapping="m2", evidence="Patient/1/_history/2", version=2), source=FHIR)
    assert stored(site) == value


class Reads:
    """Reads every code of its own field as one value."""

    mapping = "m2"

    def __init__(self, value: str | None) -> None:
        self.value = value

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement, None] | None:
        return (Statement(self.value, "x"), None) if codes.place == "x" else None


# Two patients who are one


@pytest.mark.parametrize("late", [False, True])
def test_a_refusal_to_begin_of_either_side_counts_after_a_merge(site: Site, late: bool) -> None:
    phones(site, "1", "2")
    refusal, permission = Record("denied", 5, None, 1).item(A, "2"), Record("granted", None, None, 20).item(B, "1")
    site.apply(*([permission] if late else [permission, refusal]), source=FHIR)
    site.apply(merges("1", "2", 100))
    if late:
        site.apply(refusal, source=FHIR)
    assert ask(site, day(6)).decision == "do_not_send"
    fall_due(site, day(6))
    assert stored(site) == "denied"


def test_what_was_stated_since_a_merge_is_about_both(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(Record("denied", 5, None, 1).item(A, "2"), source=FHIR)
    site.apply(merges("1", "2", 100))
    site.apply(Record("granted", None, 10, 200).item(B, "1"), source=FHIR)
    assert [ask(site, day(when)).decision for when in (6, 11)] == ["send", "do_not_send"]
    fall_due(site, day(6))
    assert stored(site) == "granted"
    fall_due(site, day(11))
    assert stored(site) == "denied"


def test_refusals_of_either_side_survive_a_merge_and_go_back_with_it(site: Site) -> None:
    phones(site, "1", "2")
    for patient, name in (("1", "x"), ("2", "y")):
        site.apply(Record("denied", None, None, 1).item(f"Consent/{name}", patient), source=FHIR)
    site.apply(merges("1", "2", 100))
    site.apply(dated(200, said={SMS: None}, record="Consent/x", version=2), source=FHIR)
    assert stored(site) == "denied", "the other one still refuses"
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    assert [stored(site, patient) for patient in "12"] == ["unknown", "denied"]
    site.apply(dated(300, said={SMS: None}, record="Consent/y", version=2, patient="2"), source=FHIR)
    assert [stored(site, patient) for patient in "12"] == ["unknown", "unknown"]


def test_a_store_from_before_learns_what_stands_of_either_side_at_a_merge(site: Site) -> None:
    phones(site, "1", "2")
    for patient, name in (("1", "x"), ("2", "y")):
        site.apply(Record("denied", None, None, 1).item(f"Consent/{name}", patient), source=FHIR)
    with site.database.write(HOSPITAL) as transaction:
        transaction.exec_driver_sql("DELETE FROM record_refusals")
    site.apply(merges("1", "2", 100))
    for name, value in (("x", "denied"), ("y", "unknown")):
        site.apply(dated(200, said={SMS: None}, record=f"Consent/{name}", version=2), source=FHIR)
        assert stored(site) == value


def test_what_one_side_took_back_permits_nothing_that_a_record_of_the_other_refuses(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(Record("denied", None, -1, 3).item("Consent/x", "1"), source=FHIR)
    site.apply(Record("denied", None, None, 1).item(A, "2"), Record("granted", None, 10, 2).item(B, "2"), source=FHIR)
    site.apply(merges("1", "2", 100))
    assert stored(site) == "denied"


def test_undone_each_side_keeps_what_its_records_refuse_behind_a_permission(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(Record("denied", None, None, 1).item(A, "2"), Record("granted", None, 10, 2).item(B, "2"), source=FHIR)
    site.apply(merges("1", "2", 100))
    fall_due(site, day(11))
    assert stored(site) == "denied"
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    assert [stored(site, patient) for patient in "12"] == ["unknown", "denied"]


def test_a_refusal_behind_a_permission_that_was_stated_while_two_were_one_is_of_both(site: Site) -> None:
    phones(site, "1", "2")
    site.apply(merges("1", "2", 100))
    site.apply(Record("denied", None, None, 200).item(A, "2"), Record("granted", None, 10, 201).item(B, "2"), source=FHIR)
    site.store.unmerge(HOSPITAL, PatientRef(authority="GENHOSP", value="2"), actor=ACTOR, reason="a mistake", now=site.tick())
    fall_due(site, day(11))
    assert [stored(site, patient) for patient in "12"] == ["denied", "denied"]
