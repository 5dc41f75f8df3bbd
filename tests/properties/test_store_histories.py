"""Random histories on the real store (late, repeated, merged, with two configurations), compared with a plain model of the rules.

The model keeps the current time and value for each record and authority (product section 5) in a dict of dicts. It knows nothing of
rows, digests, batches or repeats.
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
from tests.properties.consent_events import ConsentEvent, stopped_by
from tests.properties.owing import Owing
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

TimedValue = tuple[float, Any]
"""A time, and the value stated for it."""
CurrentValues = dict[str, TimedValue]


@dataclass
class Model:
    """A plain model of product section 5."""

    prefix: str
    current: dict[str, dict[str, CurrentValues]] = field(default_factory=dict)
    survivors: dict[str, str] = field(default_factory=dict)
    merged_at: dict[str, float] = field(default_factory=dict)

    def record(self, name: str) -> str:
        """The surviving record of a name."""
        while name in self.survivors:
            name = self.survivors[name]
        return name

    def receive(self, source: str, name: str, seconds: float, values: dict[str, Any]) -> None:
        current_values = self.current.setdefault(self.record(name), {}).setdefault(source, {})
        merged_at = self.merged_at.get(self.record(name), -1)
        for attribute, value in values.items():
            opts_out = value == OPT_OUTS.get(attribute, "never")
            former = current_values.get(attribute, (-1, None))[0]
            kept_by_merge = opts_out and max(seconds, former) < merged_at
            if attribute not in current_values or seconds > former or kept_by_merge:
                current_values[attribute] = max(seconds, merged_at) if opts_out else seconds, value

    def merge(self, survivor: str, merged: str, seconds: float) -> None:
        survivor, merged = self.record(survivor), self.record(merged)
        if survivor == merged:
            return
        for source in SOURCES:
            of_survivor, of_merged = (self.current.get(name, {}).get(source, {}) for name in (survivor, merged))
            both = of_survivor | of_merged
            merged_values = {name: self._merged(name, of_survivor.get(name), of_merged.get(name), seconds) for name in both}
            self.current.setdefault(survivor, {})[source] = merged_values
        self.survivors[merged] = survivor
        # the merged record may have earlier merges
        self.merged_at[survivor] = max(self.merged_at.get(survivor, -1), self.merged_at.get(merged, -1), seconds)

    def _merged(
        self, attribute: str, of_survivor: tuple[float, Any] | None, of_merged: tuple[float, Any] | None, seconds: float
    ) -> tuple[float, Any]:
        values = [one for one in (of_survivor, of_merged) if one is not None]
        newest = max(values, key=lambda one: one[0])
        if any(value == OPT_OUTS.get(attribute, "never") for _, value in values):
            return max(newest[0], seconds), OPT_OUTS[attribute]
        return newest

    def in_force(self, name: str) -> dict[str, Any]:
        """The values in force with sync: any refusal, otherwise the first source that states the attribute."""
        found: dict[str, Any] = {}
        for source in SOURCES:
            for attribute, (_, value) in self.current.get(self.record(name), {}).get(source, {}).items():
                if value is not None and (attribute not in found or value == OPT_OUTS.get(attribute)):
                    found[attribute] = value
        return found


values = st.fixed_dictionaries({}, optional={attribute: st.sampled_from(values) for attribute, values in VALUES.items()})
payloads = st.tuples(st.just("send"), st.sampled_from(SOURCES), st.sampled_from(NAMES), st.integers(0, 30), values)
repeats = st.tuples(st.just("resend"), st.integers(0, 30))
joins = st.tuples(st.just("merge"), st.permutations(NAMES).map(lambda names: tuple(names[:2])), st.integers(0, 40))
replies = st.tuples(st.just("reply"), st.sampled_from([CELL, HOME]), st.sampled_from(["STOP", "START"]), st.integers(0, 40))
histories = st.lists(st.one_of(payloads, payloads, repeats, replies, joins), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples: each has its own patients."""
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
    consent_events: list[ConsentEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.owing = Owing(NAMES, [LINE], self.members, self.listed)

    def members(self, name: str) -> list[str]:
        return [one for one in NAMES if self.model.record(one) == self.model.record(name)]

    def listed(self, name: str) -> set[str]:
        return {phone.number for phone in self.site.find(self.name(name)).contact.phones}

    def name(self, name: str) -> str:
        return f"{self.model.prefix}-{name}"

    def number(self, number: str) -> str:
        return f"{number}{self.model.prefix}"  # the store only compares numbers, so they need not be valid

    def send(self, source: str, name: str, seconds: int, statements: dict[str, Any]) -> None:
        when = seconds + len(self.sent) / 1_000
        item = says(self.name(name), when, statements, evidence=f"{self.model.prefix}-{len(self.sent)}")
        self.sent.append((source, name, when, item))
        self.site.apply(item, source=source)
        self.model.receive(source, name, when, statements)

    def resend(self, place: int) -> None:
        """Resends a payload. Nothing may change, whatever came since, so the model does not receive it."""
        if self.sent:
            source, _, _, item = self.sent[place % len(self.sent)]
            assert self.site.apply(item, source=source)[0] in ("unchanged", "stale")

    def merge(self, names: tuple[str, str], seconds: int) -> None:
        survivor, merged = names
        item = PatientMerge((mr(self.name(survivor)),), (mr(self.name(merged)),), times.at(at(seconds)), "A40")
        before = self.owing.before_merge(survivor, merged) if self.members(survivor) != self.members(merged) else None
        self.site.apply(item)
        self.model.merge(survivor, merged, seconds)
        if before is not None:
            self.owing.add_merge(before)

    def reply(self, number: str, word: str, seconds: int) -> None:
        when = seconds + (word == "STOP") / 2  # at the same instant the STOP wins
        self.site.text(word, when, number=self.number(number))
        event = ConsentEvent("patient", self.number(number), LINE, word == "STOP", when)
        self.owing.add_reply(event)
        self.consent_events.append(event)

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
        stopped = any(stopped_by(self.consent_events, "patient", number, LINE) for number in self.listed(name)) or self.owing.stopped(
            name, LINE
        )
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


@given(st.lists(st.tuples(st.integers(0, 30), values), min_size=1, max_size=5, unique_by=lambda one: one[0]), st.data())
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


@given(st.lists(st.tuples(st.integers(0, 1), values), min_size=1, max_size=6), st.data())
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
