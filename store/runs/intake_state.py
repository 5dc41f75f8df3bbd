"""The state of a source whose messages cannot be processed now, as readiness reports it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class IntakeState(Struct, frozen=True):
    """Since when messages are answered AR, how many were, and why: one line that quotes nothing from them."""

    enterprise: str
    source: str
    since: datetime
    messages: int
    reason: str
