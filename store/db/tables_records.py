"""The typed rows of merges. No behaviour, like ``store.db.tables``.

The typed rows of statements with a period, and of what records refuse. No behaviour, like ``store.db.tables``.

The typed rows of SMS consent that is a patient's own. No behaviour, like ``store.db.tables``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.db.columns import Mapped, mapped_column
from store.db.tables import BigId, Table


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


class SmsBindingRow(Table):
    """An opt-out that stays with a patient, whatever numbers the EMR lists for them later (``store.patients.opt_out_bindings``).

    ``number`` is the one the patient had then, empty where they had none. ``words`` is what was said, like in ``sms_words``. A change
    ends the row (``until``) and adds one, so that any earlier time can be read again. ``origin`` is the record it was said of, by
    which an unmerge gives it back; ``bound`` is when that record was bound first.
    """

    __tablename__ = "sms_bindings"
    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    enterprise: Mapped[str]
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), index=True)
    number: Mapped[str]
    origin: Mapped[int]
    words: Mapped[str]
    bound: Mapped[datetime]
    since: Mapped[datetime]
    until: Mapped[datetime | None]
    __table_args__ = (Index("ix_sms_bindings_enterprise_number", "enterprise", "number"),)


class FormerNumberRow(Table):
    """A number that a patient does not have any more, and when that was learnt. ``patient_id`` is the record that had it."""

    __tablename__ = "former_numbers"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    until: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class SmsReplyRow(Table):
    """A reply that may mean an opt-out and waits for a person, or was decided by one.

    ``body`` is sealed with the key ``key_id`` (``store.runs.encryption``); both are empty where no key is configured.
    """

    __tablename__ = "sms_replies"
    id: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    state: Mapped[str]
    number: Mapped[str]
    line: Mapped[str]
    scope: Mapped[str]
    body: Mapped[bytes]
    key_id: Mapped[str | None]
    received: Mapped[datetime]
    recorded: Mapped[datetime]
    decided: Mapped[datetime | None]
    actor: Mapped[str]
    reason: Mapped[str]
    __table_args__ = (Index("ix_sms_replies_enterprise_state_recorded", "enterprise", "state", "recorded", "id"),)


class MergeRow(Table):
    """Two records of one person: which patient went into which, by which evidence.

    ``before`` is what stood of the survivor; ``own`` what was said since under the names of each of the two
    (``store.patients.merged_sides``).
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
