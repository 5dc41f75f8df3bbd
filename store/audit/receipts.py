"""Decision receipts: who requested which decision and what was answered, for enterprises that want proof. One chain per enterprise.

The receipts of a batch are written in one transaction before any answer is sent, so every answer that a sender has is on record. A
receipt names the patient by the store's own id. Identifiers of patients who were not found are not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from store.audit.audit_log import LOOKED_IN_VAIN, VIEWED_RECEIPTS, Audit
from store.audit.hash_chain import Chain, ChainLine, Link
from store.db.database import Database
from store.domain import documents
from store.domain.decision_request import Decision, DecisionRequest, KnownPatient
from store.domain.ids import is_decision_id
from store.errors import NotFound

DECIDED = "decided"
ASKED = ("message_type", "channels", "line", "topic", "category", "appointment", "at")


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
            ChainLine(
                now, actor, DECIDED, patient.id if isinstance(patient, KnownPatient) else "", detail(ask, decision), decision.id or None
            )
            for ask, patient, decision, actor in zip(asks, known, decisions, actors, strict=True)
        ]
        if lines:
            self.chain.add(enterprise, lines)

    def of_decision(self, enterprise: str, decision_id: str) -> Link | None:
        """The receipt of a decision, or ``None``. An entry whose detail names another id was changed, and does not count."""
        found = self.chain.referred(enterprise, decision_id) if is_decision_id(decision_id) else None
        return found if found is not None and f'"id":"{decision_id}"' in found.line.detail else None

    def viewed(self, enterprise: str, decision_id: str, audit: Audit, actor: str, now: datetime) -> Link:
        """The receipt of a decision, for a person: noted in the audit log, also if there is none. Raises :class:`NotFound`."""
        found = self.of_decision(enterprise, decision_id)
        if found is None:
            audit.note(enterprise, LOOKED_IN_VAIN, "", actor=actor, now=now, why="unknown decision")
            raise NotFound("no decision with this id is stored; decisions are stored only while decision_receipts is on")
        audit.note(enterprise, VIEWED_RECEIPTS, found.line.subject, actor=actor, now=now, decision=decision_id)
        return found

    def newest(self, enterprise: str, patient_id: str | None = None, limit: int = 100) -> list[Link]:
        """Receipts, the newest first."""
        return self.chain.newest(enterprise, patient_id, limit)


def detail(ask: DecisionRequest, decision: Decision) -> str:
    """The document of a request, without its patient, and of its decision."""
    asked: dict[str, Any] = {name: value for name in ASKED if (value := getattr(ask, name)) is not None}
    return documents.write({"ask": asked, "decision": decision})
