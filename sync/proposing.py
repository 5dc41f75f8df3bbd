"""Brings this process's configuration into force, enterprise by enterprise; what would loosen too much is held by the safeguard."""

from __future__ import annotations

from datetime import datetime

from store.db.database import Database
from store.holds.configuration import HeldBasis
from store.holds.configuration_change import Allows, Proposal
from sync import logs, safeguard_rule
from sync.config.settings import SafeguardRule, Settings


def propose(database: Database, settings: Settings, now: datetime) -> None:
    """Says in the log what is held; senders go on hearing what they heard before."""
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
    """What a person must know while a configuration is held."""
    return (
        f"the changed configuration ({held.basis.words}) would make {held.patients} patients more contactable and is held by the "
        f"safeguard: the former one stays in force. See emr-sync runs show {held.run_id}; approve it, or put the configuration back"
    )
