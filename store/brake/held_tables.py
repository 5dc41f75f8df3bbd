"""The typed rows of the brake and of retired sources. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.columns import Mapped, mapped_column
from store.tables import BigId, Table


class HeldStatementRow(Table):
    """A statement that would make a patient more contactable, kept out of force by the brake (``store.brake.held``).

    ``state``: held until somebody decides; rejected ones are remembered, so that the same again is held again.
    """

    __tablename__ = "held_statements"
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    authority: Mapped[str] = mapped_column(primary_key=True)
    attribute: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    source: Mapped[str]
    run_id: Mapped[str]
    state: Mapped[str]
    again: Mapped[int]
    direction: Mapped[str]
    value: Mapped[str]
    path: Mapped[str]
    effective: Mapped[datetime]
    version: Mapped[int]
    evidence_id: Mapped[str]
    at: Mapped[datetime]
    effective_latest: Mapped[datetime | None]
    mapping: Mapped[str]
    codes: Mapped[str | None]
    __table_args__ = (
        Index("ix_held_statements_run_id_state", "run_id", "state", "patient_id"),
        Index("ix_held_statements_source_state", "source", "state", "patient_id", "run_id"),
    )


class LoosenedRow(Table):
    """When a live feed last made a patient more contactable: what its rolling hour is counted from."""

    __tablename__ = "loosened"
    source: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    at: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class VerdictRow(Table):
    """Append only. What was decided about the held statements of a run, and by whom."""

    __tablename__ = "verdicts"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    source: Mapped[str]
    run_id: Mapped[str] = mapped_column(index=True)
    verdict: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]
    patients: Mapped[int]


class ReleaseRow(Table):
    """A source was retired: who did it, and where the source stood, so that it can be undone."""

    __tablename__ = "releases"
    id: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    source: Mapped[str] = mapped_column(index=True)
    actor: Mapped[str]
    at: Mapped[datetime]
    patients: Mapped[int]
    cursor: Mapped[str | None]
    last_heard: Mapped[datetime | None]
    undone_by: Mapped[str | None]
    undone_at: Mapped[datetime | None]


class ReleasedMarkRow(Table):
    """What a retired source asserted about one patient, and what staff did, before its values became staff's."""

    __tablename__ = "released_marks"
    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id"), primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    mark: Mapped[str]
    staff: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class BasisRow(Table):
    """A configuration of an enterprise, as far as values in force depend on it (``store.configuration.bases``). The newest in force counts.

    ``state``: in_force, held (the brake waits for a person), dropped. ``preview``: what it would loosen, counted when it was held.
    """

    __tablename__ = "bases"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str] = mapped_column(index=True)
    basis: Mapped[str]
    state: Mapped[str]
    run_id: Mapped[str | None]
    at: Mapped[datetime]
    patients: Mapped[int]
    preview: Mapped[str]
