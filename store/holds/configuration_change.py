"""Puts a changed configuration in force: at once if it makes few patients more contactable, else after a person approves it.

Only a process that serves or ingests proposes its configuration. Reading patients with another file changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.holds.configuration import ConfigurationRows, ConfigurationState, HeldConfiguration
from store.holds.impact import ConfigurationImpact, Impact, configuration_impact

RESTORED = "the previous configuration was restored"
REPLACED = "the configuration was changed again"
CHANGED, HELD, ACTOR = "changed_configuration", "held_configuration", "configuration"

Allows = Callable[[int, int], bool]
"""(synced, patients made more contactable) -> whether a changed configuration takes effect without a person."""


class Proposal:
    """The configuration of one enterprise in its file, proposed to come into force."""

    def __init__(self, database: Database, configured: Enterprise) -> None:
        self.database, self.configured = database, configured
        self.rows, self.audit = ConfigurationRows(database), Audit(database)

    def state(self) -> ConfigurationState:
        """The configuration in force, and the held one."""
        with self.database.read() as connection:
            return self.rows.state(connection, self.configured.name)

    def impact(self, state: ConfigurationState) -> ConfigurationImpact:
        """What it would permit that the one in force does not. Changes nothing. Reads all patients if the two differ."""
        proposed, before = self.configured, state.in_force
        if before is None or before == proposed.own_basis:
            return ConfigurationImpact()
        with self.database.read() as connection:
            return configuration_impact(self.database, connection, proposed.with_basis(before), proposed)

    def propose(self, allows: Allows, now: datetime) -> HeldConfiguration | None:
        """Puts it in force, or holds it and returns what is held. A configuration that is already held is not evaluated again."""
        proposed, state = self.configured.own_basis, self.state()
        if state.held is not None and state.held.basis == proposed:
            return state.held
        if state == ConfigurationState(proposed):
            return None
        found = self.impact(state)
        with self.database.write(self.configured.name) as transaction:
            if self.rows.state(transaction, self.configured.name) == state:
                self._write(transaction, state, found.impact, holds=not allows(found.synced, found.impact.patients), now=now)
                return self.rows.state(transaction, self.configured.name).held
        return self.propose(allows, now)  # another process changed the state first

    def _write(self, transaction: Connection, state: ConfigurationState, impact: Impact, *, holds: bool, now: datetime) -> None:
        name, proposed, before = self.configured.name, self.configured.own_basis, state.in_force
        if state.held is not None:
            self.rows.drop(transaction, state.held, RESTORED if before == proposed else REPLACED, now=now)
        if not state.written:
            self.rows.put_in_force(transaction, name, before or proposed, now=now)
        if before in (None, proposed):
            return
        detail = {"before": before.text, "after": proposed.text, "patients": impact.patients}
        if holds:
            run = self.rows.hold(transaction, name, proposed, impact, now=now)
            self.audit.changed(transaction, name, HELD, run, actor=ACTOR, now=now, **detail)
            return
        self.rows.put_in_force(transaction, name, proposed, now=now)
        self.audit.changed(transaction, name, CHANGED, "", actor=ACTOR, now=now, **detail)
