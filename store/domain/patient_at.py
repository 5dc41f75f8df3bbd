"""One patient of whom a period changes something, at any moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from store.domain import effective
from store.domain.assertions import SourceAssertions
from store.domain.decision_request import Evidence, Known
from store.domain.enterprise import Enterprise
from store.domain.periods import FutureStatement, held_at
from store.domain.record_refusals import RecordRefusal
from store.preference import Preference


class Dated(NamedTuple):
    """What every authority asserts as it was last written, what is ahead, and what records refuse. ``joined``: when two became one."""

    by_authority: Mapping[str, SourceAssertions]
    ahead: tuple[FutureStatement, ...]
    enterprise: Enterprise
    refusals: tuple[RecordRefusal, ...] = ()
    joined: datetime | None = None

    def held(self, at: datetime, now: datetime) -> dict[str, SourceAssertions]:
        """What every authority asserts at a moment that is now or to come."""
        held = held_at(self.by_authority, self.ahead, self.refusals, self.enterprise, at, now, self.joined)
        return {name: replace(one, assertions=one.current(), effective=one.confirmed) for name, one in held.items()}

    def known(self, stored: Known, due: datetime, now: datetime) -> Known:
        """What a decision looks at: as of now, and by ``then`` as of a later moment. A moment that is past is answered as of now."""

        def then(at: datetime) -> Known:
            return stored if max(at, now) < due else self._at(stored, max(at, now), now)

        return then(now)._replace(then=then)

    def _at(self, stored: Known, at: datetime, now: datetime) -> Known:
        held = self.held(at, now)
        in_force = effective.in_force({name: one.assertions for name, one in held.items()}, self.enterprise)
        contact = effective.contact(in_force, effective.unread(held, self.enterprise))
        return stored._replace(contact=contact, evidence=_Evidence(in_force))


class _Evidence:
    """Where each value in force comes from."""

    def __init__(self, in_force: Mapping[str, Preference]) -> None:
        self.in_force = in_force

    def __call__(self, attribute: str) -> Evidence | None:
        found = self.in_force.get(attribute)
        if found is None:
            return None
        said = found.assertion
        return Evidence(attribute, found.authority, said.evidence_id, said.path, said.effective.earliest, said.effective.end)
