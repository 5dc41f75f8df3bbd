"""Puts this process's configuration in force, by enterprise. The safeguard holds one that would permit too much contact."""

from __future__ import annotations

from datetime import datetime

from store.db.database import Database
from store.holds.configuration import HeldConfiguration
from store.holds.configuration_change import Allows, Proposal
from sync import logs, safeguard
from sync.config.settings import SafeguardRule, Settings


def propose(database: Database, settings: Settings, now: datetime) -> None:
    """Proposes the configuration of each enterprise. Logs those that are held; for them decisions stay as before."""
    for name, configured in settings.enterprises.items():
        held = Proposal(database, configured).propose(allows(settings.safeguards.get(name, SafeguardRule())), now)
        if held is not None:
            logs.logger().warning("configuration held by the safeguard", enterprise=name, run=held.run_id, patients=held.patients)


def allows(rule: SafeguardRule) -> Allows:
    """The rule for a changed configuration, which is the same as for a run."""

    def allowed(synced: int, patients: int) -> bool:
        return safeguard.is_within_limit(rule, synced=synced, patients=patients, waiting=0)

    return allowed


def held_notice(held: HeldConfiguration) -> str:
    """The notice to people while a configuration is held."""
    return (
        f"the safeguard holds the changed configuration ({held.basis.description}), "
        f"which would make {held.patients} patients more contactable. "
        f"The previous one stays in force. See emr-sync runs show {held.run_id}; approve it, or revert the configuration"
    )
