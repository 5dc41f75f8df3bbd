"""The Do Not Contact toggle (product section 4): each enterprise setting and role, what is visible, and the result of an attempt."""

from __future__ import annotations

from typing import NamedTuple

from store.domain.lock import Role


class Cell(NamedTuple):
    """``refusal`` is the error that an attempt to change the value raises; empty on success."""

    syncs: bool
    setting_on: bool
    role: str
    visible: bool
    enabled: bool
    reason: str
    refusal: str


FLIPS = Cell(False, True, Role.ENTERPRISE, True, True, "", "")
SEES = tuple(Cell(False, True, role, True, False, "role_may_not", "RoleRefused") for role in Role if role != Role.ENTERPRISE)

TOGGLES: tuple[Cell, ...] = (
    *(Cell(False, False, role, False, False, "setting_off", "ToggleOff") for role in Role),
    FLIPS,
    *SEES,
    *(Cell(True, False, role, True, False, "mastered_by_emr", "PreferenceLocked") for role in Role),
    *(Cell(True, True, role, True, False, "mastered_by_emr", "PreferenceLocked") for role in Role),
)
