"""A wrong mapping that was rolled back leaves no trace in two records that are separated later (product rules 5.7 and 5.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from store.db.database import Database
from tests.sync.test_remap import Site, merge_of, message, unmerge

Mapping = dict[str, Any]


def codes(**values: str) -> Mapping:
    return {"do_not_contact": {"from": "ZCP-2", "values": values}}


CORRECT = codes(DNC="yes", OK="no", X="no_statement")
WRONG = {
    "swapped": codes(DNC="no", OK="yes", X="no_statement"),
    "all permit": codes(DNC="no", OK="no", X="no"),
    "all refuse": codes(DNC="yes", OK="yes", X="yes"),
    "refusal unknown": codes(OK="no", X="no_statement"),
}


class Says(NamedTuple):
    """A message with one code about one record, dated to a minute."""

    record: str
    code: str
    minute: int
    control: str = ""

    def body(self, name: str) -> bytes:
        return message(f"{name}-{self.record}", self.code, self.minute, self.control)


class Joins(NamedTuple):
    """A merge of two records, dated to a minute."""

    survivor: str
    merged: str
    minute: int

    def body(self, name: str) -> bytes:
        return merge_of(f"{name}-{self.survivor}", f"{name}-{self.merged}", self.minute)


class History(NamedTuple):
    """Messages in order of receipt, and what each record states once the merges are undone, the last one first."""

    events: list[Says | Joins]
    expected: dict[str, str]

    @property
    def undone(self) -> list[str]:
        return [one.merged for one in reversed(self.events) if isinstance(one, Joins)]

    @property
    def before_merge(self) -> int:
        return next(place for place, one in enumerate(self.events) if isinstance(one, Joins))


HISTORIES = {
    "refused before": History([Says("1", "DNC", 1), Joins("1", "2", 4)], {"1": "yes", "2": "unknown"}),
    "permitted before": History([Says("1", "OK", 1), Joins("1", "2", 4)], {"1": "no", "2": "unknown"}),
    "merged record refused before": History(
        [Says("1", "OK", 1), Says("2", "DNC", 2), Joins("1", "2", 4), Says("1", "", 6)], {"1": "no", "2": "yes"}
    ),
    "newest code before states nothing": History(
        [Says("2", "DNC", 1), Says("2", "X", 2), Joins("1", "2", 4)], {"1": "unknown", "2": "yes"}
    ),
    "permitted since": History([Says("1", "DNC", 1), Joins("1", "2", 4), Says("1", "OK", 6)], {"1": "no", "2": "unknown"}),
    "refused since": History([Says("1", "OK", 1), Says("2", "OK", 2), Joins("1", "2", 4), Says("1", "DNC", 6)], {"1": "yes", "2": "yes"}),
    "refused again since": History([Says("1", "DNC", 1), Joins("1", "2", 4), Says("1", "DNC", 6)], {"1": "yes", "2": "yes"}),
    "refused before, received since": History(
        [Says("1", "OK", 1), Says("2", "OK", 2), Joins("1", "2", 9), Says("1", "DNC", 3)], {"1": "yes", "2": "yes"}
    ),
    "one control id for all messages": History(
        [Says("1", "OK", 1, "SAME"), Joins("1", "2", 9), Says("1", "DNC", 3, "SAME")], {"1": "yes", "2": "yes"}
    ),
    "an older refusal like the newest, received since": History(
        [Says("1", "DNC", 2), Says("1", "DNC", 5), Joins("1", "2", 8), Says("1", "DNC", 3)], {"1": "yes", "2": "unknown"}
    ),
    "refused before two merges": History(
        [Says("3", "X", 1), Says("3", "DNC", 2), Joins("2", "3", 4), Joins("1", "2", 5), Says("1", "", 6)],
        {"1": "unknown", "2": "unknown", "3": "yes"},
    ),
    "two records refused with one code": History(
        [Says("3", "DNC", 1), Says("1", "DNC", 2), Joins("1", "2", 4), Joins("3", "1", 5), Says("1", "X", 6)],
        {"1": "yes", "2": "unknown", "3": "yes"},
    ),
    "permitted between two merges": History(
        [Says("2", "DNC", 2), Says("1", "DNC", 0), Joins("1", "2", 4), Says("2", "OK", 5), Joins("1", "3", 6)],
        {"1": "yes", "2": "no", "3": "unknown"},
    ),
}


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


def received_before_merges() -> list[bytes]:
    return [one.body(name) for name, history in HISTORIES.items() for one in history.events[: history.before_merge]]


def received_since() -> list[bytes]:
    return [one.body(name) for name, history in HISTORIES.items() for one in history.events[history.before_merge :]]


def never_wrong(site: Site, wrong: Mapping) -> None:
    site.receive(CORRECT, *received_before_merges(), *received_since())


def wrong_for_all(site: Site, wrong: Mapping) -> None:
    site.receive(wrong, *received_before_merges(), *received_since())
    site.remap(CORRECT)


def wrong_before_the_merges(site: Site, wrong: Mapping) -> None:
    site.receive(wrong, *received_before_merges())
    site.receive(CORRECT, *received_since())
    site.remap(CORRECT)


def wrong_since_the_merges(site: Site, wrong: Mapping) -> None:
    site.receive(CORRECT, *received_before_merges())
    site.receive(wrong, *received_since())
    site.remap(CORRECT)


def wrong_for_a_while(site: Site, wrong: Mapping) -> None:
    never_wrong(site, wrong)
    site.remap(wrong)
    site.remap(CORRECT)


WAYS: list[Callable[[Site, Mapping], None]] = [
    wrong_for_all,
    wrong_before_the_merges,
    wrong_since_the_merges,
    wrong_for_a_while,
]


def separated(site: Site) -> dict[str, dict[str, str]]:
    """What each record states once all merges are undone."""
    for name, history in HISTORIES.items():
        for merged in history.undone:
            unmerge(site, f"{name}-{merged}")
    return {name: {record: site.dnc(f"{name}-{record}") for record in history.expected} for name, history in HISTORIES.items()}


EXPECTED = {name: history.expected for name, history in HISTORIES.items()}


def test_an_unmerge_gives_each_record_its_own_statements_and_the_refusals_since_the_merge(site: Site) -> None:
    never_wrong(site, CORRECT)
    assert separated(site) == EXPECTED


@pytest.mark.parametrize("way", WAYS, ids=[one.__name__ for one in WAYS])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_mapping_that_was_rolled_back_leaves_no_trace_after_an_unmerge(
    site: Site, wrong: Mapping, way: Callable[[Site, Mapping], None]
) -> None:
    way(site, wrong)
    assert separated(site) == EXPECTED


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_reading_again_after_a_wrong_mapping_leaves_no_trace_after_an_unmerge(site: Site, wrong: Mapping) -> None:
    """Except after a second merge: a refusal from before it that is read again holds until the next statement."""
    site.receive(wrong, *received_before_merges(), *received_since())
    site.receive(CORRECT, *received_before_merges(), *received_since())
    found, several = separated(site), "permitted between two merges"
    assert found | {several: {}} == EXPECTED | {several: {}}
    assert found[several]["1"] == "yes"
