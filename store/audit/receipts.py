"""Decision receipts: what was asked, by whom, and what was answered, for enterprises that want proof; a chain per enterprise.

They are written together, one transaction for all decisions of a group, before any of the answers goes out: a sender that has an
answer has a receipt. The patient is there as the store's own id; who was asked for and not found is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from store.audit.hash_chain import Chain, ChainLine, Link
from store.db.database import Database
from store.domain import documents
from store.domain.decision_request import Ask, Decision, Known

DECIDED = "decided"
ASKED = ("message_type", "channels", "line", "topic", "appointment", "at")


class Receipts:
    """Writes and reads receipts."""

    def __init__(self, database: Database) -> None:
        self.chain = Chain(database, "receipts")

    def keep(
        self,
        enterprise: str,
        asks: Sequence[Ask],
        known: Sequence[object],
        decisions: Sequence[Decision],
        actors: Sequence[str],
        now: datetime,
    ) -> None:
        """One receipt for each decision, in order. ``known`` holds :class:`Known`, or an error for who was not found."""
        lines = [
            ChainLine(now, actor, DECIDED, one.id if isinstance(one, Known) else "", _detail(ask, decision))
            for ask, one, decision, actor in zip(asks, known, decisions, actors, strict=True)
        ]
        if lines:
            self.chain.add(enterprise, lines)

    def newest(self, enterprise: str, patient_id: str | None = None, limit: int = 100) -> list[Link]:
        """Receipts, the newest first."""
        return self.chain.newest(enterprise, patient_id, limit)


def _detail(ask: Ask, decision: Decision) -> str:
    asked: dict[str, Any] = {name: value for name in ASKED if (value := getattr(ask, name)) is not None}
    return documents.write({"ask": asked, "decision": decision})
