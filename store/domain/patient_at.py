"""A patient for whom a period changes something, as of any moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import msgspec

from store.domain import effective
from store.domain.assertions import SourceAssertions
from store.domain.decision_request import Evidence, KnownPatient
from store.domain.enterprise import Enterprise
from store.domain.periods import FutureStatement, held_at
from store.domain.record_refusals import RecordRefusal
from store.preference import Preference


class DatedPatient(NamedTuple):
    """What each authority asserts as last written, future statements, and refusals of records. ``joined``: when records were merged."""

    by_authority: Mapping[str, SourceAssertions]
    future: tuple[FutureStatement, ...]
    enterprise: Enterprise
    refusals: tuple[RecordRefusal, ...] = ()
    joined: datetime | None = None

    def assertions_at(self, at: datetime, now: datetime) -> dict[str, SourceAssertions]:
        """What each authority asserts at a moment that is now or later."""
        asserted = held_at(self.by_authority, self.future, self.refusals, self.enterprise, at, now, self.joined)
        return {name: replace(one, assertions=one.current(), effective=one.confirmed) for name, one in asserted.items()}

    def known(self, stored: KnownPatient, due: datetime, now: datetime) -> KnownPatient:
        """What a decision uses: as of now, and by ``at_later`` as of a later moment. A past moment is answered as of now."""

        def at_later(at: datetime) -> KnownPatient:
            return stored if max(at, now) < due else self._at(stored, max(at, now), now)

        return msgspec.structs.replace(at_later(now), at_later=at_later)

    def _at(self, stored: KnownPatient, at: datetime, now: datetime) -> KnownPatient:
        asserted = self.assertions_at(at, now)
        in_force = effective.in_force({name: one.assertions for name, one in asserted.items()}, self.enterprise)
        contact = effective.contact(in_force, effective.unread(asserted, self.enterprise))
        return msgspec.structs.replace(stored, contact=contact, evidence=_Evidence(in_force))


class _Evidence:
    """Looks up where each value in force comes from."""

    def __init__(self, in_force: Mapping[str, Preference]) -> None:
        self.in_force = in_force

    def __call__(self, attribute: str) -> Evidence | None:
        found = self.in_force.get(attribute)
        if found is None:
            return None
        assertion, time = found.assertion, found.assertion.effective
        return Evidence(attribute, found.authority, assertion.evidence_id, assertion.path, time.earliest, time.end)
