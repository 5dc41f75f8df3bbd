"""Default settings of an enterprise that its people change here, on top of what the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.audit.audit_log import CHANGED_SETTINGS, Audit
from store.db.database import Database
from store.db.tables import SettingRow
from store.domain import documents
from store.domain.enterprise import Enterprise
from store.domain.lock import Actor, may_switch_toggle_on
from store.domain.policies import DEFAULTS, DO_NOT_CONTACT_TOGGLE, SETTINGS, Policy
from store.errors import SettingRefused, ValueRefused

NEWEST = "SELECT settings FROM settings WHERE enterprise = ? ORDER BY seq DESC LIMIT 1"
TOGGLE = DO_NOT_CONTACT_TOGGLE.name


@dataclass(frozen=True, slots=True)
class EnterpriseSettings:
    """The settings in force. ``do_not_contact_toggle`` is false while the enterprise syncs: it is not offered then."""

    do_not_contact_toggle: bool = False
    policy: Policy = DEFAULTS


class SettingsStore:
    """Reads and changes the settings of enterprises. Every change is kept, with who made it."""

    def __init__(self, database: Database, enterprises: Mapping[str, Enterprise]) -> None:
        self.database, self.enterprises = database, enterprises

    def get(self, enterprise: str) -> EnterpriseSettings:
        """The settings in force now."""
        with self.database.read() as connection:
            return self.within(connection, enterprise)

    def within(self, connection: Connection, enterprise: str) -> EnterpriseSettings:
        """The same, inside a connection that the caller opened."""
        configured = self.enterprises[enterprise]
        rows = self.database.select(connection, NEWEST, [enterprise])
        chosen: dict[str, Any] = documents.read(rows[0][0]) if rows else {}
        toggle = chosen.pop(TOGGLE, configured.do_not_contact_toggle)
        return EnterpriseSettings(toggle and not configured.locks, replace(configured.policy, **chosen))

    def put(self, enterprise: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime) -> EnterpriseSettings:
        """Changes some settings. Raises :class:`SettingRefused` for the toggle while syncing, :class:`ValueRefused` otherwise."""
        self.check(enterprise, changes)
        with self.database.write(enterprise) as transaction:
            self.put_within(transaction, enterprise, changes, actor=actor, now=now)
            return self.within(transaction, enterprise)

    def check(self, enterprise: str, changes: Mapping[str, Any]) -> None:
        """Raises what :meth:`put` raises, and changes nothing."""
        _check(changes)
        if changes.get(TOGGLE):
            may_switch_toggle_on(syncs=self.enterprises[enterprise].locks)

    def put_within(self, transaction: Connection, enterprise: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime) -> None:
        """Changes some settings that were checked, inside a transaction that the caller opened."""
        rows = self.database.select(transaction, NEWEST, [enterprise])
        chosen = {**(documents.read(rows[0][0]) if rows else {}), **changes}
        row = (enterprise, documents.write(chosen), str(actor), now)
        self.database.insert(transaction, SettingRow, ("enterprise", "settings", "actor", "at"), [row])
        Audit(self.database).changed(transaction, enterprise, CHANGED_SETTINGS, "", actor=row[2], now=now, changes=dict(changes))


def _check(changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if name not in SETTINGS:
            raise SettingRefused(f"unknown setting {name!r}: use one of {', '.join(SETTINGS)}")
        if not SETTINGS[name].takes(value):
            raise ValueRefused(f"{name} must be one of {', '.join(one.text for one in SETTINGS[name].choices)}")
