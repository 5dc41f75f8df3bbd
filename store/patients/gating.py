"""The safeguard as a batch sees it: what may take effect now, and what has to wait for a person.

A batch opens the gate when a payload would permit more contact, or when something is already held for one of its patients. Most never do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.preference import PatientStatements


class Gate(Protocol):
    """The gate of one batch of one source: ``expect`` and ``load``, then ``sift`` each payload, then ``write``."""

    def expect(self, patients: Iterable[int]) -> None:
        """Tells which patients the batch opened."""

    def load(self, patients: Iterable[int]) -> None:
        """Reads the changes already held for these patients."""

    def sift(self, patient: int, item: PatientStatements, permitting: Mapping[str, str], *, record: int) -> frozenset[str]:
        """The attributes of a payload that must not take effect now. ``permitting``: those that would permit more (``payload``)."""

    def write(self) -> None:
        """Writes the changes held back."""


class Guard(Protocol):
    """Puts a gate before a batch."""

    def gate(self, database: Database, transaction: Connection, enterprise: Enterprise, authority: str, now: datetime) -> Gate:
        """The gate of one batch of one authority."""
