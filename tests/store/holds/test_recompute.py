"""After another configuration came into force every value is written anew, and the feed tells whoever keeps a copy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store.domain.enterprise import Enterprise
from store.holds.recompute import Recomputation
from tests.store.site import FHIR, HOSPITAL, LOCAL, SYNCED, Site, cell, says

PATIENTS = "1234567"
ON = replace(SYNCED, sources=SYNCED.sources[::-1])


def bases(site: Site) -> set[str]:
    with site.database.read() as connection:
        return {row[0] for row in site.database.select(connection, "SELECT basis FROM patients", [])}


def feed(site: Site, after: int) -> list[tuple[str, int]]:
    return [(one.patient_id, one.version) for one in site.store.changes(HOSPITAL, after, 100)]


def end(site: Site) -> int:
    return site.store.changes(HOSPITAL, 0, 1_000)[-1].seq


@pytest.fixture
def local(site: Site) -> Site:
    """Seven patients who said no to an EMR, where that has no effect yet."""
    found = site.configured(LOCAL)
    found.apply(*(says(patient, 0, {"do_not_contact": "yes", "phones": (cell(),)}) for patient in PATIENTS))
    return found


def test_what_refuses_now_is_in_the_feed_without_a_word_of_the_emr(local: Site) -> None:
    before, on = end(local), local.configured(SYNCED)
    assert on.dnc("1") == "yes", "computed when it is read, until it is written"
    assert Recomputation(on.store, chunk=3).run(HOSPITAL, on.tick()) == len(PATIENTS)
    assert sorted(feed(on, before)) == sorted((on.find(patient).id, on.find(patient).version) for patient in PATIENTS)
    assert bases(on) == {SYNCED.basis}
    assert [on.dnc(patient) for patient in PATIENTS] == ["yes"] * len(PATIENTS)


def test_it_says_nothing_new_in_the_history(local: Site) -> None:
    number = local.find("1").id
    before, on = local.store.history(HOSPITAL, number), local.configured(SYNCED)
    Recomputation(on.store).run(HOSPITAL, on.tick())
    assert on.store.history(HOSPITAL, number) == before


def test_a_second_time_nothing_is_left_to_write(local: Site) -> None:
    on = local.configured(SYNCED)
    restating = Recomputation(on.store, chunk=len(PATIENTS))
    assert [restating.run(HOSPITAL, on.tick()) for _ in range(2)] == [len(PATIENTS), 0]
    assert Recomputation(on.store).run(HOSPITAL, on.tick()) == 0


def test_it_goes_on_where_another_one_ended(local: Site) -> None:
    on = local.configured(SYNCED)
    on.apply(says("3", 5, {"language": "es"}))
    assert Recomputation(on.store, chunk=2).run(HOSPITAL, on.tick()) == len(PATIENTS) - 1


def test_told_to_stop_it_leaves_the_rest_to_the_next(local: Site) -> None:
    on, asked = local.configured(SYNCED), iter([False, True])
    assert Recomputation(on.store, chunk=3, stopped=lambda: next(asked)).run(HOSPITAL, on.tick()) == 3
    assert Recomputation(on.store).run(HOSPITAL, on.tick()) == len(PATIENTS) - 3


def test_what_waits_beside_is_a_configuration_of_its_own(local: Site) -> None:
    waiting: Enterprise = replace(LOCAL, held=SYNCED)
    held = local.configured(waiting)
    assert Recomputation(held.store).run(HOSPITAL, held.tick()) == len(PATIENTS)
    assert (bases(held), held.dnc("1")) == ({f"{LOCAL.basis}|{SYNCED.basis}"}, "yes")


def test_a_repeat_of_the_emr_is_known_again_after_it(local: Site) -> None:
    on = local.configured(ON)
    Recomputation(on.store).run(HOSPITAL, on.tick())
    before = end(on)
    assert on.apply(says("1", 0, {"do_not_contact": "yes", "phones": (cell(),)})) == ["unchanged"]
    assert feed(on, before) == []
    assert on.apply(says("1", 1, {"do_not_contact": "no"}), source=FHIR) == ["applied"]
    assert on.dnc("1") == "yes"
