"""A source whose messages cannot be handled now, as readiness shows it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class IntakeState(Struct, frozen=True):
    """Messages are answered AR since that time; how many were, and why, in one line that repeats nothing of them."""

    enterprise: str
    source: str
    since: datetime
    messages: int
    reason: str
