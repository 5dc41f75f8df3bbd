"""How many patients would become contactable at once if a policy changed. Counts them all, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.domain.policies import OFFERED, Choice, Policy, Setting
from store.patients.freshness import Freshness
from store.preference import emr

PATIENTS = "SELECT count(*) FROM patients WHERE enterprise = ? AND merged_into IS NULL"
OF_SOURCES = """SELECT count(DISTINCT a.patient_id) FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE a.authority IN ?? AND p.enterprise = ? AND p.merged_into IS NULL"""
UNREADABLE = f"{OF_SOURCES} AND a.unreadable IS NOT NULL"
ONE_BY_ONE = frozenset({"staff_may_record_opt_in"})
"""Policies that make nobody contactable by themselves: a person records each patient's own wish, under their name."""


class PolicyEffect(NamedTuple):
    """A policy that would permit more contact. ``patients``: who would become contactable.

    If that depends on each message, they are the most it can be: all of the enterprise, and ``is_bound`` is true.
    """

    setting: Setting
    before: Choice
    after: Choice
    patients: int
    is_bound: bool = False


class PolicyEffects:
    """Counts the patients of an enterprise. Thread-safe."""

    def __init__(self, database: Database, freshness: Freshness) -> None:
        self.database, self.freshness = database, freshness

    def permitting(self, enterprise: Enterprise, before: Policy, after: Policy, now: datetime) -> list[PolicyEffect]:
        """The policies of ``after`` that permit more contact than those of ``before``."""
        changed = ((one, one.choice(getattr(before, one.name)), one.choice(getattr(after, one.name))) for one in OFFERED)
        return [
            PolicyEffect(setting, was, will, *self._patients(setting.name, enterprise, now))
            for setting, was, will in changed
            if will.permits and not was.permits
        ]

    def all_patients(self, enterprise: str) -> int:
        """All patients of an enterprise."""
        return self._count(PATIENTS, [enterprise])

    def _patients(self, name: str, enterprise: Enterprise, now: datetime) -> tuple[int, bool]:
        """How many, and whether that is only the most it can be. A policy that is not known here counts all patients."""
        if name in ONE_BY_ONE:
            return 0, False
        if name == "when_unreadable":
            return self._count(UNREADABLE, [list(enterprise.precedence), enterprise.name]), False
        if name == "when_stale":
            stale = self.freshness.stale([enterprise], now)
            return self._count(OF_SOURCES, [[emr(source) for source, is_stale in stale.items() if is_stale], enterprise.name]), False
        return self.all_patients(enterprise.name), True

    def _count(self, sql: str, parameters: Sequence[Any]) -> int:
        with self.database.read() as connection:
            return int(self.database.select(connection, sql, parameters)[0][0])
