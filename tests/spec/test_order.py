"""Checks the table of evidence order on the real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from store import times
from store.db.database import Database
from tests.spec.order import ORDER
from tests.store.site import LOCAL, SYNCED, Site, at, merges, says


def step(site: Site, event: str) -> Site:
    """Plays one event of a row; returns the site with the configuration in force afterwards."""
    if event in ("sync", "no sync"):
        turned = site.configured(SYNCED if event == "sync" else LOCAL)
        turned.now = site.now
        return turned
    record, _, event = event.rpartition(": ")
    what, _, when = event.partition("@")
    who, _, value = what.partition(" ")
    if who == "merge":
        assert site.apply(merges("1", "2", float(when))) == ["merged"]
    elif who == "staff":
        value, _, late = value.partition(" ")
        site.flip(record or "1", value, now=site.now - timedelta(minutes=20) if late else None)
    else:
        stated = {} if value == "..." else {"do_not_contact": None if value == "-" else value}
        earliest, _, latest = when.partition("~")
        item = says(record or "1", float(earliest), stated, evidence=f"{who}-{what}-{when}")
        if latest:
            item = replace(item, effective=times.Time(at(float(earliest)), at(float(latest))))
        site.apply(item, source=who)
    return site


@pytest.fixture
def site(sqlite_url: str) -> Iterator[Site]:
    database = Database.open(sqlite_url)
    yield Site(database)
    database.close()


@pytest.mark.parametrize(("rule", "events", "expected"), ORDER, ids=[rule for rule, *_ in ORDER])
def test_which_evidence_counts(site: Site, rule: str, events: str, expected: str) -> None:
    for event in events.split(", "):
        site = step(site, event)
    assert site.dnc("1") == expected
