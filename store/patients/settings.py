"""Default settings of an enterprise that its people change here, on top of what the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store.audit.audit_log import CHANGED_SETTINGS, Audit
from store.db.database import Database
from store.db.tables import SettingRow
from store.domain import documents
from store.domain.enterprise import Enterprise, Policy
from store.domain.lock import Actor, may_switch_toggle_on
from store.errors import SettingRefused, ValueRefused

NEWEST = "SELECT settings FROM settings WHERE enterprise = ? ORDER BY seq DESC LIMIT 1"
CHOICES: dict[str, tuple[object, ...]] = {
    "do_not_contact_toggle": (True, False),
    "when_stale": ("flag", "refuse"),
    "when_unreadable": ("refuse", "flag"),
    "when_preferred_impossible": ("refuse", "next"),
    "appointment_may_lift_dnc": (True, False),
    "staff_may_record_opt_in": (True, False),
}


@dataclass(frozen=True, slots=True)
class EnterpriseSettings:
    """The settings in force. ``do_not_contact_toggle`` is false while the enterprise syncs: it is not offered then."""

    do_not_contact_toggle: bool = False
    when_stale: str = "flag"
    when_unreadable: str = "refuse"
    when_preferred_impossible: str = "refuse"
    appointment_may_lift_dnc: bool = False
    staff_may_record_opt_in: bool = False

    @property
    def policy(self) -> Policy:
        """The part that is a policy."""
        return Policy(
            self.when_stale,
            self.when_unreadable,
            self.when_preferred_impossible,
            self.appointment_may_lift_dnc,
            self.staff_may_record_opt_in,
        )


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
        configured = _configured(self.enterprises[enterprise])
        rows = self.database.select(connection, NEWEST, [enterprise])
        chosen = replace(configured, **documents.read(rows[0][0])) if rows else configured
        return replace(chosen, do_not_contact_toggle=False) if self.enterprises[enterprise].locks else chosen

    def put(self, enterprise: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime) -> EnterpriseSettings:
        """Changes some settings. Raises :class:`SettingRefused` for the toggle while syncing, :class:`ValueRefused` otherwise."""
        _check(changes)
        if changes.get("do_not_contact_toggle"):
            may_switch_toggle_on(syncs=self.enterprises[enterprise].locks)
        with self.database.write(enterprise) as transaction:
            rows = self.database.select(transaction, NEWEST, [enterprise])
            chosen = {**(documents.read(rows[0][0]) if rows else {}), **changes}
            row = (enterprise, documents.write(chosen), f"{actor.role}:{actor.name}", now)
            self.database.insert(transaction, SettingRow, ("enterprise", "settings", "actor", "at"), [row])
            Audit(self.database).changed(transaction, enterprise, CHANGED_SETTINGS, "", actor=row[2], now=now, changes=dict(changes))
            return self.within(transaction, enterprise)


def _configured(enterprise: Enterprise) -> EnterpriseSettings:
    return EnterpriseSettings(enterprise.do_not_contact_toggle, **asdict(enterprise.policy))


def _check(changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if name not in CHOICES:
            raise SettingRefused(f"unknown setting {name!r}: use one of {', '.join(CHOICES)}")
        if not any(value == choice and isinstance(value, type(choice)) for choice in CHOICES[name]):
            raise ValueRefused(f"{name} must be one of {', '.join(str(choice).lower() for choice in CHOICES[name])}")
