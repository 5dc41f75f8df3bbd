"""Many random histories on the real store, many patients at a time, compared with a plain model of the rules (``plain_model.py``).

Each history is about one patient, or about two who may be merged. The n-th events of all are received together, as HL7 v2 messages. At
some points the store's results must lie between what the rules require and what they allow. A failing history is reduced as far as
possible and can be reproduced with the printed seed: ``EMR_SYNC_HISTORIES=100000 EMR_SYNC_HISTORIES_SEED=7`` plays that many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from store.db.database import Database
from store.domain.contact import ContactPreferences
from tests.properties.bulk_clinic import LINES, Clinic, named, number
from tests.properties.plain_events import DECEASED, DNC, MARKED, METHOD, SMS, VOICE, Bounds, Reply, Step
from tests.properties.plain_histories import Draw, shrunk
from tests.properties.plain_model import Evidence
from tests.properties.plain_settings import WAVES, A, B, Setting, described, setting, simplified
from tests.properties.plain_texts import Texts, called, texted

COUNT = int(os.environ.get("EMR_SYNC_HISTORIES", "240"))
SEED = int(os.environ.get("EMR_SYNC_HISTORIES_SEED", "0"))
AT_A_TIME = min(1_000, max(60, COUNT // 8))
"""The number of histories per clinic. A clinic has one clock and one mapping at a time."""
COMPARED_WAVES = (4, 7, WAVES)
"""Waves after which store and model are compared."""
SAFETY, LIVENESS = "permits what must be refused", "refuses what must be permitted"


@dataclass(frozen=True)
class Violation:
    """A result of the store outside the bounds."""

    kind: str
    what: str
    record: str
    wave: int

    @property
    def subject(self) -> tuple[str, str]:
        return self.kind, self.what


class ModelHistory:
    """One history played on the model, wave by wave."""

    def __init__(self, scene: Setting, steps: Sequence[Step]) -> None:
        self.evidence, self.texts = Evidence(scene.clock, scene.first, (A, B)), Texts()
        self.scene, self.steps, self.received = scene, list(steps), 0

    def receive_until(self, wave: int) -> None:
        while self.received < len(self.steps) and self.steps[self.received].wave <= wave:
            step = self.steps[self.received]
            self.use_mappings_of(step.wave)
            if isinstance(step.event, Reply):
                self.texts.receive(step.event, self.evidence, self.scene.clock[step.wave])
            else:
                self.evidence.receive(step)
            self.received += 1
        self.use_mappings_of(wave)

    def use_mappings_of(self, wave: int) -> None:
        self.evidence.use_mappings(self.scene.tables(wave))


def compare(clinic: Clinic, models: Sequence[ModelHistory], wave: int) -> Iterator[tuple[int, Violation]]:
    """The violations, each with its patient."""
    asked = [(patient, record) for patient, one in enumerate(models) for record in sorted(one.evidence.records)]
    found = clinic.known([named(record, patient) for patient, record in asked])
    for (patient, record), known in zip(asked, found, strict=True):
        if known is None:
            yield patient, Violation(LIVENESS, "is unknown", record, wave)
            continue
        evidence, contact = models[patient].evidence, known.contact
        for what, refused, bounds in attributes(evidence, record, contact):
            yield from ((patient, Violation(kind, what, record, wave)) for kind in outside(refused, bounds))
        bounds = evidence.automation(record, "voice", called(evidence, record))
        for kind in outside(clinic.automation(known, "voice").channel is None, bounds):
            yield patient, Violation(kind, "automation by call", record, wave)
        for line, name in enumerate(LINES):
            decision = clinic.automation(known, "sms", name)
            bounds = evidence.automation(record, "sms", texted(models[patient].texts, evidence, record, line))
            closed = {number(patient, one) for one in range(3) if models[patient].texts.closed(one, line)}
            for kind in outside(decision.channel is None, bounds):
                yield patient, Violation(kind, "automation by text", record, wave)
            if decision.address in closed:
                yield patient, Violation(SAFETY, "a number that said STOP", record, wave)


def attributes(evidence: Evidence, record: str, contact: ContactPreferences) -> Iterator[tuple[str, bool, Bounds]]:
    """Each attribute: whether the store refuses, and the bounds by the rules."""
    yield DNC, contact.do_not_contact == "yes", evidence.refused(DNC, record)
    yield DECEASED, contact.deceased, evidence.refused(DECEASED, record)
    for name in (SMS, VOICE):
        yield name, contact.consents.get(name.removeprefix("consent.")) == "denied", evidence.refused(name, record)
    methods = evidence.methods(record)
    yield METHOD, contact.preferred_method == "none", Bounds(methods == {"none"}, "none" in methods)
    if "none" not in methods:
        yield f"{METHOD} is another", (contact.preferred_method or "unknown") not in methods, Bounds(False, False)
    for name in MARKED:  # a refused attribute need not be marked unreadable, but may be (excluded, L8)
        must, may = evidence.unreadable(name, record)
        refuses = evidence.refused(name, record).may
        yield f"{name} unreadable", name in contact.unreadable, Bounds(must and not refuses, may or refuses)


def outside(refused: bool, bounds: Bounds) -> list[str]:
    if bounds.must and not refused:
        return [SAFETY]
    return [LIVENESS] if refused and not bounds.may else []


def play(database: Database, scene: Setting, histories: Sequence[Sequence[Step]]) -> Iterator[tuple[int, Violation]]:
    """Plays the histories of one clinic; gives the violations of each comparison."""
    clinic, models = Clinic(database, scene), [ModelHistory(scene, steps) for steps in histories]
    waves: list[list[tuple[int, Step]]] = [[] for _ in range(WAVES + 1)]
    for patient, steps in enumerate(histories):
        for step in steps:
            waves[step.wave].append((patient, step))
    for wave, steps_of_all in enumerate(waves):
        clinic.wave(wave, steps_of_all)
        if wave in COMPARED_WAVES:
            clinic.read_again()
            for one in models:
                one.receive_until(wave)
            yield from compare(clinic, models, wave)


def drawn(seed: str, count: int) -> tuple[Setting, list[tuple[Step, ...]]]:
    """Draws a clinic's setting and histories from a seed."""
    random = Random(seed)
    scene = setting(random)
    return scene, [Draw(random, scene).history() for _ in range(count)]


def report(database: Database, scene: Setting, steps: tuple[Step, ...], violation: Violation, seed: str) -> str:
    """The smallest history of a single patient that fails in the same way."""

    def fails(scene: Setting, steps: tuple[Step, ...]) -> bool:
        return any(one.subject == violation.subject for _, one in play(database, scene, [steps]))

    lines = [f"{violation.kind}: {violation.what} of {violation.record} after wave {violation.wave}"]
    lines.append(f"found by EMR_SYNC_HISTORIES={COUNT} EMR_SYNC_HISTORIES_SEED={SEED} ({seed})")
    if not fails(scene, steps):
        return "\n".join([*lines, "it does not fail by itself:", *map(repr, steps)])
    steps = shrunk(steps, partial(fails, scene))
    scene = simplified(scene, lambda plainer: fails(plainer, steps))
    lines += [f"  {scene.clock[wave]:%d %H:%M:%S} {one}" for wave, one in steps]
    return "\n".join([*lines, *described(scene, violation.what.split()[0])])


@pytest.mark.timeout(0 if "EMR_SYNC_HISTORIES" in os.environ else 300)
def test_the_store_is_neither_more_nor_less_permissive_than_the_rules(database: Database) -> None:
    for start in range(0, COUNT, AT_A_TIME):
        seed = f"{SEED}/{start}"
        scene, histories = drawn(seed, min(AT_A_TIME, COUNT - start))
        for patient, violation in play(database, scene, histories):
            pytest.fail(report(database, scene, histories[patient], violation, seed))
