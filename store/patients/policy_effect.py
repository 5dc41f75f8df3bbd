"""How many patients would become contactable at once if a policy changed. Counts only what is quick to count; changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.domain.policies import OFFERED, Choice, Policy, Setting
from store.patients.freshness import Freshness
from store.patients.unreadable_patients import MOST, unreadable_since
from store.preference import emr

OF_SOURCE = """SELECT count(*) FROM (SELECT 1 FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE a.authority = ? AND p.enterprise = ? AND p.merged_into IS NULL LIMIT ?) found"""


class Patients(NamedTuple):
    """A number of patients. Unless those are all (``is_all``), there are more."""

    number: int
    is_all: bool


class PolicyEffect(NamedTuple):
    """A policy that would permit more contact. ``patients``: who would become contactable; ``None`` if that depends on each message."""

    setting: Setting
    before: Choice
    after: Choice
    patients: Patients | None


class PolicyEffects:
    """Counts the patients of an enterprise. Thread-safe."""

    def __init__(self, database: Database, freshness: Freshness) -> None:
        self.database, self.freshness = database, freshness

    def permitting(self, enterprise: Enterprise, before: Policy, after: Policy, now: datetime) -> list[PolicyEffect]:
        """The policies of ``after`` that permit more contact than those of ``before``."""
        changed = ((one, one.choice(getattr(before, one.name)), one.choice(getattr(after, one.name))) for one in OFFERED)
        return [
            PolicyEffect(setting, was, will, self._patients(setting.name, enterprise, now))
            for setting, was, will in changed
            if will.permits and not was.permits
        ]

    def _patients(self, name: str, enterprise: Enterprise, now: datetime) -> Patients | None:
        if name == "when_unreadable":
            found = [unreadable_since(self.database, enterprise.name, source.name) for source in enterprise.sources]
            return Patients(sum(one.patients for one in found), all(one.is_all for one in found))
        return self._stale(enterprise, now) if name == "when_stale" else None

    def _stale(self, enterprise: Enterprise, now: datetime) -> Patients:
        """The patients of the sources that are stale now."""
        stale = [name for name, is_stale in self.freshness.stale([enterprise], now).items() if is_stale]
        with self.database.read() as connection:
            numbers = [self._of_source(connection, enterprise.name, name) for name in stale]
        return Patients(sum(numbers), all(number < MOST for number in numbers))

    def _of_source(self, connection: Connection, enterprise: str, source: str) -> int:
        return int(self.database.select(connection, OF_SOURCE, [emr(source), enterprise, MOST])[0][0])
