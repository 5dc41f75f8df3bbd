"""Changed settings that the safeguard holds, because they would permit contact to too many patients (product section 8).

What stops contact takes effect at once. What permits it is held if it would make too many patients contactable, until another person
approves or rejects it. There is at most one held set in an enterprise: a further change joins it, so that several do not do in portions
what one may not do. Whoever changes a held setting again takes it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.db.database import Database
from store.db.tables_operations import BasisRow
from store.domain import documents
from store.domain.documents import instant
from store.domain.lock import Actor
from store.domain.policies import OFFERED, Policy
from store.errors import NothingHeld, RoleRefused
from store.holds.configuration import COLUMNS, DROPPED, read_impact
from store.holds.held_runs import HeldRuns
from store.holds.impact import Impact
from store.patients.policy_effect import PolicyEffect, PolicyEffects
from store.patients.preferences import Preferences
from store.patients.settings import EnterpriseSettings, SettingsStore
from store.runs.runs import RunKind

HELD_SETTINGS = "held_settings"
NO_SOURCE = "(settings)"
"""The source of a run that holds settings; no source can have this name."""
HELD_NOTE = "held by the safeguard: the changed settings would make {patients} patients contactable. The previous ones stay in effect"
CHANGED_AGAIN, WITHDREW = "the settings were changed again", "withdrew_held_settings"
HELD = "SELECT basis, run_id, at, patients FROM bases WHERE enterprise = ? AND state = 'held_settings' ORDER BY seq DESC LIMIT 1"
IMPACT = "SELECT patients, preview FROM bases WHERE run_id = ? AND state = 'held_settings'"

Permits = Callable[[str, int, int], bool]
"""(enterprise, its patients, those who would become contactable) -> whether settings take effect without another person."""


class HeldSettings(NamedTuple):
    """Settings that await review: their run, since when, who asked for them, and how many patients they would make contactable."""

    changes: Mapping[str, Any]
    actors: tuple[str, ...]
    run_id: str
    at: datetime
    patients: int


class HeldSettingsRows:
    """Reads and writes the rows about held settings, inside connections that the caller opened."""

    def __init__(self, database: Database) -> None:
        self.database, self.runs = database, HeldRuns(database)

    def held(self, connection: Connection, enterprise: str) -> HeldSettings | None:
        """The settings that an enterprise's people await a decision about."""
        for text, run, at, patients in self.database.select(connection, HELD, [enterprise]):
            changes, actors = documents.read(text)
            return HeldSettings(changes, tuple(actors), run, instant(at), patients)
        return None

    def hold(
        self, transaction: Connection, enterprise: str, changes: Mapping[str, Any], actors: tuple[str, ...], impact: Impact, now: datetime
    ) -> str:
        """Holds settings until a person decides. Returns the id of their run in the journal."""
        run = self.runs.open(transaction, (NO_SOURCE, enterprise, RunKind.SETTINGS), impact.patients, HELD_NOTE, now=now)
        text, preview = documents.write((dict(changes), actors)), documents.write((impact.counts, impact.sample))
        self.database.insert(transaction, BasisRow, COLUMNS, [(enterprise, text, HELD_SETTINGS, run, now, impact.patients, preview)])
        return run

    def close(self, transaction: Connection, held: HeldSettings, why: str | None, now: datetime) -> None:
        """Ends the hold."""
        self.database.update(transaction, BasisRow, ("run_id",), ("state",), [(DROPPED, held.run_id)])
        self.runs.close(transaction, held.run_id, now=now)
        self.runs.set_note(transaction, held.run_id, why)

    def impact(self, connection: Connection, run_id: str, sample: int) -> Impact:
        """How many patients the settings that a run holds would make contactable."""
        rows = self.database.select(connection, IMPACT, [run_id])
        return read_impact(rows[0][0], rows[0][1], sample) if rows else Impact()

    def approve(self, transaction: Connection, settings: SettingsStore, enterprise: str, run_id: str, actor: Actor, now: datetime) -> None:
        """Puts the settings of a run in force. Raises :class:`NothingHeld`, and :class:`RoleRefused` for somebody who asked for them."""
        held = self.open(transaction, enterprise, run_id)
        if actor.name in (name.partition(":")[2] for name in held.actors):
            raise RoleRefused("another person must approve these settings: you asked for them yourself")
        self.close(transaction, held, None, now)
        settings.put_within(transaction, enterprise, held.changes, actor=actor, now=now)

    def open(self, connection: Connection, enterprise: str, run_id: str) -> HeldSettings:
        """The settings that this run holds. Raises :class:`NothingHeld`."""
        held = self.held(connection, enterprise)
        if held is None or held.run_id != run_id:
            raise NothingHeld("these settings no longer await a decision")
        return held


class SettingsPlan(NamedTuple):
    """What becomes of changes: ``at_once`` takes effect, and ``waits`` is held afterwards, in all, for ``impact``."""

    at_once: Mapping[str, Any]
    waits: Mapping[str, Any]
    impact: Impact


State = tuple[EnterpriseSettings, HeldSettings | None]
"""The settings in force, and the held ones."""


class SettingsChanges:
    """Changes the settings of enterprises as far as the safeguard permits. Thread-safe."""

    def __init__(self, store: Preferences, permits: Permits) -> None:
        self.store, self.database, self.permits = store, store.database, permits
        self.effects, self.rows = PolicyEffects(store.database, store.freshness), HeldSettingsRows(store.database)
        self.audit = Audit(store.database)

    def held(self, enterprise: str) -> HeldSettings | None:
        """The settings that await review."""
        with self.database.read() as connection:
            return self.rows.held(connection, enterprise)

    def permitting(self, enterprise: str, changes: Mapping[str, Any], now: datetime) -> list[PolicyEffect]:
        """Those of the changes that would permit more contact than the settings in force. Invalid ones are left out."""
        before = self.store.settings.get(enterprise).policy
        return self.effects.permitting(self.store.enterprises[enterprise], before, changed(before, changes), now)

    def is_within_limit(self, enterprise: str, changes: Mapping[str, Any], now: datetime) -> bool:
        """Whether such changes would take effect without another person, as things are now."""
        return not self._plan(self._state(enterprise), enterprise, changes, now).waits

    def put(self, enterprise: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime) -> EnterpriseSettings:
        """Changes what may change, and holds the rest. Returns the settings in force. Raises as :meth:`SettingsStore.put` does."""
        self.store.settings.check(enterprise, changes)
        while True:
            state = self._state(enterprise)
            plan = self._plan(state, enterprise, changes, now)  # counts patients: too slow for the transaction
            with self.database.write(enterprise) as transaction:
                if self._state_in(transaction, enterprise) == state:
                    self._write(transaction, enterprise, plan, state[1], actor, now)
                    return self.store.settings.within(transaction, enterprise)

    def _state(self, enterprise: str) -> State:
        with self.database.read() as connection:
            return self._state_in(connection, enterprise)

    def _state_in(self, connection: Connection, enterprise: str) -> State:
        return self.store.settings.within(connection, enterprise), self.rows.held(connection, enterprise)

    def _plan(self, state: State, enterprise: str, changes: Mapping[str, Any], now: datetime) -> SettingsPlan:
        before, held = state[0].policy, state[1]
        asked = {**(held.changes if held else {}), **changes}
        effects = self.effects.permitting(self.store.enterprises[enterprise], before, changed(before, asked), now)
        impact = _impact(effects, self.effects.all_patients(enterprise) if effects else 0)
        waits = {name: asked[name] for name, _ in impact.by_direction}
        if held is None and (not waits or self.permits(enterprise, self.effects.all_patients(enterprise), impact.patients)):
            return SettingsPlan(changes, {}, impact)
        return SettingsPlan({name: value for name, value in changes.items() if name not in waits}, waits, impact)

    def _write(
        self, transaction: Connection, enterprise: str, plan: SettingsPlan, held: HeldSettings | None, actor: Actor, now: datetime
    ) -> None:
        if plan.at_once or not plan.waits:
            self.store.settings.put_within(transaction, enterprise, plan.at_once, actor=actor, now=now)
        if plan.waits == (held.changes if held else {}):
            return
        if held is not None:
            self.rows.close(transaction, held, CHANGED_AGAIN, now)
            self.audit.changed(transaction, enterprise, WITHDREW, held.run_id, actor=str(actor), now=now, changes=dict(held.changes))
        if plan.waits:
            actors = tuple(dict.fromkeys((*(held.actors if held else ()), str(actor))))
            run = self.rows.hold(transaction, enterprise, plan.waits, actors, plan.impact, now)
            self.audit.changed(
                transaction,
                enterprise,
                HELD_SETTINGS,
                run,
                actor=str(actor),
                now=now,
                changes=dict(plan.waits),
                patients=plan.impact.patients,
            )


def changed(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """The policy with those of the changes that are valid."""
    return replace(policy, **{one.name: changes[one.name] for one in OFFERED if one.name in changes and one.takes(changes[one.name])})


def _impact(effects: list[PolicyEffect], everybody: int) -> Impact:
    """One patient may be counted for several settings, which errs on the safe side; but there are no more than all patients."""
    counts = Counter({(one.setting.name, f"{one.before.text}->{one.after.text}"): one.patients for one in effects})
    return Impact(min(counts.total(), everybody), counts)
