"""A configuration on its way into force: at once where it makes few patients more contactable, else by a person's word.

Only what serves or takes in proposes its configuration; looking at patients with another file changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.holds.configuration import Bases, ConfigurationState, HeldBasis
from store.holds.impact import ConfigurationImpact, Impact, of_configuration

RESTORED = "the previous configuration was restored"
REPLACED = "the configuration was changed again"
CHANGED, HELD, BY = "changed_configuration", "held_configuration", "configuration"

Allows = Callable[[int, int], bool]
"""(synced, patients made more contactable) -> whether a changed configuration takes effect without a person."""


class Proposal:
    """The configuration of one enterprise, as its file says."""

    def __init__(self, database: Database, configured: Enterprise) -> None:
        self.database, self.configured = database, configured
        self.bases, self.audit = Bases(database), Audit(database)

    def standing(self) -> ConfigurationState:
        """What is in force, and what waits."""
        with self.database.read() as connection:
            return self.bases.standing(connection, self.configured.name)

    def impact(self, standing: ConfigurationState) -> ConfigurationImpact:
        """What it would permit that is not in force. Changes nothing; reads everybody where they differ."""
        wanted, before = self.configured, standing.in_force
        if before is None or before == wanted.own_basis:
            return ConfigurationImpact()
        with self.database.read() as connection:
            return of_configuration(self.database, connection, wanted.under(before), wanted)

    def make(self, allows: Allows, now: datetime) -> HeldBasis | None:
        """Puts it in force, or has it held: then what is held. Who proposed it before is not asked again."""
        wanted, standing = self.configured.own_basis, self.standing()
        if standing.held is not None and standing.held.basis == wanted:
            return standing.held
        if standing == ConfigurationState(wanted):
            return None
        found = self.impact(standing)
        with self.database.write(self.configured.name) as transaction:
            if self.bases.standing(transaction, self.configured.name) == standing:
                self._write(transaction, standing, found.impact, holds=not allows(found.synced, found.impact.patients), now=now)
                return self.bases.standing(transaction, self.configured.name).held
        return self.make(allows, now)  # another process was quicker: look again

    def _write(self, transaction: Connection, standing: ConfigurationState, impact: Impact, *, holds: bool, now: datetime) -> None:
        name, wanted, before = self.configured.name, self.configured.own_basis, standing.in_force
        if standing.held is not None:
            self.bases.drop(transaction, standing.held, RESTORED if before == wanted else REPLACED, now=now)
        if not standing.written:
            self.bases.put_in_force(transaction, name, before or wanted, now=now)
        if before in (None, wanted):
            return
        detail = {"before": before.text, "after": wanted.text, "patients": impact.patients}
        if holds:
            run = self.bases.hold(transaction, name, wanted, impact, now=now)
            self.audit.changed(transaction, name, HELD, run, actor=BY, now=now, **detail)
            return
        self.bases.put_in_force(transaction, name, wanted, now=now)
        self.audit.changed(transaction, name, CHANGED, "", actor=BY, now=now, **detail)
