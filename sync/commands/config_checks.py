"""Warnings of ``check-config`` that need the database: a held configuration, one that would be held, a removed enterprise or key."""

from __future__ import annotations

from store.db import schema
from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.holds.configuration import ConfigurationRows
from store.holds.configuration_change import Proposal
from store.patients.write_backs import WriteBacks
from store.runs.database_check import payload_keys
from sync.commands.release import if_there
from sync.config import ConfigProblem, Settings
from sync.config.settings import SafeguardRule
from sync.proposing import allows, held_notice

MISSING = "stored payloads need {}: restore it here, run emr-sync rejections reseal, then remove it"
REPLACED = "is not the key that encrypted the stored payloads: restore the former key, and give the new one another name"


def held_back(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A warning for each enterprise whose configuration the safeguard holds or would hold; none if the database cannot be read (yet)."""
    try:
        with if_there(settings) as database:
            schema.check(database)
            found = {
                name: _warning(database, one, settings.safeguards.get(name, SafeguardRule())) for name, one in settings.enterprises.items()
            }
    except Exception:  # a configuration can be checked without its database
        return ()
    return tuple(ConfigProblem(0, f"enterprises.{name}", text, warning=True) for name, text in found.items() if text)


def removed_enterprises(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A warning for each enterprise that was removed from the configuration; none if the database cannot be read (yet)."""
    try:
        with if_there(settings) as database, database.read() as connection:
            removed = [name for name in ConfigurationRows(database).enterprises(connection) if name not in settings.enterprises]
    except Exception:  # as above
        return ()
    message = (
        "removed from the configuration: its patients are kept, but senders are told that they are unknown. A renamed enterprise is a new "
        "one: it has no patients, and its sources are read from the beginning. If this is not intended, restore the name"
    )
    return tuple(ConfigProblem(0, f"enterprises.{name}", message, warning=True) for name in removed)


def to_be_written(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A note for each source with ``write_back``: how many opt-outs it would be sent; none if the database cannot be read (yet)."""
    try:
        with if_there(settings) as database:
            schema.check(database)
            found = [pair for one in settings.enterprises.values() for pair in WriteBacks(database).unsent(one).items()]
    except Exception:  # as above
        return ()
    message = "opt-outs that are in force will be written to this EMR: {}. To write none, remove write_back"
    return tuple(ConfigProblem(0, f"sources.{name}.write_back", message.format(number), warning=True) for name, number in found if number)


def missing_keys(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A warning for each key of kept payloads that was removed or replaced; none if the database cannot be read (yet)."""
    if settings.sealing is None:
        return ()
    try:
        with if_there(settings) as database:
            schema.check(database)
            _, missing, replaced = payload_keys(database, settings.sealing)
    except Exception:  # as above
        return ()
    found = {name: MISSING.format(name) for name in missing} | dict.fromkeys(replaced, REPLACED)
    return tuple(ConfigProblem(0, f"payload_keys.keys.{name}", message, warning=True) for name, message in found.items())


def _warning(database: Database, configured: Enterprise, rule: SafeguardRule) -> str:
    proposal = Proposal(database, configured)
    current = proposal.state()
    if current.held is not None and current.held.basis == configured.own_basis:
        return held_notice(current.held)
    found = proposal.impact(current)
    patients = found.impact.patients
    if current.in_force is None or allows(rule)(found.synced, patients):
        return ""
    return (
        f"this change would make {patients} of {found.synced} patients more contactable, so the safeguard will hold it for review. "
        f"Until then the previous configuration is in force: {current.in_force.description}. If this is not intended, revert the change"
    )
