"""The typed rows of merges. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey

from store.columns import Mapped, mapped_column
from store.tables import BigId, Table


class MergeRow(Table):
    """Two records of one person: which patient went into which, by which evidence.

    ``before`` is what stood of the survivor; ``own`` what was said since under the names of each of the two (``store.merging.sides``).
    """

    __tablename__ = "merges"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    survivor: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    merged: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    source: Mapped[str]
    evidence_id: Mapped[str]
    effective: Mapped[datetime]
    at: Mapped[datetime]
    run_id: Mapped[str | None]
    before: Mapped[str]
    own: Mapped[str | None]
