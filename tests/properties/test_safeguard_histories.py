"""Random histories with the safeguard, compared with the same histories without one.

At every step, holding changes makes no patient more contactable than the evidence allows. When a person has approved everything, the
values in force are those without a safeguard, whatever the order, the repeats and the time of each approval.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.db.database import Database
from store.domain.contactability import permitting_changes
from store.domain.lock import Actor
from store.errors import NothingHeld
from store.holds.gate import HoldAll
from store.holds.review import HeldReview
from store.preference import PatientStatements
from store.runs.runs import Journal, Run
from tests.store.site import ADT, CELL, FHIR, HOME, Site, cell, says

PERSON = Actor("operator", "kim")
VALUES: dict[str, list[Any]] = {
    "do_not_contact": ["yes", "no", None],
    "consent.sms": ["denied", "granted", None],
    "topic.billing.sms": ["denied", "granted", None],
    "preferred_method": ["none", "sms", None],
    "deceased": [True, False],
    "phones": [(cell(),), (cell(HOME),), (cell(), cell(HOME))],
    "language": ["en", "es"],
}
unique = itertools.count()
chosen = {attribute: st.sampled_from(values) for attribute, values in VALUES.items()}
statements = st.fixed_dictionaries({"do_not_contact": chosen.pop("do_not_contact")}, optional=chosen)
payloads = st.tuples(st.just("send"), st.sampled_from([ADT, ADT, ADT, FHIR]), st.integers(0, 9), statements)
repeats = st.tuples(st.just("resend"), st.integers(0, 30))
approvals = st.tuples(st.just("approve"), st.sampled_from([ADT, FHIR]))
histories = st.lists(st.one_of(payloads, payloads, payloads, payloads, repeats, approvals), min_size=4, max_size=20)


class Side:
    """One patient of the store, with a safeguard that holds everything, or without one."""

    def __init__(self, site: Site, name: str, *, guarded: bool) -> None:
        self.site, self.name, self.guarded = site, name, guarded
        self.journal = Journal(site.database)
        self.verdicts = HeldReview(site.store, self.journal)

    def receive(self, source: str, item: PatientStatements) -> None:
        run = self.journal.start(source, self.site.enterprise, "full", now=self.site.tick())
        guard = HoldAll(run.id) if self.guarded else None
        with self.site.database.write(self.site.enterprise) as transaction:
            self.site.store.apply_many(transaction, self.site.enterprise, source, [item], now=self.site.now, run_id=run.id, guard=guard)
        self.journal.finish(run, "held" if self.guarded else "done", None, self.site.now)

    def approve(self, source: str) -> None:
        """Approves every held change of a source, newest first."""
        for run in self._held(source):
            try:
                self.verdicts.approve(run.id, PERSON, self.site.tick())
            except NothingHeld:
                continue

    def _held(self, source: str) -> list[Run]:
        return [run for run in self.journal.runs(source=source, limit=100) if run.status == "held"]

    def in_force(self) -> dict[str, Any]:
        return dict(self.site.find(self.name).preferences)


@pytest.fixture(scope="module")
def database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples: each has its own patients."""
    path = tmp_path_factory.mktemp("safeguard") / "test.db"
    shutil.copyfile(sqlite_template, path)
    opened = Database.open(f"sqlite:///{path}")
    yield opened
    opened.close()


@settings(max_examples=40)
@given(histories)
def test_the_safeguard_only_restricts_and_full_approval_ends_as_without_a_safeguard(
    database: Database, history: list[tuple[Any, ...]]
) -> None:
    number, site = next(unique), Site(database)
    with database.write(site.enterprise) as transaction:
        transaction.exec_driver_sql("DELETE FROM runs")
    guarded, plain = Side(site, f"b{number}", guarded=True), Side(site, f"p{number}", guarded=False)
    sent: list[tuple[str, float, dict[str, Any]]] = []
    for kind, *rest in [("send", ADT, 0, {"phones": (cell(CELL),)}), *history]:
        if kind == "approve":
            guarded.approve(rest[0])
        else:
            if kind == "send":
                sent.append((rest[0], rest[1] + len(sent) / 1_000, rest[2]))
            source, when, statements = sent[-1] if kind == "send" else sent[rest[0] % len(sent)]
            for side in (guarded, plain):
                side.receive(source, says(side.name, when, statements, evidence=f"{source}-{when}"))
        names = plain.in_force().keys() | guarded.in_force().keys()
        refusals = [name for name in names if name != "phones"]
        assert permitting_changes(plain.in_force(), guarded.in_force(), refusals) == {}, "more permissive despite the safeguard"
    for source in (ADT, FHIR):
        guarded.approve(source)
    assert site.find(guarded.name).contact == site.find(plain.name).contact
    assert site.known(guarded.name).contact == site.find(guarded.name).contact
