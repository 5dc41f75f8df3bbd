"""Who may change what is mastered by an EMR: the Do Not Contact toggle and the lock of each attribute. Pure.

Product section 4. The lock is on from the moment the enterprise syncs, before any run. SMS consent is never locked.
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
SOME_EMR = "the EMR"


class Role(StrEnum):
    """What an API key or a user may do."""

    SENDER = "sender"
    OPERATOR = "operator"
    ENTERPRISE = "enterprise"
    MANAGER = "manager"
    STAFF = "staff"
    AUDITOR = "auditor"


class Grant(StrEnum):
    """What a sender's key may do beyond decisions, changes and replies, where somebody granted it."""

    PATIENTS = "patients"


class Actor(NamedTuple):
    """Who does something: a role, and the name of the key or user for the history."""

    role: str
    name: str

    def __str__(self) -> str:
        """As the history and the audit log name them; nobody is empty."""
        return ":".join(self) if any(self) else ""


class Mark(NamedTuple):
    """A source that states this patient's preferences. ``attributes`` are all those it ever stated."""

    source: str
    since: datetime
    last_heard: datetime
    attributes: frozenset[str]


class Master(NamedTuple):
    """The source that owns a value: its name, what people call it, and since when (``None``: by configuration)."""

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
    """One cell of the table of product section 4. ``source`` names the master, where one is known."""
    if syncs:
        return Toggle(True, False, value, MASTERED_BY_EMR, source)
    if not setting_on:
        return Toggle(False, False, value, SETTING_OFF)
    return Toggle(True, True, value) if role == Role.ENTERPRISE else Toggle(True, False, value, ROLE_MAY_NOT)


def locked(attribute: str, marks: Iterable[Mark], enterprise: Enterprise) -> Master | None:
    """Who masters the attribute of a patient with these marks, or ``None`` when it may be changed here.

    A source masters what it ever stated about the patient and what it is configured to master. Do Not Contact is
    mastered by the enterprise's sources as soon as it syncs. A mark of a source that left the configuration still
    locks: releasing it is a deliberate, audited step.
    """
    if not enterprise.locks or not entry(attribute).locks:
        return None
    marks = _in_precedence(marks, enterprise)
    stated = next((_by_mark(mark, enterprise) for mark in marks if _stated(base(attribute), mark)), None)
    if stated is not None or attribute != DO_NOT_CONTACT:
        return stated or _by_configuration(base(attribute), enterprise)
    return next((_by_mark(mark, enterprise) for mark in marks), None) or _first_source(enterprise)


def may_set_do_not_contact(
    enterprise: Enterprise, marks: Iterable[Mark], actor: Actor, *, setting_on: bool, current: str, value: str
) -> bool:
    """Whether to write the value: false when it already stands. Anybody may write what stands under the lock.

    Raises ``ValueRefused``, ``PreferenceLocked``, ``ToggleOff`` or ``RoleRefused``; the lock speaks first, for it says
    where the change can be made.
    """
    if value not in (YES, NO):
        raise ValueRefused(f"{DO_NOT_CONTACT} must be yes or no")
    master = locked(DO_NOT_CONTACT, marks, enterprise)
    if master is not None:
        return _refuse_change(DO_NOT_CONTACT, master, current == value)
    if not setting_on:
        raise ToggleOff('the "Do Not Contact" default setting of this enterprise is off: an enterprise user can switch it on')
    if actor.role != Role.ENTERPRISE:
        raise RoleRefused(f"only an enterprise user can change {DO_NOT_CONTACT}")
    return current != value


def may_set(attribute: str, enterprise: Enterprise, marks: Iterable[Mark], actor: Actor, *, same: bool) -> bool:
    """Whether to write another attribute (``preferred_phone``…) of a patient: false when the value already stands.

    Raises ``PreferenceLocked``, or ``RoleRefused`` for a role that is neither enterprise nor staff.
    """
    master = locked(attribute, marks, enterprise)
    if master is not None:
        return _refuse_change(attribute, master, same)
    if actor.role not in (Role.ENTERPRISE, Role.STAFF):
        raise RoleRefused(f"only enterprise users and staff can change {attribute}")
    return not same


def may_switch_toggle_on(*, syncs: bool) -> None:
    """Raises ``SettingRefused`` while the enterprise syncs: its EMR sets Do Not Contact then."""
    if syncs:
        raise SettingRefused("do_not_contact_toggle cannot be switched on while contact preferences are synced from an EMR")


def _refuse_change(attribute: str, master: Master, same: object) -> bool:
    if same:
        return False
    raise PreferenceLocked(attribute, master.source, master.where, master.since)


def _stated(attribute: str, mark: Mark) -> bool:
    return attribute in mark.attributes or any(base(one) == attribute for one in mark.attributes)


def _in_precedence(marks: Iterable[Mark], enterprise: Enterprise) -> list[Mark]:
    order = {source.name: place for place, source in enumerate(enterprise.sources)}
    return sorted(marks, key=lambda mark: (order.get(mark.source, len(order)), mark.source))


def _by_mark(mark: Mark, enterprise: Enterprise) -> Master:
    source = enterprise.source(mark.source)
    return Master(mark.source, (source.display_name if source else "") or mark.source, mark.since)


def _by_configuration(attribute: str, enterprise: Enterprise) -> Master | None:
    return next((Master(one.name, one.display_name or one.name) for one in enterprise.sources if attribute in one.masters), None)


def _first_source(enterprise: Enterprise) -> Master:
    configured = _by_configuration(DO_NOT_CONTACT, enterprise)
    return configured or next((Master(one.name, one.display_name or one.name) for one in enterprise.sources), Master("", SOME_EMR))
