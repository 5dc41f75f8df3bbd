"""The typed rows of users, hash chains, source statistics, processes, alerts, the safeguard and retired sources. No behaviour."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.db.columns import Mapped, PartialIndex, mapped_column
from store.db.tables import BigId, Table


class UserRow(Table):
    """A person who signs in. ``password`` is an argon2 hash.

    ``provisional``: since when the password is one that somebody else set; it can only be used to choose another. With an empty
    ``password`` the user signs in with OpenID Connect and is ``subject`` there, as recorded at the first sign-in.
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
    """A user's role in one enterprise."""

    __tablename__ = "user_roles"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]


class UserSessionRow(Table):
    """A browser's session. Its cookie is kept only as its SHA-256; ``csrf`` is the token in its forms."""

    __tablename__ = "user_sessions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    enterprise: Mapped[str]
    csrf: Mapped[str]
    created: Mapped[datetime]
    seen: Mapped[datetime]


class OpenIdSignInRow(Table):
    """The digest of an OpenID Connect sign-in that was used, so that none is accepted twice."""

    __tablename__ = "openid_sign_ins"
    digest: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class ChainLinkRow(Table):
    """Append only. An entry of a hash chain (``store.audit.hash_chain``), such as the audit log or the decision receipts.

    ``reference``: the id by which an entry is looked up, which its detail has too. The hash covers the detail, not this column.
    """

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
    reference: Mapped[str | None]
    __table_args__ = (
        Index("ix_chain_links_enterprise_subject", "enterprise", "subject"),
        PartialIndex("ix_chain_links_viewed", ("enterprise", "chain", "actor", "number"), where="action = 'viewed_patient'"),
        PartialIndex("ix_chain_links_enterprise_reference", ("enterprise", "reference"), "reference IS NOT NULL"),
    )


class ChainHeadRow(Table):
    """The length of each chain and its last hash."""

    __tablename__ = "chain_heads"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    hash: Mapped[str]


class ArrivalRow(Table):
    """How many records of a source were received within an hour (``store.runs.source_stats``). ``hour`` is its start."""

    __tablename__ = "arrivals"
    source: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    records: Mapped[int]
    news: Mapped[int]
    rejected: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class RejectionRoomRow(Table):
    """How much of its hourly limit for rejections a source has used (``store.runs.rejection_room``)."""

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
    """The last findings about a source, by kind (``store.runs.source_checks``)."""

    __tablename__ = "source_findings"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    at: Mapped[datetime]
    document: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class ScheduleTimeRow(Table):
    """When a source is due to be read next, by kind of run (``store.runs.schedule_times``)."""

    __tablename__ = "schedule_times"
    source: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    schedule: Mapped[str]
    due: Mapped[datetime]
    asked: Mapped[datetime | None]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class PushedReadRow(Table):
    """A patient whom an EMR reported as changed and who is to be read again (``store.runs.pushed_reads``).

    ``patient``: the EMR's resource id; empty for everything that changed since the last pull. ``pushes``: how many reports there were, so
    that one during a read is not lost. ``due``: when to read; while a process reads, when another may.
    """

    __tablename__ = "pushed_reads"
    source: Mapped[str] = mapped_column(primary_key=True)
    patient: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    pushes: Mapped[int]
    attempts: Mapped[int]
    due: Mapped[datetime]
    __table_args__: Any = (Index("ix_pushed_reads_due", "due"), {"sqlite_with_rowid": False})


class ProcessRow(Table):
    """A role of a serving process and its last heartbeat (``store.runs.processes``). ``source``: a listener's; otherwise empty.

    ``reloaded``: when the process last read its configuration again; ``not_reloaded``: why it kept the former one.
    """

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
    reloaded: Mapped[datetime | None]
    not_reloaded: Mapped[str] = mapped_column(server_default="")
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class AlertRow(Table):
    """An alert that a target was told of, or is still to be told of (``store.runs.alerts``)."""

    __tablename__ = "alerts"
    target: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    told: Mapped[datetime | None]
    tried: Mapped[datetime | None]
    attempts: Mapped[int]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class HeldStatementRow(Table):
    """A statement that would make a patient more contactable and is held by the safeguard (``store.holds.held_changes``).

    ``state``: held until somebody decides. Rejected statements are remembered, so that the same statement is held again.
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
    """When a live feed last made a patient more contactable. The safeguard counts these rows over a rolling hour."""

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
    """A retired source: who retired it, and its state before, so that it can be undone."""

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
    """What a retired source and staff asserted about one patient before the source's values became staff's."""

    __tablename__ = "released_marks"
    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id"), primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    mark: Mapped[str]
    staff: Mapped[str]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class BasisRow(Table):
    """The part of an enterprise's configuration that values in force depend on (``store.holds.configuration``). The newest in force counts.

    ``state``: in_force, held (awaits review) or dropped. ``preview``: what it would permit, counted when it was held.
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
