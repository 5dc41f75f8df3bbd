"""Random histories over the real store: late, repeated, merged, under two configurations, beside a plain model of the rules.

The model keeps, for each record and authority, the time and value of what stands (product section 5), in a dict of dicts. It knows
nothing of rows, digests, batches or what was seen before.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import times
from store.db.database import Database
from store.preference import PatientMerge, PatientStatements
from tests.properties.owing import Owing
from tests.properties.words import Word, stopped_by
from tests.store.site import ADT, CELL, FHIR, HOME, LINE, LOCAL, SYNCED, Site, at, cell, mr, says

NAMES, SOURCES = ("x", "y", "z"), (ADT, FHIR)
NUMBERS = {"x": CELL, "y": HOME, "z": HOME}
OPT_OUTS = {"do_not_contact": "yes", "consent.sms": "denied", "consent.voice": "denied"}
VALUES: dict[str, list[Any]] = {
    "do_not_contact": ["yes", "no", None],
    "consent.sms": ["denied", "granted", None],
    "consent.voice": ["denied", "granted", None],
    "language": ["en", "es", None],
}
unique = itertools.count()

Said = tuple[float, Any]
"""A time, and the value that was said for it."""
Standing = dict[str, Said]


@dataclass
class Model:
    """Product section 5, written down plainly."""

    prefix: str
    standing: dict[str, dict[str, Standing]] = field(default_factory=dict)
    into: dict[str, str] = field(default_factory=dict)
    joined: dict[str, float] = field(default_factory=dict)

    def record(self, name: str) -> str:
        """The record that answers to a name."""
        while name in self.into:
            name = self.into[name]
        return name

    def hear(self, source: str, name: str, seconds: float, said: dict[str, Any]) -> None:
        stands = self.standing.setdefault(self.record(name), {}).setdefault(source, {})
        joined = self.joined.get(self.record(name), -1)
        for attribute, value in said.items():
            opts_out = value == OPT_OUTS.get(attribute, "never")
            was = stands.get(attribute, (-1, None))[0]
            if attribute not in stands or seconds > was or (opts_out and max(seconds, was) < joined):  # it would have survived
                stands[attribute] = max(seconds, joined) if opts_out else seconds, value

    def merge(self, survivor: str, merged: str, seconds: float) -> None:
        survivor, merged = self.record(survivor), self.record(merged)
        if survivor == merged:
            return
        for source in SOURCES:
            mine, theirs = (self.standing.get(name, {}).get(source, {}) for name in (survivor, merged))
            joined = {name: self._joined(name, mine.get(name), theirs.get(name), seconds) for name in mine | theirs}
            self.standing.setdefault(survivor, {})[source] = joined
        self.into[merged] = survivor
        self.joined[survivor] = max(self.joined.get(survivor, -1), self.joined.get(merged, -1), seconds)  # it may be several itself

    def _joined(
        self, attribute: str, mine: tuple[float, Any] | None, theirs: tuple[float, Any] | None, seconds: float
    ) -> tuple[float, Any]:
        said = [one for one in (mine, theirs) if one is not None]
        newest = max(said, key=lambda one: one[0])
        if any(value == OPT_OUTS.get(attribute, "never") for _, value in said):
            return max(newest[0], seconds), OPT_OUTS[attribute]
        return newest

    def in_force(self, name: str) -> dict[str, Any]:
        """With sync on: any no is a no; otherwise the first source that states it."""
        found: dict[str, Any] = {}
        for source in SOURCES:
            for attribute, (_, value) in self.standing.get(self.record(name), {}).get(source, {}).items():
                if value is not None and (attribute not in found or value == OPT_OUTS.get(attribute)):
                    found[attribute] = value
        return found


said = st.fixed_dictionaries({}, optional={attribute: st.sampled_from(values) for attribute, values in VALUES.items()})
payloads = st.tuples(st.just("says"), st.sampled_from(SOURCES), st.sampled_from(NAMES), st.integers(0, 30), said)
repeats = st.tuples(st.just("again"), st.integers(0, 30))
joins = st.tuples(st.just("merges"), st.permutations(NAMES).map(lambda names: tuple(names[:2])), st.integers(0, 40))
replies = st.tuples(st.just("texts"), st.sampled_from([CELL, HOME]), st.sampled_from(["STOP", "START"]), st.integers(0, 40))
histories = st.lists(st.one_of(payloads, payloads, repeats, replies, joins), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples: each has patients of its own."""
    path = tmp_path_factory.mktemp("histories") / "test.db"
    shutil.copyfile(sqlite_template, path)
    opened = Database.open(f"sqlite:///{path}")
    yield opened
    opened.close()


@dataclass
class History:
    """Plays one history on the store and on the model."""

    site: Site
    model: Model
    sent: list[tuple[str, str, float, PatientStatements]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owing = Owing(NAMES, [LINE], self.members, self.listed)

    def members(self, name: str) -> list[str]:
        return [one for one in NAMES if self.model.record(one) == self.model.record(name)]

    def listed(self, name: str) -> set[str]:
        return {phone.number for phone in self.site.find(self.name(name)).contact.phones}

    def name(self, name: str) -> str:
        return f"{self.model.prefix}-{name}"

    def number(self, number: str) -> str:
        return f"{number}{self.model.prefix}"  # the store compares numbers, it does not dial them

    def says(self, source: str, name: str, seconds: int, statements: dict[str, Any]) -> None:
        when = seconds + len(self.sent) / 1_000
        item = says(self.name(name), when, statements, evidence=f"{self.model.prefix}-{len(self.sent)}")
        self.sent.append((source, name, when, item))
        self.site.apply(item, source=source)
        self.model.hear(source, name, when, statements)

    def again(self, place: int) -> None:
        """A payload comes again. Nothing may change, whatever came since: the model does not hear of it."""
        if self.sent:
            source, _, _, item = self.sent[place % len(self.sent)]
            assert self.site.apply(item, source=source)[0] in ("unchanged", "stale")

    def merges(self, names: tuple[str, str], seconds: int) -> None:
        survivor, gone = names
        item = PatientMerge((mr(self.name(survivor)),), (mr(self.name(gone)),), times.at(at(seconds)), "A40")
        before = self.owing.about(survivor, gone) if self.members(survivor) != self.members(gone) else None
        self.site.apply(item)
        self.model.merge(survivor, gone, seconds)
        if before is not None:
            self.owing.joined(before)

    def texts(self, number: str, word: str, seconds: int) -> None:
        when = seconds + (word == "STOP") / 2  # of one instant the STOP counts
        self.site.text(word, when, number=self.number(number))
        said = Word("patient", self.number(number), LINE, word == "STOP", when)
        self.owing.replied(said)
        self.words.append(said)

    def play(self, steps: list[tuple[Any, ...]]) -> None:
        for name in NAMES:
            self.site.apply(says(self.name(name), -1, {"phones": (cell(self.number(NUMBERS[name])),)}))
        for what, *rest in steps:
            getattr(self, what)(*rest)

    def check(self) -> None:
        for name in NAMES:
            patient = self.site.find(self.name(name))
            found = {attribute: one.value for attribute, one in patient.preferences.items() if attribute in VALUES}
            expected = self.model.in_force(name)
            assert found == expected
            assert self.site.known(self.name(name)).contact == patient.contact
            self.check_texts(name, expected)
            assert self.site.find(self.name(self.model.record(name))).id == patient.id

    def check_texts(self, name: str, expected: dict[str, Any]) -> None:
        stopped = any(stopped_by(self.words, "patient", number, LINE) for number in self.listed(name)) or self.owing.stopped(name, LINE)
        assert self.site.may_text(self.name(name), LINE) == (not stopped and expected.get("consent.sms") != "denied")


@given(histories)
@settings(max_examples=200)
def test_the_store_matches_the_rules(database: Database, steps: list[tuple[Any, ...]]) -> None:
    history = History(Site(database, SYNCED), Model(str(next(unique))))
    history.play(steps)
    history.check()


@given(histories)
@settings(max_examples=60)
def test_evidence_received_without_sync_counts_once_sync_is_on(database: Database, steps: list[tuple[Any, ...]]) -> None:
    history = History(Site(database, LOCAL), Model(str(next(unique))))
    history.play(steps)
    assert all(history.site.dnc(history.name(name)) == "unknown" for name in NAMES)
    history.site = history.site.configured(SYNCED)
    for name in NAMES:
        assert history.site.value(history.name(name), "do_not_contact") == history.model.in_force(name).get("do_not_contact")


@given(st.lists(st.tuples(st.integers(0, 30), said), min_size=1, max_size=5, unique_by=lambda one: one[0]), st.data())
@settings(max_examples=100)
def test_every_order_of_the_same_payloads_ends_the_same(database: Database, stated: list[tuple[int, dict[str, Any]]], data: Any) -> None:
    site, ends = Site(database, SYNCED), []
    items = data.draw(st.permutations(stated + data.draw(st.lists(st.sampled_from(stated), max_size=3))))
    for order in (stated, items):
        patient = f"order-{next(unique)}"
        for size in data.draw(st.lists(st.integers(1, 3), min_size=len(order), max_size=len(order))):
            batch, order = order[:size], order[size:]
            site.apply(*(says(patient, seconds, statements) for seconds, statements in batch))
        ends.append({attribute: one.value for attribute, one in site.find(patient).preferences.items()})
    assert ends[0] == ends[1]


@given(st.lists(st.tuples(st.integers(0, 1), said), min_size=1, max_size=6), st.data())
@settings(max_examples=100)
def test_no_repeat_within_an_instant_permits_contact(database: Database, stated: list[tuple[int, dict[str, Any]]], data: Any) -> None:
    site, patient = Site(database, SYNCED), f"instant-{next(unique)}"
    items = [says(patient, seconds, statements, evidence=f"E{number}") for number, (seconds, statements) in enumerate(stated)]
    for item in items:
        site.apply(item)
    before = site.find(patient).contact
    for item in data.draw(st.lists(st.sampled_from(items), min_size=1, max_size=4)):
        assert site.apply(item) == ["unchanged"]
    assert site.find(patient).contact == before
