"""The typed rows of merges, of statements with a period, of records' refusals and of a patient's own SMS consent. No behaviour."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index

from store.db.columns import Mapped, PartialIndex, mapped_column
from store.db.tables import BY_HAND, BigId, Table


class AheadRow(Table):
    """A statement that takes effect at ``due``. ``record`` is the resource with the period, ``origin`` the patient it first belonged to."""

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
    """The last statement of a record (a FHIR resource) that refused an attribute. ``origin`` is the patient it first belonged to."""

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
    """An opt-out that stays with a patient, whatever numbers the EMR lists later (``store.patients.opt_out_bindings``).

    ``number`` is the one the patient had at the time; empty if they had none. ``words`` are its SMS consent events, as in ``sms_words``.
    A change ends the row (``until``) and adds another, so that any earlier time can be read. ``origin`` is the record that it was stated
    for, to which an unmerge returns it; ``bound`` is when that record was first bound.
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
    __table_args__ = (
        Index("ix_sms_bindings_enterprise_number", "enterprise", "number"),
        PartialIndex("ix_sms_bindings_by_hand", ("enterprise", "number"), where=f"until IS NULL AND {BY_HAND}"),
    )


class FormerNumberRow(Table):
    """A number that a patient no longer has, and when that became known. ``patient_id`` is the record that had it."""

    __tablename__ = "former_numbers"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True)
    until: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class SmsReplyRow(Table):
    """A reply that may mean an opt-out: it awaits review, or a person has decided it.

    ``body`` is encrypted with the key ``key_id`` (``store.runs.encryption``); both are empty if no key is configured.
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


class ProviderMessageRow(Table):
    """A messaging provider's message that changed consent, so that a repeated webhook changes nothing. ``message`` is a digest.

    Rows are kept: most providers' signatures do not expire, and a START from years ago must never count again.
    """

    __tablename__ = "provider_messages"
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    message: Mapped[str] = mapped_column(primary_key=True)
    recorded: Mapped[datetime]
    __table_args__: Any = ({"sqlite_with_rowid": False},)


class WriteBackRow(Table):
    """An opt-out on its way to an EMR (``store.patients.write_backs``). ``state`` is one of ``store.domain.write_back.WriteBackState``.

    ``stated``: when the patient opted out. ``due``: when to try; while a process tries, when another may. ``sent``: when the EMR was asked
    for the last time before it had it.
    """

    __tablename__ = "write_backs"
    source: Mapped[str] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(BigId, ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    attribute: Mapped[str] = mapped_column(primary_key=True)
    enterprise: Mapped[str]
    state: Mapped[str]
    stated: Mapped[datetime]
    attempts: Mapped[int]
    due: Mapped[datetime]
    reason: Mapped[str]
    sent: Mapped[datetime | None]
    __table_args__: Any = (Index("ix_write_backs_state_due", "state", "due"), {"sqlite_with_rowid": False})


class MergeRow(Table):
    """A merge of two records of one person, with its evidence.

    ``before`` is the survivor's state before the merge; ``own`` is what has since been stated under the identifiers of each of the two
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


class WebhookEndpointRow(Table):
    """A sender's webhook endpoint: its position in the change feed, and since when and why nothing is sent to it."""

    __tablename__ = "webhook_endpoints"
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigId)
    disabled: Mapped[datetime | None]
    reason: Mapped[str]


class WebhookMessageRow(Table):
    """A message that an endpoint has not accepted yet (``store.patients.webhook_outbox``). ``seq``: of the change it is about."""

    __tablename__ = "webhook_messages"
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str]
    patient: Mapped[str]
    body: Mapped[str]
    attempts: Mapped[int]
    due: Mapped[datetime]
    made: Mapped[datetime]
    __table_args__: Any = (Index("ix_webhook_messages_endpoint_patient_seq", "endpoint", "patient", "seq"), {"sqlite_with_rowid": False})
