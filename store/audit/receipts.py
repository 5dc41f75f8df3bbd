"""Decision receipts: who requested which decision and what was answered, for enterprises that want proof. One chain per enterprise.

The receipts of a batch are written in one transaction before any answer is sent, so every answer that a sender has is on record. A
receipt names the patient by the store's own id. Identifiers of patients who were not found are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from store.audit.hash_chain import Chain, ChainLine, Link
from store.db.database import Database
from store.domain import documents
from store.domain.decision_request import Decision, DecisionRequest, KnownPatient

DECIDED = "decided"
ASKED = ("message_type", "channels", "line", "topic", "appointment", "at")


class Receipts:
    """Writes and reads receipts."""

    def __init__(self, database: Database) -> None:
        self.chain = Chain(database, "receipts")

    def keep(
        self,
        enterprise: str,
        asks: Sequence[DecisionRequest],
        known: Sequence[object],
        decisions: Sequence[Decision],
        actors: Sequence[str],
        now: datetime,
    ) -> None:
        """Writes one receipt per decision, in order. ``known`` holds :class:`KnownPatient`, or an error for a patient who was not found."""
        lines = [
            ChainLine(now, actor, DECIDED, patient.id if isinstance(patient, KnownPatient) else "", _detail(ask, decision))
            for ask, patient, decision, actor in zip(asks, known, decisions, actors, strict=True)
        ]
        if lines:
            self.chain.add(enterprise, lines)

    def newest(self, enterprise: str, patient_id: str | None = None, limit: int = 100) -> list[Link]:
        """Receipts, the newest first."""
        return self.chain.newest(enterprise, patient_id, limit)


def _detail(ask: DecisionRequest, decision: Decision) -> str:
    asked: dict[str, Any] = {name: value for name in ASKED if (value := getattr(ask, name)) is not None}
    return documents.write({"ask": asked, "decision": decision})
