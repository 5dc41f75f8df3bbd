"""Who may change a preference here: the Do Not Contact toggle, and the lock of each attribute that an EMR masters. Pure.

See product section 4. The lock is on from the moment the enterprise syncs, before any run. SMS consent is never locked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from store.domain.attributes import entry
from store.domain.enterprise import Enterprise
from store.errors import PreferenceLocked, RoleRefused, SettingRefused, ToggleOff, ValueRefused
from store.preference import DO_NOT_CONTACT, NO, YES, base

MASTERED_BY_EMR = "mastered_by_emr"
SETTING_OFF = "setting_off"
ROLE_MAY_NOT = "role_may_not"
TOGGLE_REASONS = {
    MASTERED_BY_EMR: "The EMR controls it: update this patient there.",
    SETTING_OFF: 'The enterprise\'s "Do Not Contact" default setting is off.',
    ROLE_MAY_NOT: "Only an enterprise user can change it.",
}
UNNAMED_EMR = "the EMR"


class Role(StrEnum):
    """What an API key or a user may do."""

    SENDER = "sender"
    OPERATOR = "operator"
    ENTERPRISE = "enterprise"
    MANAGER = "manager"
    STAFF = "staff"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    """Users and API keys of an enterprise, on the pages. It sees no patients."""


class Grant(StrEnum):
    """What a sender's key may do beyond decisions, changes and replies, if it was granted."""

    PATIENTS = "patients"


class Actor(NamedTuple):
    """Who acts: a role, and the name of the key or user for the history."""

    role: str
    name: str

    def __str__(self) -> str:
        """The text for the history and the audit log; empty if nobody acted."""
        return ":".join(self) if any(self) else ""


class SourceMark(NamedTuple):
    """A source that has stated preferences of this patient. ``attributes``: all that it ever stated."""

    source: str
    since: datetime
    last_heard: datetime
    attributes: frozenset[str]


class Master(NamedTuple):
    """The source that masters a value: its name, its display name, and since when (``None``: by configuration)."""

    source: str
    where: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Toggle:
    """The Do Not Contact toggle as one role sees it. ``reason`` is empty when it is enabled."""

    visible: bool
    enabled: bool
    value: str
    reason: str = ""
    mastered_by: str | None = None


def toggle(*, syncs: bool, setting_on: bool, role: str, value: str, source: str | None = None) -> Toggle:
    """The toggle for one cell of the table in product section 4. ``source``: the master, if one is known."""
    if syncs:
        return Toggle(True, False, value, MASTERED_BY_EMR, source)
    if not setting_on:
        return Toggle(False, False, value, SETTING_OFF)
    return Toggle(True, True, value) if role == Role.ENTERPRISE else Toggle(True, False, value, ROLE_MAY_NOT)


def master_of(attribute: str, marks: Iterable[SourceMark], enterprise: Enterprise) -> Master | None:
    """The source that masters the attribute of a patient with these marks, or ``None`` if it may be changed here.

    A source masters what it ever stated about the patient, and what it is configured to master. The enterprise's sources master Do Not
    Contact as soon as it syncs. A mark of a source that left the configuration still locks: releasing it is a deliberate, audited step.
    """
    if not enterprise.locks or not entry(attribute).locks:
        return None
    marks = _in_precedence(marks, enterprise)
    stated = next((_master_by_mark(mark, enterprise) for mark in marks if _has_stated(base(attribute), mark)), None)
    if stated is not None or attribute != DO_NOT_CONTACT:
        return stated or _master_by_configuration(base(attribute), enterprise)
    return next((_master_by_mark(mark, enterprise) for mark in marks), None) or _first_source(enterprise)


def may_set_do_not_contact(
    enterprise: Enterprise, marks: Iterable[SourceMark], actor: Actor, *, setting_on: bool, current: str, value: str
) -> bool:
    """Whether to write the value: false if it is already in force. Under the lock, anybody may repeat the value in force.

    Raises ``ValueRefused``, ``PreferenceLocked``, ``ToggleOff`` or ``RoleRefused``. The lock is checked before the role, because its error
    says where the change can be made.
    """
    if value not in (YES, NO):
        raise ValueRefused(f"{DO_NOT_CONTACT} must be yes or no")
    master = master_of(DO_NOT_CONTACT, marks, enterprise)
    if master is not None:
        return _check_unchanged(DO_NOT_CONTACT, master, current == value)
    if not setting_on:
        raise ToggleOff('the "Do Not Contact" default setting of this enterprise is off: an enterprise user can switch it on')
    if actor.role != Role.ENTERPRISE:
        raise RoleRefused(f"only an enterprise user can change {DO_NOT_CONTACT}")
    return current != value


def may_set(attribute: str, enterprise: Enterprise, marks: Iterable[SourceMark], actor: Actor, *, same: bool) -> bool:
    """Whether to write another attribute (``preferred_phone``…) of a patient: false if the value is already in force.

    Raises ``PreferenceLocked``, or ``RoleRefused`` for a role that is neither enterprise nor staff.
    """
    master = master_of(attribute, marks, enterprise)
    if master is not None:
        return _check_unchanged(attribute, master, same)
    if actor.role not in (Role.ENTERPRISE, Role.STAFF):
        raise RoleRefused(f"only enterprise users and staff can change {attribute}")
    return not same


def may_switch_toggle_on(*, syncs: bool) -> None:
    """Raises ``SettingRefused`` while the enterprise syncs, because then its EMR sets Do Not Contact."""
    if syncs:
        raise SettingRefused("do_not_contact_toggle cannot be switched on while contact preferences are synced from an EMR")


def _check_unchanged(attribute: str, master: Master, same: object) -> bool:
    if same:
        return False
    raise PreferenceLocked(attribute, master.source, master.where, master.since)


def _has_stated(attribute: str, mark: SourceMark) -> bool:
    return attribute in mark.attributes or any(base(one) == attribute for one in mark.attributes)


def _in_precedence(marks: Iterable[SourceMark], enterprise: Enterprise) -> list[SourceMark]:
    order = {source.name: place for place, source in enumerate(enterprise.sources)}
    return sorted(marks, key=lambda mark: (order.get(mark.source, len(order)), mark.source))


def _master_by_mark(mark: SourceMark, enterprise: Enterprise) -> Master:
    source = enterprise.source(mark.source)
    return Master(mark.source, (source.display_name if source else "") or mark.source, mark.since)


def _master_by_configuration(attribute: str, enterprise: Enterprise) -> Master | None:
    return next((Master(one.name, one.display_name or one.name) for one in enterprise.sources if attribute in one.masters), None)


def _first_source(enterprise: Enterprise) -> Master:
    configured = _master_by_configuration(DO_NOT_CONTACT, enterprise)
    return configured or next((Master(one.name, one.display_name or one.name) for one in enterprise.sources), Master("", UNNAMED_EMR))
