"""The safeguard as a batch sees it: what it asks before it makes somebody more contactable, and who keeps what has to wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.assertions import Merged, SourceAssertions
from store.domain.enterprise import Enterprise
from store.preference import PatientStatements


class Gate(Protocol):
    """Stands before one batch of one source: ``load``, then ``sift`` each payload, then ``write``."""

    def load(self, patients: Iterable[int]) -> None:
        """Reads what is held already of these patients."""

    def sift(
        self, patient: int, by_authority: Mapping[str, SourceAssertions], item: PatientStatements, merged: Merged, *, record: int
    ) -> frozenset[str]:
        """The attributes of a payload that must not take effect. ``merged`` is what would stand if all of it did."""

    def write(self) -> None:
        """Writes what is held back now."""


class Guard(Protocol):
    """Puts a gate before a batch."""

    def gate(self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, now: datetime) -> Gate:
        """The gate of one batch of one authority."""
