"""The typed rows of statements with a period, and of what records refuse. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey

from store.columns import Mapped, mapped_column
from store.tables import BigId, Table


class AheadRow(Table):
    """A statement that counts from ``due`` on. ``record`` is the resource whose period says so, ``origin`` the patient whose it was."""

    __tablename__ = "statements_ahead"
    patient_id: Mapped[int] = mapped_column(BigId, ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    authority: Mapped[str] = mapped_column(primary_key=True)
    record: Mapped[str] = mapped_column(primary_key=True)
    attribute: Mapped[str] = mapped_column(primary_key=True)
    due: Mapped[datetime] = mapped_column(primary_key=True)
    origin: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str]
    path: Mapped[str]
    effective: Mapped[datetime]
    effective_latest: Mapped[datetime | None]
    version: Mapped[int]
    evidence_id: Mapped[str]
    mapping: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class RefusalRow(Table):
    """What one record (a FHIR resource) that refused an attribute said of it last. ``origin`` is the patient whose it was."""

    __tablename__ = "record_refusals"
    patient_id: Mapped[int] = mapped_column(BigId, ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    authority: Mapped[str] = mapped_column(primary_key=True)
    record: Mapped[str] = mapped_column(primary_key=True)
    attribute: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str]
    path: Mapped[str]
    effective: Mapped[datetime]
    effective_latest: Mapped[datetime | None]
    version: Mapped[int]
    evidence_id: Mapped[str]
    mapping: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)
