"""The typed rows of the safeguard and of retired sources. No behaviour, like ``store.db.tables``.

The typed rows of users and of their sessions. No behaviour, like ``store.db.tables``.

The rows of chains (``store.audit.hash_chain``).

The typed rows of what is known about a source besides its runs. No behaviour, like ``store.db.tables``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.db.columns import Mapped, mapped_column
from store.db.tables import BigId, Table


class UserRow(Table):
    """A person who signs in. ``password`` is an argon2 hash.

    ``provisional``: since when the password is one that somebody else made, good for choosing another one only. An empty ``password`` is
    nobody's: the user signs in by OpenID Connect, and is ``subject`` there since the first time.
    """

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    password: Mapped[str]
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]
    provisional: Mapped[datetime | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    __table_args__ = (Index("uq_users_name", "name", unique=True), Index("uq_users_issuer_subject", "issuer", "subject", unique=True))


class UserRoleRow(Table):
    """What a user may do in one enterprise."""

    __tablename__ = "user_roles"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]


class UserSessionRow(Table):
    """A browser that signed in. Its cookie is kept only as its SHA-256; ``csrf`` is what its forms carry."""

    __tablename__ = "user_sessions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    enterprise: Mapped[str]
    csrf: Mapped[str]
    created: Mapped[datetime]
    seen: Mapped[datetime]


class OpenIdSignInRow(Table):
    """A sign-in by OpenID Connect that was used, as a digest: none is good twice."""

    __tablename__ = "openid_sign_ins"
    digest: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class ChainLinkRow(Table):
    """Append only. A line of a chain (``store.audit.hash_chain``): the audit log, the decision receipts."""

    __tablename__ = "chain_links"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[str]
    hash: Mapped[str]
    __table_args__ = (Index("ix_chain_links_enterprise_subject", "enterprise", "subject"),)


class ChainHeadRow(Table):
    """How long each chain is, and its last hash."""

    __tablename__ = "chain_heads"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    hash: Mapped[str]


class ArrivalRow(Table):
    """How many records of a source were taken in within an hour (``store.runs.source_stats``). ``hour`` is its beginning."""

    __tablename__ = "arrivals"
    source: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    records: Mapped[int]
    news: Mapped[int]
    rejected: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class RejectionRoomRow(Table):
    """What a source has used of the hour's room for what could not be used (``store.runs.rejection_room``)."""

    __tablename__ = "rejection_room"
    source: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    hour: Mapped[datetime]
    nameless: Mapped[int]
    nameless_bytes: Mapped[int]
    named_bytes: Mapped[int]
    left_out: Mapped[int]
    bare: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class FindingRow(Table):
    """What was found out about a source last, by kind (``store.runs.source_checks``)."""

    __tablename__ = "source_findings"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    at: Mapped[datetime]
    document: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ScheduleTimeRow(Table):
    """When a source is to be read next, by kind of run (``store.runs.schedule_times``)."""

    __tablename__ = "schedule_times"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    schedule: Mapped[str]
    due: Mapped[datetime]
    asked: Mapped[datetime | None]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ProcessRow(Table):
    """A role of a serving process and when it was seen last (``store.runs.processes``). ``source``: of a listener, else empty."""

    __tablename__ = "processes"
    process: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    started: Mapped[datetime]
    steady: Mapped[datetime]
    seen: Mapped[datetime]
    failing: Mapped[datetime | None]
    messages: Mapped[int]
    reason: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class HeldStatementRow(Table):
    """A statement that would make a patient more contactable, kept out of force by the safeguard (``store.holds.held_changes``).

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
    """A configuration of an enterprise, as far as values in force depend on it (``store.holds.configuration``). The newest in force counts.

    ``state``: in_force, held (the safeguard waits for a person), dropped. ``preview``: what it would loosen, counted when it was held.
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
