"""Each Consent or Flag of a patient stands until it ends itself: the end of one erases no refusal of another (rules 5.1, 5.7 and 7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.preference import PatientStatements
from tests.store.site import FHIR, Site, at
from tests.store.test_periods import DAY, SMS, ask, dated, fall_due, phones, stored

A, B, C = "Consent/a", "Consent/b", "Flag/c"


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


def is_refused(records: Sequence[Record], when: float) -> bool:
    """The rule, plainly: the newest that was stated counts while it is in force, and once it is over every refusal in force does."""
    begun = [one for one in records if one.has_begun(when)]
    newest = max(begun, key=lambda one: one.stated, default=None)
    if newest is not None and newest.value == "granted" and newest.is_in_force(when):
        return False
    return any(one.value == "denied" and one.is_in_force(when) for one in begun)


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
    for reading in sorted({one.read for one in records}):
        site.now = max(site.now, day(reading + 0.5))
        if not lazy:
            fall_due(site, site.now)
        for place, one in enumerate(records):
            if one.read == reading:
                site.apply(one.item(f"Consent/{place}", patient), source=FHIR)
        known = [one for one in records if one.read <= reading]
        if not lazy or reading == 0:
            refused = {when: is_refused(known, when) for when in MOMENTS if when > reading}
            assert {when: ask(site, day(when), patient).decision == "do_not_send" for when in refused} == refused
    last = max(one.read for one in records)
    for when in MOMENTS:
        if when > last:
            fall_due(site, day(when))
            assert (stored(site, patient) == "denied") is is_refused(records, when), when


def played(site: Site, records: list[Record], *, lazy: bool = False) -> None:
    site.now = at(10_000)
    played.count += 1
    agrees(site, records, str(played.count), lazy=lazy)


played.count = 0


@pytest.mark.parametrize("examples", [150])
def test_records_count_as_long_as_they_are_in_force_whatever_the_order(site: Site, examples: int) -> None:
    many = examples if site.database.engine.dialect.name == "sqlite" else 20

    @settings(max_examples=many, deadline=None, suppress_health_check=list(HealthCheck))
    @given(several())
    def holds(records: list[Record]) -> None:
        played(site, records)

    holds()
