"""One page of the opt-out report: who recorded an opt-out, found along an index, whatever became of the number since."""

from __future__ import annotations

import pytest

from store.domain.lock import Actor, Role
from store.domain.sms_consent import REVIEW
from store.patients.opt_out_report import NEXT_NUMBERS, OF_AUTHORITY, Wanted, part
from store.preference import PATIENT, STAFF
from tests.store.site import ADT, CELL, HOME, WORK, Site, cell, says

BY_HAND = {"ix_sms_words_by_hand", "ix_sms_bindings_by_hand"}


def lists(site: Site, patient: str, seconds: float, *numbers: str) -> None:
    site.apply(says(patient, seconds, {"phones": tuple(cell(number) for number in numbers)}), source=ADT)


def listed(site: Site, authority: str | None, **more: str) -> list[tuple[str, str]]:
    found = part(site.store.database, site.enterprise, Wanted(authority=authority), **more)
    return [(one.number, one.authority) for one in found.opt_outs]


def by_hand(site: Site, patient: str) -> None:
    who, actor = site.find(patient).id, Actor(Role.STAFF, "sam")
    site.store.record_sms_opt_out(site.enterprise, who, line=None, topic=None, actor=actor, now=site.tick(), reason="phoned")


def test_an_opt_out_is_found_by_who_recorded_it(site: Site) -> None:
    lists(site, "1", 0, CELL)
    lists(site, "2", 0, HOME)
    site.text("STOPALL")
    by_hand(site, "2")
    site.text("wrong number", number=WORK)
    assert listed(site, STAFF) == [(HOME, STAFF)]
    assert listed(site, PATIENT) == [(CELL, PATIENT)]
    assert listed(site, REVIEW) == [(WORK, REVIEW)]
    assert listed(site, None) == sorted([(CELL, PATIENT), (HOME, STAFF), (WORK, REVIEW)])
    assert listed(site, None, after=CELL) == sorted(one for one in listed(site, None) if one[0] > CELL)


def test_an_opt_out_that_only_binds_a_patient_is_found(site: Site) -> None:
    lists(site, "1", 0, CELL)
    site.text("STOP")
    lists(site, "1", 1, HOME)
    lists(site, "2", 1, CELL)
    site.text("START", number=CELL)
    assert (site.may_text("1"), site.may_text("2")) == (False, True)
    assert listed(site, None) == listed(site, PATIENT) == listed(site, None, digits=CELL[-4:]) == [(CELL, PATIENT)]
    assert listed(site, STAFF) == listed(site, None, after=CELL) == []


@pytest.mark.parametrize("authority", [STAFF, REVIEW])
def test_the_rare_ones_are_read_from_an_index_of_their_own(site: Site, authority: str) -> None:
    database, some = site.store.database, [site.enterprise, "", "%%", 100]
    with database.write(site.enterprise) as transaction:
        if not database.is_sqlite:
            database.select(transaction, "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)", [])
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        query = explain + NEXT_NUMBERS.format(OF_AUTHORITY[authority])
        plan = "\n".join(str(row[-1]) for row in database.select(transaction, query, [site.enterprise, *some, *some, 100]))
    assert {name for name in BY_HAND if name in plan} == BY_HAND, plan
