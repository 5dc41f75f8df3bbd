"""Puts this process's configuration into force, enterprise by enterprise. The safeguard holds one that permits too much contact."""

from __future__ import annotations

from datetime import datetime

from store.db.database import Database
from store.holds.configuration import HeldBasis
from store.holds.configuration_change import Allows, Proposal
from sync import logs, safeguard_rule
from sync.config.settings import SafeguardRule, Settings


def propose(database: Database, settings: Settings, now: datetime) -> None:
    """Logs what is held; decisions stay as before."""
    for name, configured in settings.enterprises.items():
        held = Proposal(database, configured).make(allows(settings.safeguards.get(name, SafeguardRule())), now)
        if held is not None:
            logs.logger().warning("configuration held by the safeguard", enterprise=name, run=held.run_id, patients=held.patients)


def allows(rule: SafeguardRule) -> Allows:
    """The rule that a changed configuration is measured by: that of a run."""

    def within(synced: int, loosened: int) -> bool:
        return safeguard_rule.releases(rule, synced=synced, loosened=loosened, waiting=0)

    return within


def told(held: HeldBasis) -> str:
    """The sentence for people while a configuration is held."""
    return (
        f"the safeguard holds the changed configuration ({held.basis.words}), which would make {held.patients} patients more contactable. "
        f"The previous one stays in force. See emr-sync runs show {held.run_id}; approve it, or revert the configuration"
    )
